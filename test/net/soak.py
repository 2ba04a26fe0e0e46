#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Mixed traffic over a bad link, every byte of it checked: `make soak`, and shortly in `make check`.

SOAK_MINUTES is how long (default 2). TCPCRYPTD_LEFT is the left host's daemon, if it shall be
another build than the right one's: a sanitized one finds leaks in its own way, at its end.
"""
import os
import socket
import time

from apps import Server, bound_time, connect, echo, read_exactly
from harness import TCPCRYPTD, Net, check, check_equal, main, wait_for
from load import (
    BadWire,
    Traffic,
    bpf_objects,
    check_traffic,
    descriptors,
    is_sanitized,
    map_entries,
    rss_kb,
    serve,
    wait_bpf_gone,
)
from wire import wired_hosts

MINUTES = float(os.environ.get("SOAK_MINUTES", 2))
SEED = int(os.environ.get("SOAK_SEED", 8548))
LEFT = os.environ.get("TCPCRYPTD_LEFT", TCPCRYPTD)

PORTS = (7001, 7003)
PLAIN_PORT = {"left": 7004, "right": 7002}  # without ENO at the server's end
CONNECTIONS = 8  # at a time, in each direction and family

PHASES = (
    ("nothing", {}),
    ("5 % loss", {"loss": 5}),
    ("reordering", {"reorder": 10}),
    ("duplication", {"duplicate": 5}),
    ("corruption", {"corrupt": 3}),
    ("100 ms with jitter", {"delay": 100, "jitter": 30}),
    ("all at once", {"loss": 2, "reorder": 3, "duplicate": 2, "corrupt": 1, "delay": 50}),
    ("a link that is down", None),
)
DOWN_SECONDS = 20
WARM_SECONDS = MINUTES * 60 / 8
PHASE_SECONDS = min(60, MINUTES * 60 / 12)
CUT_SECONDS = 45
DRAIN_SECONDS = 300  # a bound for the connections that are under way at the end

# What the mixture cuts off itself; anything else that fails is wrong.
HARMLESS = {"reset", "local-reset"}

# How much the use of the heap differs from one idle moment to another.
SLACK_KB = 4096


class Side:
    """A host with its daemon, its server, and what the daemon held when it was warm."""

    def __init__(self, net, name, host, program):
        self.name = name
        self.host = host
        config = f"ports-left-alone = {PLAIN_PORT[name]}\n"
        config += "remember-plain-seconds = 0\nrekey-seconds = 20\n"
        self.daemon = net.daemon(host, config, program=program)
        self.pid = self.daemon.pid()
        self.objects = bpf_objects(self.pid)
        self.server = serve(net, host, *PORTS, PLAIN_PORT[name])

    def wait_idle(self):
        wait_for(lambda: not self.daemon.list(recent=False), "all connections to end", 60)

    def remember(self):
        self.rss = rss_kb(self.pid)
        self.descriptors = descriptors(self.pid)

    def check_leaks(self):
        rss, where = rss_kb(self.pid), f"in the {self.name} host"
        print(f"     memory {where}: {self.rss} kB when warm, {rss} kB at the end", flush=True)
        if not is_sanitized(self.pid):
            check(rss <= self.rss + SLACK_KB, f"no memory is lost {where}", f"{self.rss}, {rss}")
        check_equal(descriptors(self.pid), self.descriptors, f"nor descriptors {where}")
        check(self.objects == bpf_objects(self.pid), f"nor BPF objects {where}")
        check_equal(map_entries(self.pid, "sessions"), 0, f"nor published sessions {where}")

    def check_status(self):
        status = self.daemon.status()
        plain, failed = sum(status["plain"].values()), set(status["failed"])
        print(f"     {self.name}: {status['encrypted']} encrypted, plain {status['plain']}, "
              f"failed {status['failed']}", flush=True)
        check(status["encrypted"] > plain, f"most were encrypted ({self.name})", f"{status}")
        check(failed <= HARMLESS, f"only what was cut off failed ({self.name})", f"{status}")


def start_mix(net, sides, seconds, seed):
    """Clients in both directions and families, each a process."""
    clients = []
    for here, there in (sides, reversed(sides)):
        for family in (socket.AF_INET, socket.AF_INET6):
            seed += 1
            address = there.host.addresses[family]
            ports = (*PORTS, PLAIN_PORT[there.name])
            args = ("mix", CONNECTIONS, f"{seconds:.0f}", seed, address, *ports)
            clients.append(Traffic(net, here.host, *args))
    return clients


def phase(wire, name, faults, end):
    """Leaves the wire as it is when the time is over."""
    print(f"     {time.strftime('%H:%M:%S')} {name}", flush=True)
    if faults is None:
        wire.down()
        seconds = DOWN_SECONDS
    else:
        wire.set(**faults)
        seconds = PHASE_SECONDS
    time.sleep(max(0, min(seconds, end - time.monotonic())))


def run_mix(net, sides, wire, phases, seconds, seed):
    """Traffic for some seconds while the phases go round; returns its sums."""
    clients = start_mix(net, sides, seconds, seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, faults in phases:
            phase(wire, name, faults, end)
    wire.set()
    for client in clients:
        client.process.wait(DRAIN_SECONDS)
    return check_traffic(clients, "every connection got its bytes, in order, and its end")


def soak():
    with Net() as net:
        left, right, middle, interfaces = wired_hosts(net)
        wire = BadWire(net, middle, interfaces, SEED)
        sides = (Side(net, "left", left, LEFT), Side(net, "right", right, TCPCRYPTD))
        warm = run_mix(net, sides, wire, PHASES[6:7], WARM_SECONDS, SEED)
        for side in sides:
            side.wait_idle()
            side.remember()
        total = run_mix(net, sides, wire, PHASES, MINUTES * 60 - WARM_SECONDS, SEED + 100)
        for side in sides:
            side.wait_idle()
            side.check_status()
            side.check_leaks()
        served = check_traffic([s.server for s in sides], "so did every server")
        for key in ("complete", "aborted"):
            check_equal(served[key], warm[key] + total[key], f"both ends agree: {key}")
        check_equal(served["opened"], warm["opened"] + total["opened"], "no connection was lost")
        print(f"     clients: {total}\n     wire: {wire.counters()}", flush=True)
        objects = [o for side in sides for o in side.objects]
        for side in sides:
            check_equal(side.daemon.stop(), "", f"the daemon ends well ({side.name})")
        wait_bpf_gone(objects)
        check(True, f"the kernel has freed all {len(objects)} BPF objects")


def patient_echo(conn, peer):
    return echo(bound_time(conn, 3 * CUT_SECONDS), peer)


def cut_in_the_key_exchange():
    """TCP would bring the Init messages across; so must the daemons' patience last."""
    with Net() as net:
        left, right, middle, interfaces = wired_hosts(net)
        wire = BadWire(net, middle, interfaces, SEED)
        wire.set(delay=300)
        daemons = [net.daemon(left), net.daemon(right)]
        address = right.addresses[socket.AF_INET]
        with Server(right, patient_echo) as server, connect(left, address, server.port) as sock:
            wire.down()
            time.sleep(CUT_SECONDS)
            wire.set()
            sock.sendall(b"at last")
            check_equal(read_exactly(sock, 7), b"at last", f"a cut of {CUT_SECONDS} s is survived")
            states = [d.wait_list(port=server.port)[-1]["state"] for d in daemons]
            check_equal(states, ["encrypted"] * 2, "and the connection is encrypted")


if __name__ == "__main__":
    main(
        "mixed traffic over a bad link: nothing lost, nothing reordered, nothing leaked",
        *([cut_in_the_key_exchange] if MINUTES >= 10 else []),
        soak,
    )
