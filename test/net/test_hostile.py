#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A peer, or somebody on the way, that negotiates tcpcrypt properly and then sends nonsense.

The hostile host has no tcpcryptd: its programs use plain sockets and the wire lends their
segments the ENO option, so that the bytes after it are whatever a test wants. Bad Init
messages are those of test/vectors/init_bad.json.
"""
import contextlib
import json
import os
import socket

from apps import BROKEN, Server, connect, echo, read_exactly, read_to_end
from harness import REPO, Net, check, check_equal, main
from wire import (
    AddEno,
    CutShort,
    FlipBit,
    ReplaySegment,
    is_ack,
    is_syn,
    is_synack,
    wired_pair,
)

OFFERED_TEPS = (0x21, 0x23)  # tcpcryptd's default
OFFERED_CIPHERS = {1, 2, 16}
REASONS = {
    "bad-magic": {"bad-magic"},
    "bad-message-len": {"bad-init", "bad-key"},
    "message-too-long": {"bad-init"},
    "no-cipher": {"no-cipher"},
    "cipher-not-offered": {"bad-cipher"},
    "key-validation": {"bad-key", "bad-init"},
    "fin-without-finp": {"truncated"},
}
MESSAGE = b"a good message " * 20


def init_cases(message):
    """The vectors that mean the end of a connection: (name, vector, wire, then_fin, reasons)."""
    with open(REPO / "test/vectors/init_bad.json", encoding="utf-8") as file:
        vectors = json.load(file)["cases"]
    for case in vectors:
        receiver = case["receiver"]
        applies = (
            case["message"] == message
            and case["tep"] in OFFERED_TEPS
            and OFFERED_CIPHERS <= set(receiver["ciphers"])
            and not {"accept", "need-more"} & set(case.get("also_acceptable", []))
        )
        raw = bytes.fromhex(case["wire"])
        if applies and case["reaction"] == "abort":
            yield case["id"], case, raw, case["then_fin"], REASONS[case["error"]]
        elif applies and case["reaction"] == "need-more":
            yield f"{case['id']}-then-fin", case, raw, True, REASONS["fin-without-finp"]


def frame_cases(message):
    """A good Init message and bad frames after it."""
    with open(REPO / "test/vectors/init_bad.json", encoding="utf-8") as file:
        vectors = {case["id"]: case for case in json.load(file)["cases"]}
    good = vectors[f"{message}-good"]
    noise = os.urandom(65535)
    bad, auth, truncated = {"bad-frame"}, {"auth-failed"}, {"truncated"}
    for name, frame, then_fin, reasons in (
        ("frame-empty", b"\x00\x00\x00", False, bad),
        ("frame-shorter-than-a-tag", b"\x00\x00\x10" + noise[:16], False, bad),
        ("frame-of-noise", b"\x00\x00\x40" + noise[:64], False, auth),
        ("frame-as-long-as-can-be", b"\x00\xff\xff" + noise, False, auth),
        ("frame-forged-rekey", b"\x01\x00\x40" + noise[:64], False, auth),
        ("frame-reserved-bits", b"\xfe\x00\x40" + noise[:64], False, auth),
        ("frame-incomplete-then-fin", b"\x00\x40\x00" + noise[:100], True, truncated),
        ("frame-header-then-fin", b"\x00\x40", True, truncated),
        ("frame-plaintext", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000, False, auth),
    ):
        raw = bytes.fromhex(good["wire"]) + frame
        yield f"{message}-good-then-{name}", good, raw, then_fin, reasons


def received(conn):
    """(all data, error number) of a connection; 0 for an orderly end."""
    data = bytearray()
    try:
        while more := conn.recv(65536):
            data += more
    except OSError as error:
        return bytes(data), error.errno
    return bytes(data), 0


def converse(sock, raw, then_fin=False):
    """Sends the bytes, and FIN; returns what received() does, or the error of sending."""
    try:
        sock.sendall(raw)
        if then_fin:
            sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        return b"", error.errno
    return received(sock)


@contextlib.contextmanager
def bystander(net, victim):
    """A connection of the victim's with somebody else, which must not notice anything."""
    other = net.host()
    net.link(other, victim)
    net.daemon(other)
    address = f"10.{net.links}.0.2"
    with Server(victim, echo) as server, connect(other, address, server.port) as sock:

        def still_works():
            sock.sendall(MESSAGE)
            return read_exactly(sock, len(MESSAGE)) == MESSAGE

        check(still_works(), "a bystander's connection works")
        yield
        check(still_works(), "and it still does after all that")


def check_case(daemon, name, number, port, reasons):
    """The daemon lists the number-th connection as failed for one of the reasons."""
    listed = daemon.wait_list(number, port=port, state="closed")[number - 1]
    check(listed["reason"] in reasons, f"{name}: the reason is named", f"{listed['reason']}")


def check_counters(daemon, number):
    status = daemon.status()
    check_equal(sum(status["failed"].values()), number, "all are counted as failed")


def hostile_client():
    with Net() as net:
        hostile, victim, wire = wired_pair(net)
        daemon = net.daemon(victim)
        address = victim.addresses[socket.AF_INET]
        cases = [*init_cases("init1"), *frame_cases("init1")]
        with bystander(net, victim), Server(victim, lambda conn, _: received(conn)) as server:
            for number, (name, vector, raw, then_fin, reasons) in enumerate(cases, 1):
                option = bytes.fromhex(vector["receiver"]["eno_a"])
                wire.to_right[:] = [AddEno(is_syn, option), AddEno(bare_ack, b"\x45\x02")]
                with connect(hostile, address, server.port) as sock:
                    error = converse(sock, raw, then_fin)[1]
                check(error in BROKEN, f"{name}: the client is thrown out", f"{error}")
                check_case(daemon, name, number, server.port, reasons)
        fair = all(not data and error in BROKEN for data, error in server.results)
        check(fair, "programs saw errors, no data and no orderly end", f"{server.results}")
        check_counters(daemon, len(cases))


def bare_ack(packet):
    return is_ack(packet) and not packet.payload


def victim_sees(victim, address, port):
    """What a program gets; the server may be so quick that connect() itself sees the error."""
    try:
        with connect(victim, address, port) as sock:
            return converse(sock, b"secret words of the client")
    except ConnectionResetError as error:
        return b"", error.errno


def hostile_server():
    with Net() as net:
        victim, hostile, wire = wired_pair(net)
        # Each case is a new connection to the same place: what the last one taught is forgotten.
        daemon = net.daemon(victim, "remember-plain-seconds = 0\n")
        address = hostile.addresses[socket.AF_INET]
        cases = [*init_cases("init2"), *frame_cases("init2")]
        script = []

        def misbehave(conn, peer):
            read_exactly(conn, 8)  # Init1 begins
            return converse(conn, *script)

        with bystander(net, victim), Server(hostile, misbehave) as server:
            for number, (name, vector, raw, then_fin, reasons) in enumerate(cases, 1):
                option = bytes.fromhex(vector["receiver"]["eno_b"])
                wire.to_left[:] = [AddEno(is_synack, option)]
                script[:] = raw, then_fin
                data, error = victim_sees(victim, address, server.port)
                check_equal(data, b"", f"{name}: nothing reaches the program")
                check(error in BROKEN, f"{name}: but an error", f"{error}")
                check_case(daemon, name, number, server.port, reasons)
            check(not wire.contains(b"secret words"), "no program's data went out in plain")
        check_counters(daemon, len(cases))


# ---- somebody on the way ------------------------------------------------------------------


def ping_pong(a, b, wire_rules, rule):
    """Messages of one length to and fro, until something breaks.

    Returns (errno at the client, what the server's program got, its port).
    """

    def collect(conn, peer):
        data, error = bytearray(), 0
        try:
            while more := conn.recv(65536):
                data += more
                conn.sendall(more)
        except OSError as problem:
            error = problem.errno
        return bytes(data), error

    wire_rules[:] = [rule]
    error = 0
    with Server(b, collect) as server:
        # The break may come so early that connect() itself sees it.
        try:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                for _ in range(10):
                    sock.sendall(MESSAGE)
                    read_exactly(sock, len(MESSAGE))
                sock.shutdown(socket.SHUT_WR)
                read_to_end(sock)
        except OSError as problem:
            error = problem.errno
        server.wait_results()
        wire_rules[:] = []
    return error, server.results[0], server.port


def tampered():
    cases = {
        "a bit of Init's magic": (lambda: FlipBit(1), {"bad-magic"}),
        "a bit of Init's nonce": (lambda: FlipBit(35), {"auth-failed"}),
        "a bit of the first frame": (lambda: FlipBit(150), {"auth-failed"}),
        "a bit of a later frame": (lambda: FlipBit(1500), {"auth-failed"}),
        "a replayed frame": (lambda: ReplaySegment(len(MESSAGE)), {"auth-failed"}),
        "FIN without FINp": (lambda: CutShort(1500), {"truncated"}),
    }
    with Net() as net:
        a, b, wire = wired_pair(net)
        # Ports come again, and a bad magic looks like an ACK that was stripped: see hostile_server().
        config = "resume-max = 0\nremember-plain-seconds = 0\n"
        da, db = (net.daemon(host, config) for host in (a, b))
        for direction, rules in (("server", wire.to_right), ("client", wire.to_left)):
            for name, (make, reasons) in cases.items():
                text = f"{name}, to the {direction}"
                rule = make()
                error, (data, server_error), port = ping_pong(a, b, rules, rule)
                check_equal(rule.count, 1, f"{text}: done")
                check(error in BROKEN, f"{text}: the client sees an error", f"{error}")
                check(server_error in BROKEN, f"{text}: so does the server", f"{server_error}")
                check((MESSAGE * 10).startswith(data), f"{text}: nothing false arrives")
                ends = [d.wait_list(port=port, state="closed")[-1]["reason"] for d in (da, db)]
                check(reasons & set(ends), f"{text}: the reason is named", f"{ends}")
        error, (data, server_error), _ = ping_pong(a, b, wire.to_left, FlipBit(1 << 40))
        check_equal((error, server_error, data), (0, 0, MESSAGE * 10), "and then all is well again")


if __name__ == "__main__":
    main(
        "bad data from the network breaks its own connection, visibly, and nothing else",
        hostile_client,
        hostile_server,
        tampered,
    )
