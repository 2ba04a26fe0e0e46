# SPDX-License-Identifier: BSD-2-Clause
"""Socket options: what reads back, and what reaches the wire."""
import functools
import os
import re
import select
import socket
import struct
import time

from cases import case
from connecting import greet
from names import converse
from packets import SYN
from program import output, reset

BOTH = ("v4", "v6")
SOL, TCP, IP, IP6 = (socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP,
                     socket.IPPROTO_IPV6)
SO_MAX_PACING_RATE, TCP_CONGESTION, TCP_INFO = 47, socket.TCP_CONGESTION, socket.TCP_INFO
IPV6_TCLASS = 67

# name, level, option, value
READ_BACK = (
    ("SO_KEEPALIVE", SOL, socket.SO_KEEPALIVE, 1),
    ("TCP_KEEPIDLE", TCP, socket.TCP_KEEPIDLE, 77),
    ("TCP_KEEPINTVL", TCP, socket.TCP_KEEPINTVL, 7),
    ("TCP_KEEPCNT", TCP, socket.TCP_KEEPCNT, 3),
    ("TCP_NODELAY", TCP, socket.TCP_NODELAY, 1),
    ("TCP_CORK", TCP, socket.TCP_CORK, 1),
    ("TCP_QUICKACK", TCP, socket.TCP_QUICKACK, 0),
    ("TCP_USER_TIMEOUT", TCP, socket.TCP_USER_TIMEOUT, 4321),
    ("TCP_LINGER2", TCP, socket.TCP_LINGER2, 5),
    ("TCP_WINDOW_CLAMP", TCP, socket.TCP_WINDOW_CLAMP, 30_000),
    ("TCP_NOTSENT_LOWAT", TCP, 25, 16_384),
    ("TCP_SYNCNT", TCP, socket.TCP_SYNCNT, 4),
    ("SO_SNDBUF", SOL, socket.SO_SNDBUF, 30_000),
    ("SO_RCVBUF", SOL, socket.SO_RCVBUF, 30_000),
    ("SO_RCVLOWAT", SOL, socket.SO_RCVLOWAT, 10),
    ("SO_PRIORITY", SOL, socket.SO_PRIORITY, 5),
    ("SO_MARK", SOL, socket.SO_MARK, 99),
    ("SO_OOBINLINE", SOL, socket.SO_OOBINLINE, 1),
    ("SO_REUSEADDR", SOL, socket.SO_REUSEADDR, 1),
    ("SO_REUSEPORT", SOL, socket.SO_REUSEPORT, 1),
    ("SO_MAX_PACING_RATE", SOL, SO_MAX_PACING_RATE, 1_000_000),
    ("IP_TOS", IP, socket.IP_TOS, 0x28),
    ("IP_TTL", IP, socket.IP_TTL, 42),
)
READ_BACK_V6 = (
    ("IPV6_TCLASS", IP6, IPV6_TCLASS, 0x28),
    ("IPV6_UNICAST_HOPS", IP6, socket.IPV6_UNICAST_HOPS, 42),
    ("IPV6_V6ONLY", IP6, socket.IPV6_V6ONLY, 1),
)


def set_and_read(me, sock, options):
    for name, level, option, value in options:
        me.call(f"set {name}", sock.setsockopt, level, option, value)
        me.call(f"get {name}", sock.getsockopt, level, option)


def read_back(me, when):
    options = READ_BACK + (READ_BACK_V6 if me.family == socket.AF_INET6 else ())
    me.hear()
    with me.socket() as sock:
        if when == "before":
            set_and_read(me, sock, options)
        sock.connect(me.target())
        if when == "after":
            set_and_read(me, sock, options)
        for name, level, option, _ in options:
            me.call(f"{name} when connected", sock.getsockopt, level, option)
        me.see("SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN",
               [sock.getsockopt(SOL, o) for o in (socket.SO_TYPE, 39, 38, socket.SO_ACCEPTCONN)])
        sock.setsockopt(TCP, socket.TCP_CORK, 0)
        converse(me, sock)


for _when in ("before", "after"):
    case(f"options set {_when} connect read back", functools.partial(read_back, when=_when),
         greet, families=BOTH)


OF_SYNACKS = ("SO_MARK", "IP_TTL")  # a listener that has these is left alone


def inherits(me):
    """What accept() gives has its listener's options (TCP_QUICKACK the kernel changes with
    each segment, so it is left out)."""
    options = [o for o in READ_BACK
               if o[0] not in ("SO_REUSEPORT", "TCP_CORK", "TCP_QUICKACK", *OF_SYNACKS)]

    def prepare(sock):
        for _, level, option, value in options:
            sock.setsockopt(level, option, value)

    with me.listen(prepare=prepare) as listener:
        conn, _ = listener.accept()
        for name, level, option, _ in options:
            me.call(f"accepted {name}", conn.getsockopt, level, option)
        me.read_to_end(conn)
        conn.sendall(b"hello")
        conn.close()


case("options inherited from the listener", lambda me: converse(me, me.connect()), inherits)


# ---- carried to the wire ------------------------------------------------------------------


def on_the_wire(me, options, look, when="before"):
    """Sets options, converses, and notes what the packets look like."""
    wire = me.capture()
    me.hear()
    with me.socket() as sock:
        if when == "before":
            for level, option, value in options:
                sock.setsockopt(level, option, value)
        sock.connect(me.target())
        if when == "after":
            for level, option, value in options:
                sock.setsockopt(level, option, value)
        sock.sendall(b"thanks")
        sock.shutdown(socket.SHUT_WR)
        me.read_to_end(sock)
    packets = wire.packets()
    me.see("SYN", sorted({look(p) for p in packets if p.flags & SYN}))
    # Not those without data: what ends a connection, the kernel may send without its socket.
    late = [p for p in packets if p.payload]
    # What is sent before an option is set after connect() is not the point.
    me.see("other segments", sorted({look(p) for p in (late[-1:] if when == "after" else late)}))


def tos(packet):
    frame = packet.frame
    if frame[14] >> 4 == 4:
        return f"TOS {frame[15]:#x}"
    return f"class {int.from_bytes(frame[14:16], 'big') >> 4 & 0xFF:#x}"


def hops(packet):
    return f"hops {packet.frame[22] if packet.frame[14] >> 4 == 4 else packet.frame[21]}"


for _when in ("before", "after"):
    case(f"IP_TOS on the wire, set {_when} connect", functools.partial(
        on_the_wire, options=((IP, socket.IP_TOS, 0x48),), look=tos, when=_when), greet)
    case(f"IPV6_TCLASS on the wire, set {_when} connect", functools.partial(
        on_the_wire, options=((IP6, IPV6_TCLASS, 0x48),), look=tos, when=_when), greet,
         families=("v6",))
case("IP_TTL on the wire", functools.partial(
    on_the_wire, options=((IP, socket.IP_TTL, 33),), look=hops), greet)
case("IPV6_UNICAST_HOPS on the wire", functools.partial(
    on_the_wire, options=((IP6, socket.IPV6_UNICAST_HOPS, 33),), look=hops), greet,
     families=("v6",))


def mss(packet):
    found = [whole for kind, _, whole in packet.options if kind == 2]
    return f"MSS {int.from_bytes(found[0][2:], 'big')}" if found else "no MSS"


case("TCP_MAXSEG on the wire", functools.partial(
    on_the_wire, options=((TCP, socket.TCP_MAXSEG, 700),), look=mss), greet)


def upstream(me, field):
    """A field of `ss` for the connection that has the peer's address."""
    shown = output(["ss", "-tinoHOe", "dst", me.peer[me.family], "and", "dport", "=",
                    str(me.port())])
    return " ".join(sorted({m[0] for line in shown.splitlines()
                            for m in re.finditer(field, line)}))


def seen_by_ss(me, options, field, when="before"):
    sock = me.socket()
    for level, option, value in options if when == "before" else ():
        sock.setsockopt(level, option, value)
    me.connect(sock=sock)
    for level, option, value in options if when == "after" else ():
        sock.setsockopt(level, option, value)
    me.see("the connection on the wire has", shown_at_last(me, field))
    converse(me, sock)


def shown_at_last(me, field):
    """The daemon hears of what is set late in its own time."""
    end = time.monotonic() + 5
    while not (found := upstream(me, field)) and time.monotonic() < end:
        select.select([], [], [], 0.05)
    return found


CARRIED = (
    ("TCP_CONGESTION", ((TCP, TCP_CONGESTION, b"reno"),), r"\breno\b"),
    # 8548-3.9-4, 8548-8.2-1
    ("SO_KEEPALIVE", ((SOL, socket.SO_KEEPALIVE, 1), (TCP, socket.TCP_KEEPIDLE, 5000)),
     r"timer:\(keepalive,\d\dmin|timer:\(keepalive,\dhour"),
    ("SO_MAX_PACING_RATE", ((SOL, SO_MAX_PACING_RATE, 125_000),),
     r"pacing_rate [0-9.]+[KM]?bps/1000000bps|/1Mbps"),
)
for _text, _options, _field in CARRIED:
    for _when in ("before", "after"):
        case(f"{_text} carried, set {_when} connect", functools.partial(
            seen_by_ss, options=_options, field=_field, when=_when), greet)
for _text, _options, _field in (("SO_MARK", ((SOL, socket.SO_MARK, 99),), "fwmark:0x63"),):
    case(f"{_text} carried, set after connect", functools.partial(
        seen_by_ss, options=_options, field=_field, when="after"), greet)


def without_rights(me):
    """What the kernel refuses a program, the daemon does not do for it."""
    wire = me.capture()
    sock = me.connect()
    os.seteuid(65534)
    me.call("SO_MARK", sock.setsockopt, SOL, socket.SO_MARK, 99)
    me.call("SO_PRIORITY 7", sock.setsockopt, SOL, socket.SO_PRIORITY, 7)
    me.call("TCP_CONGESTION", sock.setsockopt, TCP, TCP_CONGESTION, b"cubic")
    # The last one is carried, and so the others have been looked at.
    me.call("IP_TOS", sock.setsockopt, IP, socket.IP_TOS, 0x48)
    os.seteuid(0)
    sock.sendall(b"thanks")
    me.see("the connection on the wire has", upstream(me, r"fwmark:\S+|\bcubic\b"))
    sock.shutdown(socket.SHUT_WR)
    me.read_to_end(sock)
    me.see("segments", sorted({tos(p) for p in [p for p in wire.packets() if p.payload][-1:]}))


case("options without the right to set them", without_rights, greet)


# ---- carried from a server's listener -----------------------------------------------------


def serves_with(me, options, field):
    def prepare(sock):
        for level, option, value in options:
            sock.setsockopt(level, option, value)

    with me.listen(prepare=prepare) as listener:
        conn, _ = listener.accept()
        conn.sendall(b"hello")
        me.see("read", conn.recv(6, socket.MSG_WAITALL))
        shown = output(["ss", "-tinoHOe", "dst", me.peer[me.family], "and", "sport", "=",
                        str(me.port())])
        me.see("the connection on the wire has", sorted(set(re.findall(field, shown))))
        conn.close()


def answers_server(me):
    with me.connect() as sock:
        me.see("read", sock.recv(5, socket.MSG_WAITALL))
        sock.sendall(b"thanks")
        me.read_to_end(sock)


for _text, _options, _field in CARRIED:
    case(f"{_text} carried from the listener", answers_server,
         functools.partial(serves_with, options=_options, field=_field))


case("SO_MARK of the listener", answers_server, functools.partial(
    serves_with, options=((SOL, socket.SO_MARK, 99),), field="fwmark:0x63"), served=False)


def serves_seen(me, options, look, when):
    """The server's segments, with options of its listener or of what it has accepted."""
    wire = me.capture()

    def prepare(sock):
        for level, option, value in options if when == "listener" else ():
            sock.setsockopt(level, option, value)

    with me.listen(prepare=prepare) as listener:
        conn, _ = listener.accept()
        for level, option, value in options if when == "accepted" else ():
            conn.setsockopt(level, option, value)
        me.see("read", conn.recv(6, socket.MSG_WAITALL))
        conn.sendall(b"hello")
        conn.close()
        me.hear()
    me.see("data", sorted({look(p) for p in
                           [p for p in wire.packets() if p.payload and p.src[1] == me.port()][-1:]}))


def talks_first(me):
    with me.connect() as sock:
        sock.sendall(b"thanks")
        me.see("read", sock.recv(5, socket.MSG_WAITALL))
        me.read_to_end(sock)
    me.tell("done")


for _when in ("listener", "accepted"):
    case(f"IP_TOS of a server, {_when}", talks_first, functools.partial(
        serves_seen, options=((IP, socket.IP_TOS, 0x48),), look=tos, when=_when))
    case(f"IPV6_TCLASS of a server, {_when}", talks_first, functools.partial(
        serves_seen, options=((IP6, IPV6_TCLASS, 0x48),), look=tos, when=_when),
         families=("v6",))


# ---- from near hosts only -----------------------------------------------------------------

FAR, NEAR = 255, 64  # what the other host, next to us, sends, is 64 hops from its end


def near_only(me, when, hops):
    """IP_MINTTL: packets from further away do not count (RFC 5082)."""
    me.hear()
    name = (IP, 21) if me.family == socket.AF_INET else (IP6, 73)
    sock = me.socket()
    sock.setsockopt(TCP, socket.TCP_SYNCNT, 1)
    if when == "before":
        sock.setsockopt(*name, hops)
    me.call("connect", sock.connect, me.target())
    if when == "after":
        sock.setsockopt(*name, hops)
    sock.settimeout(1)
    me.see("get", sock.getsockopt(*name))
    heard = True
    for _ in range(1 if hops == NEAR else 50):
        try:
            sock.send(b"thanks")
            heard = sock.recv(5) == b"hello"
        except TimeoutError:
            heard = False
            break
    me.see("the other host is heard", heard)
    reset(sock)
    me.tell("done")


def greets_until_told(me):
    """Answers each greeting, to the end."""
    sock = me.accept()
    try:
        while sock.recv(6):
            sock.sendall(b"hello")
    except OSError:
        pass
    me.hear()


for _when in ("before", "after"):
    case(f"IP_MINTTL that is met, set {_when} connect", functools.partial(
        near_only, when=_when, hops=NEAR), greets_until_told, families=BOTH,
         carried=_when == "after")
case("IP_MINTTL that is not met, set after connect", functools.partial(
    near_only, when="after", hops=FAR), greets_until_told, families=BOTH, inproc=None)


def hops_of_listener(me):
    name = (IP, socket.IP_TTL) if me.family == socket.AF_INET else (IP6, socket.IPV6_UNICAST_HOPS)
    with me.listen(prepare=lambda sock: sock.setsockopt(*name, FAR)) as listener:
        conn, _ = listener.accept()
        conn.sendall(b"hello")
        me.read_to_end(conn)
        conn.close()


def near_to_listener(me):
    """Both ends as RFC 5082 wants them: the SYN-ACK must have the listener's hops."""
    me.hear()
    name = (IP, 21) if me.family == socket.AF_INET else (IP6, 73)
    with me.socket() as sock:
        sock.setsockopt(*name, FAR)
        me.call("connect", sock.connect, me.target())
        converse(me, sock)


case("IP_MINTTL and the listener's IP_TTL", near_to_listener, hops_of_listener, families=BOTH,
     carried=False)


def keepalive_probes(me, when):
    """Probes on the wire of an idle connection: the last byte's number again, no data."""
    options = ((SOL, socket.SO_KEEPALIVE, 1), (TCP, socket.TCP_KEEPIDLE, 1),
               (TCP, socket.TCP_KEEPINTVL, 1))
    wire = me.capture()
    me.hear()
    with me.socket() as sock:
        for level, option, value in options if when == "before" else ():
            sock.setsockopt(level, option, value)
        sock.connect(me.target())
        sock.sendall(b"x")
        me.see("read", sock.recv(1))
        for level, option, value in options if when == "after" else ():
            sock.setsockopt(level, option, value)
        me.wait_sent(sock)
        me.see("probes", probed(wire))


def probed(wire):
    """Whether a segment without data repeats a sequence number that has been acknowledged."""
    end = time.monotonic() + 4  # four times the interval
    while time.monotonic() < end:
        select.select([wire.socket], [], [], 1)
        top = 0
        for packet in wire.packets():
            if packet.flags & 0x04:
                continue
            if not packet.payload and not packet.flags & 3 and packet.seq < top:
                return True
            top = max(top, packet.seq + len(packet.payload) + bool(packet.flags & 3))
    return False


def answers_and_waits(me):
    with me.accept() as conn:
        conn.sendall(conn.recv(1))
        me.hear_end()


for _when in ("before", "after"):
    case(f"keepalive probes, set {_when} connect",
         functools.partial(keepalive_probes, when=_when), answers_and_waits)


# ---- steering by options ------------------------------------------------------------------


def mark_rules(net, hosts):
    hosts["client"].ip("rule", "add", "fwmark", "77", "unreachable")
    hosts["client"].ip("-6", "rule", "add", "fwmark", "77", "unreachable")


def marked(me):
    me.hear()
    for mark in (77, 78):
        with me.socket() as sock:
            sock.setsockopt(SOL, socket.SO_MARK, mark)
            me.call(f"connect with mark {mark}", sock.connect, me.target())
            me.see("SO_MARK", sock.getsockopt(SOL, socket.SO_MARK))
            if mark == 78:
                converse(me, sock)


case("SO_MARK steers", marked, greet, own_net=True, prepare=mark_rules)


def bound_to_device(me, device):
    me.hear()
    with me.socket() as sock:
        name = me.host.interfaces[0] if device == "link" else "lo"
        sock.setsockopt(SOL, socket.SO_BINDTODEVICE, name.encode())
        if device == "lo":
            sock.setsockopt(TCP, socket.TCP_SYNCNT, 1)
        me.call("connect", sock.connect, me.target())
        me.see("SO_BINDTODEVICE reads back",
               sock.getsockopt(SOL, socket.SO_BINDTODEVICE, 16) == name.encode() + b"\0")
        me.names(sock)
        if device == "link":
            converse(me, sock)


case("SO_BINDTODEVICE", functools.partial(bound_to_device, device="link"), greet, families=BOTH,
     carried=False)


# ---- TCP_INFO -----------------------------------------------------------------------------


def info_states(me):
    me.hear()
    with me.socket() as sock:
        me.see("before", me.state(sock))
        sock.connect(me.target())
        me.see("connected", me.state(sock))
        me.tell("talk")
        me.see("read", sock.recv(5))
        mss_value = struct.unpack_from("I", sock.getsockopt(TCP, TCP_INFO, 24), 16)[0]
        me.see("a plausible segment size", 500 < mss_value < 70_000)
        rtt = struct.unpack_from("I", sock.getsockopt(TCP, TCP_INFO, 104), 68)[0]
        me.see("a round-trip time", rtt > 0)
        sock.shutdown(socket.SHUT_WR)
        me.wait_state(sock, "FIN_WAIT2")
        me.tell("close")
        me.read_to_end(sock)
        me.wait_state(sock, "CLOSE", "TIME_WAIT")


def info_states_server(me):
    with me.listen() as listener:
        me.see("listener", me.state(listener))
        conn, _ = listener.accept()
        me.see("accepted", me.state(conn))
        me.hear()
        conn.sendall(b"hello")
        me.read_to_end(conn)
        me.wait_state(conn, "CLOSE_WAIT")
        me.hear()
        conn.shutdown(socket.SHUT_WR)
        me.wait_state(conn, "CLOSE")
        conn.close()


case("TCP_INFO through a connection's life", info_states, info_states_server, families=BOTH)


def wire_segment_size(me):
    """TCP_MAXSEG of a connection is that of the link, not of loopback."""
    sock = me.connect()
    me.see("TCP_MAXSEG", sock.getsockopt(TCP, socket.TCP_MAXSEG))
    converse(me, sock)


case("TCP_MAXSEG when connected", wire_segment_size, greet)
