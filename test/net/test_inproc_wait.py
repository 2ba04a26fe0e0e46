#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: calls that wait, what ends their waiting, and what they are told."""
import os
import subprocess
import sys

from harness import Net, check_equal, main
from inproc import V4, Pair

PORT = 7040
COMMON = """
import array, ctypes, errno, os, select, signal, socket, stat, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def connected():
    s = socket.socket()
    s.connect((sys.argv[1], int(sys.argv[2])))
    return s
def send(s, data):
    n = libc.send(s.fileno(), data, len(data), 0)
    return n if n >= 0 else errno.errorcode[ctypes.get_errno()]
"""
# It accepts, and so answers the key exchange, only when it is told to.
NOT_YET = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
input()
s, _ = l.accept()
n = 0
while data := s.recv(65536): n += len(data)
print(n)
"""
# It answers the key exchange and reads nothing.
NOT_READING = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
s.sendall(b"k")
s.recv(1)
sys.stdin.read()
"""


class Talk:
    """A server and a client, both with the library, and their pipes."""

    def __init__(self, net, server, client, cut=False):
        """cut: the link has segments of its own size only."""
        pair = Pair(net, "both")
        for host in (pair.a, pair.b) if cut else ():
            host.run(["ethtool", "-K", host.interfaces[0], "tso", "off", "gso", "off", "gro", "off"])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server = pair.b.start(pair.server([sys.executable, "-c", server, PORT]), **pipes)
        pair.b.wait_listening(PORT)
        args = [sys.executable, "-c", COMMON + client, pair.b.addresses[V4], str(PORT)]
        self.client = pair.a.start(pair.client(args), **pipes)

    def end(self, expected, text):
        check_equal(self.client.communicate(timeout=60)[0].split("\n")[:-1], expected, text)


TIMEOUT = """
s = connected()
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300000))
data = bytes(1000000)
n = send(s, data)
print(0 < n < len(data))
# The kernel's buffers grow for a while.
while isinstance(n, int): n = send(s, data)
print(n)
"""


def timeouts():
    """SO_SNDTIMEO holds for the call, before there are keys as well."""
    with Net() as net:
        Talk(net, NOT_YET, TIMEOUT).end(["True", "EAGAIN"], "before there are keys")
    with Net() as net:
        client = TIMEOUT.replace("data = bytes(1000000)", "s.recv(1); s.send(b'x'); data = bytes(20000000)")
        Talk(net, NOT_READING, client).end(["True", "EAGAIN"], "a peer that does not read")


INTERRUPTED = """
s = connected()
%s
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, True)
signal.setitimer(signal.ITIMER_REAL, .3, .3)
data = bytes(20000000)
n = send(s, data)
print(0 < n < len(data))
while isinstance(n, int): n = send(s, data)
print(n)
"""


def interruptions():
    """A handled signal ends a call that waits to write."""
    with Net() as net:
        Talk(net, NOT_YET, INTERRUPTED % "").end(["True", "EINTR"], "before there are keys")
    with Net() as net:
        client = INTERRUPTED % "s.recv(1); s.send(b'x')"
        Talk(net, NOT_READING, client).end(["True", "EINTR"], "a peer that does not read")


RESTARTED = """
s = connected()
s.setblocking(False)
full = 0
try:
    while True: full += s.send(bytes(65536))
except BlockingIOError: pass
s.setblocking(True)
# Python's own, which ends calls.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
def say():
    time.sleep(1)
    print(full, flush=True)
threading.Thread(target=say).start()
signal.setitimer(signal.ITIMER_REAL, .2, .2)
print(send(s, b"more"), flush=True)
signal.setitimer(signal.ITIMER_REAL, 0)
s.close()
"""


def restarts():
    """A call that has written nothing goes on after a signal that is handled with SA_RESTART."""
    with Net() as net:
        talk = Talk(net, NOT_YET, RESTARTED)
        full = int(talk.client.stdout.readline())
        out = talk.server.communicate("\n", timeout=60)[0]
        check_equal(out, f"{full + 4}\n", "restarted: the peer has it all")
        talk.end(["4"], "restarted: it is written in the end")


COUNTS = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
data = b""
while more := s.recv(65536):
    data += more
    if data == b"hello": s.sendall(b"!")
print(data.count(b"h"), data.replace(b"h", b"") == 20000 * b"abcdefg")
"""


def handlers():
    """Handlers of signals may use the connection that they interrupt a call of, or jump out of it."""
    for what, expected in (("writes", "0 0\n"), ("jumps", "!\n"), ("ends", "-1 EINTR\n")):
        with Net() as net:
            pair = Pair(net, "both")
            server = pair.b.start(pair.server([sys.executable, "-c", COUNTS, PORT]),
                                  stdout=subprocess.PIPE, text=True)
            pair.b.wait_listening(PORT)
            done = pair.a.run(pair.client([os.environ["SIGNALS"], what, pair.b.addresses[V4], PORT]))
            check_equal(done.stdout, expected, f"handlers: {what}")
            if what == "writes":
                check_equal(server.communicate(timeout=60)[0], f"{int(done.stderr)} True\n",
                            "handlers: all that was written arrives")


SHARED = """
s = connected()
parent = os.getpid()
if os.fork():
    # Its helper has seen that the keys are not there.
    time.sleep(.1)
    os.kill(parent, signal.SIGSTOP)
    os._exit(0)
while open(f"/proc/{parent}/stat").read().split(")")[1].split()[0] != "T": time.sleep(.01)
s.send(b"hello")
print("written", flush=True)
os.kill(parent, signal.SIGCONT) if input() else None
"""
SHARED_SERVER = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
input()
s, _ = l.accept()
print(s.recv(5, socket.MSG_WAITALL).decode())
"""


def shared():
    """A process goes on with a connection, though another one that was there first has stopped."""
    with Net() as net:
        talk = Talk(net, SHARED_SERVER, SHARED)
        check_equal(talk.client.stdout.readline(), "written\n", "shared: the child gets so far")
        talk.server.stdin.write("\n")
        talk.server.stdin.flush()
        check_equal(talk.server.stdout.readline(), "hello\n", "shared: what it has written arrives")
        talk.client.communicate("on\n", timeout=60)


EDGE = """
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4000000)
s.setblocking(False)
e = select.epoll()
e.register(s, select.EPOLLOUT | select.EPOLLET)
s.connect_ex((sys.argv[1], int(sys.argv[2])))
left, told = 300000, False
while left and e.poll(20):
    try:
        while left: left -= s.send(bytes(min(left, 50000)))
    except BlockingIOError:
        if left < 200000 and not told: print("full", flush=True)
        told |= left < 200000
print(left, flush=True)
s.close()
"""


def edges():
    """Who waits for an edge of EPOLLOUT since the queue was full before the keys hears of it."""
    with Net() as net:
        talk = Talk(net, NOT_YET, EDGE)
        check_equal(talk.client.stdout.readline(), "full\n", "edge: the queue is full")
        out = talk.server.communicate("\n", timeout=60)[0]
        check_equal(out, "300000\n", "edge: the peer has it all")
        talk.end(["0"], "edge: all is written")


# Nobody answers the key exchange yet.
ROOM = """
s = connected()
s.setblocking(False)
try:
    while True: s.send(bytes(65536))
except BlockingIOError: pass
p = select.poll()
p.register(s, select.POLLOUT)
def poll(ms): return p.poll(ms)
def sel(ms): return select.select([], [s], [], ms and ms / 1000)[1]
signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
for ask in poll, sel:
    began, used = time.monotonic(), time.process_time()
    found = ask(500)
    print(found, .4 < time.monotonic() - began < 5, time.process_time() - used < .3)
    signal.setitimer(signal.ITIMER_REAL, .2)
    try: print(ask(None))
    except ZeroDivisionError: print("interrupted")
print("now", flush=True)
print(len(poll(None)), len(sel(None)))
os._exit(0)
"""


def room():
    """Before there are keys poll() and select() wait for room here, not for the kernel's."""
    with Net() as net:
        talk = Talk(net, NOT_YET, ROOM)
        first = "".join(talk.client.stdout.readline() for _ in range(5))
        check_equal(first, 2 * "[] True True\ninterrupted\n" + "now\n", "no room, and signals")
        talk.server.stdin.write("\n")
        talk.server.stdin.flush()
        talk.end(["1 1"], "room")


# It takes its time to read, and says something meanwhile.
LATE = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
for _ in range(2):
    s, _ = l.accept()
    s.sendall(b"k")
    l.accept()
    s.sendall(b"late")
sys.stdin.read()
"""
CLOSED = """
for edge in 0, select.EPOLLET:
    s = connected()
    s.recv(1)
    s.setblocking(False)
    e = select.epoll()
    e.register(s, select.EPOLLIN | edge)
    last = time.monotonic()
    # The kernel's buffers grow for a while.
    while time.monotonic() < last + .5:
        try:
            while s.send(bytes(65536)): last = time.monotonic()
        except BlockingIOError: time.sleep(.01)
    s.close()
    another = connected()
    print(e.poll(1), flush=True)
os._exit(0)
"""


def closed():
    """Of what the program has closed epoll tells no more, though not all of it is sent yet."""
    with Net() as net:
        Talk(net, LATE, CLOSED).end(["[]", "[]"], "closed: no events")


# In frames that take several segments, after a pause that the key exchange has for itself.
LARGE = """
import socket, sys, time
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    s, _ = l.accept()
    time.sleep(.1)
    for _ in range(30): s.sendall(bytes(200000))
    s.close()
"""
TRUSTING = """
class Pwait2:
    # epoll_pwait2(), which Python has no words for.
    def __init__(self):
        self.set = select.epoll()
        self.register = self.set.register
    def poll(self, seconds):
        events = ctypes.create_string_buffer(12 * 8)
        n = libc.epoll_pwait2(self.set.fileno(), events, 8, struct.pack("qq", seconds, 1), None)
        return [struct.unpack_from("=Iq", events, 12 * i)[::-1] for i in range(n)]
usual = select.epoll
for flags, way in (0, Pwait2), (0, usual), (select.EPOLLONESHOT, usual), (select.EPOLLOUT, usual):
    s = connected()
    s.setblocking(False)
    e = way()
    e.register(s, select.EPOLLIN | flags)
    n = 0
    while True:
        found = e.poll(20)
        if not found or found[0][1] & ~(select.EPOLLIN | select.EPOLLOUT): break
        if found[0][1] == select.EPOLLOUT:
            time.sleep(.001)
            continue
        data = s.recv(30000)
        if not data: break
        n += len(data)
        if flags == select.EPOLLONESHOT: e.modify(s, select.EPOLLIN | flags)
    print(n, flush=True)
    s.close()
"""


def trusting():
    """Who reads once for each of epoll's events, and takes EAGAIN for an error, meets none."""
    with Net() as net:
        talk = Talk(net, LARGE, TRUSTING, cut=True)
        talk.end(["6000000"] * 4, "read once for an event: level, one shot, with EPOLLOUT, epoll_pwait2()")


PEEKED = """
import socket, sys, time
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
for piece in b"ab", b"cd", b"efgh":
    s.sendall(piece)
    time.sleep(.3)
s.shutdown(socket.SHUT_WR)
s.recv(1)
"""
PEEKER = """
s = connected()
print(s.recv(5, socket.MSG_PEEK | socket.MSG_WAITALL).decode())
print(s.recv(2).decode())
print(s.recv(100, socket.MSG_PEEK | socket.MSG_WAITALL).decode())
print(s.recv(100, socket.MSG_WAITALL).decode())
"""


def peeks():
    """MSG_PEEK with MSG_WAITALL waits for all that is wanted, or the end."""
    with Net() as net:
        Talk(net, PEEKED, PEEKER).end(["abcde", "ab", "cdefgh", "cdefgh"], "what was looked at")


PASSING = """
s = connected()
left, right = socket.socketpair()
class Message(ctypes.Structure):
    _fields_ = [(n, t) for n, t in zip("name name_len iov n_iov control control_len flags len".split(),
                (ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,
                 ctypes.c_size_t, ctypes.c_size_t, ctypes.c_uint))]
class Iov(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]
iov = Iov(b"y", 1)
def message(fd):
    control = ctypes.create_string_buffer(struct.pack("QiiiI", 20, 1, 1, fd, 0), 24)
    kept.append(control)
    return Message(None, 0, ctypes.addressof(iov), 1, ctypes.addressof(control), 24, 0, 0)
kept = []
for first, second in (0, s.fileno()), (s.fileno(), 0):
    both = (Message * 2)(message(first), message(second))
    n = libc.sendmmsg(left.fileno(), both, 2, 0)
    print(n if n >= 0 else errno.errorcode[ctypes.get_errno()])
for _ in range(4):
    _, fds, _, _ = socket.recv_fds(right, 10, 4)
    print(stat.S_ISSOCK(os.fstat(fds[0]).st_mode) and
          socket.socket(fileno=fds[0]).getpeername()[1] == int(sys.argv[2]))
"""


def passed_on():
    """sendmmsg() passes encrypted connections on, among other descriptors."""
    with Net() as net:
        Talk(net, NOT_READING, PASSING).end(["2", "2", "False", "True", "True", "False"],
                                            "sendmmsg() with connections")


WOKEN = """
s = connected()
def read():
    print(s.recv(10), flush=True)
reader = threading.Thread(target=read)
reader.start()
time.sleep(.3)
s.sendall(b"last")
s.shutdown(%s)
reader.join(20)
print(reader.is_alive(), flush=True)
%s
os._exit(0)
"""


def shutdowns():
    """shutdown() wakes who reads, before there are keys; what was written arrives all the same."""
    for how, after in (("socket.SHUT_RDWR", ""), ("socket.SHUT_RD", "s.sendall(b' one')")):
        with Net() as net:
            talk = Talk(net, NOT_YET, WOKEN % (how, after))
            first = [talk.client.stdout.readline() for _ in range(2)]
            check_equal(first, ["b''\n", "False\n"], f"{how}: the reader ends")
            out = talk.server.communicate("\n", timeout=60)[0]
            check_equal(out, "8\n" if after else "4\n", f"{how}: the peer has it all, and the end")
            talk.end([], f"{how}: the end")


# It ends its stream when another connection comes, after the client has ended both.
ENDS_LATE = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
s.sendall(s.recv(5))
print(s.recv(5), flush=True)
another, _ = l.accept()
s.close()
sys.stdin.read()
"""
# 7: TCP_CLOSE
BOTH_SHUT = """
s = connected()
s.sendall(b"hello")
s.recv(5, socket.MSG_WAITALL)
s.shutdown(socket.SHUT_RDWR)
another = connected()
while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\\x07":
    pass
print(%s)
print(s.recv(10))
print(send(s, b"x"))
"""


def both_shut():
    """Who has shut down both directions finds the end, though the peer's FINp made the kernel reset."""
    for first, found in (("s.recv(10)", "b''"), ("s.recv(10, socket.MSG_DONTWAIT)", "b''"),
                         ("s.recv(10, socket.MSG_PEEK | socket.MSG_DONTWAIT)", "b''"),
                         ("send(s, b'x')", "EPIPE")):
        with Net() as net:
            talk = Talk(net, ENDS_LATE, BOTH_SHUT % first)
            talk.end([found, "b''", "EPIPE"], f"{first}: the end")
            check_equal(talk.server.stdout.readline(), "b''\n", f"{first}: which the peer heard of")


# Its processes are killed when they have been heard, one for each connection, which it has given up itself
# by then: else it would be the one to end it, and well.
KILLED = """
import os, socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    s, _ = l.accept()
    r, w = os.pipe()
    if not os.fork():
        os.close(w)
        os.read(r, 1)
        s.recv(1)
        s.sendall(b"k")
        s.recv(1)
        os.kill(os.getpid(), 9)
    s.close()
    os.close(w)
    os.close(r)
    os.wait()
"""
SEVERAL = """
def read():
    try: got.append(s.recv(10))
    except OSError as e: got.append(errno.errorcode[e.errno])
def ask():
    select.select([s], [], [])
found = set()
for i in range(100):
    s, got = connected(), []
    s.send(b"x")
    s.recv(1)
    threads = [threading.Thread(target=f) for f in (%s)]
    for t in threads: t.start()
    time.sleep(.002)
    s.send(b"x")
    for t in threads: t.join()
    found.add(" ".join(sorted(map(str, got))))
    s.close()
print(*found)
"""


def several():
    """Of threads that wait for a connection one is told that it has broken, and nobody of anything else."""
    for threads, expected in (("read, read, read, read", "ECONNRESET b'' b'' b''"),
                              ("ask, ask, ask, read", "ECONNRESET")):
        with Net() as net:
            Talk(net, KILLED, SEVERAL % threads).end([expected], threads)


# It takes its time.
ECHO = """
import os, socket, sys, time
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    s, _ = l.accept()
    if os.fork(): continue
    while data := s.recv(65536):
        time.sleep(.3)
        s.sendall(data)
    os._exit(0)
"""
SPLICES = """
def splice(a, b):
    n = libc.splice(a, None, b, None, ctypes.c_size_t(4096), 0)
    return n if n >= 0 else errno.errorcode[ctypes.get_errno()]
def later(f):
    def run():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(.5)
        f()
    threading.Thread(target=run).start()
s = connected()
s.sendall(b"a")
s.recv(1)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
# An empty pipe, then a full one; with signals.
r, w = os.pipe()
signal.setitimer(signal.ITIMER_REAL, .1, .1)
later(lambda: os.write(w, b"hello"))
print(splice(r, s.fileno()))
s.recv(5, socket.MSG_PEEK | socket.MSG_WAITALL)
os.write(w, bytes(65536))
later(lambda: os.read(r, 65536))
print(splice(s.fileno(), w))
signal.setitimer(signal.ITIMER_REAL, 0)
print(os.read(r, 10))
# A pipe that another thread fills, as far as it is let, while the connection is waited for.
os.set_blocking(w, False)
s.sendall(b"world")
def fill():
    time.sleep(.1)
    try: os.write(w, bytes(65536))
    except BlockingIOError: pass
    time.sleep(.5)
    data = b""
    while b"world" not in data: data += os.read(r, 65536)
    came.append("world")
came = []
filler = threading.Thread(target=fill)
filler.start()
print(splice(s.fileno(), w))
filler.join()
print(*came)
# Two threads that wait for one pipe, and the connections of both are used.
r, w = os.pipe()
both, talks = [], [connected(), connected()]
def read_pipe(c):
    while (n := splice(r, c.fileno())): both.append(n)
threads = [threading.Thread(target=read_pipe, args=(c,)) for c in talks]
for t in threads: t.start()
for i in range(1, 301):
    os.write(w, b"x" * 10)
    while sum(both) < 10 * i: time.sleep(.0001)
    for c in talks: c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
os.close(w)
for t in threads: t.join()
print(sum(both))
os._exit(0)
"""


def splices():
    """splice() goes on behind handlers, loses nothing, and does not hold up who uses the connection."""
    with Net() as net:
        Talk(net, ECHO, SPLICES).end(["5", "5", "b'hello'", "5", "world", "3000"], "splice()")


# It is killed when it has said less than the client wants.
SAYING = """
import os, socket, sys, time
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
s.sendall(b"some")
time.sleep(float(s.recv(3)))
os.kill(os.getpid(), 9)
"""
WANTING = """
s = connected()
%s
s.sendall(b"%s")
# 8: TCP_CLOSE_WAIT
while %s and s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\\x08": time.sleep(.001)
def read(flags):
    try: return s.recv(10, flags)
    except OSError as e: return errno.errorcode[e.errno]
def read_many():
    buffers = [ctypes.create_string_buffer(10) for _ in range(2)]
    iovs = [struct.pack("QQ", ctypes.addressof(b), 10) for b in buffers]
    messages = b"".join(struct.pack("QQQQQQQQ", 0, 0, ctypes.cast(i, ctypes.c_void_p).value,
                                    1, 0, 0, 0, 0) for i in iovs)
    libc.recvmmsg(s.fileno(), messages, 2, 0, None)
    return buffers[0].value
print(read(socket.MSG_PEEK), %s, read(0), read(0))
"""


def cut_off():
    """Who has read some of what it wanted is told by the next call that the stream was cut off."""
    least = "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 8)"
    for before, call in (("", "read(socket.MSG_WAITALL)"), (least, "read(0)"), ("", "read_many()")):
        for wait, late in (("0.0", True), ("0.5", False)):
            with Net() as net:
                talk = Talk(net, SAYING, WANTING % (before, wait, late, call))
                talk.end(["b'some' b'some' ECONNRESET b''"], f"{before}{call}, {late=}: cut off")


# Headers, each with a file behind it, until both go in one segment; then one without.
HEADERS = """
import os, select, socket, struct, sys, tempfile, time
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
f = tempfile.TemporaryFile()
f.write(b"f" * 1000)
f.flush()
def segments():
    info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return struct.unpack_from("I", info, 156)[0]
n, before, together = 0, segments(), b"0"
while s.recv(1) == b"r":
    s.send(b"header" + together)
    os.sendfile(s.fileno(), f.fileno(), 0, 1000)
    n += 1
    if n == 100:
        now = segments()
        together, before, n = b"1" if now - before < 150 else b"0", now, 0
s.send(b"alone")
%s
"""
ASKER = """
s = connected()
def get(n):
    data = b""
    while len(data) < n: data += s.recv(n - len(data)) or sys.exit("it ended")
    return data
together = False
for i in range(20000):
    s.send(b"r")
    data = get(1007)
    if data[:6] + data[7:] != b"header" + b"f" * 1000: sys.exit(repr(data))
    together = data[6:7] == b"1"
    if together: break
print(together)
s.send(b"l")
print(get(5), flush=True)
"""


def headers():
    """A header that waits for its file leaves without one, however the program goes on."""
    for how in (
        "sys.stdin.readline()",
        "e = select.epoll(); e.register(s, select.EPOLLIN); e.poll()",
        "s.close(); sys.stdin.readline()",
        "os._exit(0)",
        "os.execlp('sleep', 'sleep', '1000')",
    ):
        with Net() as net:
            Talk(net, HEADERS % how, ASKER).end(["True", "b'alone'"], how)


# It resets the connection when it has been heard.
RESETTING = """
import socket, struct, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
s.sendall(b"k")
s.recv(1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
"""
RESET = """
s = connected()
s.recv(1)
s.send(b"x")
while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 7: time.sleep(.001)
print(select.select([s], [], [], 5)[0] == [s])
p = select.poll()
p.register(s, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
print(hex(p.poll(0)[0][1] & ~select.POLLERR))
try:
    print(s.recv(1))
except OSError as e:
    print(errno.errorcode[e.errno])
"""


def resets():
    """Who only asks whether there is something to read takes nothing of a reset away."""
    with Net() as net:
        Talk(net, RESETTING, RESET).end(["True", "0x2015", "ECONNRESET"], "a reset, after select()")


# It closes what it has not read all of, so that its answer is followed by a reset.
ANSWERING = """
import socket, sys, time
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
s.recv(1)
s.sendall(b"k")
s.recv(1, socket.MSG_PEEK)
s.sendall(b"answer")
s.close()
sys.stdin.read()
"""
ANSWERED = """
s = connected()
s.send(b"x")
s.recv(1)
s.send(b"more")
while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 7: time.sleep(.001)
def shut():
    try: s.shutdown(socket.SHUT_WR)
    except OSError as e: return errno.errorcode[e.errno]
def ask():
    p = select.poll()
    p.register(s, select.POLLIN | select.POLLOUT)
    return p.poll(5000)[0][1] & ~select.POLLERR == select.POLLIN | select.POLLOUT | select.POLLHUP
print(%s, ask())
print(s.recv(3), ask())
print(send(s, b"x") in ("EPIPE", "ECONNRESET"))
print(send(s, b"x"))
print(s.recv(10))
"""


def answers():
    """What came before a reset is still to be read, whichever call has been told of that."""
    for first, told in (("send(s, b'x')", "ECONNRESET"),
                        ("s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)", "104"), ("shut()", "ENOTCONN"),
                        ("s.recv(3, socket.MSG_PEEK)", "b'ans'")):
        with Net() as net:
            Talk(net, ANSWERING, ANSWERED % first).end(
                [f"{told} True", "b'ans' True", "True", "EPIPE", "b'wer'"], f"{first}: an answer, and a reset")


if __name__ == "__main__":
    main(
        "in-process mode: calls that wait, and what ends that",
        timeouts,
        interruptions,
        restarts,
        handlers,
        shared,
        edges,
        room,
        closed,
        trusting,
        resets,
        answers,
        peeks,
        passed_on,
        shutdowns,
        both_shut,
        several,
        splices,
        cut_off,
        headers,
    )
