# SPDX-License-Identifier: BSD-2-Clause
"""A router that refuses: answers SYNs to some subnets with an ICMP error, as a real one would,
without the kernel's limits on how often, and not within the sender's own call."""
import ipaddress
import socket

import packets
from harness import setns

# subnet -> (type, code): host unreachable, administratively prohibited; IPv6: no route, policy.
ANSWERS = {
    "10.210.0.0/24": (3, 1),
    "10.211.0.0/24": (3, 13),
    "fd00:210::/64": (1, 0),
    "fd00:211::/64": (1, 1),
}


def checksum(data):
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def icmp_error(kind, code, quoted, v4):
    """The kernel adds the sum of an ICMPv6 message, not that of an ICMP one."""
    body = bytes([kind, code, 0, 0, 0, 0, 0, 0]) + quoted + bytes(len(quoted) % 2)
    return body[:2] + checksum(body).to_bytes(2, "big") + body[4:] if v4 else body


def answer_for(packet):
    destination = ipaddress.ip_address(packet.dst[0])
    for subnet, answer in ANSWERS.items():
        if destination in ipaddress.ip_network(subnet):
            return answer
    return None


def serve(host):
    """Until the process ends."""
    with open(host.path) as namespace:
        setns(namespace)
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    link.bind((host.interfaces[0], packets.ETH_P_ALL))
    out = {
        4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
    }
    while True:
        packet = packets.parse(link.recv(1 << 17))
        answer = answer_for(packet) if packet and packet.flags & packets.SYN else None
        if not answer:
            continue
        version = packet.frame[14] >> 4
        message = icmp_error(*answer, packet.frame[14:], version == 4)
        out[version].sendto(message, (packet.src[0], 0))
