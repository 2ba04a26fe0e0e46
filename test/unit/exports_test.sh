#!/bin/sh
# Goal of this test: libtcpcrypt.so exports the functions of the public headers and no other.
# usage: exports_test.sh LIBRARY HEADER_DIRECTORY
set -eu

exported=$(nm -D --defined-only "$1" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort)
declared=$(grep -hoE '\btcpcrypt_[a-z0-9_]+\(' "$2"/*.h | tr -d '(' | sort -u |
	grep -E '^tcpcrypt_(session|eno|error|crypto)_')
if [ "$exported" != "$declared" ]; then
	echo "exported:" "$exported"
	echo "declared:" "$declared"
	exit 1
fi
