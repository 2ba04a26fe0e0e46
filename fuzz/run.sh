#!/bin/sh
# Runs a libFuzzer target over its seeds for a bounded number of runs; what it finds new goes to
# a directory that is thrown away, an input that fails stays in the current one.
# usage: run.sh TARGET RUNS SEEDS
set -eu

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" -runs="$2" -seed=1 -timeout=20 "$scratch" "$3"
