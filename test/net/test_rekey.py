#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""New keys by bytes, by age and on request, and what they say about who is there."""
import errno
import os
import pathlib
import socket
import struct
import threading
import time

from apps import Server, bound_time, connect, echo, errno_of, read_exactly, read_to_end
from harness import LONG, PATIENCE, Net, check, check_equal, main, wait_for
from middlebox import Cut, Delay, Lose
from peers import neighbour
from wire import wired_pair

from tcpcrypt import open_session

AT_ONCE = "drain-seconds = 0\n"  # the daemon's end: what is still open then is no matter
MESSAGE = b"The same words under ever new keys. " * 50
KEEPALIVE = "keepalive-seconds = 2\n"  # and as long for the answer


def daemons(net, config="", other=None):
    a, b, wire = wired_pair(net)
    configs = AT_ONCE + config, AT_ONCE + (config if other is None else other)
    return a, b, wire, net.daemon(a, configs[0]), net.daemon(b, configs[1])


def talk(sock, times=1):
    for _ in range(times):
        sock.sendall(MESSAGE)
        if read_exactly(sock, len(MESSAGE)) != MESSAGE:
            return False
    return True


def rekeys(daemon, port):
    return daemon.list(port=port)[-1]["rekeys"]


def by_bytes():
    """8548-3.8-1: each end by what it has sent, while the path loses and delays."""
    with Net() as net:
        a, b, wire, da, db = daemons(net, "rekey-bytes = 10000\n")
        wire.to_right += [Lose(0.02, seed=1), Delay(0.0005, 0.001)]
        wire.to_left += [Lose(0.02, seed=2), Delay(0.0005, 0.001, seed=2)]
        with Server(b, echo) as server:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                check(talk(sock, 50), "by bytes: every message comes back")
                check(rekeys(da, server.port) >= 5, "by bytes: the client's end steps on")
                check(rekeys(db, server.port) >= 5, "by bytes: the server's end, too")


def by_age():
    with Net() as net:
        a, b, _, da, db = daemons(net, "rekey-seconds = 1\n", "")
        with Server(b, echo) as server:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                with connect(a, b.addresses[socket.AF_INET], server.port) as idle:
                    talk(sock)
                    idle_end = "%s:%d" % idle.getsockname()
                    for number in (1, 2):
                        wait_for(lambda: other_than(da, idle_end, server.port) >= number,
                                 "a key update by age")
                        talk(sock)
                    check(True, "by age: keys change while data flows")
                    check(other_than(db, None, server.port) >= 2, "by age: at both ends")
                    (listed,) = da.list(local=idle_end)
                    check_equal(listed["rekeys"], 0, "by age: not where no data has gone")


def other_than(daemon, local, port):
    """Key updates of the connections at a port, but for one."""
    return max(c["rekeys"] for c in daemon.list(port=port) if c["local"] != local)


def at_once():
    """Both ends begin again and again, by age and on request, without falling out of step."""
    with Net() as net:
        a, b, wire, da, db = daemons(net, "rekey-seconds = 1\nrekey-bytes = 30000\n")
        for rules in (wire.to_right, wire.to_left):
            rules.append(Delay(0.005))  # longer than a key update takes to begin
        with Server(b, echo) as server:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                talk(sock)
                ends = verify_ends(da, server.port)
                for _ in range(10):
                    asked = [da.verify_later(*ends), db.verify_later(*reversed(ends))]
                    check(talk(sock, 3), "both at once: data flows")
                    confirmed = [answer()["peer_confirmed"] for answer in asked]
                    check_equal(confirmed, [True, True], "both at once: both are confirmed")
                wait_for(lambda: rekeys(da, server.port) == rekeys(db, server.port),
                         "equal generations at both ends")


def verify_ends(daemon, port):
    listed = daemon.list(port=port)[-1]
    return listed["local"], listed["peer"]


# ---- who is there -------------------------------------------------------------------------


def vanished_peer():
    """8548-3.9-1: an idle connection whose other end is gone ends with an error."""
    with Net() as net:
        a, b, wire, da, db = daemons(net, KEEPALIVE)
        cuts = [Cut(), Cut()]
        wire.to_right.append(cuts[0])
        wire.to_left.append(cuts[1])
        with Server(b, echo) as server:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                talk(sock)
                # 8548-3.9-2, 8548-3.9-3
                wait_for(lambda: rekeys(da, server.port) >= 1, "a probe")
                check(True, "an idle connection is probed, and the other end answers")
                check_equal(rekeys(db, server.port) >= 1, True, "with its own new keys")
                check(talk(sock), "and the connection lives")
                for cut in cuts:
                    cut.closed = True
                error = errno_of(lambda: sock.recv(1))
                check_equal(error, errno.ETIMEDOUT, "a vanished peer: the program's error")
                (listed,) = da.wait_list(port=server.port, state="closed")
                check_equal(listed["reason"], "timeout", "a vanished peer: the reason")
                check_equal(da.status()["failed"].get("timeout"), 1, "and counted")


def pausing_reader():
    """While our own program does not read, the answer may wait behind what it has not read."""
    size = 32 << 20  # more than the kernel holds for a program that does not read
    with Net() as net:
        a, b, _, da, _ = daemons(net, KEEPALIVE, "")

        def send(conn, peer):
            if conn.recv(1) == b"a":
                conn.sendall(bytes(size))
            conn.recv(1)

        with Server(b, send) as server:
            address = b.addresses[socket.AF_INET]
            with connect(a, address, server.port) as clock, connect(a, address, server.port) as sock:
                clock.sendall(b"b")
                end = "%s:%d" % clock.getsockname()
                sock.sendall(b"a")
                # Long enough for a question, and for an answer to be too late.
                wait_for(lambda: da.list(local=end)[0]["rekeys"] >= 3, "an idle connection's probes")
                check_equal(len(read_exactly(sock, size)), size, "a pausing reader loses nothing")
                sock.sendall(b"x")
        check_equal(da.status()["failed"].get("timeout"), None, "a pausing reader: no timeout")


def pausing_reader_of_what_is_left():
    """An end that is known to be gone is not asked: what had come from it waits for the program."""
    size = 200000  # more than the program's TCP takes, and less than the daemon's
    with Net() as net:
        a, b, _, da, _ = daemons(net, KEEPALIVE, "")
        came = threading.Event()

        def send_and_reset(conn, peer):
            if conn.recv(1) == b"a":
                conn.sendall(bytes(size))
                came.wait(PATIENCE)
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                conn.close()
            else:
                conn.recv(1)

        with Server(b, send_and_reset) as server:
            address = b.addresses[socket.AF_INET]
            with connect(a, address, server.port) as clock, bound_time(a.socket()) as sock:
                clock.sendall(b"b")
                clocks_end = "%s:%d" % clock.getsockname()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect((address, server.port))
                end = "%s:%d" % sock.getsockname()
                sock.sendall(b"a")
                da.wait_list(local=end, bytes_in=size)
                came.set()
                before = da.list(local=clocks_end)[0]["rekeys"]
                wait_for(lambda: da.list(local=clocks_end)[0]["rekeys"] >= before + 4,
                         "probes of another connection")
                check_equal(len(read_exactly(sock, size)), size, "what is left of a reset one is read")
                check_equal(errno_of(lambda: sock.recv(1)), errno.ECONNRESET, "and then the reset")


def silent_peer():
    """The peer's TCP answers, the peer does not: only the keys are proof."""
    with Net() as net:
        victim = net.host()
        link = neighbour(net, victim)
        daemon = net.daemon(victim, AT_ONCE + KEEPALIVE)
        errors = []

        def wait_for_error(conn, peer):
            errors.append(errno_of(lambda: conn.recv(1)))

        with Server(victim, wait_for_error) as server:
            address = victim.addresses[socket.AF_INET]
            session = open_session(link, address, server.port)
            frame = session.read()
            check((frame.rekey, frame.data) == (True, b""), "a probe: an empty frame")
            session.send(rekey=True)
            frame = session.read()
            check(frame.rekey, "answered; and another one, which is not")
            session.connection.wait_reset()
            (listed,) = daemon.wait_list(port=server.port, state="closed")
            check_equal(listed["reason"], "timeout", "no proof of life: the reason")
            wait_for(lambda: errors, "the program's error")
            check_equal(errors[0], errno.ETIMEDOUT, "no proof of life: the program's error")
        check_equal(link.violations, [], "no violation")


def half_closed():
    """An end that has sent FIN need not answer, and is not asked."""
    with Net() as net:
        a, b, _, da, _ = daemons(net, KEEPALIVE, "")
        go = threading.Event()

        def late(conn, peer):
            data = read_to_end(conn)
            go.wait(30)
            conn.sendall(data)

        with Server(b, late) as server:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                with connect(a, b.addresses[socket.AF_INET], server.port) as open_one:
                    sock.sendall(MESSAGE)
                    sock.shutdown(socket.SHUT_WR)
                    end = "%s:%d" % open_one.getsockname()
                    wait_for(lambda: da.list(local=end)[0]["rekeys"] >= 1,
                             "a probe of the connection that is open both ways")
                    go.set()
                    check_equal(read_to_end(sock), MESSAGE, "a half-closed connection stays")


# ---- a storm ------------------------------------------------------------------------------


def storm():
    """A peer that sends nothing but key updates is slowed down, and nobody else."""
    frames = 200000 if LONG else 6000
    with Net() as net:
        victim = net.host()
        link = neighbour(net, victim)
        other = net.host()
        net.link(other, victim)
        victim.sysctl("ipv4/tcp_rmem", "4096 16384 32768")  # a small storm fills it
        daemon = net.daemon(victim, AT_ONCE)
        net.daemon(other, AT_ONCE)
        with Server(victim, echo) as server:
            session = open_session(link, victim.addresses[socket.AF_INET], server.port)
            connection = session.connection
            began = time.thread_time()
            blob = b"".join(session.seal(rekey=True) for _ in range(frames))
            print(f"     made by the peer at {1e6 * (time.thread_time() - began) / frames:.0f} us")
            before = memory(daemon)
            with connect(other, f"10.{net.links}.0.2", server.port) as sock:
                check(talk(sock), "a bystander's connection works")
                sent = connection.send(blob, timeout=1.0)
                for _ in range(5):
                    check(talk(sock, 20), "and goes on while the storm does")
                    sent += connection.send(blob[sent:], timeout=0.3)
            check(sent < len(blob), "the storm's window closes", f"{sent} of {len(blob)} bytes")
            taken = daemon.list(peer=f"{link.address}:{connection.port}")[-1]["rekeys"]
            # To make one takes two hashes and a key, to answer it three and two (unit-pair counts
            # them): who makes twice as many as are taken has paid more.
            check(0 < 2 * taken <= sent // EMPTY, "the storm costs the peer more than us: of the "
                  "key updates that it made and sent not half are taken", f"{taken} of {sent // EMPTY}")
            answers = len(connection.stream) - session.consumed
            check(answers <= (taken + A_SECOND) * EMPTY, "and none is answered twice", f"{answers}")
            check(memory(daemon) <= before + (64 << 10), "memory is flat")
            bounded(daemon, link, connection, blob[sent:])
            # Whoever comes with data, or slowly, is not slowed down.
            connection.close()
            daemon.wait_list(peer=f"{link.address}:{connection.port}", state="closed")
            check(True, "reset, a storm has ended")
            check_honest(link, victim, server)
        check_equal(link.violations, [], "no violation")


EMPTY = 20  # bytes of a frame without data
A_SECOND = 8  # key updates of a peer that are taken


def bounded(daemon, link, connection, blob):
    """What a storm costs: so many key updates a second, however many come."""
    def taken():
        return daemon.list(peer=f"{link.address}:{connection.port}")[-1]["rekeys"]

    began, cpu, first = time.monotonic(), cpu_seconds(daemon.pid()), taken()
    while taken() < first + 3 * A_SECOND:
        blob = blob[connection.send(blob, timeout=0.3):]
    # Read in this order, so that the bound is one.
    count = taken() - first
    seconds, cpu = time.monotonic() - began, cpu_seconds(daemon.pid()) - cpu
    check(count <= A_SECOND * (seconds + 2), f"at most {A_SECOND} are taken a second",
          f"{count} in {seconds:.1f} s")
    print(f"     {count} key updates in {seconds:.1f} s, in which the daemon, also asked for its "
          f"list, used {1000 * cpu:.0f} ms of a processor")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_honest(link, victim, server):
    """Key updates with as much data as any sane limit has: all are taken at once."""
    session = open_session(link, victim.addresses[socket.AF_INET], server.port)
    block = bytes(8192)
    got = 0
    for _ in range(200):
        session.send(block, rekey=True)
        got += len(session.read_data(len(block)))
    check_equal(got, 200 * len(block), "200 key updates with data are answered")
    session.connection.close()


def memory(daemon):
    """Resident KiB."""
    for line in pathlib.Path(f"/proc/{daemon.pid()}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    main(
        "keys are renewed by bytes, by age and on request, prove who is there, and cost no harm",
        by_bytes,
        by_age,
        at_once,
        vanished_peer,
        pausing_reader,
        pausing_reader_of_what_is_left,
        silent_peer,
        half_closed,
        storm,
    )
