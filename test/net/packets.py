# SPDX-License-Identifier: BSD-2-Clause
"""Captured frames: what a wire saw, as packets, TCP options, connections and byte streams."""
import dataclasses
import select
import socket
import struct
import threading

ETH_P_ALL = 0x0003
SOL_SOCKET_RCVBUFFORCE = 33
FRAGMENT = 0x3FFF  # more of them bit and offset
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
KIND_END, KIND_NOP, KIND_ENO = 0, 1, 69

INIT1_MAGIC = bytes.fromhex("15101a0e")
INIT2_MAGIC = bytes.fromhex("097105e0")


@dataclasses.dataclass
class Packet:
    """A TCP segment. src, dst: (address, port). options: (kind, offset in frame, bytes)."""

    frame: bytes
    src: tuple
    dst: tuple
    seq: int
    ack: int
    flags: int
    ip_offset: int
    tcp_offset: int
    options: list
    payload: bytes

    def has(self, flags):
        return self.flags & flags == flags

    def eno(self):
        """The whole ENO option, kind and length included, or None."""
        found = [whole for kind, _, whole in self.options if kind == KIND_ENO]
        return found[0] if found else None


def options_of(frame, start, end):
    """Walks a TCP option area; stops where it is broken."""
    found = []
    while start < end and frame[start] != KIND_END:
        if frame[start] == KIND_NOP:
            start += 1
            continue
        if start + 1 >= end or not 2 <= frame[start + 1] <= end - start:
            break
        length = frame[start + 1]
        found.append((frame[start], start, bytes(frame[start : start + length])))
        start += length
    return found


def ip_header(frame):
    """(source, destination, offset of TCP, end of packet) of a frame, or None."""
    ethertype = frame[12:14]
    if ethertype == b"\x08\x00" and len(frame) >= 34 and frame[23] == socket.IPPROTO_TCP:
        if int.from_bytes(frame[20:22], "big") & FRAGMENT:
            return None
        tcp = 14 + (frame[14] & 15) * 4
        end = 14 + int.from_bytes(frame[16:18], "big")
        addresses = [socket.inet_ntop(socket.AF_INET, frame[i : i + 4]) for i in (26, 30)]
    elif ethertype == b"\x86\xdd" and len(frame) >= 54 and frame[20] == socket.IPPROTO_TCP:
        tcp = 54
        end = 54 + int.from_bytes(frame[18:20], "big")
        addresses = [socket.inet_ntop(socket.AF_INET6, frame[i : i + 16]) for i in (22, 38)]
    else:
        return None
    return addresses[0], addresses[1], tcp, end


def parse(frame):
    """An Ethernet frame as a Packet; None when it is not TCP."""
    header = ip_header(frame)
    if header is None:
        return None
    source, destination, tcp, end = header
    sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", frame, tcp)
    data = tcp + (offset >> 4) * 4
    return Packet(
        frame=frame,
        src=(source, sport),
        dst=(destination, dport),
        seq=seq,
        ack=ack,
        flags=flags,
        ip_offset=14,
        tcp_offset=tcp,
        options=options_of(frame, tcp + 20, data),
        payload=bytes(frame[data:end]),
    )


class Flow:
    """One TCP connection in a capture, from its first SYN on."""

    def __init__(self, syn):
        self.client = syn.src
        self.server = syn.dst
        self.isn = {syn.src: syn.seq}
        self.packets = []

    def add(self, packet):
        if packet.has(SYN):
            self.isn.setdefault(packet.src, packet.seq)
        self.packets.append(packet)

    def sent_by(self, end):
        return [p for p in self.packets if p.src == end]

    def first(self, end, flags, without=0):
        """The first segment of an end with these flags set and those clear, or None."""
        for packet in self.sent_by(end):
            if packet.has(flags) and not packet.flags & without:
                return packet
        return None

    @property
    def syn(self):
        return self.first(self.client, SYN)

    @property
    def synack(self):
        return self.first(self.server, SYN | ACK)

    @property
    def ack(self):
        return self.first(self.client, ACK, without=SYN | RST)

    def position(self, packet):
        """The place of a segment's payload in its direction's byte stream."""
        return (packet.seq - self.isn[packet.src] - 1) & 0xFFFFFFFF

    def stream(self, end):
        """The bytes that an end sent, as far as they are without a gap."""
        stream = bytearray()
        for packet in sorted((p for p in self.sent_by(end) if p.payload), key=self.position):
            start = self.position(packet)
            if start > len(stream):
                break
            stream[start:] = packet.payload + bytes(stream[start + len(packet.payload) :])
        return bytes(stream)

    def closed(self):
        """Both ends sent a FIN, or one a RST."""
        ends = {p.src for p in self.packets if p.has(FIN)}
        return len(ends) == 2 or any(p.has(RST) for p in self.packets)


def flows(packets):
    """The connections of a capture in the order of their SYNs."""
    found = {}
    for packet in packets:
        if packet.flags & (SYN | ACK) == SYN:
            key = (packet.src, packet.dst)
            if key not in found or found[key].isn[packet.src] != packet.seq:
                found[key] = Flow(packet)
        flow = found.get((packet.src, packet.dst)) or found.get((packet.dst, packet.src))
        if flow:
            flow.add(packet)
    return list(found.values())


def init_length(stream):
    """The whole length of the Init message that a stream begins with."""
    return int.from_bytes(stream[4:8], "big")


def frames(stream, start):
    """The (offset, control, clen) of the frames from start on, and where they end."""
    found = []
    while start + 3 <= len(stream):
        control, clen = struct.unpack_from("!BH", stream, start)
        if start + 3 + clen > len(stream):
            break
        found.append((start, control, clen))
        start += 3 + clen
    return found, start


class Capture:
    """Records every frame that an interface of a host sends or receives."""

    def __init__(self, host, interface):
        self.socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SOL_SOCKET_RCVBUFFORCE, 64 << 20)
        self.socket.bind((interface, ETH_P_ALL))
        self.socket.setblocking(False)
        self.frames = []
        self.wake, self.waker = socket.socketpair()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.record, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.waker.close()
        self.thread.join()
        self.socket.close()
        self.wake.close()

    def record(self):
        while True:
            ready, _, _ = select.select([self.socket, self.wake], [], [])
            if self.wake in ready:
                return
            self.drain()

    def drain(self):
        """Takes what the socket holds; by either thread, so that a look is up to date."""
        with self.lock:
            while True:
                try:
                    self.frames.append(self.socket.recv(1 << 17))
                except BlockingIOError:
                    return

    def packets(self, port=None):
        """The TCP segments seen so far; port: of either end."""
        self.drain()
        parsed = [p for p in map(parse, list(self.frames)) if p]
        return [p for p in parsed if port is None or port in (p.src[1], p.dst[1])]

    def flows(self, port=None):
        return flows(self.packets(port))

    def contains(self, text):
        """Whether any one frame holds these bytes."""
        self.drain()
        return any(text in frame for frame in list(self.frames))
