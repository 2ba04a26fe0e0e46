# SPDX-License-Identifier: BSD-2-Clause
"""What is measured, and how a single measurement is made."""
import json
import os
import pathlib
import resource
import subprocess
import time

from subjects import ECHO, HTTP, HTTP_MEMORY

TICK = os.sysconf("SC_CLK_TCK")
HELD = 1000  # idle connections


class Metric:
    """A column: its key, what it says, its unit, and whether more is better."""

    def __init__(self, key, title, unit, more=True, scale=1.0, ratio=True):
        self.key = key
        self.title = title
        self.unit = unit
        self.more = more
        self.scale = scale
        self.ratio = ratio


class Workload:
    """A run of the load generator; metrics: result field -> Metric."""

    def __init__(self, name, args, port, **metrics):
        self.name = name
        self.args = args
        self.port = port
        self.metrics = metrics

    def measure(self, lab, subject, seconds):
        """One run; returns {metric key: value}."""
        pids = lab.client.pids() + lab.server.pids()
        busy = cpu_seconds(pids)
        result = json.loads(client(lab, subject, self.args, self.port, seconds).stdout)
        busy = cpu_seconds(pids) - busy
        if result.get("errors"):
            raise RuntimeError(f"{result['errors']} connections failed")
        if "bytes" in result:
            if not result["bytes"]:
                raise RuntimeError("nothing arrived")
            result["cpu"] = busy / result["bytes"] * 1e9
        else:
            result["cpu"] = busy / result["answers"]
        return {m.key: result[field] * m.scale for field, m in self.metrics.items()}


class Idle(Workload):
    """
    Memory for each of many connections that have spoken once: of the processes in between, at both
    ends; in-process, what the server takes more than it does for plain ones.
    """

    def measure(self, lab, subject, seconds):
        if subject.pids():
            return {"memory": self.growth(lab, subject, subject.pids(), seconds) / 2}
        # Plain TCP's own server says nothing of the others that use it, or one beside it.
        if subject.name != "plain" and subject.server() is lab.servers[0]:
            return {}
        server = self.growth(lab, subject, [subject.server().pid], seconds)
        if subject.name == "plain":
            lab.server_memory = server
            return {}
        return {"memory": server - lab.server_memory}

    def growth(self, lab, subject, pids, seconds):
        """KiB a connection."""
        before = memory(pids)
        process = start_client(lab, subject, self.args, self.port, seconds)
        try:
            if json.loads(process.stdout.readline())["errors"]:
                raise RuntimeError("connections failed")
            time.sleep(2)  # what is idle has given back what it can
            after = memory(pids)
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()
        return (after - before) / HELD / 1024


def command(lab, subject, args, port, seconds):
    address, port = subject.target(port)
    return [*lab.pinned(lab.client), *subject.wrapper, lab.load, *args, *subject.flags, "--seconds", str(seconds),
            address, str(port)]


def client(lab, subject, args, port, seconds):
    return lab.client.run(command(lab, subject, args, port, seconds), timeout=seconds + 20)


def start_client(lab, subject, args, port, seconds):
    return lab.client.start(command(lab, subject, args, port, seconds), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)


def cpu_seconds(pids):
    """What these processes have used since they began, and children that have ended."""
    total = 0.0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICK
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return total + ended.ru_utime + ended.ru_stime


def memory(pids):
    """Bytes in use by the processes, shared ones counted once."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


ALL = [
    # First: memory that other workloads have left behind would not be noticed.
    Idle("idle", ["hold", "--connections", str(HELD)], ECHO,
         memory=Metric("memory", "memory per idle connection and end", "KiB", more=False,
                       ratio=False)),
    Workload("bulk", ["bulk"], ECHO,
             rate=Metric("bulk", "bulk, 1 stream", "GB/s", scale=1e-9),
             cpu=Metric("cpu", "CPU, all processes", "s/GB", more=False, ratio=False)),
    Workload("bulk4", ["bulk", "--connections", "4"], ECHO,
             rate=Metric("bulk4", "bulk, 4 streams", "GB/s", scale=1e-9)),
    Workload("connect", ["connect", "--connections", "32"], ECHO,
             rate=Metric("connect", "connections", "/s"),
             cpu=Metric("connect_cpu", "CPU for a connection", "µs", more=False, scale=1e6)),
    Workload("first", ["connect"], ECHO,
             p50_us=Metric("first_p50", "first byte, p50", "µs", more=False),
             p99_us=Metric("first_p99", "first byte, p99", "µs", more=False)),
    Workload("http", ["http", "--connections", "32"], HTTP,
             rate=Metric("http", "HTTP, keep-alive", "/s"),
             cpu=Metric("http_cpu", "CPU for a request", "µs", more=False, scale=1e6)),
    Workload("http-once", ["http-once", "--connections", "32"], HTTP,
             rate=Metric("http_once", "HTTP, a connection each", "/s")),
    Workload("ping", ["ping"], ECHO,
             p50_us=Metric("ping", "64-byte ping-pong, p50", "µs", more=False),
             cpu=Metric("ping_cpu", "CPU for a ping-pong", "µs", more=False, scale=1e6)),
    Workload("many", ["ping", "--connections", "1000"], ECHO,
             rate=Metric("many", "1,000 active at once", "/s")),
]

# Only when named: an answer that costs the server next to nothing.
OTHERS = [
    Workload("http-memory", ["http", "--connections", "32"], HTTP_MEMORY,
             rate=Metric("http_memory", "HTTP, keep-alive, from memory", "/s")),
]
