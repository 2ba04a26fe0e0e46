# SPDX-License-Identifier: BSD-2-Clause
"""Bytes: how they are sent, how they are read, and what poll says meanwhile."""
import fcntl
import functools
import os
import random
import select
import signal
import socket
import struct
import tempfile

from cases import case
from ends import as_client, as_server
from program import at_mark, unread

BOTH = ("v4", "v6")
LARGE = 3_000_000


def pattern(size):
    return random.Random(size).randbytes(size)


def reads_all(me, sock):
    me.read_to_end(sock)
    sock.close()


# ---- ways to send -------------------------------------------------------------------------


def one_large_write(me, sock):
    sock.sendall(pattern(LARGE))


def tiny_writes(me, sock):
    for byte in pattern(300):
        sock.send(bytes([byte]))


def tiny_nodelay(me, sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tiny_writes(me, sock)


def corked(me, sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    tiny_writes(me, sock)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def more_flag(me, sock):
    for byte in pattern(100):
        sock.send(bytes([byte]), socket.MSG_MORE)
    sock.send(b"end")


def gathered(me, sock):
    pieces = [pattern(size) for size in (1, 0, 1000, 2, 70_000)]
    me.see("writev", os.writev(sock.fileno(), pieces))
    me.see("sendmsg", sock.sendmsg(pieces))


def from_file(me, sock):
    with tempfile.TemporaryFile() as file:
        file.write(pattern(500_000))
        file.flush()
        at = 0
        while at < 500_000:
            at += os.sendfile(sock.fileno(), file.fileno(), at, 500_000 - at)


def spliced(me, sock):
    read_fd, write_fd = os.pipe()
    rest = pattern(200_000)
    while rest:
        put = os.write(write_fd, rest[:60_000])
        rest = rest[put:]
        while put:
            put -= os.splice(read_fd, sock.fileno(), put)
    os.close(read_fd)
    os.close(write_fd)


def zero_bytes(me, sock):
    me.see("send of nothing", sock.send(b""))
    sock.sendall(b"x")


def with_zerocopy(me, sock):
    """MSG_ZEROCOPY: the notice in the error queue comes too, and until then the bytes must stay."""
    kept = pattern(20_000)
    sock.setsockopt(socket.SOL_SOCKET, 60, 1)
    me.see("send", sock.send(kept, 0x4000000))
    me.wait_event(sock, select.POLLERR)
    sock.recvmsg(0, 1000, socket.MSG_ERRQUEUE)
    me.now_event(sock)


for _text, _send in (
    ("one large write", one_large_write),
    ("300 writes of one byte", tiny_writes),
    ("300 writes of one byte, TCP_NODELAY", tiny_nodelay),
    ("300 writes of one byte, TCP_CORK", corked),
    ("MSG_MORE", more_flag),
    ("writev and sendmsg", gathered),
    ("sendfile", from_file),
    ("splice", spliced),
    ("a write of nothing", zero_bytes),
    ("MSG_ZEROCOPY", with_zerocopy),
):
    def _talk(me, sock, send=_send):
        send(me, sock)
        sock.close()

    case(f"{_text}, by the client", as_client(_talk), as_server(reads_all))
    case(f"{_text}, by the server", as_client(reads_all), as_server(_talk))


def spliced_out(me, sock):
    """splice() from the socket until the end of the stream."""
    read_fd, write_fd = os.pipe()
    data = bytearray()
    while count := os.splice(sock.fileno(), write_fd, 60_000):
        while count:
            piece = os.read(read_fd, count)
            data += piece
            count -= len(piece)
    me.see("spliced", data)
    sock.close()


def sends_large(me, sock):
    sock.sendall(pattern(LARGE))
    sock.close()


case("splice from the socket", as_client(spliced_out), as_server(sends_large))


def both_ways(me, sock):
    """Each end sends and receives 2 MB at once, non-blocking, by poll."""
    sock.setblocking(False)
    out, got = pattern(2_000_000), bytearray()
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT)
    ended = False
    while out or not ended:
        events = poll.poll(30_000)[0][1]
        if events & select.POLLOUT and out:
            out = out[sock.send(out[:100_000]):]
            if not out:
                sock.shutdown(socket.SHUT_WR)
                poll.modify(sock, select.POLLIN)
        if events & select.POLLIN and not ended:
            piece = sock.recv(100_000)
            got += piece
            ended = not piece
    me.see("received", got)
    sock.close()


case("both directions at once by poll", as_client(both_ways), as_server(both_ways))


# ---- ways to read -------------------------------------------------------------------------


def says_in_steps(me, sock):
    """Sends a piece each time the other program asks for it."""
    for piece in (b"12345", b"67890", b"abcde"):
        me.hear()
        sock.sendall(piece)
    me.hear()
    sock.close()


def peeks(me, sock):
    me.now_event(sock, "before data")
    me.call("recv", sock.recv, 10, socket.MSG_DONTWAIT)
    me.tell("one")
    me.wait_unread(sock, 5)
    me.now_event(sock, "with data")
    me.see("peek", sock.recv(3, socket.MSG_PEEK))
    me.see("peek again", sock.recv(100, socket.MSG_PEEK))
    me.see("FIONREAD", unread(sock))
    me.see("recv", sock.recv(2))
    me.see("peek the rest", sock.recv(100, socket.MSG_PEEK))
    me.see("MSG_TRUNC", sock.recv_into(bytearray(3), 3, socket.MSG_TRUNC))
    me.now_event(sock, "all read")
    me.tell("two")
    me.tell("three")
    me.see("MSG_WAITALL", sock.recv(10, socket.MSG_WAITALL))
    me.tell("end")
    me.see("MSG_WAITALL at the end", sock.recv(10, socket.MSG_WAITALL))
    me.wait_event(sock, select.POLLRDHUP)
    me.see("peek at the end", sock.recv(10, socket.MSG_PEEK))
    sock.close()


case("MSG_PEEK, MSG_WAITALL, FIONREAD", as_client(peeks), as_server(says_in_steps), families=BOTH)
case("the same, as a server", as_client(says_in_steps), as_server(peeks))


def low_water(me, sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 8)
    me.tell("one")
    me.wait_unread(sock, 5)
    me.now_event(sock, "below SO_RCVLOWAT")
    me.tell("two")
    me.wait_event(sock, select.POLLIN)
    me.see("recv", sock.recv(8))
    me.tell("three")
    me.wait_unread(sock, 7)
    me.now_event(sock, "below again")
    me.tell("end")
    me.wait_event(sock, select.POLLRDHUP)
    me.read_to_end(sock)
    sock.close()


case("SO_RCVLOWAT", as_client(low_water), as_server(says_in_steps))


def short_waitall(me, sock):
    me.tell("one")
    me.see("MSG_WAITALL cut short by the end", sock.recv(100, socket.MSG_WAITALL))
    sock.close()


def says_five(me, sock):
    me.hear()
    sock.sendall(b"12345")
    sock.close()


case("MSG_WAITALL at the end of the stream", as_client(short_waitall), as_server(says_five))


def edge_triggered(me, sock):
    """epoll, edge-triggered: one event a piece, none while nothing new has come."""
    with select.epoll() as epoll:
        epoll.register(sock, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        for word in ("one", "two", "three"):
            me.tell(word)
            me.wait_unread(sock, 5)
            me.see("events", [mask for _, mask in epoll.poll(30)])
            me.see("events without reading", len(epoll.poll(0)))
            me.see("recv", sock.recv(5))
        me.tell("end")
        me.see("end", [mask for _, mask in epoll.poll(30)])
        me.read_to_end(sock)
    sock.close()


case("epoll edge-triggered data", as_client(edge_triggered), as_server(says_in_steps))


def one_shot(me, sock):
    with select.epoll() as epoll:
        epoll.register(sock, select.EPOLLIN | select.EPOLLONESHOT)
        me.tell("one")
        me.see("events", len(epoll.poll(30)))
        me.see("after one shot", len(epoll.poll(0)))
        epoll.modify(sock, select.EPOLLIN | select.EPOLLONESHOT)
        me.see("armed again", len(epoll.poll(30)))
        for word in ("two", "three", "end"):
            me.tell(word)
        me.read_to_end(sock)
    sock.close()


case("epoll one-shot", as_client(one_shot), as_server(says_in_steps))


def receive_timeout(me, sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 100_000))
    me.call("recv with SO_RCVTIMEO", sock.recv, 1)
    for word in ("one", "two", "three", "end"):
        me.tell(word)
    me.see("MSG_WAITALL", sock.recv(15, socket.MSG_WAITALL))
    sock.close()


case("SO_RCVTIMEO", as_client(receive_timeout), as_server(says_in_steps))


# ---- urgent data --------------------------------------------------------------------------

GRACE = 10  # seconds


def sends_urgent(me, sock):
    me.hear()
    sock.sendall(b"before")
    me.hear()
    me.see("MSG_OOB", sock.send(b"ug!", socket.MSG_OOB))
    me.hear()
    sock.sendall(b"after")
    me.hear()
    sock.close()


def reads_urgent(me, sock, inline=0):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
    me.tell("begin")
    me.wait_unread(sock, 6)
    me.now_event(sock, "before")
    me.call("recv MSG_OOB with none there", sock.recv, 1, socket.MSG_OOB | socket.MSG_DONTWAIT)
    me.tell("urgent")
    # Where none comes, this program is stuck first.
    me.wait_event(sock, select.POLLPRI, "with urgent data", GRACE)
    if not inline:
        me.call("recv MSG_OOB", sock.recv, 1, socket.MSG_OOB | socket.MSG_DONTWAIT)
    me.see("at mark", at_mark(sock))
    me.see("recv stops at the mark", sock.recv(100))
    me.see("at mark", at_mark(sock))
    me.tell("after")
    me.see("recv", sock.recv(5 + inline, socket.MSG_WAITALL))
    me.tell("end")
    me.read_to_end(sock)
    sock.close()


for _text, _inline in (("MSG_OOB", 0), ("MSG_OOB with SO_OOBINLINE", 1)):
    _reads = functools.partial(reads_urgent, inline=_inline)
    case(f"{_text}, to the client", as_client(_reads), as_server(sends_urgent))
    case(f"{_text}, to the server", as_client(sends_urgent), as_server(_reads))


def urgent_signal(me, sock):
    """SIGURG and POLLPRI tell of urgent data."""
    got = []
    signal.signal(signal.SIGURG, lambda number, frame: got.append(number))
    fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
    me.tell("begin")
    me.wait_unread(sock, 6)
    me.tell("urgent")
    me.wait_event(sock, select.POLLPRI, patience=GRACE)
    me.see("SIGURG", len(got))
    me.tell("after")
    me.tell("end")
    me.read_to_end(sock)
    sock.close()


case("SIGURG", as_client(urgent_signal), as_server(sends_urgent))


# ---- back-pressure ------------------------------------------------------------------------


def fills(me, sock):
    """Sends until it would block, which it must; then all of it is read."""
    sock.setblocking(False)
    total = 0
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    piece = b"x" * 65536
    while poll.poll(1000) and total < 200_000_000:
        try:
            total += sock.send(piece)
        except BlockingIOError:
            pass
    me.see("stopped by the other end's not reading", total < 200_000_000)
    me.tell("read")
    sock.setblocking(True)
    sock.close()


def counts_all(me, sock):
    me.hear()
    total = 0
    while piece := sock.recv(1 << 18):
        total += len(piece)
    me.see("read to the end", total > 0)
    sock.close()


case("a reader that does not read", as_client(fills), as_server(counts_all))
