#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fuzzes every target for a while over its seeds and over what it found in earlier runs, which
# stays in BUILD/fuzz-corpus/<target>. An input that fails stays in the current directory.
# usage: long.sh BUILD SECONDS [TARGET...]
set -eu

build=$1
seconds=$2
shift 2
here=$(dirname "$0")
[ $# -gt 0 ] || set -- $(ls "$here/corpus")

for target; do
	echo "$target, $seconds s"
	mkdir -p "$build/fuzz-corpus/$target"
	"$build/fuzz/${target}_fuzz" -max_total_time="$seconds" -timeout=20 -verbosity=0 \
		-print_final_stats=1 -artifact_prefix="fuzz-$target-" \
		"$build/fuzz-corpus/$target" "$here/corpus/$target"
done
