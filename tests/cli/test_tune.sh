#!/bin/sh
# Training that measures algorithms: what was measured is kept in the cache folder and with the run, and a resumed run, even
# with an empty cache, gives the bits of an uninterrupted one.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"
[ "${CAMBIUM_HAVE_ONEDNN:-ON}" = ON ] || exit 77 # there is nothing to choose from
digits data/mnist 300
mkdir cache
export XDG_CACHE_HOME="$PWD/cache"

expect 0 "$C" train mnist-cnn --tune --run whole --epochs 2 --batch-size 50 --threads 1
says whole/config.json '"tune": true'
says cache/cambium/tuning "cambium tuning 1"
says cache/cambium/tuning "fwd 50x32x26x26 o64 k3x3"
cp cache/cambium/tuning first
expect 0 "$C" train mnist-cnn --tune --run part --epochs 2 --batch-size 50 --threads 1 --max-steps 3
cmp -s cache/cambium/tuning first || fail "the second run measured again"

# A choice that nothing but the checkpoint knows: the cache is gone when the run goes on.
expect 0 "$C" train mnist-cnn --tune --run again --epochs 1 --batch-size 50 --threads 1
says again/checkpoints/last.ckpt "cambium tuning 1"
rm -r cache/cambium
expect 0 "$C" train mnist-cnn --run again --resume --epochs 2 --threads 1
says again/config.json '"tune": true'

mkdir -p cache/cambium
printf 'cambium tuning 1, another machine\nx = direct\n' > cache/cambium/tuning
expect 0 "$C" train mnist-cnn --tune --run foreign --epochs 1 --batch-size 50 --threads 1
grep -q "another machine" cache/cambium/tuning && fail "a foreign file was kept"
expect 0 "$C" train mnist-mlp --run rules --epochs 1 --batch-size 50 --threads 1
says rules/config.json '"tune": false'
finish
