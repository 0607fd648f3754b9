#!/bin/sh
# Trains mnist-cnn from five seeds and writes each run's last line of metrics to standard output.
#   sh bench/mnist_seeds.sh [BUILD [DATA [THREADS]]]
set -eu
build=${1:-build}
data=${2:-data}
threads=${3:-0}
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
for seed in 0 1 2 3 4; do
    "$build/cambium" train mnist-cnn --quiet --seed $seed --threads "$threads" --data "$data" --run "$runs/$seed" >&2
    printf 'seed %s: ' $seed
    tail -n 1 "$runs/$seed/metrics.jsonl"
done
