#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The daemon's own life: starting, refusing to start, reloading, draining, hanging."""
import contextlib
import os
import pathlib
import re
import signal
import socket

from apps import Server, connect, echo, exchange, family_name, read_exactly
from harness import TCPCRYPTD, Net, check, check_equal, main, wait_for
from load import of_each_descriptor

MESSAGE = b"As long as it lasts. " * 50
ADDRESSES, STARTS = 2000, 4
VERIFIER_LIMIT = 1_000_000  # instructions that it looks at, of one program


def refused_start(host, args, **options):
    return host.run([TCPCRYPTD, *args], check=False, **options)


def does_not_start():
    with Net() as net:
        a, _ = net.pair()
        daemon = net.daemon(a)
        other = refused_start(a, ["--run-dir", net.directory() / "run"])
        check_equal(other.returncode, 1, "a second daemon in a namespace does not start")
        check("another tcpcryptd" in other.stderr, "and says why", other.stderr)
        check_equal(daemon.status()["state"], "intercepting", "the first one does not mind")
        daemon.stop()
        where = net.directory() / "missing" / "run"
        unwritable = refused_start(a, ["--run-dir", where])
        check_equal(unwritable.returncode, 1, "no start without a place for the run directory")
        check(str(where) in unwritable.stderr, "and says why", unwritable.stderr)
        bad = net.directory() / "bad.conf"
        bad.write_text("# first line\nteps = rot13\n")
        for args in (["--config", bad], ["--config", bad, "--check-config"]):
            done = refused_start(a, args)
            check_equal(done.returncode, 1, f"no start with a bad configuration: {args[2:]}")
            check(f"{bad}:2: teps" in done.stderr, "and says which line", done.stderr)
        good = refused_start(a, ["--check-config"])
        check_equal(good.returncode, 0, "--check-config without a file")
        usage = refused_start(a, ["--no-such-option"])
        check_equal(usage.returncode, 2, "wrong usage")
        nobody = a.run(["setpriv", "--reuid=65534", "--clear-groups", TCPCRYPTD], check=False)
        check_equal(nobody.returncode, 1, "no start without root")
        check("root" in nobody.stderr, "and says why", nobody.stderr)


def addresses_come_and_go():
    """It starts, and goes on, while what it asks the kernel for is changing."""
    with Net() as net:
        a, _ = net.pair()
        where = a.interfaces[0]
        lines = [f"addr add 10.99.{n // 250}.{n % 250 + 1}/32 dev {where}\n" for n in range(ADDRESSES)]
        a.run(["ip", "-batch", "-"], input="".join(lines))
        change = f"ip addr add 10.98.0.1/32 dev {where}; ip addr del 10.98.0.1/32 dev {where}"
        a.start(["sh", "-c", f"while :; do {change}; done"])
        for _ in range(STARTS):
            daemon = net.daemon(a)
            check(where in daemon.status()["engine"]["interfaces"], "it serves")
            check_equal(daemon.stop(), "", "and ends well")
            check("interfaces" not in daemon.log(), "with no more to say of that", daemon.log())


def keeps_secrets_to_itself():
    # 8548-3.3-4, 8548-3.5-19: nothing of it is written to a core file.
    with Net() as net:
        a, _ = net.pair()
        daemon = net.daemon(a)
        limits = pathlib.Path(f"/proc/{daemon.process.pid}/limits").read_text()
        (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        check_equal(core.split()[4:6], ["0", "0"], "no core dumps")


def reloads():
    with Net() as net:
        a, b = net.pair()
        da, db = net.daemon(a, "drain-seconds = 1\n"), net.daemon(b)
        with Server(b, echo) as server, Server(b, echo) as other:
            address = b.addresses[socket.AF_INET]
            with connect(a, address, server.port) as live:
                live.sendall(MESSAGE)
                read_exactly(live, len(MESSAGE))
                path = da.dir / "tcpcryptd.conf"
                path.write_text(f"teps = p521\nports-left-alone = {other.port}\n")
                da.process.send_signal(signal.SIGHUP)
                wait_for(lambda: "reloaded" in da.log(), "the daemon to reload")
                exchange(a, other, address, MESSAGE)
                check_equal(da.list(port=other.port), [], "reloaded: a port left alone")
                # The other end does not offer P-521.
                exchange(a, server, address, MESSAGE)
                plain = da.wait_list(2, port=server.port)
                check("no-eno" in {c["reason"] for c in plain}, "reloaded: TEPs", f"{plain}")
                path.write_text("teps = x25519\nnonsense\n")
                da.process.send_signal(signal.SIGHUP)
                wait_for(lambda: f"{path}:2: " in da.log(), "the error to be named")
                da.tool("flush")
                exchange(a, other, address, MESSAGE)
                check_equal(da.list(port=other.port), [], "an error in it changes nothing")
                live.sendall(MESSAGE)
                check_equal(read_exactly(live, len(MESSAGE)), MESSAGE, "a live one goes on")
            (ended,) = [c for c in da.wait_list(2, port=server.port, state="closed")
                        if c["encrypted"]]
            check_equal(ended["reason"], None, "to its orderly end")
        check_equal(db.stop(), "", "the other end never noticed")


def drains():
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, "drain-seconds = 60\n")
        net.daemon(b)
        with Server(b, echo) as server:
            address = b.addresses[socket.AF_INET]
            with connect(a, address, server.port) as live:
                live.sendall(MESSAGE)
                read_exactly(live, len(MESSAGE))
                daemon.process.terminate()
                wait_for(lambda: daemon.status()["state"] == "stopping", "draining to begin")
                exchange(a, server, address, MESSAGE)
                check_equal(len(daemon.list(port=server.port)), 1, "new ones are left alone")
                live.sendall(MESSAGE)
                check_equal(read_exactly(live, len(MESSAGE)), MESSAGE, "the old one goes on")
            wait_for(lambda: daemon.process.poll() is not None, "the daemon to end with it")
            check_equal(daemon.process.returncode, 0, "and the daemon ends with it")
            daemon.stopped = True


def hangs():
    """A daemon that is stopped must not take new connections along."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        with Server(b, echo) as server:
            address = b.addresses[socket.AF_INET]
            exchange(a, server, address, MESSAGE)
            daemon.tool("flush")
            os.kill(daemon.process.pid, signal.SIGSTOP)
            try:
                # Those that were turned to it before the programs noticed wait for it.
                wait_for(lambda: is_native(a, address, server), "new connections to go by themselves")
                check(True, "with the daemon hanging, new connections go by themselves")
            finally:
                os.kill(daemon.process.pid, signal.SIGCONT)
            wait_for(lambda: daemon.status()["state"] == "intercepting", "the daemon to go on")
            daemon.tool("flush")
            before = len(daemon.list(port=server.port))
            wait_for(lambda: exchange(a, server, address, MESSAGE)
                     and len(daemon.list(port=server.port)) > before, "it to take new ones again")
            check(True, "and when it goes on, it takes new ones again")


def out_of_ports():
    """IPv6 servers are reached from one address: when its ports are used up, clients reach the
    server without the daemon."""
    family = socket.AF_INET6
    with Net() as net:
        a, b = net.pair()
        da, db = net.daemon(a), net.daemon(b)
        with Server(b, echo, family) as server:
            address, port = b.addresses[family], server.port
            b.sysctl("ipv4/ip_local_port_range", "40000 40003")
            socks, lost = [], 0
            for _ in range(12):
                try:
                    socks.append(connect(a, address, port, family))
                    socks[-1].sendall(MESSAGE)
                    got = read_exactly(socks[-1], len(MESSAGE))
                    check_equal(got, MESSAGE, "one more connection")
                except OSError:
                    lost += 1
                da.tool("flush")
            check_equal(lost, 1, "the one that was on its way when there were no more is lost")
            live = db.list(port=port, recent=False, encrypted=True)
            check(0 < len(live) <= 4, "as many are encrypted as there are ports", len(live))
            check("no local port is left" in db.log(), "and it is said")
            for sock in socks:
                sock.close()
            b.sysctl("ipv4/ip_local_port_range", "40000 60000")
            wait_for(lambda: exchange(a, server, address, MESSAGE, family) == MESSAGE
                     and not da.tool("flush").returncode
                     and len(db.list(port=port, encrypted=True)) > len(live), "ports again")
            check(True, "and encrypted again when there are some")


def without_loopback():
    """Where programs cannot reach the daemon, at either end, connections go without it."""
    families = (socket.AF_INET, socket.AF_INET6)
    with Net() as net:
        a, b = net.pair()
        da, db = net.daemon(a), net.daemon(b)
        with Server(b, echo, socket.AF_INET6, dual=True) as server:
            def encrypted(family):
                da.tool("flush")
                before = [len(d.list(port=server.port, encrypted=True)) for d in (da, db)]
                got = exchange(a, server, b.addresses[family], MESSAGE, family)
                check_equal(got, MESSAGE, f"{family_name(family)}: a connection works")
                after = [len(d.list(port=server.port, encrypted=True)) for d in (da, db)]
                return after == [n + 1 for n in before]

            for host in (a, b):
                for text, off, on, natives in (
                    ("lo is down", ("link", "set", "lo", "down"), ("link", "set", "lo", "up"),
                     families),
                    ("lo without ::1", ("-6", "addr", "del", "::1/128", "dev", "lo"),
                     ("-6", "addr", "add", "::1/128", "dev", "lo"), families[1:]),
                ):
                    host.ip(*off)
                    for family in families:
                        # Netlink tells the daemon in its own time; until then connect() may fail.
                        if family in natives:
                            wait_for(lambda: is_native(a, b.addresses[family], server, family)
                                     and not encrypted(family), "connections to go by themselves")
                        else:
                            check(encrypted(family), f"{text}: {family_name(family)} is encrypted")
                    check(True, f"{text} at the {'client' if host is a else 'server'}: plain")
                    host.ip(*on)
                    for family in families:
                        wait_for(lambda: is_native(a, b.addresses[family], server, family)
                                 and encrypted(family), "encryption to come back")
                    check(True, "and encrypted again")


def is_native(host, address, server, family=socket.AF_INET):
    """Does a connection work at once?"""
    with contextlib.closing(host.socket(family)) as sock:
        sock.settimeout(0.2)
        with contextlib.suppress(OSError):
            sock.connect((address, server.port))
            sock.sendall(b"hello")
            return read_exactly(sock, 5) == b"hello"
    return False


def programs_are_easy():
    """Other kernels' verifiers follow more branches than this one's; and each start waits for it."""
    with Net() as net:
        pid = net.daemon(net.host()).pid()
        found = []
        for text in of_each_descriptor(pid, "fdinfo", pathlib.Path.read_text):
            found += re.findall(r"^verified_insns:\s(\d+)$", text, re.MULTILINE)
        check(len(found) > 10, "the daemon has its BPF programs", f"{len(found)}")
        most = max(map(int, found))
        check(most < VERIFIER_LIMIT / 5, "the verifier is far from its limit", f"{most}")


if __name__ == "__main__":
    main(
        "the daemon starts, reloads, drains and hangs without harm",
        does_not_start,
        addresses_come_and_go,
        keeps_secrets_to_itself,
        reloads,
        drains,
        hangs,
        out_of_ports,
        without_loopback,
        programs_are_easy,
    )
