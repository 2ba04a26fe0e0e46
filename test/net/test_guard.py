#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What requires encryption stays closed whatever becomes of the daemon, until told otherwise."""
import contextlib
import errno
import json
import select
import socket
import subprocess

from apps import Server, echo, errno_of, exchange
from harness import (
    TCPCRYPT,
    TCPCRYPTD,
    Net,
    check,
    check_equal,
    command,
    main,
    sockets_of,
    wait_for,
)
from load import stopped
from packets import Capture
from test_policy import (
    MESSAGE,
    REFUSED,
    check_closed,
    check_refused,
    check_said,
    connect_error,
)
from wire import wired_pair

FAMILIES = (socket.AF_INET, socket.AF_INET6)


def guard(net, host, text, wrapper=()):
    """Runs tcpcryptd --guard with a configuration."""
    path = net.directory() / "tcpcryptd.conf"
    path.write_text(text)
    return host.run([*wrapper, TCPCRYPTD, "--guard", "--config", path])


def cleanup(host, *args, **options):
    return host.run([TCPCRYPT, "cleanup", "--run-dir", "/nonexistent", *args], **options)


def check_both_ways(a, b, out, into, wire, text):
    """From a, out is refused; to a, into is; with and without ENO, in both families."""
    for family in FAMILIES:
        error = connect_error(a, b.addresses[family], out.port, family)
        check_refused(a, error, wire, out.port, f"{text}: outgoing")
        error = connect_error(b, a.addresses[family], into.port, family)
        check_refused(a, error, wire, into.port, f"{text}: incoming")


def rules(out, into):
    return f"rule = require out port {out.port}\nrule = require in port {into.port}\n"


@contextlib.contextmanager
def served(net):
    """Two hosts with a server each, for connections from and to a, and one more at b."""
    a, b = net.pair()
    six = socket.AF_INET6
    with Server(b, echo, six, dual=True) as out, Server(a, echo, six, dual=True) as into:
        with Server(b, echo) as other:
            yield a, b, out, into, other


def killed():
    with Net() as net, served(net) as (a, b, out, into, other):
        wire = net.use(Capture(a, a.interfaces[0]))
        daemon = net.daemon(a, rules(out, into))
        net.daemon(b)
        address = b.addresses[socket.AF_INET]
        check_equal(exchange(a, out, address, MESSAGE), MESSAGE, "outgoing, encrypted")
        check_equal(exchange(b, into, a.addresses[socket.AF_INET], MESSAGE), MESSAGE, "incoming")
        check(not wire.contains(MESSAGE[:50]), "encrypted both")
        daemon.kill()
        error = connect_error(a, address, out.port)
        check_equal(error, REFUSED, "kill -9: refused at once")
        fresh = net.use(Capture(a, a.interfaces[0]))
        check_both_ways(a, b, out, into, fresh, "kill -9")
        check_equal(exchange(a, other, address, MESSAGE), MESSAGE, "what is not required is plain")
        again = net.daemon(a, rules(out, into))
        wait_for(lambda: "was not running" in again.log(), "it to tell what was refused")
        check(True, "the next daemon tells what was refused")
        wait_for(lambda: again.status()["failed"]["policy"] >= 4, "all to be counted")
        check_equal(exchange(a, out, address, MESSAGE), MESSAGE, "and serves again")


def not_started_yet():
    with Net() as net, served(net) as (a, b, out, into, other):
        wire = net.use(Capture(a, a.interfaces[0]))
        net.daemon(b)
        guard(net, a, rules(out, into))
        check_both_ways(a, b, out, into, wire, "--guard")
        local = connect_error(a, "127.0.0.1", into.port)
        check_equal(local, 0, "on the host itself nothing is required")
        check_equal(connect_error(a, a.addresses[socket.AF_INET], into.port), 0, "nor by address")
        daemon = net.daemon(a, rules(out, into))
        refused = a.run([TCPCRYPTD, "--guard"], check=False)
        check_equal(refused.returncode, 1, "--guard is refused while a daemon runs")
        for family in FAMILIES:
            got = exchange(a, out, b.addresses[family], MESSAGE, family)
            check_equal(got, MESSAGE, "a daemon takes over")
        check(not wire.contains(MESSAGE[:50]), "and encrypts")
        check_equal(daemon.stop(), "", "SIGTERM")
        check("still requires encryption" in daemon.log(), "says what it leaves")
        check_both_ways(a, b, out, into, net.use(Capture(a, a.interfaces[0])), "after SIGTERM")
        guard(net, a, "rule = off out\n")
        check(not a.guard().exists(), "--guard without such rules takes it away")
        check_equal(connect_error(a, b.addresses[socket.AF_INET], out.port), 0, "and it is open")


def hangs():
    with Net() as net, served(net) as (a, b, out, into, _):
        daemon = net.daemon(a, rules(out, into))
        net.daemon(b)
        address = b.addresses[socket.AF_INET]
        wire = net.use(Capture(a, a.interfaces[0]))
        with stopped(daemon):
            # One that was turned to it before the programs noticed waits for it.
            wait_for(lambda: refused_quickly(a, address, out.port), "connections to be refused")
            check_closed(a, wire, out.port, "a daemon that hangs")
            error = connect_error(b, a.addresses[socket.AF_INET], into.port)
            check_refused(a, error, wire, into.port, "a daemon that hangs: incoming")
        wait_for(lambda: connect_error(a, address, out.port) == 0, "it to go on")
        check_said(daemon, "had been stopped or hung", "a daemon that hangs")


def refused_quickly(host, address, port):
    with contextlib.closing(host.socket()) as sock:
        sock.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            return sock.connect_ex((address, port)) == REFUSED
    return False


def connecting_before():
    """A SYN that is repeated after the rules have come is held back, whoever began it when."""
    with Net() as net:
        a, b, wire = wired_pair(net)
        wire.to_right.append(lambda packet, frame: False)
        wire = net.use(Capture(a, a.interfaces[0]))
        with contextlib.closing(a.socket()) as sock:
            sock.setblocking(False)
            sock.connect_ex((b.addresses[socket.AF_INET], 7000))
            wait_for(lambda: wire.packets(7000), "the first SYN")
            guard(net, a, "rule = require out port 7000\n")
            before = len(wire.packets(7000))
            wait_for(lambda: retransmits(sock) >= before + 2, "two more attempts")
            check_equal(len(wire.packets(7000)), before, "no more SYNs leave")


def after_a_crash():
    """A program that was connecting when the daemon died reaches nobody else on this host."""
    with Net() as net:
        a, b = net.pair()
        silent = b.addresses[socket.AF_INET].rpartition(".")[0] + ".200"
        a.ip("neigh", "add", silent, "lladdr", "02:00:00:00:00:99", "dev", a.interfaces[0])
        daemon = net.daemon(a, "rule = require out\n")
        ports = {s.port for s in sockets_of(a, daemon.process.pid) if s.listens}
        with contextlib.closing(a.socket()) as sock:
            sock.setblocking(False)
            check_equal(errno_of(lambda: sock.connect((silent, 7))), errno.EINPROGRESS, "it waits")
            daemon.wait_list(1, port=7)
            program = {p.remote for p in a.tcp_sockets() if p.connects} & ports
            check_equal(len(program), 1, "for the daemon")
            daemon.kill()
            script = f"import socket; socket.socket().bind(('', {program.pop()}))"
            done = a.run(["setpriv", "--reuid=12345", "--clear-groups", "python3", "-c", script],
                         check=False)
            check("PermissionError" in done.stderr, "another user cannot take its place", done.stderr)
            net.daemon(a, "rule = require out\n")
            wait_for(lambda: select.select([], [sock], [], 0)[1], "the program to be told")
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            check_equal(error, REFUSED, "it is refused")


def retransmits(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[2]


def cleans_up():
    with Net() as net, served(net) as (a, b, out, into, other):
        daemon = net.daemon(a, rules(out, into))
        busy = cleanup(a, check=False)
        check_equal(busy.returncode, 1, "cleanup refuses while a daemon runs")
        check("tcpcryptd runs" in busy.stderr, "and says why", busy.stderr)
        daemon.kill()
        done = json.loads(cleanup(a, "--json").stdout)
        check_equal((done["filters"], done["guard"]), (2, "left"),
                    "cleanup takes filters away and leaves the guard")
        for name in ("lo", a.interfaces[0]):
            shown = a.run(["tc", "qdisc", "show", "dev", name]).stdout
            check("clsact" not in shown, f"no clsact on {name}", shown)
        check_equal(connect_error(a, b.addresses[socket.AF_INET], out.port), REFUSED, "still closed")
        stale = a.run([TCPCRYPT, "cleanup", "--run-dir", daemon.run_dir]).stdout
        check("control socket" in stale, "a stale control socket goes", stale)
        opened = cleanup(a, "--guard").stdout
        check("plain from now on" in opened, "--guard says what it means", opened)
        check_equal(connect_error(a, b.addresses[socket.AF_INET], out.port), 0, "and it is open")
        check("nothing to remove" in cleanup(a).stdout, "then there is nothing left")
        usage = a.run([TCPCRYPT, "list", "--guard"], check=False)
        check_equal(usage.returncode, 2, "--guard belongs to cleanup")


def namespaces_that_are_gone():
    with Net() as net:
        a, b = net.pair()
        guard(net, a, "rule = require out\n")
        where = a.guard()
        check(where.exists(), "a guard of a namespace")
        net.hosts.remove(a)
        command(["ip", "netns", "del", a.name])
        wait_for(lambda: json.loads(cleanup(b, "--json").stdout)["gone_guards"]
                 or not where.exists(), "the guard to be found")
        check(not where.exists(), "goes with cleanup anywhere when the namespace is gone")


@contextlib.contextmanager
def mounts_of_its_own(host, prepare):
    """A command that runs another where /run is empty and /sys/fs/bpf is as the shell left it."""
    holder = host.start(
        ["unshare", "--mount", "sh", "-ec",
         f"mount -t tmpfs none /run; umount /sys/fs/bpf || true; {prepare}; echo; exec sleep infinity"],
        stdout=subprocess.PIPE,
    )
    check(holder.stdout.readline(), "mounts of its own")
    try:
        yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
    finally:
        holder.terminate()
        holder.wait()


def bpffs_that_comes_late():
    """The next daemon finds the guard also when another program has mounted a bpffs meanwhile."""
    with Net() as net, served(net) as (a, b, out, into, _):
        net.daemon(b)
        with mounts_of_its_own(a, "true") as enter:
            daemon = net.daemon(a, rules(out, into), wrapper=enter)
            address = b.addresses[socket.AF_INET]
            check_equal(exchange(a, out, address, MESSAGE), MESSAGE, "no bpffs: a transfer")
            daemon.kill()
            check_equal(connect_error(a, address, out.port), REFUSED, "kill -9: refused")
            a.run([*enter, "mount", "-t", "bpf", "bpf", "/sys/fs/bpf"])
            daemon = net.daemon(a, rules(out, into), wrapper=enter)
            check_equal(exchange(a, out, address, MESSAGE), MESSAGE, "the next one serves")
            daemon.stop()
            done = a.run([*enter, TCPCRYPT, "cleanup", "--guard", "--json"])
            check_equal(json.loads(done.stdout)["guard"], "removed", "the guard is found")
            check_equal(exchange(a, out, address, MESSAGE), MESSAGE, "and gone: plain")


def no_bpffs():
    """Only who requires encryption needs a place for the guard."""
    with Net() as net:
        host = net.host()
        with mounts_of_its_own(host, "true") as enter:
            wrapper = [*enter, "setpriv", "--bounding-set", "-sys_admin"]
            daemon = net.daemon(host, wrapper=wrapper)
            check_equal(daemon.status()["state"], "intercepting", "without rules it starts")
            daemon.stop()
            path = daemon.dir / "tcpcryptd.conf"
            path.write_text("rule = require out port 1\n")
            done = host.run([*wrapper, TCPCRYPTD, "--run-dir", daemon.run_dir, "--config", path],
                            check=False)
            check_equal(done.returncode, 1, "with one that requires encryption it does not")
            check("policy's rules" in done.stderr, "and says why", done.stderr)


def bpffs_of_everybody():
    """Where others may write to the bpffs, they cannot have made the guard's directory."""
    with Net() as net, served(net) as (a, b, out, into, _):
        prepare = f"mount -t bpf bpf /sys/fs/bpf; setpriv --reuid=12345 mkdir -p {a.guard()}"
        with mounts_of_its_own(a, prepare) as enter:
            guard(net, a, rules(out, into), enter)
            a.run([*enter, "setpriv", "--reuid=12345", "sh", "-c", f"rm -f {a.guard()}/*"])
            error = connect_error(a, b.addresses[socket.AF_INET], out.port)
            check_equal(error, REFUSED, "another user cannot take the guard away")
            a.run([*enter, TCPCRYPT, "cleanup", "--guard"])


if __name__ == "__main__":
    main(
        "what requires encryption stays closed without a daemon, until told otherwise",
        killed,
        not_started_yet,
        hangs,
        connecting_before,
        after_a_crash,
        cleans_up,
        namespaces_that_are_gone,
        bpffs_that_comes_late,
        no_bpffs,
        bpffs_of_everybody,
    )
