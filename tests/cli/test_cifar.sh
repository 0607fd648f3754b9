#!/bin/sh
# The residual network on a small set of invented pictures: training with augmentation, resuming, evaluating, predicting.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"
pictures data/cifar10 20

expect 0 "$C" train cifar-resnet20 --epochs 2 --batch-size 10 --threads 1 --workers 2 --verbose
silent err
says out "epoch 2/2"
says out "of 5 batches"
says runs/cifar-resnet20/metrics.jsonl '"loader_waits"'
expect 0 "$C" train cifar-resnet20 --run again --epochs 2 --batch-size 10 --threads 1 --workers 0 --quiet
cmp -s runs/cifar-resnet20/model.safetensors again/model.safetensors || fail "two workers and none train differently"
# Interrupted somewhere and resumed: augmentation goes on where it was.
"$C" train cifar-resnet20 --run part --epochs 2 --batch-size 10 --threads 1 > out 2> err &
job=$!
tries=0
while [ ! -s part/config.json ] && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
sleep 0.2
kill -INT $job
wait $job
if [ $? -eq 130 ]; then
    says err "resume with: "
    expect 0 "$C" train cifar-resnet20 --run part --resume --threads 1 --quiet
fi
cmp -s again/model.safetensors part/model.safetensors || fail "the resumed run differs"

expect 0 "$C" train finetune --epochs 1 --limit 10 --batch-size 2 --threads 1 # its three ways, on next to nothing
says out "frozen features: epoch 1/1"
says out "from scratch"
[ -s runs/finetune/curves.png ] || fail "finetune drew nothing"

# Pictures and words in one space: WordNet's form, a dozen words.
expect 1 "$C" train multi-modal
says err "data/wordnet/data.noun"
says err "cambium data get wordnet"
mkdir -p data/wordnet
: > data/wordnet/data.noun
n=100
for word in bird cat deer dog frog horse cow hen airplane car ship truck spoon lamp door; do
    n=$((n + 1))
    case $word in airplane | car | ship | truck | spoon | lamp | door) field=06 ;; *) field=05 ;; esac
    echo "00000$n $field n 01 $word 0 001 @ 000000$field n 0000 | a word" >> data/wordnet/data.noun
done
expect 0 "$C" train multi-modal --epochs 1 --batch-size 10 --threads 1
says out "15 words"
says out "(never seen)"
says out "labels never seen: mean rank"
sed '/ truck /d' data/wordnet/data.noun > less && mv less data/wordnet/data.noun
expect 1 "$C" train multi-modal
says err "does not know the word truck"

# The short course: its number of epochs is the run's own, also when it is resumed.
expect 0 "$C" train cifar-resnet20 --run short --fast --max-steps 2 --batch-size 10 --threads 1
says out "12 epochs"
says short/config.json '"epochs": 12'
expect 2 "$C" train cifar-resnet20 --run short --resume --fast
says err "a resumed run keeps its course: no --fast"
expect 2 "$C" train mnist-mlp --fast
says err "mnist-mlp has no short course: no --fast"

expect 0 "$C" eval cifar-resnet20 --run again --threads 1 --json
says out '"samples": 20'
expect 0 "$C" eval cifar-resnet20 --run again --threads 1 --split train
says out "50 samples"
expect 0 "$C" train wavelet --threads 1 # back bit for bit
says out "they differ by 0 at most"
[ -s runs/wavelet/bands.png ] || fail "wavelet drew nothing"

# A picture and an array: pixels plane by plane, or pixel by pixel.
expect 0 "$C" predict cifar-resnet20 again/curves.png --run again --top 2
says out "%), "
{
    printf '\223NUMPY\001\000\166\000'
    printf "%-117s\n" "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 32, 32), }"
    head -c 3073 data/cifar10/test_batch.bin | tail -c 3072
} > planes.npy
{
    printf '\223NUMPY\001\000\166\000'
    printf "%-117s\n" "{'descr': '|u1', 'fortran_order': False, 'shape': (32, 32, 3), }"
    head -c 288 /dev/zero | tr '\000' '\377' # the first three rows are bright in all three
    head -c 2784 /dev/zero
} > pixels.npy
expect 0 "$C" predict cifar-resnet20 planes.npy --run again
sed 's/planes/pixels/' out > wanted
expect 0 "$C" predict cifar-resnet20 pixels.npy --run again
cmp -s out wanted || fail "planes and pixels are classified differently"
expect 0 "$C" predict cifar-resnet20 planes.npy --run again --json
says out '"name": "'
expect 0 "$C" summary cifar-resnet20
says out "269,722"
says out "layer2.0.conv1"

# Damaged data.
head -c 5000 data/cifar10/test_batch.bin > cut
mv cut data/cifar10/test_batch.bin
expect 1 "$C" eval cifar-resnet20 --run again
says err "test_batch.bin"
rm data/cifar10/data_batch_3.bin
expect 1 "$C" train cifar-resnet20
says err "data_batch_3.bin"
finish
