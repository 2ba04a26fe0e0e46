# SPDX-License-Identifier: BSD-2-Clause
"""Who a socket says it is: getsockname, getpeername, bind, dual stack, scopes."""
import functools
import socket
import subprocess

from cases import case
from connecting import TARGETS, greet
from packets import SYN
from program import reset

IP_BIND_ADDRESS_NO_PORT = 24


def converse(me, sock):
    """The client's part of greet()."""
    sock.sendall(b"thanks")
    sock.shutdown(socket.SHUT_WR)
    me.read_to_end(sock)


def serve_names(me):
    with me.listen() as listener:
        conn, peer = listener.accept()
        me.see("accept", peer)
        me.see("accept tells the client's own name", list(peer[:2]) == me.hear())
        me.names(conn, "of the accepted")
        me.read_to_end(conn)
        me.names(conn, "after the client's end")
        me.hear()
        conn.close()


def ask_names(me):
    me.hear()
    with me.socket() as sock:
        me.names(sock, "before")
        sock.connect(me.target())
        me.names(sock, "connected")
        me.tell(*sock.getsockname()[:2])
        sock.shutdown(socket.SHUT_WR)
        me.names(sock, "after shutdown")
        me.tell("close")
        me.read_to_end(sock)
        me.names(sock, "after the server's end")


case("names through a connection's life", ask_names, serve_names, families=("v4", "v6"))


def ask_names_connecting(me):
    wire = me.capture()
    with me.socket() as sock:
        sock.setblocking(False)
        me.call("connect", sock.connect, (TARGETS["silence"](me), me.port()))
        first = wire.wait(lambda packet: packet.flags & SYN, "a SYN on the wire")
        me.names(sock, "while connecting")
        me.see("as on the wire", tuple(sock.getsockname()[:2]) == first.src)


case("names while connecting", ask_names_connecting, families=("v4", "v6"))


def serve_reset(me):
    with me.listen() as listener:
        conn, _ = listener.accept()
        conn.recv(1)
        reset(conn)


def ask_names_after_reset(me):
    sock = me.connect()
    sock.sendall(b"x")
    me.wait_event(sock, 0x18)
    me.names(sock, "after the server's RST")
    me.error(sock)
    me.names(sock, "after SO_ERROR")


case("names after RST", ask_names_after_reset, serve_reset, families=("v4", "v6"))


# ---- bind before connect ------------------------------------------------------------------


def bound(me, prepare):
    me.hear()
    with me.socket() as sock:
        prepare(me, sock)
        me.names(sock, "bound")
        me.call("connect", sock.connect, me.target())
        me.names(sock, "connected")
        converse(me, sock)


def bind_address(me, sock):
    me.call("bind", sock.bind, (me.own[me.family], 0))


def bind_no_port(me, sock):
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    bind_address(me, sock)


def bind_port(me, sock):
    me.call("bind", sock.bind, ("", me.port(5)))


def bind_both(me, sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    me.call("bind", sock.bind, (me.own[me.family], me.port(5)))


def bind_reuse_port(me, sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    me.call("bind", sock.bind, (me.own[me.family], me.port(5)))


def bind_foreign(me, sock):
    me.call("bind", sock.bind, (me.peer[me.family], 0))


def bind_loopback(me, sock):
    loopback = "127.0.0.1" if me.family == socket.AF_INET else "::1"
    me.call("bind", sock.bind, (loopback, 0))


for _text, _prepare, _carried in (
    ("to an address without a port", bind_no_port, True),
    ("to a foreign address", bind_foreign, True),
    ("to an address", bind_address, False),
    ("to a port", bind_port, False),
    ("to an address and a port", bind_both, False),
    ("with SO_REUSEPORT", bind_reuse_port, False),
):
    case(f"bind {_text}, then connect", functools.partial(bound, prepare=_prepare), greet,
         families=("v4", "v6"), carried=_carried)


def bound_to_loopback(me):
    with me.socket() as sock:
        bind_loopback(me, sock)
        me.call("connect", sock.connect, me.target())


case("bind to loopback, then connect", bound_to_loopback, carried=False)


def second_address(net, hosts):
    """Before the daemons start: what comes later they learn of a moment later."""
    client = hosts["client"]
    client.ip("addr", "add", "10.1.0.9/24", "dev", client.interfaces[0])


def bound_source(me):
    """A second address of the host's own is what the server sees."""
    me.hear()
    with me.socket() as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        me.call("bind", sock.bind, ("10.1.0.9", 0))
        me.call("connect", sock.connect, me.target())
        me.names(sock)
        converse(me, sock)


def serve_source(me):
    with me.listen() as listener:
        conn, peer = listener.accept()
        me.see("accept", peer)
        me.read_to_end(conn)
        conn.close()


case("a chosen source address", bound_source, serve_source, own_net=True,
     prepare=second_address)


# ---- dual stack, v4-mapped, link-local ----------------------------------------------------


def serve_dual(me):
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", me.port()))
    listener.listen()
    me.tell("listening")
    for _ in range(2):
        conn, peer = listener.accept()
        me.see("accept", peer)
        me.names(conn)
        me.read_to_end(conn)
        conn.sendall(b"hello")
        conn.close()


def connect_both(me):
    me.hear()
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(family) as sock:
            sock.connect((me.peer[family], me.port()))
            me.names(sock)
            converse(me, sock)


case("dual-stack listener", connect_both, serve_dual)


def connect_mapped(me):
    me.hear()
    with socket.socket(socket.AF_INET6) as sock:
        address = "::ffff:" + me.peer[socket.AF_INET]
        me.call("connect to a closed port", sock.connect, (address, me.port(1)))
    with socket.socket(socket.AF_INET6) as sock:
        me.call("connect", sock.connect, (address, me.port()))
        me.names(sock)
        converse(me, sock)


case("v4-mapped destination", connect_mapped, greet)


def link_local(host):
    shown = subprocess.run(["ip", "-6", "-o", "addr", "show", "dev", host.interfaces[0],
                            "scope", "link"], capture_output=True, text=True, check=True)
    return shown.stdout.split()[3].partition("/")[0]


def serve_link_local(me):
    with me.listen() as listener:
        me.tell(link_local(me.host))
        conn, peer = listener.accept()
        me.see("accept tells the client's own address", peer[0].partition("%")[0] == me.hear())
        me.see("scope", peer[3])
        me.read_to_end(conn)
        conn.sendall(b"hello")
        conn.close()


def connect_link_local(me):
    me.hear()
    address = me.hear()
    with me.socket() as sock:
        me.call("connect without scope", sock.connect, (address, me.port()))
        scope = socket.if_nametoindex(me.host.interfaces[0])
        me.call("connect", sock.connect, (address, me.port(), 0, scope))
        me.see("getpeername's scope", sock.getpeername()[3])
        me.tell(link_local(me.host))
        converse(me, sock)


case("link-local IPv6 with scope", connect_link_local, serve_link_local, families=("v6",),
     carried=False)
