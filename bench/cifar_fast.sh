#!/bin/sh
# The short course of `cifar-resnet20` from three seeds: minutes from start to end and test accuracy of each.
#   sh bench/cifar_fast.sh [BUILD [DATA]]      (about half an hour on 2 cores; nothing else should run meanwhile)
set -eu
build=${1:-build}
data=${2:-data}
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
grep -m 1 'model name' /proc/cpuinfo
for seed in 0 1 2; do
    begun=$(date +%s)
    "$build/cambium" train cifar-resnet20 --fast --seed $seed --quiet --data "$data" --run "$runs/$seed" > "$runs/log"
    ended=$(date +%s)
    awk -v seed=$seed -v seconds=$((ended - begun)) '/^test accuracy/ { printf "seed %d: %.1f minutes, %s\n", seed, seconds / 60, $0 }' \
        "$runs/log"
done
