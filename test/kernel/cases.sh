#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs on the emulated machine: of the network tests those cases that together go through every BPF
# program. Everything takes many times as long there.
cd "$(dirname "$0")/../net" || exit 1
export TCT_PATIENCE=200
failed=0

run() {
	python3 "$@" || failed=1
}

run test_life.py programs_are_easy
run test_resume.py second
run test_sockopt.py raw
run test_mandatory.py oddly_packed
run test_policy.py both_ends_require
run test_inproc_resume.py stirred
run test_inproc_guard.py past_the_library
exit $failed
