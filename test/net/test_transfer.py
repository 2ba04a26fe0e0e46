#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real programs and awkward ones move data between two hosts that both run tcpcryptd."""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import socket
import subprocess
import threading
import time

from apps import (
    CHUNK,
    Nginx,
    Server,
    connect,
    curl,
    echo,
    family_name,
    make_file,
    read_exactly,
    read_line,
    read_to_end,
    sha256,
    url,
)
from harness import LONG, Net, check, check_equal, main, wait_for
from packets import SYN, Capture

FAMILIES = (socket.AF_INET, socket.AF_INET6)
BIG = 100_000_000


@contextlib.contextmanager
def two_daemons():
    with Net() as net:
        a, b = net.pair()
        yield net, a, b, net.daemon(a), net.daemon(b)


def check_encrypted(da, db, port, text, count=1):
    """The last `count` connections to port are encrypted, one session ID at both ends."""
    ends = []
    for daemon, direction in ((da, "out"), (db, "in")):
        daemon.wait_list(count, port=port, direction=direction, encrypted=True)
        found = daemon.list(port=port, direction=direction)[-count:]
        ends.append({c["session_id"] for c in found if c["encrypted"]})
    check(ends[0] == ends[1] and len(ends[0]) == count, f"{text}: encrypted, IDs agree", f"{ends}")


def curl_and_nginx():
    with two_daemons() as (net, a, b, da, db):
        nginx = Nginx(net, b)
        sums = {size: make_file(nginx.root / f"{size}", size) for size in (1, 612, BIG)}
        for family in FAMILIES:
            for size, digest in sums.items():
                text = f"curl from nginx, {family_name(family)}, {size} bytes"
                got = nginx.dir / "got"
                curl(a, "-o", got, url(b.addresses[family], f"{size}"))
                check_equal(sha256(got), digest, text)
                check_encrypted(da, db, 80, text)
            upload(a, da, b, db, nginx, family, sums[BIG])


def upload(a, da, b, db, nginx, family, digest):
    text = f"curl to nginx, {family_name(family)}, {BIG} bytes"
    name = f"upload/{family_name(family)}"
    curl(a, "-T", nginx.root / f"{BIG}", "-H", "Expect:", url(b.addresses[family], name))
    check_equal(sha256(nginx.root / name), digest, text)
    check_encrypted(da, db, 80, text)


class Pump(threading.Thread):
    """Sends random blocks for a time, then ends the direction; `digest` is of what was sent."""

    def __init__(self, sock, seconds):
        super().__init__(daemon=True)
        self.sock, self.end = sock, time.monotonic() + seconds
        self.digest, self.count = hashlib.sha256(), 0

    def run(self):
        blocks = [os.urandom(random.randrange(1, CHUNK)) for _ in range(16)]
        while time.monotonic() < self.end:
            block = random.choice(blocks)
            self.sock.sendall(block)
            self.digest.update(block)
            self.count += len(block)
        self.sock.shutdown(socket.SHUT_WR)


def pump_and_read(sock, seconds):
    """Sends and receives at once; returns (sent, received) as (digest, count)."""
    pump = Pump(sock, seconds)
    pump.start()
    digest, count = hashlib.sha256(), 0
    while data := sock.recv(CHUNK):
        digest.update(data)
        count += len(data)
    pump.join()
    return (pump.digest.hexdigest(), pump.count), (digest.hexdigest(), count)


def both_directions_at_once():
    seconds = 30 if LONG else 5
    with two_daemons() as (net, a, b, da, db):
        for family in FAMILIES:
            text = f"both directions at once, {family_name(family)}"
            with Server(b, lambda conn, peer: pump_and_read(conn, seconds), family) as server:
                with connect(a, b.addresses[family], server.port, family) as sock:
                    sent, received = pump_and_read(sock, seconds)
                there = server.wait_results()[0]
            check(sent[1] > 0 and received[1] > 0, f"{text}: both directions move")
            check_equal(there, (received, sent), f"{text}: nothing lost, nothing reordered")
            check_encrypted(da, db, server.port, text)


def server_speaks_first():
    def greet(conn, peer):
        conn.sendall(b"220 welcome\r\n")
        return read_line(conn)

    with two_daemons() as (net, a, b, da, db):
        for family in FAMILIES:
            with Server(b, greet, family) as server:
                with connect(a, b.addresses[family], server.port, family) as sock:
                    check_equal(read_line(sock), b"220 welcome\r\n", "the server speaks first")
                    sock.sendall(b"QUIT\r\n")
                    check_equal(read_to_end(sock), b"", "and closes last: a clean end")
                check_equal(server.wait_results(), [b"QUIT\r\n"], "the client's answer arrives")
            check_encrypted(da, db, server.port, "server speaks first")


def half_close():
    def answer_after_end(conn, peer):
        request = read_to_end(conn)
        conn.sendall(hashlib.sha256(request).hexdigest().encode())
        return len(request)

    request = random.Random(1).randbytes(300_000)
    digest = hashlib.sha256(request).hexdigest()
    with two_daemons() as (net, a, b, da, db):
        for family in FAMILIES:
            with Server(b, answer_after_end, family) as server:
                args = ["nc", "-N", "-w", 30, b.addresses[family], server.port]
                done = a.run(args, input=request, text=False)
                check_equal(done.stdout.decode(), digest, "nc -N reads the answer after its end")
            check_encrypted(da, db, server.port, "half-close")


def many_connections():
    count, size = 200, 20_000
    with two_daemons() as (net, a, b, da, db):
        with Server(b, echo) as server:
            address = b.addresses[socket.AF_INET]
            socks = [connect(a, address, server.port) for _ in range(count)]
            live = da.wait_list(count, recent=False, port=server.port, state="encrypted")
            check_equal(len(live), count, "200 connections at once are encrypted")
            messages = [random.Random(i).randbytes(size) for i in range(count)]
            for sock, message in zip(socks, messages):
                sock.sendall(message)
                sock.shutdown(socket.SHUT_WR)
            echoes = [read_to_end(sock) for sock in socks]
            for sock in socks:
                sock.close()
            check(echoes == messages, "each gets its own bytes back")
        check_encrypted(da, db, server.port, "200 connections", count)
        wait_for(lambda: da.status()["connections"] == 0, "no live connection")
        check(True, "and none is left in the end")


def v4_mapped():
    with two_daemons() as (net, a, b, da, db):
        names = []

        def note(conn, peer):
            names.append((peer[:2], conn.getpeername()[:2], conn.getsockname()[:2]))
            return echo(conn, peer)

        mapped = "::ffff:" + b.addresses[socket.AF_INET]
        with Server(b, note, socket.AF_INET6, dual=True) as server:
            with connect(a, mapped, server.port, socket.AF_INET6) as sock:
                here, there = sock.getsockname()[:2], sock.getpeername()[:2]
                sock.sendall(b"mapped")
                check_equal(read_exactly(sock, 6), b"mapped", "v4-mapped sockets carry data")
            server.wait_results()
        check_equal(there, (mapped, server.port), "v4-mapped client: getpeername()")
        check_equal(names, [(here, here, there)], "v4-mapped server: accept(), names")
        check_encrypted(da, db, server.port, "v4-mapped")


def real_names():
    with two_daemons() as (net, a, b, da, db):
        for family in FAMILIES:
            names = []

            def note(conn, peer):
                names.extend([peer[:2], conn.getpeername()[:2], conn.getsockname()[:2]])

            text = family_name(family)
            client, address = a.addresses[family], b.addresses[family]
            with Server(b, note, family) as server:
                with connect(a, address, server.port, family) as sock:
                    here, there = sock.getsockname()[:2], sock.getpeername()[:2]
                    read_to_end(sock)
                server.wait_results()
            check_equal(there, (address, server.port), f"{text}: client's getpeername()")
            check_equal(here[0], client, f"{text}: client's getsockname(), the address")
            accepted, peer, local = names
            check_equal(accepted, here, f"{text}: accept() shows the client")
            check_equal(peer, here, f"{text}: server's getpeername()")
            check_equal(local, there, f"{text}: server's getsockname()")
            listed = da.wait_list(port=server.port)[-1]["local"]
            check(listed.endswith(f":{here[1]}"), f"{text}: so does `tcpcrypt list`", listed)


def redis():
    with two_daemons() as (net, a, b, da, db):
        directory = net.directory()
        everywhere = ["--bind", "0.0.0.0", "::", "--protected-mode", "no"]
        nothing_kept = ["--save", "", "--dir", directory]
        args = ["redis-server", "--port", 6379, *everywhere, *nothing_kept]
        b.start(args, stdout=subprocess.DEVNULL)
        b.wait_listening(6379)
        for family in FAMILIES:
            cli = ["redis-cli", "-h", b.addresses[family]]
            text = f"redis, {family_name(family)}"
            values = {f"key{i}": random.Random(i).randbytes(700).hex() for i in range(2000)}
            orders = "".join(f"SET {key} {value}\r\n" for key, value in values.items())
            done = a.run([*cli, "--pipe"], input=orders)
            check("errors: 0, replies: 2000" in done.stdout, f"{text}: 2000 keys set", done.stdout)
            keys = "".join(f"GET {key}\n" for key in values)
            got = a.run(cli, input=keys).stdout.split()
            check(got == list(values.values()), f"{text}: and read back")
            check_encrypted(da, db, 6379, text, count=2)
            a.run([*cli, "FLUSHALL"])


def iperf3():
    with two_daemons() as (net, a, b, da, db):
        for family in FAMILIES:
            server = b.start(["iperf3", "-s", "-1", "-p", 5201], stdout=subprocess.DEVNULL)
            b.wait_listening(5201)
            args = ["iperf3", "-J", "-P", 4, "-n", "100M", "-c", b.addresses[family]]
            result = json.loads(a.run(args).stdout)
            server.wait(30)
            text = f"iperf3 -P 4, {family_name(family)}"
            check_equal(server.returncode, 0, f"{text}: the server is content")
            # It does not wait for the last of its data: how much arrives says nothing.
            streams = [s["receiver"]["bytes"] for s in result["end"]["streams"]]
            check(len(streams) == 4 and all(streams), f"{text}: data in each stream", streams)
            check_encrypted(da, db, 5201, text, count=5)


@contextlib.contextmanager
def privilege_separation_directory():
    """sshd insists on /run/sshd, which nobody has made where no ssh service runs."""
    path = pathlib.Path("/run/sshd")
    made = not path.exists()
    if made:
        path.mkdir(mode=0o755)
    try:
        yield
    finally:
        if made:
            path.rmdir()


def ssh_left_alone():
    with two_daemons() as (net, a, b, da, db), privilege_separation_directory():
        directory = net.directory()
        key = directory / "host_key"
        a.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
        config = directory / "sshd_config"
        config.write_text(f"HostKey {key}\nPidFile none\nUsePAM no\n")
        b.start(["/usr/sbin/sshd", "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
        b.wait_listening(22)
        for family in FAMILIES:
            address = b.addresses[family]
            with Capture(a, a.interfaces[0]) as capture:
                found = a.run(["ssh-keyscan", "-T", 20, "-t", "ed25519", address]).stdout
                syns = [p for p in capture.packets(22) if p.has(SYN)]
            public = key.with_suffix(".pub").read_text().split()[1]
            check(public in found, f"ssh, {family_name(family)}: sshd answers", found)
            check(syns and not any(p.eno() for p in syns), "no ENO option on port 22")
        check_equal(da.list(port=22) + db.list(port=22), [], "ssh is not listed at either end")


if __name__ == "__main__":
    main(
        "programs that know nothing of tcpcrypt exchange data, encrypted, unharmed",
        curl_and_nginx,
        both_directions_at_once,
        server_speaks_first,
        half_close,
        many_connections,
        v4_mapped,
        real_names,
        redis,
        iperf3,
        ssh_left_alone,
    )
