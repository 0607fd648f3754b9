#!/bin/sh
# Test accuracy in f32 and in bf16 by paired seeds: sh bench/precision.sh [RECIPE] [EPOCHS] [SEEDS]
# The defaults: cifar-resnet20, 10 epochs, seeds "1 2 3". The two precisions take turns. Runs lie in $RUNS (runs/precision);
# finished ones are skipped, begun ones resumed, so that the script can be stopped and started again. CAMBIUM names the
# program (build/cambium), DATA the data folder (data); OPTIONS are passed on, for example "--limit 5000 --threads 1".
set -eu
recipe=${1:-cifar-resnet20}
epochs=${2:-10}
seeds=${3:-1 2 3}
cambium=${CAMBIUM:-build/cambium}
data=${DATA:-data}
runs=${RUNS:-runs/precision}
options=${OPTIONS:-}

# The validation error of the last epoch that a run has finished: EPOCH ERROR LOSS SECONDS.
last_epoch()
{
    awk '{ n = split($0, part, /[,{}]/); for (i = 1; i <= n; i++) { split(part[i], pair, ":"); gsub(/[" ]/, "", pair[1]); v[pair[1]] = pair[2] }
           seconds += v["seconds"] }
         END { if (NR) print v["epoch"] + 0, v["validation_error"] + 0, v["validation_loss"] + 0, seconds + 0 }' \
        "$1/metrics.jsonl" 2> /dev/null
}

for seed in $seeds; do
    for precision in f32 bf16; do
        run=$runs/$recipe-$precision-$seed
        set -- $(last_epoch "$run")
        [ "${1:-0}" -ge "$epochs" ] && continue
        again=--overwrite
        [ -s "$run/checkpoints/last.ckpt" ] && again=--resume
        # shellcheck disable=SC2086
        "$cambium" train "$recipe" --data "$data" --run "$run" $again --precision "$precision" --seed "$seed" \
            --epochs "$epochs" --quiet $options
    done
done

for seed in $seeds; do
    for precision in f32 bf16; do
        echo "$seed $precision $(last_epoch "$runs/$recipe-$precision-$seed")"
    done
done | awk -v recipe="$recipe" -v epochs="$epochs" '
    { accuracy[$1, $2] = 100 * (1 - $4); loss[$1, $2] = $5; seconds[$1, $2] = $6; if ($2 == "f32") seed[++n] = $1 }
    END {
        printf "%s, %d epochs\n\n| seed | f32 %% | bf16 %% | difference | f32 loss | bf16 loss | f32 s | bf16 s |\n", recipe, epochs
        print "|---|---|---|---|---|---|---|---|"
        for (i = 1; i <= n; i++) {
            s = seed[i]; d[i] = accuracy[s, "bf16"] - accuracy[s, "f32"]; sum += d[i]
            full += accuracy[s, "f32"]; half += accuracy[s, "bf16"]
            printf "| %s | %.2f | %.2f | %+.2f | %.4f | %.4f | %.0f | %.0f |\n", s, accuracy[s, "f32"], accuracy[s, "bf16"],
                d[i], loss[s, "f32"], loss[s, "bf16"], seconds[s, "f32"], seconds[s, "bf16"]
        }
        mean = sum / n
        for (i = 1; i <= n; i++) squares += (d[i] - mean) ^ 2
        error = n > 1 ? sqrt(squares / (n - 1) / n) : 0
        limit = 2 * error > 0.5 ? 2 * error : 0.5
        printf "| mean | %.2f | %.2f | %+.2f +- %.2f (standard error) | | | | |\n\n", full / n, half / n, mean, error
        printf "The means differ by %.2f points; allowed are %.2f (0.5, or two standard errors): %s\n", mean < 0 ? -mean : mean,
            limit, (mean < 0 ? -mean : mean) <= limit ? "held" : "NOT held"
    }'
