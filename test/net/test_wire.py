#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What crosses the wire between two hosts that both run tcpcryptd, byte for byte."""
import json
import random
import socket

from apps import Server, connect, echo, family_name, read_exactly, read_to_end
from harness import TCPCRYPT, Net, check, check_equal, main, wait_for
from packets import (
    FIN,
    INIT1_MAGIC,
    INIT2_MAGIC,
    PSH,
    RST,
    SYN,
    flows,
    frames,
    init_length,
)
from wire import wired_pair

FAMILIES = (socket.AF_INET, socket.AF_INET6)
OFFER = bytes.fromhex("45042123")  # P-256, and last, because most wanted, X25519
ANSWER = bytes.fromhex("45040123")  # the passive role and X25519
ACK_OPTION = bytes.fromhex("4502")
KIND_EXPERIMENT = 253
MARKER = b"This sentence must not be seen by anyone on the wire. "
SESSION_ID_LENGTH = 33  # the TEP byte, and a SHA-256


def talk(a, b, family, wire, messages):
    """Runs messages through an echo server; returns (its port, the flow on the wire)."""
    with Server(b, echo, family) as server:
        with connect(a, b.addresses[family], server.port, family) as sock:
            for message in messages:
                sock.sendall(message)
                read_exactly(sock, len(message))
            sock.shutdown(socket.SHUT_WR)
            read_to_end(sock)
        server.wait_results()
        wait_for(lambda: any(f.closed() for f in wire.flows(server.port)), "the connection's end")
    (flow,) = wire.flows(server.port)
    return server.port, flow


def messages():
    source = random.Random(8548)
    return [MARKER * source.randrange(1, 200) for _ in range(20)]


def handshake():
    for family in FAMILIES:
        with Net() as net:
            a, b, wire = wired_pair(net)
            da, db = net.daemon(a), net.daemon(b)
            port, flow = talk(a, b, family, wire, messages())
            text = family_name(family)
            check_options(flow, text)
            check_init(flow, text)
            check_frames(flow, text)
            check(not wire.contains(MARKER), f"{text}: no plaintext in any frame")
            check_session(da, db, port, text)


def check_options(flow, text):
    check_equal(flow.syn.eno(), OFFER, f"{text}: ENO in the SYN")
    check_equal(flow.synack.eno(), ANSWER, f"{text}: ENO in the SYN-ACK")  # 8547-4.6-14
    check_equal(flow.ack.eno(), ACK_OPTION, f"{text}: ENO in the first ACK")  # 8547-4.6-2
    check_equal(flow.syn.payload + flow.synack.payload, b"", f"{text}: no data in SYNs")
    kinds = {kind for p in flow.packets for kind, _, _ in p.options}
    check(KIND_EXPERIMENT not in kinds, f"{text}: no experimental option")  # 8547-11-3
    early = True
    for packet in flow.sent_by(flow.client)[1:]:
        heard = any(
            p.src == flow.server and not p.has(SYN)
            for p in flow.packets[: flow.packets.index(packet)]
        )
        early = early and (heard or packet.eno() == ACK_OPTION)
    # 8547-4.6-1
    check(early, f"{text}: ENO in all segments until the server's first that is no SYN")
    late = [p for p in flow.packets if p.eno() not in (None, OFFER, ANSWER, ACK_OPTION)]
    check_equal(len(late), 0, f"{text}: no other ENO option")
    last = [flow.sent_by(end)[-1].eno() for end in (flow.client, flow.server)]
    check_equal(last, [None, None], f"{text}: and none any more in the last segments")


def check_init(flow, text):
    for end, magic, name in (
        (flow.client, INIT1_MAGIC, "Init1"),
        (flow.server, INIT2_MAGIC, "Init2"),
    ):
        stream = flow.stream(end)
        check_equal(stream[:4].hex(), magic.hex(), f"{text}: {name} comes first")
        last = init_length(stream) - 1
        pushed = [
            p.has(PSH)
            for p in flow.sent_by(end)
            if p.payload and 0 <= last - flow.position(p) < len(p.payload)
        ]
        # 8548-3.3-2
        check(pushed and all(pushed), f"{text}: PSH on the last byte of {name}")


def check_frames(flow, text):
    """After Init there are whole frames and nothing else, up to the FIN."""
    for end, name in ((flow.client, "client"), (flow.server, "server")):
        stream = flow.stream(end)
        found, stop = frames(stream, init_length(stream))
        check(found, f"{text}: frames from the {name}")
        check(all(clen >= 17 for _, _, clen in found), f"{text}: each with a tag and flags")
        check_equal(stop, len(stream), f"{text}: the {name}'s frames fill its stream")
        fin = flow.first(end, FIN)
        check(fin is not None, f"{text}: the {name} ends with FIN")
        if fin:
            place = flow.position(fin) + len(fin.payload)
            check_equal(place, len(stream), f"{text}: and only after its last frame")
    resets = [p for p in flow.packets if p.has(RST)]
    check_equal(len(resets), 0, f"{text}: no RST in an orderly end")


def check_session(da, db, port, text):
    (client,) = da.wait_list(port=port, state="closed")
    (server,) = db.wait_list(port=port, state="closed")
    check(client["encrypted"] and server["encrypted"], f"{text}: listed as encrypted")
    check_equal(client["session_id"], server["session_id"], f"{text}: equal session IDs")
    raw = bytes.fromhex(client["session_id"])
    check_equal((len(raw), raw[0]), (SESSION_ID_LENGTH, 0x23), f"{text}: of X25519's form")
    check_equal((client["direction"], server["direction"]), ("out", "in"), f"{text}: directions")
    check_equal((client["role"], server["role"]), ("A", "B"), f"{text}: roles")
    check_equal((client["tep"], server["tep"]), ("x25519", "x25519"), f"{text}: TEP")
    check_equal(client["aead"], server["aead"], f"{text}: AEAD")
    check_equal((client["local"], client["peer"]), (server["peer"], server["local"]),
                f"{text}: the same addresses seen from both ends")
    check_equal((client["bytes_out"], client["bytes_in"]),
                (server["bytes_in"], server["bytes_out"]), f"{text}: equal byte counts")
    expected = sum(map(len, messages()))
    check_equal(client["bytes_out"], expected, f"{text}: which count the program's bytes")


def session_ids():
    count = 20
    with Net() as net:
        a, b, wire = wired_pair(net)
        da, db = net.daemon(a), net.daemon(b)
        with Server(b, echo) as server:
            for _ in range(count):
                with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                    sock.sendall(b"same words")
                    read_exactly(sock, 10)
            server.wait_results(count)
        here = {c["local"]: c["session_id"] for c in da.wait_list(count, port=server.port)}
        there = {c["peer"]: c["session_id"] for c in db.wait_list(count, port=server.port)}
        check_equal(here, there, "session IDs are equal at both ends of each connection")
        check_equal(len(set(here.values())), count, "and differ between connections")
        inits = {f.stream(f.client)[:200] for f in flows(wire.packets(server.port))}
        check_equal(len(inits), count, "as do their Init messages")


def watched():
    """`tcpcrypt watch` tells of a connection's beginning and end as they happen."""
    with Net() as net:
        a, b = net.pair()
        da, _ = net.daemon(a), net.daemon(b)
        out = net.directory() / "watch"
        with open(out, "w") as file:
            a.start([TCPCRYPT, "--run-dir", da.run_dir, "watch", "--json"], stdout=file)

        def events(port=None):
            told = [json.loads(line) for line in out.read_text().splitlines(True) if "\n" in line]
            return [e["event"] for e in told if port is None or e.get("peer", "").endswith(port)]

        wait_for(lambda: "watching" in events(), "`tcpcrypt watch` to begin")
        with Server(b, echo) as server:
            peer = f":{server.port}"
            with connect(a, b.addresses[socket.AF_INET], server.port):
                wait_for(lambda: events(peer), "an event of the connection")
                check_equal(events(peer), ["established"], "watch: established")
            server.wait_results()
        wait_for(lambda: len(events(peer)) > 1, "an event of the connection's end")
        check_equal(events(peer), ["established", "closed"], "watch: closed")


if __name__ == "__main__":
    main(
        "option, Init messages and frames on the wire are those of RFC 8547 and RFC 8548",
        handshake,
        session_ids,
        watched,
    )
