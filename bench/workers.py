#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a connection costs the daemon with one worker and with more, and whether they wait for
each other: CPU time, locks that were contended (in the kernel, too) and futex calls.

As root, in a built tree: bench/workers.py [ROUNDS [WORKERS...]]
"""
import pathlib
import re
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test/net"))
from harness import Net, wait_for  # noqa: E402
from load import Traffic  # noqa: E402

CONNECTIONS = 2000
AT_A_TIME = 200
COUNTED = {"contended": "lock:contention_begin", "futex": "syscalls:sys_enter_futex"}


def cpu_seconds(pid):
    """All threads', as the scheduler counts them."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def counting(pid):
    events = [arg for event in COUNTED.values() for arg in ("-e", event)]
    return subprocess.Popen(
        ["perf", "stat", "-x", ",", *events, "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )


def counted(perf):
    perf.send_signal(2)
    text = perf.communicate()[1]
    return {
        name: int(re.search(rf"^(\d+),[^\n]*{event}", text, re.MULTILINE)[1])
        for name, event in COUNTED.items()
    }


def measure(workers):
    """One round: what the client's daemon spent on a connection, on the average."""
    with Net() as net:
        a, b = net.pair()
        config = f"workers = {workers}\n"
        daemon = net.daemon(a, config)
        net.daemon(b, config)
        server = Traffic(net, b, "serve", 7000)
        b.wait_listening(7000)
        address = b.addresses[2]
        perf = counting(daemon.process.pid)
        before = cpu_seconds(daemon.process.pid)
        for _ in range(CONNECTIONS // AT_A_TIME):
            client = Traffic(net, a, "rounds", AT_A_TIME, 1, 1, address, 7000)
            client.tell()
            if client.summary()["complete"] != AT_A_TIME:
                raise RuntimeError("connections failed: " + client.faults())
        wait_for(lambda: daemon.status()["connections"] == 0, "all to end")
        spent = cpu_seconds(daemon.process.pid) - before
        each = {name: n / CONNECTIONS for name, n in counted(perf).items()}
        encrypted = daemon.status()["encrypted"]
        server.finish()
    if encrypted != CONNECTIONS:
        raise RuntimeError(f"only {encrypted} were encrypted")
    return {"cpu_us": spent / CONNECTIONS * 1e6, **each}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    workers = [int(n) for n in sys.argv[2:]] or [1, 2]
    found = {n: [] for n in workers}
    for _ in range(rounds):
        for n in workers:
            found[n].append(measure(n))
    print("workers  CPU us  contended  futex   a connection; medians")
    for n, results in found.items():
        median = {key: statistics.median(r[key] for r in results) for key in results[0]}
        print(f"{n:7}  {median['cpu_us']:6.0f}  {median['contended']:9.3f}  {median['futex']:5.3f}")


if __name__ == "__main__":
    main()
