#!/bin/sh
# The recipe iris-mlp from end to end, on a table of made-up flowers whose species can be told apart.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"

mkdir -p data/iris
awk 'BEGIN { for (i = 0; i < 150; i++) { k = int(i / 50)
             printf "%.1f,%.1f,%.1f,%.1f,%s\n", 5 + k + i % 7 / 10, 3 + i % 5 / 10, 1 + 2 * k + i % 3 / 10, 0.2 + k + i % 4 / 10,
                    k == 0 ? "Iris-setosa" : k == 1 ? "Iris-versicolor" : "Iris-virginica" } }' > data/iris/iris.data
expect 0 "$C" train iris-mlp --run run --epochs 20 --quiet
says out "test accuracy 100.00 %"
expect 0 "$C" eval iris-mlp --weights run/model.safetensors
says out "100.00 %"
printf '\223NUMPY\001\000v\000' > one.npy
printf "%-117s\n" "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }" >> one.npy
printf '\000\000\240\100\000\000\100\100\000\000\200\077\315\314\114\076' >> one.npy # 5, 3, 1, 0.2
expect 0 "$C" predict iris-mlp one.npy --weights run/model.safetensors
says out "setosa"
sed -i '3s/.*/5,3,1/' data/iris/iris.data
expect 1 "$C" train iris-mlp --run again --epochs 1
says err "line 3 has 3 cells, the first row 5"
finish
