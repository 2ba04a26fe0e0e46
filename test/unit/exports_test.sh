#!/bin/sh
# Goal of this test: libtcpcrypt, shared and static, has the functions of the public headers and
# no other names; and each header can be the first that a C or C++ program includes.
# usage: exports_test.sh SHARED STATIC HEADER_DIRECTORY
set -eu

declared=$(grep -hoE '\btcpcrypt_[a-z0-9_]+\(' "$3"/*.h | tr -d '(' | sort -u |
	grep -E '^tcpcrypt_(session|socket|eno|error|crypto)_')

same() {
	[ "$1" = "$declared" ] && return
	echo "$2:" "$1"
	echo "declared:" "$declared"
	exit 1
}

same "$(nm -D --defined-only "$1" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort)" shared
# A sanitizer adds names of its own.
same "$(nm -g --defined-only "$2" | awk 'NF == 3 { print $3 }' | grep -v '^_*asan' | sort)" static

for header in "$3"/*.h; do
	for language in 'c -std=c11' 'c++ -std=c++11'; do
		# shellcheck disable=SC2086 # a list of words
		echo "#include <tcpcrypt/${header##*/}>" |
			${CC:-cc} -x $language -pedantic -Wall -Wextra -Werror -I "$3/.." -fsyntax-only -
	done
done
