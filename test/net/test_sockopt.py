#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The socket options of tcp_eno(7): what they read, what they change, when they refuse."""
import contextlib
import ctypes
import errno
import os
import socket
import struct

from apps import Server, bound_time, echo, errno_of, family_name, read_exactly
from harness import Net, Skip, check, check_equal, libc, main, wait_for
from load import stopped
from packets import Capture
from wire import wired_pair

FAMILIES = (socket.AF_INET, socket.AF_INET6)
MARKER = b"A word that is meant for the other end only. "

# include/tcpcrypt/tcp_eno.h
ENABLED, SESSID, NEGTEP, TEPS, SELF_GOPT, PEER_GOPT = range(1026, 1032)
AA_MANDATORY, TEP_MANDATORY, ROLE, SELF_NAME, PEER_NAME, RAW = range(1032, 1038)
TRANSCRIPT, STATE, CONF, CACHE_FLUSH, ACONF, BCONF = range(1038, 1044)
RESUMED, REKEY, NONCE_LEN = range(1044, 1047)
ALL = range(ENABLED, NONCE_LEN + 1)
READ_INTS = (NEGTEP, PEER_GOPT, ROLE, RESUMED)
READ_BYTES = (SESSID, SELF_NAME, PEER_NAME, TRANSCRIPT, CONF)
UNCONNECTED, NEGOTIATING, ENCRYPTING, DISABLED = range(4)
NO_OPTION, NOT_APP_AWARE, NO_COMMON_TEP, LEFT_ALONE, SWITCHED_OFF = 1, 5, 6, 10, 11
ROLE_CONFLICT = 4
VIEWS = 2048  # bpf/shared.h
GOPT_A = 2
CROWD = 200
AES_128, AES_256, CHACHA20 = b"\0\x01", b"\0\x02", b"\0\x10"


def get(sock, option):
    """An option's value: an int, or bytes."""
    if option in READ_BYTES + (TEPS, RAW, ACONF, BCONF):
        return sock.getsockopt(socket.IPPROTO_TCP, option, 128)
    return sock.getsockopt(socket.IPPROTO_TCP, option)


def put(sock, option, value):
    sock.setsockopt(socket.IPPROTO_TCP, option, value)


def get_error(sock, option):
    return errno_of(lambda: get(sock, option))


def put_error(sock, option, value):
    return errno_of(lambda: put(sock, option, value))


def named(number):
    return errno.errorcode.get(number, number)


def check_errors(sock, options, expected, text):
    """Reading each of the options fails in the expected way."""
    got = {option: named(get_error(sock, option)) for option in options}
    wrong = {option: error for option, error in got.items() if error != named(expected)}
    check(not wrong, f"{text}: {named(expected)}", wrong)


def state(sock):
    """Phase and reason."""
    value = get(sock, STATE)
    return value & 0xFF, value >> 8


def settled(sock):
    """The connection's state when it is negotiated; the keys may take a moment."""
    wait_for(lambda: state(sock)[0] not in (UNCONNECTED, NEGOTIATING), "the end of negotiation")
    return state(sock)


class Listener:
    """A listening socket of a program in host, with options set before listen()."""

    def __init__(self, host, options=(), family=socket.AF_INET, port=0):
        self.socket = bound_time(host.socket(family))
        for option, value in options:
            put(self.socket, option, value)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("", port))
        self.socket.listen(16)
        self.port = self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def opened(host, address, port, options=(), family=socket.AF_INET):
    """A connected socket of a program in host, with options set before connect()."""
    sock = bound_time(host.socket(family))
    try:
        for option, value in options:
            put(sock, option, value)
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock


class Both:
    """Both ends of a connection from a to b: `client` and `server`, each with its options."""

    def __init__(self, a, b, client=(), server=(), family=socket.AF_INET, port=0):
        with Listener(b, server, family, port) as listener:
            self.port = listener.port
            address = b.addresses[family]
            self.client = opened(a, address, listener.port, client, family)
            self.server = bound_time(listener.socket.accept()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.close()

    def states(self):
        return settled(self.client), settled(self.server)

    def talk(self):
        """A word in each direction; says whether it came."""
        self.client.sendall(MARKER)
        there = read_exactly(self.server, len(MARKER))
        self.server.sendall(there)
        return read_exactly(self.client, len(MARKER)) == MARKER


def daemons(net, config=""):
    a, b = net.pair()
    config += "resume-max = 0\n"  # a resumed session has its own TEP and AEAD: test_resume.py
    return a, b, net.daemon(a, config), net.daemon(b, config)


# ---- what a connection tells --------------------------------------------------------------


def session_ids():
    """8547-5.1-2: equal session IDs at both ends, on connect()ed and accept()ed sockets."""
    for family in FAMILIES:
        with Net() as net:
            a, b, wire = wired_pair(net)
            da, _ = net.daemon(a), net.daemon(b)
            text = family_name(family)
            with Both(a, b, family=family) as both:
                check_equal(both.states(), ((ENCRYPTING, 0), (ENCRYPTING, 0)), f"{text}: STATE")
                check(both.talk(), f"{text}: the connection works")
                check_encrypted(both, text)
                listed = da.wait_list(port=both.port)[0]["session_id"]
                check_equal(get(both.client, SESSID).hex(), listed, f"{text}: `tcpcrypt list`")
                (flow,) = wire.flows(both.port)
                options = flow.syn.eno() + flow.synack.eno()
                check_equal(get(both.client, TRANSCRIPT), options, f"{text}: TRANSCRIPT")
            check(not wire.contains(MARKER), f"{text}: nothing in plain")


def check_encrypted(both, text):
    client, server = both.client, both.server
    sid = get(client, SESSID)
    check_equal((len(sid), sid[0]), (33, 0x23), f"{text}: SESSID's form")
    check_equal(sid, get(server, SESSID), f"{text}: equal SESSID")
    for option, values in (
        (NEGTEP, (0x23, 0x23)),
        (ROLE, (0, 1)),
        (SELF_NAME, (b"\0" + sid, b"\1" + sid)),
        (PEER_NAME, (b"\1" + sid, b"\0" + sid)),
        (PEER_GOPT, (1, 0)),
        (SELF_GOPT, (0, 1)),
        (RESUMED, (0, 0)),
    ):
        got = (get(client, option), get(server, option))
        check_equal(got, values, f"{text}: option {option} at both ends")
    for option in (CONF, TRANSCRIPT):
        check_equal(get(client, option), get(server, option), f"{text}: option {option} agrees")
    check(get(client, CONF) in (AES_128, AES_256, CHACHA20), f"{text}: CONF")
    small = errno_of(lambda: client.getsockopt(socket.IPPROTO_TCP, SESSID, 32))
    check_equal(named(small), "EINVAL", f"{text}: no part of a session ID")


def after_the_end():
    """What was read once can be read until the socket is closed."""
    with Net() as net:
        a, b, da, _ = daemons(net)
        with Both(a, b) as both:
            both.talk()
            sid = get(both.client, SESSID)
            both.server.close()
            check_equal(both.client.recv(1), b"", "the connection ends")
            both.client.shutdown(socket.SHUT_WR)
            da.wait_list(port=both.port, state="closed")
            check_equal(get(both.client, SESSID), sid, "SESSID after the end")


def many():
    """Sessions are told also where a flow that lives on has the place of another (SHARED_VIEWS)."""
    with Net() as net:
        a, b = net.pair()
        for host in (a, b):  # with one worker each, whose flows have the places in turn
            net.daemon(host, wrapper=["taskset", "-c", "0"])
        with Listener(b) as listener, contextlib.ExitStack() as stack:

            def connected():
                address = b.addresses[socket.AF_INET]
                client = stack.enter_context(opened(a, address, listener.port))
                server = stack.enter_context(bound_time(listener.socket.accept()[0]))
                client.sendall(MARKER)
                server.sendall(read_exactly(server, len(MARKER)))
                read_exactly(client, len(MARKER))
                return client, server

            def agree(pairs):
                return all(get(client, SESSID) == get(server, SESSID) for client, server in pairs)

            # What is asked for once is kept with the socket, so nothing is until all are there.
            early = [connected() for _ in range(8)]
            for _ in range(VIEWS - 16):
                client, server = connected()
                client.close()
                server.close()
            late = [connected() for _ in range(24)]
            check(agree(late), "SESSID of flows whose place is another's")
            check(agree(early), "SESSID of those that had it first")
            names = {get(client, SESSID) for client, _ in early + late}
            check_equal(len(names), 32, "each has its own")
            for client, server in early:
                client.close()
                server.close()
            fresh = [connected() for _ in range(8)]
            check(agree(late + fresh), "SESSID when the first have ended")


def programs():
    """Static programs in C and Go, each as client and as server."""
    tools = {"C": os.environ.get("SOCKOPT_C"), "Go": os.environ.get("SOCKOPT_GO")}
    for name in [name for name, path in tools.items() if not path]:
        print(f"     without the {name} program, which is not built")
        del tools[name]
    if not tools:
        raise Skip("run by `meson test`, which builds the programs")
    with Net() as net:
        a, b, _, _ = daemons(net)
        port = 7000
        for client, server, family in [
            (c, s, f) for c in tools for s in tools for f in FAMILIES
        ]:
            port += 1
            address = b.addresses[family]
            there = b.start([tools[server], "listen", address, port], stdout=-1, text=True)
            b.wait_listening(port)
            here = a.run([tools[client], "connect", address, port]).stdout
            text = f"{client} client, {server} server, {family_name(family)}"
            check_equal(len(here), 67, f"{text}: a session ID")
            check_equal(here, there.communicate(timeout=30)[0], f"{text}: equal at both ends")


# ---- values and errors --------------------------------------------------------------------


def values():
    """Defaults, what may be written, and that it reads back."""
    with Net() as net:
        a, b, _, _ = daemons(net, "aeads = aes-256-gcm aes-128-gcm\nteps = x25519 p256\n")
        good = {
            ENABLED: (-1, (0, 1, -1)),
            TEPS: (b"\x23\x21", (b"\x24", b"\x22\x24\x21\x23", b"\xa3")),
            SELF_GOPT: (0, (2, 31, 0)),
            AA_MANDATORY: (0, (1, 0)),
            TEP_MANDATORY: (0, (1, 0)),
            ACONF: (AES_256 + AES_128, (CHACHA20, AES_128 + AES_256 + CHACHA20)),
            BCONF: (AES_128 + AES_256, (AES_128, CHACHA20 + AES_256)),
            NONCE_LEN: (8, (0, 8, 3)),
            RAW: (None, (b"\x30", b"\x01\x21\xc5\x01\x02", bytes(37) + b"\x30")),
        }
        bad = {
            ENABLED: (-2, 2),
            TEPS: (b"\x1f", b"\x20", b"\x25", b"\x7f", b"\x80", b"\xa0", b"\x23\x23", b"\x23\xa3"),
            SELF_GOPT: (-1, 32),
            AA_MANDATORY: (-1, 2),
            TEP_MANDATORY: (-1, 2),
            ACONF: (b"", b"\x01", b"\0\x03", b"\1\x01", AES_128 + AES_128, AES_128 + b"\0"),
            BCONF: (b"", b"\0\0", b"\0\x11", CHACHA20 * 2),
            NONCE_LEN: (-1, 9),
            RAW: (b"\x9f", b"\x80", b"\x80\x23\x01", bytes(39)),
            CACHE_FLUSH: (0, 2),
            REKEY: (0, 2),
        }
        with a.socket() as sock:
            for option, (default, written) in good.items():
                check_value(sock, option, default, written)
            for option, refused in bad.items():
                got = {named(put_error(sock, option, value)) for value in refused}
                check_equal(got, {"EINVAL"}, f"option {option}: bad values are EINVAL")
            check_equal(put_error(sock, ENABLED, b"\1"), errno.EINVAL, "half an int is EINVAL")
        with a.socket() as sock:
            put(sock, CACHE_FLUSH, 1)
            check_equal(put_error(sock, REKEY, 1), errno.ENOTCONN, "REKEY unconnected")
            put(sock, TEPS, b"")
            check_equal(get_error(sock, TEPS), errno.ENODATA, "an empty list has no value")
        for option in READ_INTS + READ_BYTES + (STATE,):
            with a.socket() as sock:
                check(put_error(sock, option, 1), f"option {option} cannot be written")
        for option in (CACHE_FLUSH, REKEY):
            with a.socket() as sock:
                check(get_error(sock, option), f"option {option} cannot be read")


def check_value(sock, option, default, written):
    if default is None:
        check_equal(get_error(sock, option), errno.ENODATA, f"option {option}: no default")
    else:
        check_equal(get(sock, option), default, f"option {option}: default")
    for value in written:
        put(sock, option, value)
        check_equal(get(sock, option), value, f"option {option}: reads back {value}")


def errors():
    """8547-5.1-3: an error wherever there is no encrypted connection."""
    session = READ_INTS + READ_BYTES
    with Net() as net:
        a, b, _, _ = daemons(net)
        with a.socket() as sock:
            check_errors(sock, session, errno.ENOTCONN, "unconnected")
            check_equal(state(sock), (UNCONNECTED, 0), "unconnected: STATE")
            sock.bind(("", 0))
            sock.listen()
            check_errors(sock, session, errno.ENOTCONN, "listening")
            check_equal(state(sock), (UNCONNECTED, 0), "listening: STATE")
        with a.socket(kind=socket.SOCK_DGRAM) as sock:
            check_errors(sock, ALL, errno.EOPNOTSUPP, "UDP")
            check(put_error(sock, ENABLED, 1), "UDP: cannot be written")
        with Both(a, a) as both:
            for end, sock in (("client", both.client), ("server", both.server)):
                check_errors(sock, session, errno.EINVAL, f"loopback, {end}")
                check_equal(state(sock), (DISABLED, LEFT_ALONE), f"loopback, {end}: STATE")
                check_equal(put_error(sock, REKEY, 1), errno.EINVAL, "loopback: REKEY")
                check_equal(put_error(sock, CACHE_FLUSH, 1), errno.EINVAL, "CACHE_FLUSH")
        with Both(a, b) as both:
            both.states()
            too_late(both.client, "connected")
            too_late(both.server, "accepted")
            put(both.client, CACHE_FLUSH, 1)
            check(both.talk(), "CACHE_FLUSH on an encrypted connection leaves it as it is")
    no_daemon_there()
    silent_peer()


def too_late(sock, text):
    late = {
        ENABLED: 1, TEPS: b"\x23", SELF_GOPT: 2, AA_MANDATORY: 1, RAW: b"\x30",
        ACONF: AES_128, BCONF: AES_128, NONCE_LEN: 1,
    }
    got = {named(put_error(sock, option, value)) for option, value in late.items()}
    check_equal(got, {"EISCONN"}, f"{text}: too late to write")


def no_daemon_there():
    """Carried by the daemon in plain, and then past it."""
    session = READ_INTS + READ_BYTES
    with Net() as net:
        a, b = net.pair()
        net.daemon(a)
        with Both(a, b, port=7200) as both:
            check_equal(settled(both.client), (DISABLED, NO_OPTION), "plain: STATE")
            check_errors(both.client, session, errno.EINVAL, "plain")
            check(both.talk(), "plain: works")
        with Both(a, b, port=7200) as both:
            check_equal(settled(both.client), (DISABLED, LEFT_ALONE), "remembered: STATE")
            check_errors(both.client, session, errno.EINVAL, "remembered")
        with b.socket() as sock:
            check_errors(sock, ALL, errno.ENOPROTOOPT, "in another namespace")
            check(put_error(sock, ENABLED, 1), "in another namespace: cannot be written")


def silent_peer():
    """While connect() waits."""
    with Net() as net:
        a, b = net.pair()
        net.daemon(a)
        b.ip("link", "set", b.interfaces[0], "down")
        with a.socket() as sock:
            a.ip("neigh", "add", b.addresses[socket.AF_INET], "lladdr", "02:00:00:00:00:01",
                 "dev", a.interfaces[0])
            sock.setblocking(False)
            check_equal(sock.connect_ex((b.addresses[socket.AF_INET], 7)), errno.EINPROGRESS,
                        "connect() waits")
            check_errors(sock, READ_INTS + READ_BYTES, errno.ENOTCONN, "negotiating")
            check_equal(state(sock), (NEGOTIATING, 0), "negotiating: STATE")
            check_equal(put_error(sock, ENABLED, 0), errno.EISCONN, "negotiating: too late")


def others_options():
    """Other options are as ever, also where the programs see only a part of them."""
    with Net() as net:
        a, _ = net.pair()
        net.daemon(a)
        with a.socket() as sock:
            room, size = ctypes.create_string_buffer(8192), ctypes.c_uint32(8192)
            error = libc.getsockopt(sock.fileno(), socket.IPPROTO_TCP, socket.TCP_INFO, room,
                                    ctypes.byref(size))
            check(error == 0 and 100 < size.value < 8192, "TCP_INFO into a large buffer")
            long = struct.pack("i", 1) + bytes(8192)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, long)
            check_equal(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1,
                        "a long value, of which the kernel reads the beginning")
            error = errno_of(lambda: sock.getsockopt(socket.IPPROTO_TCP, NONCE_LEN + 1))
            check_equal(error, errno.ENOPROTOOPT, "the number after the last")


# ---- what wishes change -------------------------------------------------------------------


def enabled():
    with Net() as net:
        a, b, _, _ = daemons(net, "ports-left-alone = 7100\n")
        with Both(a, b, client=[(ENABLED, 0)]) as both:
            check_equal(both.states(), ((DISABLED, SWITCHED_OFF), (DISABLED, LEFT_ALONE)),
                        "ENABLED 0 before connect()")
            check(both.talk(), "it works")
        with Both(a, b, server=[(ENABLED, 0)]) as both:
            check_equal(both.states(), ((DISABLED, NO_OPTION), (DISABLED, SWITCHED_OFF)),
                        "ENABLED 0 before listen()")
            check(both.talk(), "it works")
        with Both(a, b, client=[(TEPS, b"")]) as both:
            check_equal(settled(both.client), (DISABLED, SWITCHED_OFF), "no TEPS")
        with Both(a, b, port=7100) as both:
            check_equal(settled(both.client), (DISABLED, LEFT_ALONE), "a port left alone")
        with Both(a, b, [(ENABLED, 1)], [(ENABLED, 1)], port=7100) as both:
            check_equal(both.states(), ((ENCRYPTING, 0), (ENCRYPTING, 0)), "ENABLED 1 wins")


def teps():
    with Net() as net:
        a, b, _, _ = daemons(net)
        for client, server, chosen in (
            (b"\x24", b"\x24\x23", 0x24),
            (b"\x23\x21\x22", b"\x22\x21", 0x22),  # host B's order counts
            (b"\x23\x21\x22", b"\xa1\xa2", 0x21),
            (None, b"\x21\x23", 0x21),
            (b"\x21", None, 0x21),
        ):
            wish = [[(TEPS, value)] if value else [] for value in (client, server)]
            with Both(a, b, *wish) as both:
                both.states()
                got = (get(both.client, NEGTEP), get(both.server, NEGTEP))
                check_equal(got, (chosen, chosen), f"TEPS {client} and {server}")
                check(both.talk(), "it works")
        with Both(a, b, [(TEPS, b"\x24")], [(TEPS, b"\x23")]) as both:
            check_equal(settled(both.client)[0], DISABLED, "nothing in common")
            check_equal(settled(both.server), (DISABLED, NO_COMMON_TEP), "nothing in common")
            check(both.talk(), "works in plain")


def global_suboption():
    """8547-4.2-4, 8547-4.2-5, 8547-4.2-6"""
    with Net() as net:
        a, b, _, _ = daemons(net)
        with Both(a, b, [(SELF_GOPT, GOPT_A)], [(SELF_GOPT, GOPT_A)]) as both:
            both.states()
            got = (get(both.client, PEER_GOPT), get(both.server, PEER_GOPT))
            check_equal(got, (3, 2), "PEER_GOPT: application-aware at both ends")
            check_equal(get(both.server, SELF_GOPT), 3, "SELF_GOPT: b is the server's")
        with Both(a, b, [(SELF_GOPT, 31)]) as both:
            both.states()
            check_equal(get(both.server, PEER_GOPT) if settled(both.server)[0] == ENCRYPTING
                        else None, None, "b = 1 from both: not encrypted")
            check_equal(settled(both.client)[0], DISABLED, "b = 1 before connect(): plain")
        with Both(a, b, [(SELF_GOPT, 30)]) as both:
            both.states()
            check_equal(get(both.server, PEER_GOPT), GOPT_A, "reserved bits stay zero")
        for client, server, encrypted in (
            ([(AA_MANDATORY, 1)], [(SELF_GOPT, GOPT_A)], True),
            ([(SELF_GOPT, GOPT_A)], [(AA_MANDATORY, 1)], True),
            ([(AA_MANDATORY, 1)], [(AA_MANDATORY, 1)], True),
            ([(AA_MANDATORY, 1)], [], False),
            ([], [(AA_MANDATORY, 1)], False),
        ):
            with Both(a, b, client, server) as both:
                got = [s[0] for s in both.states()]
                expected = [ENCRYPTING if encrypted else DISABLED] * 2
                check_equal(got, expected, f"AA_MANDATORY: {client} {server}")
                check(both.talk(), "it works")


def aeads():
    """8548-3.3-6"""
    with Net() as net:
        a, b, _, _ = daemons(net)
        for client, server, chosen in (
            ([(ACONF, CHACHA20)], [], CHACHA20),
            ([], [(BCONF, CHACHA20 + AES_128 + AES_256)], AES_256),
            ([(ACONF, AES_256 + AES_128)], [(BCONF, AES_256 + AES_128 + CHACHA20)], AES_128),
            ([(BCONF, CHACHA20)], [(ACONF, CHACHA20), (BCONF, AES_256)], AES_256),
        ):
            with Both(a, b, client, server) as both:
                both.states()
                got = (get(both.client, CONF), get(both.server, CONF))
                check_equal(got, (chosen, chosen), f"{client} {server}")
                check(both.talk(), "it works")


def rekey():
    with Net() as net:
        a, b, da, db = daemons(net)
        with Both(a, b) as both:
            both.states()
            put(both.client, REKEY, 1)
            wait_for(lambda: da.list(port=both.port)[0]["rekeys"] >= 1, "the client's rekeying")
            wait_for(lambda: db.list(port=both.port)[0]["rekeys"] >= 1, "the server's answer")
            put(both.server, REKEY, 1)
            wait_for(lambda: db.list(port=both.port)[0]["rekeys"] >= 2, "the server's rekeying")
            check(both.talk(), "REKEY from either end")


# ---- no connection unless encrypted -------------------------------------------------------


def mandatory_at_the_client():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            da = net.daemon(a)
            wire = net.use(Capture(a, a.interfaces[0]))
            text = family_name(family)
            with Server(b, echo, family) as server:
                for time in ("first", "second"):
                    error = errno_of(lambda: opened(a, b.addresses[family], server.port,
                                                    [(TEP_MANDATORY, 1)], family))
                    check_equal(named(error), "ECONNREFUSED", f"{text}: {time} connect()")
                sent = [p for p in wire.packets(server.port) if p.payload]
                check_equal(len(sent), 0, f"{text}: no payload on the wire")
            check_equal(da.status()["failed"].get("tep-mandatory"), 2, f"{text}: counted")
    with Net() as net:
        a, b, _, _ = daemons(net)
        with Both(a, b, [(TEP_MANDATORY, 1)], [(TEP_MANDATORY, 1)]) as both:
            check_equal(both.states(), ((ENCRYPTING, 0), (ENCRYPTING, 0)), "encrypted: goes on")
            put(both.client, TEP_MANDATORY, 1)
            check(both.talk(), "encrypted: set again later, goes on")
        with Listener(a) as listener:
            error = errno_of(lambda: opened(a, a.addresses[socket.AF_INET], listener.port,
                                            [(TEP_MANDATORY, 1)]))
            check_equal(named(error), "ECONNREFUSED", "to the host itself")


def accepts(listening):
    try:
        listening.accept()[0].close()
        return True
    except TimeoutError:
        return False


def mandatory_at_the_server():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            net.daemon(b)
            wire = net.use(Capture(b, b.interfaces[0]))
            text = family_name(family)
            with Listener(b, [(TEP_MANDATORY, 1)], family) as listener:
                with opened(a, b.addresses[family], listener.port, (), family) as sock:
                    error = errno_of(lambda: (sock.sendall(MARKER), sock.recv(1)))
                    check(error in (errno.ECONNRESET, errno.EPIPE), f"{text}: reset", named(error))
                listener.socket.settimeout(0.5)
                check(not accepts(listener.socket), f"{text}: nothing to accept()")
                answers = [p for p in wire.packets(listener.port)
                           if p.payload and p.src[1] == listener.port]
                check_equal(len(answers), 0, f"{text}: no payload in answer")
                error = errno_of(lambda: opened(b, b.addresses[family], listener.port, (), family))
                check_equal(named(error), "ECONNREFUSED", f"{text}: from the host itself")


def mandatory_late():
    with Net() as net:
        a, b = net.pair()
        net.daemon(a)
        with Both(a, b, port=7200) as both:
            check_equal(settled(both.client)[0], DISABLED, "a plain connection")
            put(both.client, TEP_MANDATORY, 1)
            error = errno_of(lambda: both.client.recv(1))
            check_equal(named(error), "ECONNRESET", "is aborted at once")
        with Both(a, b, port=7200) as both:  # remembered: past the daemon
            check_equal(put_error(both.client, TEP_MANDATORY, 1), errno.EINVAL,
                        "one that the daemon does not carry: EINVAL")
            put(both.client, TEP_MANDATORY, 0)


def connecting(host, address, port):
    sock = host.socket()
    sock.setblocking(False)
    sock.connect_ex((address, port))
    return sock


def said_in_between(a, b, daemon, listener):
    """CROWD connections, on each of which TEP_MANDATORY is set as the daemon turns to it."""
    address, port = b.addresses[socket.AF_INET], listener.getsockname()[1]

    def opening():
        return [s for s in a.tcp_sockets() if s.remote == port]

    b.ip("route", "add", "blackhole", f"{a.addresses[socket.AF_INET]}/32")
    socks = [connecting(a, address, port) for _ in range(CROWD)]
    wait_for(lambda: len(opening()) == CROWD, "the daemon to connect, too")
    with stopped(daemon):
        b.ip("route", "del", "blackhole", f"{a.addresses[socket.AF_INET]}/32")
        wait_for(lambda: not any(s.connects for s in opening()), "the server's answers")
    for sock in socks:
        put(sock, TEP_MANDATORY, 1)
    return socks


def mandatory_in_between():
    """What a program says while its connect() comes to its end is not lost, whenever the daemon hears it."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, "remember-plain-seconds = 0\nworkers = 1\n")
        with b.socket() as listener:
            listener.bind((b.addresses[socket.AF_INET], 0))
            listener.listen(CROWD)
            socks = said_in_between(a, b, daemon, listener)

            def lives(sock):
                return errno_of(lambda: sock.recv(1)) == errno.EAGAIN

            with contextlib.suppress(TimeoutError):
                wait_for(lambda: not any(map(lives, socks)), "all to end", 10)
            check_equal(sum(map(lives, socks)), 0, f"of {CROWD} none stays plain")
            for sock in socks:
                sock.close()


def mandatory_while_paused():
    """A server that wants no plain connection is not reached while the daemon takes none."""
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            daemon = net.daemon(b, "max-connections = 1\n")
            wire = net.use(Capture(b, b.interfaces[0]))
            text = f"daemon at its limit, {family_name(family)}"
            with Server(a, lambda conn, peer: conn.recv(1)) as far, Listener(
                b, [(TEP_MANDATORY, 1)], family
            ) as listener:
                occupant = opened(b, a.addresses[socket.AF_INET], far.port)
                daemon.wait_list(port=far.port, recent=False)
                with bound_time(a.socket(family)) as sock:
                    sock.setblocking(False)
                    sock.connect_ex((b.addresses[family], listener.port))
                    wait_for(lambda: len(wire.packets(listener.port)) >= 2, "its SYN and another")
                    sent = [p for p in wire.packets(listener.port) if p.src[1] == listener.port]
                    check_equal(len(sent), 0, f"{text}: no answer to a SYN")
                    error = errno_of(lambda: opened(b, b.addresses[family], listener.port, (),
                                                    family))
                    check_equal(named(error), "ECONNREFUSED", f"{text}: from the host itself")
                    occupant.close()
                    wait_for(lambda: not daemon.list(recent=False), "room for another one")
                    sock.setblocking(True)
                    bound_time(sock)
                    error = errno_of(lambda: (sock.sendall(MARKER), sock.recv(1)))
                    check(error in (errno.ECONNRESET, errno.EPIPE), f"{text}: then it is reset",
                          named(error))
                listener.socket.settimeout(0.5)
                check(not accepts(listener.socket), f"{text}: nothing to accept()")


# ---- a TEP of the program's own -----------------------------------------------------------


def raw():
    """RFC 8547 with an experimental TEP: the daemon carries none of it."""
    for family in FAMILIES:
        with Net() as net:
            a, b, wire = wired_pair(net)
            da, db = net.daemon(a), net.daemon(b)
            text = f"RAW, {family_name(family)}"
            with Both(a, b, [(RAW, b"\x40\xc5\x01\x02")], [(RAW, b"\x40")], family) as both:
                check_equal(both.states(), ((ENCRYPTING, 0), (ENCRYPTING, 0)), f"{text}: STATE")
                check(both.talk(), f"{text}: the connection works")
                (flow,) = wire.flows(both.port)
                sent = [p.eno() for p in (flow.syn, flow.synack, flow.ack)]
                check_equal(sent, [b"\x45\x06\x40\xc5\x01\x02", b"\x45\x04\x01\x40", b"\x45\x02"],
                            f"{text}: the options")
                for end in (both.client, both.server):
                    check_equal(get(end, TRANSCRIPT), sent[0] + sent[1], f"{text}: TRANSCRIPT")
                    rest = READ_INTS + tuple(o for o in READ_BYTES if o != TRANSCRIPT)
                    check_errors(end, rest, errno.EINVAL, f"{text}: the rest is inert")
            check(wire.contains(MARKER), f"{text}: the program's own bytes on the wire")
            check_equal(len(da.list() + db.list()), 0, f"{text}: not the daemons' business")
            for client, server, phases in (
                ([(RAW, b"\x40")], [(RAW, b"\x41")], (DISABLED, DISABLED)),
                ([(RAW, b"\x40")], [], (DISABLED, DISABLED)),
                ([(RAW, b"\x01\x40")], [(RAW, b"\x40")], (DISABLED, DISABLED)),
                ([(ENABLED, 0)], [(RAW, b"\x40")], (DISABLED, DISABLED)),
            ):
                with Both(a, b, client, server, family) as both:
                    got = tuple(s[0] for s in both.states())
                    check_equal(got, phases, f"{text}: {client} {server}")
                    check_errors(both.client, (TRANSCRIPT,), errno.EINVAL, f"{text}: TRANSCRIPT")
                    check(both.talk(), f"{text}: works in plain")


if __name__ == "__main__":
    main(
        "socket options tell of connections what is so, and change what they say",
        session_ids,
        after_the_end,
        many,
        programs,
        values,
        errors,
        others_options,
        enabled,
        teps,
        global_suboption,
        aeads,
        rekey,
        mandatory_at_the_client,
        mandatory_at_the_server,
        mandatory_late,
        mandatory_in_between,
        mandatory_while_paused,
        raw,
    )
