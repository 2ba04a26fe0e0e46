# SPDX-License-Identifier: BSD-2-Clause
"""A TCP client made by hand, from an address that no kernel owns: it sends what no TCP of Linux
would, in packets that no Linux would make."""
import json
import select
import socket
import struct
import time

from harness import PATIENCE
from packets import ETH_P_ALL, parse
from wire import checksum

# How a segment is packed: as it is, in two fragments, or (IPv6) behind extension headers, or many.
WHOLE, FRAGMENTS, HEADERS, MANY_HEADERS = range(4)
FIRST_FRAGMENT = 24  # with the TCP header, but for its options: IPv6 insists
MANY_NOPS = b"\x01" * 8

HOP_BY_HOP, FRAGMENT, DESTINATION = 0, 44, 60
NOTHING = bytes([1, 4, 0, 0, 0, 0])  # an option that fills the header


class Client:
    """At an address of its own, on host's link."""

    def __init__(self, net, host, server, port, family=socket.AF_INET):
        self.serial = net.serials = getattr(net, "serials", 0) + 1
        self.family = family
        own = f"10.{net.links}.0.77" if family == socket.AF_INET else f"fd00:{net.links}::77"
        self.address = (own, 30000 + self.serial)
        self.server = (server.addresses[family], port)
        name = host.interfaces[0]
        self.mac = self.mac_of(host, name)
        self.server_mac = self.mac_of(server, server.interfaces[0])
        server.ip("neigh", "replace", self.address[0], "lladdr", format_mac(self.mac), "dev",
                  server.interfaces[0])
        self.raw = host.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.raw.bind((name, ETH_P_ALL))
        self.sequence = 1000 * self.serial

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    @staticmethod
    def mac_of(host, name):
        (link,) = json.loads(host.run(["ip", "-json", "link", "show", name]).stdout)
        return bytes.fromhex(link["address"].replace(":", ""))

    def send(self, flags, options=b"", payload=b"", acknowledge=0, packing=WHOLE):
        options += b"\x01" * (-len(options) % 4)
        header = struct.pack(
            "!HHIIBBHHH", self.address[1], self.server[1], self.sequence, acknowledge,
            (20 + len(options)) // 4 << 4, flags, 65535, 0, 0,
        )
        tcp = header + options + payload
        ends = b"".join(socket.inet_pton(self.family, e[0]) for e in (self.address, self.server))
        pseudo = ends + struct.pack("!II", len(tcp), socket.IPPROTO_TCP)
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        for ip in self.packed(tcp, ends, packing):
            kind = b"\x08\x00" if self.family == socket.AF_INET else b"\x86\xdd"
            self.raw.send(self.server_mac + self.mac + kind + ip)

    def packed(self, tcp, ends, packing):
        """The IP packets that carry a segment."""
        if packing in (HEADERS, MANY_HEADERS):
            more = bytes([DESTINATION, 0]) + NOTHING
            more *= 1 if packing == HEADERS else 100
            return [ipv6(ends, HOP_BY_HOP, more + bytes([socket.IPPROTO_TCP, 0]) + NOTHING + tcp)]
        pieces = [tcp[:FIRST_FRAGMENT], tcp[FIRST_FRAGMENT:]] if packing == FRAGMENTS else [tcp]
        make = ipv4_fragment if self.family == socket.AF_INET else ipv6_fragment
        at, packets = 0, []
        for piece in pieces:
            packets.append(make(ends, at, at + len(piece) < len(tcp), piece))
            at += len(piece)
        return packets

    def receive(self, wanted, what):
        """The server's next segment that `wanted` accepts."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ready, _, _ = select.select([self.raw], [], [], 1)
            packet = parse(self.raw.recv(1 << 16)) if ready else None
            if packet and packet.dst == self.address and wanted(packet):
                return packet
        raise TimeoutError(f"waited in vain for {what}")


def format_mac(raw):
    return raw.hex(":")


def ipv4_fragment(ends, at, more, payload):
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 4242, more << 13 | at // 8, 64,
                     socket.IPPROTO_TCP, 0) + ends
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + payload


def ipv6_fragment(ends, at, more, payload):
    if not at and not more:
        return ipv6(ends, socket.IPPROTO_TCP, payload)
    header = struct.pack("!BBHI", socket.IPPROTO_TCP, 0, at | more, 4242)
    return ipv6(ends, FRAGMENT, header + payload)


def ipv6(ends, following, payload):
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + ends + payload
