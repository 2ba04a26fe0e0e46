#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Data in SYN segments with ENO is never sent, and is dropped when it comes (RFC 8547, 4.7).

The client of the receiving half is made by hand, from an address that no kernel owns: it
sends what no TCP of Linux would. Fast Open is on, without cookies, for every listener.
"""
import socket

from apps import Server, bound_time, echo, family_name, read_exactly, read_to_end
from by_hand import FRAGMENTS, HEADERS, MANY_HEADERS, MANY_NOPS, Client
from harness import Net, check, check_equal, main, wait_for
from packets import ACK, PSH, RST, SYN
from wire import wired_pair

KIND_FAST_OPEN = 34
CLIENT_SENDS_ANYWAY = 0x5  # tcp_fastopen: client, and without a cookie
SERVER_TAKES_ALL = 0x602  # server, without a cookie, every listener

EARLY = b"early data, in the SYN "
LATE = b"something else altogether"
X25519_ENO = bytes.fromhex("450323")
UNKNOWN_ENO = bytes.fromhex("45037f")
LAST_UNKNOWN_ENO = bytes.fromhex("450423 7f")
COOKIE = bytes([KIND_FAST_OPEN, 10]) + b"anything"


def open_with_data(client, options, data=EARLY):
    """SYN with early data; returns the SYN-ACK, having checked what it acknowledges."""
    client.send(SYN, options, data)
    return client.receive(lambda p: p.has(SYN | ACK), "the SYN-ACK")


CASES = (
    ("the TEP is negotiated", X25519_ENO, True),  # RFC 8548 defines no SYN data
    ("another TEP is", LAST_UNKNOWN_ENO, True),
    ("none is", UNKNOWN_ENO, False),
    ("there is a Fast Open cookie, too", X25519_ENO + COOKIE, True),
)


def received():
    """8547-4.7-5, 8547-4.7-6, 8547-4.7-7, 8547-4.7-8, 8547-4.7-9"""
    with Net() as net:
        a, b = net.pair()
        b.sysctl("ipv4/tcp_fastopen", SERVER_TAKES_ALL)
        net.daemon(b)
        with Server(b, lambda conn, peer: read_exactly(conn, len(LATE))) as server:
            for text, options, answered in CASES:
                with Client(net, a, b, server.port) as client:
                    begin_and_continue(client, server, text, options, answered)
            check_equal(server.errors, [], "no server saw anything odd")


def received_left_alone():
    """8547-4.7-6, 8547-4.7-7: also where ENO is off by configuration."""
    with Net() as net:
        a, b = net.pair()
        b.sysctl("ipv4/tcp_fastopen", SERVER_TAKES_ALL)
        net.daemon(b, "ports-left-alone = 1-65535\n")
        for family in (socket.AF_INET, socket.AF_INET6):
            with Server(b, lambda conn, peer: read_exactly(conn, len(LATE)), family) as server:
                text = f"a port left alone, {family_name(family)}"
                native_server(net, a, b, server, text, family)


def received_paused():
    """And where the daemon takes no more connections."""
    with Net() as net:
        a, b = net.pair()
        b.sysctl("ipv4/tcp_fastopen", SERVER_TAKES_ALL)
        daemon = net.daemon(b, "max-connections = 1\n")
        with Server(b, lambda conn, peer: conn.recv(1)) as other, Server(
            b, lambda conn, peer: read_exactly(conn, len(LATE))
        ) as server, Client(net, a, b, other.port) as occupant:
            synack = open_with_data(occupant, X25519_ENO)
            occupant.sequence += 1
            occupant.send(ACK, b"", b"", synack.seq + 1)
            daemon.wait_list(port=other.port, recent=False)
            native_server(net, a, b, server, "a daemon at its limit")
            occupant.send(RST | ACK, b"", b"", synack.seq + 1)


def received_oddly_packed():
    """And where the SYN is in fragments, or behind IPv6 extension headers: it is not taken at all."""
    for family, packing in (
        (socket.AF_INET, FRAGMENTS),
        (socket.AF_INET6, FRAGMENTS),
        (socket.AF_INET6, HEADERS),
        (socket.AF_INET6, MANY_HEADERS),
    ):
        with Net() as net:
            a, b = net.pair()
            b.sysctl("ipv4/tcp_fastopen", SERVER_TAKES_ALL)
            net.daemon(b)
            with Server(b, lambda conn, peer: read_exactly(conn, len(LATE)), family) as server:
                with Client(net, a, b, server.port, family) as client:
                    client.send(SYN, X25519_ENO + MANY_NOPS, EARLY, packing=packing)
                    client.send(SYN, X25519_ENO + MANY_NOPS, packing=packing)
                    synack = client.receive(lambda p: p.has(SYN | ACK), "the SYN-ACK")
                    text = f"{family_name(family)}, packing {packing}"
                    check_equal(synack.ack - client.sequence, 1, f"{text}: no data is acknowledged")
                    client.sequence += 1
                    client.send(ACK | PSH, b"", LATE, synack.seq + 1)
                    server.wait_results(1)
                    check_equal(server.results, [LATE], f"{text}: nor delivered")
                    client.sequence += len(LATE)
                    client.send(RST | ACK, b"", b"", synack.seq + 1)


def native_server(net, a, b, server, text, family=socket.AF_INET):
    """A server with Fast Open, which answers itself."""
    for options in (X25519_ENO, X25519_ENO + COOKIE, UNKNOWN_ENO):
        for pad in (b"", bytes(700), bytes(701)):
            with Client(net, a, b, server.port, family) as client:
                begin_and_continue(client, server, text, options, False, EARLY + pad)
    with Client(net, a, b, server.port, family) as client:
        client.send(SYN, b"", EARLY)
        synack = client.receive(lambda p: p.has(SYN | ACK), "the SYN-ACK")
        check_equal(synack.ack - client.sequence, 1 + len(EARLY),
                    f"{text}: a SYN without ENO keeps its data")
        client.sequence += 1 + len(EARLY)
        client.send(RST | ACK, b"", b"", synack.seq + 1)


def begin_and_continue(client, server, text, options, answered, data=EARLY):
    synack = open_with_data(client, options, data)
    check_equal(synack.ack - client.sequence, 1, f"{text}: SYN data is not acknowledged")
    check_equal(synack.eno() is not None, answered, f"{text}: ENO is answered or not")
    before = len(server.results)
    # A first ACK without ENO: plain from here on, so that one sees what TCP has kept.
    client.sequence += 1
    client.send(ACK | PSH, b"", LATE, synack.seq + 1)
    server.wait_results(before + 1)
    check_equal(server.results[-1], LATE, f"{text}: nor delivered; what came later is")
    client.sequence += len(LATE)
    client.send(RST | ACK, b"", b"", synack.seq + 1)


def sent():
    """8547-4.7-3, 8547-4.7-4, 8547-4.7-13: a program that wants Fast Open gets its data
    across, encrypted, and not in the SYN."""
    with Net() as net:
        a, b, wire = wired_pair(net)
        a.sysctl("ipv4/tcp_fastopen", CLIENT_SENDS_ANYWAY)
        b.sysctl("ipv4/tcp_fastopen", SERVER_TAKES_ALL)
        da, _ = net.daemon(a), net.daemon(b)
        with Server(b, echo) as server:
            with bound_time(a.socket()) as sock:
                where = (b.addresses[socket.AF_INET], server.port)
                sock.sendto(EARLY, socket.MSG_FASTOPEN, where)
                sock.shutdown(socket.SHUT_WR)
                check_equal(read_to_end(sock), EARLY, "data sent with MSG_FASTOPEN arrives")
            server.wait_results()
        (listed,) = da.wait_list(port=server.port, state="closed")
        check(listed["encrypted"], "encrypted")
        wait_for(lambda: wire.flows(server.port), "the connection on the wire")
        syn = wire.flows(server.port)[0].syn
        kinds = [kind for kind, _, _ in syn.options]
        check(syn.eno() is not None, "the SYN has ENO")
        check_equal(syn.payload, b"", "and no data")
        check(KIND_FAST_OPEN not in kinds, "nor a Fast Open option", str(kinds))
        check(not wire.contains(EARLY), "nothing of it was plain")


if __name__ == "__main__":
    main("data in SYN segments with ENO is neither sent nor taken", received, received_left_alone,
         received_paused, received_oddly_packed, sent)
