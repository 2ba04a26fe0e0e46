#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""An implementation made from the RFC texts alone talks to the daemon and finds no violation.

The peer (test/peer) has its own TCP and its own tcpcrypt; it is client and server in turn.
Whatever it reads it reads strictly, so that each conversation below is also a check of every
byte that the daemon sends.
"""
import errno
import json
import os
import pathlib
import select
import signal
import socket

from apps import BROKEN, Server, bound_time, errno_of, read_exactly, read_to_end
from harness import Net, check, check_equal, main, wait_for
from peers import neighbour

from tcp import ACK, PSH, SCALE, SYN
from tcpcrypt import (
    ACK_OPTION,
    INIT1_MAGIC,
    Offer,
    Session,
    accept_connection,
    accept_session,
    eno,
    open_connection,
    open_session,
)

X25519, P256, X448 = 0x23, 0x21, 0x24
SELF_GOPT, TEP_MANDATORY, ROLE, RAW, TRANSCRIPT, STATE = 1030, 1033, 1034, 1037, 1038, 1039
ENCRYPTING, DISABLED = 2, 3
HELLO = b"Hello from the peer. " * 20
SECRET = b"The program's own words, never in plain. " * 10


class Stage:
    """A host with a daemon and an echo server, and the peer next to it."""

    def __init__(self, net, config="", tcp_rmem=None):
        self.host = net.host()
        if tcp_rmem:
            self.host.sysctl("ipv4/tcp_rmem", tcp_rmem)
        self.link = neighbour(net, self.host)
        # Each conversation begins afresh; test_resume.py has the others.
        self.daemon = net.daemon(self.host, config + "resume-max = 0\ndrain-seconds = 0\n")
        self.address = self.host.addresses[socket.AF_INET]
        self.ends = []  # what the server's program saw: (data, errno), one a connection
        self.server = net.use(Server(self.host, self.serve))
        # Its program reads urgent bytes where they stand; accepted sockets inherit that.
        self.server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self.port = self.server.port

    def serve(self, conn, peer):
        data = bytearray()
        try:
            while more := conn.recv(65536):
                data += more
                conn.sendall(more)
        except OSError as error:
            self.ends.append((bytes(data), error.errno))
        else:
            self.ends.append((bytes(data), 0))

    def end(self, number):
        """How the number-th connection ended for the server's program."""
        wait_for(lambda: len(self.ends) >= number, f"the end of connection {number}")
        return self.ends[number - 1]

    def next_number(self):
        return len(self.ends) + 1

    def session(self, **options):
        """An encrypted connection of the peer's with the echo server."""
        return open_session(self.link, self.address, self.port, **options)

    def listed(self, connection, **keys):
        """What the daemon lists for the peer's connection."""
        end = f"{self.link.address}:{connection.port}"
        wait_for(lambda: self.daemon.list(peer=end, **keys), f"{keys} in the list")
        return self.daemon.list(peer=end, **keys)[-1]

    def program(self, port, options=(), source=0):
        """A program of the host begins to connect to the peer, perhaps from a port of its own."""
        sock = self.host.socket()
        sock.setblocking(False)
        for option, value in options:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        if source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.address, source))
        check(sock.connect_ex((self.link.address, port)) in (0, 115), "a program connects")
        return sock


def connected(sock):
    """The program's connect() has come to an end; the socket blocks from now on."""
    select.select([], [sock], [], 20)
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    sock.setblocking(True)
    bound_time(sock)
    return error


def no_violation(stage, text):
    check_equal(stage.link.violations, [], f"{text}: no violation")


# ---- the peer as client -------------------------------------------------------------------


def echo_and_end(session, text):
    session.send(HELLO)
    check_equal(session.read_data(len(HELLO)), HELLO, f"{text}: echoed")
    session.send(fin=True)
    session.connection.fin()
    check_equal(session.read_end(), b"", f"{text}: and ended by FINp and FIN")


def client_conversations():
    with Net() as net:
        stage = Stage(net)
        for text, options in (
            ("X25519", {}),
            ("P-256", {"tep": P256}),
            ("Init1 byte by byte", {"size": 1}),
            ("Init1 in odd pieces", {"size": 7}),
            ("1,000 ignored bytes in Init1", {"ignored": b"?" * 1000}),  # 8548-4.1-2
            ("ciphers that nobody knows before ours", {"ciphers": (0x7777, 0xFFFF, 1)}),
            ("reserved global bits", {"option": eno(0x1C, X25519)}),  # 8547-4.2-7
            ("a second global suboption", {"option": eno(0x00, 0x01, X25519)}),  # 8547-4.2-2
            ("unknown TEPs", {"option": eno(0x7F, 0x30, X25519)}),
            ("a TEP with data that is none of ours", {"option": eno(0x83, 0xF0, b"data", X25519)}),
            ("resumption of an unknown session",  # 8548-3.5-8, 8548-3.5-10
             {"option": eno(0x80 | X25519)}),
        ):
            number = stage.next_number()
            session = stage.session(**options)
            echo_and_end(session, text)
            check_equal(stage.end(number), (HELLO, 0), f"{text}: the program saw it all")
            listed = stage.listed(session.connection)
            check_equal(listed["session_id"], session.session_id.hex(), f"{text}: session ID")
            check_equal((listed["role"], listed["reason"]), ("B", None), f"{text}: listed")
            session.connection.close()
        no_violation(stage, "as client")


def client_frames():
    """What a peer may put into frames."""
    with Net() as net:
        stage = Stage(net)
        session = stage.session()
        connection = session.connection
        for text, options in (
            ("reserved control bits", {"cres": 0xFE}),  # 8548-4.2-1
            ("reserved flags", {"fres": 0xFC}),  # 8548-4.2.1-1
            ("urgent data", {"urgent": 5}),
            ("urgent data beyond the frame", {"urgent": 0xFFFF}),
            ("key update with data", {"rekey": True}),
            ("key update, urgent data, reserved bits", {"rekey": True, "urgent": 0, "cres": 0x80}),
        ):
            session.send(HELLO, **options)
            check_equal(session.read_data(len(HELLO)), HELLO, f"{text}: echoed")
        for size in (1, 3, 19, 333):
            session.send(HELLO, size=size)
            check_equal(session.read_data(len(HELLO)), HELLO, f"{size}-byte segments: echoed")
        connection.send(b"".join(session.seal(bytes([b])) for b in HELLO), size=1000)
        check_equal(session.read_data(len(HELLO)), HELLO, "frames of one byte: echoed")
        big = bytes(range(256)) * 255
        session.send(big)
        check_equal(session.read_data(len(big)), big, "a frame of nearly 64 KiB: echoed")
        for _ in range(20):
            session.send()
        session.send(HELLO)
        check_equal(session.read_data(len(HELLO)), HELLO, "empty frames: nothing comes of them")
        echo_and_end(session, "after all that")
        no_violation(stage, "frames")


def many_empty_frames():
    """More of them at once than the daemon opens in a turn, and then data."""
    with Net() as net:
        # Room for all of it, so that the buffer is filled to its end.
        stage = Stage(net, tcp_rmem="4096 6291456 8388608")
        session = stage.session()
        session.send(HELLO)
        check_equal(session.read_data(len(HELLO)), HELLO, "empty frames: before them")
        blob = b"".join(session.seal() for _ in range(15000)) + session.seal(HELLO)
        pid = stage.daemon.pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            sent = session.connection.send(blob, timeout=10)
        finally:
            os.kill(pid, signal.SIGCONT)
        check(sent > 150000, "empty frames: a buffer of them and more", sent)
        session.connection.send(blob[sent:])
        check_equal(session.read_data(len(HELLO)), HELLO, "empty frames: what follows them arrives")
        no_violation(stage, "empty frames")


def out_of_order():
    """Segments that overtake each other, come twice, overlap."""
    with Net() as net:
        stage = Stage(net)
        session = stage.session()
        connection = session.connection
        frame = session.seal(HELLO)
        start = connection.next
        for at in reversed(range(0, len(frame), 50)):
            connection.segment(ACK | PSH, frame[at : at + 50], seq=start + at)
        connection.segment(ACK, frame[:200], seq=start)
        connection.next = (start + len(frame)) & 0xFFFFFFFF
        check_equal(session.read_data(len(HELLO)), HELLO, "segments from last to first: echoed")
        connection.segment(ACK | PSH, frame, seq=start)
        echo_and_end(session, "after a segment that came again")
        no_violation(stage, "order")


def rekeying():
    with Net() as net:
        stage = Stage(net)
        session = stage.session()
        session.send(rekey=True)
        answer = session.read()
        # 8548-3.8-4, 8548-3.8-5, 8548-3.9-3
        check((answer.rekey, answer.data) == (True, b""), "an empty key update is answered at once")
        session.send(HELLO)
        check_equal(session.read_data(len(HELLO)), HELLO, "and data flows under the new keys")
        check_equal(session.rx.generation, 1, "one answer a key update")  # 8548-3.8-3
        for _ in range(10):
            session.send(rekey=True)
        wait_generation(session, 11)
        check_equal(session.rx.generation, 11, "ten at once: ten answers")
        simultaneous(stage, session)
        session.send(HELLO, rekey=True, fin=True)
        session.connection.fin()
        check_equal(session.read_end(), HELLO, "a key update with FINp")
        session.connection.close()
        after_finp(stage)
        no_violation(stage, "rekeying")


def wait_generation(session, generation):
    while session.rx.generation < generation:
        session.read()


def simultaneous(stage, session):
    """Both ends begin a key update: each frame is the other's answer."""
    generation = session.rx.generation
    local = f"{stage.address}:{stage.port}"
    peer = f"{stage.link.address}:{session.connection.port}"
    session.connection.acknowledges = False  # so that ours is sent before theirs is seen
    verify = stage.daemon.verify_later(local, peer)
    frame = session.read()
    check(frame.rekey, "the daemon begins a key update")
    session.connection.acknowledges = True
    session.send(rekey=True)
    result = verify()
    check_equal(result["peer_confirmed"], True, "and takes the peer's own for the answer")
    session.send(HELLO)
    check_equal(session.read_data(len(HELLO)), HELLO, "both ends agree on the keys")
    check_equal(session.rx.generation, generation + 1, "and have stepped once")


def after_finp(stage):
    """Decision D17: an end that has sent FINp steps on without a frame."""
    sock, session = serve_program(stage, 7200)
    sock.shutdown(socket.SHUT_WR)
    check_equal(session.read_end(), b"", "the program has ended its half")
    session.send(rekey=True)
    session.send(HELLO)
    check_equal(read_exactly(sock, len(HELLO)), HELLO, "the other half goes on under new keys")
    session.send(fin=True)
    session.connection.fin()
    check_equal(sock.recv(1), b"", "and ends")
    check_equal(len(session.connection.stream), session.consumed, "no frame after FINp")
    sock.close()
    session.connection.close()


# ---- what a client must not do ------------------------------------------------------------


def bad_frames(session):
    """(name, what goes into the stream, reasons) of everything that is wrong with frames."""
    good = session.seal(HELLO)
    forged = bytes([good[0] ^ 1]) + good[1:]
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    longer = good[:1] + (len(good) - 2).to_bytes(2, "big") + good[3:] + b"?"
    yield "rekey bit forged", forged, "auth-failed"
    yield "reserved bit changed on the way", bytes([good[0] ^ 0x80]) + good[1:], "auth-failed"
    yield "tag changed", flipped, "auth-failed"
    yield "length changed", longer, "auth-failed"
    yield "frames in the wrong order", session.seal(b"second") + good, "auth-failed"
    yield "the same frame twice", good + good, "auth-failed"
    yield "clen 0", b"\0\0\0", "bad-frame"
    yield "clen 16", b"\0\0\x10" + bytes(16), "bad-frame"


def named_frames():
    """The bad frames by name; each is made anew for its own session."""
    names = ["rekey bit forged", "reserved bit changed on the way", "tag changed",
             "length changed", "frames in the wrong order", "the same frame twice", "clen 0",
             "clen 16"]
    for at, name in enumerate(names):
        def send(session, at=at):
            _, raw, reason = list(bad_frames(session))[at]
            session.connection.send(raw)
            return reason

        yield name, send


def send_after_finp(session):
    session.send(HELLO, fin=True)
    session.send(b"too late")
    return "after-fin"


def send_fin_alone(session):
    session.send(HELLO)
    session.connection.fin()
    return "truncated"


def send_fin_inside(session):
    session.connection.send(session.seal(HELLO)[:-5])
    session.connection.fin()
    return "truncated"


def send_urgent_without(session):
    session.connection.send(session.seal_plain(b"\x02\x00"))
    return "bad-frame"


def send_two_steps(session):
    """A generation left out."""
    session.tx.step()
    session.send(HELLO, rekey=True)
    return "auth-failed"


def send_unmarked_step(session):
    session.tx.step()
    session.send(HELLO)
    return "auth-failed"


def send_plaintext(session):
    """8547-4.6-8: not a byte of it is delivered."""
    session.connection.send(b"GET / HTTP/1.0\r\n\r\n" * 1000)
    return "auth-failed"


def send_from_zero(session):
    """8548-3.6-3, decision D13: the first frame's offset is behind the Init message."""
    session.tx.offset = 0
    session.send(HELLO)
    return "auth-failed"


def send_again_init(session):
    session.connection.send(session.make_init() + bytes(30000))
    return "auth-failed"


BAD_SESSIONS = [
    ("bytes after FINp", send_after_finp),
    ("FIN without FINp", send_fin_alone),
    ("FIN inside a frame", send_fin_inside),
    ("URGp without the urgent field", send_urgent_without),
    ("a generation left out", send_two_steps),
    ("new keys without the rekey bit", send_unmarked_step),
    ("plaintext", send_plaintext),
    ("an offset from zero", send_from_zero),
    ("Init1 again", send_again_init),
    *named_frames(),
]


def is_fair(error, reason):
    """An error; or an end of file that was authenticated, whatever came after it."""
    return error in BROKEN or (reason == "after-fin" and error == 0)


def misbehaving_client():
    with Net() as net:
        stage = Stage(net)
        before = footprint(stage.daemon)
        for name, misbehave in BAD_SESSIONS:
            number = stage.next_number()
            session = stage.session()
            reason = misbehave(session)
            session.connection.wait_reset()
            data, error = stage.end(number)
            # 8548-3.6-5, 8548-3.7-3, 8548-8-1
            check(is_fair(error, reason), f"{name}: the program sees an error", f"{error}")
            check((HELLO + b"second").startswith(data) or data == b"second",
                  f"{name}: nothing false arrives", f"{data[:60]}")
            listed = stage.listed(session.connection, state="closed")
            check_equal(listed["reason"], reason, f"{name}: the reason")
            session.connection.close()
        bad_init1(stage)
        check_footprint(stage.daemon, before)
        no_violation(stage, "a misbehaving client")


def bad_init1(stage):
    for name, options, reason in (
        ("magic", {"magic": b"\x15\x10\x1a\x0f"}, "bad-magic"),
        ("Init2's magic", {"magic": bytes.fromhex("097105e0")}, "bad-magic"),
        ("no ciphers", {"ciphers": ()}, "no-cipher"),
        ("no common cipher", {"ciphers": (0x7777,)}, "no-cipher"),
        ("too many ciphers", {"nciphers": 200}, "bad-init"),
        ("length 0", {"length": 0}, "bad-init"),
        ("length too small", {"length": 70}, "bad-init"),
        ("length beyond reason", {"length": 1 << 31}, "bad-init"),
        ("zero key", {"public": bytes(32)}, "bad-key"),
        ("key of small order", {"public": b"\x01" + bytes(31)}, "bad-key"),
        ("infinity", {"tep": P256, "public": b"\x00\x01\x00"}, "bad-key"),
        ("no point of the curve", {"tep": P256, "public": b"\x00\x21\x02" + b"\xff" * 32},
         "bad-key"),
        ("uncompressed", {"tep": P256, "public": b"\x00\x41\x04" + bytes(64)},
         "bad-key"),
    ):
        text = f"Init1: {name}"
        number = stage.next_number()
        tep = options.pop("tep", X25519)
        connection, answer = open_connection(stage.link, stage.address, stage.port, eno(tep))
        session = Session(connection, "A", tep, b"")
        connection.send(session.make_init(**options))
        connection.wait_reset()
        # 8548-3.3-5
        data, error = stage.end(number)
        check((data, error in BROKEN) == (b"", True), f"{text}: an error", f"{data!r} {error}")
        listed = stage.listed(connection, state="closed")
        check_equal(listed["reason"], reason, f"{text}: the reason")
        check_equal(answer.teps, [tep], f"{text}: the TEP was right")
        connection.close()


# ---- the negotiation, seen from a client --------------------------------------------------


def plain_echo(stage, connection, text):
    connection.send(HELLO)
    check_equal(connection.wait_bytes(len(HELLO)), HELLO, f"{text}: plain and working")
    enos = [s for s in connection.incoming() if s.eno() and not s.has(SYN)]
    check_equal(len(enos), 0, f"{text}: no ENO any more")  # 8547-4.6-3


def negotiation_as_client():
    with Net() as net:
        stage = Stage(net)
        for text, option in (
            ("no ENO", b""),
            ("a vacuous one", eno()),  # 8547-4.6-11
            ("only a global suboption", eno(0x00)),
            ("b = 1", eno(0x01, X25519)),  # 8547-4.3-2
            ("no TEP of ours", eno(0x30)),
            ("two options", eno(X25519) + eno(X25519)),  # 8547-4.1-6
            ("the same TEP twice", eno(X25519, X25519)),
            ("a length byte at the end", eno(X25519, 0x80)),  # 8547-4.4-5
            ("a length byte for more than there is", eno(0x9F, X25519)),
            ("a length byte before a global", eno(0x80, 0x00, X25519)),
        ):
            connection, answer = open_connection(stage.link, stage.address, stage.port, option, b"")
            check_equal(answer, None, f"{text}: no ENO in the SYN-ACK")  # 8547-4.6-13
            plain_echo(stage, connection, text)
            connection.close()
        ack_without_eno(stage)
        withdrawn(stage)
        data_in_syn(stage)
        init_in_first_ack(stage)
        no_violation(stage, "negotiation")


def ack_without_eno(stage):
    """8547-4.6-3 case 1, decision D20: with or without data, and later ENO is none."""
    for text, data in (("a first ACK without ENO", b""), ("a first ACK with data", HELLO)):
        connection = stage.link.open(stage.address, stage.port)
        connection.syn(eno(X25519))
        connection.wait_for(SYN | ACK, "SYN-ACK")
        if data:
            connection.send(data)
            check_equal(connection.wait_bytes(len(data)), data, f"{text}: plain")
        else:
            connection.ack()
            connection.options = ACK_OPTION
            plain_echo(stage, connection, text)
        check_equal(stage.listed(connection)["reason"], "ack-without-eno", f"{text}: listed")
        connection.close()


def withdrawn(stage):
    """Decision D15: the SYN comes again without ENO."""
    connection = stage.link.open(stage.address, stage.port)
    connection.syn(eno(X25519))
    connection.wait_for(SYN | ACK, "SYN-ACK")
    before = len(connection.incoming())
    connection.syn()
    connection.wait(lambda: len(connection.incoming()) > before, "another SYN-ACK")
    later = connection.incoming()[before:]
    check(all(not s.eno() for s in later), "SYN again without ENO: SYN-ACK without ENO")
    connection.ack(ACK_OPTION)
    plain_echo(stage, connection, "SYN again without ENO")
    check_equal(stage.listed(connection)["reason"], "syn-retries", "SYN again: listed")
    connection.close()


def repeated_syn():
    """8547-4.6-4: the same SYN again has the same SYN-ACK again, whatever the daemon has been told
    meanwhile, and the connection is none the worse for it."""
    with Net() as net:
        stage = Stage(net, "teps = x25519 p256\n")
        for text, meanwhile in (
            ("SYN again", lambda: None),
            ("SYN again after a reload", lambda: reload(stage.daemon, "teps = p256 x25519\n")),
        ):
            connection = stage.link.open(stage.address, stage.port)
            option = eno(P256, X25519)
            connection.syn(option)
            first = connection.wait_for(SYN | ACK, "SYN-ACK")
            meanwhile()
            before = len(connection.incoming())
            connection.syn(option)
            connection.wait(lambda: len(connection.incoming()) > before, "another SYN-ACK")
            check_equal(connection.incoming()[before].eno(), first.eno(), f"{text}: the same ENO")
            connection.ack(ACK_OPTION)
            answer = Offer.of(first)
            session = Session(connection, "A", X25519, option + answer.raw).exchange()
            echo_and_end(session, text)
            check_equal(stage.listed(connection)["uid"], os.getuid(), f"{text}: the server's user")
            connection.close()
        no_violation(stage, "SYN again")


def reload(daemon, config):
    (daemon.dir / "tcpcryptd.conf").write_text(config)
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reloaded" in daemon.log(), "the daemon to reload")


def data_in_syn(stage):
    """8547-4.7-7, 8547-4.7-8, 8547-4.7-9: discarded and not acknowledged."""
    connection = stage.link.open(stage.address, stage.port)
    option = eno(X25519)
    connection.syn(option, payload=b"too early")
    synack = connection.wait_for(SYN | ACK, "SYN-ACK")
    check_equal(synack.ack, (connection.iss + 1) & 0xFFFFFFFF, "data in SYN is not acknowledged")
    connection.ack(ACK_OPTION)
    answer = Offer.of(synack)
    session = Session(connection, "A", X25519, option + answer.raw).exchange()
    echo_and_end(session, "data in SYN")
    connection.close()


def init_in_first_ack(stage):
    """Init1 comes with the ACK that ends the handshake."""
    connection = stage.link.open(stage.address, stage.port)
    option = eno(X25519)
    connection.syn(option)
    synack = connection.wait_for(SYN | ACK, "SYN-ACK")
    session = Session(connection, "A", X25519, option + Offer.of(synack).raw)
    own = session.make_init()
    connection.send(own, options=ACK_OPTION)
    other, public = session.read_init()
    session.derive(own, other, public)
    echo_and_end(session, "Init1 in the first ACK")
    connection.close()


# ---- the peer as server -------------------------------------------------------------------


def check_early_eno(connection, text):
    """8547-4.6-1, 8547-4.6-2: ENO in all segments until they could have our first non-SYN."""
    early = []
    for way, segment in connection.received:
        if way == "out" and not segment.has(SYN):
            break
        if way == "in" and not segment.has(SYN):
            early.append(segment.eno())
    check(early and all(e == [ACK_OPTION] for e in early), f"{text}: ENO until we have spoken",
          f"{early}")


def serve_program(stage, port, tep=X25519, **options):
    """A program connects and the peer serves it, encrypted; returns (socket, session)."""
    sock = stage.program(port)
    session = accept_session(stage.link, port, tep, **options)
    check_early_eno(session.connection, f"port {port}")
    check_equal(connected(sock), 0, f"port {port}: connected")
    return sock, session


def talk_to_program(sock, session, text):
    sock.sendall(SECRET)
    check_equal(session.read_data(len(SECRET)), SECRET, f"{text}: the program's data")
    session.send(HELLO)
    check_equal(read_exactly(sock, len(HELLO)), HELLO, f"{text}: and the peer's")


def server_conversations():
    with Net() as net:
        stage = Stage(net)
        for port, (text, options) in enumerate(
            (
                ("X25519", {}),
                ("P-256", {"tep": P256}),
                ("Init2 byte by byte", {"size": 1}),
                ("70 ignored bytes in Init2", {"ignored": b"?" * 70}),  # 8548-4.1-4
                ("reserved bits", {"option": eno(0x1D, X25519)}),
                # 8547-4.5: the last valid one counts.
                ("several TEPs", {"option": eno(0x01, P256, X25519)}),
                ("an unknown TEP last", {"option": eno(0x01, X25519, 0x30)}),
                ("application-aware", {"option": eno(0x03, X25519)}),
            ),
            7000,
        ):
            sock, session = serve_program(stage, port, **options)
            talk_to_program(sock, session, text)
            session.send(fin=True)
            session.connection.fin()
            check_equal(sock.recv(1), b"", f"{text}: end of file")
            sock.sendall(SECRET)
            sock.close()
            check_equal(session.read_end(), SECRET, f"{text}: and the other half")
            listed = last(stage, port)
            check_equal(listed["session_id"], session.session_id.hex(), f"{text}: session ID")
            session.connection.close()
        no_violation(stage, "as server")


def last(stage, port):
    return stage.daemon.wait_list(port=port)[-1]


def plain_to_program(sock, connection, text):
    check_equal(connected(sock), 0, f"{text}: connected")
    sock.sendall(SECRET)
    check_equal(connection.wait_bytes(len(SECRET)), SECRET, f"{text}: plain")
    later = [s for s in connection.incoming() if s.eno() and not s.has(SYN)]
    check_equal(len(later), 0, f"{text}: no ENO after the SYN")


def negotiation_as_server():
    with Net() as net:
        stage = Stage(net)
        for port, (text, option, reason) in enumerate(
            (
                ("no ENO", b"", "no-eno"),
                ("vacuous", eno(0x01), "vacuous"),
                ("b = 0", eno(X25519), "role-conflict"),
                ("echoed back", None, "role-conflict"),
                ("two options", eno(0x01, X25519) + eno(0x01, X25519), "no-eno"),
                ("a TEP that was not offered", eno(0x01, X448), "no-common-tep"),
                ("resumption unasked", eno(0x01, 0x80 | X25519), "no-common-tep"),
                ("ill-formed", eno(0x01, X25519, 0x80), "ill-formed"),
            ),
            7100,
        ):
            sock = stage.program(port)
            connection = stage.link.accept(port)
            if option is None:
                option = Offer.of(connection.first(SYN)).raw
            connection.synack(option)
            connection.wait_for(ACK, "ACK", without=SYN)
            plain_to_program(sock, connection, text)
            check_equal(last(stage, port)["reason"], reason, f"{text}: listed")
            connection.close()
            sock.close()
        no_violation(stage, "negotiation as server")


def misbehaving_server():
    with Net() as net:
        stage = Stage(net)
        port = 7300
        for name, misbehave in BAD_SESSIONS:
            port += 1
            sock, session = serve_program(stage, port)
            sock.sendall(SECRET)
            reason = misbehave(session)
            session.connection.wait_reset()
            error = errno_of(lambda: read_to_end(sock))
            check(is_fair(error, reason), f"{name}: the program sees an error", f"{error}")
            wait_for(lambda: last(stage, port)["state"] == "closed", "the end in the list")
            check_equal(last(stage, port)["reason"], reason, f"{name}: the reason")
            sock.close()
            session.connection.close()
        bad_init2(stage)
        no_violation(stage, "a misbehaving server")


def bad_init2(stage):
    for port, (name, options, reason) in enumerate(
        (
            ("magic", {"magic": INIT1_MAGIC}, "bad-magic"),
            ("a cipher that was not offered", {"ciphers": (0x7777,)}, "bad-cipher"),
            ("length too small", {"length": 60}, "bad-init"),
            ("zero key", {"public": bytes(32)}, "bad-key"),
        ),
        7500,
    ):
        text = f"Init2: {name}"
        sock = stage.program(port)
        connection, offer = accept_connection(stage.link, port, eno(0x01, X25519))
        check(X25519 in offer.teps, f"{text}: offered")
        session = Session(connection, "B", X25519, b"")
        session.read_init()
        connection.send(session.make_init(**options))
        connection.wait_reset()
        connected(sock)
        sock.close()
        # 8548-3.3-5, 8548-3.3-8
        wait_for(lambda: last(stage, port)["state"] == "closed", "the end in the list")
        check_equal(last(stage, port)["reason"], reason, f"{text}: the reason")
        check(SECRET[:20] not in connection.stream, f"{text}: nothing in plain")
        connection.close()


# ---- no plain connection, wished for late -------------------------------------------------


def mandatory_late():
    """TCP_ENO_TEP_MANDATORY set while the connection is being made counts as if it had been set
    before: the peer gets not one byte in plain."""
    with Net() as net:
        stage = Stage(net)
        for port, (text, values, answer, expected) in enumerate((
            ("set, and the answer is plain", (1,), b"", errno.ECONNREFUSED),
            ("set, and no TEP is common", (1,), eno(0x01, X448), errno.ECONNREFUSED),
            ("set and taken back, and the answer is plain", (1, 0), b"", 0),
            ("set, and the answer is ENO", (1,), eno(0x01, X25519), 0),
        ), 7800):
            text = f"TEP_MANDATORY while connecting: {text}"
            sock = stage.program(port)
            connection = stage.link.accept(port)
            for value in values:
                sock.setsockopt(socket.IPPROTO_TCP, TEP_MANDATORY, value)
            offer = Offer.of(connection.first(SYN))
            connection.synack(answer)
            check_equal(connected(sock), expected, text)
            if expected:
                connection.wait_reset()
                check_equal(bytes(connection.stream), b"", f"{text}: nothing was sent")
            elif answer:
                session = Session(connection, "B", X25519, offer.raw + answer)
                # The keys are not there yet, but the negotiation is over: this changes nothing.
                sock.setsockopt(socket.IPPROTO_TCP, TEP_MANDATORY, 1)
                connection.ack(b"")
                talk_to_program(sock, session.exchange(), text)
            else:
                sock.sendall(SECRET)
                check_equal(connection.wait_bytes(len(SECRET)), SECRET, f"{text}: plain")
            sock.close()
            connection.close()


# ---- simultaneous open --------------------------------------------------------------------


def simultaneous_open():
    """8547-4.3: the peer is an active opener with b = 1, and so host B."""
    with Net() as net:
        stage = Stage(net)
        for port, (text, by_synack) in enumerate(
            (("ended by SYN-ACKs", True), ("ended by an ACK", False)), 7600
        ):
            text = f"simultaneous open {text}"
            sock = stage.program(port)
            connection, offer, option = cross(stage, port, eno(0x01, X25519), by_synack, text)
            check_equal(connected(sock), 0, f"{text}: connected")
            session = Session(connection, "B", X25519, offer.raw + option).exchange()
            talk_to_program(sock, session, text)
            check_equal(last(stage, port)["role"], "A", f"{text}: listed")
            sock.close()
            check_equal(session.read_end(), b"", f"{text}: ended")
            connection.close()
            crossed_as_b(stage, port + 10, by_synack)
            crossed_raw(stage, port + 20, by_synack)
        crossed_in_plain(stage)
        no_violation(stage, "simultaneous open")


def cross(stage, port, option, by_synack, text):
    """Both SYNs cross; returns (connection, the daemon's offer, our option)."""
    connection = stage.link.accept(port)
    syn = connection.first(SYN)
    offer = Offer.of(syn)
    # With SCALE: Linux goes on scaling its window after a SYN of the other end's without.
    connection.syn(SCALE + option)
    synack = connection.wait_for(SYN | ACK, "a SYN-ACK for our SYN")
    # 8547-4.6-4: not altered between SYN and SYN-ACK, unless ENO is off (8547-4.6-6).
    check(synack.eno() in ([offer.raw], []), f"{text}: the same option again", f"{synack.eno()}")
    if by_synack:
        connection.synack(SCALE + option)
    else:
        connection.ack(ACK_OPTION if option else b"")
    return connection, offer, option


def crossed_as_b(stage, port, by_synack):
    """8547-4.2-4, 8547-4.3-1: the program asks for b = 1, so it is this host that is B."""
    text = f"simultaneous open with b = 1 here, {'SYN-ACK' if by_synack else 'ACK'}"
    option = eno(P256, X25519)
    sock = stage.program(port, ((SELF_GOPT, 1),))
    connection, offer, _ = cross(stage, port, option, by_synack, text)
    check_equal(offer.role_bit, 1, f"{text}: offered")
    check_equal(connected(sock), 0, f"{text}: connected")
    # 8547-4.5: B's last one that A has, too.
    session = Session(connection, "A", offer.teps[-1], option + offer.raw).exchange()
    talk_to_program(sock, session, text)
    check_equal(last(stage, port)["role"], "B", f"{text}: listed")
    check_equal(sock.getsockopt(socket.IPPROTO_TCP, ROLE), 1, f"{text}: read back")
    sock.close()
    check_equal(session.read_end(), b"", f"{text}: ended")
    connection.close()


RAW_WORDS = b"framed by the program's own TEP"


def crossed_raw(stage, port, by_synack):
    """Programs with a TEP of their own, bound to a port, in either role."""
    for at, (own, option, role) in enumerate((
        (b"\x01\x40", eno(0x40), 1),
        (b"\x40", eno(0x01, 0x40), 0),
        (b"\x40", eno(0x40), None),  # 8547-4.3-2: the same role twice
        (b"\x01\x40", eno(0x01, 0x40), None),
        (b"\x40", eno(0x01, 0x41), None),
    )):
        text = f"simultaneous open, TCP_ENO_RAW {own.hex()}, {option.hex()}, {by_synack}"
        sock = stage.program(port + at * 20, ((RAW, own),), source=port)
        connection, offer, _ = cross(stage, port + at * 20, option, by_synack, text)
        check_equal(offer.raw, eno(own), f"{text}: offered")
        check_equal(connected(sock), 0, f"{text}: connected")
        phase = sock.getsockopt(socket.IPPROTO_TCP, STATE) & 0xFF
        check_equal(phase, DISABLED if role is None else ENCRYPTING, f"{text}: state")
        sock.sendall(RAW_WORDS)
        check_equal(connection.wait_bytes(len(RAW_WORDS)), RAW_WORDS, f"{text}: its bytes")
        if role is not None:
            a, b = (option, offer.raw) if role else (offer.raw, option)
            # The option has no ROLE to read for a TEP of the program's own; the order tells.
            check_equal(sock.getsockopt(socket.IPPROTO_TCP, TRANSCRIPT, 128), a + b,
                        f"{text}: A's option first")
        else:
            # 8547-4.6-3
            later = [s for s in connection.incoming() if s.eno() and not s.has(SYN)]
            check_equal(len(later), 0, f"{text}: no ENO after the SYN")
        sock.close()
        connection.close()


def crossed_in_plain(stage):
    for port, (text, option) in enumerate((("both b = 0", eno(X25519)), ("no ENO", b"")), 7650):
        for by_synack in (True, False):
            name = f"simultaneous open, {text}, {'SYN-ACK' if by_synack else 'ACK'}"
            stage.daemon.tool("flush")
            sock = stage.program(port)
            connection, _, _ = cross(stage, port, option, by_synack, name)
            plain_to_program(sock, connection, name)
            sock.close()
            connection.close()


# ---- the daemon survives ------------------------------------------------------------------


# ---- handshakes by the book ----------------------------------------------------------------


def handshakes():
    """8547-4.6-1, 8547-4.6-2, 8547-4.6-3, 8547-4.6-7: what the vectors say of received segments."""
    path = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "eno_negotiation.json"
    cases = json.loads(path.read_text())["handshakes"]
    with Net() as net:
        stage = Stage(net, "remember-plain-seconds = 0\n")
        for port, case in enumerate(cases, 7300):
            name = case["id"]
            if name.startswith("simopen"):
                continue  # simultaneous_open() has these
            encrypted = case["expected"] == "enabled"
            if case["at"] == "passive":
                handshake_with_server(stage, name, case["received"], encrypted)
            else:
                handshake_with_program(stage, port, name, case["received"], encrypted)
        no_violation(stage, "handshakes")


def handshake_with_server(stage, name, segments, encrypted):
    """The host is the passive opener; a segment's payload is an Init message or plain text."""
    connection = stage.link.open(stage.address, stage.port)
    option, session, own = eno(X25519), None, None
    for segment in segments:
        if "S" in segment["flags"]:
            before = len(connection.incoming())
            connection.syn(option if segment["eno"] else b"")
            connection.wait(lambda: len(connection.incoming()) > before, "SYN-ACK")
            answer = connection.incoming()[before].eno()
            check_equal(bool(answer), segment["then_every_segment_carries_eno"],
                        f"{name}: ENO in the SYN-ACK")
            if answer:
                session = Session(connection, "A", X25519, option + answer[0])
        elif "P" in segment["flags"]:
            own = session.make_init() if segment["eno"] else None
            connection.send(own or HELLO, options=ACK_OPTION if segment["eno"] else b"")
        else:
            connection.ack(ACK_OPTION if segment["eno"] else b"")
    if not encrypted:
        plain_echo(stage, connection, name)
    elif own:
        session.derive(own, *session.read_init())
        echo_and_end(session, name)
    else:
        echo_and_end(session.exchange(), name)
    connection.close()


def handshake_with_program(stage, port, name, segments, encrypted):
    """The host is the active opener."""
    sock = stage.program(port)
    connection = stage.link.accept(port)
    offer, option = Offer.of(connection.first(SYN)), eno(0x01, X25519)
    for segment in segments:
        if "S" in segment["flags"]:
            before = len(connection.incoming())
            connection.synack(option if segment["eno"] else b"")
            connection.wait(lambda: len(connection.incoming()) > before, "ACK")
            carries = connection.incoming()[before].eno() == [ACK_OPTION]
            check_equal(carries, segment["then_every_segment_carries_eno"], f"{name}: ENO in the ACK")
        else:
            connection.ack(b"")
    if encrypted:
        session = Session(connection, "B", X25519, offer.raw + option).exchange()
        check_equal(connected(sock), 0, f"{name}: connected")
        talk_to_program(sock, session, name)
    else:
        plain_to_program(sock, connection, name)
    connection.close()
    sock.close()


def footprint(daemon):
    """(resident KiB, open descriptors) of the daemon."""
    proc = pathlib.Path(f"/proc/{daemon.pid()}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]), len(list((proc / "fd").iterdir()))


SANITIZER_SLACK = 64 << 10  # KiB: freed memory that AddressSanitizer keeps for a while


def check_footprint(daemon, before):
    """As many descriptors as before, and hardly more memory."""
    wait_for(lambda: footprint(daemon)[1] <= before[1], "no more descriptors than before")
    rss, _ = footprint(daemon)
    check(rss <= before[0] + SANITIZER_SLACK, "memory is flat", f"{before[0]} -> {rss} KiB")


if __name__ == "__main__":
    main(
        "a peer made from the RFC texts alone finds no violation, as client and as server",
        client_conversations,
        client_frames,
        many_empty_frames,
        out_of_order,
        rekeying,
        misbehaving_client,
        negotiation_as_client,
        repeated_syn,
        server_conversations,
        negotiation_as_server,
        misbehaving_server,
        mandatory_late,
        simultaneous_open,
        handshakes,
    )
