#!/bin/sh
# Help, usage errors, exit codes, and where messages go.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"

expect 0 "$C" --help
silent err
for command in train eval predict list summary plan data gradcheck version help; do
    says out "  $command"
done
for command in train eval predict list summary plan data gradcheck version help; do
    expect 0 "$C" $command --help
    silent err
    says out "cambium $command"
    says out "--help"
    cp out first
    expect 0 "$C" help $command
    cmp -s out first || fail "help $command differs from $command --help"
done

expect 2 "$C"
silent out
says err "HINT: cambium --help"
expect 2 "$C" nonsense
silent out
expect 2 "$C" --nonsense
expect 2 "$C" trian
says err "did you mean train"
expect 2 "$C" help nonsense
for command in train eval predict summary plan data gradcheck; do
    expect 2 "$C" $command
    silent out
    says err "HINT: cambium $command --help"
    expect 2 "$C" $command x --no-such-option
    silent out
    says err "--no-such-option"
done
expect 2 "$C" train mnist-cnn --epochs
expect 2 "$C" train mnist-cnn --epochs many
expect 2 "$C" train mnist-cnn --epochs 0
expect 2 "$C" train mnist-cnn --epoch 3
says err "did you mean --epochs"
expect 2 "$C" train mnist-cnn --lr nan
expect 2 "$C" train mnist-cnn mnist-mlp
expect 2 "$C" train mnist-cn
says err "did you mean mnist-cnn"
expect 2 "$C" eval mnist-mlp --split validation
expect 2 "$C" data get
expect 2 "$C" data get nothing
expect 2 "$C" data put mnist
expect 2 "$C" gradcheck --op relu --all-ops
expect 2 "$C" gradcheck --op relo
says err "did you mean relu"
expect 2 "$C" summary nothing

expect 0 "$C" version
says out "cambium 0."
expect 0 "$C" --version
says out "cambium 0."
expect 0 "$C" version --json
says out '"version": "0.'
expect 0 "$C" list
says out "mnist-cnn"
says out "two-layer-net"
expect 0 "$C" list --json
says out '"name": "relu-tiling"'
expect 0 "$C" list mnist-mlp
says out "data: mnist"
expect 0 "$C" list --networks
says out "resnet50           3x224x224, 1000 classes"
expect 0 "$C" list --networks --json
says out '"name": "mobilenet_v2"'
expect 2 "$C" list mnist-mlp --networks
expect 0 "$C" summary lenet5 --compare
says out "0 (conv2d)             150            117.6 k            3.7 M"
expect 2 "$C" summary vgg13
says err "list --networks"
expect 1 "$C" lr-find mnist-mlp --picture x.jpg
says err "'x.jpg' does not end in .png"
expect 1 "$C" lr-find mnist-mlp --picture nowhere/x.png
says err "cannot write 'nowhere/x.png': No such file"
expect 2 "$C" train wavelet --lr 1
says err "wavelet learns nothing: no --lr"
expect 0 "$C" train relu-tiling --run tiling --json
says out '"linear_pieces": '
rm -r tiling
expect 0 "$C" data list
says out "mnist"
expect 0 "$C" data list --json
says out '"present": false'

# Output that cannot be written is a failure.
if [ -c /dev/full ]; then
    "$C" list > /dev/full 2> err
    [ $? -eq 1 ] || fail "a full disk went unnoticed"
    says err "cannot write the output"
    "$C" list --json > /dev/full 2> err
    [ $? -eq 1 ] || fail "a full disk went unnoticed (--json)"
fi

# What is not there.
expect 1 "$C" train mnist-mlp --data nowhere
says err "data get mnist --data nowhere"
expect 1 "$C" eval mnist-mlp --data nowhere
expect 1 "$C" predict mnist-mlp picture.png
says err "train mnist-mlp"
expect 1 "$C" predict mnist-mlp picture.png --weights nowhere.safetensors
says err "nowhere.safetensors"
expect 1 "$C" eval two-layer-net
expect 1 "$C" predict two-layer-net x.png
expect 1 "$C" train relu-tiling --device nonsense
expect 1 "$C" summary nowhere.safetensors
printf 'no such thing' > file
expect 1 "$C" summary ./file
expect 1 "$C" train relu-tiling --run file/run
[ -e runs ] && fail "a failed command left a runs folder"
finish
