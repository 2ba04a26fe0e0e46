#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What is there runs out: descriptors, memory, queues, pipes, the limit of connections.

New connections are plain or wait for their turn, those that live go on, nothing spins, and
when there is enough again everything is as before, without a restart.
"""
import contextlib
import itertools
import os
import pathlib
import re
import socket
import subprocess
import threading
import time

from apps import Server, bound_time, connect, echo, exchange, read_exactly
from harness import Net, check, check_equal, main, remove_cgroup, wait_for
from load import Traffic, check_traffic, cpu_ticks, is_sanitized, serve, stopped
from packets import Capture

LIVE = 20
CROWD, CROWD_SANITIZED = 9000, 3000  # more than the ring buffers hold; a slower daemon's share
SHORT_QUEUE = 64
STOPPED_SECONDS = 3  # less than the daemon's heartbeat may be late
PORT, PLAIN_PORT = 7001, 7002
TOS = 0x48
# The two configurations: the client's daemon carries each connection to that port in plain.
RELAYED_IN_PLAIN = ("remember-plain-seconds = 0\n", f"ports-left-alone = {PLAIN_PORT}\n")
MESSAGE = b"There is enough for everybody. " * 30
STREAM = b"".join(bytes([n]) * 1380 for n in range(40))
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Pair:
    """Two hosts with daemons, a server, and connections that shall live through it all."""

    def __init__(self, net, configs=("", ""), limits=((), ()), queue=None):
        self.net = net
        self.hosts = net.pair()
        if queue:
            self.hosts[0].sysctl("core/somaxconn", queue)
        self.daemons = [
            net.daemon(host, config, wrapper=wrapper)
            for host, config, wrapper in zip(self.hosts, configs, limits)
        ]
        self.pids = [d.pid() for d in self.daemons]
        self.server = serve(net, self.hosts[1], PORT, PLAIN_PORT)
        self.address = self.hosts[1].addresses[socket.AF_INET]

    def traffic(self, *args, ports=(PORT,)):
        return Traffic(self.net, self.hosts[0], *args, self.address, *ports)

    def live(self, port=PORT):
        client = self.traffic("rounds", LIVE, 100, 20000, ports=(port,))
        client.object()
        return client


def set_limit(pid, name, value):
    """A process's soft limit, set by the user that it runs as: root may not, in a container."""
    before = prlimit(pid, f"--{name}", "--output=SOFT", "--noheadings")
    prlimit(pid, f"--{name}={value}:")
    return before


def prlimit(pid, *args):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    uid, gid = (status.partition(f"{kind}:")[2].split()[0] for kind in ("Uid", "Gid"))
    who = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    command = [*who, "prlimit", f"--pid={pid}", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr}")
    return done.stdout.strip()


@contextlib.contextmanager
def limited(pid, name, value):
    before = set_limit(pid, name, value)
    try:
        yield
    finally:
        set_limit(pid, name, before)


def goes_on(live, text):
    live.tell()
    found = live.object(30)
    check_equal(found["connections"], LIVE, f"{text}: the connections that live go on")


def check_no_spin(pid, text):
    """CPU time of a daemon whose connections say nothing, over two of its timer's turns."""
    before, end = cpu_ticks(pid), time.monotonic() + 2
    wait_for(lambda: time.monotonic() > end, "two seconds to pass")
    used = cpu_ticks(pid) - before
    check(used < TICKS_A_SECOND / 2, f"{text}: nothing spins", f"{used} ticks in two seconds")


def wait_encrypts(pair, text):
    """New connections are encrypted again."""
    total = [d.status()["encrypted"] for d in pair.daemons]

    def encrypts():
        with Server(pair.hosts[1], echo) as server:
            exchange(pair.hosts[0], server, pair.address, MESSAGE)
        return all(d.status()["encrypted"] > t for d, t in zip(pair.daemons, total))

    wait_for(encrypts, "new connections to be encrypted again")
    check(True, f"{text}: and then they are encrypted again")


def reach_server(pair, count):
    """Programs that do no more than that, one after the other."""
    with Server(pair.hosts[1], echo) as server:
        for _ in range(count):
            exchange(pair.hosts[0], server, pair.address, MESSAGE)


def few_descriptors(which, text):
    """A crowd that is larger than what the daemon may carry, from the beginning."""
    limits = [(), ()]
    limits[which] = ("prlimit", "--nofile=512:512")
    with Net() as net:
        pair = Pair(net, limits=limits)
        live = pair.live()
        crowd = pair.traffic("mix", 250, 6, 8548)
        goes_on(live, text)
        done = check_traffic([crowd], f"{text}: more connections than that get through")
        status = pair.daemons[which].status()
        check_equal(set(status["failed"]) - {"reset", "local-reset"}, set(), f"{text}: none fails")
        carried = status["encrypted"]
        check(LIVE < carried < LIVE + done["opened"], f"{text}: some were plain", f"{status}")
        wait_encrypts(pair, text)
        check_traffic([live, pair.server], f"{text}: each byte arrived")


def client_with_few_descriptors():
    few_descriptors(0, "the client's daemon with few descriptors")


def server_with_few_descriptors():
    few_descriptors(1, "the server's daemon with few descriptors")


def said_no(daemon):
    """A daemon that cannot take a connection says so; one that has heard of its limit meanwhile, before."""
    log = daemon.log()
    return "wait or are left alone" in log or "no more are taken until some end" in log


def no_descriptors(which, text):
    """Suddenly there are none: what comes before the daemon knows waits for better times."""
    with Net() as net:
        pair = Pair(net)
        live = pair.live()
        pid = pair.pids[which]
        with limited(pid, "nofile", len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())) + 7):
            crowd = pair.traffic("mix", 40, 2, 8548)
            goes_on(live, text)
            wait_for(lambda: said_no(pair.daemons[which]), "the log")
            check_no_spin(pid, text)
            reach_server(pair, 20)
            check(True, f"{text}: new connections get through")
            goes_on(live, text)
        check_traffic([crowd], f"{text}: those that waited get on when there are")
        wait_encrypts(pair, text)
        check_traffic([live, pair.server], f"{text}: each byte arrived")


def client_without_descriptors():
    no_descriptors(0, "the client's daemon without descriptors")


def is_read(daemon):
    """Whether who connects to programs' socket is closed for what he says, and not before."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(str(daemon.run_dir / "inproc.sock"))
        with contextlib.suppress(ConnectionError):
            bound_time(sock).send(b"nonsense")
            return sock.recv(1) == b""
        return False


def programs_without_descriptors():
    """Programs that encrypt by themselves, and want to say so when there is no descriptor to hear them by."""
    text = "programs' own socket without descriptors"
    with Net() as net:
        daemon = net.daemon(net.host())
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            with limited(daemon.process.pid, "nofile", 1):
                sock.connect(str(daemon.run_dir / "inproc.sock"))
                check_no_spin(daemon.process.pid, text)
        wait_for(lambda: is_read(daemon), "programs to be heard again")
        check(True, f"{text}: they are heard when there are some")


def options_meanwhile():
    """What a program sets before its SYN is answered, whose first one found no descriptor left."""
    with Net() as net:
        pair = Pair(net)
        with Capture(pair.hosts[1], "eth1") as capture, Server(pair.hosts[1], echo) as server, bound_time(
            pair.hosts[0].socket()
        ) as sock:
            with limited(pair.pids[0], "nofile", 1):
                sock.setblocking(False)
                sock.connect_ex((pair.address, server.port))
                wait_for(lambda: pair.daemons[0].log().count("exhausted"), "the SYN to find none")
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TOS)
            bound_time(sock).setblocking(True)
            sock.sendall(MESSAGE)
            check_equal(read_exactly(sock, len(MESSAGE)), MESSAGE, "without a descriptor at first")
            port = sock.getsockname()[1]
            sent = [p for p in capture.packets(server.port) if p.src[1] == port and p.payload]
            found = {p.frame[p.ip_offset + 1] for p in sent}
            check_equal(found, {TOS}, "what the program set meanwhile holds")


def server_without_descriptors():
    no_descriptors(1, "the server's daemon without descriptors")


def data_kb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmData:")[2].split()[0])


def no_memory(which, text):
    """The kernel gives the daemon no more of it: what must be dropped is what is new."""
    with Net() as net:
        pair = Pair(net, RELAYED_IN_PLAIN)
        pid, daemon = pair.pids[which], pair.daemons[which]
        if is_sanitized(pid):
            print("     a sanitized daemon takes memory in ways of its own: left out")
            return
        live, plain = pair.live(), pair.live(PLAIN_PORT)
        with limited(pid, "data", data_kb(pid) << 10):
            # Some hundred flows: more than what is free inside the heap.
            crowd = pair.traffic("rounds", 3000, 100, 1000)
            wait_for(lambda: "wait or are left alone" in daemon.log(), "memory to run out")
            goes_on(live, text)
            goes_on(plain, f"{text}: plain")
            check_no_spin(pid, text)
        goes_on(live, text)
        done = crowd.summary()
        check(done["failed"] < done["opened"] / 2, f"{text}: most new ones get through", f"{done}")
        check(daemon.process.poll() is None, f"{text}: it lives")
        wait_encrypts(pair, text)
        check_traffic([live, plain], f"{text}: each byte arrived")


def client_without_memory():
    no_memory(0, "the client's daemon without memory")


def server_without_memory():
    no_memory(1, "the server's daemon without memory")


def memory_group():
    """A control group of version 1, whose processes wait for pages and are not killed; None: there are
    none here."""
    for mount in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = mount.partition(" - ")
        kind, _, options = rest.split()
        if kind == "cgroup" and "memory" in options.split(","):
            return pathlib.Path(fields.split()[4], f"tcpcrypt-pages-{os.getpid()}")
    return None


@contextlib.contextmanager
def few_pages(pid, pages):
    """So many for what the process has not got yet. Yields whether it waits for more."""
    group = memory_group()
    before = re.search(r":memory:/(.*)", pathlib.Path(f"/proc/{pid}/cgroup").read_text())[1]
    control, limit = group / "memory.oom_control", group / "memory.limit_in_bytes"
    group.mkdir()
    try:
        control.write_text("1")
        (group / "cgroup.procs").write_text(str(pid))
        limit.write_text(str(pages * os.sysconf("SC_PAGE_SIZE")))
        yield lambda: "under_oom 1" in control.read_text()
    finally:
        limit.write_text("-1")
        (group.parent / before / "cgroup.procs").write_text(str(pid))
        remove_cgroup(group)


def in_small_pieces(sock):
    """Sends what the kernel keeps in some pieces and not in one."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(STREAM), 1380):
        sock.sendall(STREAM[at : at + 1380])


def until_end(sock, got):
    with contextlib.suppress(OSError):
        while data := sock.recv(1 << 16):
            got.append(data)
        got.append(None)


def length(got):
    return sum(len(data) for data in got if data)


def no_pages():
    """The kernel has no pages for all that the daemon reads, and so gives it less: what is left is not
    lost, whether or not the stream goes on, and it does not end before that."""
    if not memory_group():
        print("     no control group for memory that spares its processes: left out")
        return
    for pages, ends in itertools.product(range(3, 8), (True, False)):
        # One that has few yet.
        with Net() as net, contextlib.ExitStack() as stack:
            a, b = net.pair()
            net.daemon(a)
            daemon = net.daemon(b)
            listener = stack.enter_context(b.socket())
            listener.bind((b.addresses[socket.AF_INET], 0))
            listener.listen(1)
            client = stack.enter_context(connect(a, *listener.getsockname()))
            server = stack.enter_context(bound_time(listener.accept()[0]))
            client.sendall(b"x")
            read_exactly(server, 1)
            got = []
            reader = threading.Thread(target=until_end, args=(client, got), daemon=True)
            reader.start()
            with few_pages(daemon.pid(), pages) as waits:
                with stopped(daemon):
                    in_small_pieces(server)
                    if ends:
                        server.close()
                wait_for(
                    lambda: got and (not reader.is_alive() or not ends) or waits()
                    or "left alone" in daemon.log(),
                    "the stream to end, or the pages",
                )
            if not ends:
                wait_for(lambda: length(got) == len(STREAM), f"{pages} pages: all of a stream that goes on")
                server.close()
            reader.join()
            check_equal(got[-1:], [None], f"{pages} pages: the stream ends, cleanly")
            check_equal(length(got), len(STREAM), f"{pages} pages: and not before its end")


def syn_sent(host):
    return sum(s.connects for s in host.tcp_sockets())


def daemon_overtaken(which, text, queue=None):
    """So many connect at once that neither the ring buffer nor the listener's queue has room."""
    with Net() as net:
        pair = Pair(net, queue=queue)
        count = CROWD_SANITIZED if is_sanitized(pair.pids[which]) else CROWD
        live = pair.live()
        with stopped(pair.daemons[which]):
            burst = pair.traffic("burst", count, 100, 1000)
            end = time.monotonic() + STOPPED_SECONDS
            wait_for(
                lambda: syn_sent(pair.hosts[0]) >= count / 2 or time.monotonic() > end,
                "them to connect",
            )
        done = check_traffic([burst], f"{text}: each gets its bytes")
        check_equal(done["complete"], count, f"{text}: all get through")
        goes_on(live, text)
        check_traffic([live, pair.server], f"{text}: so did the server")
        wait_encrypts(pair, text)


def client_overtaken():
    daemon_overtaken(0, "thousands connect while the client's daemon gets no CPU")


def client_with_a_short_queue():
    """All held SYNs may go on at once, and what they bring must be accepted in time."""
    daemon_overtaken(0, "thousands go on at once, the client's listeners have short queues", SHORT_QUEUE)


def server_overtaken():
    daemon_overtaken(1, "thousands connect while the server's daemon gets no CPU")


def max_connections():
    text = "max-connections"
    with Net() as net:
        pair = Pair(net, (f"max-connections = {2 * LIVE}\n", ""))
        live = pair.live()
        crowd = pair.traffic("rounds", 300, 100, 1000)
        check_equal(crowd.object()["connections"], 300, f"{text}: more than that get through")
        carried = pair.daemons[0].status()["connections"]
        check(2 * LIVE <= carried < LIVE + 300, f"{text}: the rest is plain", f"{carried}")
        reach_server(pair, 5)
        check_equal(pair.daemons[0].status()["encrypted"], carried, f"{text}: is all that it carries")
        check_traffic([crowd], f"{text}: each byte arrived")
        wait_encrypts(pair, text)
        check_traffic([live, pair.server], f"{text}: also of those that lived")


@contextlib.contextmanager
def small_pipes():
    """Pipes of a page or two, for those who are not privileged: the sysctl is the machine's."""
    path = pathlib.Path("/proc/sys/fs/pipe-user-pages-soft")
    before = path.read_text()
    path.write_text("1")
    try:
        yield
    finally:
        path.write_text(before)


def few_pages_for_pipes():
    text = "small pipes"
    with Net() as net, small_pipes():
        pair = Pair(net, RELAYED_IN_PLAIN)
        crowd = pair.traffic("mix", 40, 4, 8548, ports=(PLAIN_PORT,))
        done = check_traffic([crowd, pair.server], f"{text}: each byte of plain connections arrived")
        plain = pair.daemons[0].status()["plain"]
        check(plain.get("no-eno", 0) >= done["complete"] / 2, f"{text}: relayed", f"{plain}")


if __name__ == "__main__":
    main(
        "whatever runs out: what lives goes on, what is new waits or goes its way",
        client_with_few_descriptors,
        server_with_few_descriptors,
        client_without_descriptors,
        programs_without_descriptors,
        options_meanwhile,
        server_without_descriptors,
        client_without_memory,
        server_without_memory,
        no_pages,
        client_overtaken,
        client_with_a_short_queue,
        server_overtaken,
        max_connections,
        few_pages_for_pipes,
    )
