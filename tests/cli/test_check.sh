#!/bin/sh
# The report on a recipe: healthy, with a rate that is too high, as JSON, and what is refused.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"
digits data/mnist 40

expect 0 "$C" check mnist-mlp --threads 1
silent err
says out "guessing among 10 classes costs 2.303"
says out "of 6 parameters 0 differ from central differences"
says out "samples learned by heart"
says out "10 checks, 0 found something"
expect 1 "$C" check mnist-mlp --threads 1 --optimizer sgd --lr 1000
says out "it falls"
says out "HINT: "
expect 0 "$C" check mnist-mlp --threads 1 --json
says out '"check": "first loss"'
says out '"advice": null'

expect 1 "$C" check relu-tiling
says err "has a course of its own, not the usual training of one model on data"
expect 2 "$C" check mnist-mlp --optimizer lbfgs
expect 2 "$C" check
expect 1 "$C" check mnist-mlp --data nowhere
says err "the data set 'mnist' is not in"
finish
