#!/bin/sh
# Compiles core/ as freestanding C and links it into one relocatable object.
# usage: freestanding.sh OUTPUT SOURCE_ROOT FILE... -- COMPILER...
set -eu

output=$1
root=$2
shift 2
sources=
while [ "$1" != -- ]; do
	sources="$sources $1"
	shift
done
shift

headers=$("$@" -print-file-name=include)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

objects=
for source in $sources; do
	object=$work/$(basename "$source" .c).o
	"$@" -std=gnu17 -O2 -Wall -Wextra -Werror -Wno-unused-parameter -fno-pie -ffreestanding -nostdinc \
		-isystem "$headers" -I"$root" -I"$root/include" -c "$source" -o "$object"
	objects="$objects $object"
done
# shellcheck disable=SC2086 # one word each
"$@" -nostdlib -r -o "$output" $objects
