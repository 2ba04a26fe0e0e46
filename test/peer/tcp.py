# SPDX-License-Identifier: BSD-2-Clause
"""A small TCP of our own on an AF_PACKET socket, for what no kernel's TCP can be made to do.

A Link gives a namespace's interface one more IPv4 address, of which the kernel there knows
nothing. A Connection does as it is told: every segment can be sent with the options, flags
and bytes of the test's choice. By itself it only acknowledges, keeps the byte stream in
order and repeats what send() sent.
"""
import contextlib
import dataclasses
import random
import select
import socket
import struct
import threading
import time

ETH_P_ALL = 0x0003
FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
KIND_END, KIND_NOP, KIND_MSS, KIND_ENO = 0, 1, 2, 69
KIND_SCALE = 3
MSS = bytes([KIND_MSS, 4, 0x05, 0xB4])
SCALE = bytes([KIND_SCALE, 3, 0, KIND_NOP])  # window scaling, by 0 here
PATIENCE = 20.0
REPEAT_SECONDS = 0.5


class Violation(Exception):
    """The other end did what an RFC forbids."""


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclasses.dataclass
class Segment:
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int = 65535
    urgent: int = 0
    options: bytes = b""
    payload: bytes = b""

    def has(self, flags):
        return self.flags & flags == flags

    def eno(self):
        """The ENO options, kind and length included."""
        return [whole for kind, whole in split_options(self.options) if kind == KIND_ENO]

    def encode(self, source, destination):
        options = self.options + bytes([KIND_NOP]) * (-len(self.options) % 4)
        header = struct.pack(
            "!HHIIBBHHH", self.sport, self.dport, self.seq & 0xFFFFFFFF, self.ack & 0xFFFFFFFF,
            (20 + len(options)) // 4 << 4, self.flags, self.window, 0, self.urgent,
        )
        body = header + options + self.payload
        pseudo = source + destination + struct.pack("!HH", socket.IPPROTO_TCP, len(body))
        return body[:16] + struct.pack("!H", checksum(pseudo + body)) + body[18:]


def split_options(area):
    found, at = [], 0
    while at < len(area) and area[at] != KIND_END:
        if area[at] == KIND_NOP:
            at += 1
            continue
        if at + 1 >= len(area) or not 2 <= area[at + 1] <= len(area) - at:
            raise Violation(f"broken TCP option area {area.hex()}")
        found.append((area[at], area[at : at + area[at + 1]]))
        at += area[at + 1]
    return found


def decode(source, destination, body):
    pseudo = source + destination + struct.pack("!HH", socket.IPPROTO_TCP, len(body))
    if checksum(pseudo + body) != 0:
        raise Violation("wrong TCP checksum")
    fields = struct.unpack_from("!HHIIBBHHH", body)
    start = (fields[4] >> 4) * 4
    return Segment(*fields[:4], fields[5], fields[6], fields[8], body[20:start], body[start:])


class Link:
    """An IPv4 address on an interface, and the connections that live there."""

    def __init__(self, raw, mac, address):
        self.raw = raw  # a bound AF_PACKET socket
        self.mac = mac
        self.address = address
        self.own = socket.inet_aton(address)
        self.macs = {}
        self.connections = {}  # (own port, (address, port)) -> Connection
        self.arrivals = []  # SYNs to nobody yet: (address, segment)
        self.violations = []
        self.changed = threading.Condition()
        self.wake, self.waker = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.next_port = 20000

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.waker.close()
        self.thread.join()
        self.wake.close()
        self.raw.close()

    def run(self):
        while True:
            ready, _, _ = select.select([self.raw, self.wake], [], [])
            if self.wake in ready:
                return
            frame, address = self.raw.recvfrom(1 << 17)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            with self.changed:
                try:
                    self.receive(frame)
                except Violation as violation:
                    self.violations.append(violation)
                self.changed.notify_all()

    def receive(self, frame):
        if frame[12:14] == b"\x08\x06":
            self.receive_arp(frame[14:42])
        elif frame[12:14] == b"\x08\x00" and frame[30:34] == self.own and frame[23] == 6:
            start, end = 14 + (frame[14] & 15) * 4, 14 + int.from_bytes(frame[16:18], "big")
            source = socket.inet_ntoa(frame[26:30])
            self.macs[source] = frame[6:12]
            self.receive_segment(source, decode(frame[26:30], self.own, frame[start:end]))

    def receive_arp(self, arp):
        operation, mac, source, target = arp[6:8], arp[8:14], arp[14:18], arp[24:28]
        if target != self.own:
            return
        self.macs[socket.inet_ntoa(source)] = mac
        if operation == b"\0\x01":
            self.send_arp(2, mac, source)

    def send_arp(self, operation, mac, address):
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + self.mac + self.own
        self.raw.send(mac + self.mac + b"\x08\x06" + arp + mac + address)

    def receive_segment(self, source, segment):
        connection = self.connections.get((segment.dport, (source, segment.sport)))
        if connection:
            connection.receive(segment)
        elif segment.flags & (SYN | ACK) == SYN:
            self.arrivals.append((source, segment))

    def send(self, address, segment, source=None):
        source = source or self.own
        with self.changed:
            if address not in self.macs:
                self.send_arp(1, b"\xff" * 6, socket.inet_aton(address))
                self.wait(lambda: address in self.macs, f"the MAC address of {address}")
        destination = socket.inet_aton(address)
        body = segment.encode(source, destination)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, 6, 0)
        ip += source + destination
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        self.raw.send(self.macs[address] + self.mac + b"\x08\x00" + ip + body)

    def wait(self, condition, what, timeout=PATIENCE):
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise TimeoutError(f"the peer waited in vain for {what}")
            return condition()

    def open(self, address, port):
        """A connection that has sent nothing yet."""
        self.next_port += 1
        return Connection(self, self.next_port, (address, port))

    def accept(self, port):
        """The connection of the next SYN to a port; it has sent nothing yet."""

        def arrived():
            return [a for a in self.arrivals if a[1].dport == port]

        with self.changed:
            self.wait(arrived, f"a SYN to port {port}")
            source, syn = arrived()[0]
            self.arrivals = [a for a in self.arrivals if a[1].sport != syn.sport]
            connection = Connection(self, port, (source, syn.sport))
            connection.receive(syn)
        return connection


class Connection:
    """One end of a TCP connection. options: those of every segment that names no others."""

    def __init__(self, link, port, remote):
        self.link = link
        self.port = port
        self.remote = remote
        self.iss = random.getrandbits(32)
        self.next = self.iss  # the next byte's sequence number
        self.acked = self.iss
        self.irs = None
        self.window = 65535
        self.received = []  # every segment that came, and what was sent: ("in"/"out", segment)
        self.early = {}  # payloads that came before their turn
        self.stream = bytearray()
        self.ended = False  # FIN came
        self.reset = False  # RST came
        self.acknowledges = True
        self.options = b""
        self.pending = []  # (seq, flags, payload) that send() may have to repeat
        link.connections[port, remote] = self

    def wait(self, condition, what, timeout=PATIENCE):
        return self.link.wait(condition, what, timeout)

    # ---- in ----

    def expected(self):
        if self.irs is None:
            return 0
        return (self.irs + 1 + len(self.stream) + self.ended) & 0xFFFFFFFF

    def receive(self, segment):
        self.received.append(("in", segment))
        if segment.has(RST):
            self.reset = True
            return
        if segment.has(SYN):
            self.irs = segment.seq
        if segment.has(ACK):
            self.window = segment.window << (0 if segment.has(SYN) else self.scale())
            if (segment.ack - self.acked) & 0xFFFFFFFF <= (self.next - self.acked) & 0xFFFFFFFF:
                self.acked = segment.ack
            self.pending = [p for p in self.pending
                            if 0 < (p[0] + len(p[2]) - self.acked) & 0xFFFFFFFF < 1 << 31]
        if segment.payload or segment.has(FIN):
            self.receive_data(segment)
            if self.acknowledges and not segment.has(SYN):
                self.ack()

    def scale(self):
        """The other end's window shift, if both ends offered one."""
        shifts = {}
        for way, segment in self.received:
            for kind, whole in split_options(segment.options) if segment.has(SYN) else []:
                if kind == KIND_SCALE:
                    shifts[way] = whole[2]
        return shifts.get("in", 0) if len(shifts) == 2 else 0

    def receive_data(self, segment):
        at = (segment.seq - self.irs - 1) & 0xFFFFFFFF
        if at < 1 << 31 and not segment.has(SYN):
            self.early[at] = (segment.payload, segment.has(FIN))
        for start in sorted(self.early):
            payload, fin = self.early[start]
            if start > len(self.stream) or self.ended:
                continue
            overlap = bytes(self.stream[start : start + len(payload)])
            # 8548-3.6-4: the same bytes for the same sequence numbers.
            if overlap != payload[: len(overlap)]:
                raise Violation("a retransmission differs from the first transmission")
            self.stream += payload[len(overlap) :]
            if fin:
                self.ended = True
            del self.early[start]

    def first(self, flags, without=0):
        """The first segment that came with these flags and without those, or None."""
        for way, segment in self.received:
            if way == "in" and segment.has(flags) and not segment.flags & without:
                return segment
        return None

    def incoming(self):
        return [segment for way, segment in self.received if way == "in"]

    # ---- out ----

    def segment(self, flags, payload=b"", seq=None, options=None, urgent=0, window=65535):
        """Sends one segment; only its caller moves the sequence number on."""
        out = Segment(
            self.port, self.remote[1], self.next if seq is None else seq,
            self.expected() if flags & ACK else 0, flags, window, urgent,
            self.options if options is None else options, payload,
        )
        with self.link.changed:
            self.received.append(("out", out))
        self.link.send(self.remote[0], out)

    def syn(self, options=b"", flags=SYN, payload=b""):
        """SYN, or with ACK among the flags SYN-ACK; payload is not counted as sent."""
        self.next = (self.iss + 1) & 0xFFFFFFFF
        self.segment(flags, payload, seq=self.iss, options=MSS + options)

    def synack(self, options=b""):
        self.syn(options, SYN | ACK)

    def ack(self, options=None):
        self.segment(ACK, options=options)

    def fin(self):
        self.segment(FIN | ACK)
        self.next = (self.next + 1) & 0xFFFFFFFF

    def rst(self):
        self.segment(RST | ACK)

    def send(self, data, size=1400, timeout=PATIENCE, options=None):
        """Sends bytes in segments of a size, as the window allows; returns how many it could."""
        end = time.monotonic() + timeout
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            while not self.fits(len(piece)):
                if self.reset or time.monotonic() > end:
                    return at
                with self.link.changed:
                    self.link.changed.wait(min(REPEAT_SECONDS, timeout))
                self.repeat()
            flags = ACK | (PSH if at + size >= len(data) else 0)
            with self.link.changed:
                seq = self.next
                self.pending.append((seq, flags, piece))
                self.next = (seq + len(piece)) & 0xFFFFFFFF
            self.segment(flags, piece, seq, options)
        return len(data)

    def fits(self, length):
        return (self.next - self.acked) & 0xFFFFFFFF <= self.window - length

    def repeat(self):
        """Sends the first unacknowledged segment again, should one be lost or the window shut."""
        with self.link.changed:
            first = self.pending[:1]
        for seq, flags, piece in first:
            self.segment(flags, piece, seq)

    # ---- waiting ----

    def wait_for(self, flags, what, without=0):
        return self.wait(lambda: self.first(flags, without), what)

    def wait_bytes(self, length):
        """Waits until the stream has so many bytes; EOFError when it ends before."""
        self.wait(lambda: len(self.stream) >= length or self.reset or self.ended,
                  f"{length} bytes")
        if len(self.stream) < length:
            raise EOFError("reset" if self.reset else "FIN")
        return bytes(self.stream[:length])

    def wait_acked(self):
        self.wait(lambda: self.acked == self.next or self.reset, "an acknowledgement")

    def wait_reset(self):
        self.wait(lambda: self.reset, "RST")

    def close(self):
        """Forgets the connection, and so that the other end does as well, resets it."""
        with contextlib.suppress(OSError):
            if not self.reset and self.irs is not None:
                self.rst()
        self.link.connections.pop((self.port, self.remote), None)
