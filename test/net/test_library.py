#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""libtcpcrypt's socket objects: what each call gives, waiting or not, in good times and bad."""
import ctypes
import errno
import os
import select
import socket
import struct
import threading
import time

from apps import Server, connect, echo, family_name, read_to_end
from harness import Net, check, check_equal, main
from inproc import SECRET
from library import (AFTER_FIN, AGAIN, ARGUMENT, AUTH, BAD_FRAME, BAD_MAGIC, EOF, NO_ENGINE, PLAIN,
                     STATE, SYSTEM, TRUNCATED, Failure, Params, Sock, call)
from packets import Capture
from peers import neighbour

from tcpcrypt import open_connection, open_session

V4, V6 = socket.AF_INET, socket.AF_INET6
PORT = 7021
BULK = bytes(range(256)) * (1 << 14)  # 4 MiB
ANY = {V4: ("0.0.0.0", PORT), V6: ("::", PORT)}
CHACHA = 0x0010
# TCP_ENO_TEPS, _SELF_GOPT, _AA_MANDATORY, _TEP_MANDATORY, TCP_CRYPT_ACONF, _BCONF
WISHES = (1029, 1030, 1032, 1033, 1042, 1043)


def failure_of(call):
    """The result that call() fails with, or None."""
    try:
        call()
    except Failure as failure:
        return failure.error
    return None


class Ends:
    """Two hosts with engines, a listener in b, and what crosses the wire."""

    def __init__(self, net, family=V4, listener=(), daemons=2):
        self.a, self.b = net.pair()
        self.family = family
        self.daemons = [net.daemon(host) for host in (self.a, self.b)[:daemons]]
        self.capture = net.use(Capture(self.a, self.a.interfaces[0]))
        self.listener = Sock.new(self.b, family, bind=ANY[family], **dict(listener)).listen()

    def connect(self, **params):
        """A client's object and what became of connect()."""
        client = Sock.new(self.a, self.family, **params)
        return client, client.connect(self.b.addresses[self.family], PORT, self.family)

    def pair(self, client=(), shaken=True):
        """Both ends of a connection; shaken: the keys are agreed on."""
        done = []
        thread = threading.Thread(target=lambda: done.append(self.connect(**dict(client))))
        thread.start()
        server = self.listener.accept()
        if shaken:
            server.call("handshake")
            thread.join()
            return done[0][0], server
        return thread, done, server

    def check_secret(self, text):
        check(self.capture.packets(PORT), f"{text}: something was captured")
        check(not self.capture.contains(SECRET), f"{text}: nothing is readable on the wire")


def both_ends():
    """Both ends by the library: the session, the bytes, the ends of both directions."""
    for family in (V4, V6):
        with Net() as net:
            ends = Ends(net, family)
            name = family_name(family)
            client, server = ends.pair()
            check_equal((client.state(), server.state()), ("encrypted",) * 2, f"{name}: state")
            check(client.session_id() == server.session_id() is not None, f"{name}: session ID")
            check_equal((client.info().role, server.info().role), (0, 1), f"{name}: roles")
            check_equal(client.write(SECRET), len(SECRET), f"{name}: written")
            check_equal(server.read(10000), SECRET, f"{name}: read")
            client.call("shutdown")
            check_equal(server.read(10), EOF, f"{name}: end of file, by FINp")
            check_equal(failure_of(lambda: client.write(b"x")), STATE, f"{name}: write after it")
            server.write(SECRET)
            check_equal((server.close(), client.read_to_end(), client.close()), (0, SECRET, 0),
                        f"{name}: the other direction lives on")
            ends.check_secret(name)


def plain_peers():
    """Without tcpcrypt at the other end it is TCP, or nothing if that is required."""
    with Net() as net:
        ends = Ends(net, daemons=1)
        with Server(ends.b, echo) as server:
            for text, port, bit in (("fresh", server.port, "no-eno"),
                                    ("remembered", server.port, "left-alone")):
                client = Sock.new(ends.a)
                check_equal(client.connect(ends.b.addresses[V4], port), 0, f"{text}: connected")
                check_equal((client.state(), client.reason(), client.session_id()),
                            ("plain", bit, None), f"{text}: plain, and why")
                check_equal(failure_of(lambda: client.call("rekey")), STATE, f"{text}: no keys")
                client.write(SECRET)
                client.call("shutdown")
                check_equal((client.read_to_end(), client.close()), (SECRET, 0), f"{text}: echo")
        ends.daemons[0].tool("flush")
        client = Sock.new(ends.a, require=True)
        failed = failure_of(lambda: client.connect(ends.b.addresses[V4], PORT))
        check_equal((failed, client.state(), client.reason()), (PLAIN, "failed", "no-eno"),
                    "required: connect() fails, and why")
        check_equal(failure_of(lambda: client.write(SECRET)), PLAIN, "required: and nothing else")
        client.free()
        # Of this one the programs know before there is a SYN.
        local = Sock.new(ends.a, require=True)
        check_equal(failure_of(lambda: local.connect("127.0.0.1", 1)), SYSTEM, "required on lo")
        local.free()


def required_listener():
    """A listener that requires encryption has no connections but such."""
    with Net() as net:
        a, b = net.pair()
        check_equal(failure_of(lambda: Sock.new(b, require=True)), NO_ENGINE, "no engine: refused")
        optional = Sock.new(b, bind=ANY[V4]).listen()
        with connect(a, b.addresses[V4], PORT) as sock:
            server = optional.accept()
            sock.sendall(b"x")
            check_equal((server.read(9), server.reason()), (b"x", "no-engine"), "no engine: plain")
        server.close()
        optional.close()
        net.daemon(b)
        listener = Sock.new(b, bind=ANY[V4], require=True, blocking=False).listen()
        with connect(a, b.addresses[V4], PORT) as sock:
            check_equal(errno_after_read(sock, listener), errno.ECONNRESET, "plain clients: reset")
        net.daemon(a)
        with connect(a, b.addresses[V4], PORT) as sock:
            sock.sendall(SECRET)
            listener.wait()
            server = listener.accept(blocking=True)
            check_equal(server.read(1000), SECRET, "clients of a daemon: served")
        server.free()


def errno_after_read(sock, listener):
    """What a client reads while the listener is asked for it."""
    poll = select.poll()
    poll.register(listener.fd(), select.POLLIN)
    while not select.select([sock], [], [], 0)[0]:
        poll.poll(100)
        check_equal(listener.accept(), AGAIN, "plain clients: not given out")
    try:
        return sock.recv(1)
    except OSError as error:
        return error.errno


def bad_ends():
    """What is no end of file is none: a closed socket without FINp, a reset, a killed host."""
    with Net() as net:
        ends = Ends(net)
        client, server = ends.pair()
        client.write(SECRET)
        check_equal(server.read(1000), SECRET, "bare FIN: what came before")
        client.free()
        check_equal(failure_of(lambda: server.read(1)), TRUNCATED, "bare FIN: truncated")
        check_equal(server.info().error, TRUNCATED, "bare FIN: remembered")
        check_equal(failure_of(server.close), TRUNCATED, "bare FIN: close() tells")
        client, server = ends.pair()
        client.option(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        check_equal(failure_of(lambda: server.read(1)), SYSTEM, "reset: an error")
        server.free()
        client, server = ends.pair()
        server.write(SECRET)
        client.wait(select.POLLIN)
        check_equal((client.close(), failure_of(lambda: server.read(1))), (0, SYSTEM),
                    "closed with unread bytes: reset, as by TCP")
        server.free()
        client, server = ends.pair()
        os.set_blocking(server.fd(), False)
        while server.write(BULK):
            pass
        client.free()
        reset = select.poll()
        reset.register(server.fd(), 0)
        reset.poll(10000)
        check_equal(failure_of(server.close), SYSTEM, "reset with bytes unsent: close() tells")


def hostile_peer():
    """A peer with the keys that misbehaves, and somebody who changes what it sends."""
    with Net() as net:
        host = net.host()
        link = neighbour(net, host)
        net.daemon(host)
        listener = Sock.new(host, bind=ANY[V4]).listen()
        address = host.addresses[V4]

        def begin():
            made = []
            work = threading.Thread(target=lambda: made.append(open_session(link, address, PORT)))
            work.start()
            server = listener.accept()
            server.call("handshake")
            work.join()
            return made[0], server

        for text, error, send in (
            ("a changed frame", AUTH, lambda p: altered(p.seal(SECRET))),
            ("an impossible length", BAD_FRAME, lambda p: bytes(3) + bytes(20)),
            ("bytes after FINp", AFTER_FIN, lambda p: p.seal(fin=True) + b"more"),
        ):
            peer, server = begin()
            peer.connection.send(send(peer))
            if error == AFTER_FIN:
                check_equal(failure_of(lambda: server.read(1) == EOF and server.read(1)), error, text)
            else:
                check_equal(failure_of(lambda: server.read(1000)), error, text)
            check_equal(failure_of(lambda: server.write(b"x")), error, f"{text}: also for writes")
            peer.connection.wait_reset()
            server.free()
        peer, server = begin()
        peer.send(SECRET, fin=True)
        check_equal(server.read(5), SECRET[:5], "data and FINp in one frame: read in part")
        peer.connection.rst()
        check_equal(failure_of(lambda: while_writing(server)), SYSTEM, "then reset: writes fail")
        check_equal(failure_of(lambda: server.read(1000)), SYSTEM, "and what is lost is no end")
        server.free()
        connection, answer = open_connection(link, address, PORT)
        server = listener.accept()
        connection.send(b"GET / HTTP/1.0\r\n\r\n")
        check_equal((failure_of(lambda: server.read(1)), answer is None), (BAD_MAGIC, False),
                    "plain text instead of keys")
        server.free()


def altered(frame):
    return frame[:-1] + bytes([frame[-1] ^ 1])


def while_writing(end):
    while end.write(b"x"):
        pass


def without_waiting():
    """Non-blocking at both ends: connect, handshake, and more than fits, in both directions."""
    with Net() as net:
        ends = Ends(net, listener={"blocking": False})
        client, r = ends.connect(blocking=False)
        check_equal((r, client.session_id()), (AGAIN, None), "connect(): not yet")
        ends.listener.wait()
        server = ends.listener.accept(blocking=False)
        shake(client, server)
        check(client.session_id() == server.session_id() is not None, "one session ID")
        check_equal((client.read(1), server.read(1)), (AGAIN, AGAIN), "nothing to read yet")
        check_equal(exchange(client, server), (True, True), "4 MiB each way at once")
        ends.check_secret("non-blocking")


def shut_while_connecting():
    """shutdown() before TCP's handshake has ended: the end comes all the same."""
    for daemons, state in ((2, "encrypted"), (1, "plain")):
        with Net() as net:
            ends = Ends(net, daemons=daemons)
            away = ends.b.interfaces[0]
            ends.b.ip("link", "set", away, "down")
            with Server(ends.b, echo) as server:
                client = Sock.new(ends.a, blocking=False)
                client.connect(ends.b.addresses[V4], server.port)
                check_equal((client.call("shutdown"), client.state()), (AGAIN, "connecting"),
                            f"{state}: shutdown() has to wait")
                ends.b.ip("link", "set", away, "up")
                while client.call("flush") == AGAIN:
                    client.wait()
                check_equal(client.state(), state, f"{state}: flush() is done")
                os.set_blocking(client.fd(), True)
                client.option(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
                check_equal(client.read(1), EOF, f"{state}: the server has read the end")
                check_equal(client.call("shutdown"), 0, f"{state}: shutdown() is done")
                client.close()


def shake(*ends):
    while any(end.call("handshake") == AGAIN for end in ends):
        poll = select.poll()
        for end in ends:
            if end.state() != "encrypted":
                poll.register(end.fd(), select.POLLIN | select.POLLOUT)
        poll.poll(100)


class Mover:
    """An end that sends BULK and then its end, and reads to the other's, as poll() has it."""

    def __init__(self, end):
        self.end, self.sent, self.got = end, 0, bytearray()
        self.ended = self.shut = False

    def step(self):
        if self.sent < len(BULK):
            self.sent += self.end.write(BULK[self.sent:self.sent + 100000])
        elif not self.shut:
            self.end.call("shutdown")
            self.shut = True
        else:
            self.end.call("flush")
        if not self.ended:
            more = self.end.read(50000)
            self.ended = more == EOF
            if isinstance(more, bytes):
                self.got += more

    def wanted(self):
        return (select.POLLOUT if self.sent < len(BULK) else 0) | (
            0 if self.ended else select.POLLIN)


def exchange(*ends):
    """Both ends move BULK; True for each that has got it."""
    movers = [Mover(end) for end in ends]
    while not all(m.ended and m.shut for m in movers):
        poll = select.poll()
        for m in movers:
            events = call("events", m.end.handle, m.wanted())
            if events:
                poll.register(m.end.fd(), events)
        if not poll.poll(30000):
            raise TimeoutError("events() had nothing to wait for that came")
        for m in movers:
            m.step()
    return tuple(m.got == BULK for m in movers)


def threads():
    """Blocking: one thread writes while another reads, at both ends; more than all buffers hold."""
    with Net() as net:
        ends = Ends(net)
        connecting, done, server = ends.pair(shaken=False)
        got = {}

        def write(end):
            end.write(BULK)
            end.call("shutdown")

        def both(end):
            return [threading.Thread(target=write, args=(end,)),
                    threading.Thread(target=lambda: got.update({end: end.read_to_end()}))]

        # Both of the server's have the handshake before them.
        work = both(server)
        for thread in work:
            thread.start()
        connecting.join()
        client = done[0][0]
        work += both(client)
        for thread in work[2:]:
            thread.start()
        for thread in work:
            thread.join()
        check(got[client] == BULK and got[server] == BULK, "4 MiB each way at once, four threads")
        check_equal((client.close(), server.close()), (0, 0), "both closed well")


def rekeyed():
    """New keys on request; the other end's answer proves that it is there."""
    with Net() as net:
        ends = Ends(net)
        client, server = ends.pair()
        check_equal(client.call("rekey"), 0, "rekey()")
        check_equal(client.call("rekey"), AGAIN, "rekey() while it is under way")
        server.write(SECRET)
        check_equal(client.read(1000), SECRET, "data goes on")
        client.write(SECRET)
        check_equal(server.read(1000), SECRET, "under the new key")
        server.write(SECRET)
        check_equal(client.read(1000), SECRET, "in the other direction, too")
        info = client.info()
        check_equal((info.local_generation, info.remote_generation), (1, 1), "answered")
        client.close()
        client, server = ends.pair(client={"rekey_bytes": 100000})
        work = threading.Thread(target=lambda: client.write(BULK))
        work.start()
        got = b""
        while len(got) < len(BULK):
            got += server.read(1 << 18)
        work.join()
        check(got == BULK, "rekeying by bytes: 4 MiB arrive")
        check(server.info().remote_generation > 10, "rekeying by bytes: it happens")


def updated_while_full(ends):
    """A pair whose server can send no more, and owes an answer to more key updates than found a
    place behind what waits; how much of that there is."""
    client, server = ends.pair(client={"rekey_bytes": 1})
    server.option(socket.SOL_SOCKET, socket.SO_SNDBUF, 30000)
    os.set_blocking(server.fd(), False)
    written = quiet = 0
    while quiet < 5:
        n = server.write(bytes(1 << 18))
        written, quiet = written + n, 0 if n else quiet + 1
        time.sleep(0.1)
    for _ in range(30):
        client.write(b"x")
        server.wait(select.POLLIN)
        server.read(100)
    os.set_blocking(client.fd(), False)
    return client, server, written


def take_all(client, server, until):
    """What the client reads until then, while the server sends what events() tells it to."""
    got, more, end = 0, AGAIN, time.monotonic() + 10
    while not until(more) and time.monotonic() < end:
        more = client.read(1 << 18)
        got += len(more) if isinstance(more, bytes) else 0
        if call("events", server.handle, 0):
            server.call("flush")
    return got


def updates_without_room():
    """Key updates are answered, and the stream ends, although there was no room for either when
    they came."""
    with Net() as net:
        ends = Ends(net)
        client, server, written = updated_while_full(ends)
        got = take_all(client, server, lambda _: client.info().remote_generation >=
                       client.info().local_generation)
        check_equal(client.info().remote_generation, client.info().local_generation,
                    "every update is answered, once there is room")
        check_equal(got, written, "behind all that was written")
        client.free()
        server.free()
        client, server, written = updated_while_full(ends)
        check_equal(server.call("shutdown"), AGAIN, "shutdown(): no room")
        check_equal(take_all(client, server, lambda more: more == EOF), written, "all comes")
        check_equal(client.read(1), EOF, "and the end, too")


def parameters():
    """What a program may choose: ciphers, TEPs, the application-aware bit; and what not."""
    with Net() as net:
        ends = Ends(net, listener={"app_aware": True})
        client, server = ends.pair(client={"aeads": [CHACHA], "teps": b"\x21", "n_teps": 1})
        info = server.info()
        check_equal((info.aead, info.tep), (CHACHA, 0x21), "AEAD and TEP as the client has them")
        check_equal((client.info().peer_app_aware, info.peer_app_aware), (True, False),
                    "the application-aware bit")
        client.close()
        client, server = ends.pair(client={"app_aware_mandatory": True})
        check_equal((client.state(), server.info().peer_app_aware), ("encrypted", True),
                    "mandatory, and both are aware")
        client.close()
        for text, wrong in (("a TEP", {"teps": b"\x70", "n_teps": 1}),
                            ("AEADs", {"aeads": [7]}), ("too many", {"aeads": [1, 2, 16, 1]})):
            check_equal(failure_of(lambda: Sock.new(ends.a, **wrong)), ARGUMENT, f"wrong: {text}")
        for text, wrong in (("a TEP", {"teps": b"\x70", "n_teps": 1}),
                            ("AEADs", {"teps": b"\x21", "n_teps": 1, "n_aeads": 1,
                                       "aeads": (ctypes.c_uint16 * 1)(7)})):
            p = Params(size=ctypes.sizeof(Params), require=True, app_aware=True, **wrong)
            with ends.a.socket() as sock:
                was = [sock.getsockopt(socket.IPPROTO_TCP, option, 8) for option in WISHES]
                call("new", sock.fileno(), ctypes.byref(p), None)
                now = [sock.getsockopt(socket.IPPROTO_TCP, option, 8) for option in WISHES]
                check_equal(now, was, f"wrong: {text}: the socket is as before")
        for text, tail, expected in (("zero", 0, 0), ("unknown", 1, ARGUMENT)):
            newer = (Params * 2)()
            newer[0].size, newer[1].size = ctypes.sizeof(newer), tail
            sock, error = ends.a.socket(), ctypes.c_int()
            handle = call("new", sock.fileno(), newer, ctypes.byref(error))
            check_equal(error.value, expected, f"parameters of a later version: {text}")
            if handle:
                sock.detach()
                call("free", handle)
            sock.close()
        with socket.socketpair()[0] as no_tcp:
            error = ctypes.c_int()
            handle = call("new", no_tcp.fileno(), None, ctypes.byref(error))
            check_equal((handle, error.value), (None, ARGUMENT), "wrong: no TCP socket")
        fresh = Sock.new(ends.a)
        check_equal((fresh.state(), failure_of(lambda: fresh.read(1))), ("new", STATE), "too early")
        check_equal(failure_of(fresh.accept), STATE, "no listener")
        fresh.close()


def past_handlers():
    """fork() as pthread_atfork() does not hear of it."""
    return ctypes.PyDLL(None)._Fork()


def in_child(body, fork=os.fork):
    """The exit status of a forked child: what body() returns."""
    pid = fork()
    if not pid:
        status = 99
        try:
            status = body()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def processes():
    """After fork() a connection is the parent's, unless the child takes it; listeners are all's."""
    with Net() as net:
        ends = Ends(net)
        client, server = ends.pair()

        def misuse():
            refused = failure_of(lambda: server.write(SECRET)) == STATE
            server.free()
            return 7 if refused else 1

        def serve():
            server.call("take")
            server.write(server.read(1000))
            return 8 if server.close() == 0 else 1

        def accept():
            other = ends.listener.accept()
            other.write(other.read(1000))
            return 9 if other.close() == 0 else 1

        check_equal(in_child(misuse), 7, "a child cannot write by itself")
        check_equal(in_child(misuse, past_handlers), 7, "nor one that _Fork() made")
        client.write(SECRET)
        check_equal(server.read(1000), SECRET, "the parent goes on")
        client.write(SECRET)
        check_equal(in_child(serve), 8, "a child that has taken it serves it")
        server.free()
        check_equal(client.read_to_end(), SECRET, "and ends it well")
        client.close()
        done = []
        client = Sock.new(ends.a)
        work = threading.Thread(target=lambda: (
            client.connect(ends.b.addresses[V4], PORT), client.write(SECRET),
            done.append(client.read_to_end())))
        work.start()
        check_equal(in_child(accept), 9, "a child accepts from its parent's listener")
        work.join()
        check_equal(done, [SECRET], "and serves what it has accepted")


def timeouts():
    """SO_RCVTIMEO bounds a read, and the handshake with a peer that says nothing."""
    with Net() as net:
        ends = Ends(net)
        client, server = ends.pair()
        limit = struct.pack("ll", 0, 100000)
        client.option(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        check_equal(client.read(1), AGAIN, "read(): the time is up")
        server.write(b"x")
        check_equal(client.read(1), b"x", "read(): nothing is lost")
        client.close()
        server.free()
        client = Sock.new(ends.a)
        client.option(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        check_equal(client.connect(ends.b.addresses[V4], PORT), AGAIN, "connect(): no answer yet")
        check_equal(client.state(), "exchanging", "connect(): what it waits for")
        server = ends.listener.accept()
        server.call("handshake")
        check_equal((client.call("handshake"), client.session_id()), (0, server.session_id()),
                    "handshake(): goes on from there")
        # Two months are as good as for ever; in milliseconds they do not fit.
        client.option(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 4294968, 0))
        written = []
        writing = threading.Thread(target=lambda: written.append(client.write(BULK)))
        writing.start()
        writing.join(1.5)
        server.option(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
        got = 0
        while got < len(BULK) and (more := server.read(1 << 18)) != AGAIN:
            got += len(more)
        writing.join()
        check_equal((written, got), ([len(BULK)], len(BULK)), "write(): waits for two months")
        # Nobody answers for this address. After three seconds the kernel says so.
        client = Sock.new(ends.a)
        client.option(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 2, 0))
        nobody = ends.b.addresses[V4].rpartition(".")[0] + ".99"
        check_equal(client.connect(nobody, PORT), AGAIN, "connect(): the time is up, once")
        client.free()


def proxied_peer():
    """The same connection as the other end's daemon sees it."""
    with Net() as net:
        ends = Ends(net)
        with Server(ends.b, echo) as server:
            client = Sock.new(ends.a)
            client.connect(ends.b.addresses[V4], server.port)
            work = threading.Thread(target=lambda: (client.write(BULK), client.call("shutdown")))
            work.start()
            check(client.read_to_end() == BULK, "4 MiB there and back")
            work.join()
            found = ends.daemons[1].wait_list(port=server.port, encrypted=True)[0]
            check_equal(found["session_id"], client.session_id(), "the daemon lists the same ID")
            client.close()
        with connect(ends.a, ends.b.addresses[V4], PORT) as sock:
            server = ends.listener.accept()
            sock.sendall(SECRET)
            sock.shutdown(socket.SHUT_WR)
            check_equal(server.read_to_end(), SECRET, "from a client of the daemon")
            server.write(SECRET)
            check_equal((server.close(), read_to_end(sock)), (0, SECRET), "and to it")


if __name__ == "__main__":
    main(
        "libtcpcrypt's socket objects do what <tcpcrypt/socket.h> says",
        both_ends,
        plain_peers,
        required_listener,
        bad_ends,
        hostile_peer,
        without_waiting,
        shut_while_connecting,
        threads,
        rekeyed,
        updates_without_room,
        parameters,
        processes,
        timeouts,
        proxied_peer,
    )
