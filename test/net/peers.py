# SPDX-License-Identifier: BSD-2-Clause
"""The peer of test/peer as the neighbour of a host."""
import pathlib
import socket
import sys

from packets import ETH_P_ALL, SOL_SOCKET_RCVBUFFORCE
from wire import OFFLOADS

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peer"))

from tcp import Link  # noqa: E402


def neighbour(net, host):
    """Puts a Link, the peer's, next to a host."""
    home = net.host()
    name = net.link(host, home)
    for end in (host, home):
        switches = [word for offload in OFFLOADS for word in (offload, "off")]
        end.run(["ethtool", "-K", name, *switches])
    with home.inside():
        mac = mac_address(name)
    raw = home.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.setsockopt(socket.SOL_SOCKET, SOL_SOCKET_RCVBUFFORCE, 16 << 20)
    raw.bind((name, ETH_P_ALL))
    return net.use(Link(raw, mac, f"10.{net.links}.0.77"))


def mac_address(interface):
    """The MAC address of an interface of the calling thread's host."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((interface, 0))
        return raw.getsockname()[4]
