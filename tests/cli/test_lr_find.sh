#!/bin/sh
# Looking for a learning rate: what is printed, drawn and refused; the rate found trains, a much larger one does not.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"
digits data/mnist 40

expect 0 "$C" lr-find mnist-mlp --threads 1 --optimizer sgd
silent err
says out "rate 8          the loss runs away"
says out "the loss no longer runs away at"
says out "in the range test it falls fastest at"
says out "train mnist-mlp --lr"
[ "$(head -c 4 lr-find.png | tail -c 3)" = PNG ] || fail "no picture"
expect 0 "$C" lr-find mnist-mlp --threads 1 --optimizer sgd --json --picture again.png
says out '"rate": '
cmp -s lr-find.png again.png || fail "the search does not repeat"
rate=$(sed -n 's/^ *"rate": \([^,]*\),$/\1/p' out | head -1)
rm -rf runs
expect 0 "$C" train mnist-mlp --threads 1 --optimizer sgd --lr "$rate" --epochs 40 --quiet --json
says out '"train_error": 0.0'
expect 1 "$C" train mnist-mlp --threads 1 --optimizer sgd --lr 1e9 --epochs 40 --quiet
says err "stopped being finite"

expect 1 "$C" lr-find relu-tiling
says err "has a course of its own, not the usual training of one model on data"
expect 1 "$C" lr-find iris-mlp
says err "the data set 'iris' is not in"
expect 2 "$C" lr-find mnist-mlp --optimizer lbfgs
says err "there is no optimizer 'lbfgs'"
expect 2 "$C" lr-find
expect 1 "$C" lr-find mnist-mlp --threads 1 --limit 20 --picture nowhere/x.png
says err "nowhere"
finish
