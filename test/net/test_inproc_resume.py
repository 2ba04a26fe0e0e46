#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: sessions are resumed across processes, by those of one user, each secret once."""
import contextlib
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys

import test_resume
import test_upgrade
from apps import Server, echo
from harness import Net, check, check_equal, main, wait_for
from inproc import RAW_WRITER, SECRET, V4, V6, Pair, loaded
from load import map_number, map_values
from tcpcrypt import accept_resumed, accept_session
from test_inproc_list import ALICE, BOB, ECHO, MESSAGE_SIZE, PYTHON, Puppet, as_user, user
from test_resume import check_capture, check_how, check_once, closed, how, many

PORT, OTHER_PORT = 7020, 7021
FLOODERS, PACKET = 32, 170  # sockets; messages in what they send at once

# As many connections as it is told, one after the other.
CLIENT = """
import socket, sys
address, port, count, *options = sys.argv[1:]
for _ in range(int(count)):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as sock:
        for option in options:
            sock.setsockopt(socket.IPPROTO_TCP, int(option), 1)
        sock.connect((address, int(port)))
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while more := sock.recv(100):
            data += more
        assert data == b"hello", data
"""
# Each connection is accepted by one of four processes, which do nothing else.
WORKERS = """
import os, socket, sys
listener = socket.create_server(("", int(sys.argv[1])))
for _ in range(3):
    if not os.fork():
        break
while True:
    sock, _ = listener.accept()
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.close()
"""
# Its SYN has made an offer, and that is all that it lives for.
DIES = """
import os, signal, socket, sys
sock = socket.socket()
sock.setblocking(False)
sock.connect_ex((sys.argv[1], int(sys.argv[2])))
os.kill(os.getpid(), signal.SIGKILL)
"""
# A connection that resumes, and who asks what it negotiated: another user's process, then this one
# twice. Of struct shared_inproc: is it resumed, and is there a secret?
READERS = """
import os, socket, sys, time
sock = socket.socket()
sock.setsockopt(socket.IPPROTO_TCP, 1060, 2)
sock.connect((sys.argv[1], int(sys.argv[2])))
def ask():
    answer = sock.getsockopt(socket.IPPROTO_TCP, 1060, 512)
    print(answer[7], any(answer[179:211]), flush=True)
child = os.fork()
if not child:
    os.setresuid(*[int(sys.argv[3])] * 3)
    ask()
    os._exit(0)
os.waitpid(child, 0)
ask()
ask()
"""


def python(script, *args, user=None):
    return [PYTHON if user else sys.executable, "-c", script, *args]


class Hosts(Pair):
    """A pair with an echo server, and clients that come and go."""

    def __init__(self, net, role="both", script=ECHO):
        super().__init__(net, role)
        self.serve(PORT, script=script)

    def serve(self, port, user=None, script=ECHO):
        prefix = as_user(user) if user else []
        self.b.start([*prefix, *self.server(python(script, port, user=user))], stderr=subprocess.DEVNULL)
        self.b.wait_listening(port)

    def connect(self, count=1, port=PORT, user=None, family=V4, options=()):
        """A process that makes so many connections; when both daemons have heard of its end."""
        prefix = as_user(user) if user else []
        args = python(CLIENT, self.b.addresses[family], port, count, *options, user=user)
        before = self.ended(port)
        self.a.run([*prefix, *self.client(args)])
        wait_for(lambda: self.ended(port) == [n + count for n in before], "the daemons to know it all")

    def ended(self, port):
        return [len(d.list(port=port, state="closed")) for d in (self.da, self.db)]

    def how(self, expected, text, port=PORT):
        for daemon in (self.da, self.db):
            check_how(daemon, port, expected, f"{text}, {'client' if daemon is self.da else 'server'}")
        check_once(*(closed(d, port, len(expected)) for d in (self.da, self.db)))


def processes():
    """Each connection is made by a process of its own."""
    for role in ("client", "server", "both"):
        for family in (V4, V6):
            with Net() as net:
                hosts = Hosts(net, role)
                for _ in range(3):
                    hosts.connect(family=family)
                text = f"in-process {role}, {'IPv4' if family == V4 else 'IPv6'}"
                hosts.how(["no-session", True, True], text)
                check_capture(hosts.capture.flows(PORT), text)
                ids = [{c["session_id"] for c in closed(d, PORT, 3)} for d in (hosts.da, hosts.db)]
                check_equal(*ids, f"{text}: both ends have the same session IDs")
                for daemon in (hosts.da, hosts.db):
                    status = daemon.status()
                    check_equal((status["resumed"], status["resumable"]), (2, 1), f"{text}: the totals")


def stirred():
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect()
        made = [map_values(map_number(d.process.pid, "secrets"), first=8) for d in (hosts.da, hosts.db)]
        hosts.connect()
        hosts.how(["no-session", True], "another connection")
        (_, flow) = hosts.capture.flows(PORT)
        offer, answer = flow.syn.eno(), flow.synack.eno()
        test_resume.check_nonce(made[0], offer[3:12], offer[12:], "active")
        test_resume.check_nonce(made[1], answer[4:13], answer[13:], "passive")


def one_direction():
    """8548-3.5-23: what a connection has left is for later ones in its direction; the other one has its own."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.a.start(loaded(python(ECHO, PORT), hosts.da), stderr=subprocess.DEVNULL)
        hosts.a.wait_listening(PORT)
        for _ in range(2):
            hosts.connect()
        for n in (3, 4):
            hosts.b.run(loaded(python(CLIENT, hosts.a.addresses[V4], PORT, 1), hosts.db))
            wait_for(lambda: hosts.ended(PORT) == [n, n], f"the daemons to know of connection {n}")
        hosts.connect()
        hosts.how(["no-session", True, "no-session", True, True], "there, back, and there")


def workers():
    """Whichever process accepts: none of them was asked what the SYN-ACK should say."""
    with Net() as net:
        hosts = Hosts(net, script=WORKERS)
        hosts.connect(20)
        hosts.connect(20)
        pids = {c["pid"] for c in hosts.db.list(port=PORT)}
        check(len(pids) > 1, "several processes have accepted", pids)
        hows = [how(c) for c in closed(hosts.db, PORT, 40)]
        check_equal(hows[20:], [True] * 20, "what one has learned serves all")
        check_once(closed(hosts.db, PORT, 40))


def parallel():
    """Two processes, fifty connections each at a time: each secret once."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect(3)
        threads = python(f"import sys, threading\ndef run():\n exec({CLIENT!r}, {{}})\n"
                         "all = [threading.Thread(target=run) for _ in range(50)]\n"
                         "[t.start() for t in all]\n[t.join() for t in all]\n",
                         hosts.b.addresses[V4], PORT, 1)
        wrong = many(lambda: hosts.a.run(hosts.client(threads)), 2)
        check_equal(wrong, [], "a hundred at a time")
        wait_for(lambda: hosts.ended(PORT) == [103, 103], "the daemons to know it all")
        ends = [closed(d, PORT, 103) for d in (hosts.da, hosts.db)]
        check_once(*ends)
        for end in ends:
            check(all(c["encrypted"] and not c["reason"] for c in end), "all are encrypted",
                  [c for c in end if not c["encrypted"] or c["reason"]])
        count = sum(c["resumed"] for c in ends[0])
        check(count > 30, "many are resumed", count)


def users():
    """A client's session is for processes of its user."""
    with Net() as net:
        hosts = Hosts(net)
        for user in (ALICE, BOB, None, ALICE, BOB, None):
            hosts.connect(user=user)
        hosts.how(["no-session"] * 3 + [True] * 3, "users")
        uids = [c["uid"] for c in closed(hosts.da, PORT, 6)]
        check_equal(uids, [ALICE, BOB, 0] * 2, "whose they are")


def servers():
    """A server's sessions are for processes of its user: not another's, not the daemon."""
    with Net() as net:
        hosts = Hosts(net, "server")
        hosts.serve(OTHER_PORT, ALICE)
        a, address = hosts.a, hosts.b.addresses[V4]
        with Server(hosts.b, echo) as proxied:
            # The client's daemon offers what it has with this address, whosever it is there.
            for port in (PORT, OTHER_PORT, proxied.port, PORT, OTHER_PORT, proxied.port):
                hosts.connect(port=port)
            for port in (PORT, OTHER_PORT, proxied.port):
                hows = [how(c) for c in closed(hosts.db, port, 2)]
                check(hows[0] in ("no-session", "unknown-session"), f"port {port}: fresh first", hows)
                check_equal(hows[1], True, f"port {port}: then with its own session")
            check_once([c for c in hosts.db.list() if c["encrypted"]])


def crash():
    """A process that dies with a secret in its hands takes it along."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect()
        for _ in range(3):
            hosts.a.run(hosts.client(python(DIES, hosts.b.addresses[V4], PORT)), check=False)
        for _ in range(2):
            hosts.a.run(hosts.client(python(CLIENT, hosts.b.addresses[V4], PORT, 1)))
        hosts.da.wait_list(3, port=PORT, encrypted=True)
        flows = hosts.capture.flows(PORT)
        halves = [f.syn.eno()[3:12] for f in flows if len(f.syn.eno()) == 20]
        check(len(halves) >= 5, "they have all made an offer", len(halves))
        check_equal(len(set(halves)), len(halves), "and no two the same")
        check_equal([how(c) for c in hosts.da.list(port=PORT, encrypted=True)][-2:], [True, True],
                    "the next ones resume")


def flush():
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect()
        hosts.connect()
        hosts.da.tool("flush")
        check_equal(hosts.da.status()["resumable"], 0, "flush forgets them")
        hosts.connect()
        hosts.connect()
        hosts.db.tool("flush")
        hosts.connect(1)
        check_how(hosts.da, PORT, ["no-session", True, "no-session", True, "unknown-session"], "flushed")


def daemons():
    """The client's daemon is killed, started again, replaced in place: then there are no sessions,
    and connections go on to be made."""
    with Net() as net:
        hosts = Hosts(net)
        puppet = Puppet(hosts.a, hosts.da, hosts.b.addresses[V4], port=PORT)
        puppet.tell("echo 10")
        wait_for(lambda: hosts.da.status()["resumable"], "the session")
        hosts.connect()
        hosts.da.kill()
        puppet.tell("echo 10")
        hosts.da = net.daemon(hosts.a, after=hosts.da)
        hosts.connect()
        hosts.connect()
        hosts.da.tool("status")
        check_how(hosts.da, PORT, ["no-session", True], "another daemon")
        before = hosts.da
        test_upgrade.upgraded(hosts.da)
        check_equal(hosts.da.status()["resumable"], 0, "secrets are not handed over")
        hosts.connect()
        hosts.connect()
        check_equal([how(c) for c in closed(before, PORT, 2)][-2:], ["no-session", True], "replaced in place")
        check_equal(puppet.tell("echo 10") > 0, True, "the oldest connection goes on")


def wishes():
    """8548-3.5-27: a program that wants no cached secrets."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect(options=[test_resume.CACHE_FLUSH])
        check_equal(hosts.da.status()["resumable"], 0, "nothing is kept")
        hosts.connect()
        hosts.connect(options=[test_resume.CACHE_FLUSH])
        hosts.connect()
        check_equal([c["resumed"] for c in closed(hosts.da, PORT, 4)], [False, False, False, True], "wishes")


# What follows a flush, and what comes without: whether connections resume. Flushed by whoever has the
# socket, at once, and on a connection that has resumed itself.
FLUSHER = """
import os, socket, sys, time
TCP, FLUSH, RESUMED = socket.IPPROTO_TCP, 1041, 1044
def connected():
    sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    return sock
def child(sock):
    if not os.fork():
        sock.setsockopt(TCP, FLUSH, 1)
        os._exit(0)
    assert os.wait()[1] == 0
told = []
for flush in [lambda sock: sock.setsockopt(TCP, FLUSH, 1)] * 20 + [child] * 5:
    for _ in range(2):
        sock = connected()
        told.append(sock.getsockopt(TCP, RESUMED))
        flush(sock)
        sock.close()
print(*told, flush=True)
connected()
sys.stdin.readline()
resumes = connected()
told = [resumes.getsockopt(TCP, RESUMED)]
resumes.setsockopt(TCP, FLUSH, 1)
told.append(connected().getsockopt(TCP, RESUMED))
print(*told, flush=True)
"""


def flushed_at_once():
    """8548-3.5-28: when setsockopt() has returned, the session is not used any more, by whichever end."""
    for role in ("client", "both"):
        with Net() as net:
            hosts = Hosts(net, role)
            args = hosts.client(python(FLUSHER, hosts.b.addresses[V4], PORT))
            client = hosts.a.start(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            told = client.stdout.readline().split()
            check_equal(told, ["0"] * 50, f"{role}: right after TCP_CRYPT_CACHE_FLUSH")
            # That of the one connection that was not flushed.
            wait_for(lambda: hosts.da.status()["resumable"] == 1, "a session")
            last = hosts.da.list(port=PORT)[-1]["session_id"]
            wait_for(lambda: hosts.db.list(port=PORT, session_id=last), "the other end's daemon to have it, too")
            client.stdin.write("\n")
            client.stdin.flush()
            told = client.stdout.readline().split()
            check_equal(told, ["1", "0"], f"{role}: one that resumes, and what comes after its flush")


FLUSHING_ECHO = """
import socket, sys
listener = socket.create_server(("", int(sys.argv[1])))
while True:
    sock, _ = listener.accept()
    data = sock.recv(100)
    sock.setsockopt(socket.IPPROTO_TCP, 1041, 1)
    sock.sendall(data)
    sock.close()
"""


def flushed_by_server():
    with Net() as net:
        hosts = Hosts(net, script=FLUSHING_ECHO)
        for _ in range(3):
            hosts.connect()
        for daemon, expected in ((hosts.da, {"no-session", "unknown-session"}), (hosts.db, {"no-session", "unknown-session"})):
            hows = {how(c) for c in closed(daemon, PORT, 3)}
            check(hows <= expected, "a server that flushes resumes nothing", hows)
        check_equal(hosts.db.status()["resumable"], 0, "and keeps nothing")


FLUSH_ERRORS = """
import errno, socket, sys
def flush(sock, value=1):
    try:
        sock.setsockopt(socket.IPPROTO_TCP, 1041, value)
    except OSError as e:
        return errno.errorcode[e.errno]
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.sendall(b"x")
sock.recv(1)
print(flush(sock, 0), flush(sock, 2), flush(sock), flush(sock))
"""


def flush_errors():
    with Net() as net:
        hosts = Hosts(net)
        out = hosts.a.run(hosts.client(python(FLUSH_ERRORS, hosts.b.addresses[V4], PORT))).stdout.split()
        check_equal(out, ["EINVAL", "EINVAL", "None", "None"], "encrypted: 1, as often as it likes")
    with Net() as net:
        pair = Pair(net, "client", plain=True)
        pair.b.start(python(ECHO, PORT))
        pair.b.wait_listening(PORT)
        out = pair.a.run(pair.client(python(FLUSH_ERRORS, pair.b.addresses[V4], PORT))).stdout.split()
        check_equal(out, ["EINVAL"] * 4, "plain: there is nothing to forget")


def guard():
    """What is written past the library on a connection that resumes, where no Init message is due."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect()
        writer = RAW_WRITER.replace("1060, 1", "1060, 2")
        out = hosts.a.run(python(writer, hosts.b.addresses[V4], PORT, SECRET.decode())).stdout
        check_equal(out.strip(), "error 103", "the connection is aborted")
        (_, flow) = hosts.capture.flows(PORT)
        check_equal((len(flow.syn.eno()), len(flow.synack.eno())), (20, 20), "which was to resume")
        hosts.check_secret("guard")


def told_once():
    """The secret is for a process of its user, and for the first that asks."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect()
        out = hosts.a.run(python(READERS, hosts.b.addresses[V4], PORT, ALICE)).stdout.split()
        check_equal(out, ["2", "False", "1", "True", "2", "False"],
                    "withheld from another user's process, told to its own, and not again")


def established(number, port):
    """A user's word about a connection, as inproc/message.h has it: fresh, with X25519 and AES-128."""
    return struct.pack("=H2BH6Bi3Q8xd16sHH16sHH16sQ33sB6x32s", MESSAGE_SIZE, 1, number % 2, 1, 0, 0x23,
                       0, 0, 0, 0, 0, number, 0, 0, 1.0, bytes(16), 1, 0, os.urandom(16), port, 0, b"noise", 0,
                       bytes(33), 1, os.urandom(32))


def full():
    """A user who fills the cache makes room for what comes next with own sessions."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.connect()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(60)
            with user(ALICE):
                sock.connect(str(hosts.da.run_dir / "inproc.sock"))
                for first in range(1, 3001, 50):
                    sock.send(b"".join(established(i, i) for i in range(first, first + 50)))
            wait_for(lambda: hosts.da.status()["encrypted"] == 3001, "the daemon to have read it")
        count = hosts.da.status()["resumable"]
        check(1000 < count <= 2048, "not more than there may be", count)
        hosts.connect()
        check_how(hosts.db, PORT, ["no-session", True], "the others' are still there")
        hosts.serve(OTHER_PORT)
        for _ in range(2):
            hosts.connect(port=OTHER_PORT)
        hosts.how(["no-session", True], "and get more", port=OTHER_PORT)
        hosts.da.tool("flush")
        check_equal(hosts.da.status()["resumable"], 0, "flush forgets them all")


def flood():
    """A user who tells of more than the daemon can hear holds up nobody else: FLOODERS sockets, each full."""
    with Net() as net:
        hosts = Hosts(net)
        packet_of, told = itertools.count(), 0
        with contextlib.ExitStack() as stack:
            os.kill(hosts.da.process.pid, signal.SIGSTOP)
            with user(ALICE):
                for _ in range(FLOODERS):
                    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    stack.enter_context(sock).connect(str(hosts.da.run_dir / "inproc.sock"))
                    sock.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            first = 1 + PACKET * next(packet_of)
                            sock.send(b"".join(established(i, i & 0xffff)
                                               for i in range(first, first + PACKET)))
                            told += PACKET
            os.kill(hosts.da.process.pid, signal.SIGCONT)
            answers = 0
            while hosts.da.ask(command="status")["encrypted"] < told:
                answers += 1
        check(answers >= 10, "others are answered meanwhile", f"{answers} times")


# ---- a peer made from the RFC texts ------------------------------------------------------


class InprocServer:
    port = PORT


class Stage(test_resume.Stage):
    """Its server encrypts by itself."""

    def __init__(self, net, config=""):
        super().__init__(net, config)
        self.host.start(loaded(python(ECHO, PORT), self.daemon), stderr=subprocess.DEVNULL)
        self.host.wait_listening(PORT)
        self.server = InprocServer

    def session(self):
        """Its secrets are there when the daemon has heard of it."""
        session = super().session()
        self.listed(session)
        return session


def peers():
    """The peer that opens, replays and forges, against a program that encrypts by itself."""
    original = test_resume.Stage
    test_resume.Stage = Stage
    try:
        for case in (test_resume.peer_opens, test_resume.peer_rooms, test_resume.malformed,
                     test_resume.replayed, test_resume.no_acknowledgement, test_resume.wrong_key):
            print(f"{case.__name__}:", flush=True)
            case()
    finally:
        test_resume.Stage = original


def peer_serves():
    """The program opens: ss[1], ss[2] and so on, to one host and port."""
    with Net() as net:
        stage = test_resume.Stage(net)
        secret = None
        for expected in ("no-session", True, True, "unknown-session", True):
            puppet = Puppet(stage.host, stage.daemon, stage.link.address, port=PORT)
            text = f"{expected}"
            if expected is True:
                secret = secret.after()
                session = accept_resumed(stage.link, PORT, secret, b"nonce")
            else:
                session = accept_session(stage.link, PORT)
                # A session that was missed is tried first until it is taken for forgotten.
                secret = secret or session.secret
            puppet.send("echo 100")
            check_equal(session.read_data(100), bytes(100), f"{text}: data")
            session.send(bytes(100))
            puppet.answer()
            (listed,) = wait_for(lambda: stage.daemon.list(session_id=session.session_id.hex()), "it in the list")
            check_equal(how(listed), expected, f"{text}: listed")
            if expected == "unknown-session":
                secret = secret.after()
            puppet.process.kill()
            session.connection.close()
        check_equal(stage.link.violations, [], "peer serves: no violation")


if __name__ == "__main__":
    main(
        "in-process mode: sessions are resumed across processes, by those of one user, each secret once",
        processes,
        stirred,
        one_direction,
        workers,
        parallel,
        users,
        servers,
        crash,
        flush,
        flushed_at_once,
        flushed_by_server,
        flush_errors,
        daemons,
        wishes,
        full,
        flood,
        guard,
        told_once,
        peers,
        peer_serves,
    )
