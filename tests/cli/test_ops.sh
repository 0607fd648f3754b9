#!/bin/sh
# `cambium ops`: the reference of the operations.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"

expect 0 "$C" ops
says out "log_softmax"
expect 0 "$C" ops --json
says out '"name": "conv2d"'
expect 0 "$C" ops sigmoid
says out "1 / (1 + e^-x)"
says out '`(2, 3) -> (2, 3)`'
says out "Dtypes: f32, f64, bf16"
says out '`mul(g, mul(y, sub(1, y)))`'
says out "must be f32, f64 or bf16"
says out "y = [["
expect 0 "$C" ops equal
says out "No gradient."
expect 0 "$C" ops --markdown
says out "## batch_norm"
[ "$(grep -c '^## ' out)" -eq "$("$C" ops | wc -l)" ] || fail "an operation is not on the page"
expect 2 "$C" ops sigmoyd
says err "did you mean sigmoid?"
finish
