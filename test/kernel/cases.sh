#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs on the emulated machine, where everything takes many times as long: some cases of the network
# tests. All BPF programs are loaded; ENO is negotiated, and sessions are resumed, by daemons and in-process;
# plain text is kept from leaving.
cd "$(dirname "$0")/../net" || exit 1
export TCT_PATIENCE=200
failed=0

run() {
	python3 "$@" || failed=1
}

run test_life.py programs_are_easy
run test_resume.py second
run test_inproc_resume.py stirred
run test_inproc_guard.py past_the_library
run test_inproc_engine.py restarted
exit $failed
