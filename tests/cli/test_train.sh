#!/bin/sh
# Training, evaluating, predicting and resuming, on a small set of invented digits.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"
digits data/mnist 400

# A run and what it leaves.
expect 0 "$C" train mnist-mlp --epochs 3 --batch-size 20 --threads 1
silent err
says out "epoch 3/3"
says out "training loss"
says out "validation loss"
says out "error"
says out "test accuracy 100.00 %"
says out "runs/mnist-mlp/curves.png"
for file in config.json metrics.jsonl model.safetensors curves.png checkpoints/last.ckpt; do
    [ -s runs/mnist-mlp/$file ] || fail "the run has no $file"
done
[ "$(wc -l < runs/mnist-mlp/metrics.jsonl)" -eq 3 ] || fail "metrics.jsonl has not three lines"
says runs/mnist-mlp/metrics.jsonl '"validation_error"'
find . -name '*tmp*' | grep -q . && fail "temporary files are left"

# A second run gets a folder of its own; a named one is not overwritten unasked.
expect 0 "$C" train mnist-mlp --epochs 1 --limit 40 --threads 1 --json
says out '"run": "runs/mnist-mlp-2"'
says out '"end": "done"'
says out '"validation_error"'
says err "epoch 1/1"
expect 1 "$C" train mnist-mlp --run runs/mnist-mlp
says err "--resume"
expect 0 "$C" train mnist-mlp --run runs/mnist-mlp-2 --overwrite --epochs 1 --limit 40 --threads 1 --quiet

# On a terminal the line is redrawn, with all it should say, within 80 columns.
if script -qec true typescript > out 2>&1; then # where there are pseudo-terminals
    TERM=xterm script -qec "stty cols 80; '$C' train mnist-mlp --run seen --epochs 1 --batch-size 2 --threads 1" typescript > out
    for word in 'epoch 1/1' 'step/s' 'loss' 'ETA' '['; do
        says out "$word"
    done
    tr '\r' '\n' < out | grep 'ETA' | sed 's/.\[K.*//' | awk 'length($0) > 79 { bad = 1 } !/ETA [0-9]+:[0-9]/ { bad = 1 } END { exit bad }' ||
        fail "the live line does not fit"
    rm -f typescript
fi

# Evaluating.
expect 0 "$C" eval mnist-mlp --run runs/mnist-mlp --threads 1
says out "accuracy 100.00 %"
expect 0 "$C" eval mnist-mlp --run runs/mnist-mlp --json --threads 1
silent err
for field in '"recipe": "mnist-mlp"' '"split": "test"' '"samples": 400' '"loss": ' '"accuracy": 1.0' '"seconds": '; do
    says out "$field"
done
expect 0 "$C" eval mnist-mlp --run runs/mnist-mlp --split train --limit 30 --json --threads 1
says out '"samples": 30'
expect 1 "$C" eval mnist-cnn --weights runs/mnist-mlp/model.safetensors
says err "model.safetensors"
expect 1 "$C" eval mnist-mlp --weights runs/mnist-mlp/config.json

# Predicting: the curves are a picture too; an array of two samples.
expect 0 "$C" predict mnist-mlp runs/mnist-mlp/curves.png --run runs/mnist-mlp
says out "curves.png: "
says out "%)"
{
    printf '\223NUMPY\001\000\166\000'
    printf "%-117s\n" "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 28, 28), }"
    tail -c +17 data/mnist/t10k-images-idx3-ubyte | head -c 1568
} > two.npy
expect 0 "$C" predict mnist-mlp two.npy --run runs/mnist-mlp
says out "two.npy[0]: 0 ("
says out "two.npy[1]: 1 ("
expect 0 "$C" predict mnist-mlp two.npy --run runs/mnist-mlp --json
for field in '"file": "two.npy"' '"index": 1' '"class": 1' '"probability": ' '"probabilities": ['; do
    says out "$field"
done
expect 1 "$C" predict mnist-mlp nowhere.png two.npy --run runs/mnist-mlp
says err "nowhere.png"
says out "two.npy[1]: 1 ("
head -c 100 runs/mnist-mlp/curves.png > cut.png
head -c 300 two.npy > cut.npy
expect 1 "$C" predict mnist-mlp cut.png --run runs/mnist-mlp
says err "cut.png"
expect 1 "$C" predict mnist-mlp cut.npy --run runs/mnist-mlp
says err "cut.npy"

# Summaries.
expect 0 "$C" summary mnist-mlp
says out "669,706"
expect 0 "$C" summary mnist-cnn --batch 4
says out "1,199,882"
says out "(4, 64, 24, 24)"
expect 0 "$C" summary mnist-cnn --json
for field in '"output_shape"' '"parameters": 1199882' '"flops"' '"activation_bytes"'; do
    says out "$field"
done
expect 0 "$C" summary alexnet
says out "features.12 (max_pool2d)       (1, 256, 6, 6)               0          0     82.9 k     82.9 k     36.0 KiB  195x195"
says out "61,100,840    714.2 M"
expect 0 "$C" summary squeezenet1_1 --batch 2 --json
says out '"network": "squeezenet1_1"'
expect 0 "$C" summary runs/mnist-mlp/model.safetensors
says out "669,706"
expect 0 "$C" summary runs/mnist-mlp/model.safetensors --json
says out '"dtype": "F32"'
says out '"parameters": 669706'

# Interrupted: saved, resumed by the command it names, and the same in the end as a run that was not.
expect 0 "$C" train mnist-mlp --run whole --epochs 2 --batch-size 4 --threads 1 --quiet
"$C" train mnist-mlp --run 'cut short' --epochs 2 --batch-size 4 --threads 1 > out 2> err &
job=$!
tries=0
while [ ! -s 'cut short/config.json' ] && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $job
wait $job
code=$?
if [ $code -eq 130 ]; then
    says err "resume with: "
    says err "--run 'cut short'"
    [ -s 'cut short/checkpoints/last.ckpt' ] || fail "nothing was saved"
    sed -n 's/^resume with: //p' err > resume
    expect 0 sh resume
elif [ $code -ne 0 ]; then
    fail "an interrupted run exits with $code"
    cat err
fi
cmp -s whole/model.safetensors 'cut short/model.safetensors' || fail "the resumed run differs from the uninterrupted one"
# What the run was begun with holds when it is resumed, unless told otherwise; another recipe's run is refused.
expect 0 "$C" train mnist-mlp --run 'cut short' --resume --epochs 3 --threads 1 --quiet
says out "3 epochs, batches of 4"
expect 1 "$C" train mnist-cnn --run 'cut short' --resume
says err "is of recipe mnist-mlp"

# So does a recipe with a course of its own, without going on to its next training.
"$C" train improve --run own --epochs 4000 --threads 1 > out 2> err &
job=$!
sleep 1
kill -INT $job
wait $job
[ $? -eq 130 ] || fail "an interrupted improve exits with another status"
says err "interrupted"
[ "$(grep -c . out)" -le 1 ] || fail "an interrupted improve went on" # the table's head

expect 1 "$C" train mnist-mlp --run nowhere --resume

# A loss that is not a number stops training with an explanation.
expect 1 "$C" train mnist-mlp --run wild --lr 1e30 --epochs 3 --batch-size 20 --threads 1
says err "finite"
says err "HINT"

# Damaged data.
mkdir -p bad/mnist
cp data/mnist/* bad/mnist
head -c 5000 data/mnist/train-images-idx3-ubyte > bad/mnist/train-images-idx3-ubyte
expect 1 "$C" train mnist-mlp --data bad
says err "train-images-idx3-ubyte"
cp data/mnist/train-images-idx3-ubyte bad/mnist
{ head -c 100 data/mnist/train-labels-idx1-ubyte; printf '\014'; tail -c +102 data/mnist/train-labels-idx1-ubyte; } > bad/mnist/train-labels-idx1-ubyte
expect 1 "$C" train mnist-mlp --data bad
says err "12"

# Another optimizer, schedule and averaged weights by name; a resumed run goes on with them.
expect 0 "$C" train mnist-mlp --run chosen --epochs 3 --limit 100 --batch-size 10 --threads 1 --optimizer nadam \
    --schedule one-cycle --average ema
says out "nadam, schedule one-cycle, average ema"
says chosen/config.json '"optimizer": "nadam"'
expect 0 "$C" train mnist-mlp --run chosen --resume --epochs 4 --threads 1
says out "nadam, schedule one-cycle, average ema"
says chosen/config.json '"chosen_average": "ema"'
for pair in sgd:constant adam:cosine adamw:linear adamax:exponential radam:step rmsprop:plateau adagrad:one-cycle \
    adadelta:one-cycle rprop:one-cycle; do
    optimizer=${pair%:*}
    expect 0 "$C" train mnist-mlp --run "by-$optimizer" --epochs 1 --limit 40 --threads 1 --optimizer "$optimizer" \
        --schedule "${pair#*:}" --average swa
    says "by-$optimizer/config.json" "\"optimizer\": \"$optimizer\""
done
expect 2 "$C" train mnist-mlp --optimizer lbfgs
says err "--optimizer is one of sgd, adam,"
expect 2 "$C" train mnist-mlp --schedule never
expect 2 "$C" train two-layer-net --average ema
says err "a course of its own"
expect 1 "$C" train mnist-mlp --run chosen --resume --optimizer sgd --epochs 5
says err "its optimizer is nadam, not sgd"

# The recipes with a course of their own.
expect 0 "$C" train relu-tiling
says out "linear pieces"
[ -s runs/relu-tiling/curves.png ] || fail "relu-tiling drew nothing"
expect 0 "$C" train two-layer-net
[ "$(wc -l < out)" -ge 500 ] || fail "two-layer-net prints less than 500 steps"
expect 0 "$C" train oscillator --epochs 10 --threads 1
for line in 'gradient descent  200 evaluations: loss' 'Adam              200 evaluations' 'L-BFGS            2'; do
    says out "$line"
done
awk '/largest error/ { e[++n] = $NF + 0 } END { exit !(n == 3 && e[3] < e[2] && e[3] < e[1] && e[3] > 0) }' out ||
    fail "L-BFGS is not the closest"
[ -s runs/oscillator/curves.png ] || fail "oscillator drew nothing"
expect 0 "$C" train sliding --max-steps 30 --batch-size 16 --threads 1
says out "step 30/30"
says out "found and read"
says out "times fewer than one by one"
[ -s runs/sliding/heat-map.png ] || fail "sliding drew nothing"
expect 0 "$C" train multi-task --epochs 20 --batch-size 10 --threads 1
says out "one network   a network each"
[ "$(sed -n 's/^digit  *0 to 9  *//p' out | awk '{ print ($1 < 50 && $2 < 50) }')" = 1 ] || fail "multi-task learns no digits"
[ -s runs/multi-task/errors.png ] || fail "multi-task drew nothing"
expect 0 "$C" train scene-labeling --epochs 1 --limit 20 --threads 1
says out "unrolled 4: sees 33 x 33, mean IoU"
[ -s runs/scene-labeling/scenes.png ] || fail "scene-labeling drew nothing"
expect 0 "$C" train improve --epochs 2 --limit 20 --batch-size 10 --threads 1
[ "$(grep -c '^baseline \|^weight decay \|^dropout \|^augmentation \|^batch norm \|^all together ' out)" = 6 ] || fail "improve's table"
[ -s runs/improve/errors.png ] || fail "improve drew nothing"
expect 0 "$C" train random-filters --epochs 1 --limit 100 --batch-size 20 --threads 1
says out "random filters of 7x7"
says out "filters trained too"
[ -s runs/random-filters/spectra.png ] || fail "random-filters drew nothing"
expect 0 "$C" train weight-averaging --epochs 3 --batch-size 20 --threads 1
says out "epoch 3/3"
says out "last weights 0.00 %  moving average"
says out "mean of weights"
for file in curves.png model.safetensors; do
    [ -s runs/weight-averaging/$file ] || fail "weight-averaging left no $file"
done
expect 0 "$C" eval weight-averaging --weights runs/weight-averaging/model.safetensors --threads 1
says out "accuracy"
finish
