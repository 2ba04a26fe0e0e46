# SPDX-License-Identifier: BSD-2-Clause
"""Servers: backlog, accept() in all its forms, restarts, many short connections, FTP."""
import ftplib
import functools
import io
import os
import select
import socket
import sys
import threading

from cases import case
from connecting import by_poll
from harness import wait_for
from names import converse
from program import PATIENCE, error_name

BOTH = ("v4", "v6")


# ---- backlog ------------------------------------------------------------------------------


def queued(host, port):
    """How many connections wait for accept(), by /proc/net/tcp."""
    with open("/proc/thread-self/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                return int(fields[4].rpartition(":")[2], 16)
    return 0


def full_backlog(me):
    """listen(1) takes two; the third must wait, and is served when there is room."""
    with me.listen(backlog=1) as listener:
        for count in (1, 2):
            wait_for(lambda wanted=count: queued(me.host, me.port()) == wanted, "the queue")
            me.tell("queued")
        me.hear()
        for _ in range(2):
            conn, _ = listener.accept()
            me.read_to_end(conn)
            conn.close()


def fills_backlog(me):
    me.hear()
    socks = []
    for _ in range(2):
        sock = me.socket()
        me.call("connect", sock.connect, me.target())
        socks.append(sock)
        me.hear()
    with me.socket() as third:
        me.call("connect when it is full", third.connect, me.target())
    me.tell("accept")
    for sock in socks:
        sock.close()


case("backlog full", fills_backlog, full_backlog)


def accepts_later(me):
    """Connections that came, talked and went before accept() are still there."""
    with me.listen() as listener:
        wait_for(lambda: queued(me.host, me.port()) == 2, "the queue")
        me.hear()
        for _ in range(2):
            conn, _ = listener.accept()
            me.read_to_end(conn)
            conn.close()


def talks_and_goes(me):
    me.hear()
    for _ in range(2):
        with me.socket() as sock:
            sock.connect(me.target())
            sock.sendall(b"I was here")
    me.tell("done")


case("accept after the client has gone", talks_and_goes, accepts_later)


def closes_listener(me):
    """A listener that is closed resets those that nobody has accepted."""
    with me.listen():
        wait_for(lambda: queued(me.host, me.port()) == 1, "the queue")
        me.hear()


def is_not_accepted(me):
    sock = me.connect()
    me.tell("connected")
    me.wait_event(sock, select.POLLERR | select.POLLHUP)
    me.error(sock)
    me.call("connect when it is closed", me.socket().connect, me.target())


case("listener closed with connections waiting", is_not_accepted, closes_listener,
     inproc=False)


# ---- accept -------------------------------------------------------------------------------


def serve(me, conn):
    me.names(conn)
    me.read_to_end(conn)
    conn.sendall(b"hello")
    conn.close()


def nonblocking_accept(me):
    with me.listen(tell=False) as listener:
        listener.setblocking(False)
        me.call("accept with nobody there", listener.accept)
        me.tell("listening")
        me.wait_event(listener, select.POLLIN)
        conn, peer = listener.accept()
        me.see("accept", peer)
        conn.setblocking(True)
        serve(me, conn)
        me.call("accept again", listener.accept)
        me.now_event(listener)


case("accept, non-blocking", lambda me: converse(me, me.connect()), nonblocking_accept)


def reuse_port(me):
    """Two sockets on one port: each connection reaches one of them."""

    def prepare(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    both = [me.listen(prepare=prepare, tell=False) for _ in range(2)]
    me.tell("listening")
    for _ in range(8):
        ready = select.select(both, [], [], PATIENCE)[0]
        conn, _ = ready[0].accept()
        serve(me, conn)
    me.hear_end()


def eight_times(me):
    me.hear()
    for _ in range(8):
        with me.socket() as sock:
            sock.connect(me.target())
            me.names(sock)
            converse(me, sock)


case("SO_REUSEPORT listeners", eight_times, reuse_port)


def inherited(me):
    """The parent listens, the child accepts."""
    with me.listen() as listener:
        me.in_child(lambda: listener.accept()[0].sendall(b"from the child"))


ACTIVATED = """
import os, socket
assert os.environ["LISTEN_FDS"] == "1" and int(os.environ["LISTEN_PID"]) == os.getpid()
listener = socket.socket(fileno=3)
conn, peer = listener.accept()
conn.sendall(b"%d, %s" % (listener.getsockname()[1] == conn.getsockname()[1], b"activated"))
conn.close()
"""


def activated(me):
    """As systemd does: the socket is descriptor 3 of a program that it executes."""
    listener = me.listen(tell=False)

    def execute():
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execv(sys.executable, [sys.executable, "-S", "-c", ACTIVATED])

    pid = me.child(execute)
    me.tell("listening")
    me.see("the program's end", os.waitpid(pid, 0)[1])


def reads(me):
    sock = me.connect()
    me.names(sock)
    me.read_to_end(sock)


for _last in (False, True):
    _when = "before" if _last else "after"
    for _text, _server in (("inherited", inherited), ("activated (LISTEN_FDS)", activated)):
        case(f"listener {_text}, started {_when} the daemon", reads, _server, own_net=_last,
             daemon_last=_last)


def plain_server(me):
    with me.listen() as listener:
        serve(me, listener.accept()[0])


case("server started before the daemon", lambda me: converse(me, me.connect()), plain_server,
     families=BOTH, own_net=True, daemon_last=True)


def on_device(me):
    """A listener that is tied to the link."""

    def prepare(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE,
                        me.host.interfaces[0].encode())

    with me.listen(prepare=prepare) as listener:
        serve(me, listener.accept()[0])


case("listener with SO_BINDTODEVICE", lambda me: converse(me, me.connect()), on_device,
     families=BOTH, served=False)


def on_address(me):
    listener = me.socket()
    listener.bind((me.own[me.family], me.port()))
    listener.listen()
    me.tell("listening")
    serve(me, listener.accept()[0])


case("listener bound to an address", lambda me: converse(me, me.connect()), on_address,
     families=BOTH)


# ---- restarts, many -----------------------------------------------------------------------


def restarts(me):
    """The server ends first: its port stays in TIME_WAIT, which SO_REUSEADDR overrides."""
    with me.listen() as listener:
        conn, _ = listener.accept()
        conn.shutdown(socket.SHUT_WR)
        me.read_to_end(conn)
        conn.close()
    with me.socket() as strict:
        me.call("bind without SO_REUSEADDR", strict.bind, ("", me.port()))
    with me.listen(tell=False):
        me.see("bound with SO_REUSEADDR")


def is_left_first(me):
    sock = me.connect()
    me.read_to_end(sock)
    sock.close()


case("a server that restarts", is_left_first, restarts)


def serve_many(me, count):
    with me.listen() as listener:
        served = 0
        for _ in range(count):
            conn, _ = listener.accept()
            conn.sendall(conn.recv(10))
            conn.recv(1)
            conn.close()
            served += 1
        me.see("served", served)


def connect_many(me, count):
    me.hear()
    answers, peers = 0, set()
    for _ in range(count):
        with me.socket() as sock:
            sock.connect(me.target())
            sock.sendall(b"0123456789")
            answers += sock.recv(10, socket.MSG_WAITALL) == b"0123456789"
            peers.add(sock.getsockname()[1])
    me.see("answered", answers)
    me.see("distinct ports", len(peers) > count // 2)


case("200 short connections", functools.partial(connect_many, count=200),
     functools.partial(serve_many, count=200), own_net=True)


def few_ports(net, hosts):
    hosts["client"].sysctl("ipv4/ip_local_port_range", "50000 50009")


def use_up_ports(me):
    """Ten local ports and no more."""
    me.hear()
    socks, errors = [], []
    for _ in range(12):
        sock = me.socket()
        errors.append(error_name(sock.connect_ex(me.target())))
        socks.append(sock)
    me.see("connect", errors)
    for sock in socks:
        sock.close()


case("local ports used up", use_up_ports, lambda me: (me.listen(), me.hear_end()), own_net=True,
     prepare=few_ports, inproc=False)


def many_at_once(me):
    me.hear()
    socks = [me.socket() for _ in range(50)]
    for sock in socks:
        sock.setblocking(False)
        sock.connect_ex(me.target())
    me.see("events", sorted({by_poll(sock) for sock in socks}))
    for sock in socks:
        sock.setblocking(True)
        sock.sendall(b"0123456789")
    me.see("answers", sorted({sock.recv(10, socket.MSG_WAITALL) for sock in socks}))
    for sock in socks:
        sock.close()


def serve_at_once(me):
    def answer(conn):
        conn.sendall(conn.recv(10, socket.MSG_WAITALL))
        conn.recv(1)
        conn.close()

    with me.listen() as listener:
        threads = [threading.Thread(target=answer, args=(listener.accept()[0],))
                   for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


case("50 connections at once", many_at_once, serve_at_once)


# ---- FTP ----------------------------------------------------------------------------------

FILE = b"a file's content\r\n" * 5000


def ftp_server(me):
    """As much of RFC 959 as ftplib needs: one client, one transfer each way a mode."""
    with me.listen() as listener:
        conn, _ = listener.accept()
        FtpSession(me, conn).run()


class FtpSession:
    def __init__(self, me, conn):
        self.me, self.conn = me, conn
        self.file = conn.makefile("rwb", buffering=0)
        self.open_data = None

    def say(self, line):
        self.file.write(line.encode() + b"\r\n")

    def run(self):
        self.say("220 ready")
        while line := self.file.readline():
            word, _, rest = line.decode().strip().partition(" ")
            if word in ("PORT", "EPRT", "PASV", "EPSV", "RETR", "STOR"):
                self.me.see("asked for", word)
                getattr(self, word.lower())(rest)
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say({"USER": "331 and?", "PASS": "230 in"}.get(word, "200 as you like"))

    def port(self, rest):
        numbers = rest.split(",")
        address = ".".join(numbers[:4]), int(numbers[4]) * 256 + int(numbers[5])
        self.me.see("active to the client's own address",
                    address[0] == self.conn.getpeername()[0])
        self.open_data = lambda: socket.create_connection(address)
        self.say("200 active")

    def eprt(self, rest):
        _, _, host, port, _ = rest.split("|")
        self.open_data = lambda: socket.create_connection((host, int(port)))
        self.say("200 active")

    def passive(self):
        listener = self.me.socket()
        listener.bind((self.conn.getsockname()[0], self.me.port(1)))
        listener.listen()
        self.open_data = lambda: listener.accept()[0]
        return listener

    def pasv(self, _):
        self.passive()
        numbers = self.conn.getsockname()[0].split(".") + [
            str(self.me.port(1) >> 8), str(self.me.port(1) & 255)]
        self.say(f"227 passive ({','.join(numbers)})")

    def epsv(self, _):
        self.passive()
        self.say(f"229 passive (|||{self.me.port(1)}|)")

    def retr(self, _):
        self.say("150 here it comes")
        with self.open_data() as data:
            data.sendall(FILE)
        self.say("226 done")

    def stor(self, _):
        self.say("150 give it to me")
        with self.open_data() as data:
            self.me.read_to_end(data)
        self.say("226 done")


def ftp_client(me, passive):
    me.hear()
    with ftplib.FTP(timeout=PATIENCE) as ftp:
        me.see("connect", ftp.connect(me.peer[me.family], me.port()))
        ftp.set_pasv(passive)
        me.see("login", ftp.login("user", "password"))
        if passive:
            got = io.BytesIO()
            me.see("RETR", ftp.retrbinary("RETR file", got.write))
            me.see("the file", got.getvalue() == FILE)
        else:
            me.see("STOR", ftp.storbinary("STOR file", io.BytesIO(FILE)))
        me.see("quit", ftp.quit())


for _mode in ("active", "passive"):
    case(f"FTP, {_mode}", functools.partial(ftp_client, passive=_mode == "passive"), ftp_server,
         families=BOTH)
