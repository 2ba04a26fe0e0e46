#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Connections that cannot be encrypted stay plain, work, and say why."""
import socket
import sys

from apps import BROKEN, Server, echo, errno_of, exchange, family_name
from harness import Net, check, check_equal, main
from packets import Capture
from wire import DropEnoSyns, StripEno, is_ack, is_syn, is_synack, wired_pair

FAMILIES = (socket.AF_INET, socket.AF_INET6)
MESSAGE = b"In plain, as ever. " * 1000


def check_transfer(a, b, server, text, family=socket.AF_INET):
    got = exchange(a, server, b.addresses[family], MESSAGE, family)
    check(got == MESSAGE, f"{text}: the transfer works", f"{len(got)} of {len(MESSAGE)} bytes")


def check_plain(wire, text):
    check(wire.contains(MESSAGE[:100]), f"{text}: in plain")


def check_reason(daemon, port, reason, text):
    """The daemon lists the port's last connection as plain, for this reason."""
    found = daemon.wait_list(port=port)[-1]
    check_equal((found["encrypted"], found["reason"]), (False, reason), f"{text}: listed")
    count = daemon.status()["plain"].get(reason, 0)
    check(count >= 1, f"{text}: counted as {reason}")


def syn_options(wire, port):
    """The ENO options of the SYNs to a port, one a connection."""
    return [flow.syn.eno() for flow in wire.flows(port)]


def daemon_at_the_client():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            daemon = net.daemon(a)
            wire = net.use(Capture(a, a.interfaces[0]))
            with Server(b, echo, family) as server:
                text = f"no daemon at the server, {family_name(family)}"
                check_transfer(a, b, server, text, family)
                check_plain(wire, text)
                check_reason(daemon, server.port, "no-eno", text)
                check_remembered(a, b, daemon, wire, server, family)


def check_remembered(a, b, daemon, wire, server, family):
    """The next connection to a host without tcpcrypt goes directly, until told to forget."""
    check_transfer(a, b, server, "remembered destination", family)
    check_equal(daemon.status()["plain"].get("remembered"), 1, "remembered: counted")
    check_transfer(a, b, server, "another one", family)
    daemon.tool("flush")
    check_transfer(a, b, server, "after `tcpcrypt flush`", family)
    offers = [option is not None for option in syn_options(wire, server.port)]
    check_equal(offers, [True, False, False, True], "ENO is offered at first and after flush")


def daemon_at_the_server():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            daemon = net.daemon(b)
            wire = net.use(Capture(a, a.interfaces[0]))
            with Server(b, echo, family) as server:
                text = f"no daemon at the client, {family_name(family)}"
                check_transfer(a, b, server, text, family)
                check_plain(wire, text)
                (flow,) = wire.flows(server.port)
                check(not any(p.eno() for p in flow.packets), f"{text}: no ENO anywhere")
                check_equal(daemon.list(port=server.port), [], f"{text}: never touched")


def daemons_stopped():
    with Net() as net:
        a, b = net.pair()
        daemons = [net.daemon(a), net.daemon(b)]
        wire = net.use(Capture(a, a.interfaces[0]))
        with Server(b, echo) as server:
            check_transfer(a, b, server, "with both daemons")
            check(not wire.contains(MESSAGE[:100]), "with both daemons: encrypted")
            for daemon in daemons:
                check_equal(daemon.stop(), "", "tcpcryptd stops")
            for family in FAMILIES:
                with Server(b, echo, family) as other:
                    text = f"both daemons stopped, {family_name(family)}"
                    check_transfer(a, b, other, text, family)
                    check_equal(syn_options(wire, other.port), [None], f"{text}: no ENO")
            check_plain(wire, "both daemons stopped")


def two_daemons_and_wire(net):
    a, b, wire = wired_pair(net)
    return a, b, wire, net.daemon(a), net.daemon(b)


def stripped_in_the_syn():
    for family in FAMILIES:
        with Net() as net:
            a, b, wire, da, db = two_daemons_and_wire(net)
            rule = StripEno(is_syn)
            wire.to_right.append(rule)
            text = f"ENO stripped from the SYN, {family_name(family)}"
            with Server(b, echo, family) as server:
                check_transfer(a, b, server, text, family)
            check_plain(wire, text)
            check_equal(rule.count, 1, f"{text}: once")
            check_reason(da, server.port, "no-eno", text)
            check_equal(db.list(port=server.port), [], f"{text}: the server's end never knew")


def stripped_in_the_synack():
    for family in FAMILIES:
        with Net() as net:
            a, b, wire, da, db = two_daemons_and_wire(net)
            rule = StripEno(is_synack)
            wire.to_left.append(rule)
            text = f"ENO stripped from the SYN-ACK, {family_name(family)}"
            with Server(b, echo, family) as server:
                check_transfer(a, b, server, text, family)
            check_plain(wire, text)
            check(rule.count >= 1, f"{text}: indeed")
            (flow,) = wire.flows(server.port)
            check_equal(flow.ack.eno(), None, f"{text}: so the first ACK has none")
            check_reason(da, server.port, "no-eno", text)
            check_reason(db, server.port, "ack-without-eno", text)


def stripped_in_both_directions():
    with Net() as net:
        a, b, wire, da, db = two_daemons_and_wire(net)
        wire.to_right.append(StripEno(lambda packet: True))
        wire.to_left.append(StripEno(lambda packet: True))
        text = "ENO stripped everywhere"
        with Server(b, echo) as server:
            check_transfer(a, b, server, text)
        check_plain(wire, text)
        check_reason(da, server.port, "no-eno", text)


def stripped_in_the_ack():
    """RFC 8547 section 9: the one case that cannot fall back.

    The server's end has to go on in plain and the client's end cannot know: it must not send
    plaintext any more, so the connection ends with an error instead of a wrong answer.
    """
    with Net() as net:
        a, b, wire, da, db = two_daemons_and_wire(net)
        wire.to_right.append(StripEno(is_ack))
        text = "ENO stripped from the ACKs"
        with Server(b, echo) as server:
            error = errno_of(lambda: exchange(a, server, b.addresses[socket.AF_INET], MESSAGE))
            check(error in BROKEN, f"{text}: an error, never a wrong answer", f"{error}")
            check_reason(db, server.port, "ack-without-eno", text)
            check(not wire.contains(MESSAGE[:100]), f"{text}: and sends nothing in plain")
            da.wait_list(port=server.port, state="closed")
            check_transfer(a, b, server, f"{text}, the next one")
            check_reason(da, server.port, "remembered", f"{text}, the next one")


def eno_syns_dropped():
    with Net() as net:
        a, b, wire, da, db = two_daemons_and_wire(net)
        rule = DropEnoSyns()
        wire.to_right.append(rule)
        text = "SYNs with ENO dropped on the way"
        with Server(b, echo) as server:
            check_transfer(a, b, server, text)
            check(rule.count >= 1, f"{text}: indeed")
            check_plain(wire, text)
            check_reason(da, server.port, "syn-retries", text)
            dropped = rule.count
            check_transfer(a, b, server, f"{text}, again")
            check_equal(rule.count, dropped, f"{text}: remembered, none sent any more")


def syn_cookies():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            b.sysctl("ipv4/tcp_syncookies", 2)  # always
            da, _ = net.daemon(a), net.daemon(b)
            wire = net.use(Capture(a, a.interfaces[0]))
            text = f"SYN cookies, {family_name(family)}"
            with Server(b, echo, family) as server:
                check_transfer(a, b, server, text, family)
            check_plain(wire, text)
            (flow,) = wire.flows(server.port)
            check(flow.syn.eno() is not None, f"{text}: ENO is offered")
            check_equal(flow.synack.eno(), None, f"{text}: and not answered")
            check_reason(da, server.port, "no-eno", text)


# Sets an option as soon as it is connected, and writes as soon as that is set.
OPTION_FIRST = """
import socket, sys
for _ in range(int(sys.argv[3])):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x48)
    s.sendall(b"thanks")
    s.shutdown(socket.SHUT_WR)
    s.recv(10, socket.MSG_WAITALL)
    s.close()
"""
CONNECTIONS = 1000


def options_before_data():
    """What a program sets before it writes is set when that leaves the host."""
    with Net() as net:
        a, b = net.pair()
        net.daemon(a, "remember-plain-seconds = 0\n")
        wire = net.use(Capture(a, a.interfaces[0]))
        with Server(b, echo) as server:
            address = b.addresses[socket.AF_INET]
            a.run([sys.executable, "-c", OPTION_FIRST, address, server.port, CONNECTIONS])
            sent = [p for p in wire.packets(server.port) if p.dst[1] == server.port and p.payload]
        check(len(sent) >= CONNECTIONS, "each connection has sent", len(sent))
        late = [p for p in sent if p.frame[15] != 0x48]
        check_equal(len(late), 0, "with IP_TOS, which was set before")


if __name__ == "__main__":
    main(
        "without tcpcrypt at both ends, or with a path that eats ENO, TCP works as before",
        daemon_at_the_client,
        daemon_at_the_server,
        daemons_stopped,
        stripped_in_the_syn,
        stripped_in_the_synack,
        stripped_in_both_directions,
        stripped_in_the_ack,
        eno_syns_dropped,
        syn_cookies,
        options_before_data,
    )
