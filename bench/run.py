#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`make bench`: plain TCP, tcpcrypt and its alternatives, in one interleaved run.

Environment: ROUNDS, SECONDS (a measurement's length), SUBJECTS and WORKLOADS (names, separated
by commas), BEFORE (another tcpcryptd, as subject "before"). See README.md beside this file.
"""
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test/net"))

import harness
import report
import subjects
import workloads

RESULTS = HERE / "results"


def chosen(variable, everything, default):
    """Those that the environment variable names, in its order."""
    names = [name for name in os.environ.get(variable, "").replace(",", " ").split()]
    known = {one.name: one for one in everything}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"{variable}: {', '.join(unknown)}? There are: {', '.join(known)}")
    return [known[name] for name in names] or default


def measure_subject(lab, kind, loads, seconds, values):
    subject = kind(lab)
    try:
        subject.start()
        for load in loads:
            try:
                result = load.measure(lab, subject, seconds)
            except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
                print(f"\n{subject.name}, {load.name}: {error}", file=sys.stderr)
                result = {}
            for key, value in result.items():
                values.setdefault(key, {}).setdefault(subject.name, []).append(value)
            print(".", end="", flush=True)
    except TimeoutError as error:
        lab.fail(f"{subject.name}: {error}")
    finally:
        subject.stop()


def run_rounds(lab, kinds, loads, rounds, seconds):
    """{metric: {subject: [a value for each round]}}"""
    values = {}
    for i in range(rounds):
        print(f"round {i + 1} of {rounds} ", end="", flush=True)
        # Each round begins with another subject: no one always comes after the same.
        for kind in kinds[i % len(kinds):] + kinds[:i % len(kinds)]:
            measure_subject(lab, kind, loads, seconds, values)
        print()
    return values


def main():
    kinds = chosen("SUBJECTS", subjects.ALL + subjects.OTHERS, subjects.ALL)
    loads = chosen("WORKLOADS", workloads.ALL + workloads.OTHERS, workloads.ALL)
    rounds = int(os.environ.get("ROUNDS") or 5)
    seconds = float(os.environ.get("SECONDS") or 1.2)
    load = os.path.abspath(os.environ["LOAD"])
    harness.die_tidily()
    started = time.monotonic()
    with harness.Net() as net:
        values = run_rounds(subjects.Lab(net, load), kinds, loads, rounds, seconds)
    metrics = [m for one in loads for m in one.metrics.values()]
    result = report.Result(kinds, metrics, values, rounds, seconds, time.monotonic() - started)
    print(result.table())
    RESULTS.mkdir(exist_ok=True)
    result.save(RESULTS)


if __name__ == "__main__":
    main()
