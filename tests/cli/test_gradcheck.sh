#!/bin/sh
# The gradient check from the command line.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"

expect 0 "$C" gradcheck --op matmul
says out "matmul"
says out "passed"
expect 0 "$C" gradcheck --op relu --json
silent err
says out '"operations": ['
says out '"name": "relu"'
says out '"passed": true'
says out '"max_error": '
expect 0 "$C" gradcheck --all-ops --json
for op in add conv2d batch_norm cross_entropy gather softmax; do
    says out "\"name\": \"$op\""
done
grep -q '"passed": false' out && fail "an operation's gradient is wrong"
expect 1 "$C" gradcheck --op equal
expect 0 "$C" gradcheck two-layer-net
says out "linear2.bias"
expect 0 "$C" gradcheck oscillator # of a loss that differentiates by itself
says out "passed"
expect 0 "$C" gradcheck mnist-mlp --json
says out '"operations": ['
finish
