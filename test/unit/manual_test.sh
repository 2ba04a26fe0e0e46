#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Goal of this test: each public function and error stands in a manual page of section 3, and groff
# has nothing to say against any page.
# usage: manual_test.sh MANUAL_DIRECTORY HEADER_DIRECTORY
set -eu

for name in $(grep -hoE '\btcpcrypt_[a-z0-9_]+\(' "$2"/*.h | tr -d '(' | sort -u |
	grep -E '^tcpcrypt_(session|socket|eno|error|crypto)_'); do
	if ! grep -qE "^\.F[no] $name\b" "$1"/*.3 || ! grep -qE "^\.Nm $name\b" "$1"/*.3; then
		echo "$name: in no synopsis, or no name"
		exit 1
	fi
done
for name in $(grep -ohE '\bTCPCRYPT_E_[A-Z_]+ =' "$2/error.h" | tr -d ' ='); do
	grep -q "$name" "$1/tcpcrypt.3" || { echo "$name: not explained" && exit 1; }
done
if ! command -v groff >/dev/null; then
	echo "skipped: no groff"
	exit 77
fi
for page in "$1"/*.[0-9]; do
	said=$(groff -mandoc -Tutf8 -ww -z "$page" 2>&1)
	[ -z "$said" ] || { echo "$page: $said" && exit 1; }
done
