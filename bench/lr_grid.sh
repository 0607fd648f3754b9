#!/bin/sh
# Whether `cambium lr-find` finds the learning rate that a grid finds: for each recipe its choice, and the test error after a
# training at 1/16, 1/8, ... 16 times that rate, decaying by 1000. Needs the data sets.
# usage: sh bench/lr_grid.sh [RECIPE ...]      (about half an hour on 2 cores)
set -eu
program=${CAMBIUM_PROGRAM:-build/cambium}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- mnist-mlp lenet5 fashion-cnn
for recipe; do
    "$program" lr-find "$recipe" --json --picture "$work/picture.png" > "$work/found.json" 2> /dev/null
    found=$(sed -n 's/^ *"rate": \([^,]*\),$/\1/p' "$work/found.json" | head -1)
    echo "$recipe: lr-find says $found"
    for power in -4 -3 -2 -1 0 1 2 3 4; do
        rate=$(awk "BEGIN { print $found * 2 ^ $power }")
        "$program" train "$recipe" --run "$work/run" --overwrite --quiet --limit 10000 --epochs 3 --lr "$rate" \
            --schedule exponential --json > "$work/result.json" 2> /dev/null || true
        error=$(sed -n 's/^ *"validation_error": \([^,]*\),*$/\1/p' "$work/result.json")
        awk "BEGIN { e = \"$error\"; printf \"    rate %-10.4g test error %s\\n\", $rate, e ~ /^[0-9]/ ? sprintf(\"%.2f %%\", 100 * e) : \"(diverged)\" }"
    done
done
