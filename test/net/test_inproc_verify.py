#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: `verify` has the other end of a program's own connection prove that it has the keys."""
import json
import os
import signal
import socket
import struct
import subprocess
import sys

from apps import Server, echo
from harness import TCPCRYPT, Net, check, check_equal, main, wait_for
from inproc import V4, V6, Pair, loaded
from test_inproc_list import ALICE, BOB, ECHO, MESSAGE_SIZE, Puppet, as_user, live, user

PORT = 7010  # as test_inproc_list.live() knows it


def ask(daemon, connection, uid=0):
    """What the daemon answers about a live connection that it lists."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        with user(uid):
            sock.connect(str(daemon.run_dir / "control.sock"))
        request = {"command": "verify", "local": connection["local"], "peer": connection["peer"]}
        sock.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(sock.makefile("rb").readline())


def begin(net, role):
    pair = Pair(net, role)
    pair.b.start(pair.server([sys.executable, "-c", ECHO, PORT]))
    pair.b.wait_listening(PORT)
    return pair


def check_proven(answer, connection, text):
    check_equal((answer.get("encrypted"), answer.get("peer_confirmed")), (True, True),
                f"{text}: encrypted, and the other end has confirmed {answer.get('error', '')}")
    check(answer["round_trip_ms"] > 0, f"{text}: in some time", answer)
    check_equal(answer["session_id"], connection["session_id"], f"{text}: of this session")
    check(answer["rekeys"] > 0, f"{text}: by new keys", answer)


# Sends a little, says when it is back, and waits for more; when it is told, it sends again.
WAITER = """
import select, socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def echo():
    sock.sendall(b"x" * 1000)
    print(len(sock.recv(1000, socket.MSG_WAITALL)), flush=True)
echo()
if sys.argv[3] == "recv":
    sock.recv(1)
sock.setblocking(sys.argv[3] != "poll")
while not select.select([sock, sys.stdin], [], [])[0] == [sys.stdin]:
    try:
        assert sock.recv(1)
    except BlockingIOError:
        pass
sys.stdin.readline()
sock.setblocking(True)
echo()
"""


class Waiter:
    def __init__(self, pair, how, family=V4):
        args = [sys.executable, "-c", WAITER, pair.b.addresses[family], PORT, how]
        self.process = pair.a.start(pair.client(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True)
        check_equal(self.process.stdout.readline(), "1000\n", "a client")

    def again(self):
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


def both_ways():
    """Asked at either end, by whichever it is carried, while the programs wait."""
    for role in ("client", "server", "both"):
        for family in (V4, V6):
            for how in ("recv", "poll"):
                with Net() as net:
                    pair = begin(net, role)
                    text = f"in-process {role}, {'IPv4' if family == V4 else 'IPv6'}, {how}"
                    client = Waiter(pair, how, family)
                    for daemon in (pair.da, pair.db):
                        (one,) = wait_for(lambda d=daemon: live(d), f"{text}: it is listed")
                        end = "client" if daemon is pair.da else "server"
                        for _ in range(2):
                            check_proven(ask(daemon, one), one, f"{text}, asked at the {end}")
                    if how == "poll":
                        check_equal(client.again(), "1000\n", f"{text}: the connection goes on")


def idle():
    """A program that does something else is no hindrance at its own end."""
    with Net() as net:
        pair = begin(net, "both")
        puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        puppet.tell("echo 1000")
        (one,) = wait_for(lambda: live(pair.da), "it is listed")
        for _ in range(3):
            check_proven(ask(pair.da, one), one, "asked where the program is idle")
        check(puppet.tell("echo 100000") > 0, "the connection goes on")


def unanswered():
    """A program that is stopped does not answer, and neither does what its end of a connection is asked."""
    with Net() as net:
        pair = begin(net, "both")
        pid = Waiter(pair, "recv").process.pid
        (one,) = wait_for(lambda: live(pair.db), "the server's daemon to know it")
        os.kill(pid, signal.SIGSTOP)
        answer = ask(pair.db, one)
        check(not answer.get("peer_confirmed") and "did not answer" in answer.get("error", ""),
              "the other end is stopped", answer)
        os.kill(pid, signal.SIGCONT)
        check_proven(ask(pair.db, one), one, "it goes on")


def users():
    """Others' connections are not found."""
    with Net() as net:
        pair = begin(net, "both")
        puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        puppet.tell("echo 10")
        (one,) = wait_for(lambda: live(pair.da), "it is listed")
        check("not found" in ask(pair.da, one, ALICE).get("error", ""), "another user's")
        own = Puppet(pair.a, pair.da, pair.b.addresses[V4], as_user(ALICE))
        own.tell("echo 10")
        (other,) = wait_for(lambda: pair.da.list(uid=ALICE), "the user's own")
        check_proven(ask(pair.da, other, ALICE), other, "the user's own")


class Claimed:
    """A connection of 192.0.2.1:1000 with 192.0.2.2:2000, as programs may claim to have it."""

    local, peer = "192.0.2.1:1000", "192.0.2.2:2000"

    def __init__(self, daemon):
        end = struct.Struct("=10x2s4sH2x")
        ends = b"".join(end.pack(b"\xff" * 2, bytes((192, 0, 2, n)), n * 1000) for n in (1, 2))
        head = struct.pack("=HBBHBBBBBBiQ32x", MESSAGE_SIZE, 1, 1, 1, 0, 0x21, 0, 0, 0, 0, 0, 7)
        self.path = str(daemon.run_dir / "inproc.sock")
        self.message = (head + ends).ljust(MESSAGE_SIZE, b"\0")

    def tell(self, channel, uid):
        """A program of that user has it."""
        with user(uid):
            channel.connect(self.path)
            channel.send(self.message)


def others_claim():
    """Whatever ends another user's program says that it has, the user's own connection is found."""
    with Net() as net:
        pair = begin(net, "both")
        ends = Claimed(pair.da)
        channels = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        with channels[0] as bobs, channels[1] as own:
            ends.tell(bobs, BOB)
            (one,) = wait_for(lambda: pair.da.list(uid=BOB), "the other user's")
            check_equal((one["local"], one["peer"]), (ends.local, ends.peer), "with these ends")
            ends.tell(own, ALICE)
            wait_for(lambda: pair.da.list(uid=ALICE), "the user's own")
            answer = ask(pair.da, one, ALICE)
            check("did not answer" in answer.get("error", ""), "its program is asked, in vain", answer)


def forked():
    """Of two processes that have it one is stopped."""
    with Net() as net:
        pair = begin(net, "both")
        puppet = Puppet(pair.a, pair.da, pair.b.addresses[V4])
        puppet.tell("echo 10")
        puppet.tell("fork")
        puppet.process.wait()
        puppet.tell("echo 10")
        (one,) = wait_for(lambda: [c for c in live(pair.da) if c["bytes_in"] == 20], "the child's word")
        check_proven(ask(pair.da, one), one, "a child that goes on")


def verified(daemon, host, port, *options, env=(), status=0):
    done = host.run(["env", *env, TCPCRYPT, "--run-dir", daemon.run_dir, "verify", "--json", *options,
                     *port], check=False)
    check_equal(done.returncode, status, f"verify {' '.join(map(str, port))} ends with {status}")
    return json.loads(done.stdout)


def engine_only():
    """Where no other program is encrypted, `verify` encrypts its connection itself."""
    library = [f"TCPCRYPT_INPROC_LIBRARY={os.environ['TCPCRYPT_INPROC_LIBRARY']}"]
    with Net() as net:
        a, b = net.pair()
        da, db = net.daemon(a, options=["--engine-only"]), net.daemon(b)
        b.start(loaded([sys.executable, "-c", ECHO, PORT], db))
        b.wait_listening(PORT)
        with Server(b, echo, V6, dual=True) as proxied:
            for family in (V4, V6):
                for text, port in (("in-process", PORT), ("proxied", proxied.port)):
                    answer = verified(da, a, (b.addresses[family], port), env=library)
                    check_proven(answer, answer, f"far end {text}")
                    ids = {c["session_id"] for c in db.list(port=port)}
                    check(answer["session_id"] in ids, f"far end {text}: which lists the same session")
        words = a.run(["env", *library, TCPCRYPT, "--run-dir", da.run_dir, "verify", b.addresses[V4], PORT])
        check("confirmed" in words.stdout, "in words, too", words.stdout)
        with Server(a, echo) as near:
            answer = verified(da, a, (a.addresses[V4], near.port), env=library, status=1)
            check(not answer["encrypted"] and "plain" in answer["error"], "plain: within the host", answer)
    with Net() as net:
        a, b = net.pair()
        da = net.daemon(a, options=["--engine-only"])
        with Server(b, echo) as plain:
            answer = verified(da, a, (b.addresses[V4], plain.port), env=library, status=1)
            check("did not answer the offer" in answer["error"], "plain: and why", answer)


def in_process():
    """`tcpcrypt run tcpcrypt verify`, beside a daemon that would have taken the connection."""
    with Net() as net:
        pair = begin(net, "both")
        args = [TCPCRYPT, "--run-dir", pair.da.run_dir, "verify", "--json", pair.b.addresses[V4], PORT]
        answer = json.loads(pair.a.run(loaded(args, pair.da)).stdout)
        check_proven(answer, answer, "run verify")
        check(answer["comm"] == "tcpcrypt", "its own connection", answer)


if __name__ == "__main__":
    main(
        "in-process mode: `verify` proves the other end of programs' own connections",
        both_ways,
        idle,
        unanswered,
        users,
        others_claim,
        forked,
        engine_only,
        in_process,
    )
