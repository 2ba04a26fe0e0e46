#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Many connections: idle, all active, unread; and what they cost. Numbers are told, not judged."""
import math
import os
import resource
import socket
import subprocess
import time

from apps import Server, connect, echo, read_exactly
from harness import LONG, TCPCRYPT, Net, check, check_equal, main, wait_for
from load import Traffic, check_traffic, cpu_ticks, is_sanitized, rss_kb, serve

TOTAL = 10000
TOTAL_SANITIZED = 1000
PORT = 7001
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

# A flow that waits for a reader holds one buffer a direction (daemon/buffer.h), and itself.
UNREAD_MAX_KB = 2 * 129 + 16


def tell(text):
    print(f"     {text}", flush=True)


class Pair:
    """A client's host and a server's, and connections between them."""

    def __init__(self, net, connections):
        self.connections = connections
        hosts = net.pair()
        self.daemons = [net.daemon(host) for host in hosts]
        self.pids = [d.pid() for d in self.daemons]
        self.rss = [rss_kb(pid) for pid in self.pids]
        self.server = serve(net, hosts[1], PORT)
        self.address = hosts[1].addresses[socket.AF_INET]
        self.host = hosts[0]
        self.net = net

    def open(self):
        self.client = Traffic(
            self.net, self.host, "rounds", self.connections, 100, 1000, self.address, PORT
        )

    def round(self):
        self.client.tell()

    def encrypted(self):
        return [len(d.list(recent=False, state="encrypted")) for d in self.daemons]

    def tell_memory(self, when):
        each = [(rss_kb(p) - r) * 1024 // self.connections for p, r in zip(self.pids, self.rss)]
        tell(f"memory of the two daemons {when}: {each} bytes a connection")

    def wait_end(self):
        for daemon in self.daemons:
            wait_for(lambda: not daemon.list(recent=False), "all connections to end")


def make_pairs(net, total):
    """As many pairs of hosts as the limit on descriptors makes necessary: two a connection."""
    room = (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000) // 2
    count = math.ceil(total / room)
    return [Pair(net, total // count) for _ in range(count)]


def wait_rounds(pairs, what, total):
    """All connections of all pairs have done a round."""
    seconds = max(p.client.object(300)["seconds"] for p in pairs)
    check(True, f"{what}: a checked round of all {total}")
    tell(f"in {seconds:.2f} s, {total / seconds:.0f} a second")


def idle_ticks(pids):
    """Clock ticks of CPU time that the daemons take while their connections say nothing.

    Waits until each has had ten ticks of its own timer, one a second.
    """
    before, end = [cpu_ticks(p) for p in pids], time.monotonic() + 10
    wait_for(lambda: time.monotonic() > end, "ten seconds to pass")
    return [cpu_ticks(p) - b for p, b in zip(pids, before)]


def list_under_load(pair):
    """While `tcpcrypt list` runs, bytes keep moving: the longest that a program waited."""
    with Server(pair.daemons[1].host, echo) as server:
        with connect(pair.host, pair.address, server.port) as sock:
            began, listed, longest = time.monotonic(), None, 0
            args = [TCPCRYPT, "--run-dir", pair.daemons[0].run_dir, "list", "--json"]
            listing = pair.host.start(args, stdout=subprocess.DEVNULL)
            while listed is None:
                asked = time.monotonic()
                sock.sendall(b"x" * 100)
                read_exactly(sock, 100)
                longest = max(longest, time.monotonic() - asked)
                if listing.poll() is not None:
                    listed = time.monotonic() - began
    check_equal(listing.returncode, 0, "`tcpcrypt list` of them all, while bytes move")
    tell(f"`tcpcrypt list` took {listed * 1e3:.0f} ms; a program waited {longest * 1e3:.1f} ms at most")


def ten_thousand():
    with Net() as net:
        probe = net.daemon(net.host())
        total = TOTAL_SANITIZED if is_sanitized(probe.pid()) and not LONG else TOTAL
        probe.stop()
        pairs = make_pairs(net, total)
        tell(f"{total} connections between {2 * len(pairs)} hosts")
        for pair in pairs:
            pair.open()
        wait_rounds(pairs, "opened", total)
        for pair in pairs:
            check_equal(pair.encrypted(), [pair.connections] * 2, "all are encrypted, at both ends")
            pair.tell_memory("when idle")
        pids = [pid for pair in pairs for pid in pair.pids]
        ticks = idle_ticks(pids)
        tell(f"CPU while idle: {[t / 10 / TICKS_A_SECOND * 100 for t in ticks]} %")
        check(all(t < TICKS_A_SECOND for t in ticks), "idle connections cost next to nothing", ticks)
        list_under_load(pairs[0])
        for _ in range(3):
            for pair in pairs:
                pair.round()
            wait_rounds(pairs, "all active", total)
        for pair in pairs:
            pair.tell_memory("after that")
        done = check_traffic([p.client for p in pairs], "each got its bytes, and its end")
        check_equal(done["complete"], total, "as many as began")
        check_traffic([p.server for p in pairs], "so did the servers")
        for pair in pairs:
            pair.wait_end()


def slow_readers():
    count = 100
    with Net() as net:
        pair = Pair(net, count)
        client = Traffic(net, pair.host, "stall", count, pair.address, PORT)
        client.object()
        seen = {"moved": None, "since": 0}

        def stuck():
            """As far as it gets: for two seconds nothing has moved."""
            moved = [c["bytes_in"] for c in pair.daemons[0].list(recent=False)]
            if moved != seen["moved"]:
                seen.update(moved=moved, since=time.monotonic())
            return all(moved) and time.monotonic() - seen["since"] > 2

        wait_for(stuck, "the buffers to fill", 60)
        for name, pid, before in zip(("reader's", "writer's"), pair.pids, pair.rss):
            each = (rss_kb(pid) - before) / count
            tell(f"the {name} daemon: {each:.0f} kB a connection that is not read")
            if not is_sanitized(pid):
                check(each < UNREAD_MAX_KB, f"the {name} daemon's memory is bounded", f"{each} kB")
        client.tell()
        client.finish()
        done = check_traffic([client], "then each reads all of it")
        check_equal(done["complete"], count, "as many as began")
        check_traffic([pair.server], "so did the server")


if __name__ == "__main__":
    main(
        "ten thousand connections, idle and active, and readers that do not read",
        ten_thousand,
        slow_readers,
    )
