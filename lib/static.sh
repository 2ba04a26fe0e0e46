#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# usage: static.sh OUTPUT DIRECTORY MAP ARCHIVE... -- COMPILER...
# Puts all of the archives into one object, of which only the map's names are seen from outside.
set -eu

output=$1 directory=$2 map=$3
shift 3
archives=
while [ "$1" != -- ]; do
	archives="$archives $1"
	shift
done
shift

mkdir -p "$directory"
sed -n 's/^[[:space:]]*\(tcpcrypt_[a-z0-9_]*\);$/\1/p' "$map" >"$directory/names"
# shellcheck disable=SC2086 # a list of files
"$@" -r -nostdlib -o "$directory/tcpcrypt.o" -Wl,--whole-archive $archives -Wl,--no-whole-archive
# The compiler's own, which may be for another architecture.
"$("$@" -print-prog-name=objcopy)" --keep-global-symbols="$directory/names" "$directory/tcpcrypt.o"
rm -f "$output"
ar rcs "$output" "$directory/tcpcrypt.o"
