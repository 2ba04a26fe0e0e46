#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
In-process mode: connections that go on in children of posix_spawn(), system() and popen(). What spawn.c
says of each action, attribute and error must be what it says natively.
"""
import os
import subprocess
import sys

from harness import Net, check, check_equal, main, wait_for
from inproc import V4, Pair, each_role, loaded
from test_inproc_each_call import difference, play, said, serve
from test_inproc_pass import INETD_CLIENT, TEXT, talk

PROGRAM = os.environ["SPAWN"]
STATIC = os.environ["SOCKOPT_C"]
PORT = 7050  # where play() serves


def alone(case):
    """Without any connection, and so without the library's part in it."""
    with Net() as net:
        host = net.host()
        net.daemon(host)
        native = host.run([PROGRAM, "127.0.0.1", "0", case], check=False).stdout
        check(native.endswith("\ndone\n"), f"{case}: natively, without a connection", native)
        here = host.run(loaded([PROGRAM, "127.0.0.1", "0", case]), check=False).stdout
        check_equal(difference(native, here), [], f"{case}: in-process, without a connection")


def actions():
    alone("actions")
    play("actions", program=PROGRAM)


def attributes():
    alone("attributes")
    play("attributes", program=PROGRAM)


def errors():
    alone("errors")
    play("errors", program=PROGRAM)


def shells():
    alone("shells")
    play("shells", program=PROGRAM)


def threads():
    """Some spawn, others fork, and no child keeps another one's parent waiting."""
    play("threads", program=PROGRAM)


PIDFD = """pidfd_spawn: 42, close-on-exec 1
  child: pidfd_spawn
  parent: goes on
pidfd_spawnp: 42, close-on-exec 1
  child: pidfd_spawnp
  parent: goes on
none: ENOENT -1
  parent: goes on
reaped by the kernel: ENOENT -1
  parent: goes on
no child is left: 1
done
"""


def pidfd():
    """Where the C library has no such calls they serve none the less, if there is a connection."""
    with Net() as net:
        pair = Pair(net, "both")
        serve(pair.b, pair.server([]))
        pair.b.wait_listening(PORT)
        here = said(pair.a, pair.client([]), pair.b.addresses[V4], "pidfd", PROGRAM)
        check_equal(sorted(here.splitlines()), sorted(PIDFD.splitlines()), "pidfd_spawn")
        pair.check_carried("pidfd_spawn", PORT)


# As INETD_SERVER in test_inproc_pass.py, and the parent is at work with another connection meanwhile.
INETD_SERVER = """
import os, signal, socket
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("0.0.0.0", 7121))
programs = [["cat"], ["sed", "-u", "s/^/sed says /"], ["sh", "-c", "read x; echo $x; cat"]]
for n in range(10 ** 6):
    sock, _ = listener.accept()
    actions = [(os.POSIX_SPAWN_DUP2, sock.fileno(), fd) for fd in (0, 1)]
    os.posix_spawnp(programs[n % 3][0], programs[n % 3], os.environ, file_actions=actions)
    sock.close()
"""


def inetd():
    def body(pair, name):
        talk(pair, f"{name}: everything comes back, and the end", 7121, INETD_SERVER, INETD_CLIENT,
             "300001 300000", rounds=6)
        pair.check(name, 7121)

    each_role("inetd by posix_spawn()", body)


# Children of every kind have what their parent reads and writes as well, which is also their output.
LENDING_SERVER = """
import os, select, socket
listener = socket.create_server(("0.0.0.0", 7122))
while True:
    both = [listener.accept()[0] for _ in range(2)]
    # Through daemons they may come in either order.
    [other], _, _ = select.select(both, (), ())
    both.remove(other)
    [sock] = both
    del both
    other.sendall(other.recv(5))
    os.dup2(sock.fileno(), 0)
    os.dup2(sock.fileno(), 1)
    sock.sendall(b"before ")
    os.system("head -c 5")
    os.waitpid(os.posix_spawnp("head", ["head", "-c", "5"], os.environ), 0)
    os.write(1, os.popen("head -c 5").read().encode())
    with os.popen("cat", "w") as pipe:
        pipe.write(" piped ")
    sock.sendall(sock.recv(5, socket.MSG_WAITALL))
    other.sendall(other.recv(5))
    other.close()
    sock.close()
    null = os.open("/dev/null", os.O_RDWR)
    # What is left is a child's, who sends all the rest and then the end.
    pid = os.posix_spawnp("sh", ["sh", "-c", "sleep .2; echo; cat"], os.environ)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    os.waitpid(pid, 0)
"""
LENDING_CLIENT = """
import socket, sys
s, other = (socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(2))
def echo():
    other.sendall(b"other")
    return other.recv(5, socket.MSG_WAITALL).decode()
said = echo()
f = s.makefile("r")
for n in range(4):
    s.sendall(b"%05d" % n)
said += echo()
got = f.readline().strip()
s.sendall(sys.argv[3].encode())
s.shutdown(socket.SHUT_WR)
print(said, got, f.read(), other.recv(1))
"""


def lending():
    def body(pair, name):
        talk(pair, f"{name}: all have the same stream", 7122, LENDING_SERVER, LENDING_CLIENT,
             f"otherother before 000000000100002 piped 00003 {TEXT} b''")
        pair.check(name, 7122)

    each_role("lent to children", body)


# A program that cannot have the library does not have the connection: it is not started with it as its
# input or output, and otherwise without it.
UNSERVED_SERVER = """
import errno, os, socket, sys
listener = socket.create_server(("0.0.0.0", 7123))
while True:
    sock, _ = listener.accept()
    sock.recv(1)
    if sys.argv[2]:
        os.seteuid(int(sys.argv[2]))
    said = []
    for n, resetids in (0, False), (1, False), (2, False), (9, False), (1, True):
        try:
            actions = [(os.POSIX_SPAWN_DUP2, sock.fileno(), n)]
            actions += [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in range(3) if fd != n]
            pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions,
                                 resetids=resetids)
            said.append(str(os.waitpid(pid, 0)[0] == pid))
        except OSError as e:
            said.append(errno.errorcode[e.errno])
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        said.append("none is left")
    sock.sendall(" ".join(said).encode())
    sock.close()
    os.seteuid(0)
"""
UNSERVED_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"x")
print(s.makefile("r").read())
"""


def unserved():
    for name, program, user, said in (
        ("a static program", [STATIC], "", "ENOTSUP ENOTSUP ENOTSUP True ENOTSUP none is left"),
        ("another user's program", ["/bin/echo"], "65534", "ENOTSUP ENOTSUP ENOTSUP True True none is left"),
    ):
        with Net() as net:
            pair = Pair(net, "both")
            pair.b.start(pair.server([sys.executable, "-c", UNSERVED_SERVER, *program, user]))
            pair.b.wait_listening(7123)
            args = [sys.executable, "-c", UNSERVED_CLIENT, pair.b.addresses[V4], "7123"]
            for _ in range(2):
                done = pair.a.run(pair.client(args), timeout=60)
                text = "65534\n" * bool(user) + said
                check_equal((done.stdout.strip(), done.stderr), (text, ""),
                            f"{name}: refused, or started without it")
            pair.check_carried(name, 7123)


LIVING_SERVER = """
import os, socket
listener = socket.create_server(("0.0.0.0", 7124))
sock, _ = listener.accept()
actions = [(os.POSIX_SPAWN_DUP2, sock.fileno(), fd) for fd in (0, 1)]
pid = os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions)
sock.close()
print("closed", flush=True)
os.waitpid(pid, 0)
"""
LIVING_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("connected", flush=True)
for n in range(3):
    sys.stdin.readline()
    s.sendall(b"hello")
    print(s.recv(5, socket.MSG_WAITALL), flush=True)
s.shutdown(socket.SHUT_WR)
print(s.recv(1), flush=True)
"""


def living(pair):
    [c] = [c for c in pair.db.list(port=7124) if c["state"] != "closed"] or [None]
    return c


def listed():
    """The connection is the child's for both daemons, and ends with it; `verify` finds it there."""
    with Net() as net:
        pair = Pair(net, "both")
        server = pair.b.start(pair.server([sys.executable, "-c", LIVING_SERVER]), stdout=subprocess.PIPE,
                              text=True)
        pair.b.wait_listening(7124)
        client = pair.a.start(pair.client([sys.executable, "-c", LIVING_CLIENT, pair.b.addresses[V4], "7124"]),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check_equal(client.stdout.readline(), "connected\n", "listed: the client gets so far")
        check_equal(server.stdout.readline(), "closed\n", "listed: the parent gets so far")
        ids = set()
        for n in range(2):
            client.stdin.write("\n")
            client.stdin.flush()
            check_equal(client.stdout.readline(), "b'hello'\n", "listed: the child answers")
            wait_for(lambda: living(pair), "the connection to be listed")
            ids.add(living(pair)["session_id"])
        check(len(ids) == 1 and None not in ids, "listed: one session, which lives", ids)
        check_equal(client.communicate("\n", timeout=60)[0].splitlines(), ["b'hello'", "b''"],
                    "listed: the end")
        wait_for(lambda: not living(pair), "the connection to end")
        check_equal({c["reason"] for c in pair.db.list(port=7124) + pair.da.list(port=7124)}, {None},
                    "listed: it has ended well")


# The child is started before the peer has answered.
EARLY_CLIENT = """
import os, socket, sys
s = socket.socket()
s.set_inheritable(True)
s.setblocking(False)
s.connect_ex((sys.argv[1], int(sys.argv[2])))
print("connecting", flush=True)
code = "import socket, sys\\n" \\
    "s = socket.socket(fileno=int(sys.argv[1]))\\n" \\
    "import select\\n" \\
    "select.select((), (s,), ())\\n" \\
    "s.setblocking(True)\\n" \\
    "s.sendall(sys.argv[2].encode())\\n" \\
    "print(s.recv(100).decode(), flush=True)\\n" \\
    "s.shutdown(socket.SHUT_WR)\\n" \\
    "print(s.recv(1))\\n"
fd = 0 if sys.argv[4] == "standard" else s.fileno()
pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code, str(fd), sys.argv[3]], os.environ,
                     file_actions=[(os.POSIX_SPAWN_DUP2, s.fileno(), fd)])
s.close()
print("started", flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
ECHO = """
import socket
listener = socket.create_server(("0.0.0.0", 7125))
while True:
    sock, _ = listener.accept()
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.close()
"""


def early():
    for how in ("standard", "inherited"):
        for plain in (False, True):
            with Net() as net:
                pair = Pair(net, "client" if plain else "both", plain=plain)
                name = f"a child while it is being connected, {how}{', a plain peer' if plain else ''}"
                pair.b.start(pair.server([sys.executable, "-c", ECHO]))
                pair.b.wait_listening(7125)
                # So that connect() returns before there is an answer.
                pair.b.run(["ip", "link", "set", pair.b.interfaces[0], "down"])
                args = [sys.executable, "-c", EARLY_CLIENT, pair.b.addresses[V4], "7125", TEXT, how]
                client = pair.a.start(pair.client(args), stdout=subprocess.PIPE, text=True)
                check_equal(client.stdout.readline(), "connecting\n", f"{name}: the client gets so far")
                check_equal(client.stdout.readline(), "started\n", f"{name}: the child is started")
                pair.b.run(["ip", "link", "set", pair.b.interfaces[0], "up"])
                check_equal(client.communicate(timeout=60)[0].splitlines(), [TEXT, "b''"],
                            f"{name}: it comes back")
                pair.check(name, 7125)


if __name__ == "__main__":
    main(
        "encrypted connections go on in children of posix_spawn()",
        actions,
        attributes,
        errors,
        shells,
        threads,
        pidfd,
        inetd,
        lending,
        unserved,
        listed,
        early,
    )
