#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Connections that say and end what chance will: each byte arrives, and each end is the one it was."""
import contextlib
import errno
import os
import random
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from apps import bound_time
from harness import PATIENCE, Net, check, check_equal, main, wait_for
from test_reset import reset

THREADS = 4
CONNECTIONS = 100  # of each
TEXT = random.Random(1).randbytes(1 << 20)
LENGTHS = (1, 5, 100, 1380, 1381, 3000, 9000)
ENDS = ("shutdown", "close", "reset", "shutdown and close", "shutdown and reset")


class End:
    def __init__(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(True)
        self.sock = bound_time(sock)
        self.sent = self.got = 0
        self.ways = set()  # in which its stream may end for the other one
        self.closed = False
        self.read = None  # how the other one's stream has ended
        self.failed = False  # a call has had the connection's error: it is told once

    def send(self, length):
        try:
            self.sent += self.sock.send(TEXT[self.sent : self.sent + length], socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        except OSError:
            self.failed = True

    def receive(self, length, flags=0):
        """How many bytes came; 0: none, or the end, which is noted."""
        try:
            data = self.sock.recv(length, flags)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.failed, self.read = True, error.errno
            return 0
        if data != TEXT[self.got : self.got + len(data)]:
            raise ValueError(f"other bytes than were sent, behind {self.got}")
        self.got += len(data)
        if not data:
            self.read = "end"
        return len(data)

    def read_to_end(self):
        while self.read is None and self.receive(65536):
            pass

    def finish(self, how, other):
        if "shutdown" in how:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
            self.ways = {"end"}
        elif how == "reset":
            self.ways = {errno.ECONNRESET}
        else:
            # With bytes that nobody has read it is a reset.
            self.ways = {"end", errno.ECONNRESET} if other.sent > self.got else {"end"}
        if "close" in how:
            self.sock.close()
        elif "reset" in how:
            reset(self.sock)
        self.closed = how != "shutdown"


def heard(end, other):
    """What is wrong with what end has read of other's stream, or None."""
    end.read_to_end()
    if end.got != other.sent:
        return f"{end.got} of {other.sent} bytes, then {end.read}"
    if end.read not in other.ways | ({"end"} if end.failed else set()):
        return f"{end.read} where {other.ways} was to come"
    return None


def pause(chance):
    time.sleep(chance.choice((0, 0.0005, 0.002, 0.006)))


def talk(chance, ends):
    for _ in range(chance.choice((0, 0, 1, 2, 3, 5, 8))):
        end = chance.choice(ends)
        what = chance.choice(("send", "send", "receive", "pause"))
        if what == "send":
            end.send(chance.choice(LENGTHS))
        elif what == "receive":
            end.receive(chance.choice(LENGTHS), socket.MSG_DONTWAIT)
        else:
            pause(chance)


def connected(chance, sock, listener, address):
    """Both ends; the client may look after the server has."""
    sock.setblocking(False)
    sock.connect_ex((address, listener.getsockname()[1]))
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    looks_late = chance.random() < 0.4
    if not looks_late:
        poll.poll(PATIENCE * 1000)
    conn, _ = listener.accept()
    if looks_late:
        poll.poll(PATIENCE * 1000)
    return End(sock), End(conn)


def play(chance, client, listener, address):
    """One connection; returns what was wrong with it, or None."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(client.socket(listener.family))
        ends = connected(chance, sock, listener, address)
        stack.enter_context(ends[1].sock)
        talk(chance, ends)
        first, last = chance.sample(ends, 2)
        how, then = chance.choice(ENDS), chance.choice(ENDS)
        first.finish(how, last)
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            last.send(chance.choice(LENGTHS))
            pause(chance)
        wrong = heard(last, first)
        if not wrong:
            last.finish(then, first)
        if not wrong and not first.closed:
            wrong = heard(first, last)
        return wrong and f"{how}, {then}, {'client' if first is ends[0] else 'server'} first: {wrong}"


def plays(seed, client, server):
    """One after the other; returns what was wrong."""
    chance = random.Random(seed)
    complaints = []
    with contextlib.ExitStack() as stack:
        listeners = {}
        for family, address in server.addresses.items():
            listener = listeners[address] = stack.enter_context(server.socket(family))
            listener.bind((address, 0))
            listener.listen(16)
            listener.settimeout(PATIENCE)
        for number in range(CONNECTIONS):
            address = chance.choice(list(listeners))
            try:
                wrong = play(chance, client, listeners[address], address)
            except (OSError, ValueError) as error:
                wrong = repr(error)
            if wrong:
                complaints.append(f"seed {seed}, connection {number}: {wrong}")
    return complaints


def all_play(text, client, server, daemons):
    seed = int(os.environ.get("SEED", time.time_ns()))
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda i: plays(seed + i, client, server), range(THREADS))
        check_equal(sum(found, []), [], f"{text}: {THREADS * CONNECTIONS} connections")
    for daemon in daemons:
        wait_for(lambda: not daemon.list(recent=False), "the last connection to end")
        check(True, f"{text}: and none is left")


def natively():
    """What is asked of the daemon is what TCP does by itself."""
    with Net() as net:
        all_play("natively", *net.pair(), [])


def encrypted():
    with Net() as net:
        a, b = net.pair()
        all_play("encrypted", a, b, [net.daemon(a), net.daemon(b)])


def encrypted_afresh():
    with Net() as net:
        a, b = net.pair()
        all_play("with fresh keys", a, b, [net.daemon(host, "resume-max = 0\n") for host in (a, b)])


def plain():
    with Net() as net:
        a, b = net.pair()
        all_play("plain", a, b, [net.daemon(a, "remember-plain-seconds = 0\n")])


if __name__ == "__main__":
    main("connections end at random as they would without the daemon", natively, encrypted, encrypted_afresh, plain)
