#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: however a process ends, forks or becomes another program, streams end well."""
import subprocess
import sys

from harness import Net, check_equal, main
from inproc import V4, Pair

PORT = 7030
COMMON = """
import ctypes, os, random, resource, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
NULL = ctypes.c_char_p(None)
def connected(rcvbuf=0):
    s = socket.socket()
    if rcvbuf: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.connect((sys.argv[1], int(sys.argv[2])))
    return s
"""
# What comes until the end, whichever that is; it accepts when it is told to.
READER = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
if len(sys.argv) > 2: input()
s, _ = l.accept()
if len(sys.argv) <= 2: s.sendall(b"k")
data = b""
try:
    while more := s.recv(65536): data += more
    print(data.decode(), "end")
except OSError as e:
    print(data.decode(), e)
"""


def stream(client, text, wrap=(), late=False):
    """What a reader gets of such a client's connection. late: it accepts when the client has ended."""
    with Net() as net:
        pair = Pair(net, "both")
        reader = pair.b.start(pair.server([sys.executable, "-c", READER, PORT, *["late"] * late]),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pair.b.wait_listening(PORT)
        args = [*wrap, sys.executable, "-c", COMMON + client, pair.b.addresses[V4], str(PORT)]
        writer = pair.a.start(pair.client(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
        check_equal(writer.stdout.readline(), "closed\n", f"{text}: the client gets so far")
        out = reader.communicate("\n", timeout=60)[0]
        check_equal(out, "one two end\n", f"{text}: all bytes, then the end")
        writer.communicate("\n", timeout=60)


EXEC = """
s = connected()
s.recv(1)
s.sendall(b"one ")
pid = os.fork()
if not pid:
    arguments = (b"true", *[b"x"] * int(sys.argv[3]), NULL)
    env = (ctypes.c_char_p * 1)()
    %s
    os._exit(9)
if os.waitpid(pid, 0)[1]: print("exec failed")
s.sendall(b"two")
s.close()
print("closed", flush=True)
input()
"""


def other_programs():
    """A child that becomes another program, whichever call it uses, gives its reference back."""
    calls = {
        "execl()": "libc.execl(b'/bin/true', *arguments)",
        "execlp()": "libc.execlp(b'true', *arguments)",
        "execle()": "libc.execle(b'/bin/true', *arguments, env)",
        "execveat()": "libc.execveat(-100, b'/bin/true', "
                      "(ctypes.c_char_p * 2)(b'true'), env, 0)",
    }
    for name, call in calls.items():
        client = (EXEC % call).replace("int(sys.argv[3])", "300" if name == "execle()" else "1")
        stream(client, name)


def exec_after_close():
    """What is not sent yet is sent before another program takes the process."""
    client = """
s = connected()
s.sendall(b"one two")
s.close()
print("closed", flush=True)
os.execv("/bin/cat", ["cat"])
"""
    stream(client, "close() and execv()", late=True)


def processes():
    """daemon(), quick_exit() and a fork() that fails leave nobody behind."""
    stream("""
s = connected()
s.recv(1)
s.sendall(b"one ")
libc.daemon(1, 1)
s.sendall(b"two")
s.close()
print("closed", flush=True)
input()
""", "daemon()")
    stream("""
s = connected()
s.recv(1)
s.sendall(b"one two")
print("closed", flush=True)
libc.quick_exit(0)
""", "quick_exit()")
    stream("""
s = connected()
s.recv(1)
s.sendall(b"one ")
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    if not os.fork(): os._exit(0)
    print("forked")
except BlockingIOError:
    pass
s.sendall(b"two")
s.close()
print("closed", flush=True)
input()
""", "fork() that fails", wrap=["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"])


def killed():
    """A child that is killed gives back what it had: who is left says that the stream ends."""
    stream("""
s = connected()
s.recv(1)
s.sendall(b"one ")
pid = os.fork()
if not pid:
    while True: signal.pause()
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
s.sendall(b"two")
s.close()
print("closed", flush=True)
input()
""", "a child that is killed")
    stream("""
s = connected()
s.recv(1)
s.sendall(b"one ")
parent = os.getpid()
if os.fork():
    os.kill(parent, signal.SIGKILL)
while os.getppid() == parent: time.sleep(.01)
s.sendall(b"two")
s.close()
print("closed", flush=True)
""", "a parent that is killed")


KILLED_AT_WORK = """
others = [connected() for _ in range(2)]
killed = 0
for n in range(30):
    s = connected()
    s.recv(1)
    s.settimeout(10)
    pid = os.fork()
    if not pid:
        while True: s.send(b"x" * (n * 1000 + 1))
    time.sleep(random.random() / 100)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    try:
        s.send(b"y")
    except ConnectionResetError:
        killed += 1
    s.close()
    for o in others: o.send(b"z")
print("closed", killed, flush=True)
"""
DRAIN = """
import socket, sys, threading
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
def drain(s):
    s.sendall(b"k")
    try:
        while s.recv(65536): pass
    except OSError: pass
    s.close()
while True:
    threading.Thread(target=drain, args=l.accept()[:1], daemon=True).start()
"""


def killed_at_work():
    """A process that is killed with a connection's lock blocks nobody; others are not touched."""
    with Net() as net:
        pair = Pair(net, "both")
        pair.b.start(pair.server([sys.executable, "-c", DRAIN, PORT]))
        pair.b.wait_listening(PORT)
        done = pair.a.run(pair.client([sys.executable, "-c", COMMON + KILLED_AT_WORK, pair.b.addresses[V4],
                                       PORT]), timeout=120)
        check_equal(done.stdout.split()[0], "closed", "killed at work: the others go on")


INHERITED = """
import subprocess
def connecting():
    s = socket.socket()
    s.set_inheritable(True)
    s.setblocking(False)
    s.connect_ex((sys.argv[1], int(sys.argv[2])))
    print("connecting", flush=True)
    # No call that would ask what was negotiated.
    while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1: time.sleep(.01)
    return s
def says(s):
    return ["/bin/sh", "-c", f"echo plain >&{s.fileno()}"]
s = connecting()
if sys.argv[3] == "posix_spawn":
    pid = os.posix_spawn("/bin/sh", says(s), os.environ)
    os.waitpid(pid, 0)
else:
    subprocess.run(says(s), close_fds=False)
s.setblocking(True)
s.recv(1)
"""


def inherited():
    """A connection that turns out plain, of which nobody has asked, is inherited as the program wants."""
    for way in ("posix_spawn", "vfork"):
        with Net() as net:
            pair = Pair(net, "client", plain=True)
            reader = pair.b.start(pair.server([sys.executable, "-c", READER, PORT]),
                                  stdout=subprocess.PIPE, text=True)
            pair.b.wait_listening(PORT)
            # So that connect() returns before there is an answer.
            pair.b.run(["ip", "link", "set", pair.b.interfaces[0], "down"])
            writer = pair.a.start(pair.client([sys.executable, "-c", COMMON + INHERITED,
                                               pair.b.addresses[V4], PORT, way]),
                                  stdout=subprocess.PIPE, text=True)
            check_equal(writer.stdout.readline(), "connecting\n", f"{way}: the client gets so far")
            pair.b.run(["ip", "link", "set", pair.b.interfaces[0], "up"])
            check_equal(reader.communicate(timeout=60)[0].split(), ["plain", "end"],
                        f"{way}: the new program writes")


LATE = """
s = connected()
s.sendall(b"one two")
%s
s.close()
print("closed", flush=True)
input()
"""


def few_descriptors():
    """The rest of a connection is sent with few descriptors, or none, to spare."""
    stream(LATE % "", "few descriptors", wrap=["prlimit", "--nofile=256:256"], late=True)


def no_descriptors():
    """Without any, close() waits."""
    with Net() as net:
        pair = Pair(net, "both")
        reader = pair.b.start(pair.server([sys.executable, "-c", READER, PORT, "late"]),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pair.b.wait_listening(PORT)
        client = COMMON + LATE % """
print("full", flush=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
"""
        args = [sys.executable, "-c", client, pair.b.addresses[V4], str(PORT)]
        writer = pair.a.start(pair.client(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check_equal(writer.stdout.readline(), "full\n", "no descriptors: the client gets so far")
        out = reader.communicate("\n", timeout=60)[0]
        check_equal(out, "one two end\n", "no descriptors: all bytes, then the end")
        check_equal(writer.communicate("\n", timeout=60)[0], "closed\n", "no descriptors: close() returns")


SLOW_SERVER = """
import socket, sys, time
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
s.recv(1)
s.setblocking(False)
n = refused = 0
while refused < 40:
    try:
        n += s.send(b"x" * 65536)
        refused = 0
    except BlockingIOError:
        refused += 1
        time.sleep(.05)
s.close()
print(n, flush=True)
sys.stdin.read()
"""
SLOW_CLIENT = COMMON + """
s = connected(65536)
s.sendall(b"x")
print("reads later", flush=True)
input()
n = 0
try:
    while data := s.recv(65536): n += len(data)
    print(n)
except OSError as e:
    print(n, e)
"""


def slow_reader():
    """A peer may read as late as it likes."""
    with Net() as net:
        pair = Pair(net, "both")
        server = pair.b.start(pair.server([sys.executable, "-c", SLOW_SERVER, PORT]),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pair.b.wait_listening(PORT)
        args = [sys.executable, "-c", SLOW_CLIENT, pair.b.addresses[V4], str(PORT)]
        client = pair.a.start(pair.client(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        client.stdout.readline()
        sent = server.stdout.readline()
        # The patience that the library once had, and some more.
        pair.a.run(["sleep", "13"])
        check_equal(client.communicate("\n", timeout=60)[0], sent, "slow reader: all that was written")
        server.communicate("", timeout=60)


# Who is to close opens or accepts, sets SO_LINGER at the moments of its list, and closes when the other,
# who tells how the stream ends, has said something.
LINGERER = """
import ctypes, os, socket, struct, sys
role, address, port, *moments = sys.argv[1:]
def at(sock, moment):
    for on in moments:
        if on.startswith(moment):
            value = struct.pack("ii", not on.endswith("off"), 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
if role.endswith("opens"):
    s = socket.socket()
    at(s, "new")
    s.connect((address, int(port)))
else:
    l = socket.create_server((address, int(port)))
    at(l, "listener")
    s, _ = l.accept()
if role.startswith("closer"):
    s.recv(1)
    at(s, "connected")
    at(s.dup(), "copy")
    if "child" in moments and not os.fork():
        at(s, "child")
        os._exit(0)
    if "child" in moments:
        os.wait()
    if "number" in moments:
        number = 54 if os.uname().machine == "x86_64" else 208
        value = struct.pack("ii", 1, 0)
        ctypes.CDLL(None).syscall(number, s.fileno(), socket.SOL_SOCKET, socket.SO_LINGER, value, 8)
    s.close()
else:
    s.sendall(b"x")
    try:
        print(s.recv(1))
    except OSError as e:
        print(e)
"""


def lingering():
    """SO_LINGER of no seconds means a reset, whenever it was set and on whichever socket; else FINp."""
    reset, end = "[Errno 104] Connection reset by peer\n", "b''\n"
    cases = [
        ("opens", [], end),
        ("opens", ["new"], reset),
        ("opens", ["connected"], reset),
        ("opens", ["new", "connected-off"], end),
        ("accepts", [], end),
        ("accepts", ["listener"], reset),
        ("accepts", ["connected"], reset),
        ("accepts", ["listener", "connected-off"], end),
        ("opens", ["copy"], reset),
        ("accepts", ["copy"], reset),
        ("opens", ["child"], reset),
        ("accepts", ["child"], reset),
        ("opens", ["number"], reset),
        ("accepts", ["number"], reset),
    ]
    with Net() as net:
        pair = Pair(net, "both")
        for number, (way, moments, expected) in enumerate(cases):
            port = PORT + 20 + number

            def start(host, wrap, role, address, *more):
                args = [sys.executable, "-c", LINGERER, role, address, port, *more]
                return host.start(wrap([str(a) for a in args]), stdout=subprocess.PIPE, text=True)

            opens = way == "opens"
            # The one that accepts comes first, whichever of them closes.
            first = start(pair.b, pair.server, *(("teller accepts", "0.0.0.0") if opens else
                                                 ("closer accepts", "0.0.0.0", *moments)))
            pair.b.wait_listening(port)
            second = start(pair.a, pair.client,
                           *(("closer opens", pair.b.addresses[V4], *moments) if opens else
                             ("teller opens", pair.b.addresses[V4])))
            told = (first if opens else second).communicate(timeout=30)[0]
            (second if opens else first).communicate(timeout=30)
            text = f"SO_LINGER of who {way}: {', '.join(moments) or 'never'}"
            check_equal(told, expected, text)
            # Without FINp, and not because what was written was thrown away behind it.
            mine = (pair.da if opens else pair.db).wait_list(port=port, state="closed")[-1]
            check_equal(mine["reason"], "local-reset" if expected == reset else None,
                        f"{text}: what it says itself")


if __name__ == "__main__":
    main(
        "in-process mode: how processes end, fork and become others",
        other_programs,
        exec_after_close,
        processes,
        killed,
        killed_at_work,
        inherited,
        few_descriptors,
        no_descriptors,
        slow_reader,
        lingering,
    )
