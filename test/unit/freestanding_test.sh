#!/bin/sh
# Goal of this test: core/ as freestanding C needs nothing but what every compiler may call.
# usage: freestanding_test.sh OBJECT
set -eu

extra=$(nm -u "$1" | awk '{ print $2 }' | grep -vxE 'memcpy|memmove|memset|memcmp' || true)
if [ -n "$extra" ]; then
	echo "core/ needs more than a freestanding compiler gives:" "$extra"
	exit 1
fi
if nm "$1" | grep -E ' [bBdDC] '; then
	echo "core/ has writable global data"
	exit 1
fi
nm "$1" | grep -q ' T tcpcrypt_session_receive$'
