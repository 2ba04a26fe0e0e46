#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Policy rules: whom they concern, and that `require` is never answered with plain TCP."""
import contextlib
import errno
import os
import signal
import socket

from apps import Server, connect, echo, errno_of, exchange, family_name, read_exactly
from harness import (TCPCRYPTD, Net, cgroup_root, check, check_equal, main, remove_cgroup,
                     wait_for)
from load import stopped
from packets import RST, SYN, Capture
from test_middlebox import md5_key
from test_sockopt import ENABLED, RAW, Listener, opened
from wire import DropEnoSyns, StripEno, is_ack, is_syn, is_synack, wired_pair

FAMILIES = (socket.AF_INET, socket.AF_INET6)
MESSAGE = b"Not for everybody's eyes. " * 100
REFUSED = errno.ECONNREFUSED
CGROUP_ROOT = cgroup_root()
SO_BINDTODEVICE = 25
IPPROTO_MPTCP = 262
IP_BIND_ADDRESS_NO_PORT = 24
MOVES = "10.1.0.99/32"
ADDRESSES = 2000


def connect_error(host, address, port, family=socket.AF_INET):
    return errno_of(lambda: connect(host, address, port, family).close())


def sent_bare(packets, host):
    """What a host has sent that policy `require` forbids: SYNs without ENO."""
    own = host.addresses.values()
    return [p for p in packets if p.src[0] in own and p.has(SYN) and not p.eno()]


def check_refused(host, error, wire, port, text):
    """The program was refused, and nothing but SYNs with ENO and their end was sent."""
    check_equal(error, REFUSED, f"{text}: ECONNREFUSED")
    check_closed(host, wire, port, text)


def check_closed(host, wire, port, text):
    packets = wire.packets(port)
    check_equal(len(sent_bare(packets, host)), 0, f"{text}: no SYN without ENO")
    check(not any(p.payload for p in packets), f"{text}: no payload")


def check_said(daemon, words, text):
    """The daemon hears of what the programs refuse, and writes its log, a moment later."""
    wait_for(lambda: words in daemon.log(), f"the log to say: {words}")
    check(True, f"{text}: the log says why")


def check_listed(daemon, port, reason, text, state="closed"):
    (found,) = daemon.wait_list(port=port, state=state)[-1:]
    check_equal((found["encrypted"], found["reason"]), (False, reason), f"{text}: listed")
    wait_for(lambda: daemon.status()["failed"].get("policy"), "it to be counted")


def encrypted(daemon, host, server, address, family=socket.AF_INET):
    """Whether a transfer works and is encrypted."""
    before = daemon.status()["encrypted"]
    got = exchange(host, server, address, MESSAGE, family)
    return got == MESSAGE and daemon.status()["encrypted"] == before + 1


def peer_without_eno():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            wire = net.use(Capture(a, a.interfaces[0]))
            with Server(b, echo, family) as server:
                text = f"no ENO at the peer, {family_name(family)}"
                daemon = net.daemon(a, f"rule = require out port {server.port}\n")
                for _ in range(2):
                    error = connect_error(a, b.addresses[family], server.port, family)
                    check_refused(a, error, wire, server.port, text)
                syns = [p for p in wire.packets(server.port) if is_syn(p)]
                check_equal(len(syns), 2, f"{text}: asked again, whatever is remembered")
                check_listed(daemon, server.port, "no-eno", text)
                check_said(daemon, "no-eno", text)


def both_ends_require():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            with Server(b, echo, family) as server:
                wire = net.use(Capture(a, a.interfaces[0]))
                da = net.daemon(a, f"rule = require out port {server.port}\n")
                net.daemon(b, f"rule = require in port {server.port}\n")
                text = f"required at both ends, {family_name(family)}"
                check(encrypted(da, a, server, b.addresses[family], family), f"{text}: encrypted")
                check_equal(sent_bare(wire.packets(), a), [], f"{text}: no SYN without ENO")
                check_equal(sent_bare(wire.packets(), b), [], f"{text}: nor a SYN-ACK")
                policy = da.status()["policy"]
                check_equal(policy, {"rules": 1, "require": 1}, f"{text}: in the status")
                local = exchange(b, server, b.addresses[family], MESSAGE, family)
                check_equal(local, MESSAGE, f"{text}: on the host itself nothing is required")


def stripped():
    for which, name in ((is_syn, "SYN"), (is_synack, "SYN-ACK")):
        with Net() as net:
            a, b, wire = wired_pair(net)
            with Server(b, echo) as server:
                net.daemon(a, f"rule = require out port {server.port}\n")
                net.daemon(b)
                (wire.to_right if which is is_syn else wire.to_left).append(StripEno(which))
                error = connect_error(a, b.addresses[socket.AF_INET], server.port)
                text = f"ENO stripped from the {name}"
                check_equal(error, REFUSED, f"{text}: ECONNREFUSED")
                check(not any(p.payload for p in wire.packets(server.port)), f"{text}: no payload")
    with Net() as net:
        a, b, wire = wired_pair(net)
        with Server(b, echo) as server:
            net.daemon(a)
            db = net.daemon(b, f"rule = require in port {server.port}\n")
            wire.to_right.append(StripEno(is_ack))
            with contextlib.suppress(OSError), connect(
                a, b.addresses[socket.AF_INET], server.port
            ) as sock:
                sock.sendall(MESSAGE)
                sock.recv(1)
            text = "ENO stripped from the first ACK"
            check_listed(db, server.port, "ack-without-eno", text)
            check(not wire.contains(MESSAGE[:50]), f"{text}: nothing in plain")
            check_equal(server.results + server.errors, [], f"{text}: the server never knew")


def options_eaten():
    """The SYN is repeated, but with ENO for ever."""
    with Net() as net:
        a, b, wire = wired_pair(net)
        rule = DropEnoSyns()
        wire.to_right.append(rule)
        with Server(b, echo) as server:
            net.daemon(a, f"rule = require out port {server.port}\n")
            with contextlib.closing(a.socket()) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 3)
                error = errno_of(lambda: sock.connect((b.addresses[socket.AF_INET], server.port)))
            check_equal(error, errno.ETIMEDOUT, "SYNs with ENO are eaten: a timeout")
            check_closed(a, wire, server.port, "SYNs with ENO are eaten")
            check(rule.count >= 3, "SYNs with ENO are eaten: repeated", rule.count)


def bound_to_port(sock):
    sock.bind(("", 0))


def bound_to_device(sock):
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth1\0")


def switched_off(sock):
    sock.setsockopt(socket.IPPROTO_TCP, ENABLED, 0)


def own_tep(sock):
    sock.setsockopt(socket.IPPROTO_TCP, RAW, b"\x7f")


def with_ip_options(sock):
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([7, 7, 4, 0, 0, 0, 0, 0]))


def left_alone_otherwise():
    with Net() as net:
        a, b = net.pair()
        address = b.addresses[socket.AF_INET]
        wire = net.use(Capture(a, a.interfaces[0]))
        with Server(b, echo) as server:
            daemon = net.daemon(a, f"rule = require out port {server.port}\n"
                                   f"ports-left-alone = {server.port}\n")
            net.daemon(b)

            def signed(sock):
                md5_key(sock, address)

            refused = 0
            for prepare in (bound_to_port, bound_to_device, switched_off, own_tep, signed,
                            with_ip_options):
                with contextlib.closing(a.socket()) as sock:
                    try:
                        prepare(sock)
                    except OSError as error:
                        check(error.errno == errno.ENOPROTOOPT, f"{prepare.__name__}: {error}")
                        continue
                    error = errno_of(lambda: sock.connect((address, server.port)))
                check_refused(a, error, wire, server.port, prepare.__name__.replace("_", " "))
                refused += 1
                daemon.wait_list(refused, port=server.port, reason="policy")
            with contextlib.closing(a.socket()) as sock:
                send = lambda: sock.sendto(MESSAGE, socket.MSG_FASTOPEN, (address, server.port))
                bound_to_port(sock)
                check_refused(a, errno_of(send), wire, server.port, "Fast Open, left alone")
            text = "Multipath TCP"
            with contextlib.suppress(OSError), contextlib.closing(
                a.socket(proto=IPPROTO_MPTCP)
            ) as sock:
                error = errno_of(lambda: sock.connect((address, server.port)))
                check_refused(a, error, wire, server.port, text)
            with contextlib.closing(a.socket()) as sock:
                sock.sendto(MESSAGE, socket.MSG_FASTOPEN, (address, server.port))
                got = read_exactly(sock, len(MESSAGE))
            check_equal(got, MESSAGE, "Fast Open through the daemon works")
            check(not wire.contains(MESSAGE[:50]), "and is encrypted")
        with Server(b, echo, socket.AF_INET6) as server:
            linked = link_local(b)
            path = daemon.dir / "tcpcryptd.conf"
            path.write_text(f"rule = require out port {server.port}\n")
            reload(daemon)
            scope = (linked, server.port, 0, interface_index(a))
            with contextlib.closing(a.socket(socket.AF_INET6)) as sock:
                error = errno_of(lambda: sock.connect(scope))
            check_refused(a, error, wire, server.port, "link-local")


def link_local(host):
    """The link-local address of a host's first interface."""
    def found():
        out = host.run(["ip", "-6", "-o", "addr", "show", "scope", "link", "-tentative"]).stdout
        return [line.split()[3].partition("/")[0] for line in out.splitlines()]

    return wait_for(found, "a link-local address")[0]


def interface_index(host):
    with host.inside():
        return socket.if_nametoindex(host.interfaces[0])


def reload(daemon):
    before = daemon.log().count("reloaded")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: daemon.log().count("reloaded") > before, "the daemon to reload")


def incoming():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            name = family_name(family)
            wire = net.use(Capture(b, b.interfaces[0]))
            with Server(b, echo, family) as server, Server(b, echo, family) as other:
                daemon = net.daemon(b, f"rule = require in port {server.port}\n")
                text = f"a plain SYN to a port that requires encryption, {name}"
                error = connect_error(a, b.addresses[family], server.port, family)
                check_refused(b, error, wire, server.port, text)
                check_listed(daemon, server.port, "policy", text)
                check_said(daemon, "did not offer to encrypt", text)
                got = exchange(a, other, b.addresses[family], MESSAGE, family)
                check_equal(got, MESSAGE, f"another port is as ever, {name}")
                check_equal(server.results, [], f"{text}: the server never knew")


def incoming_left_alone_otherwise():
    with Net() as net:
        a, b = net.pair()
        address = b.addresses[socket.AF_INET]
        wire = net.use(Capture(b, b.interfaces[0]))
        net.daemon(a)
        with Server(b, echo) as server:
            daemon = net.daemon(b, f"rule = require in port {server.port}\n")
            device = b.interfaces[0].encode() + b"\0"
            server.socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device)
            error = connect_error(a, address, server.port)
            check_refused(b, error, wire, server.port, "a server bound to a device")
            check_listed(daemon, server.port, "policy", "a server bound to a device")
        for option, value, text in ((ENABLED, 0, "a server that switched it off"),
                                    (RAW, b"\x7f", "a server with a TEP of its own")):
            with Listener(b, [(option, value)]) as server:
                (daemon.dir / "tcpcryptd.conf").write_text(
                    f"rule = require in port {server.port}\n")
                reload(daemon)
                error = connect_error(a, address, server.port)
                check_refused(b, error, wire, server.port, text)


def syn_cookies():
    """A SYN-ACK by cookie cannot have ENO, so the connection it makes ends at once."""
    with Net() as net:
        a, b = net.pair()
        b.sysctl("ipv4/tcp_syncookies", 2)  # always
        wire = net.use(Capture(b, b.interfaces[0]))
        net.daemon(a)
        with Server(b, echo) as server:
            daemon = net.daemon(b, f"rule = require in port {server.port}\n")
            with contextlib.suppress(OSError), connect(
                a, b.addresses[socket.AF_INET], server.port
            ) as sock:
                sock.sendall(MESSAGE)
                sock.recv(1)
            check_listed(daemon, server.port, "syn-cookie", "SYN cookie")
            sent = [p for p in wire.packets(server.port) if p.src[1] == server.port]
            check(not any(p.payload for p in sent), "SYN cookie: the server's host sends nothing")
            check(any(p.has(RST) for p in sent), "SYN cookie: but RST")
            check_equal(server.results + server.errors, [], "SYN cookie: the server never knew")


def prefixes_and_order():
    with Net() as net:
        a, b = net.pair()
        for address in ("10.1.0.77", "240.0.0.77"):
            b.ip("addr", "add", f"{address}/32", "dev", b.interfaces[0])
            a.ip("route", "add", address, "dev", a.interfaces[0])
        wire = net.use(Capture(a, a.interfaces[0]))
        with Server(b, echo) as server, Server(b, echo, socket.AF_INET6) as six:
            da = net.daemon(a, f"ports-left-alone = {server.port}\n"
                               f"rule = off out to 10.1.0.2 port {server.port}\n"
                               f"rule = require out to 10.1.0.0/24 port 1,{server.port}\n"
                               f"rule = require out to 240.0.0.0/4\n"
                               f"rule = off out port {server.port}\n"
                               f"rule = prefer out to fd00::/16 port {six.port}\n"
                               f"rule = require out port {six.port}\n")
            check_equal(exchange(a, server, "10.1.0.2", MESSAGE), MESSAGE, "off: the transfer")
            check(wire.contains(MESSAGE[:50]), "off, by the first rule that matches: in plain")
            check_equal(da.list(port=server.port), [], "off: not the daemon's")
            error = connect_error(a, "10.1.0.77", server.port)
            check_refused_only(error, da, "require, by the second")
            error = connect_error(a, "240.0.0.77", server.port)
            check_refused_only(error, da, "of class E, which Linux takes for unicast")
            got = exchange(a, six, b.addresses[socket.AF_INET6], MESSAGE, socket.AF_INET6)
            check_equal(got, MESSAGE, "prefer, by an earlier rule than require: in plain")
            with opened(a, "10.1.0.2", server.port, [(ENABLED, 1)]) as sock:
                sock.sendall(b"x")
                read_exactly(sock, 1)
                (found,) = da.wait_list(port=server.port, state="plain")
                check_equal(found["reason"], "no-eno", "a program's own wish overrules off")
            net.daemon(b)
            da.tool("flush")
            (da.dir / "tcpcryptd.conf").write_text(
                f"ports-left-alone = {server.port}\nrule = prefer out port {server.port}\n")
            reload(da)
            check(encrypted(da, a, server, "10.1.0.2"), "a rule overrules the ports left alone")


def error_from(host, source, address, port, family):
    """connect()'s error with the socket bound to an address, or not at all."""
    with contextlib.closing(host.socket(family)) as sock:
        if source:
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        return errno_of(lambda: sock.connect((address, port)))


def flood_of_addresses(host):
    """More changes than the kernel keeps for a daemon that does not read of them; none is left."""
    lines = [f"addr {what} 10.99.{n // 250}.{n % 250 + 1}/32 dev {host.interfaces[0]}"
             for what in ("add", "del") for n in range(ADDRESSES)]
    host.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")


def moved_unheard():
    """An address and an interface that are gone are not taken for this host's, though word of it was lost."""
    with Net() as net:
        a, b = net.pair()
        a.ip("addr", "add", MOVES, "dev", a.interfaces[0])
        gone = net.veth(a, b)
        daemon = net.daemon(a)
        net.daemon(b)
        check(gone in daemon.status()["engine"]["interfaces"], "an interface is served")
        with stopped(daemon):
            flood_of_addresses(a)
            a.ip("addr", "del", MOVES, "dev", a.interfaces[0])
            a.ip("link", "del", gone)
        b.ip("addr", "add", MOVES, "dev", b.interfaces[0])
        a.ip("route", "add", MOVES, "dev", a.interfaces[0])
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: gone not in daemon.status()["engine"]["interfaces"], "it to be known", 5)
        check(gone not in daemon.status()["engine"]["interfaces"], "and is not, when it is gone")
        with Server(b, echo) as server:
            moved = MOVES.partition("/")[0]
            check(encrypted(daemon, a, server, moved), "connections to the address are encrypted")


def sources():
    """Rules for connections from some of the host's own addresses."""
    for family, special in ((socket.AF_INET, "10.9.0.1"), (socket.AF_INET6, "fd09::1")):
        with Net() as net:
            a, b = net.pair()
            usual, address = a.addresses[family], b.addresses[family]
            prefix = "32" if family == socket.AF_INET else "128"
            a.ip("addr", "add", f"{special}/{prefix}", "dev", a.interfaces[0], "nodad")
            b.ip("route", "add", f"{special}/{prefix}", "dev", b.interfaces[0])
            with Server(b, echo, family) as server, Server(b, echo, family) as open_to_all:
                daemon = net.daemon(a, f"rule = require out from {special} port {server.port}\n"
                                       f"rule = off out from {special}\n")
                text = f"by source, {family_name(family)}"

                def error(source, to=server):
                    return error_from(a, source, address, to.port, family)

                check_equal(error(special), REFUSED, f"{text}: required from there")
                check_equal(error(usual), 0, f"{text}: not from elsewhere")
                check_equal(error(None), REFUSED, f"{text}: required while nobody has chosen")
                check_equal(error(special, open_to_all), 0, f"{text}: off from there")
                check_equal(daemon.list(port=open_to_all.port), [], f"{text}: not the daemon's")
                check_equal(error(usual, open_to_all), 0, f"{text}: the rest as without rules")
                daemon.wait_list(port=open_to_all.port, reason="no-eno")
                daemon.kill()
                check_equal(error(special), REFUSED, f"{text}: with the daemon dead, too")
                check_equal(error(usual), 0, f"{text}: and nothing but that")


def check_refused_only(error, daemon, text):
    check_equal(error, REFUSED, f"{text}: ECONNREFUSED")
    wait_for(lambda: daemon.status()["failed"].get("policy"), "it to be counted")


def incoming_prefixes():
    with Net() as net:
        a, b = net.pair()
        a.ip("addr", "add", "10.1.0.9/24", "dev", a.interfaces[0])
        with Server(b, echo) as server:
            net.daemon(b, f"rule = off in from 10.1.0.9\n"
                          f"rule = require in to 10.1.0.0/24 port {server.port}\n")
            check_equal(connect_error(a, "10.1.0.2", server.port), REFUSED, "from elsewhere")
            with contextlib.closing(a.socket()) as sock:
                sock.bind(("10.1.0.9", 0))
                check_equal(errno_of(lambda: sock.connect(("10.1.0.2", server.port))), 0,
                            "from a prefix that is off")


class Cgroup:
    """A control group, two levels deep, that is removed again."""

    def __init__(self):
        self.outer = CGROUP_ROOT / f"tct-{os.getpid()}.slice"
        self.path = self.outer / "x.service"

    def __enter__(self):
        self.path.mkdir(parents=True)
        return self

    def __exit__(self, *_):
        remove_cgroup(self.path)
        remove_cgroup(self.outer)

    def name(self):
        return "/" + str(self.path.relative_to(CGROUP_ROOT))


CONNECT = """
import os, socket, sys
if sys.argv[3]: open(sys.argv[3], "w").write(str(os.getpid()))
os.setuid(int(sys.argv[4]))
print(socket.socket().connect_ex((sys.argv[1], int(sys.argv[2]))))
"""


def error_as(host, address, port, cgroup="", user=0):
    """What connect() says to a process of a control group and a user."""
    procs = cgroup and str(cgroup / "cgroup.procs")
    return int(host.run(["python3", "-c", CONNECT, address, port, procs, user]).stdout)


def users_and_cgroups():
    with Net() as net, Cgroup() as cgroup:
        a, b = net.pair()
        address = b.addresses[socket.AF_INET]
        with Server(b, echo) as server:
            port = server.port
            net.daemon(a, f"rule = require out port {port} user 65534\n"
                          f"rule = require out port {port} cgroup {cgroup.name()}\n")
            check_equal(error_as(a, address, port), 0, "another user in another group")
            check_equal(error_as(a, address, port, user=65534), REFUSED, "the user")
            check_equal(error_as(a, address, port, cgroup.path), REFUSED, "the group")
            check_equal(error_as(a, address, port, cgroup.outer), 0, "the group above")
            below = cgroup.path / "below"
            below.mkdir()
            check_equal(error_as(a, address, port, below), REFUSED, "a group below")
            below.rmdir()
            cgroup.path.rmdir()
            cgroup.path.mkdir()
            check_equal(error_as(a, address, port, cgroup.path), REFUSED, "the same, made again")


def limits_reached():
    with Net() as net:
        a, b = net.pair()
        address = b.addresses[socket.AF_INET]
        wire = net.use(Capture(a, a.interfaces[0]))
        with Server(b, echo) as server, Server(b, echo) as other:
            daemon = net.daemon(a, f"max-connections = 1\nrule = require out port {server.port}\n")
            net.daemon(b)
            with connect(a, address, other.port) as sock:
                sock.sendall(b"x")
                read_exactly(sock, 1)
                error = connect_error(a, address, server.port)
                check_refused(a, error, wire, server.port, "at the limit of connections")
                check_said(daemon, "at its limits", "at the limit of connections")
            wait_for(lambda: not daemon.status()["connections"], "room")
            check(encrypted(daemon, a, server, address), "with room it is encrypted")


def reloads():
    with Net() as net:
        a, b = net.pair()
        address = b.addresses[socket.AF_INET]
        with Server(b, echo) as server:
            daemon = net.daemon(a, "# nothing yet\n")
            path = daemon.dir / "tcpcryptd.conf"
            with connect(a, address, server.port) as live:
                live.sendall(MESSAGE)
                read_exactly(live, len(MESSAGE))
                path.write_text(f"rule = require out port {server.port}\n")
                check(not a.guard().exists(), "no guard without a rule that requires")
                reload(daemon)
                check(a.guard().exists(), "a guard with one")
                check_equal(connect_error(a, address, server.port), REFUSED, "reloaded: require")
                live.sendall(MESSAGE)
                check_equal(read_exactly(live, len(MESSAGE)), MESSAGE, "a live one goes on")
            path.write_text("rule = off out\nrule = require out port 80 user\n")
            daemon.process.send_signal(signal.SIGHUP)
            wait_for(lambda: f"{path}:2: rule: a user is missing" in daemon.log(), "the line")
            check_equal(connect_error(a, address, server.port), REFUSED, "errors change nothing")
            check_equal(daemon.status()["policy"]["rules"], 1, "nor the status")
            done = a.run([TCPCRYPTD, "--config", path, "--check-config"], check=False)
            check_equal(done.returncode, 1, "--check-config")
            check(f"{path}:2: rule: " in done.stderr, "names the line", done.stderr)
            path.write_text("rule = off in\n")
            reload(daemon)
            check(not a.guard().exists(), "without rules that require the guard goes")
            check_equal(connect_error(a, address, server.port), 0, "and connections are plain")


if __name__ == "__main__":
    main(
        "rules decide as configured, and what requires encryption is encrypted or refused",
        peer_without_eno,
        both_ends_require,
        stripped,
        options_eaten,
        left_alone_otherwise,
        incoming,
        incoming_left_alone_otherwise,
        syn_cookies,
        prefixes_and_order,
        incoming_prefixes,
        moved_unheard,
        sources,
        users_and_cgroups,
        limits_reached,
        reloads,
    )
