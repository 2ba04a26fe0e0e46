#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: connections that go on in another program."""
import subprocess
import sys

from harness import Net, check, check_equal, main, wait_for
from inproc import SECRET, V4, Pair, each_role

TEXT = SECRET.decode() + "."


def talk(pair, name, port, server, client, expected, rounds=3, more=()):
    """A server that serves one client after the other, and what each client must print."""
    pair.b.start(pair.server([sys.executable, "-c", server, *more]))
    pair.b.wait_listening(port)
    args = [sys.executable, "-c", client, pair.b.addresses[V4], str(port), TEXT]
    for _ in range(rounds):
        done = pair.a.run(pair.client(args), check=False, timeout=60)
        check_equal((done.stdout.strip(), done.stderr), (expected, ""), name)


# A server with a process for each client; there client() returns the connection.
FORKING = """
import os, signal, socket, sys
def client(port):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.create_server(("0.0.0.0", port))
    while True:
        sock, _ = listener.accept()
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return sock
        sock.close()
"""


# ---- execve() ----------------------------------------------------------------------------------

# As inetd does: the connection is the new program's standard input and output. Even clients get
# programs that read and write by themselves, odd ones such as use the C library's streams.
INETD_SERVER = """
import os, signal, socket
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("0.0.0.0", 7101))
programs = [["cat"], ["sed", "-u", "s/^/sed says /"], ["sh", "-c", "read x; echo $x; cat"]]
for n in range(10 ** 6):
    sock, _ = listener.accept()
    if os.fork():
        sock.close()
        continue
    for fd in (0, 1):
        os.dup2(sock.fileno(), fd)
    os.execvp(programs[n % 3][0], programs[n % 3])
"""
INETD_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
f = s.makefile("rw")
for n in range(3):
    f.write(sys.argv[3] + "\\n")
    f.flush()
    line = f.readline()
    if line not in (sys.argv[3] + "\\n", "sed says " + sys.argv[3] + "\\n"):
        print("got", repr(line))
s.sendall(b"x" * 300000 + b"\\n")
s.shutdown(socket.SHUT_WR)
rest = f.read()
print(len(rest) - rest.startswith("sed says ") * 9, rest.count("x"))
"""


def inetd():
    def body(pair, name):
        talk(pair, f"{name}: everything comes back", 7101, INETD_SERVER, INETD_CLIENT,
             "300001 300000", rounds=6)
        pair.check(name, 7101)

    each_role("inetd", body)


# Servers that use the C library's streams of the connection that they have made their standard files.
STREAMS_SERVER = FORKING + """
import ctypes
libc = ctypes.CDLL(None)
stream = lambda name: ctypes.c_void_p.in_dll(libc, name)
sock = client(7114)
buffer = ctypes.create_string_buffer(4096)
libc.setvbuf(stream("stdout"), buffer, 0, len(buffer))
libc.printf(b"before ")
for fd in (0, 1, 2): os.dup2(sock.fileno(), fd)
sock.close()
line = ctypes.create_string_buffer(1000)
while libc.fgets(line, len(line), stream("stdin")):
    libc.printf(b"heard %s", line)
    libc.fflush(stream("stdout"))
    libc.fprintf(stream("stderr"), b"at once\\n")
libc.printf(b"the end\\n")
libc.exit(0)
"""
STREAMS_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
f = s.makefile("rw")
for n in range(2):
    f.write(sys.argv[3] + "\\n")
    f.flush()
    print((f.readline() + f.readline()).replace(sys.argv[3], "text"))
s.shutdown(socket.SHUT_WR)
print(f.read())
"""


def streams():
    """What the program has not flushed before, and what it reads and writes then."""
    def body(pair, name):
        talk(pair, f"{name}: they carry it", 7114, STREAMS_SERVER, STREAMS_CLIENT,
             "before heard text\nat once\n\nheard text\nat once\n\nthe end")
        pair.check(name, 7114)

    each_role("streams", body)



# As telnetd does: the connection is its standard input and output, those of what it starts a terminal;
# and so does freopen() for a file.
TERMINAL_SERVER = FORKING + """
import ctypes
libc = ctypes.CDLL(None)
libc.fopen.restype = libc.freopen.restype = ctypes.c_void_p
sock = client(7109)
for fd in (0, 1, 2): os.dup2(sock.fileno(), fd)
sock.close()
pid, master = os.forkpty()
if not pid:
    os.execlp("sh", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && read x && echo terminal $x")
os.write(master, b"here\\n")
text = b""
try:
    while data := os.read(master, 1000): text += data
except OSError: pass
os.waitpid(pid, 0)
os.write(1, text.splitlines()[-1] + b"\\n")
if not os.fork():
    libc.freopen(b"/dev/null", b"w", ctypes.c_void_p.in_dll(libc, "stderr"))
    os.execlp("sh", "sh", "-c", "echo lost >&2; cat")
"""
TERMINAL_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
f = s.makefile("r")
print(f.readline())
s.sendall(sys.argv[3].encode())
s.shutdown(socket.SHUT_WR)
print(f.read() == sys.argv[3])
"""


def terminal():
    """Files that the C library itself puts in a connection's place are what the program gets there."""
    def body(pair, name):
        talk(pair, f"{name}: what runs there has it", 7109, TERMINAL_SERVER, TERMINAL_CLIENT,
             "terminal here\n\nTrue")
        pair.check(name, 7109)

    each_role("terminal", body)



# A program becomes another one, twice, in the middle of what it reads and writes.
BECOMING_SERVER = FORKING + """
if len(sys.argv) == 1:
    sock = client(7102)
    sock.sendall(b"one ")
    sock.recv(3, socket.MSG_WAITALL)
    os.set_inheritable(sock.fileno(), True)
    try:
        os.execv("/no/such/program", ["x"])
    except FileNotFoundError:
        sock.sendall(b"none ")
    try:
        os.execv("/etc/passwd", ["x"])
    except PermissionError:
        sock.sendall(b"none ")
    os.execv(sys.executable, [*sys.orig_argv, str(sock.fileno()), "two"])
sock = socket.socket(fileno=int(sys.argv[1]))
sock.sendall(sys.argv[2].encode() + b" ")
sock.recv(3, socket.MSG_WAITALL)
if sys.argv[2] == "two":
    os.set_inheritable(sock.fileno(), True)
    os.execve(sys.executable, [*sys.orig_argv[:-2], sys.argv[1], "three"], {})
while data := sock.recv(100):
    sock.sendall(data)
"""
BECOMING_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"123456789" + sys.argv[3].encode())
s.shutdown(socket.SHUT_WR)
print(s.makefile("r").read())
"""


def becoming():
    def body(pair, name):
        talk(pair, f"{name}: three programs, one connection", 7102, BECOMING_SERVER,
             BECOMING_CLIENT, "one none none two three " + TEXT)
        pair.check(name, 7102)

    each_role("one after the other", body)


# Parent and child use the connection by turns; the parent is the last one to close it.
LENDING_SERVER = """
import socket, subprocess, sys
listener = socket.create_server(("0.0.0.0", 7103))
while True:
    sock, _ = listener.accept()
    sock.sendall(b"before ")
    for n in range(3):
        subprocess.run(["head", "-c", "5"], stdin=sock, stdout=sock, check=True)
        sock.sendall(sock.recv(5, socket.MSG_WAITALL))
    subprocess.run(["sh", "-c", "echo; cat"], stdin=sock, stdout=sock, check=True)
    sock.sendall(b"after")
    sock.close()
"""
LENDING_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
f = s.makefile("r")
for n in range(6):
    s.sendall(b"%05d" % n)
got = f.readline().strip()
s.sendall(sys.argv[3].encode())
s.shutdown(socket.SHUT_WR)
print(got, f.read())
"""


def lending():
    def body(pair, name):
        numbers = "".join(f"{n:05}" for n in range(6))
        talk(pair, f"{name}: both have the same stream", 7103, LENDING_SERVER, LENDING_CLIENT,
             f"before {numbers} {TEXT}after")
        pair.check(name, 7103)

    each_role("lent to children", body)


# The peer does not read before the old program has gone, with what the kernel did not take: the new one makes
# a file, whose name the peer has sent.
FILLING = """
def fill(sock):
    sock.setblocking(False)
    sent = 0
    try:
        while True:
            sent += sock.send(bytes([sent // 1000 % 251]) * 1000)
    except BlockingIOError:
        return sent
"""
PENDING_SERVER = FORKING + FILLING + """
if len(sys.argv) == 1:
    sock = client(7104)
    path = sock.recv(100).decode()
    sent = fill(sock)
    os.set_inheritable(sock.fileno(), True)
    os.execv(sys.executable, [*sys.orig_argv, str(sock.fileno()), str(sent), path])
sock = socket.socket(fileno=int(sys.argv[1]))
open(sys.argv[3], "x").close()
sock.setblocking(True)
sock.sendall(sys.argv[2].encode().rjust(20))
"""
PENDING_CLIENT = """
import os, socket, sys, tempfile, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "full")
    s.sendall(path.encode())
    while not os.path.exists(path): time.sleep(.01)
data = s.makefile("rb").read()
sent = int(data[-20:])
print(sent == len(data) - 20, all(data[i] == i // 1000 % 251 for i in range(0, sent, 997)))
"""


def pending():
    def body(pair, name):
        talk(pair, f"{name}: nothing is lost, nothing comes twice", 7104, PENDING_SERVER,
             PENDING_CLIENT, "True True", rounds=2)
        pair.check_carried(name, 7104)

    each_role("output that waits", body)


# What was received with a frame and not read yet; and a descriptor that shall be closed.
UNREAD_SERVER = """
import fcntl, os, select, socket, sys
if len(sys.argv) == 1:
    listener = socket.create_server(("0.0.0.0", 7105))
    while True:
        both = [listener.accept()[0] for _ in range(2)]
        if os.fork():
            for s in both:
                s.close()
            continue
        # Through daemons they may come in either order.
        [sock], _, _ = select.select(both, (), ())
        both.remove(sock)
        [other] = both
        got = sock.recv(7)
        os.set_inheritable(sock.fileno(), True)
        fcntl.fcntl(other, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        fds = [str(s.fileno()) for s in (sock, other)]
        os.execv(sys.executable, [*sys.orig_argv, *fds, got.decode()])
sock = socket.socket(fileno=int(sys.argv[1]))
try:
    os.fstat(int(sys.argv[2]))
    print("FD_CLOEXEC was not heeded", file=sys.stderr)
except OSError:
    pass
rest = b""
while data := sock.recv(1 << 20):
    rest += data
sock.sendall(sys.argv[3].encode() + rest)
"""
UNREAD_CLIENT = """
import socket, sys
s, other = (socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(2))
data = sys.argv[3].encode() * 2000
s.sendall(data)
s.shutdown(socket.SHUT_WR)
got = s.makefile("rb").read()
try:
    end = other.recv(1)
except ConnectionResetError:
    end = "reset"
print(got == data)
"""


def unread():
    def body(pair, name):
        talk(pair, f"{name}: the new program reads on", 7105, UNREAD_SERVER, UNREAD_CLIENT, "True")
        pair.check_secret(name)

    each_role("input that waits", body, plain=False)


UNSERVED_SERVER = FORKING + """
import errno
sock = client(7106)
sock.recv(1)
os.dup2(sock.fileno(), 1)
try:
    os.execv(sys.argv[1], [sys.argv[1], "version"])
except OSError as e:
    os.write(1, errno.errorcode[e.errno].encode())
os._exit(0)
"""
UNSERVED_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"x")
print(s.makefile("r").read())
"""


def unserved():
    """A program that cannot have the library is not started with the connection as its output."""
    root = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True).stdout.strip()
    with Net() as net:
        pair = Pair(net, "server")
        pair.b.start(pair.server([sys.executable, "-c", UNSERVED_SERVER, f"{root}/bin/go"]))
        pair.b.wait_listening(7106)
        args = [sys.executable, "-c", UNSERVED_CLIENT, pair.b.addresses[V4], "7106"]
        for _ in range(2):
            check_equal(pair.a.run(args).stdout.strip(), "ENOTSUP", "a Go program: refused")
        pair.check_carried("a Go program", 7106)


# What the new program of a client does: the keys may not be there yet when it is started.
CLIENT_SERVER = """
import socket
listener = socket.create_server(("0.0.0.0", 7107))
while True:
    sock, _ = listener.accept()
    with sock, sock.makefile("rw") as f:
        for line in f:
            f.write("echo " + line)
            f.flush()
"""
CLIENT_CLIENT = """
import os, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for fd in (0, 7):
    os.dup2(s.fileno(), fd)
os.execlp("sh", "sh", "-c", 'echo "$1" >&7; read x; echo "$x"', "sh", sys.argv[3])
"""


def clients():
    def body(pair, name):
        talk(pair, f"{name}: a shell talks on it", 7107, CLIENT_SERVER, CLIENT_CLIENT,
             "echo " + TEXT, rounds=5)
        pair.check(name, 7107)

    each_role("client that becomes a shell", body)


# ---- SCM_RIGHTS --------------------------------------------------------------------------------

# An acceptor that gives each connection away, to a program that was there before: the keys may not
# be there yet, or some of the data may have been read, and the acceptor may still use it.
ACCEPTOR = """
import socket, subprocess, sys
here, there = socket.socketpair()
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(there.fileno())],
                          pass_fds=[there.fileno()])
there.close()
listener = socket.create_server(("0.0.0.0", 7110))
for n in range(10 ** 6):
    sock, _ = listener.accept()
    how = [b"early", b"late", b"shares"][n % 3]
    if how != b"early":
        sock.sendall(sock.recv(5, socket.MSG_WAITALL))
    socket.send_fds(here, [how], [sock.fileno()])
    if how == b"shares":
        here.recv(1)
        while data := sock.recv(65536):
            sock.sendall(data)
    sock.close()
"""
WORKER = """
import os, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
while True:
    how, fds, _, _ = socket.recv_fds(channel, 6, 1)
    if not fds:
        break
    sock = socket.socket(fileno=fds[0])
    assert sock.family == socket.AF_INET
    if how != b"early":
        sock.sendall(sock.recv(5, socket.MSG_WAITALL))
    if how == b"shares":
        sock.close()
        channel.sendall(b"x")
        continue
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.close()
"""
GIVEN_CLIENT = """
import socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
data = b"12345abcde" + sys.argv[3].encode() * 10000
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
print(s.makefile("rb").read() == data)
"""


def given():
    def body(pair, name):
        talk(pair, f"{name}: everything comes back", 7110, ACCEPTOR, GIVEN_CLIENT, "True", rounds=6,
             more=[WORKER])
        pair.check(name, 7110)

    each_role("given to another program", body)


# What waits for room at the moment of sending goes before what the receiver writes.
FULL_SENDER = FILLING + """
import os, socket
here, there = socket.socketpair()
listener = socket.create_server(("0.0.0.0", 7111))
if not os.fork():
    here.close()
    while True:
        told, fds, _, _ = socket.recv_fds(there, 100, 1)
        if not fds:
            os._exit(0)
        sent, path = told.split()
        sock = socket.socket(fileno=fds[0])
        open(path, "x").close()
        sock.setblocking(True)
        sock.sendall(sent.rjust(20))
        sock.close()
while True:
    sock, _ = listener.accept()
    path = sock.recv(100).decode()
    sent = fill(sock)
    socket.send_fds(here, [f"{sent} {path}".encode()], [sock.fileno()])
    sock.close()
"""


def given_full():
    def body(pair, name):
        talk(pair, f"{name}: nothing is lost, nothing comes twice", 7111, FULL_SENDER,
             PENDING_CLIENT, "True True", rounds=2)
        pair.check_carried(name, 7111)

    each_role("given with output that waits", body, plain=False)


# A receiver without the library, which reads from what it gets, and writes.
STRANGER = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    channel, _ = server.accept()
    _, fds, _, _ = socket.recv_fds(channel, 100, 1)
    sock = socket.socket(fileno=fds[0])
    said = []
    for call in (lambda: sock.recv(1000), lambda: sock.send(sys.argv[2].encode())):
        try:
            call()
            said.append("done")
        except OSError as e:
            said.append(type(e).__name__)
    sock.close()
    channel.sendall(" ".join(said).encode())
"""
TO_STRANGER = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.sendall(b"hello")
sock.recv(5, socket.MSG_WAITALL)
channel = socket.socket(socket.AF_UNIX)
channel.connect(sys.argv[3])
socket.send_fds(channel, [b"x"], [sock.fileno()])
sock.close()
print(channel.recv(100).decode())
"""
GREETER = """
import socket
listener = socket.create_server(("0.0.0.0", 7112))
while True:
    sock, _ = listener.accept()
    sock.sendall(sock.recv(5, socket.MSG_WAITALL))
    try:
        print(sock.recv(100), flush=True)
    except OSError as e:
        print(type(e).__name__, flush=True)
"""


def stranger():
    """A program without the library gets nothing but errors, and the peer a reset."""
    with Net() as net:
        pair = Pair(net, "both")
        server = pair.b.start(pair.server([sys.executable, "-c", GREETER]), stdout=subprocess.PIPE,
                              text=True)
        pair.b.wait_listening(7112)
        path = net.directory() / "socket"
        pair.a.start([sys.executable, "-c", STRANGER, path, TEXT])
        wait_for(path.exists, "the stranger's socket")
        args = [sys.executable, "-c", TO_STRANGER, pair.b.addresses[V4], "7112", path]
        said = pair.a.run(pair.client(args)).stdout.split()
        check_equal(said[:1], ["ConnectionResetError"], "a stranger: reading says ECONNRESET")
        check(said[1:] not in ([], ["done"]), "a stranger: writing is an error", said)
        check_equal(server.stdout.readline(), "ConnectionResetError\n", "a stranger: the peer's end")
        pair.check_secret("a stranger")


# A receiver with room for what stands for the connection, but not for all that is in there.
CROWDED = """
import os, resource, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
while True:
    channel.recv(1)
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + int(sys.argv[2]), limits[1]))
    _, fds, _, _ = socket.recv_fds(channel, 100, 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    sock = socket.socket(fileno=fds[0])
    said = []
    for call in (lambda: sock.recv(1000), lambda: sock.send(b"x"), lambda: sock.recv(1000)):
        try:
            said.append(repr(call()))
        except OSError as e:
            said.append(type(e).__name__)
    sock.close()
    channel.send(" ".join(said).encode())
"""
TO_CROWDED = """
import socket, subprocess, sys
here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
worker = subprocess.Popen([sys.executable, "-c", sys.argv[3], str(there.fileno()), sys.argv[4]],
                          pass_fds=[there.fileno()])
there.close()
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.sendall(b"hello")
sock.recv(5, socket.MSG_WAITALL)
here.send(b"x")
socket.send_fds(here, [b"x"], [sock.fileno()])
sock.close()
print(here.recv(100).decode())
"""


def crowded():
    """A receiver without descriptors for it has a connection that was reset, and nothing to read."""
    with Net() as net:
        pair = Pair(net, "both")
        server = pair.b.start(pair.server([sys.executable, "-c", GREETER]), stdout=subprocess.PIPE,
                              text=True)
        pair.b.wait_listening(7112)
        for room in ("1", "2"):
            args = [sys.executable, "-c", TO_CROWDED, pair.b.addresses[V4], "7112", CROWDED, room]
            said = pair.a.run(pair.client(args), timeout=30).stdout.strip()
            check_equal(said, "ConnectionResetError BrokenPipeError b''",
                        f"room for {room}: the connection was reset")
            check_equal(server.stdout.readline(), "ConnectionResetError\n",
                        f"room for {room}: the peer's end")


MALFORMED = """
import ctypes, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
here, there = socket.socketpair()
for length in (0, 1, 15, 1 << 20, (1 << 64) - 1):
    control = ctypes.create_string_buffer(
        struct.pack("@Niii", length, socket.SOL_SOCKET, socket.SCM_RIGHTS, 0), 24)
    data = ctypes.create_string_buffer(b"x")
    vector = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(data), 1))
    message = ctypes.create_string_buffer(struct.pack(
        "@PI4xPNPNi4x", 0, 0, ctypes.addressof(vector), 1, ctypes.addressof(control), 24, 0))
    r = libc.sendmsg(here.fileno(), message, 0)
    print(r, os.strerror(ctypes.get_errno()), end=" ")
"""


def malformed():
    """Lengths that make no sense are the kernel's to refuse."""
    with Net() as net:
        pair = Pair(net, "client")
        plainly, here = (pair.a.run(args, check=False) for args in (
            [sys.executable, "-c", MALFORMED], pair.client([sys.executable, "-c", MALFORMED])))
        check(plainly.stdout.count("-1 Invalid argument") == 5, "malformed: without the library", plainly)
        check_equal((here.stdout, here.returncode), (plainly.stdout, 0), "malformed: with it")


# ---- fork() ------------------------------------------------------------------------------------

# One of two processes closes what the other one still has. That it lives is seen by an open file of its
# own, which a child cannot have where there is no /proc, or where there are no more descriptors.
FILELESS_SERVER = """
import os, resource, socket, sys
def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)
listener = socket.create_server(("0.0.0.0", 7113))
if sys.argv[1] == "/proc":
    os.chroot("/usr")
while True:
    sock, _ = listener.accept()
    # With this child the connection gets memory of its own, which takes descriptors.
    if not os.fork():
        os._exit(0)
    os.wait()
    closed = os.pipe()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if sys.argv[1] == "descriptors":
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    child = os.fork()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    if (child != 0) == (sys.argv[2] == "child"):
        sock.close()
        os.write(closed[1], b"x")
    else:
        os.read(closed[0], 1)
        echo(sock)
        sock.close()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    for fd in closed:
        os.close(fd)
"""


def fileless():
    for lacks, left in (("/proc", "child"), ("/proc", "parent"), ("descriptors", "parent")):
        with Net() as net:
            pair = Pair(net, "server")
            name = f"without {lacks}, left to the {left}"
            talk(pair, f"{name}: everything comes back", 7113, FILELESS_SERVER, GIVEN_CLIENT,
                 "True", rounds=2, more=[lacks, left])
            pair.check_secret(name)


if __name__ == "__main__":
    main(
        "encrypted connections that other programs go on with",
        inetd,
        streams,
        terminal,
        becoming,
        lending,
        pending,
        unread,
        unserved,
        clients,
        given,
        given_full,
        stranger,
        crowded,
        malformed,
        fileless,
    )
