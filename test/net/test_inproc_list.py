#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: the daemon's lists have these connections, whatever becomes of both."""
import contextlib
import ctypes
import json
import os
import platform
import signal
import socket
import struct
import subprocess
import sys

from harness import Net, check, check_equal, libc, main, wait_for
from inproc import V4, V6, Pair, loaded
from test_upgrade import upgraded

ALICE, BOB = 40001, 40002  # user IDs; nobody needs to have names for them
PYTHON = "/usr/bin/python3"  # that everybody may run
PORT = 7010
MESSAGE_SIZE = 192  # sizeof(struct message) in inproc/message.h

ECHO = """
import contextlib, socket, sys, threading
def serve(sock):
    with sock, contextlib.suppress(OSError):
        while data := sock.recv(65536):
            sock.sendall(data)
listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
# Does what it is told, line by line.
PUPPET = """
import os, socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    what, _, argument = line.strip().partition(" ")
    if what == "echo":
        left = int(argument)
        sock.sendall(bytes(left))
        while left:
            left -= len(sock.recv(min(left, 65536)))
    elif what == "fork" and os.fork():
        os._exit(0)
    elif what == "close":
        sock.close()
    print(os.getpid(), flush=True)
"""


class Puppet:
    """A client in a host that does what it is told."""

    def __init__(self, host, daemon, address, user=(), port=PORT):
        args = [PYTHON if user else sys.executable, "-c", PUPPET, address, port]
        self.process = host.start([*user, *loaded(args, daemon)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        return int(self.process.stdout.readline())

    def tell(self, line):
        self.send(line)
        return self.answer()


def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def listed_to(daemon, uid):
    """What that user sees."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        with user(uid):
            sock.connect(str(daemon.run_dir / "control.sock"))
        sock.sendall(b'{"command":"list","recent":true}\n')
        lines = sock.makefile("rb").read().splitlines()
    return [json.loads(line) for line in lines]


@contextlib.contextmanager
def user(uid):
    """The calling thread, and only it, is that user for a while."""
    setresuid = {"x86_64": 117, "aarch64": 147}[platform.machine()]
    if libc.syscall(setresuid, uid, uid, 0) != 0:
        raise OSError(ctypes.get_errno(), "setresuid")
    try:
        yield
    finally:
        if libc.syscall(setresuid, 0, 0, 0) != 0:
            os.abort()


def begin(net):
    pair = Pair(net, "both")
    pair.b.start(pair.server([sys.executable, "-c", ECHO, PORT]))
    pair.b.wait_listening(PORT)
    return pair


def live(daemon):
    return daemon.list(recent=False, port=PORT)


def known(daemon):
    """The connection, of which the daemon has heard before it is asked: of what it hears while it asks
    the programs, it can only say what the programs said at first."""
    wait_for(lambda: live(daemon), "a daemon to know it")
    (one,) = live(daemon)
    return one


def while_it_lives():
    """Counts are those of the moment at which one asks, at both ends, of both families."""
    with Net() as net:
        pair = begin(net)
        for family in (V4, V6):
            puppet = Puppet(pair.a, pair.da, pair.b.addresses[family])
            for more, total in ((1000, 1000), (1000000, 1001000)):
                pid = puppet.tell(f"echo {more}")
                one = known(pair.da)
                check_equal((one["bytes_in"], one["bytes_out"]), (total, total), "bytes at the client")
            other = known(pair.db)
            check_equal((other["bytes_in"], other["bytes_out"]), (total, total), "bytes at the server")
            check_equal((one["state"], one["role"], one["direction"]), ("encrypted", "A", "out"),
                        "the client's end")
            check_equal((other["state"], other["role"], other["direction"]), ("encrypted", "B", "in"),
                        "the server's end")
            check_equal((one["local"], one["peer"]), (other["peer"], other["local"]), "their addresses")
            check_equal(one["session_id"], other["session_id"], "one session ID")
            check_equal((one["pid"], one["uid"]), (pid, 0), "whose it is")
            check(one["comm"].startswith("python3"), "and what", one["comm"])
            puppet.tell("close")
            (ended,) = wait_for(lambda: pair.da.list(peer=one["peer"], state="closed"), "its end")
            check_equal((ended["id"], ended["reason"], ended["bytes_in"]), (one["id"], None, total),
                        "it ends well")
            wait_for(lambda: not live(pair.db), "the server's end of it")
        status = pair.da.status()
        check_equal((status["encrypted"], status["connections"], status["failed"]), (2, 0, {}),
                    "totals")


def events():
    """`watch` tells of them."""
    with Net() as net:
        pair = begin(net)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(pair.da.run_dir / "control.sock"))
            sock.sendall(b'{"command":"watch"}\n')
            lines = sock.makefile("rb")
            check_equal(json.loads(lines.readline())["event"], "watching", "it watches")
            puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4])
            puppet.tell("echo 10")
            first = json.loads(lines.readline())
            puppet.tell("close")
            second = json.loads(lines.readline())
        check_equal([first["event"], second["event"]], ["established", "closed"], "two events")
        check(first["session_id"] and first["id"] == second["id"], "of one connection", second)


def plain():
    """With a host without tcpcrypt."""
    with Net() as net:
        a, b = net.pair()
        da = net.daemon(a)
        b.start([sys.executable, "-c", ECHO, str(PORT)])
        b.wait_listening(PORT)
        puppet = Puppet(a, da, b.addresses[V4])
        pid = puppet.tell("echo 10")
        (one,) = da.wait_list(port=PORT)
        check_equal((one["encrypted"], one["reason"], one["pid"]), (False, "no-eno", pid), "why it is plain")
        check_equal(da.status()["plain"], {"no-eno": 1}, "in the totals")


def refused():
    """A rule requires encryption, and the other host has none."""
    with Net() as net:
        a, b = net.pair()
        da = net.daemon(a, config=f"rule = require out port {PORT}\n")
        b.start([sys.executable, "-c", ECHO, str(PORT)])
        b.wait_listening(PORT)
        args = ["curl", "-q", "--noproxy", "*", "-sS", f"http://{b.addresses[V4]}:{PORT}/"]
        check(a.run(loaded(args, da), check=False).returncode != 0, "the client is refused")
        (one,) = da.wait_list(port=PORT)
        check_equal((one["encrypted"], one["reason"]), (False, "no-eno"), "why it would be plain")
        check_equal(da.status()["failed"], {"policy": 1}, "and that it was refused")


def users():
    """Each user sees the own ones; a user who changes does so for what comes after."""
    with Net() as net:
        pair = begin(net)
        for uid in (ALICE, BOB):
            puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4], as_user(uid))
            puppet.tell("echo 10")
            wait_for(lambda: pair.da.list(uid=uid), "root to see it")
        for uid in (ALICE, BOB):
            check_equal([c["uid"] for c in listed_to(pair.da, uid)], [uid], "a user sees the own one")
        check_equal(len(listed_to(pair.da, 0)), 2, "root both")
        check_equal(listed_to(pair.da, 40003), [], "somebody else none")


def killed():
    """A process that ends without a word; one whose child goes on."""
    with Net() as net:
        pair = begin(net)
        puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        pid = puppet.tell("echo 10")
        wait_for(lambda: live(pair.da), "it is listed")
        os.kill(pid, signal.SIGKILL)
        (one,) = wait_for(lambda: pair.da.list(state="closed"), "its end")
        check_equal(one["reason"], "local-reset", "a process that was killed")
        puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        puppet.tell("echo 10")
        parent = puppet.tell("fork")
        puppet.process.wait()
        puppet.tell("echo 10")
        (one,) = wait_for(lambda: [c for c in live(pair.da) if c["bytes_in"] == 20], "the child's word")
        check_equal(one["state"], "encrypted", "a child goes on with its parent's")
        puppet.tell("close")
        ended = wait_for(lambda: [c for c in pair.da.list(state="closed") if c["id"] == one["id"]], "its end")
        check_equal([c["reason"] for c in ended], [None], f"which ends once, and well ({parent})")
        check_equal(pair.da.status()["encrypted"], 2, "and counts once")


# Connections begin and end while it forks; children that use none say nothing.
FORKS = """
import os, socket, sys, threading
ending = False
def connect():
    while not ending:
        with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
            sock.sendall(b"x")
            sock.recv(1)
threads = [threading.Thread(target=connect) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(300):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
ending = True
for thread in threads:
    thread.join()
print("done")
"""


def forks():
    with Net() as net:
        pair = begin(net)
        args = [sys.executable, "-c", FORKS, pair.b.addresses[V4], PORT]
        check_equal(pair.a.run(loaded(args, pair.da)).stdout, "done\n", "it forks while others connect")
        wait_for(lambda: not live(pair.da), "all of them to have ended")
        check_equal(pair.da.status()["failed"], {}, "and well")


def stopped():
    """A process that does not answer keeps nobody waiting for ever."""
    with Net() as net:
        pair = begin(net)
        first = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        second = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        pid = first.tell("echo 10")
        second.tell("echo 10")
        wait_for(lambda: len(live(pair.da)) == 2, "both are listed")
        os.kill(pid, signal.SIGSTOP)
        for _ in range(3):
            check_equal(len(live(pair.da)), 2, "both are listed when one is stopped")
        second.tell("echo 10")
        wait_for(lambda: [c for c in live(pair.da) if c["bytes_in"] == 20], "the other one answers")
        os.kill(pid, signal.SIGCONT)
        first.tell("echo 20")
        wait_for(lambda: [c for c in live(pair.da) if c["bytes_in"] == 30], "and the first, again")


def daemons():
    """The daemon is killed, another one started, and replaced in place: connections go on, and the
    one that runs lists them."""
    with Net() as net:
        pair = begin(net)
        puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        puppet.tell("echo 10")
        (before,) = wait_for(lambda: live(pair.da), "it is listed")
        pair.da.kill()
        puppet.tell("echo 10")
        second = net.daemon(pair.a, after=pair.da)
        puppet.tell("echo 10")
        (after,) = wait_for(lambda: live(second), "the new daemon to know it")
        check_equal((after["session_id"], after["bytes_in"]), (before["session_id"], 30), "the same one")
        check(abs(after["started"] - before["started"]) < 1e-3, "as old as it is", after)
        check_equal(second.status()["encrypted"], 0, "not one that began with this daemon")
        upgraded(second)
        (after,) = wait_for(lambda: live(second), "the daemon that replaced it to know it")
        check_equal(after["session_id"], before["session_id"], "the same one")
        puppet.tell("close")
        (ended,) = wait_for(lambda: second.list(state="closed"), "its end")
        check_equal((ended["reason"], ended["bytes_in"]), (None, 30), "which is listed there")


def nonsense():
    """What is no message ends its sender's connection, and nothing else."""
    with Net() as net:
        pair = begin(net)
        puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        puppet.tell("echo 10")
        wait_for(lambda: live(pair.da), "it is listed")
        whole = struct.pack("=H", MESSAGE_SIZE) + bytes(MESSAGE_SIZE - 2)
        for packet in (b"x", bytes(MESSAGE_SIZE), whole[:-1], whole + b"x", whole * 171, bytes(200000),
                       struct.pack("=H", MESSAGE_SIZE - 1) + bytes(MESSAGE_SIZE - 2)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                sock.settimeout(30)
                sock.connect(str(pair.da.run_dir / "inproc.sock"))
                sock.send(packet)
                check_equal(sock.recv(1), b"", f"{len(packet)} bytes of nonsense")
        noise = b"".join(struct.pack("=HB", MESSAGE_SIZE, kind) + os.urandom(MESSAGE_SIZE - 3)
                         for kind in range(64))
        # Of a library that knows more than this daemon; it stays connected, and the next one is read.
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(pair.da.run_dir / "inproc.sock"))
            longer = struct.pack("=HB", MESSAGE_SIZE + 40, 200) + bytes(MESSAGE_SIZE + 37)
            sock.send(longer + noise)
            wait_for(lambda: len(pair.da.list()) > 1, "noise in the form of messages")
        check_equal(len(pair.da.list(recent=False, port=PORT)), 1, "the other connection is listed still")
        check_equal(puppet.tell("echo 10") > 0, True, "and goes on")


if __name__ == "__main__":
    main(
        "in-process mode: `list`, `watch` and `status` show the connections of programs that encrypt by themselves",
        while_it_lives,
        events,
        plain,
        refused,
        users,
        killed,
        forks,
        stopped,
        daemons,
        nonsense,
    )
