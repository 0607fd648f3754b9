#!/bin/sh
# Looking inside a run: words and pictures, and what is refused.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"
digits data/mnist 40
pictures data/cifar10 20

expect 0 "$C" train lenet5 --run digits --data "$here/data" --epochs 3 --batch-size 10 --threads 1 --quiet
expect 0 "$C" look digits --threads 1
silent err
says out "conv2d"
says out "filters of"
says out "Grad-CAM of"
says out "of 40 test samples are wrong"
for picture in filters maps answers scores classes embedding confusion exciting; do
    [ "$(head -c 4 digits/look/$picture.png | tail -c 3)" = PNG ] || fail "no picture $picture.png"
done
# The data lie where the run had them; the maps of another sample.
mv digits/look first
(cd / && "$C" look "$here/digits" --threads 1 --sample 7 > "$here/out" 2> "$here/err") || fail "look does not find the run's data"
cmp -s first/filters.png digits/look/filters.png || fail "filters differ"
cmp -s first/maps.png digits/look/maps.png && fail "--sample draws the same maps"
expect 1 "$C" look digits --threads 1 --sample 499
says err "there is no sample 499"
# A network in which nothing is left alive is told from that one.
expect 0 "$C" train mnist-cnn --run dead --epochs 3 --batch-size 10 --lr 30 --optimizer sgd --threads 1 --quiet --max-steps 4
expect 0 "$C" look dead --threads 1 --out elsewhere
says out "units ignore the input: they give the same for every sample"
[ -s elsewhere/confusion.png ] || fail "no picture elsewhere"
expect 0 "$C" train mnist-mlp --run flat --epochs 1 --batch-size 10 --threads 1 --quiet
expect 0 "$C" look mnist-mlp --weights flat/model.safetensors --threads 1 --out flat
says out "answers of"
expect 0 "$C" train cifar-resnet20 --run colours --epochs 1 --batch-size 10 --threads 1 --quiet
expect 0 "$C" look colours --threads 1 --limit 10
says out "of 10 test samples are wrong"
says out "of class"

expect 1 "$C" look data
says err "'data' holds no run"
echo '{"recipe": "nothing"}' > data/config.json
expect 1 "$C" look data
says err "names no recipe that there is"
expect 2 "$C" look nowhere
expect 1 "$C" look relu-tiling
says err "is no classifier of a data set"
finish
