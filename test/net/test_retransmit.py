#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What TCP sends again is what it sent before: ENO options, key exchange, frames."""
import socket

from apps import Server, echo, exchange, family_name
from harness import Net, check, check_equal, main
from packets import INIT1_MAGIC, INIT2_MAGIC
from wire import is_syn, is_synack, wired_pair

FAMILIES = (socket.AF_INET, socket.AF_INET6)
MESSAGE = b"Sent once or sent twice, it reads the same. " * 100


class Lose:
    """Loses the first packets of a kind and keeps every packet of that kind that came."""

    def __init__(self, which, times):
        self.which = which
        self.times = times
        self.seen = []

    def __call__(self, packet, frame):
        if not self.which(packet):
            return True
        self.seen.append(packet)
        return len(self.seen) > self.times


def two_daemons(net):
    a, b, wire = wired_pair(net)
    return a, b, wire, net.daemon(a), net.daemon(b)


def lost_synack():
    # 8547-4.6-4: the SYN-ACK is made anew from the saved SYN and is the same. (Were it lost
    # again, a SYN without ENO would come: see withdrawn() in test_middlebox.py.)
    for family in FAMILIES:
        text = f"SYN-ACK lost, {family_name(family)}"
        with Net() as net:
            a, b, wire, da, _ = two_daemons(net)
            rule = Lose(is_synack, 1)
            wire.to_left.append(rule)
            with Server(b, echo, family) as server:
                got = exchange(a, server, b.addresses[family], MESSAGE, family)
            check_equal(got, MESSAGE, f"{text}: the transfer works")
            check(len(rule.seen) >= 2, f"{text}: it was sent again", f"{len(rule.seen)} times")
            options = {packet.eno() for packet in rule.seen}
            check_equal(options, {bytes.fromhex("45040123")}, f"{text}: with the same option")
            (listed,) = da.wait_list(port=server.port, state="closed")
            check(listed["encrypted"], f"{text}: encrypted", f"{listed['reason']}")


def lost_syn():
    # 8547-4.6-4, 8547-4.6-5: the first retransmission is unchanged, later ones give ENO up.
    for times, reason in ((1, None), (2, "syn-retries")):
        text = f"SYN lost {times} times"
        with Net() as net:
            a, b, wire, da, _ = two_daemons(net)
            rule = Lose(is_syn, times)
            wire.to_right.append(rule)
            with Server(b, echo) as server:
                got = exchange(a, server, b.addresses[socket.AF_INET], MESSAGE)
            check_equal(got, MESSAGE, f"{text}: the transfer works")
            options = [packet.eno() for packet in rule.seen]
            offer = bytes.fromhex("45042123")
            check_equal(options, [offer, offer, None][: times + 1], f"{text}: the SYNs' options")
            (listed,) = da.wait_list(port=server.port, state="closed")
            check_equal(listed["reason"], reason, f"{text}: listed")
            # 8548-3.2-5, 8547-4.6-9: encrypted or plain, as the handshake said, all of it.
            check_equal(wire.contains(MESSAGE[:50]), not listed["encrypted"], f"{text}: on the wire")


def carries(magic):
    return lambda packet: packet.payload.startswith(magic)


def lost_init():
    for name, magic, rules in (
        ("Init1", INIT1_MAGIC, lambda wire: wire.to_right),
        ("Init2", INIT2_MAGIC, lambda wire: wire.to_left),
    ):
        text = f"{name} lost twice"
        with Net() as net:
            a, b, wire, da, _ = two_daemons(net)
            rule = Lose(carries(magic), 2)
            rules(wire).append(rule)
            with Server(b, echo) as server:
                got = exchange(a, server, b.addresses[socket.AF_INET], MESSAGE)
            check_equal(got, MESSAGE, f"{text}: the transfer works")
            check(len(rule.seen) >= 3, f"{text}: it was sent again")
            first = rule.seen[0].payload
            same = all(p.payload[: len(first)] == first[: len(p.payload)] for p in rule.seen)
            check(same, f"{text}: the same bytes at the same place")
            (listed,) = da.wait_list(port=server.port, state="closed")
            check(listed["encrypted"], f"{text}: encrypted")


class LoseData:
    """Loses every n-th new data segment, and compares what comes in its place later."""

    def __init__(self, every):
        self.every = every
        self.new = 0
        self.lost = set()
        self.again = set()
        self.sent = {}  # sequence number -> byte, as it was sent first
        self.changed = 0

    def __call__(self, packet, frame):
        if not packet.payload:
            return True
        for at, byte in enumerate(packet.payload):
            if self.sent.setdefault((packet.seq + at) & 0xFFFFFFFF, byte) != byte:
                self.changed += 1
        if packet.seq in self.lost:
            self.again.add(packet.seq)
            return True
        self.new += 1
        if self.new % self.every == 0:
            self.lost.add(packet.seq)
            return False
        return True


def lost_frames_while_rekeying():
    # 8548-3.8-7: a retransmission comes in the key in which it was first sent.
    text = "frames lost while keys change"
    with Net() as net:
        a, b, wire = wired_pair(net)
        da = net.daemon(a, "rekey-bytes = 20000\n")
        net.daemon(b, "rekey-bytes = 20000\n")
        rule = LoseData(7)
        wire.to_right.append(rule)
        with Server(b, echo) as server:
            got = exchange(a, server, b.addresses[socket.AF_INET], MESSAGE * 60)
        check_equal(got, MESSAGE * 60, f"{text}: nothing lost, nothing changed")
        (listed,) = da.wait_list(port=server.port, state="closed")
        check(listed["rekeys"] >= 5, f"{text}: keys changed", f"{listed['rekeys']} times")
        check(rule.again, f"{text}: segments were sent again", f"{len(rule.again)}")
        check_equal(rule.changed, 0, f"{text}: byte for byte as before")


if __name__ == "__main__":
    main(
        "what TCP sends again is what it sent before",
        lost_synack,
        lost_syn,
        lost_init,
        lost_frames_while_rekeying,
    )
