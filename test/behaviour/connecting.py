# SPDX-License-Identifier: BSD-2-Clause
"""connect() that fails, in every way of waiting for it, and what can be done afterwards."""
import errno
import functools
import select
import socket
import struct
import threading

from cases import case
from harness import wait_for
from packets import SYN
from program import PATIENCE, disconnect, error_name, event_names

FOREVER = PATIENCE * 1000

# kind of route at the client -> its subnet; those behind the server's host go to router.py.
ROUTES = {"unreachable": 200, "prohibit": 201, "blackhole": 202}
UNREACHABLE, PROHIBITED, SILENT, NO_ROUTE = 210, 211, 212, 203


def add_routes(client, server):
    for kind, number in ROUTES.items():
        for option, subnet in subnets(number):
            client.ip(option, "route", "add", kind, subnet)
    for number in (UNREACHABLE, PROHIBITED, SILENT):
        for (option, subnet), address in zip(subnets(number), server.addresses.values()):
            client.ip(option, "route", "add", subnet, "via", address)
            server.ip(option, "route", "add", "blackhole", subnet)


def subnets(number):
    return ("-4", f"10.{number}.0.0/24"), ("-6", f"fd00:{number}::/64")


def in_subnet(number, me):
    return f"10.{number}.0.1" if me.family == socket.AF_INET else f"fd00:{number}::1"


def no_neighbour(me):
    address = me.own[me.family]
    return address.rpartition("." if me.family == socket.AF_INET else ":")[0] + (
        ".77" if me.family == socket.AF_INET else ":77")


TARGETS = {
    "closed port": lambda me: me.peer[me.family],
    "silence": lambda me: in_subnet(SILENT, me),
    "unreachable at a router": lambda me: in_subnet(UNREACHABLE, me),
    "prohibited at a router": lambda me: in_subnet(PROHIBITED, me),
    "no such neighbour": no_neighbour,
    "no route": lambda me: in_subnet(NO_ROUTE, me),
    "unreachable route": lambda me: in_subnet(ROUTES["unreachable"], me),
    "prohibited route": lambda me: in_subnet(ROUTES["prohibit"], me),
    "black hole": lambda me: in_subnet(ROUTES["blackhole"], me),
}


# ---- ways to wait -------------------------------------------------------------------------


def whole(events):
    """The events of a failure, once it is complete: the kernel sets the error first, then the
    state and, some instructions later, shuts both directions."""
    ended = select.POLLHUP | select.POLLRDHUP
    mask = events()
    while mask & select.POLLERR and mask & ended != ended:
        mask = events()
    return event_names(mask)


def by_poll(sock):
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT | select.POLLPRI | select.POLLRDHUP)
    return whole(lambda: poll.poll(FOREVER)[0][1])


def by_select(sock):
    ready = select.select([sock], [sock], [sock], PATIENCE)
    return "".join(letter for letter, found in zip("rwx", ready) if found)


def by_epoll(sock, flags):
    mask = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP
    with select.epoll() as epoll:
        epoll.register(sock, mask | flags)
        return whole(lambda: epoll.poll(PATIENCE)[0][1])


WAYS = {
    "poll": by_poll,
    "select": by_select,
    "epoll": functools.partial(by_epoll, flags=0),
    "epoll edge": functools.partial(by_epoll, flags=select.EPOLLET),
}


def attempt(me, sock, address, way):
    """One connect(), waited for; notes all that it says."""
    if way == "blocking":
        me.call("connect", sock.connect, address)
        return
    sock.setblocking(False)
    error = me.call("connect", sock.connect, address)
    if error is None or error.errno == errno.EINPROGRESS:
        events = WAYS[way](sock)
        errors = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for _ in range(2)]
        me.see(f"{way}: {events}; SO_ERROR", [error_name(number) for number in errors])
    else:
        me.see("no need to wait")
    sock.setblocking(True)


def fails(me, target, way):
    with me.socket() as sock:
        attempt(me, sock, (TARGETS[target](me), me.port()), way)
        me.now_event(sock)
        me.call("send", sock.send, b"x", socket.MSG_NOSIGNAL)
        me.call("recv", sock.recv, 1, socket.MSG_DONTWAIT)
        me.call("getpeername", sock.getpeername)


for _target in TARGETS:
    for _way in ("blocking", *WAYS):
        case(f"connect, {_target}, {_way}",
             functools.partial(fails, target=_target, way=_way), families=("v4", "v6"))


# ---- connect() that succeeds ---------------------------------------------------------------


def greet(me):
    """A server that reads to the end and then answers."""
    with me.accept() as conn:
        me.read_to_end(conn)
        conn.sendall(b"hello")


def succeeds(me, way):
    me.hear()
    with me.socket() as sock:
        attempt(me, sock, me.target(), way)
        me.call("connect again", sock.connect, me.target())
        sock.sendall(b"thanks")
        sock.shutdown(socket.SHUT_WR)
        me.read_to_end(sock)


for _way in ("blocking", *WAYS):
    case(f"connect, success, {_way}", functools.partial(succeeds, way=_way), greet,
         families=("v4", "v6"))


def twice(me):
    """EALREADY while it is under way, then its end."""
    with me.socket() as sock:
        sock.setblocking(False)
        address = (TARGETS["silence"](me), me.port())
        me.call("connect", sock.connect, address)
        me.call("connect again", sock.connect, address)
        me.see("TCP_INFO state", me.state(sock))
        me.now_event(sock)
        me.call("send", sock.send, b"x", socket.MSG_NOSIGNAL)
        me.call("recv", sock.recv, 1)
        me.see("poll", by_poll(sock))
        me.call("connect after the end", sock.connect, address)


case("connect twice while it is under way", twice)


def wait_refused(me, sock, port):
    sock.setblocking(False)
    me.call("connect", sock.connect, (me.peer[me.family], port))
    me.see("poll", by_poll(sock))


def error_by_connect(me):
    """The error is told by the second connect() and told once."""
    with me.socket() as sock:
        wait_refused(me, sock, me.port(1))
        me.call("second connect", sock.connect, (me.peer[me.family], me.port(1)))
        me.error(sock)


case("error told by a second connect", error_by_connect)


def again_after_failure(me):
    me.hear()
    with me.socket() as sock:
        me.call("connect to a closed port", sock.connect, me.target(1))
        me.names(sock, "after the failure")
        me.call("connect to the server", sock.connect, me.target())
        me.names(sock, "after success")
        sock.sendall(b"thanks")
        sock.shutdown(socket.SHUT_WR)
        me.read_to_end(sock)


case("connect again after a failure", again_after_failure, greet, families=("v4", "v6"))


def greet_twice(me):
    listeners = [me.listen(0, tell=False), me.listen(1, tell=False)]
    me.tell("listening")
    with listeners[0].accept()[0] as conn:
        conn.sendall(b"hello")
        me.read_to_end(conn)
    with listeners[1].accept()[0] as conn:
        me.read_to_end(conn)
        conn.sendall(b"hello")


def connect_elsewhere(me):
    me.hear()
    with me.socket() as sock:
        me.call("connect", sock.connect, me.target())
        me.see("read", sock.recv(5))
        me.call("disconnect", disconnect, sock)
        me.names(sock, "after it")
        me.call("connect elsewhere", sock.connect, me.target(1))
        me.names(sock, "then")
        sock.sendall(b"thanks")
        sock.shutdown(socket.SHUT_WR)
        me.read_to_end(sock)


case("connect(AF_UNSPEC), then elsewhere", connect_elsewhere, greet_twice, families=("v4", "v6"))


def give_up(me):
    """connect(AF_UNSPEC) while it is under way, then to somebody who is there."""
    me.hear()
    with me.socket() as sock:
        sock.setblocking(False)
        me.call("connect", sock.connect, (TARGETS["silence"](me), me.port()))
        me.call("disconnect", disconnect, sock)
        me.error(sock)
        me.names(sock)
        sock.setblocking(True)
        me.call("connect", sock.connect, me.target())
        sock.sendall(b"thanks")
        sock.shutdown(socket.SHUT_WR)
        me.read_to_end(sock)


case("connect(AF_UNSPEC) while under way", give_up, greet)


def close_early(me):
    me.hear()
    with me.socket() as sock:
        sock.setblocking(False)
        me.call("connect", sock.connect, (TARGETS["silence"](me), me.port()))
    with me.socket() as sock:
        me.call("connect", sock.connect, me.target())
        sock.sendall(b"thanks")
        sock.shutdown(socket.SHUT_WR)
        me.read_to_end(sock)


case("close while connecting", close_early, greet)


def shutdown_early(me):
    with me.socket() as sock:
        sock.setblocking(False)
        me.call("shutdown before", sock.shutdown, socket.SHUT_WR)
        me.call("connect", sock.connect, (TARGETS["silence"](me), me.port()))
        me.call("shutdown while connecting", sock.shutdown, socket.SHUT_RDWR)
        me.see("TCP_INFO state", me.state(sock))
        me.now_event(sock)
        me.error(sock)


case("shutdown while connecting", shutdown_early)


def send_timeout(me):
    """SO_SNDTIMEO bounds connect()."""
    with me.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 200_000))
        me.call("connect", sock.connect, (TARGETS["silence"](me), me.port()))
        me.see("TCP_INFO state", me.state(sock))


case("SO_SNDTIMEO bounds connect", send_timeout)


def syn_count(me):
    """TCP_SYNCNT bounds how often is asked, on the wire too. (How often exactly, the kernel
    reckons from more than this.)"""
    wire = me.capture()
    with me.socket() as first, me.socket() as second:
        retries = first.getsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT)
        second.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, retries + 1)
        for index, sock in enumerate((first, second)):
            sock.setblocking(False)
            sock.connect_ex((TARGETS["silence"](me), me.port(index)))
        me.see("both", [by_poll(first), by_poll(second)])
        wait_for(lambda: asked(wire, me.port(1)) > asked(wire, me.port()), "more SYNs")
        me.see("more SYNs than without")


def asked(wire, port):
    return len([p for p in wire.packets() if p.flags & SYN and p.dst[1] == port])


case("TCP_SYNCNT on the wire", syn_count)


def poll_elsewhere(me, index):
    """One thread connects, another one waits."""
    me.hear()
    with me.socket() as sock:
        sock.setblocking(False)
        started, seen = threading.Event(), []

        def watch():
            started.wait()
            seen.append(by_poll(sock))

        thread = threading.Thread(target=watch)
        thread.start()
        me.call("connect", sock.connect, me.target(index))
        started.set()
        thread.join()
        me.see("the other thread's poll", seen)
        me.error(sock)
        sock.setblocking(True)
        me.call("send", sock.send, b"thanks", socket.MSG_NOSIGNAL)
        me.call("shutdown", sock.shutdown, socket.SHUT_WR)
        me.read_to_end(sock)


case("connect in one thread, poll in another",
     functools.partial(poll_elsewhere, index=0), greet)
case("connect in one thread, poll in another, refused",
     functools.partial(poll_elsewhere, index=1), lambda me: me.listen().close(), inproc=False)


def fork_between(me):
    """The child uses what the parent has connected; a duplicate outlives its original."""
    sock = me.connect()
    me.in_child(lambda: sock.sendall(b"from the child"))
    copy = sock.dup()
    sock.close()
    me.names(copy, "of the duplicate")
    copy.sendall(b", from the parent")
    copy.shutdown(socket.SHUT_WR)
    me.read_to_end(copy)


case("fork between connect and use, dup", fork_between, greet, families=("v4", "v6"))


def fork_while_connecting(me):
    me.hear()
    sock = me.socket()
    sock.setblocking(False)
    me.call("connect", sock.connect, me.target())

    def use():
        by_poll(sock)
        sock.setblocking(True)
        sock.sendall(b"from the child")

    me.in_child(use)
    sock.setblocking(True)
    sock.shutdown(socket.SHUT_WR)
    me.read_to_end(sock)


case("fork while connecting", fork_while_connecting, greet)


def refused_many(me):
    """Every failure of many at once is told."""
    socks = [me.socket() for _ in range(20)]
    for sock in socks:
        sock.setblocking(False)
        sock.connect_ex(me.target())
    for sock in socks:
        by_poll(sock)
    found = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for sock in socks]
    me.see("errors", sorted({error_name(number) for number in found}))


case("twenty refusals at once", refused_many)
