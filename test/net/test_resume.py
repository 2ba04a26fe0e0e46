#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sessions are resumed (RFC 8548 section 3.5): without a key exchange, by either host, and each
secret once, whatever is lost, repeated, forged or forgotten."""
import errno
import socket
import threading

from apps import Server, bound_time, connect, echo, errno_of, exchange, family_name, read_exactly
from harness import Net, check, check_equal, main, wait_for
from load import map_number, map_values
from middlebox import Delay, Duplicate, Lose, Reorder
from packets import INIT1_MAGIC, INIT2_MAGIC, Capture, frames
from peers import neighbour
from wire import is_ack, is_syn, is_synack, wired_pair

from tcp import ACK, SCALE, SYN
from tcpcrypt import (
    ACK_OPTION,
    Offer,
    Secret,
    Session,
    accept_resumed,
    accept_session,
    check_answer,
    eno,
    open_session,
    reopen_session,
)

TOS = 0x48
AT_ONCE = "drain-seconds = 0\n"
MESSAGE = b"The same words once more, under other keys. " * 20
IPV4, IPV6 = socket.AF_INET, socket.AF_INET6
TEPS, TEP_MANDATORY, NEGTEP = 1029, 1033, 1028
CACHE_FLUSH, ACONF, BCONF, RESUMED, NONCE_LEN = 1041, 1042, 1043, 1044, 1046
AES_256 = b"\x00\x02"


def daemons(net, config="", hosts=None):
    hosts = hosts or net.pair()
    return [*hosts, *(net.daemon(host, AT_ONCE + config) for host in hosts)]


def talk(host, server, address, family=IPV4):
    """One exchange of messages on a connection of its own."""
    return exchange(host, server, address, MESSAGE, family) == MESSAGE


def closed(daemon, port, count):
    """The connections at a port, in the order of their beginning, when so many have ended."""
    found = daemon.wait_list(count=count, port=port, state="closed")
    return sorted(found, key=lambda c: c["started"])


def how(connection):
    """Was it resumed, and if not, why?"""
    if not connection["encrypted"]:
        return connection["reason"]
    return True if connection["resumed"] else connection["not_resumed"]


def check_how(daemon, port, expected, text):
    listed = closed(daemon, port, len(expected))
    check_equal([how(c) for c in listed], expected, text)
    check_equal({c["reason"] for c in listed}, {None}, f"{text}: nothing failed")


def check_once(*all_ends):
    """8548-3.5-21: no two connections have a session ID in common."""
    for listed in all_ends:
        ids = [c["session_id"] for c in listed if c["encrypted"]]
        check_equal(len(set(ids)), len(ids), "each secret once: no session ID twice")


# ---- what resumption is ------------------------------------------------------------------


def second():
    for family in (IPV4, IPV6):
        text = family_name(family)
        with Net() as net:
            a, b, da, db = daemons(net)
            with Capture(b, "eth1") as capture, Server(b, echo, family) as server:
                for _ in range(3):
                    check(talk(a, server, b.addresses[family], family), f"{text}: an exchange")
                check_how(da, server.port, ["no-session", True, True], f"{text}, client's end")
                check_how(db, server.port, ["no-session", True, True], f"{text}, server's end")
                ends = closed(da, server.port, 3), closed(db, server.port, 3)
                check_once(*ends)
                check_equal(*[[c["session_id"] for c in end] for end in ends],
                            f"{text}: both ends have the same session IDs")
                check_capture(capture.flows(server.port), text)
            for daemon in (da, db):
                status = daemon.status()
                check_equal((status["encrypted"], status["resumed"], status["fresh"]),
                            (3, 2, {"no-session": 1}), f"{text}: the totals")
                check_equal(status["resumable"], 1, f"{text}: one session is kept")


def check_capture(flows, text):
    """8548-3.2-4: no Init message, and data right behind the handshake."""
    check_equal(len(flows), 3, f"{text}: three connections on the wire")
    fresh, *resumed = flows
    check(fresh.stream(fresh.client).startswith(INIT1_MAGIC), f"{text}: the first begins with Init1")
    check_equal(fresh.syn.eno(), bytes.fromhex("45042123"), f"{text}: and offers fresh exchange")
    nonces = set()
    for flow in resumed:
        # 8548-3.5-15, 8548-3.5-3: all of 20 bytes; the SYN-ACK has room for one byte less.
        check_equal((flow.syn.eno()[:3].hex(), len(flow.syn.eno())), ("4514a3", 20),
                    f"{text}: the SYN's option")
        check_equal((flow.synack.eno()[:4].hex(), len(flow.synack.eno())), ("451401a3", 20),
                    f"{text}: the SYN-ACK's option")
        nonces |= {flow.syn.eno()[-8:], flow.synack.eno()[-7:]}
        for end in (flow.client, flow.server):
            stream = flow.stream(end)
            check(not stream.startswith((INIT1_MAGIC, INIT2_MAGIC)), f"{text}: no Init message")
            check_equal(frames(stream, 0)[1], len(stream), f"{text}: frames from the first byte on")
        at = [bool(p.payload) for p in flow.packets].index(True)
        check(flow.packets[at].src == flow.client and at <= 3,
              f"{text}: the client's data follows its ACK", f"packet {at}")
    check_equal(len(nonces), 4, f"{text}: four nonces")  # 8548-3.5-2


def check_nonce(values, half, nonce, text):
    """8548-3.5-2: what was made ahead, and is the same in clones of a machine, is not all of it."""
    (value,) = [v for v in values if half in v]
    check(nonce not in value, f"{text}: the nonce is not the one made ahead", f"{nonce.hex()} {value.hex()}")


def stirred():
    with Net() as net:
        a, b, da, db = daemons(net)
        with Capture(b, "eth1") as capture, Server(b, echo) as server:
            talk(a, server, b.addresses[IPV4])
            closed(db, server.port, 1)
            values = map_values(map_number(db.process.pid, "resumptions"))
            talk(a, server, b.addresses[IPV4])
            check_how(db, server.port, ["no-session", True], "another connection")
            answer = capture.flows(server.port)[1].synack.eno()
            check_nonce(values, answer[4:13], answer[13:], "passive")


def parallel():
    """8548-3.5-20, 8548-3.5-21: a hundred at a time."""
    with Net() as net:
        a, b, da, db = daemons(net)
        address = b.addresses[IPV4]
        with Server(b, echo) as server:
            # Its window grows with use.
            for _ in range(9):
                talk(a, server, address)
            closed(db, server.port, 9)
            wrong = many(lambda: talk(a, server, address), 100)
            check_equal(wrong, [], "100 at a time: all messages come back")
            ends = closed(da, server.port, 109), closed(db, server.port, 109)
        for text, end in zip(("client's end", "server's end"), ends):
            check(all(c["encrypted"] and not c["reason"] for c in end), f"{text}: all encrypted")
            count = sum(c["resumed"] for c in end[9:])
            check(count > 50, f"{text}: most of them resumed", f"{count}")
        check_once(*ends)


def many(action, count):
    """Does something so many times at once; returns what went wrong."""
    wrong = []

    def act():
        try:
            if not action():
                wrong.append("other bytes")
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=act) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def other_way():
    """8548-3.5-24, 8548-3.5-25: the host that was the server resumes, and both at once."""
    with Net() as net:
        a, b, da, db = daemons(net)
        with Server(a, echo) as at_a, Server(b, echo) as at_b:
            talk(a, at_b, b.addresses[IPV4])
            closed(da, at_b.port, 1)
            talk(b, at_a, a.addresses[IPV4])
            talk(b, at_a, a.addresses[IPV4])
            talk(a, at_b, b.addresses[IPV4])
            check_how(da, at_a.port, [True, True], "host B resumes towards host A")
            check_how(db, at_b.port, ["no-session", True], "and host A again")
            (listed, _) = db.list(port=at_a.port)
            check_equal((listed["direction"], listed["role"]), ("out", "A"),
                        "its role is that of this connection")
            # 8548-3.5-21, 8548-3.5-22: proposals that cross.
            ways = [lambda: talk(a, at_b, b.addresses[IPV4]), lambda: talk(b, at_a, a.addresses[IPV4])]
            for _ in range(30):
                turn = iter(ways * 2)
                wrong = many(lambda: next(turn)(), 4)
                check_equal(wrong, [], "both at once: all messages come back")
            ends = closed(da, at_a.port, 62), closed(db, at_b.port, 62)
            check_once(ends[0] + ends[1])
            check({how(c) for end in ends for c in end} <= {True, "unknown-session", "no-session", "busy"},
                  "resumed, or fresh where proposals crossed")


def another_address():
    """The identifier decides, not the address."""
    with Net() as net:
        a, b, da, db = daemons(net)
        a.ip("addr", "add", "10.1.0.7/24", "dev", "eth1")
        with Server(b, echo) as server, Server(a, echo) as back:
            talk(a, server, b.addresses[IPV4])
            with a.socket() as sock:
                bound_time(sock)
                sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                sock.bind(("10.1.0.7", 0))
                sock.connect((b.addresses[IPV4], server.port))
                sock.sendall(MESSAGE)
                check_equal(read_exactly(sock, len(MESSAGE)), MESSAGE, "from another address")
            listed = closed(db, server.port, 2)[-1]
            check_equal((how(listed), listed["peer"].split(":")[0]), (True, "10.1.0.7"),
                        "another address: resumed")
            talk(b, back, "10.1.0.7")
            check_how(db, back.port, [True], "and the host is found where it was seen last")


# ---- what goes wrong ---------------------------------------------------------------------


def restart():
    """A host that has forgotten everything: a fresh exchange, and no error."""
    with Net() as net:
        a, b, da, db = daemons(net)
        with Server(b, echo) as server:
            talk(a, server, b.addresses[IPV4])
            closed(da, server.port, 1)
            db.stop()
            db = net.daemon(b, AT_ONCE)
            for _ in range(2):
                check(talk(a, server, b.addresses[IPV4]), "after a restart: an exchange")
            # 8548-3.5-8
            check_how(da, server.port, ["no-session", "unknown-session", True], "the server's restart")
            check_how(db, server.port, ["unknown-session", True], "as it sees it")
            da.kill()
            da = net.daemon(a, AT_ONCE)
            for _ in range(2):
                check(talk(a, server, b.addresses[IPV4]), "after a crash: an exchange")
            check_how(da, server.port, ["no-session", True], "the client's crash")


def nobody_there():
    """8548-3.5-20: what was offered to a closed port is used up, and not kept."""
    with Net() as net:
        a, b, da, db = daemons(net)
        with Server(b, echo) as server, Capture(b, "eth1") as capture:
            talk(a, server, b.addresses[IPV4])
            closed(da, server.port, 1)
            for _ in range(8):
                error = errno_of(lambda: connect(a, b.addresses[IPV4], 1))
                check_equal(error, errno.ECONNREFUSED, "a closed port")
            offers = [f.syn.eno() for f in capture.flows(1)]
            check_equal(len({o[3:12] for o in offers if len(o) == 20}), 8, "eight secrets offered")
            check_equal(da.status()["resumable"], 0, "then nothing is left of the session")
            talk(a, server, b.addresses[IPV4])
            check_how(da, server.port, ["no-session", "no-session"], "and the next one exchanges keys")


def lossy():
    with Net() as net:
        a, b, wire = wired_pair(net)
        # Who loses the option three times in a row is plain, but only that once.
        da, db = (net.daemon(host, AT_ONCE + "remember-plain-seconds = 0\n") for host in (a, b))
        for way, seed in ((wire.to_right, 1), (wire.to_left, 100)):
            way += [Lose(0.05, seed=seed), Duplicate(0.05, seed=seed + 1),
                    Reorder(0.05, seed=seed + 2), Delay(0.001, 0.002, seed=seed + 3)]
        with Server(b, echo) as server:
            for _ in range(8):
                wrong = many(lambda: talk(a, server, b.addresses[IPV4]), 5)
                check_equal(wrong, [], "a lossy path: all messages come back")
            ends = closed(da, server.port, 40)
            encrypted = [c for c in ends if c["encrypted"]]
            check({how(c) for c in ends} <= {True, "unknown-session", "no-session", "busy", "syn-retries"},
                  "a lossy path: nothing fails", f"{[how(c) for c in ends]}")
            for end in (encrypted, closed(db, server.port, len(encrypted))):
                check(sum(c["resumed"] for c in end) >= 20, "a lossy path: half are resumed",
                      f"{[how(c) for c in end]}")
                check_once(end)


class LoseFirst:
    """Loses the first packet of a kind and keeps all of them."""

    def __init__(self, which):
        self.which = which
        self.seen = []

    def __call__(self, packet, frame):
        if not self.which(packet):
            return True
        self.seen.append(packet)
        return len(self.seen) > 1


def repeated():
    """8547-4.6-4: what is lost comes again, and is the same."""
    for text, which, back in (("SYN", is_syn, False), ("SYN-ACK", is_synack, True),
                              ("ACK", is_ack, False)):
        with Net() as net:
            a, b, wire = wired_pair(net)
            da, db = (net.daemon(host, AT_ONCE) for host in (a, b))
            with Server(b, echo) as server:
                talk(a, server, b.addresses[IPV4])
                closed(db, server.port, 1)
                rule = LoseFirst(which)
                (wire.to_left if back else wire.to_right).append(rule)
                check(talk(a, server, b.addresses[IPV4]), f"{text} lost: an exchange")
                check_how(da, server.port, ["no-session", True], f"{text} lost: client's end")
                check_how(db, server.port, ["no-session", True], f"{text} lost: server's end")
            again = [p.eno() for p in rule.seen[:2]]
            check_equal(again[0], again[1], f"{text} lost: it comes again with the same option")


def forgotten_in_between():
    """A flush while a handshake is under way does not break it."""
    with Net() as net:
        a, b, wire = wired_pair(net)
        da, db = (net.daemon(host, AT_ONCE) for host in (a, b))
        with Server(b, echo) as server:
            talk(a, server, b.addresses[IPV4])
            closed(db, server.port, 1)
            rule = LoseFirst(is_synack)
            wire.to_left.append(rule)
            threads = threading.Thread(target=lambda: talk(a, server, b.addresses[IPV4]))
            threads.start()
            wait_for(lambda: rule.seen, "a SYN-ACK")
            for daemon in (da, db):
                daemon.tool("flush")
            threads.join()
            check_how(da, server.port, ["no-session", True], "flushed meanwhile: client's end")
            check_how(db, server.port, ["no-session", True], "flushed meanwhile: server's end")


def expiry():
    with Net() as net:
        a, b, da, db = daemons(net, "resume-seconds = 2\n")
        with Server(b, echo) as server:
            talk(a, server, b.addresses[IPV4])
            talk(a, server, b.addresses[IPV4])
            # 8548-3.5-18
            for daemon in (da, db):
                wait_for(lambda: not daemon.status()["resumable"], "the session's end")
            talk(a, server, b.addresses[IPV4])
            check_how(da, server.port, ["no-session", True, "no-session"], "too old: fresh again")


def switched_off():
    with Net() as net:
        a, b = net.pair()
        da, db = net.daemon(a, AT_ONCE + "resume-max = 0\n"), net.daemon(b, AT_ONCE)
        with Server(b, echo) as server:
            talk(a, server, b.addresses[IPV4])
            talk(a, server, b.addresses[IPV4])
            check_how(da, server.port, ["off", "off"], "switched off at the client's end")
            check_how(db, server.port, ["no-session", "no-session"], "nothing is proposed")
            check_equal(da.status()["resumable"], 0, "and nothing kept")


def flush():
    with Net() as net:
        a, b, da, db = daemons(net)
        with Server(b, echo) as server:
            talk(a, server, b.addresses[IPV4])
            closed(db, server.port, 1)
            da.tool("flush")
            check_equal(da.status()["resumable"], 0, "flush forgets sessions")
            talk(a, server, b.addresses[IPV4])
            db.tool("flush")
            talk(a, server, b.addresses[IPV4])
            check_how(da, server.port, ["no-session", "no-session", "unknown-session"], "flushed: fresh")


def reconfigured():
    """8548-3.5-13, decision D8: a cipher that is not allowed any more does not come back."""
    with Net() as net:
        a, b, da, db = daemons(net, "aeads = aes-128-gcm aes-256-gcm\n")
        with Server(b, echo) as server:
            talk(a, server, b.addresses[IPV4])
            closed(db, server.port, 1)
            (db.dir / "tcpcryptd.conf").write_text(AT_ONCE + "aeads = aes-256-gcm\n")
            db.process.send_signal(1)
            wait_for(lambda: not db.status()["resumable"], "the new configuration")
            talk(a, server, b.addresses[IPV4])
            listed = closed(db, server.port, 2)[-1]
            check_equal((how(listed), listed["aead"]), ("unknown-session", "aes-256-gcm"), "another AEAD")


def other_tep():
    """An offer to resume has one TEP. Whose peer has put it out of use is plain that once, but not
    where plain is not allowed: there the connection is made with another one."""
    for text, rule, wished in (("rule", "rule = require out\n", []),
                               ("TEP_MANDATORY", "", [(TEP_MANDATORY, 1)])):
        with Net() as net:
            a, b = net.pair()
            da, db = net.daemon(a, AT_ONCE + rule), net.daemon(b, AT_ONCE)
            with Server(b, echo) as server:
                talk(a, server, b.addresses[IPV4])
                closed(db, server.port, 1)
                (db.dir / "tcpcryptd.conf").write_text(AT_ONCE + "teps = p256\n")
                db.process.send_signal(1)
                wait_for(lambda: not db.status()["resumable"], "the new configuration")
                for _ in range(2):
                    wishing(a, b.addresses[IPV4], server.port, *wished).close()
                check_how(da, server.port, ["no-session", "unknown-session", True], f"{text}: client")
                (again,) = da.list(port=server.port, not_resumed="unknown-session")
                check_equal(again["tep"], "p256", f"{text}: the other TEP")


def class_of_service(packet):
    return packet.frame[packet.ip_offset + 1]


def option_of_the_second():
    """What a program sets while the first offer is on its way holds for the connection that comes of
    another one, too."""
    with Net() as net:
        a, b = net.pair()
        net.daemon(a, AT_ONCE + "rule = require out\n")
        db = net.daemon(b, AT_ONCE)
        away = f"{a.addresses[IPV4]}/32"
        with Capture(b, "eth1") as capture, Server(b, echo) as server:
            talk(a, server, b.addresses[IPV4])
            closed(db, server.port, 1)
            (db.dir / "tcpcryptd.conf").write_text(AT_ONCE + "teps = p256\n")
            db.process.send_signal(1)
            wait_for(lambda: not db.status()["resumable"], "the new configuration")
            b.ip("route", "add", "blackhole", away)
            with bound_time(a.socket()) as sock:
                sock.setblocking(False)
                sock.connect_ex((b.addresses[IPV4], server.port))
                wait_for(lambda: any(s.remote == server.port for s in a.tcp_sockets()), "an offer")
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TOS)
                b.ip("route", "del", "blackhole", away)
                bound_time(sock).setblocking(True)
                sock.sendall(MESSAGE)
                check_equal(read_exactly(sock, len(MESSAGE)), MESSAGE, "an exchange")
                port = sock.getsockname()[1]
            sent = [p for p in capture.packets(port) if p.src[1] == port and p.payload]
            check_equal({class_of_service(p) for p in sent}, {TOS}, "its class of service is the program's")


# ---- what programs wish ------------------------------------------------------------------


def wishing(host, address, port, *wishes):
    """A connection of a program that has set these options."""
    sock = bound_time(host.socket())
    for option, value in wishes:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.connect((address, port))
    sock.sendall(MESSAGE)
    check_equal(read_exactly(sock, len(MESSAGE)), MESSAGE, "an exchange")
    return sock


def wishes():
    with Net() as net:
        a, b, da, db = daemons(net)
        address = b.addresses[IPV4]
        with Capture(b, "eth1") as capture, Server(b, echo) as server:
            port = server.port
            # 8548-3.5-26, 8548-3.5-27: neither used nor cached.
            wishing(a, address, port, (CACHE_FLUSH, 1)).close()
            check_equal(da.status()["resumable"], 0, "CACHE_FLUSH before connect: nothing cached")
            wishing(a, address, port).close()
            wishing(a, address, port, (CACHE_FLUSH, 1)).close()
            with wishing(a, address, port, (NONCE_LEN, 3)) as sock:
                for option, value in ((RESUMED, 1), (NEGTEP, 0xA3), (NONCE_LEN, 3)):
                    check_equal(sock.getsockopt(socket.IPPROTO_TCP, option), value,
                                f"option {option} of a resumed connection")
                # 8548-3.5-28: on an established one.
                sock.setsockopt(socket.IPPROTO_TCP, CACHE_FLUSH, 1)
                check(talk_on(sock), "which goes on")
            wishing(a, address, port, (ACONF, AES_256)).close()
            wishing(a, address, port).close()
            wishing(a, address, port, (ACONF, b"\x00\x01")).close()
            wishing(a, address, port, (TEPS, b"\x21")).close()
            check_how(da, port, ["unwanted", "no-session", "unwanted", True, "no-session", True,
                                 "no-session", "no-session"], "wishes: client's end")
            # 8548-3.5-3
            lengths = [len(f.syn.eno()) for f in capture.flows(port)]
            check_equal(lengths[3], 15, "NONCE_LEN: 3 bytes of nonce")


def flushed_at_once():
    """8548-3.5-28: when setsockopt() has returned, the session is not used any more."""
    with Net() as net:
        a, b, da, db = daemons(net)
        with Server(b, echo) as server:
            resumed = []
            for _ in range(40):
                with wishing(a, b.addresses[IPV4], server.port) as sock:
                    sock.setsockopt(socket.IPPROTO_TCP, CACHE_FLUSH, 1)
                    with wishing(a, b.addresses[IPV4], server.port) as other:
                        resumed.append(other.getsockopt(socket.IPPROTO_TCP, RESUMED))
                        other.setsockopt(socket.IPPROTO_TCP, CACHE_FLUSH, 1)
            check_equal(resumed, [0] * 40, "connections opened right after CACHE_FLUSH")


def talk_on(sock):
    sock.sendall(MESSAGE)
    return read_exactly(sock, len(MESSAGE)) == MESSAGE


def server_wishes():
    with Net() as net:
        a, b, da, db = daemons(net)
        with Capture(b, "eth1") as capture, Server(b, echo) as plain:
            for text, wish, expected in (
                ("CACHE_FLUSH", (CACHE_FLUSH, 1), "unknown-session"),
                ("BCONF", (BCONF, AES_256), "unknown-session"),
                ("BCONF with the session's", (BCONF, b"\x00\x02\x00\x01"), True),
                ("NONCE_LEN", (NONCE_LEN, 2), True),
            ):
                for daemon in (da, db):
                    daemon.tool("flush")
                talk(a, plain, b.addresses[IPV4])
                closed(db, plain.port, 1)
                server = Server(b, echo)
                server.socket.setsockopt(socket.IPPROTO_TCP, *wish)
                with server:
                    talk(a, server, b.addresses[IPV4])
                    check_how(da, server.port, [expected], f"a server's {text}")
                    (flow,) = capture.flows(server.port)
                    if wish[0] == NONCE_LEN:
                        check_equal(len(flow.synack.eno()), 15, "2 bytes of nonce")


# ---- a peer made from the RFC texts ------------------------------------------------------


class Stage:
    """A host with a daemon and an echo server, and the peer next to it."""

    def __init__(self, net, config=""):
        self.host = net.host()
        self.link = neighbour(net, self.host)
        self.daemon = net.daemon(self.host, AT_ONCE + config)
        self.address = self.host.addresses[IPV4]
        self.server = net.use(Server(self.host, echo))

    def session(self):
        return open_session(self.link, self.address, self.server.port)

    def again(self, secret, nonce=b"", options=b""):
        return reopen_session(self.link, self.address, self.server.port, secret, nonce, options)

    def listed(self, session, **keys):
        end = f"{self.link.address}:{session.connection.port}"
        wait_for(lambda: self.daemon.list(peer=end, **keys), f"{keys} in the list")
        return self.daemon.list(peer=end, **keys)[-1]

    def finish(self, session, resumed, text):
        """Data both ways, the session ID, and the end."""
        check_equal(session.resumed, resumed, f"{text}: {'resumed' if resumed else 'fresh'}")
        session.send(MESSAGE)
        check_equal(session.read_data(len(MESSAGE)), MESSAGE, f"{text}: echoed")
        listed = self.listed(session)
        check_equal((listed["session_id"], listed["resumed"]), (session.session_id.hex(), resumed),
                    f"{text}: session ID")
        session.send(fin=True)
        session.connection.fin()
        check_equal(session.read_end(), b"", f"{text}: and ended")
        session.connection.close()


def peer_opens():
    with Net() as net:
        stage = Stage(net)
        first = stage.session()
        stage.finish(first, False, "first")
        secret = first.secret.after()
        for text, nonce in (("8-byte nonce", b"12345678"), ("no nonce", b""), ("3 bytes", b"abc")):
            stage.finish(stage.again(secret, nonce), True, text)
            # 8548-3.5-22: used is used.
            fresh = stage.again(secret, nonce)
            stage.finish(fresh, False, f"{text}, the same once more")
            secret = secret.after()
        # 8548-3.5-20 is the active end's duty: whom it skips, the window still has.
        skipped, later = secret, secret.after().after().after()
        stage.finish(stage.again(later), True, "three further on")
        stage.finish(stage.again(skipped), True, "and back")
        check_equal(stage.link.violations, [], "peer opens: no violation")


def peer_rooms():
    """8548-3.5-1: as much nonce as the SYN-ACK has room for."""
    with Net() as net:
        stage = Stage(net)
        secret = stage.session().secret
        timestamps = bytes([8, 10]) + bytes(8) + bytes([1, 1])
        sack = bytes([4, 2, 1, 1])
        scale = bytes([3, 3, 7, 1])
        for text, options, room in (("none", b"", 8), ("scale", scale, 8),
                                    ("timestamps, SACK and scale", timestamps + sack + scale, 7)):
            secret = secret.after()
            session = stage.again(secret, b"", options)
            answer = session.connection.first(SYN | ACK).eno()[0]
            check_equal(len(answer) - 13, room, f"room with {text}: the nonce")
            if not options or options == scale:
                stage.finish(session, True, f"room with {text}")
            else:
                # The peer's TCP has no timestamps to go on with.
                check(session.resumed, f"room with {text}: resumed")
                session.connection.close()


def peer_serves():
    """The daemon's host opens: it proposes ss[1], ss[2] and so on, to a peer of two minds."""
    with Net() as net:
        stage = Stage(net)
        first = stage.session()
        stage.finish(first, False, "first")
        secret = first.secret
        for port, resumes in ((7001, True), (7002, True), (7003, False), (7004, True)):
            secret = secret.after()
            text = f"port {port}"
            with stage.host.socket() as sock:
                sock.setblocking(False)
                sock.connect_ex((stage.link.address, port))
                if resumes:
                    session = accept_resumed(stage.link, port, secret, b"nonce")
                else:
                    session = accept_session(stage.link, port)
                sock.setblocking(True)
                bound_time(sock)
                sock.sendall(MESSAGE)
                check_equal(session.read_data(len(MESSAGE)), MESSAGE, f"{text}: data")
                listed = stage.daemon.list(port=port)[-1]
                check_equal(listed["session_id"], session.session_id.hex(), f"{text}: session ID")
                check_equal(how(listed), True if resumes else "unknown-session", f"{text}: listed")
            if not resumes:
                secret = session.secret  # the newest session is tried first
            session.connection.close()
        check_equal(stage.link.violations, [], "peer serves: no violation")


def peer_crosses():
    """8548-3.5-14: in a simultaneous open, whose other end is host B and names a secret, too."""
    with Net() as net:
        stage = Stage(net)
        for number, (text, named) in enumerate((("fresh", None), ("the same one", 0), ("the next one", 1))):
            stage.daemon.tool("flush")
            first = stage.session()
            stage.finish(first, False, text)
            secret = first.secret.after()
            other = secret.after() if named else secret
            option = eno(0x01, 0x23 if named is None else other.suboption(b"crossing"))
            with stage.host.socket() as sock:
                sock.setblocking(False)
                sock.connect_ex((stage.link.address, 7200 + number))
                connection = stage.link.accept(7200 + number)
                offer = Offer.of(connection.first(SYN))
                connection.syn(SCALE + option)
                synack = connection.wait_for(SYN | ACK, "SYN-ACK")
                check_equal(synack.eno(), [offer.raw], f"crossing, {text}: the offer again")
                connection.synack(SCALE + option)
                sock.setblocking(True)
                bound_time(sock)
                if named == 1:
                    sock.sendall(MESSAGE)
                    check_equal(connection.wait_bytes(len(MESSAGE)), MESSAGE, f"crossing, {text}: plain")
                    connection.close()
                    continue
                session = Session(connection, "B", 0x23, offer.raw + option)
                if named is None:
                    session.exchange()
                else:
                    session.resume(secret, b"crossing", offer.resume[2])
                sock.sendall(MESSAGE)
                check_equal(session.read_data(len(MESSAGE)), MESSAGE, f"crossing, {text}: data")
                listed = stage.listed(session)
                check_equal((listed["session_id"], listed["resumed"], listed["role"]),
                            (session.session_id.hex(), named == 0, "A"), f"crossing, {text}: listed")
                connection.close()
        check_equal(stage.link.violations, [], "peer crosses: no violation")


def peer_misnames():
    """8548-3.5-11, 8548-3.5-12: a SYN-ACK that answers with another half, or badly."""
    with Net() as net:
        stage = Stage(net)
        number = 7100
        for text, answer in (
            ("another half", lambda s: eno(0x01, bytes([0xA3]) + b"otherhalf" + b"nonce")),
            ("its own half", lambda s: eno(0x01, bytes([0xA3]) + s.other_half)),
            ("a nonce too long", lambda s: eno(0x01, s.suboption(b"123456789"))),
            ("half a half", lambda s: eno(0x01, s.suboption()[:-4])),
            ("twice", lambda s: eno(0x01, bytes([0x88]) + s.suboption(), s.suboption())),
            ("another TEP", lambda s: eno(0x01, bytes([0xA1]) + s.own_half)),
        ):
            number += 1
            first = stage.session()
            first.connection.close()
            secret = first.secret.after()
            with stage.host.socket() as sock:
                sock.setblocking(False)
                sock.connect_ex((stage.link.address, number))
                connection = stage.link.accept(number)
                connection.synack(answer(secret))
                ack = connection.wait_for(ACK, "ACK", without=SYN)
                check_equal(ack.eno(), [], f"{text}: no more ENO")
                sock.setblocking(True)
                bound_time(sock)
                sock.sendall(MESSAGE)
                check_equal(connection.wait_bytes(len(MESSAGE)), MESSAGE, f"{text}: plain")
                connection.close()
            # The next one to that host is whole again.
            with stage.host.socket() as sock:
                sock.setblocking(False)
                sock.connect_ex((stage.link.address, number))
                session = accept_session(stage.link, number)
                check(True, f"{text}: and the next offers fresh exchange")
                session.connection.close()
        check_equal(stage.link.violations, [], "peer misnames: no violation")


def malformed():
    """What a SYN may have in place of a proper suboption: fresh exchange, or plain, never more."""
    with Net() as net:
        stage = Stage(net)
        first = stage.session()
        stage.finish(first, False, "first")
        secret = first.secret.after()
        half = secret.own_half
        for text, option, expected in (
            ("8 bytes of a half", eno(bytes([0xA3]) + half[:8]), "fresh"),  # 8548-3.5-9
            ("no bytes", eno(0xA3), "fresh"),  # 8548-3.5-10
            ("a nonce of 9 bytes", eno(bytes([0xA3]) + half + b"123456789"), "plain"),
            ("the other half", eno(bytes([0xA3]) + secret.other_half), "fresh"),  # 8548-3.5-7
            ("another TEP", eno(bytes([0xA1]) + half), "fresh"),
            ("twice", eno(bytes([0x88, 0xA3]) + half, bytes([0xA3]) + half), "plain"),
            ("and the same fresh", eno(0x23, bytes([0xA3]) + half), "plain"),
            ("too long a length", eno(bytes([0x9F, 0xA3]) + half), "plain"),
            ("b = 1", eno(0x01, bytes([0xA3]) + half), "plain"),
            ("one bit off", eno(bytes([0xA3]) + bytes([half[0] ^ 1]) + half[1:]), "fresh"),
        ):
            connection = stage.link.open(stage.address, stage.server.port)
            connection.syn(option)
            answer = check_answer(connection.wait_for(SYN | ACK, "SYN-ACK"), {0x21, 0x23})
            check_equal("fresh" if answer else "plain", expected, f"{text}: the answer")
            connection.close()
        with_length = eno(bytes([0x88, 0xA3]) + half, 0x21)
        connection = stage.link.open(stage.address, stage.server.port)
        connection.syn(with_length)
        answer = check_answer(connection.wait_for(SYN | ACK, "SYN-ACK"), {0x23}, secret)
        check(answer and answer.resume, "with a length byte, before another TEP: resumed")
        connection.close()
        check_equal(stage.link.violations, [], "malformed: no violation")


def replayed():
    """8548-3.5-21: SYNs that come again, from elsewhere, or from nobody."""
    with Net() as net:
        stage = Stage(net)
        first = stage.session()
        stage.finish(first, False, "first")
        used, spoofed, raced, last = [first.secret.after()], None, None, None
        session = stage.again(used[0], b"nonce")
        stage.finish(session, True, "resumed")
        replay_used(stage, session)
        # A SYN from nobody takes its secret along; who it belongs to exchanges keys.
        spoofed = used[0].after()
        nobody = stage.link.open(stage.address, stage.server.port)
        nobody.syn(eno(spoofed.suboption(b"nonce")))
        answer = check_answer(nobody.wait_for(SYN | ACK, "SYN-ACK"), {0x23}, spoofed)
        check(answer.resume, "a SYN that nobody stands behind is answered")
        stage.finish(stage.again(spoofed, b"nonce"), False, "the same secret meanwhile")
        # And the SYN-ACK that is repeated says the same.
        nobody.syn(eno(spoofed.suboption(b"nonce")))
        wait_for(lambda: len([s for s in nobody.incoming() if s.has(SYN | ACK)]) >= 2, "SYN-ACK")
        options = {s.eno()[0] for s in nobody.incoming() if s.has(SYN | ACK)}
        check_equal(options, {answer.raw}, "and again with the same option")
        nobody.close()
        # Two SYNs with one identifier, both from those who have the secret.
        raced = spoofed.after()
        ends = [stage.link.open(stage.address, stage.server.port) for _ in range(2)]
        for end in ends:
            end.syn(eno(raced.suboption(b"nonce")))
        answers = [check_answer(end.wait_for(SYN | ACK, "SYN-ACK"), {0x23}, raced) for end in ends]
        check_equal([bool(a.resume) for a in answers], [True, False], "two SYNs: one is resumed")
        for end in ends:
            end.close()
        begun_again(stage, raced.after())
        last = raced.after().after()
        stage.finish(stage.again(last), True, "and the chain goes on")
        check_equal(stage.link.violations, [], "replayed: no violation")


def begun_again(stage, secret):
    """Another SYN between the same ends is another connection, and the first had the secret."""
    first = stage.link.open(stage.address, stage.server.port)
    first.syn(eno(secret.suboption(b"nonce")))
    answer = check_answer(first.wait_for(SYN | ACK, "SYN-ACK"), {0x23}, secret)
    check(answer.resume, "a SYN that is taken back is answered")
    first.rst()
    again = between(stage, first)
    again.syn(eno(secret.suboption(b"nonce")))
    answer = check_answer(again.wait_for(SYN | ACK, "SYN-ACK"), {0x23}, secret)
    check(not answer.resume, "the next one from there gets fresh exchange")
    again.close()


def between(stage, old):
    """A connection between the same ends as an old one."""
    connection = stage.link.open(stage.address, stage.server.port)
    connection.link.connections.pop((connection.port, connection.remote))
    connection.port = old.port
    connection.link.connections[connection.port, connection.remote] = connection
    return connection


def replay_used(stage, session):
    """The SYN of a connection that is over, byte for byte; then what it sent."""
    old = session.connection
    sent = [segment for way, segment in old.received if way == "out"]
    connection = between(stage, old)
    connection.iss = old.iss
    connection.next = (connection.iss + 1) & 0xFFFFFFFF
    connection.segment(SYN, seq=connection.iss, options=sent[0].options)
    answer = check_answer(connection.wait_for(SYN | ACK, "SYN-ACK"), {0x23})
    check(answer and not answer.resume, "a replayed SYN gets fresh exchange")
    connection.ack(ACK_OPTION)
    for segment in sent:
        if segment.payload:
            connection.send(segment.payload)
    connection.wait_reset()
    check(True, "and replayed frames are no Init message")
    connection.close()


def no_acknowledgement():
    """8547-4.6-3: an ACK without ENO makes the connection plain, and the secret is gone."""
    with Net() as net:
        stage = Stage(net)
        first = stage.session()
        stage.finish(first, False, "first")
        secret = first.secret.after()
        connection = stage.link.open(stage.address, stage.server.port)
        connection.syn(eno(secret.suboption()))
        answer = check_answer(connection.wait_for(SYN | ACK, "SYN-ACK"), {0x23}, secret)
        check(answer.resume, "the SYN-ACK resumes")
        connection.ack(b"")
        connection.send(b"plain words")
        check_equal(connection.wait_bytes(11), b"plain words", "an ACK without ENO: plain")
        connection.close()
        stage.finish(stage.again(secret), False, "the secret after that")


def wrong_key():
    """A peer that has the identifier and not the secret: an error, and nothing delivered."""
    with Net() as net:
        stage = Stage(net)
        first = stage.session()
        stage.finish(first, False, "first")
        secret = first.secret.after()
        session = stage.again(secret)
        session.resume(Secret(bytes(32), secret.role, secret.tep), b"", b"")
        session.send(MESSAGE)
        session.connection.wait_reset()
        listed = stage.listed(session, state="closed")
        check_equal((listed["reason"], listed["bytes_in"]), ("auth-failed", 0), "a wrong key")
        check_equal(stage.daemon.status()["resumable"], 0, "such a session is forgotten")


if __name__ == "__main__":
    main(
        "sessions are resumed without a key exchange, by either host, and each secret once",
        second,
        stirred,
        parallel,
        other_way,
        another_address,
        restart,
        nobody_there,
        lossy,
        repeated,
        forgotten_in_between,
        expiry,
        switched_off,
        flush,
        reconfigured,
        other_tep,
        option_of_the_second,
        wishes,
        flushed_at_once,
        server_wishes,
        peer_opens,
        peer_rooms,
        peer_serves,
        peer_crosses,
        peer_misnames,
        malformed,
        replayed,
        no_acknowledgement,
        wrong_key,
    )
