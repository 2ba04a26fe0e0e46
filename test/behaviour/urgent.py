# SPDX-License-Identifier: BSD-2-Clause
"""Urgent data: marks that follow each other, and bytes that nobody reads."""
import ctypes
import os
import select
import signal
import socket

from cases import case
from ends import as_client, as_server
from harness import wait_for
from program import unread

OOB, NOW = socket.MSG_OOB, socket.MSG_DONTWAIT
GRACE = 10  # seconds
libc = ctypes.CDLL(None, use_errno=True)


def says(*steps):
    """Sends one step each time that the other end wants more; those with ! end urgently."""

    def sends(me, sock):
        for step in steps:
            me.hear()
            sock.sendall(step, OOB if step.endswith(b"!") or step.endswith(b"?") else 0)
        me.hear()
        sock.close()

    return sends


def reader(*steps):
    """A case in which the client reads what the steps say, and what does so natively."""

    def decorate(reads):
        case(f"urgent data: {reads.__doc__}", as_client(ends(reads)), as_server(says(*steps)))
        return reads

    return decorate


def ends(reads):
    def whole(me, sock):
        reads(me, sock)
        me.tell("end")
        me.read_to_end(sock)
        sock.close()

    return whole


def urgent(me, sock):
    me.tell("more")
    me.wait_event(sock, select.POLLPRI, "poll", GRACE)


def oob(me, sock, flags=0):
    me.call("recv MSG_OOB", sock.recv, 1, OOB | NOW | flags)


def read(me, sock, size=100, flags=0):
    me.call("recv", sock.recv, size, NOW | flags)


def mark(me, sock):
    me.see("sockatmark", libc.sockatmark(sock.fileno()))


@reader(b"a!", b"b?")
def follow(me, sock):
    """a second mark before the first is read"""
    urgent(me, sock)
    me.tell("more")
    me.wait_unread(sock, 3)
    me.see("unread", unread(sock))
    oob(me, sock)
    oob(me, sock)
    read(me, sock)
    mark(me, sock)


@reader(b"a!", b"b?")
def follow_read(me, sock):
    """a second mark when the first was read"""
    urgent(me, sock)
    oob(me, sock)
    urgent(me, sock)
    oob(me, sock)
    read(me, sock)
    mark(me, sock)
    read(me, sock)


@reader(b"a!", b"b?", b"c")
def follow_at_mark(me, sock):
    """a second mark when the reader is at the first"""
    urgent(me, sock)
    read(me, sock)
    mark(me, sock)
    me.tell("more")
    me.wait_unread(sock, 1)
    me.wait_event(sock, select.POLLPRI, "poll", GRACE)
    read(me, sock)
    mark(me, sock)
    oob(me, sock)
    me.tell("more")
    me.see("recv", sock.recv(1))
    mark(me, sock)


@reader(b"a!", b"b")
def nobody_reads(me, sock):
    """a byte that nobody reads"""
    urgent(me, sock)
    me.see("unread", unread(sock))
    read(me, sock)
    mark(me, sock)
    me.see("unread", unread(sock))
    read(me, sock)
    mark(me, sock)
    oob(me, sock)
    me.tell("more")
    me.see("recv", sock.recv(10))


@reader(b"!", b"a")
def alone(me, sock):
    """one byte"""
    urgent(me, sock)
    me.see("select", [len(found) for found in select.select([sock], [], [sock], 0)])
    mark(me, sock)
    oob(me, sock, socket.MSG_PEEK)
    oob(me, sock)
    me.now_event(sock)
    mark(me, sock)
    me.tell("more")
    me.see("recv", sock.recv(10))
    mark(me, sock)


@reader(b"before", b"!", b"a")
def peeked(me, sock):
    """MSG_PEEK around the mark"""
    me.tell("more")
    me.wait_unread(sock, 6)
    urgent(me, sock)
    read(me, sock, 4, socket.MSG_PEEK)
    read(me, sock, 100, socket.MSG_PEEK)
    mark(me, sock)
    me.see("recv", sock.recv(100, socket.MSG_WAITALL))
    mark(me, sock)
    me.tell("more")
    me.wait_event(sock, select.POLLIN, "poll", GRACE)
    read(me, sock, 100, socket.MSG_PEEK)
    mark(me, sock)
    read(me, sock)


@reader(b"before", b"!", b"a")
def waited_for(me, sock):
    """select() that waits for nothing else"""
    me.tell("more")
    me.wait_unread(sock, 6)
    me.see("before", select.select([], [], [sock], 0.05)[2] == [sock])
    me.tell("more")
    me.see("select", select.select([], [], [sock], GRACE)[2] == [sock])
    poll = select.poll()
    poll.register(sock, select.POLLPRI)
    me.see("poll", [events for _, events in poll.poll(GRACE * 1000)])
    oob(me, sock)
    me.see("poll", poll.poll(50))
    me.tell("more")
    me.see("recv", sock.recv(100))
    me.see("recv", sock.recv(100))


@reader(b"ab!", b"c")
def small_reads(me, sock):
    """reads of one byte, with SO_OOBINLINE"""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    urgent(me, sock)
    me.tell("more")
    me.wait_unread(sock, 4)
    for _ in range(4):
        mark(me, sock)
        read(me, sock, 1)
    mark(me, sock)
    oob(me, sock)


@reader(b"a!", b"b")
def owned_later(me, sock):
    """SIGURG for a program that reads the byte in the handler"""
    got = []

    def handler(number, frame):
        got.append(sock.recv(1, OOB | NOW))

    signal.signal(signal.SIGURG, handler)
    libc.fcntl(sock.fileno(), 8, os.getpid())  # F_SETOWN
    me.tell("more")
    wait_for(lambda: got, "SIGURG", GRACE)
    me.see("handler", got)
    read(me, sock)
    me.tell("more")
    me.see("recv", sock.recv(10))
