#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A connection that one program breaks is broken for the other one too."""
import contextlib
import errno
import signal
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from apps import BROKEN, Server, bound_time, connect, errno_of, family_name, read_exactly, read_to_end
from harness import Net, check, check_equal, main, sockets_of, wait_for
from load import stopped

CLIENTS = 200
PORT = 7061
FAMILIES = (socket.AF_INET, socket.AF_INET6)


def reset(sock):
    """close() that sends a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def send_until_error(sock):
    """Sends up to 4 GB: the error number that stops it."""
    return errno_of(lambda: [sock.sendall(bytes(65536)) for _ in range(65536)])


def check_reasons(da, db, port, breaker, text):
    """The end whose program broke it says local-reset, the other one reset."""
    ends = {"client": da, "server": db}
    for end, daemon in ends.items():
        found = daemon.wait_list(port=port, state="closed", encrypted=True)[-1]
        expected = "local-reset" if end == breaker else "reset"
        check_equal(found["reason"], expected, f"{text}: the {end}'s end says")


def two_daemons(net):
    a, b = net.pair()
    return a, b, net.daemon(a), net.daemon(b)


def client_resets():
    def wait_for_more(conn, peer):
        read_exactly(conn, 5)
        return errno_of(lambda: read_to_end(conn))

    for family in FAMILIES:
        text = f"RST by the client, {family_name(family)}"
        with Net() as net:
            a, b, da, db = two_daemons(net)
            with Server(b, wait_for_more, family) as server:
                sock = connect(a, b.addresses[family], server.port, family)
                sock.sendall(b"hello")
                da.wait_list(port=server.port, bytes_out=5)
                reset(sock)
                check_equal(server.wait_results(), [errno.ECONNRESET], f"{text}: the server's end")
            check_reasons(da, db, server.port, "client", text)


def server_resets():
    def reset_after_hello(conn, peer):
        read_exactly(conn, 5)
        reset(conn)

    for family in FAMILIES:
        text = f"RST by the server, {family_name(family)}"
        with Net() as net:
            a, b, da, db = two_daemons(net)
            with Server(b, reset_after_hello, family) as server:
                with connect(a, b.addresses[family], server.port, family) as sock:
                    sock.sendall(b"hello")
                    error = errno_of(lambda: read_to_end(sock))
                check_equal(error, errno.ECONNRESET, f"{text}: the client's end")
            check_reasons(da, db, server.port, "server", text)


def server_killed():
    with Net() as net:
        a, b, da, db = two_daemons(net)
        nc = b.start(["nc", "-l", "-p", 7000], stdout=subprocess.DEVNULL)
        b.wait_listening(7000)
        with connect(a, b.addresses[socket.AF_INET], 7000) as sock:
            wait_for(lambda: any(not s.listens for s in sockets_of(b, nc.pid)), "nc's accept()")
            nc.send_signal(signal.SIGSTOP)
            sock.sendall(b"This is never read.")
            wait_for(lambda: any(s.unread for s in sockets_of(b, nc.pid)), "data to be unread")
            nc.kill()
            nc.wait()
            error = errno_of(lambda: read_to_end(sock))
        text = "server killed with unread data"
        check_equal(error, errno.ECONNRESET, f"{text}: the client sees an error")
        check_reasons(da, db, 7000, "server", text)


def client_leaves_early():
    with Net() as net:
        a, b, da, db = two_daemons(net)
        with Server(b, lambda conn, peer: send_until_error(conn)) as server:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                read_exactly(sock, 1 << 20)
            error = server.wait_results()[0]
            check(error in BROKEN, "client closes with unread data: the server sees it", f"{error}")
        check_reasons(da, db, server.port, "client", "client closes with unread data")


def reset_behind_the_end():
    """A server that has ended its own stream resets while the client sends: whether the daemon hears of
    it first or finds out as it sends, the connection is over."""

    def end_and_break(conn, peer):
        conn.shutdown(socket.SHUT_WR)
        read_exactly(conn, 1 << 18)
        conn.close()  # with unread data

    def client(a, address, port):
        with connect(a, address, port) as sock:
            check_end = read_to_end(sock) == b""
            return check_end and send_until_error(sock) in BROKEN

    with Net() as net:
        a, b, da, db = two_daemons(net)
        with Server(b, end_and_break) as server, ThreadPoolExecutor(8) as pool:
            ends = (a, b.addresses[socket.AF_INET], server.port)
            started = [pool.submit(client, *ends) for _ in range(CLIENTS)]
            check(all(one.result() for one in started), "each client sees an end, then a reset")
        for daemon, name in ((da, "client"), (db, "server")):
            daemon.wait_list(CLIENTS, port=server.port, state="closed")
            check(True, f"no connection is left at the {name}'s end")


def has_unread(daemon):
    return any(s.unread for s in sockets_of(daemon.host, daemon.process.pid))


def end_then_reset():
    """A stream that has ended before its program resets has ended, and was not cut off: though the daemon
    may hear of both at once, and of the reset first, as it sends."""
    for text, both in (("encrypted", True), ("plain", False)):
        with Net() as net:
            a, b = net.pair()
            daemons = [net.daemon(host) for host in ((a, b) if both else (a,))]
            with Server(b, lambda conn, peer: conn.dup()) as server:
                with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                    conn = server.wait_results()[0]
                    daemons[-1].wait_list(port=server.port, state=text)
                    with stopped(daemons[-1]):
                        sock.sendall(b"hello")
                        wait_for(lambda: has_unread(daemons[-1]), "the daemon to have it")
                        conn.sendall(b"bye")
                        conn.shutdown(socket.SHUT_WR)
                        reset(conn)
                    check_equal(read_to_end(sock), b"bye", f"{text}: the bytes, then the end")
                    error = errno_of(lambda: [sock.sendall(b"x") for _ in range(1 << 20)])
                check(error in BROKEN, f"{text}: and then the reset", f"{error}")


def send_all_it_takes(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))


def cut_by_an_answer():
    """A program that closes while it has more to send than there is room for, and is then sent something
    itself, is cut off: what had come from it must not pass for all of it."""
    for text, both in (("encrypted", True), ("plain", False)):
        with Net() as net:
            a, b = net.pair()
            a.sysctl("ipv4/tcp_wmem", "4096 4096 4096")  # more than one call for all of it
            daemons = [net.daemon(host) for host in ((a, b) if both else (a,))]
            with Server(b, lambda conn, peer: conn.dup()) as server:
                with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                    conn = bound_time(server.wait_results()[0])
                    daemons[0].wait_list(port=server.port, state=text)
                    with stopped(daemons[0]):
                        conn.sendall(bytes(60000))
                        wait_for(lambda: has_unread(daemons[0]), "the daemon to have some of it")
                        send_all_it_takes(sock)
                        sock.close()
                    error = errno_of(lambda: read_to_end(conn))
                check_equal(error, errno.ECONNRESET, f"{text}: it ends with a reset")


def unsent_and_reset():
    """What a program sent before it reset cannot be sent any more when the other end has reset as well."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        with Server(b, lambda conn, peer: conn.dup()) as server:
            server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                conn = server.wait_results()[0]
                conn.shutdown(socket.SHUT_WR)
                check_equal(read_to_end(sock), b"", "the server has ended its stream, and does not read")
                sock.sendall(bytes(30000))
                daemon.wait_list(port=server.port, bytes_out=30000)
                with stopped(daemon):
                    reset(sock)
                    reset(conn)
                daemon.wait_list(port=server.port, state="closed")
                check(True, "both reset: the connection is over")


def orderly_end():
    """What is no reset must not look like one, even when it ends at once."""
    with Net() as net:
        a, b, da, db = two_daemons(net)
        with Server(b, lambda conn, peer: read_to_end(conn)) as server:
            for _ in range(20):
                with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                    sock.sendall(b"goodbye")
            got = server.wait_results(20)
            check_equal((got, server.errors), ([b"goodbye"] * 20, []), "write and close: all arrives")
        for daemon in (da, db):
            found = daemon.wait_list(20, port=server.port, state="closed")
            check_equal({c["reason"] for c in found}, {None}, "and nobody calls it a failure")


def way_is_lost():
    """An end that cannot be reached any more has not reset, whatever the kernel's error is called."""
    family, patience = socket.AF_INET6, 1000
    for kind in ("prohibit", "blackhole", "unreachable"):
        with Net() as net:
            a, b, da, _ = two_daemons(net)
            with Server(b, lambda conn, peer: conn.dup(), family) as server:
                with connect(a, b.addresses[family], server.port, family) as sock:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)
                    sock.sendall(b"hello")
                    read_exactly(server.wait_results()[0], 5)
                    a.ip("-6", "route", "add", kind, f"{b.addresses[family]}/128")
                    sock.sendall(b"Does anybody hear me?")
                    error = errno_of(lambda: read_to_end(sock))
            check_equal(error, errno.ETIMEDOUT, f"{kind} route: the program's error")
            (found,) = da.wait_list(port=server.port, state="closed")
            check_equal(found["reason"], "timeout", f"{kind} route: the reason")


# It has said all and reset the connection before anybody else on its CPU goes on.
HASTY = """
import socket, struct, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    s, _ = l.accept()
    s.sendall(b"x" * 3000)
    if sys.argv[2] == "end":
        s.shutdown(socket.SHUT_WR)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
"""


def what_comes(host, address):
    """How many bytes, and how it ends; None: it was over before connect() had its turn."""
    got, ended = 0, None
    try:
        sock = connect(host, address, PORT)
    except ConnectionError:
        return None
    with sock:
        try:
            while more := sock.recv(65536):
                got += len(more)
        except ConnectionResetError:
            ended = "reset"
    return got, ended


def hasty_server():
    """What a server says and then resets is not lost when the daemon hears of all that at once, nor is its
    end where the server has said that, too."""
    for how, seen in (("cut", "reset"), ("end", None)):
        with Net() as net:
            a, b, _, db = two_daemons(net)
            a.run(["taskset", "-acp", "0", db.process.pid])
            program = [sys.executable, "-c", HASTY, PORT, how]
            b.start(["taskset", "-c", "0", "chrt", "-f", "50", *program])
            b.wait_listening(PORT)
            ends = [what_comes(a, b.addresses[socket.AF_INET]) for _ in range(40)]
            met = [end for end in ends if end]
            check(met, f"{how}: some are connected before they are reset")
            check_equal(set(met), {(3000, seen)}, f"{how}: the bytes, then {seen or 'the end'}")
            found = db.wait_list(count=len(ends), port=PORT, state="closed")
            reasons = {c["reason"] for c in found}
            check_equal(reasons, {"local-reset"}, f"{how}: the server's end knows no refusal")


if __name__ == "__main__":
    main(
        "a reset is a reset at the other end, and only then",
        client_resets,
        server_resets,
        server_killed,
        client_leaves_early,
        reset_behind_the_end,
        end_then_reset,
        cut_by_an_answer,
        unsent_and_reset,
        orderly_end,
        way_is_lost,
        hasty_server,
    )
