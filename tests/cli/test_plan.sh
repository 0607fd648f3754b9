# test_plan.sh: `cambium plan`: the table, JSON, drawing and trace of each recipe's step; files are whole or not there.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"

well_formed()
{
    if command -v python3 > /dev/null; then
        python3 -m json.tool "$1" > /dev/null || fail "$1 is not JSON"
    fi
}

expect 0 "$C" plan mnist-cnn --batch 4 --trace trace.json --dot plan.dot
silent err
for text in "training step, batch of 4" "operations in" "memory:  arena" "estimated" conv2d_weight_grad \
    "[matmul] is a kernel that does not do this to its result" "reads   0.weight f32 (32, 1, 3, 3)" "of step 0" "in place" \
    "overwrites variables" "exp_avg" "the most of the arena in use" "plain, steps "; do
    says out "$text"
done
# Kernels for AVX-512 need scratch that is among the largest; those for AVX2 do not.
[ "${CAMBIUM_HAVE_ONEDNN:-ON}" = OFF ] || ! grep -q avx512f /proc/cpuinfo || says out "scratch, steps "
says plan.dot "digraph plan {"
says plan.dot "s0 -> s1"
says plan.dot "0.weight"
tail -n 1 plan.dot | grep -q '^}$' || fail "the drawing does not end"
if command -v dot > /dev/null; then
    dot -Tsvg plan.dot > plan.svg 2> err || fail "dot does not read the drawing"
    silent err
fi
well_formed trace.json
says trace.json '"traceEvents"'
says trace.json '"ph": "X"'
says trace.json '"name": "max_pool2d_backward"'
[ -e trace.json.part ] && fail "a part of the trace was left"

expect 0 "$C" plan mnist-mlp --inference --batch 1 --threads 1 --json
silent err
well_formed out
says out '"inference": true'
says out '"threads": 1'
says out '"arena_bytes"'
says out '"live_bytes"'
says out '"last"'
says out '"layout"'
grep -q assign out && fail "inference assigns"
expect 0 "$C" plan two-layer-net --dot -
says out "digraph plan {"
grep -q "memory:" out && fail "the table stands in the drawing"
expect 0 "$C" plan relu-tiling --inference --device reference
says out "[reference"

expect 1 "$C" plan relu-tiling
says err "HINT: --inference"
expect 2 "$C" plan mnist-cnn --dot - --json
expect 2 "$C" plan mnist-cnn --batch 0
expect 2 "$C" plan mnist-cn
says err "did you mean mnist-cnn"
expect 1 "$C" plan mnist-mlp --batch 2 --dot nowhere/plan.dot
says err "nowhere/plan.dot"
silent out
if [ -c /dev/full ]; then
    "$C" plan mnist-mlp --batch 2 --json > /dev/full 2> err
    [ $? -eq 1 ] || fail "a full disk went unnoticed"
fi
finish
