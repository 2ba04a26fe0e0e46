#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""libtcpcrypt's socket objects: the daemon lists them, and their sessions are resumed."""
import json
import os
import pathlib
import signal
import subprocess
import sys

from apps import Server, echo
from harness import Net, check, check_equal, main, wait_for
from inproc import V4, V6, Pair, loaded
from test_inproc_list import ECHO, PUPPET
from test_inproc_resume import CLIENT, python
from test_inproc_verify import ask
from test_resume import check_how, check_once, closed, how
from test_upgrade import upgraded

PORT = 7020
HERE = str(pathlib.Path(__file__).parent)

# What a program that links the library does, in Python.
COMMON = f"""
import os, signal, socket, sys, time
sys.path.insert(0, {HERE!r})
from library import AGAIN, EOF, Sock
class here:
    socket = socket.socket
def connected(address, port, **params):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = Sock.new(here, family, **params)
    s.connect(address, int(port), family)
    return s
def get(s, size):
    data = b""
    while len(data) < size:
        data += s.read(size - len(data))
    return data
"""
# As many connections as it is told; whether each was resumed.
MANY = COMMON + """
for _ in range(int(sys.argv[3])):
    s = connected(sys.argv[1], sys.argv[2])
    s.write(b"hello")
    s.call("shutdown")
    assert s.read_to_end() == b"hello"
    print(int(s.info().resumed), flush=True)
    s.close()
"""
SERVER = COMMON + """
listener = Sock.new(here, socket.AF_INET6, bind=("::", int(sys.argv[1]))).listen()
while True:
    s = listener.accept()
    while (data := s.read(65536)) != EOF:
        s.write(data)
    s.close()
"""
# Each connection is served by a child, which the parent knows no more of.
FORKING_SERVER = COMMON + """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = Sock.new(here, socket.AF_INET6, bind=("::", int(sys.argv[1]))).listen()
while True:
    s = listener.accept()
    if sys.argv[2] == "late":
        s.call("handshake")
    if os.fork():
        s.free()
        continue
    listener.free()
    s.call("take")
    while (data := s.read(65536)) != EOF:
        s.write(data)
    s.close()
    os._exit(0)
"""
# Does what it is told, line by line.
OBEDIENT = COMMON + """
s = connected(sys.argv[1], sys.argv[2])
for line in sys.stdin:
    what, _, argument = line.strip().partition(" ")
    if what == "echo":
        s.write(bytes(int(argument)))
        get(s, int(argument))
    elif what == "flush":
        s.option(socket.IPPROTO_TCP, 1041, 1)
    elif what == "again":
        s.close()
        s = connected(sys.argv[1], sys.argv[2])
    elif what == "close":
        s.close()
    elif what == "free":
        s.free()
    elif what == "fork" and os.fork():
        os._exit(0)
    elif what == "take":
        s.call("take")
    print(os.getpid(), int(bool(s.handle) and s.info().resumed), flush=True)
"""


def linked(script, *args, daemon):
    """A program with the library, that tells this daemon of its connections."""
    run_dir = daemon.run_dir if daemon else "/nonexistent"
    return ["env", f"TCPCRYPT_RUN_DIR={run_dir}", sys.executable, "-c", script, *map(str, args)]


class Hosts(Pair):
    """Clients and servers by the library ("lib"), in-process, or carried by their daemon ("proxied")."""

    def __init__(self, net, client="lib", server="lib"):
        super().__init__(net, "both")
        self.kind = client
        if server == "lib":
            self.serve(linked(SERVER, PORT, daemon=self.db))
        else:
            args = python(ECHO, str(PORT))
            self.serve(loaded(args, self.db) if server == "inproc" else args)

    def serve(self, args):
        self.b.start(args, stderr=subprocess.DEVNULL)
        self.b.wait_listening(PORT)

    def connect(self, count=1, family=V4, kind=None):
        address = self.b.addresses[family]
        before = self.ended()
        if (kind or self.kind) == "lib":
            self.a.run(linked(MANY, address, PORT, count, daemon=self.da))
        else:
            args = python(CLIENT, address, str(PORT), str(count))
            self.a.run(loaded(args, self.da) if (kind or self.kind) == "inproc" else args)
        wait_for(lambda: self.ended() == [n + count for n in before], "the daemons to know it all")

    def ended(self):
        return [len(d.list(port=PORT, state="closed")) for d in (self.da, self.db)]

    def how(self, expected, text):
        for daemon in (self.da, self.db):
            check_how(daemon, PORT, expected, f"{text}, {'client' if daemon is self.da else 'server'}")
        check_once(*(closed(d, PORT, len(expected)) for d in (self.da, self.db)))


class Obedient:
    """A client that does what it is told."""

    def __init__(self, hosts, daemon="own"):
        args = linked(OBEDIENT, hosts.b.addresses[V4], PORT, daemon=hosts.da if daemon == "own" else daemon)
        self.process = hosts.a.start(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line):
        """Its process ID, and whether the connection is resumed."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        pid, resumed = map(int, self.process.stdout.readline().split())
        return pid, resumed


def live(daemon):
    return daemon.list(recent=False, port=PORT)


def resumed():
    """By whatever the other end is carried, in one process and from one to the next."""
    for client, server in (("lib", "lib"), ("lib", "inproc"), ("lib", "proxied"), ("inproc", "lib"),
                           ("proxied", "lib")):
        for family in (V4, V6):
            with Net() as net:
                hosts = Hosts(net, client, server)
                hosts.connect(family=family)
                hosts.connect(2, family=family)
                text = f"{client} to {server}, {'IPv4' if family == V4 else 'IPv6'}"
                hosts.how(["no-session", True, True], text)
                ids = [{c["session_id"] for c in closed(d, PORT, 3)} for d in (hosts.da, hosts.db)]
                check_equal(*ids, f"{text}: both ends have the same session IDs")


def shared():
    """The sessions are the user's, whose programs have them by the library or in-process."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect()
        for kind in ("inproc", "lib", "inproc"):
            hosts.connect(kind=kind)
        hosts.how(["no-session", True, True, True], "library and in-process")


def listed():
    """While it lives, and how it ended."""
    with Net() as net:
        hosts = Hosts(net)
        client = Obedient(hosts)
        pid, _ = client.tell("echo 1000")
        (one,) = wait_for(lambda: live(hosts.da), "the client's daemon to know it")
        (other,) = wait_for(lambda: live(hosts.db), "the server's daemon to know it")
        check_equal((one["state"], one["role"], one["direction"], one["pid"], one["uid"]),
                    ("encrypted", "A", "out", pid, 0), "the client's end")
        check_equal((other["state"], other["role"], other["direction"]), ("encrypted", "B", "in"),
                    "the server's end")
        check_equal((one["local"], one["peer"], one["session_id"]),
                    (other["peer"], other["local"], other["session_id"]), "one connection")
        check(one["comm"].startswith("python3"), "its program", one)

        def counts():
            client.tell("echo 1")
            return live(hosts.da)[0]["bytes_in"] > 1000

        wait_for(counts, "its bytes, as long as there are calls")
        check("answers no questions" in ask(hosts.da, one).get("error", ""), "it is not verified from outside")
        os.kill(pid, signal.SIGSTOP)
        check_equal(len(live(hosts.da)), 1, "a process that is stopped")
        os.kill(pid, signal.SIGCONT)
        client.tell("close")
        (ended,) = wait_for(lambda: hosts.da.list(state="closed", port=PORT), "its end")
        (there,) = wait_for(lambda: hosts.db.list(state="closed", port=PORT), "its end at the server")
        check_equal((ended["id"], ended["reason"], ended["bytes_in"], ended["bytes_out"]),
                    (one["id"], None, there["bytes_out"], there["bytes_in"]), "it ends well, and all is counted")
        check_equal(hosts.da.status()["failed"], {}, "nothing has failed")


def ends():
    """Connections that are given up, reset, or whose process is killed."""
    with Net() as net:
        hosts = Hosts(net, server="proxied")
        for text in ("free", "kill"):
            client = Obedient(hosts)
            pid, _ = client.tell("echo 10")
            wait_for(lambda: live(hosts.da), "it is listed")
            if text == "free":
                client.tell("free")
            else:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not live(hosts.da), f"{text}: it is listed no more")
            check_equal(hosts.da.list(port=PORT)[-1]["reason"], "local-reset", f"{text}: why")


def forks():
    """A server whose children serve: each connection is one, and ends well."""
    for when in ("early", "late"):
        with Net() as net:
            hosts = Pair(net, "both")
            hosts.b.start(linked(FORKING_SERVER, PORT, when, daemon=hosts.db), stderr=subprocess.DEVNULL)
            hosts.b.wait_listening(PORT)
            client = Obedient(hosts)
            client.tell("echo 10")
            (one,) = wait_for(lambda: live(hosts.db), f"{when}: it is listed")
            # The parent has let it go for good.
            with Server(hosts.a, echo):
                wait_for(lambda: client.tell("echo 10") and hosts.db.list(port=PORT)[0]["bytes_in"] > 10,
                         f"{when}: the child's word")
            for _ in range(2):
                client.tell("again")
                client.tell("echo 10")
            client.tell("close")
            wait_for(lambda: len(hosts.db.list(port=PORT, state="closed")) == 3, f"{when}: their ends")
            found = hosts.db.list(port=PORT)
            check_equal([c["reason"] for c in found], [None] * 3, f"{when}: all end well")
            check_equal([how(c) for c in found], ["no-session", True, True], f"{when}: and are resumed")
            check_equal(found[0]["id"], one["id"], f"{when}: the first one is the one that was listed")
            check_equal(hosts.db.status()["failed"], {}, f"{when}: nothing has failed")


def taken():
    """A child takes its parent's connection, which ends."""
    with Net() as net:
        hosts = Hosts(net)
        client = Obedient(hosts)
        parent, _ = client.tell("echo 10")
        child, _ = client.tell("fork")
        client.process.wait()
        check(child != parent, "it has forked")
        client.tell("take")
        client.tell("echo 10")
        (one,) = wait_for(lambda: live(hosts.da), "the child's word")
        client.tell("close")
        (ended,) = wait_for(lambda: [c for c in hosts.da.list(state="closed") if c["session_id"] ==
                                     one["session_id"] and c["reason"] is None], "its end")
        check_equal(ended["bytes_in"], 20, "all is counted")


def out_of_reach():
    """A program that cannot reach the daemon's socket is encrypted, and that is all."""
    with Net() as net:
        hosts = Hosts(net)
        for _ in range(2):
            out = hosts.a.run(linked(MANY, hosts.b.addresses[V4], PORT, 2, daemon=None)).stdout
            check_equal(out.split(), ["0", "0"], "keys are exchanged afresh")
        check_equal(hosts.da.list(port=PORT), [], "nothing is listed here")
        wait_for(lambda: len(hosts.db.list(port=PORT, encrypted=True, state="closed")) == 4, "but there")


def flushed():
    """8548-3.5-28, by setsockopt() on the object's descriptor: what began here, and what was resumed."""
    with Net() as net:
        hosts = Hosts(net)
        client = Obedient(hosts)
        told = []
        for _ in range(10):
            client.tell("echo 1")
            client.tell("flush")
            told.append(client.tell("again")[1])
        check_equal(told, [0] * 10, "right after TCP_CRYPT_CACHE_FLUSH")
        wait_for(lambda: hosts.da.status()["resumable"] == 1, "the session of the last one")
        check_equal(client.tell("again")[1], 1, "a connection that resumes")
        client.tell("flush")
        check_equal(client.tell("again")[1], 0, "after its flush")


def daemons():
    """The daemon is killed, another one started, and replaced in place."""
    with Net() as net:
        hosts = Hosts(net)
        client = Obedient(hosts)
        client.tell("echo 10")
        (before,) = wait_for(lambda: live(hosts.da), "it is listed")
        hosts.da.kill()
        client.tell("echo 10")
        second = net.daemon(hosts.a, after=hosts.da)
        (after,) = wait_for(lambda: client.tell("echo 10") and live(second), "the new daemon to know it")
        check_equal(after["session_id"], before["session_id"], "the same one")
        upgraded(second)
        (after,) = wait_for(lambda: client.tell("echo 10") and live(second), "the one that replaced it to know it")
        check_equal(after["session_id"], before["session_id"], "the same one")
        client.tell("close")
        (ended,) = wait_for(lambda: second.list(state="closed"), "its end")
        check_equal(ended["reason"], None, "which is listed there")


if __name__ == "__main__":
    main(
        "libtcpcrypt: the daemon lists its connections, and resumes their sessions",
        resumed,
        shared,
        listed,
        ends,
        forks,
        taken,
        out_of_reach,
        flushed,
        daemons,
    )
