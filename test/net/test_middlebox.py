#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Whatever a path or a socket option does to TCP: connections work, and say what they are."""
import contextlib
import errno
import random
import socket
import struct

from apps import (
    BROKEN,
    Server,
    bound_time,
    echo,
    errno_of,
    exchange,
    family_name,
    read_exactly,
    read_to_end,
)
from harness import LONG, Net, check, check_equal, main, wait_for
from middlebox import (
    ChangeEno,
    ClampMss,
    Coalesce,
    Corrupt,
    Delay,
    Duplicate,
    Lose,
    Nat,
    PathMtu,
    Reorder,
    Resegment,
    option_area,
    rewrite,
)
from packets import KIND_ENO, SYN
from wire import (
    DropEnoSyns,
    Send,
    StripEno,
    checksum,
    is_ack,
    is_syn,
    is_synack,
    wired_pair,
)

FAMILIES = (socket.AF_INET, socket.AF_INET6)
V4 = socket.AF_INET
MESSAGE = b"What the programs say to each other. " * 500
LONG_MESSAGE = MESSAGE * (200 if LONG else 10)

IPPROTO_MPTCP = 262
TCP_MD5SIG = 14
TCP_FASTOPEN, TCP_FASTOPEN_CONNECT = 23, 30
MSG_FASTOPEN = 0x20000000
KIND_SACK_OK, KIND_TIMESTAMPS, KIND_SCALE, KIND_TFO = 4, 8, 3, 34
ECE, CWR = 0x40, 0x80


@contextlib.contextmanager
def hosts(config="", mtu=1500):
    """Two hosts with daemons and a wire between them; (a, b, wire, daemon a, daemon b)."""
    with Net() as net:
        a, b, wire = wired_pair(net, mtu)
        config += "drain-seconds = 0\n"  # what is still open at the end is no matter
        yield a, b, wire, net.daemon(a, config), net.daemon(b, config)


def both(wire, make):
    """Puts a rule of its own into each direction; returns both."""
    rules = make(1), make(2)
    wire.to_right.append(rules[0])
    wire.to_left.append(rules[1])
    return rules


def check_echo(a, b, text, message=MESSAGE, family=V4):
    """A message to an echo server and back; returns the server's port."""
    with Server(b, echo, family) as server:
        got = exchange(a, server, b.addresses[family], message, family)
        check(got == message, f"{text}: the transfer works", f"{len(got)} of {len(message)} bytes")
    check_equal(server.errors, [], f"{text}: at the server, too")
    return server.port


def check_encrypted(daemons, port, wire, text):
    ids = set()
    for daemon in daemons:
        listed = daemon.wait_list(port=port, state="closed")[-1]
        check_equal((listed["encrypted"], listed["reason"]), (True, None), f"{text}: encrypted")
        ids.add(listed["session_id"])
    check_equal(len(ids), 1, f"{text}: one session")
    check(not wire.contains(MESSAGE[:30]), f"{text}: nothing in plain on the wire")


def check_plain(daemon, port, reason, wire, text):
    """reason None: the daemon has never heard of it."""
    found = daemon.wait_list(port=port) if reason else daemon.list(port=port)
    reasons = [c["reason"] for c in found]
    check_equal(reasons[-1:], [reason] if reason else [], f"{text}: listed")
    check(not any(c["encrypted"] for c in found), f"{text}: listed as plain")
    check(wire.contains(MESSAGE[:30]), f"{text}: plain on the wire")


def no_eno_after_syn(wire, port, text):
    """8547-4.6-3: no ENO option is sent any more."""
    (flow,) = wire.flows(port)
    late = [p for p in flow.packets if p.eno() and not p.has(SYN)]
    check_equal(len(late), 0, f"{text}: no ENO in later segments")


# ---- the option is tampered with ----------------------------------------------------------


def afresh(wire, daemon, rule, rules):
    """The next case between the same hosts: another rule, and nothing remembered."""
    rules[:] = [rule]
    wire.frames.clear()
    daemon.tool("flush")


def changed_in_the_syn():
    with hosts() as (a, b, wire, da, db):
        for text, change, here, there in (
            ("stripped", lambda eno: [], "no-eno", None),
            ("duplicated", lambda eno: [eno, eno], "no-eno", None),  # 8547-4.1-6
            ("vacuous", lambda eno: [b"\x45\x02"], "no-eno", "vacuous"),  # 8547-4.6-11
            ("ill-formed", lambda eno: [b"\x45\x04\x23\x80"], "no-eno", "ill-formed"),
            ("of a wrong length", lambda eno: [b"\x45\x05\x9f\x23\x21"], "no-eno", "ill-formed"),
            ("with b = 1", lambda eno: [b"\x45\x05\x01" + eno[2:]], "no-eno", "role-conflict"),
            ("without known TEPs", lambda eno: [b"\x45\x04\x30\x31"], "no-eno", "no-common-tep"),
        ):
            text = f"ENO in the SYN {text}"
            rule = ChangeEno(is_syn, change)
            afresh(wire, da, rule, wire.to_right)
            port = check_echo(a, b, text)
            check_equal(rule.count, 1, f"{text}: once")
            check_plain(da, port, here, wire, text)
            check_plain(db, port, there, wire, text)
            no_eno_after_syn(wire, port, text)


def changed_in_the_synack():
    with hosts() as (a, b, wire, da, db):
        for text, change, here in (
            ("stripped", lambda eno: [], "no-eno"),
            ("duplicated", lambda eno: [eno, eno], "no-eno"),
            ("vacuous", lambda eno: [b"\x45\x03\x01"], "vacuous"),
            ("ill-formed", lambda eno: [b"\x45\x04\x01\x80"], "ill-formed"),
            ("of another TEP", lambda eno: [b"\x45\x04\x01\x24"], "no-common-tep"),
        ):
            text = f"ENO in the SYN-ACK {text}"
            afresh(wire, da, ChangeEno(is_synack, change), wire.to_left)
            port = check_echo(a, b, text)
            check_plain(da, port, here, wire, text)
            check_plain(db, port, "ack-without-eno", wire, text)
            no_eno_after_syn(wire, port, text)


def echoed_back():
    """Hosts and middleboxes that copy unknown options from the SYN into the SYN-ACK."""
    text = "the SYN's own ENO option in the SYN-ACK"
    offers = []

    def remember(eno):
        offers[:] = [eno]
        return []  # the server never sees it

    def echo_option(packet, frame):
        if not is_synack(packet) or not offers:
            return True
        options = [whole for kind, whole in option_area(packet) if kind != KIND_ENO]
        return [Send(rewrite(packet, options=options + offers))]

    with hosts() as (a, b, wire, da, db):
        wire.to_right.append(ChangeEno(is_syn, remember))
        wire.to_left.append(echo_option)
        port = check_echo(a, b, text)
        check_plain(da, port, "role-conflict", wire, text)  # 8547-4.3-1
        check_plain(db, port, None, wire, text)


def reserved_bits():
    """8547-4.2-7 says to ignore them; but the transcript has them (8547-4.8-1)."""
    text = "reserved bits set on the way"
    with hosts() as (a, b, wire, da, db):
        wire.to_left.append(ChangeEno(is_synack, lambda eno: [eno[:2] + b"\x1d" + eno[3:]]))
        with Server(b, echo) as server:
            error = errno_of(lambda: exchange(a, server, b.addresses[V4], MESSAGE))
        check(error in BROKEN, f"{text}: no working connection", f"{error}")
        for daemon in (da, db):
            listed = daemon.wait_list(port=server.port, state="closed")[-1]
            check(listed["reason"] in ("auth-failed", "reset"), f"{text}: listed",
                  f"{listed['reason']}")
        check(not wire.contains(MESSAGE[:30]), f"{text}: nothing in plain")


def stripped_in_the_first_ack():
    """8547-4.6-3 case 1, decision D20; the client cannot know, and must neither go on in plain nor
    be told what comes so (8547-4.6-8)."""
    for text, which in (
        ("stripped from the first ACK", is_ack),
        ("stripped from every segment but SYNs", lambda packet: not packet.has(SYN)),
    ):
        with hosts() as (a, b, wire, da, db):
            wire.to_right.append(StripEno(which))
            wire.to_left.append(StripEno(which))
            with Server(b, echo) as server:
                error = errno_of(lambda: exchange(a, server, b.addresses[V4], MESSAGE))
                check(error in BROKEN, f"{text}: an error, never a wrong answer", f"{error}")
            (listed,) = db.wait_list(port=server.port)
            check_equal(listed["reason"], "ack-without-eno", f"{text}: listed at the server")
            (listed,) = da.wait_list(port=server.port, state="closed")
            check_equal(listed["encrypted"], False, f"{text}: never called encrypted")
            check(not wire.contains(MESSAGE[:30]), f"{text}: nothing in plain")


def stripped_later():
    """8547-4.6-7: once a non-SYN segment of each end has gone through, encryption is on, and ENO of
    no consequence."""
    text = "stripped from all segments with data"
    with hosts() as (a, b, wire, da, db):
        rules = both(wire, lambda _: StripEno(lambda packet: bool(packet.payload)))
        port = check_echo(a, b, text)
        check(rules[0].count, f"{text}: indeed")
        check_encrypted((da, db), port, wire, text)


def syns_dropped():
    """8547-4.6-5: plain after one more SYN timeout, remembered, tried again, remembered longer."""
    for family in FAMILIES:
        text = f"every SYN with ENO dropped, {family_name(family)}"
        with hosts("remember-plain-seconds = 1\n") as (a, b, wire, da, db):
            rule = DropEnoSyns()
            wire.to_right.append(rule)
            port = check_echo(a, b, text, family=family)
            check_plain(da, port, "syn-retries", wire, text)
            check_plain(db, port, None, wire, text)
            (flow,) = wire.flows(port)
            check_equal(flow.syn.eno(), None, f"{text}: the first SYN that came through")
            check_equal(rule.count, 2, f"{text}: two were lost before")
            check_remembered(a, b, rule, text, family)


def check_remembered(a, b, rule, text, family):
    with Server(b, echo, family) as server:

        def once():
            got = exchange(a, server, b.addresses[family], MESSAGE, family)
            return got == MESSAGE

        check(once(), f"{text}: the first of another port")
        lost = rule.count
        check(once(), f"{text}: the next one")
        check_equal(rule.count, lost, f"{text}: remembered")
        wait_for(lambda: once() and rule.count > lost, "ENO to be tried again")
        lost = rule.count
        check(once(), f"{text}: the one after that")
        check_equal(rule.count, lost, f"{text}: remembered again")


def withdrawn():
    """Decision D15: SYN-ACKs are lost until the SYN comes again without ENO."""
    text = "SYN-ACKs with ENO lost"
    with hosts() as (a, b, wire, da, db):
        wire.to_left.append(lambda packet, frame: not (is_synack(packet) and packet.eno()))
        port = check_echo(a, b, text)
        check_plain(da, port, "syn-retries", wire, text)
        check_plain(db, port, "syn-retries", wire, text)
        (flow,) = wire.flows(port)
        options = [p.eno() for p in flow.packets if is_syn(p)]
        check_equal([o is not None for o in options], [True, True, False], f"{text}: the SYNs")
        no_eno_after_syn(wire, port, text)


# ---- the stream in other pieces -----------------------------------------------------------


def resegmented():
    for text, message, make in (
        ("1-byte segments", MESSAGE[:300], lambda seed: Resegment(1)),
        ("odd segments", MESSAGE, lambda seed: Resegment(1, 97, seed)),
        ("segments of 3 bytes and then of 700", MESSAGE, lambda seed: Resegment(3, 700, seed)),
        ("segments joined", LONG_MESSAGE, lambda seed: Coalesce(1400)),
        ("large segments", LONG_MESSAGE, lambda seed: Coalesce(8000)),
    ):
        with hosts(mtu=9000) as (a, b, wire, da, db):
            mss = 500 if "joined" in text else 1400
            rules = both(wire, make)
            both(wire, lambda _: ClampMss(mss))
            port = check_echo(a, b, text, message)
            check(rules[0].count and rules[1].count, f"{text}: indeed")
            check_encrypted((da, db), port, wire, text)


def bad_paths():
    for text, make in (
        ("reordered", lambda seed: Reorder(0.2, seed)),
        ("duplicated", lambda seed: Duplicate(0.3, seed)),
        ("corrupted, which checksums tell", lambda seed: Corrupt(0.02, seed)),
        ("lost", lambda seed: Lose(0.03, seed)),
    ):
        with hosts() as (a, b, wire, da, db):
            rules = both(wire, make)
            port = check_echo(a, b, text, LONG_MESSAGE)
            check(sum(rule.count for rule in rules), f"{text}: indeed")
            check_either(da, db, port, text)


def check_either(da, db, port, text):
    """Encrypted at both ends; or plain at both, when SYNs were lost. Never an error."""
    wait_for(lambda: all(c["state"] == "closed" for d in (da, db) for c in d.list(port=port)),
             "the connection's end in the lists")
    ends = [c for d in (da, db) for c in d.list(port=port)[-1:]]
    check(len({c["encrypted"] for c in ends}) == 1, f"{text}: both ends agree", f"{ends}")
    check_equal([c["reason"] for c in ends if c["encrypted"]],
                [None] * sum(c["encrypted"] for c in ends), f"{text}: no error")


def everything_at_once():
    text = "lost, reordered, duplicated, delayed and in other pieces"
    with hosts("rekey-bytes = 50000\n") as (a, b, wire, da, db):
        both(wire, lambda seed: Delay(0.0005, 0.002, seed))
        both(wire, lambda seed: Resegment(100, 1400, seed))
        both(wire, lambda seed: Duplicate(0.05, seed))
        both(wire, lambda seed: Lose(0.01, seed))
        port = check_echo(a, b, text, LONG_MESSAGE)
        check_either(da, db, port, text)


# ---- the network layer --------------------------------------------------------------------


def nat():
    text = "a NAT"
    with hosts() as (a, b, wire, da, db):
        translator = Nat(b.addresses[V4].rpartition(".")[0] + ".99")
        wire.to_right.append(translator.outward)
        wire.to_left.append(translator.inward)
        lladdr = mac_of(a, a.interfaces[0]).hex(":")
        b.ip("neigh", "add", translator.address, "lladdr", lladdr, "dev", b.interfaces[0])
        port = check_echo(a, b, text)
        check_encrypted((da, db), port, wire, text)
        (here,), (there,) = da.list(port=port), db.list(port=port)
        check_equal(here["local"].rpartition(":")[0], a.addresses[V4], f"{text}: the client's view")
        check_equal(there["peer"].rpartition(":")[0], translator.address, f"{text}: the server's")


def path_mtu():
    for family in FAMILIES:
        text = f"PMTU 1280, {family_name(family)}"
        with hosts() as (a, b, wire, da, db):
            subnet = b.addresses[V4].rpartition(".")[0]
            subnet6 = b.addresses[socket.AF_INET6].rpartition("::")[0]
            rules = both(wire, lambda _: PathMtu(1280, f"{subnet}.254", f"{subnet6}::254"))
            port = check_echo(a, b, text, LONG_MESSAGE, family)
            check(rules[0].count, f"{text}: indeed")
            check_encrypted((da, db), port, wire, text)


# ---- TCP's own options --------------------------------------------------------------------


def options_off():
    """Other options leave ENO more room or less; the exchange is the same."""
    every = {"timestamps": KIND_TIMESTAMPS, "sack": KIND_SACK_OK, "window_scaling": KIND_SCALE}
    with hosts() as (a, b, wire, da, db):
        for family in FAMILIES:
            for off in ({"timestamps"}, {"sack"}, {"window_scaling"}, set(every)):
                text = f"without {', '.join(sorted(off))}, {family_name(family)}"
                for host in (a, b):
                    for name in every:
                        host.sysctl(f"ipv4/tcp_{name}", int(name not in off))
                port = check_echo(a, b, text, LONG_MESSAGE, family)
                check_encrypted((da, db), port, wire, text)
                (flow,) = wire.flows(port)
                kinds = {kind for kind, _, _ in flow.syn.options + flow.synack.options}
                seen = {name for name, kind in every.items() if kind in kinds}
                check_equal(seen, set(every) - off, f"{text}: the SYNs' options")
                check(KIND_ENO in kinds, f"{text}: with ENO")


def ecn():
    text = "ECN"
    with hosts() as (a, b, wire, da, db):
        for host in (a, b):
            host.sysctl("ipv4/tcp_ecn", 1)
        port = check_echo(a, b, text, LONG_MESSAGE)
        check_encrypted((da, db), port, wire, text)
        (flow,) = wire.flows(port)
        check(flow.syn.flags & (ECE | CWR) == ECE | CWR, f"{text}: asked for")
        check(flow.synack.flags & (ECE | CWR) == ECE, f"{text}: agreed on")
        marked = [p for p in flow.packets if p.payload and p.frame[15] & 3 == 2]
        check(marked, f"{text}: segments are ECT(0)")


def md5_key(sock, address, key=b"a common secret"):
    """setsockopt(TCP_MD5SIG) for segments from and to an IPv4 address."""
    storage = struct.pack("!2xH4s120x", 0, socket.inet_aton(address))
    storage = struct.pack("=H", V4) + storage[2:]
    value = storage + struct.pack("=BBHI", 0, 0, len(key), 0) + key.ljust(80, b"\0")
    sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, value)


def md5():
    """Only the kernel can sign: both ends go directly, and nobody comes in unsigned."""
    text = "MD5 signatures"
    with hosts() as (a, b, wire, da, db):
        with Server(b, echo) as server:
            md5_key(server.socket, a.addresses[V4])
            with bound_time(a.socket()) as sock:
                md5_key(sock, b.addresses[V4])
                sock.connect((b.addresses[V4], server.port))
                sock.sendall(MESSAGE)
                check_equal(read_exactly(sock, len(MESSAGE)), MESSAGE, f"{text}: works")
                check_equal(sock.getpeername(), (b.addresses[V4], server.port), f"{text}: the peer")
            check_plain(da, server.port, None, wire, text)
            check_plain(db, server.port, None, wire, text)
            (flow,) = wire.flows(server.port)
            kinds = {kind for kind, _, _ in flow.syn.options}
            check(19 in kinds and KIND_ENO not in kinds, f"{text}: in the SYN", f"{kinds}")
            unsigned(a, b, server, text)


def unsigned(a, b, server, text):
    """A client without the key, whose SYN has ENO: refused as without the daemon."""
    with a.socket() as sock:
        sock.settimeout(2)
        got = errno_of(lambda: sock.connect((b.addresses[V4], server.port)))
        refused = got in (errno.ETIMEDOUT, errno.EHOSTUNREACH, None)
        check(refused, f"{text}: a client without the key is not let in", f"{got}")


def fast_open():
    """8547-4.7-4: no ENO with a non-empty TFO option; and the sockets work as ever."""
    with hosts() as (a, b, wire, da, db):
        for host in (a, b):
            host.sysctl("ipv4/tcp_fastopen", 3)
        with Server(b, echo) as server:
            server.socket.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
            for number in range(3):
                text = f"TCP_FASTOPEN_CONNECT, connection {number + 1}"
                with bound_time(a.socket()) as sock:
                    sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
                    sock.connect((b.addresses[V4], server.port))
                    check_talk(sock, text)
                text = f"MSG_FASTOPEN, connection {number + 1}"
                with bound_time(a.socket()) as sock:
                    where = (b.addresses[V4], server.port)
                    sent = sock.sendto(MESSAGE[:1000], MSG_FASTOPEN, where)
                    sock.sendall(MESSAGE[sent:])
                    check_talk(sock, text, send=False)
        for packet in wire.packets(server.port):
            kinds = {kind: whole for kind, _, whole in packet.options}
            if packet.has(SYN) and packet.eno():
                check(len(kinds.get(KIND_TFO, b"")) <= 2, "TFO: no cookie together with ENO")
                check_equal(packet.payload, b"", "TFO: no data together with ENO")


def check_talk(sock, text, send=True):
    if send:
        sock.sendall(MESSAGE)
    sock.shutdown(socket.SHUT_WR)
    check(read_to_end(sock) == MESSAGE, f"{text}: works")


def mptcp():
    """As without the daemon; a TCP client is encrypted even if the server's socket is MPTCP."""
    with hosts() as (a, b, wire, da, db):
        seen = []

        def tell(conn, peer):
            seen.append((peer, conn.getpeername(), conn.getsockname()))
            return echo(conn, peer)

        for client, listener in ((True, True), (True, False), (False, True)):
            text = f"{'MPTCP' if client else 'TCP'} to {'MPTCP' if listener else 'TCP'}"
            seen.clear()
            with mptcp_server(b, tell, listener) as server:
                sock = bound_time(a.socket(V4, socket.SOCK_STREAM, IPPROTO_MPTCP if client else 0))
                with sock:
                    where = (b.addresses[V4], server.port)
                    sock.connect(where)
                    check_equal(sock.getpeername(), where, f"{text}: the client's peer")
                    here = sock.getsockname()
                    check_equal(here[0], a.addresses[V4], f"{text}: the client's address")
                    check_talk(sock, text)
            check_equal(seen, [(here, here, where)], f"{text}: what the server sees")
            if client:
                check_equal(da.list(port=server.port), [], f"{text}: goes directly")


@contextlib.contextmanager
def mptcp_server(host, handler, is_mptcp):
    """An apps.Server, with an MPTCP listener if wanted."""
    plain = host.socket

    def socket_of(family, kind=socket.SOCK_STREAM, proto=0):
        return plain(family, kind, IPPROTO_MPTCP if is_mptcp else proto)

    host.socket = socket_of
    try:
        server = Server(host, handler)
    finally:
        host.socket = plain
    with server:
        yield server


# ---- a flood ------------------------------------------------------------------------------


def flood_frames(gateway_mac, own_mac, destination, port, option, count):
    """SYNs from addresses that nobody has (RFC 2544's range), each from another one."""
    source = random.Random(port)
    frames = []
    for number in range(count):
        address = socket.inet_aton(f"198.18.{number >> 8}.{number & 255}")
        target = socket.inet_aton(destination)
        options = b"\x02\x04\x05\xb4" + option
        tcp = struct.pack("!HHIIBBHHH", source.randrange(1024, 65536), port,
                          source.getrandbits(32), 0, (20 + len(options)) // 4 << 4, SYN, 64240,
                          0, 0) + options
        pseudo = address + target + struct.pack("!HH", socket.IPPROTO_TCP, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), number, 0, 64, 6, 0)
        ip += address + target
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        frames.append(gateway_mac + own_mac + b"\x08\x00" + ip + tcp)
    return frames


def syn_flood():
    """Real clients, plain and encrypted, get through a flood of SYNs, with ENO or without."""
    for text, option in (("without ENO", b""), ("with ENO", b"\x45\x04\x21\x23")):
        text = f"a flood of SYNs {text}"
        with Net() as net:
            victim, client, plain, attacker = (net.host() for _ in range(4))
            for other in (client, plain, attacker):
                net.link(victim, other)
            victim.sysctl("ipv4/tcp_max_syn_backlog", 64)
            victim.sysctl("core/somaxconn", 64)
            victim.ip("route", "add", "198.18.0.0/15", "via", attacker.addresses[V4])
            daemon, _ = net.daemon(victim), net.daemon(client)
            name = attacker.interfaces[-1]
            with Server(victim, echo) as server:
                raw = attacker.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                raw.bind((name, 0))
                own, there = raw.getsockname()[4], mac_of(victim, name)
                frames = flood_frames(there, own, "10.3.0.1", server.port, option, 1000)
                check_flood(raw, frames, server, client, plain, daemon, text)
                raw.close()


def mac_of(host, interface):
    with host.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((interface, 0))
        return raw.getsockname()[4]


def check_flood(raw, frames, server, client, plain, daemon, text):
    for burst in range(10):
        for frame in frames[burst * 100 : burst * 100 + 100]:
            raw.send(frame)
        for name, host, address in (("a client with tcpcrypt", client, "10.1.0.1"),
                                    ("a client without", plain, "10.2.0.1")):
            got = exchange(host, server, address, MESSAGE)
            check(got == MESSAGE, f"{text}: {name} gets through ({burst + 1})")
    listed = daemon.list(port=server.port)
    if "without" in text:
        check(listed and all(c["encrypted"] for c in listed), f"{text}: and is encrypted")
    else:
        check(all(c["reason"] in (None, "syn-cookie") for c in listed),
              f"{text}: encrypted, or by SYN cookie", f"{[c['reason'] for c in listed]}")
    check_equal(daemon.status()["failed"], {}, f"{text}: nothing failed")


if __name__ == "__main__":
    main(
        "middleboxes, bad paths and odd sockets: connections work and say what they are",
        changed_in_the_syn,
        changed_in_the_synack,
        echoed_back,
        reserved_bits,
        stripped_in_the_first_ack,
        stripped_later,
        syns_dropped,
        withdrawn,
        resegmented,
        bad_paths,
        everything_at_once,
        nat,
        path_mtu,
        options_off,
        ecn,
        md5,
        fast_open,
        mptcp,
        syn_flood,
    )
