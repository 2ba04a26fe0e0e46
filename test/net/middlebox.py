# SPDX-License-Identifier: BSD-2-Clause
"""What a Wire can do to TCP: the rules of lossy paths and of middleboxes.

Whatever is random is seeded: a rule does the same to the same segments again.
"""
import random
import socket
import struct
import time

from packets import FIN, KIND_ENO, KIND_NOP, PSH, RST, SYN
from wire import Send, checksum, fix_checksum

OPTION_AREA = 40
KIND_MSS = 2
ICMP_UNREACHABLE, ICMP_TOO_BIG = 3, 4
ICMPV6_TOO_BIG = 2
ETHERNET = 14


# ---- making segments ----------------------------------------------------------------------


def option_area(packet):
    """The TCP options of a packet as (kind, whole option) without padding."""
    return [(kind, whole) for kind, _, whole in packet.options]


def rewrite(packet, seq=None, flags=None, options=None, payload=None):
    """The frame of a packet with some things changed, and lengths and checksums to match.

    options: a list of whole options, padded here; those that do not fit are left out.
    """
    tcp = packet.tcp_offset
    header = bytearray(packet.frame[: tcp + 20])
    area = packet.frame[tcp + 20 : tcp + (packet.frame[tcp + 12] >> 4) * 4]
    if options is not None:
        area = b""
        for whole in options:
            if len(area) + len(whole) <= OPTION_AREA:
                area += whole
        area += bytes([KIND_NOP]) * (-len(area) % 4)
    if seq is not None:
        struct.pack_into("!I", header, tcp + 4, seq & 0xFFFFFFFF)
    header[tcp + 12] = (20 + len(area)) // 4 << 4 | header[tcp + 12] & 15
    if flags is not None:
        header[tcp + 13] = flags
    frame = header + area + (packet.payload if payload is None else payload)
    set_length(packet, frame)
    fix_checksum(packet, frame)
    return bytes(frame)


def set_length(packet, frame):
    """Makes the IP header agree with the length of its frame."""
    ip = packet.ip_offset
    if frame[ip] >> 4 == 4:
        struct.pack_into("!H", frame, ip + 2, len(frame) - ip)
        fix_ip_checksum(packet, frame)
    else:
        struct.pack_into("!H", frame, ip + 4, len(frame) - packet.tcp_offset)


def fix_ip_checksum(packet, frame):
    ip = packet.ip_offset
    frame[ip + 10 : ip + 12] = b"\0\0"
    struct.pack_into("!H", frame, ip + 10, checksum(frame[ip : packet.tcp_offset]))


# ---- bad paths ----------------------------------------------------------------------------


def anything(packet):
    return True


class Chance:
    """A rule that picks some of the segments, by lot."""

    def __init__(self, rate, seed=1, which=anything):
        self.rate = rate
        self.random = random.Random(seed)
        self.which = which
        self.count = 0

    def __call__(self, packet, frame):
        if not self.which(packet) or self.random.random() >= self.rate:
            return True
        self.count += 1
        return self.hit(packet, frame)


class Lose(Chance):
    """Loses segments."""

    def hit(self, packet, frame):
        return False


class Corrupt(Chance):
    """Flips a bit of the TCP segment; its checksum tells."""

    def hit(self, packet, frame):
        bit = self.random.randrange(packet.tcp_offset * 8, len(frame) * 8)
        frame[bit // 8] ^= 1 << bit % 8
        return [Send(bytes(frame))]


class Duplicate(Chance):
    """Sends segments twice, the second time a little later."""

    def __init__(self, rate, seed=1, which=anything, delay=0.002):
        super().__init__(rate, seed, which)
        self.delay = delay

    def hit(self, packet, frame):
        return [Send(bytes(frame)), Send(bytes(frame), self.delay)]


class Reorder(Duplicate):
    """Lets later segments overtake some."""

    def hit(self, packet, frame):
        return [Send(bytes(frame), self.delay * (1 + self.random.random()))]


class Delay:
    """Delays every segment by some seconds and by up to jitter more, which reorders."""

    def __init__(self, seconds, jitter=0.0, seed=1):
        self.seconds = seconds
        self.jitter = jitter
        self.random = random.Random(seed)

    def __call__(self, packet, frame):
        return [Send(bytes(frame), self.seconds + self.jitter * self.random.random())]


class Cut:
    """Loses everything while it is closed."""

    def __init__(self):
        self.closed = False
        self.count = 0

    def __call__(self, packet, frame):
        self.count += self.closed
        return not self.closed


# ---- the stream in other pieces -----------------------------------------------------------


class Resegment:
    """Cuts payloads into pieces of between `least` and `most` bytes."""

    def __init__(self, least, most=None, seed=1):
        self.least = least
        self.most = most or least
        self.random = random.Random(seed)
        self.count = 0

    def __call__(self, packet, frame):
        if len(packet.payload) <= self.least or packet.has(SYN):
            return True
        sends, at = [], 0
        while at < len(packet.payload):
            size = self.random.randint(self.least, self.most)
            piece = packet.payload[at : at + size]
            last = at + size >= len(packet.payload)
            flags = packet.flags if last else packet.flags & ~(FIN | PSH)
            sends.append(Send(rewrite(packet, packet.seq + at, flags, payload=piece)))
            at += size
        self.count += len(sends) > 1
        return sends


class Coalesce:
    """Joins segments that follow each other, up to `most` bytes; waits a little for more."""

    def __init__(self, most, patience=0.003):
        self.most = most
        self.patience = patience
        self.held = None
        self.due = None
        self.count = 0

    def __call__(self, packet, frame):
        if not packet.payload or packet.flags & (SYN | RST | FIN):
            return self.release() + [Send(bytes(frame))]
        if self.held is None:
            self.hold(packet)
            return []
        if not self.follows(packet):
            sends = self.release()
            self.hold(packet)
            return sends
        self.count += 1
        joined = rewrite(packet, self.held.seq, payload=self.held.payload + packet.payload)
        self.held.payload += packet.payload
        self.frame = joined
        return []

    def follows(self, packet):
        held = self.held
        return (
            (packet.src, packet.dst) == (held.src, held.dst)
            and packet.seq == (held.seq + len(held.payload)) & 0xFFFFFFFF
            and len(held.payload) + len(packet.payload) <= self.most
        )

    def hold(self, packet):
        self.held = packet
        self.frame = packet.frame
        self.due = time.monotonic() + self.patience

    def release(self):
        sends = [Send(self.frame)] if self.held else []
        self.held = self.due = None
        return sends


# ---- options ------------------------------------------------------------------------------


class ChangeEno:
    """Puts change(option), a list of options, in the ENO option's place in some segments."""

    def __init__(self, which, change):
        self.which = which
        self.change = change
        self.count = 0

    def __call__(self, packet, frame):
        if not self.which(packet) or not packet.eno():
            return True
        options = []
        for kind, whole in option_area(packet):
            options += self.change(whole) if kind == KIND_ENO else [whole]
        self.count += 1
        return [Send(rewrite(packet, options=options))]


class ClampMss:
    """Lowers the segment size that SYNs announce."""

    def __init__(self, most):
        self.most = most

    def __call__(self, packet, frame):
        for kind, offset, whole in packet.options:
            if packet.has(SYN) and kind == KIND_MSS and len(whole) == 4:
                size = min(self.most, int.from_bytes(whole[2:], "big"))
                struct.pack_into("!H", frame, offset + 2, size)
                fix_checksum(packet, frame)
        return True


# ---- the network layer --------------------------------------------------------------------


class PathMtu:
    """A narrow link further on: packets that do not fit are lost, and ICMP says so."""

    def __init__(self, mtu, gateway4, gateway6):
        self.mtu = mtu
        self.gateway4 = socket.inet_pton(socket.AF_INET, gateway4)
        self.gateway6 = socket.inet_pton(socket.AF_INET6, gateway6)
        self.count = 0

    def __call__(self, packet, frame):
        if len(frame) - packet.ip_offset <= self.mtu:
            return True
        self.count += 1
        v4 = frame[packet.ip_offset] >> 4 == 4
        return [Send(self.too_big4(frame) if v4 else self.too_big6(frame), back=True)]

    def too_big4(self, frame):
        quoted = bytes(frame[ETHERNET : ETHERNET + 28])
        icmp = bytearray(struct.pack("!BBHHH", ICMP_UNREACHABLE, ICMP_TOO_BIG, 0, 0, self.mtu))
        icmp += quoted
        struct.pack_into("!H", icmp, 2, checksum(icmp))
        ip = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0))
        ip += self.gateway4 + frame[ETHERNET + 12 : ETHERNET + 16]
        struct.pack_into("!H", ip, 10, checksum(ip))
        return bytes(frame[6:12] + frame[0:6] + frame[12:14] + ip + icmp)

    def too_big6(self, frame):
        quoted = bytes(frame[ETHERNET : ETHERNET + 1000])
        icmp = bytearray(struct.pack("!BBHI", ICMPV6_TOO_BIG, 0, 0, self.mtu)) + quoted
        addresses = self.gateway6 + bytes(frame[ETHERNET + 8 : ETHERNET + 24])
        pseudo = addresses + struct.pack("!II", len(icmp), socket.IPPROTO_ICMPV6)
        struct.pack_into("!H", icmp, 2, checksum(pseudo + icmp))
        ip = struct.pack("!IHBB", 6 << 28, len(icmp), socket.IPPROTO_ICMPV6, 64) + addresses
        return bytes(frame[6:12] + frame[0:6] + frame[12:14] + ip + icmp)


class Nat:
    """Hides the left host's IPv4 connections behind another address and other ports.

    `outward` is the rule for the left host's segments, `inward` for those towards it. The
    right host needs a neighbour entry for the address: nobody answers ARP for it.
    """

    def __init__(self, address, first_port=40000):
        self.address = address
        self.next_port = first_port
        self.outside = {}  # (address, port) of the left host -> port
        self.inside = {}  # and back

    def outward(self, packet, frame):
        if packet.src not in self.outside:
            self.outside[packet.src] = self.next_port
            self.inside[self.next_port] = packet.src
            self.next_port += 1
        translate(packet, frame, 12, 0, self.address, self.outside[packet.src])
        return True

    def inward(self, packet, frame):
        if packet.dst[0] == self.address and packet.dst[1] in self.inside:
            translate(packet, frame, 16, 2, *self.inside[packet.dst[1]])
        return True


def translate(packet, frame, address_at, port_at, address, port):
    """Writes an IPv4 address and a port at their places in the IP and TCP header."""
    at = packet.ip_offset + address_at
    frame[at : at + 4] = socket.inet_pton(socket.AF_INET, address)
    struct.pack_into("!H", frame, packet.tcp_offset + port_at, port)
    fix_ip_checksum(packet, frame)
    fix_checksum(packet, frame)
