# SPDX-License-Identifier: BSD-2-Clause
"""A wire with a will of its own: a third host that carries frames between two others.

Each direction has a list of rules. A rule is called with a Packet and a bytearray of its
frame; it may change the bytes (and then calls fix_checksum) and returns whether the frame
goes on, or a list of Send: what goes on in its place. A rule that keeps frames back says in
its attribute `due` when (time.monotonic) its release() is to be called, which returns such a
list. Frames that are not TCP pass untouched. middlebox.py has more rules.
"""
import contextlib
import dataclasses
import heapq
import itertools
import select
import socket
import struct
import threading
import time
import traceback

from packets import (
    ACK,
    ETH_P_ALL,
    FIN,
    KIND_ENO,
    KIND_NOP,
    RST,
    SOL_SOCKET_RCVBUFFORCE,
    SYN,
    flows,
    parse,
)

OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")


def checksum(data):
    """The Internet checksum of some bytes."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def fix_checksum(packet, frame):
    """Writes the TCP checksum of a frame that was changed without changing its length."""
    tcp = packet.tcp_offset
    ip = packet.ip_offset
    v4 = frame[ip] >> 4 == 4
    end = ip + int.from_bytes(frame[ip + 2 : ip + 4], "big") if v4 else (
        tcp + int.from_bytes(frame[ip + 4 : ip + 6], "big")
    )
    addresses = frame[ip + 12 : ip + 20] if v4 else frame[ip + 8 : ip + 40]
    frame[tcp + 16 : tcp + 18] = b"\0\0"
    pseudo = addresses + struct.pack("!II", end - tcp, socket.IPPROTO_TCP)
    frame[tcp + 16 : tcp + 18] = struct.pack("!H", checksum(pseudo + frame[tcp:end]))


@dataclasses.dataclass
class Send:
    """A frame that goes on: after a while, or back to where the other one came from."""

    frame: bytes
    delay: float = 0.0
    back: bool = False


def is_syn(packet):
    return packet.flags & (SYN | ACK) == SYN


def is_synack(packet):
    return packet.has(SYN | ACK)


def is_ack(packet):
    return packet.flags & (SYN | ACK | RST) == ACK


class StripEno:
    """Replaces the ENO option by NOPs in the segments that `which` picks."""

    def __init__(self, which):
        self.which = which
        self.count = 0

    def __call__(self, packet, frame):
        if not self.which(packet):
            return True
        for kind, offset, whole in packet.options:
            if kind == KIND_ENO:
                frame[offset : offset + len(whole)] = bytes([KIND_NOP]) * len(whole)
                fix_checksum(packet, frame)
                self.count += 1
        return True


class DropEnoSyns:
    """A middlebox that eats SYNs with an option it does not know."""

    def __init__(self):
        self.count = 0

    def __call__(self, packet, frame):
        if is_syn(packet) and packet.eno():
            self.count += 1
            return False
        return True


class AtPlace:
    """A rule that acts at a place in a direction's byte stream."""

    def __init__(self, place):
        self.place = place
        self.starts = {}
        self.count = 0

    def start_of(self, packet):
        """Where in the stream a packet's bytes begin."""
        if packet.has(SYN):
            self.starts[packet.src] = packet.seq + 1
        return (packet.seq - self.starts.get(packet.src, packet.seq)) & 0xFFFFFFFF


class FlipBit(AtPlace):
    """Flips one bit, once; the checksum is right."""

    def __call__(self, packet, frame):
        inside = self.place - self.start_of(packet)
        if not self.count and 0 <= inside < len(packet.payload):
            data = packet.tcp_offset + (frame[packet.tcp_offset + 12] >> 4) * 4
            frame[data + inside] ^= 0x01
            fix_checksum(packet, frame)
            self.count += 1
        return True


class AddEno:
    """Lends an ENO option to a host without tcpcrypt, in the segments that `which` picks."""

    def __init__(self, which, option):
        self.which = which
        self.option = option + bytes([KIND_NOP]) * (-len(option) % 4)

    def __call__(self, packet, frame):
        if self.which(packet):
            tcp = packet.tcp_offset
            end = tcp + (frame[tcp + 12] >> 4) * 4
            frame[end:end] = self.option
            frame[tcp + 12] += len(self.option) // 4 << 4
            lengthen(packet, frame, len(self.option))
            fix_checksum(packet, frame)
        return True


def lengthen(packet, frame, more):
    """Corrects the IP header of a frame to which some bytes were added."""
    ip = packet.ip_offset
    place = ip + 2 if frame[ip] >> 4 == 4 else ip + 4
    length = int.from_bytes(frame[place : place + 2], "big") + more
    frame[place : place + 2] = length.to_bytes(2, "big")
    if frame[ip] >> 4 == 4:
        frame[ip + 10 : ip + 12] = b"\0\0"
        frame[ip + 10 : ip + 12] = checksum(frame[ip : packet.tcp_offset]).to_bytes(2, "big")


class ReplaySegment:
    """Puts the payload of an earlier segment into one of the same length, once."""

    def __init__(self, length):
        self.length = length  # of the payloads in question, at least
        self.earlier = None
        self.count = 0

    def __call__(self, packet, frame):
        size = len(packet.payload)
        if size < self.length or self.count:
            return True
        if self.earlier is not None and size == len(self.earlier) and self.earlier != packet.payload:
            frame[len(packet.frame) - size : len(packet.frame)] = self.earlier
            fix_checksum(packet, frame)
            self.count += 1
        self.earlier = packet.payload
        return True


class CutShort(AtPlace):
    """Ends a direction with FIN at the segment that holds the place; what follows is lost."""

    def __call__(self, packet, frame):
        start = self.start_of(packet)
        if self.place < start < 1 << 31:
            return not packet.payload and not packet.has(FIN)
        if start <= self.place < start + len(packet.payload):
            frame[packet.tcp_offset + 13] |= FIN
            fix_checksum(packet, frame)
            self.count += 1
        return True


@dataclasses.dataclass
class Way:
    """One direction of a wire."""

    source: socket.socket
    target: socket.socket
    rules: list


class Wire:
    """Carries frames between interface `left` and `right` of host `middle`."""

    def __init__(self, middle, left, right):
        self.frames = []  # as they went on, in order
        self.recording = True  # not for long runs: all those frames take memory
        self.dropped = 0
        self.late = []  # heap of (time, number, way, frame, rules that it has not passed yet)
        self.numbers = itertools.count()
        self.sockets = [self.open(middle, name) for name in (left, right)]
        self.ways = [Way(*self.sockets, []), Way(*reversed(self.sockets), [])]
        self.to_right, self.to_left = (way.rules for way in self.ways)
        self.wake, self.waker = socket.socketpair()
        self.thread = threading.Thread(target=self.carry, daemon=True)

    @staticmethod
    def open(middle, interface):
        raw = middle.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.setsockopt(socket.SOL_SOCKET, SOL_SOCKET_RCVBUFFORCE, 16 << 20)
        raw.bind((interface, ETH_P_ALL))
        return raw

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.waker.close()
        self.thread.join()
        self.wake.close()
        for raw in self.sockets:
            raw.close()

    def carry(self):
        while True:
            ready, _, _ = select.select([*self.sockets, self.wake], [], [], self.patience())
            if self.wake in ready:
                return
            try:
                for way in self.ways:
                    if way.source in ready:
                        self.receive(way)
                self.send_late()
            except Exception:  # a rule's mistake: say so and carry on
                traceback.print_exc()

    def patience(self):
        """Seconds until something that was kept back is due; None: nothing is."""
        times = [entry[0] for entry in self.late[:1]]
        times += [rule.due for _, rule in self.keepers() if rule.due is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def keepers(self):
        """The rules that may keep frames back."""
        return [(way, rule) for way in self.ways for rule in list(way.rules)
                if hasattr(rule, "due")]

    def receive(self, way):
        frame, address = way.source.recvfrom(1 << 17)
        if address[2] != socket.PACKET_OUTGOING:  # what this wire sent itself
            self.apply(way, frame, list(way.rules))

    def apply(self, way, frame, rules):
        """Sends a frame through rules and, as far as they let it, onwards."""
        packet = parse(frame)
        if packet is None:
            rules = []
        for at, rule in enumerate(rules):
            changed = bytearray(packet.frame)
            verdict = rule(packet, changed)
            if isinstance(verdict, list):
                self.dispatch(way, verdict, rules[at + 1 :])
                return
            if not verdict:
                self.dropped += 1
                return
            if changed != packet.frame:
                packet = parse(bytes(changed))
        self.emit(way, packet.frame if packet else frame)

    def dispatch(self, way, sends, rules):
        """What a rule lets go in a frame's place, through the rules behind it."""
        for send in sends:
            if send.back:
                self.emit(self.ways[1 - self.ways.index(way)], send.frame)
            elif send.delay > 0:
                entry = (time.monotonic() + send.delay, next(self.numbers), way, send.frame, rules)
                heapq.heappush(self.late, entry)
            else:
                self.apply(way, send.frame, rules)

    def send_late(self):
        now = time.monotonic()
        while self.late and self.late[0][0] <= now:
            _, _, way, frame, rules = heapq.heappop(self.late)
            self.apply(way, frame, rules)
        for way, rule in self.keepers():
            if rule.due is not None and rule.due <= now:
                sends = rule.release()
                rest = way.rules[way.rules.index(rule) + 1 :] if rule in way.rules else []
                self.dispatch(way, sends, rest)

    def emit(self, way, frame):
        if self.recording:
            self.frames.append(bytes(frame))
        with contextlib.suppress(OSError):  # as on any wire: what does not fit is lost
            way.target.send(frame)

    def packets(self, port=None):
        parsed = [p for p in map(parse, list(self.frames)) if p]
        return [p for p in parsed if port is None or port in (p.src[1], p.dst[1])]

    def flows(self, port=None):
        return flows(self.packets(port))

    def contains(self, text):
        return any(text in frame for frame in list(self.frames))


def wired_hosts(net, mtu=1500):
    """Two hosts with a third between them that carries nothing yet.

    Returns (left host, right host, middle, the middle's two interfaces).
    """
    a, middle, b = net.host(), net.host(), net.host()
    middle.sysctl("ipv6/conf/all/disable_ipv6", 1)
    left, right = net.veth(a, middle), net.veth(b, middle)
    for host, name in ((a, left), (middle, left), (b, right), (middle, right)):
        switches = [word for offload in OFFLOADS for word in (offload, "off")]
        host.run(["ethtool", "-K", name, *switches])
        host.ip("link", "set", name, "mtu", str(mtu))
    net.number(a, left, net.links, 1)
    net.number(b, right, net.links, 2)
    return a, b, middle, (left, right)


def wired_pair(net, mtu=1500):
    """Two hosts joined by a Wire through a third; returns (left host, right host, wire)."""
    a, b, middle, (left, right) = wired_hosts(net, mtu)
    return a, b, net.use(Wire(middle, left, right))
