#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""connect() with tcpcryptd behaves as without; its life and death leave nothing behind."""
import contextlib
import errno
import select
import signal
import socket
import struct

from apps import (
    BROKEN,
    CHUNK,
    Nginx,
    Server,
    bound_time,
    connect,
    curl,
    echo,
    errno_of,
    exchange,
    family_name,
    read_exactly,
)
from harness import Net, check, check_equal, libc, main, sockets_of, wait_for
from load import PLACES, bpf_objects, map_entries, map_number, stopped, taken
from packets import Capture
from wire import wired_pair

FAMILIES = (socket.AF_INET, socket.AF_INET6)
CLOSED = 9999
PORT = 7001
FOREIGN = "203.0.113.7"
SILENT = "198.51.100.7"
IP_TRANSPARENT = 19
IP_BIND_ADDRESS_NO_PORT = 24
SO_BINDTOIFINDEX = 62
IPV6_RTHDR = 57
TOS = 0x48
SEGMENTS = 4  # the routing header's type
REFUSALS = (
    errno.EACCES,
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.EINVAL,
    errno.ENETUNREACH,
)
MESSAGE = b"hello" * 1000
SECRET = b"what nobody else is to read"

# No answer from the network makes a kernel say what it says of these routes (EACCES, EINVAL).
PROHIBITED, BLACK_HOLE = "prohibited route", "black hole"


# ---- errors -------------------------------------------------------------------------------


def blocking(host, address, family):
    """The error that a blocking connect() gives."""
    with bound_time(host.socket(family)) as sock:
        return sock.connect_ex((address, CLOSED))


def polled(host, address, family):
    """The error that a non-blocking connect() and poll() give."""
    with host.socket(family) as sock:
        sock.setblocking(False)
        error = sock.connect_ex((address, CLOSED))
        if error != errno.EINPROGRESS:
            return error
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        if not poll.poll(30_000):
            return errno.EINPROGRESS
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def hasten_neighbours(host):
    """Lets the kernel give up sooner on a neighbour that does not answer."""
    for family in ("ipv4", "ipv6"):
        host.sysctl(f"{family}/neigh/{host.interfaces[0]}/retrans_time_ms", 100)


def bad_destinations(a, b, family):
    """name -> address that no connection can be made to; routes are added as needed."""
    v4 = family == socket.AF_INET
    routes = {
        "unreachable route": ("unreachable", "10.200.0.0/24", "fd00:200::/64"),
        PROHIBITED: ("prohibit", "10.201.0.0/24", "fd00:201::/64"),
        BLACK_HOLE: ("blackhole", "10.202.0.0/24", "fd00:202::/64"),
    }
    found = {
        "closed port": b.addresses[family],
        "no such neighbour": "10.1.0.77" if v4 else "fd00:1::77",
        "no route": "10.203.0.1" if v4 else "fd00:203::1",
        "own address, closed port": a.addresses[family],
        "loopback, closed port": "127.0.0.1" if v4 else "::1",
    }
    for name, (kind, subnet4, subnet6) in routes.items():
        subnet = subnet4 if v4 else subnet6
        a.ip("-4" if v4 else "-6", "route", "add", kind, subnet)
        found[name] = subnet.partition("/")[0].rstrip("0" if v4 else "") + "1"
    return found


def errors():
    with Net() as net:
        a, b = net.pair()
        hasten_neighbours(a)
        cases = [
            (f"{family_name(family)}, {name}, {how.__name__}", how, address, family)
            for family in FAMILIES
            for name, address in bad_destinations(a, b, family).items()
            for how in (blocking, polled)
        ]
        without = {text: how(a, address, family) for text, how, address, family in cases}
        check_equal(without["IPv4, closed port, blocking"], errno.ECONNREFUSED, "refused")
        check_equal(without["IPv4, no such neighbour, blocking"], errno.EHOSTUNREACH, "no host")
        check_equal(without["IPv4, no route, blocking"], errno.ENETUNREACH, "no route")
        net.daemon(a)
        for where in ("daemon at the client", "daemons at both ends"):
            for text, how, address, family in cases:
                got, expected = how(a, address, family), without[text]
                words = f"{errno.errorcode.get(got, got)}, not {errno.errorcode.get(expected)}"
                if PROHIBITED in text or BLACK_HOLE in text:
                    check(got in REFUSALS, f"{where}: {text}: an error", words)
                else:
                    check(got == expected, f"{where}: {text}: the kernel's own error", words)
            if where == "daemon at the client":
                net.daemon(b)


def happy_eyeballs():
    with Net() as net:
        a, b = net.pair()
        nginx = Nginx(net, b)
        (nginx.root / "page").write_text("alive")
        net.daemon(a)
        net.daemon(b)
        live, live6 = b.addresses[socket.AF_INET], b.addresses[socket.AF_INET6]
        for dead, why in (("fd00:1::77", "nobody"), ("fd00:203::1", "no route")):
            args = ["--resolve", f"host.test:80:{dead},{live}", "-w", " %{remote_ip}"]
            got = curl(a, *args, "http://host.test/page").stdout
            check_equal(got, f"alive {live}", f"curl with a dead IPv6 address ({why})")
        args = ["--resolve", f"host.test:80:{live6},10.1.0.77", "-w", " %{remote_ip}"]
        got = curl(a, *args, "http://host.test/page").stdout
        check_equal(got, f"alive {live6}", "curl with a dead IPv4 address")


# ---- what is left alone -------------------------------------------------------------------


def few_ports():
    """The kernel gives connections to different hosts the same port: none is taken for another."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        a.sysctl("ipv4/ip_local_port_range", "40000 40001")
        subnet = b.addresses[socket.AF_INET].rpartition(".")[0]
        silent = [f"{subnet}.{100 + i}" for i in range(6)]
        with contextlib.ExitStack() as stack:
            for address in silent:
                sock = stack.enter_context(a.socket())
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect((address, 7))
            begun = daemon.wait_list(len(silent), port=7)
            check_equal({c["state"] for c in begun}, {"negotiating"}, "all of them go on")
            check_equal(len({c["peer"] for c in begun}), len(silent), "each to its own host")


def own_addresses():
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        for family, loopback in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with Server(a, echo, family) as server:
                for address in (loopback, a.addresses[family]):
                    check_equal(exchange(a, server, address, MESSAGE, family), MESSAGE,
                                f"a connection to {address} works")
                check_equal(daemon.list(port=server.port), [], "and is none of the daemon's")


def record_route(sock):
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([7, 7, 4, 0, 0, 0, 0, 0]))


def padded(sock):
    """With a hop-by-hop header."""
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))


def transparent(sock):
    """From another host's address, as a transparent proxy connects."""
    sock.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((FOREIGN, 0))


def unusual_packets():
    """What the daemon could not send itself goes by the program's own socket."""
    four, six = FAMILIES
    with Net() as net:
        a, b = net.pair()
        device = a.interfaces[0]
        b.ip("route", "add", FOREIGN, "via", a.addresses[four])
        # What comes for the foreign address is a's to take.
        a.ip("rule", "add", "iif", device, "lookup", "100")
        a.ip("route", "add", "local", "default", "dev", "lo", "table", "100")
        daemon = net.daemon(a)
        for family, prepare in ((four, record_route), (six, padded), (four, transparent)):
            text = prepare.__name__.replace("_", " ")
            with Server(b, lambda conn, peer: peer[0], family) as server:
                with contextlib.closing(bound_time(a.socket(family))) as sock:
                    prepare(sock)
                    address = (b.addresses[family], server.port)
                    check_equal(errno_of(lambda: sock.connect(address)), 0, f"{text}: connects")
                own = FOREIGN if prepare is transparent else a.addresses[family]
                check_equal(server.wait_results(), [own], f"{text}: the server sees whom it should")
                check_equal(daemon.list(port=server.port), [], f"{text}: not the daemon's")


def by_name(sock, host, there):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, host.interfaces[0].encode())


def by_number(sock, host, there):
    with host.inside():
        number = socket.if_nametoindex(host.interfaces[0])
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, number)


def by_segments(sock, host, there):
    header = bytes([0, 4, SEGMENTS, 1, 1, 0, 0, 0]) + bytes(16)
    header += socket.inet_pton(FAMILIES[1], there)
    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RTHDR, header)


WAYS_OUT = (
    (FAMILIES[0], by_name),
    (FAMILIES[0], by_number),
    (FAMILIES[1], by_name),
    (FAMILIES[1], by_segments),
)


def stays_on_loopback():
    """What a program says to the daemon goes by loopback, whatever is set on its socket."""
    with Net() as net:
        a, b, wire = wired_pair(net)
        net.daemon(a), net.daemon(b)
        for family in FAMILIES:
            for host, other in ((a, b), (b, a)):
                host.ip("-4" if family == FAMILIES[0] else "-6", "route", "add", "default", "via",
                        other.addresses[family])
        for family, lead in WAYS_OUT:
            text = f"{family_name(family)}, {lead.__name__.replace('_', ' ')}"
            ours, theirs = (host.addresses[family] for host in (a, b))

            def serve(conn, peer, lead=lead, ours=ours):
                heard = read_exactly(conn, len(SECRET))
                lead(conn, b, ours)
                conn.sendall(SECRET)
                return heard

            with Server(b, serve, family) as server, bound_time(a.socket(family), 5) as sock:
                # Of a loopback address no packet leaves.
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((ours, 0))
                sock.connect((theirs, server.port))
                lead(sock, a, theirs)
                sock.sendall(SECRET)
                try:
                    heard = read_exactly(sock, len(SECRET))
                except OSError as error:
                    heard = error
                check_equal(heard, SECRET, f"{text}: the connection goes on")
            check(not wire.contains(SECRET), f"{text}: nothing leaves in plain")


def listener_with_segments():
    """A server whose packets go by a route of their own answers itself."""
    family = FAMILIES[1]
    with Net() as net:
        a, b = net.pair()
        for name in ("all", a.interfaces[0]):
            a.sysctl(f"ipv6/conf/{name}/seg6_enabled", 1)
        daemon, _ = net.daemon(b), net.daemon(a)
        with Server(b, echo, family) as server:
            by_segments(server.socket, b, a.addresses[family])
            got = exchange(a, server, b.addresses[family], MESSAGE, family)
            check_equal(got, MESSAGE, "a listener with IPv6 extension headers is reached")
            check_equal(daemon.list(port=server.port), [], "and is none of the daemon's")


def knock(host, address, port, family):
    """What a stranger gets from a port: an error number, or bytes (b"" is a clean end)."""
    try:
        with connect(host, address, port, family) as sock:
            sock.sendall(b"let me through\r\n\r\n")
            return sock.recv(100)
    except OSError as error:
        return error.errno


def no_open_doors():
    refusals = (errno.ECONNREFUSED, *BROKEN)
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        ports = sorted({s.port for s in sockets_of(a, daemon.process.pid) if s.listens})
        check(ports, "the daemon listens")
        for port in ports:
            for family, loopback in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                own = a.addresses[family]
                for host, address in ((a, loopback), (a, own), (b, own)):
                    got = knock(host, address, port, family)
                    where = "the same host" if host is a else "another host"
                    check(got in refusals, f"port {port} at {address} refuses {where}", f"{got!r}")


def thief(host, place):
    """A program's socket that asks for the daemon's place, without its token."""
    sock = bound_time(host.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, struct.pack("=iIQ", 1, place, 0))
    return sock


def more_than_places():
    """More handshakes at once than have a place in shared memory; nobody else takes one; none is lost."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        address = b.addresses[socket.AF_INET]
        places = map_number(daemon.process.pid, "openings")
        a.ip("route", "add", SILENT, "via", address)
        with contextlib.ExitStack() as stack, Server(b, echo) as server:
            waiting = [stack.enter_context(a.socket()) for _ in range(3 * PLACES)]
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex((SILENT, 9))
            wait_for(lambda: taken(places) == PLACES, "every place to be taken")
            thieves = [stack.enter_context(thief(a, place)) for place in range(PLACES)]
            check_equal({t.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE) for t in thieves}, {1},
                        "the option is set, whatever stands behind it")
            for text, sock in (("without a place", bound_time(a.socket())), ("a thief", thieves[0])):
                with sock:
                    sock.connect((address, server.port))
                    sock.sendall(MESSAGE)
                    check_equal(read_exactly(sock, len(MESSAGE)), MESSAGE, f"{text}: there and back")
            check_equal(taken(places), PLACES, "none was given to others")
            found = daemon.wait_list(count=2, port=server.port)
            check_equal([c["encrypted"] for c in found], [True, True], "both are encrypted")
        wait_for(lambda: taken(places) == 0, "no place to be taken any more")
        with Server(b, echo) as server:
            for _ in range(2 * PLACES):
                exchange(a, server, address, MESSAGE[:10])
        check_equal(taken(places), 0, "after as many connections as would fill them twice: none")


# ---- life and death -----------------------------------------------------------------------


def stream_until_error(conn, peer):
    """Sends and never ends: the error number that stops it."""
    return errno_of(lambda: [conn.sendall(bytes(CHUNK)) for _ in range(16384)])


def read_until_end(sock):
    """0 for a clean end of the stream, else the error number."""

    def read():
        while sock.recv(CHUNK):
            pass

    return errno_of(read)


def check_death(end, text, die):
    """The daemon at one end dies during a transfer: both programs see an error."""
    with Net() as net:
        a, b = net.pair()
        daemons = {"client": net.daemon(a), "server": net.daemon(b)}
        with Server(b, stream_until_error) as server:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                read_exactly(sock, 1 << 20)
                die(daemons[end])
                error = read_until_end(sock)
                check(error in BROKEN, f"{text}: the client sees an error", f"{error}")
            error = server.wait_results()[0]
            check(error in BROKEN, f"{text}: the server sees an error", f"{error}")
        for family in FAMILIES:
            with Server(b, echo, family) as server:
                got = exchange(a, server, b.addresses[family], MESSAGE, family)
                check(got == MESSAGE, f"{text}: new connections work, {family_name(family)}")
        restarted = net.daemon(a if end == "client" else b)
        for daemon in daemons.values():
            if not daemon.stopped:
                daemon.tool("flush")
        with Server(b, echo) as server:
            exchange(a, server, b.addresses[socket.AF_INET], MESSAGE)
        restarted.wait_list(port=server.port, encrypted=True)
        check(True, f"{text}: a new one encrypts again")


def killed():
    for end in ("client", "server"):
        check_death(end, f"kill -9 at the {end}'s end", lambda daemon: daemon.kill())


def terminated():
    for end in ("client", "server"):
        text = f"SIGTERM at the {end}'s end"
        check_death(end, text, lambda daemon: check_equal(daemon.stop(), "", f"{text}: exit 0"))


def loaded(host, programs):
    """Those of the BPF programs that the kernel still has."""
    shown = [(p, host.run(["bpftool", "prog", "show", "id", p], check=False)) for p in programs]
    return [program for program, done in shown if done.returncode == 0]


def begin(address, port):
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex((address, port))
    return sock


def overfill(where):
    """More is to be told than the ring buffers of a daemon have room for, while it reads none."""
    for _ in range(8000):
        begin(*where).close()


@contextlib.contextmanager
def crowded(daemon, where):
    """The daemon is stopped, and its ring buffer full."""
    with stopped(daemon):
        overfill(where)
        yield


def given_up(daemon, where):
    """Programs give up while the daemon is stopped; returns of how many there was no room to tell it."""
    with stopped(daemon):
        waiting = [begin(*where) for _ in range(16)]
        overfill(where)
        for sock in waiting:
            sock.close()
        return map_entries(daemon.process.pid, "unheard")


def give_up_unheard():
    """Programs that give up while the daemon has more to look at than there is room for."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        with Server(b, echo) as server, a.inside():
            where = (b.addresses[socket.AF_INET], server.port)
            # A daemon that is stopped for seconds passes for dead, and programs go past it.
            wait_for(lambda: given_up(daemon, where) >= 16, "no room for the last ones' word")
            daemon.wait_list(16, port=server.port)
            wait_for(lambda: not daemon.list(recent=False), "the last connection to end")
            check(True, "no connection is left that nobody wants")


def options_unheard():
    """What a program sets while the daemon has more to look at than there is room for."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, "workers = 1\n")
        with Server(b, echo) as server, Capture(b, b.interfaces[0]) as capture, a.inside():
            where = (b.addresses[socket.AF_INET], server.port)
            with bound_time(socket.create_connection(where)) as sock, crowded(daemon, where):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TOS)
                sock.sendall(MESSAGE)
                wait_for(lambda: daemon.process.send_signal(signal.SIGCONT) or any(
                    p.frame[p.ip_offset + 1] == TOS for p in said(capture, server, sock)
                ), "the class of service that the program has set")
                check(True, "what the program set holds")


def options_again():
    """What a program sets on a socket that it connects again before the daemon has looked."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, "workers = 1\nremember-plain-seconds = 0\n")
        with Server(b, echo) as server, Capture(b, b.interfaces[0]) as capture, a.inside():
            where = (b.addresses[socket.AF_INET], server.port)
            with bound_time(socket.create_connection(where)) as sock, stopped(daemon):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TOS + 8)
                disconnect(sock)
                sock.setblocking(False)
                sock.connect_ex(where)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TOS)
                daemon.process.send_signal(signal.SIGCONT)
                wait_for(lambda: select.select([], [sock], [], 1)[1], "the second connection")
                wait_for(lambda: any(p.frame[p.ip_offset + 1] == TOS
                                     for p in said(capture, server, sock)),
                         "the class of service that the program has set")
                check(True, "connected again: what the program set holds")


def disconnect(sock):
    unspecified = struct.pack("H26x", socket.AF_UNSPEC)
    check_equal(libc.connect(sock.fileno(), unspecified, len(unspecified)), 0, "disconnected")


def bound_again():
    """What a socket that was connected is bound to, when it is not any more."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        for family in FAMILIES:
            with Server(b, echo, family) as server, a.inside(), socket.socket(family) as sock:
                sock.connect((b.addresses[family], server.port))
                daemon.wait_list(port=server.port)
                disconnect(sock)
                sock.bind((a.addresses[family], PORT))
                check_equal(sock.getsockname()[:2], (a.addresses[family], PORT), "bound")
                sock.listen()
                check_equal(sock.getsockname()[:2], (a.addresses[family], PORT), "it listens")


def said(capture, server, sock):
    """What a program's socket sends, one byte more."""
    sock.sendall(b"x")
    port = sock.getsockname()[1]
    return [p for p in capture.packets(server.port) if p.src[1] == port and p.payload]


def leaves_nothing():
    with Net() as net:
        a, b = net.pair()
        net.daemon(b)
        daemon = net.daemon(a)
        with Server(b, echo) as server:
            exchange(a, server, b.addresses[socket.AF_INET], MESSAGE)
        programs = [n for kind, n in bpf_objects(daemon.process.pid) if kind == "prog"]
        check(programs, "the daemon has BPF programs")
        attached = a.run(["bpftool", "net"]).stdout
        check(a.interfaces[0] in attached, "one is attached to the veth", attached)
        check_equal(daemon.stop(), "", "SIGTERM: exit 0")
        attached = a.run(["bpftool", "net"]).stdout
        names = [name for name in ("lo(", *a.interfaces) if name in attached]
        check_equal(names, [], "no program is attached to an interface")
        wait_for(lambda: not loaded(a, programs), "the BPF programs to go")
        check(True, "no BPF program is left")
        left = list(daemon.run_dir.iterdir()) if daemon.run_dir.exists() else []
        check_equal(left, [], "no file is left in the run directory")
        check_equal(a.listeners(), set(), "no listener is left")


if __name__ == "__main__":
    main(
        "connect() behaves as without tcpcryptd, and the daemon's end harms nobody",
        errors,
        happy_eyeballs,
        few_ports,
        own_addresses,
        unusual_packets,
        stays_on_loopback,
        listener_with_segments,
        no_open_doors,
        more_than_places,
        killed,
        terminated,
        give_up_unheard,
        options_unheard,
        options_again,
        bound_again,
        leaves_nothing,
    )
