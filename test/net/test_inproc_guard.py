#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: what goes past the library does not leave; what it sends is never taken for that."""
import contextlib
import os
import sys

from harness import Net, check, check_equal, main, wait_for
from inproc import SECRET, V4, Pair, loaded
from wire import wired_pair

PAST = os.environ["PAST_LIBRARY"]
ECHO = ("import socket, threading\nl = socket.create_server(('0.0.0.0', 7003))\n"
        "def serve(s):\n"
        "    try:\n"
        "        while data := s.recv(65536): s.sendall(data)\n"
        "    except OSError: pass\n"
        "    s.close()\n"
        "while True: threading.Thread(target=serve, args=(l.accept()[0],)).start()\n")


def echo_server(pair):
    pair.b.start(pair.server([sys.executable, "-c", ECHO]))
    pair.b.wait_listening(7003)


@contextlib.contextmanager
def ended(how):
    """A program that has ended: (its pair of hosts, what it heard last)."""
    with Net() as net:
        pair = Pair(net, "client")
        echo_server(pair)
        done = pair.a.run(loaded([PAST, how, pair.b.addresses[V4], 7003, SECRET.decode()]))
        first, _, last = done.stdout.splitlines()
        check_equal(first, "heard first", f"{how}: the connection works")
        pair.check_secret(how)
        yield pair, last


def with_the_library():
    for how in ("none", "syscall"):
        with ended(how) as (_, last):
            check_equal(last, f"heard {SECRET.decode()}", f"{how}: it goes on")


def past_the_library():
    """Behind the key exchange, too, plain text stays here and the connection ends."""
    for how in ("write", "ring"):
        with ended(how) as (pair, last):
            check("error" in last, f"{how}: it is aborted", last)
            wait_for(lambda p=pair: "wrote past the library" in p.da.log(), "the daemon's word about it")


# Sends in pieces of all sizes, and gets them back.
PIECES = """
import os, socket, sys, threading
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, int(sys.argv[2]))
s.connect((sys.argv[1], 7003))
data = os.urandom(int(sys.argv[3]))
def send():
    at = 0
    for i in range(1 << 30):
        n = i * 37 % 3001 + 1 if i % 50 else 100000
        s.sendall(data[at:at + n])
        at += n
        if at >= len(data): break
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
got = b"".join(iter(lambda: s.recv(1 << 16), b""))
print(got == data)
"""


class Losing:
    """Loses each 23rd segment with data, so that it is sent again."""

    def __init__(self):
        self.seen = self.lost = 0

    def __call__(self, packet, _):
        self.seen += bool(packet.payload)
        loses = bool(packet.payload) and self.seen % 23 == 0
        self.lost += loses
        return not loses


def echoed(a, b, daemons, text, mss, size):
    b.start(loaded([sys.executable, "-c", ECHO]))
    b.wait_listening(7003)
    done = a.run(loaded([sys.executable, "-c", PIECES, b.addresses[V4], mss, size]))
    check_equal(done.stdout.strip(), "True", f"{text}: everything comes back")
    for daemon in daemons:
        check("wrote past" not in daemon.log(), f"{text}: nothing is taken for plain text")


def frames_in_every_cut():
    """Headers that lie in two segments, segments with many, and those that are sent again."""
    for text, mss, size in (("small segments", 97, 300000), ("large segments", 1400, 6000000)):
        with Net() as net:
            a, b = net.pair()
            echoed(a, b, [net.daemon(a), net.daemon(b)], text, mss, size)
    with Net() as net:
        a, b, wire = wired_pair(net)
        wire.recording = False
        rules = [Losing(), Losing()]
        wire.to_left.append(rules[0])
        wire.to_right.append(rules[1])
        echoed(a, b, [net.daemon(a), net.daemon(b)], "lost segments", 500, 300000)
        check(all(rule.lost for rule in rules), "segments were lost in both directions")


if __name__ == "__main__":
    main("in-process mode: the guard behind the library", with_the_library, past_the_library,
         frames_in_every_cut)
