#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A server that wants no plain connection (TCP_ENO_TEP_MANDATORY) gets none: however the SYN is
packed, whatever the server is bound to, and whatever else other hosts send."""
import socket

from apps import errno_of, family_name
from by_hand import FRAGMENTS, HEADERS, MANY_NOPS, Client
from harness import Net, check, check_equal, main, wait_for
from packets import ACK, RST, SYN, Capture
from peers import neighbour
from test_sockopt import TEP_MANDATORY, Listener, accepts, named, opened, put

from tcp import MSS, Segment

STRICT = [(TEP_MANDATORY, 1)]
IP_MINTTL = 21
NOTES = 8192  # of servers' wishes: the map "wished"


def oddly_packed():
    """The SYN is none that the daemon knows when it comes in."""
    for family, packing in (
        (socket.AF_INET, FRAGMENTS),
        (socket.AF_INET6, FRAGMENTS),
        (socket.AF_INET6, HEADERS),
    ):
        with Net() as net:
            a, b = net.pair()
            net.daemon(b)
            text = f"{family_name(family)}, {'fragments' if packing == FRAGMENTS else 'headers'}"
            with Listener(b, STRICT, family) as strict, Listener(b, (), family) as other:
                with Client(net, a, b, strict.port, family) as refused, Client(
                    net, a, b, other.port, family
                ) as taken, Capture(b, b.interfaces[0]) as wire:
                    refused.send(SYN, MANY_NOPS, packing=packing)
                    taken.send(SYN, MANY_NOPS, packing=packing)
                    taken.receive(lambda p: p.has(SYN | ACK), "the SYN-ACK of another server")
                    wait_for(lambda: answers(wire, other), "the same on the wire")
                    check_equal(answers(wire, strict), [], f"{text}: no SYN-ACK")
                    taken.send(RST)


def answers(wire, listener):
    return [p for p in wire.packets(listener.port) if p.src[1] == listener.port]


def unservable():
    """Servers that the daemon does not stand in for."""
    with Net() as net:
        a, b = net.pair()
        net.daemon(b)
        cases = {
            "a device": (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b.interfaces[0].encode()),
            "a mark": (socket.SOL_SOCKET, socket.SO_MARK, 7),
            "a TTL": (socket.IPPROTO_IP, socket.IP_TTL, 30),
            "a least TTL": (socket.IPPROTO_IP, IP_MINTTL, 10),
        }
        for text, option in cases.items():
            for wishes in ((), STRICT):
                with Listener(b, wishes) as listener:
                    listener.socket.setsockopt(*option)
                    error = errno_of(
                        lambda: opened(a, b.addresses[socket.AF_INET], listener.port).close()
                    )
                    check_equal(named(error), "ECONNREFUSED" if wishes else 0,
                                f"a server with {text}, {'strict' if wishes else 'any'}")
                    if wishes:
                        listener.socket.settimeout(0.5)
                        check(not accepts(listener.socket), "nothing to accept()")


def notes_pushed_out():
    """Of what is noted when the SYN comes others' SYNs may leave nothing."""
    with Net() as net:
        host = net.host()
        link = neighbour(net, host)
        daemon = net.daemon(host, "drain-seconds = 0\n")
        with Listener(host, STRICT) as listener:
            client = link.open(host.addresses[socket.AF_INET], listener.port)
            client.syn()
            client.wait_for(SYN | ACK, "the SYN-ACK")
            flood(link, host, listener.port)
            client.ack()
            client.wait_reset()
            check(True, "the client is reset")
            listener.socket.settimeout(0.5)
            check(not accepts(listener.socket), "nothing to accept()")
            daemon.wait_list(port=listener.port, state="closed")
            client.close()


def flood(link, host, port):
    """SYNs of more clients than there are notes, from addresses that nobody has."""
    address = host.addresses[socket.AF_INET]
    for number in range(NOTES + NOTES // 4):
        source = socket.inet_aton(f"10.200.{number >> 8}.{number & 255}")
        for _ in range(2):
            link.send(address, Segment(1024, port, number, 0, SYN, options=MSS), source)
        if number % 256 == 0:
            # So that none is lost on the way: its answer comes when they have been seen.
            last = link.open(address, port)
            last.syn()
            last.wait_for(SYN | ACK, "the SYN-ACK")
            last.close()


def set_meanwhile():
    """The option is set while a plain handshake is under way."""
    with Net() as net:
        host = net.host()
        link = neighbour(net, host)
        daemon = net.daemon(host, "drain-seconds = 0\n")
        with Listener(host) as listener:
            client = link.open(host.addresses[socket.AF_INET], listener.port)
            client.syn()
            client.wait_for(SYN | ACK, "the SYN-ACK")
            put(listener.socket, *STRICT[0])
            client.ack()
            client.wait_reset()
            check(True, "the client is reset")
            wait_for(lambda: "wants none" in daemon.log(), "the daemon to say so")
            client.close()


if __name__ == "__main__":
    main("a server that wants no plain connection gets none", oddly_packed, unservable,
         notes_pushed_out, set_meanwhile)
