#!/bin/sh
# Training in bf16: kept with the run, the same bits when resumed, nearly the loss of f32.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"
digits data/mnist 400

expect 0 "$C" train mnist-mlp --run full --epochs 4 --batch-size 20 --threads 1 --json
sed -n 's/.*"validation_loss": \([0-9.e-]*\).*/\1/p' out > full.loss
expect 0 "$C" train mnist-mlp --run half --precision bf16 --epochs 4 --batch-size 20 --threads 1 --json
sed -n 's/.*"validation_loss": \([0-9.e-]*\).*/\1/p' out > half.loss
says err "precision bf16"
says half/config.json '"precision": "bf16"'
says full/config.json '"precision": "f32"'
paste full.loss half.loss | awk '{ d = $1 - $2; exit !(NF == 2 && $1 != $2 && d * d < 0.01 * 0.01) }' ||
    fail "the losses $(cat full.loss) and $(cat half.loss) are the same, or far apart"
cmp -s full/model.safetensors half/model.safetensors && fail "bf16 changed nothing"

# Parameters stay f32; evaluating and predicting follow the run, unless told otherwise.
expect 0 "$C" summary half/model.safetensors --json
says out '"dtype": "F32"'
grep -qF '"BF16"' out && fail "parameters are stored as bf16"
expect 0 "$C" eval mnist-mlp --run half --json --threads 1
cp out half.eval
expect 0 "$C" eval mnist-mlp --run half --precision bf16 --json --threads 1
sed '/seconds/d' out > said
sed '/seconds/d' half.eval | cmp -s - said || fail "eval does not follow the run's precision"
expect 0 "$C" eval mnist-mlp --run half --precision f32 --json --threads 1
sed '/seconds/d' out | cmp -s - said && fail "eval does not take a precision"
says out '"accuracy": 1.0'
expect 0 "$C" predict mnist-mlp half/curves.png --run half
says out "%)"

# Interrupted and resumed without saying the precision again: the same bits.
expect 0 "$C" train mnist-mlp --run whole --precision bf16 --epochs 2 --batch-size 4 --threads 1 --quiet
"$C" train mnist-mlp --run cut --precision bf16 --epochs 2 --batch-size 4 --threads 1 --quiet > out 2> err &
job=$!
tries=0
while [ ! -s cut/config.json ] && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $job
wait $job
if [ $? -eq 130 ]; then
    expect 0 "$C" train mnist-mlp --run cut --resume --threads 1 --quiet
    says out "precision bf16"
fi
cmp -s whole/model.safetensors cut/model.safetensors || fail "the resumed run differs from the uninterrupted one"

expect 1 "$C" train mnist-mlp --run wrong --precision f16
says err "bf16"
expect 0 "$C" plan mnist-mlp --precision bf16 --threads 1
says out "cast"
finish
