#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A daemon takes over from a running one (--upgrade): no connection is refused or broken."""
import array
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import socket
import threading

from apps import Server, bound_time, connect, echo, read_exactly
from harness import PATIENCE, TCPCRYPTD, Net, check, check_equal, libc, main, wait_for
from load import PLACES, map_number, taken

MESSAGE = b"It goes on as if nothing were. " * 40
PR_SET_CHILD_SUBREAPER = 36
SESSID = 1027
SILENT = "198.51.100.7"
MOVES = "10.1.0.99"
UPGRADES = 5
WATCH = b'{"command":"watch"}\n'
NEWS_UNREAD = 400  # connections: more news than a socket takes, and less than the daemon keeps
LINGER = 60  # for a daemon that was replaced to end; it takes 20 s without connections


def upgrade(daemon, *args, config=None):
    """Runs --upgrade to its end."""
    config = config or daemon.dir / "tcpcryptd.conf"
    return daemon.host.run(
        [TCPCRYPTD, "--upgrade", "--run-dir", daemon.run_dir, "--config", config, *args],
        check=False,
    )


def upgraded(daemon):
    """Upgrades; the new daemon's pid."""
    before = daemon.pid()
    done = upgrade(daemon)
    check_equal(done.returncode, 0, "--upgrade says that it is done")
    after = daemon.pid()
    check(after != before, "and another process serves", after)
    return after


def daemons_in(host):
    """The pids of the host's daemons."""
    found = []
    for pid in host.pids():
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{pid}/comm").read_text() == "tcpcryptd\n":
                found.append(pid)
    return sorted(found)


def held_by(pid):
    """How many descriptors a process holds, by kind."""
    kinds = {}
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            kind = os.readlink(fd).partition(":[")[0]
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


class Flood:
    """Short connections, one after the other, in some threads: each must get its echo."""

    def __init__(self, client, address, port, threads=2):
        self.where = client, address, port
        self.done = 0
        self.errors = []
        self.stopped = False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: self.done > 0 or self.errors, "the first connection")
        return self

    def __exit__(self, *_):
        self.stopped = True
        for thread in self.threads:
            thread.join()

    def run(self):
        while not self.stopped:
            try:
                with connect(*self.where) as sock:
                    sock.sendall(MESSAGE)
                    sock.shutdown(socket.SHUT_WR)
                    if read_exactly(sock, len(MESSAGE)) != MESSAGE or sock.recv(1):
                        raise EOFError("not what was sent")
            except (OSError, EOFError) as error:
                self.errors.append(repr(error))
            self.done += 1


class Transfer:
    """A long transfer that goes on until told to end; whether all of it came, and in order."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.sent, self.came = hashlib.sha256(), hashlib.sha256()
        self.stopped = False
        self.errors = []
        self.bytes = 0
        self.threads = [
            threading.Thread(target=self.guarded, args=(run,), daemon=True)
            for run in (self.send, self.receive)
        ]
        for thread in self.threads:
            thread.start()

    def guarded(self, run):
        try:
            run()
        except OSError as error:
            self.errors.append(repr(error))

    def send(self):
        block = os.urandom(1 << 16)
        while not self.stopped:
            self.client.sendall(block)
            self.sent.update(block)
        self.client.shutdown(socket.SHUT_WR)

    def receive(self):
        while data := self.server.recv(1 << 16):
            self.came.update(data)
            self.bytes += len(data)

    def check(self, text):
        self.stopped = True
        for thread in self.threads:
            thread.join()
        same = self.sent.digest() == self.came.digest()
        check(same and self.bytes and not self.errors, f"{text}: equal hash", self.errors)


@contextlib.contextmanager
def pair_of(client_host, server_host):
    """A connection: the client's socket, the server's."""
    with server_host.socket() as listener:
        listener.bind((server_host.addresses[socket.AF_INET], 0))
        listener.listen(8)
        with connect(client_host, *listener.getsockname()) as client:
            server, _ = listener.accept()
            with bound_time(server):
                client.sendall(b"x")
                read_exactly(server, 1)
                yield client, server


def names(client, server):
    """What programs may ask about their connection."""
    ids = [s.getsockopt(socket.IPPROTO_TCP, SESSID, 128) for s in (client, server)]
    ends = [f() for s in (client, server) for f in (s.getsockname, s.getpeername)]
    return ends, ids


def under_load():
    """Five upgrades at both ends while connections come and go in all directions."""
    with Net() as net:
        a, b = net.pair()
        plain = net.host()
        beside = net.number(a, net.link(a, plain), 77, 1)[socket.AF_INET]
        net.number(plain, plain.interfaces[0], 77, 2)
        first = [net.daemon(host) for host in (a, b)]
        with contextlib.ExitStack() as stack:
            servers = {host: stack.enter_context(Server(host, echo)) for host in (a, b, plain)}
            address = {host: host.addresses[socket.AF_INET] for host in (a, b, plain)}
            client, server = stack.enter_context(pair_of(a, b))
            transfer = Transfer(*stack.enter_context(pair_of(a, b)))
            before = names(client, server)
            holds = {daemon: held_by(daemon.pid()) for daemon in first}
            floods = [
                stack.enter_context(Flood(x, address[y], servers[y].port))
                for x, y in ((a, b), (b, a), (a, plain))
            ]
            floods.append(stack.enter_context(Flood(plain, beside, servers[a].port)))
            for _ in range(UPGRADES):
                for daemon in first:
                    counts = [flood.done for flood in floods]
                    upgraded(daemon)
                    check_equal(names(client, server), before, "an old connection's names and id")
                    wait_for(
                        lambda: all(f.done > n + 3 for f, n in zip(floods, counts)),
                        "connections to go on",
                    )
            listed = [c for c in first[0].list(recent=False) if c["session_id"]]
            check(
                before[1][0].hex() in [c["session_id"] for c in listed],
                "the old daemon's connections are listed",
                [c["session_id"] for c in listed],
            )
            client.sendall(b"and still")
            check_equal(read_exactly(server, 9), b"and still", "the first connection lives")
            for flood in floods:
                flood.stopped = True
            for flood in floods:
                for thread in flood.threads:
                    thread.join()
                check_equal(flood.errors[:5], [], f"{flood.done} connections, none refused or broken")
            transfer.check("a transfer through all of it")
            check_equal([s.errors for s in servers.values()], [[], [], []], "servers saw no error")
        recent = first[0].list()
        check(any(c["encrypted"] for c in recent), "new connections are encrypted")
        for daemon in first:
            wait_for(lambda d=daemon: len(daemons_in(d.host)) == 1, "old ones to end", LINGER)
            check_equal(daemon.status()["ending"], [], "none is said to be ending")
            now = held_by(daemon.pid())
            keys = ("anon_inode:bpf-map", "anon_inode:bpf-prog", "anon_inode:bpf_link")
            check_equal(
                [now.get(k) for k in keys], [holds[daemon].get(k) for k in keys],
                "maps, programs and links are as many as at first",
            )
            end_all(daemon)


def wait_all_ended(daemon):
    wait_for(lambda: not daemons_in(daemon.host), "all daemons to end", LINGER)
    daemon.process.wait()
    daemon.stopped = True


def end_all(daemon):
    """Ends what --upgrade has started, which is not the harness's process."""
    with contextlib.suppress(RuntimeError):
        os.kill(daemon.pid(), signal.SIGTERM)
    wait_all_ended(daemon)
    check(not list(daemon.run_dir.iterdir()), "nothing is left in the run directory")


def generations():
    """A second upgrade while the first one's predecessor still has connections."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, "drain-seconds = 1\n")
        net.daemon(b)
        with pair_of(a, b) as oldest:
            upgraded(daemon)
            with pair_of(a, b) as older:
                upgraded(daemon)
                with pair_of(a, b) as newest:
                    check_equal(len(daemons_in(a)), 3, "three daemons have a connection each")
                    ending = daemon.status()["ending"]
                    check_equal([e["connections"] for e in ending], [1, 1], "status says so")
                    ids = {names(*p)[1][0].hex() for p in (oldest, older, newest)}
                    listed = daemon.list(recent=False)
                    check_equal({c["session_id"] for c in listed}, ids, "list has all three")
                    check_equal(len({c["id"] for c in listed}), 3, "each with an id of its own")
                    for client, server in (oldest, older, newest):
                        done = verify(daemon, client)
                        check(done.get("peer_confirmed"), "verify proves the other end", done)
                        exchange_one(client, server)
                    check("error" in daemon.ask(command="verify", local="10.9.9.9:1",
                                         peer="10.9.9.8:2"), "and says what is not found")
                    os.kill(daemon.pid(), signal.SIGTERM)
                    wait_all_ended(daemon)


def ones_without_connections_end():
    """The oldest is asked through those in between, and nothing is lost when they end."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        with pair_of(a, b) as (client, server):
            session_id = names(client, server)[1][0].hex()
            for _ in range(4):
                upgraded(daemon)
            lists, found = 0, 0

            def only_two():
                nonlocal lists, found
                lists += 1
                found += session_id in [c["session_id"] for c in daemon.list(recent=False)]
                return len(daemons_in(a)) == 2

            wait_for(only_two, "those without connections to end", LINGER)
            check_equal(found, lists, "each list had the oldest one's connection")
            check(verify(daemon, client).get("peer_confirmed"), "and it can be verified")
        end_all(daemon)


def exchange_one(client, server):
    client.sendall(MESSAGE)
    check_equal(read_exactly(server, len(MESSAGE)), MESSAGE, "data goes through")


def verify(daemon, client):
    local, peer = ("%s:%d" % end for end in (client.getsockname(), client.getpeername()))
    return daemon.ask(command="verify", local=local, peer=peer)


def encrypts(daemon, a, b, text):
    """A new connection works and is encrypted."""
    with pair_of(a, b) as (client, server):
        exchange_one(client, server)
        local = "%s:%d" % client.getsockname()
        found = [c for c in daemon.list(recent=False) if c["local"] == local]
        check([c["state"] for c in found] == ["encrypted"], text, found)


def the_new_one_dies():
    """kill -9 of the one that has taken over: the old one takes connections again."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        first = daemon.pid()
        with pair_of(a, b) as old:
            pid = upgraded(daemon)
            with pair_of(a, b) as (client, _):
                os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ConnectionError):
                    check_equal(client.recv(1), "ECONNRESET", "its own connections are reset")
            wait_for(lambda: "taking connections again" in daemon.log(), "the old one to notice")
            check_equal(daemon.pid(), first, "the old one answers")
            encrypts(daemon, a, b, "and encrypts new connections")
            exchange_one(*old)
            pid = upgraded(daemon)
            encrypts(daemon, a, b, "another upgrade works")
            exchange_one(*old)
        end_all(daemon)


def addresses_of_the_dead():
    """An address that goes while nobody looks is not taken for the host's own afterwards."""
    with Net() as net:
        a, b = net.pair()
        a.ip("addr", "add", f"{MOVES}/32", "dev", a.interfaces[0])
        daemon = net.daemon(a)
        net.daemon(b)
        new = upgraded(daemon)
        os.kill(new, signal.SIGSTOP)
        a.ip("addr", "del", f"{MOVES}/32", "dev", a.interfaces[0])
        os.kill(new, signal.SIGKILL)
        wait_for(lambda: "taking connections again" in daemon.log(), "the old one to notice")
        a.ip("route", "add", MOVES, "dev", a.interfaces[0])
        b.ip("addr", "add", f"{MOVES}/32", "dev", b.interfaces[0])
        with Server(b, echo) as server:

            def is_encrypted():
                """The other host's daemon need not have heard of the address yet, and this one not remember that."""
                daemon.tool("flush")
                with connect(a, MOVES, server.port) as sock:
                    sock.sendall(MESSAGE)
                    check_equal(read_exactly(sock, len(MESSAGE)), MESSAGE, "another host has it now")
                    return daemon.list(recent=False, port=server.port)[-1]["state"] == "encrypted"

            wait_for(is_encrypted, "connections to there to be encrypted")
        end_all(daemon)


def sessions_of_the_dead():
    """kill -9 of those that have taken over: nobody can resume with the secrets that they have left,
    and the other host, which offers to, exchanges keys."""
    with Net() as net:
        a, b = net.pair()
        client_daemon = net.daemon(a)
        daemon = net.daemon(b)
        pids = [daemon.pid()]
        with pair_of(a, b) as old:
            for _ in range(2):
                pids.append(upgraded(daemon))
                for _ in range(3):
                    encrypts(client_daemon, a, b, "it encrypts")
            check(client_daemon.status()["resumable"], "there is a session to be resumed")
            for pid in pids[1:]:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: "taking connections again" in daemon.log(), "the oldest to notice")
            check_equal(daemon.pid(), pids[0], "it answers")
            for _ in range(3):
                encrypts(client_daemon, a, b, "the other host's connections are made, encrypted")
            exchange_one(*old)
        end_all(daemon)


def places_of_the_dead():
    """kill -9 during handshakes, of the one that was replaced and of the one that came: the places that
    these had in shared memory are others' again."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        a.ip("route", "add", SILENT, "via", b.addresses[socket.AF_INET])
        first = daemon.pid()
        places = map_number(first, "openings")

        def die(pid, text, notice):
            with contextlib.ExitStack() as stack:
                waiting = [stack.enter_context(a.socket()) for _ in range(2 * PLACES)]
                for sock in waiting:
                    sock.setblocking(False)
                    sock.connect_ex((SILENT, 9))
                wait_for(lambda: taken(places) == PLACES, f"{text} to have every place")
                second = pid or upgraded(daemon)
                os.kill(pid or first, signal.SIGKILL)
            wait_for(lambda: notice in daemon.log(), "the other one to notice")
            wait_for(lambda: taken(places) == 0, f"no place to be left to {text}")
            return second

        second = upgraded(daemon)
        die(second, "the new one", "taking connections again")
        check_equal(daemon.pid(), first, "the first one answers")
        die(None, "the old one", f"tcpcryptd {first}, which this one replaced, has ended")
        end_all(daemon)


def nothing_changes():
    """An upgrade that cannot be leaves the daemon as it is."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        first = daemon.pid()
        bad = net.directory() / "bad.conf"
        bad.write_text("teps = rot13\n")
        done = upgrade(daemon, config=bad)
        check_equal(done.returncode, 1, "a bad configuration")
        check(f"{bad}:1" in done.stderr, "is told with its line", done.stderr)
        elsewhere = b.run([TCPCRYPTD, "--upgrade", "--run-dir", daemon.run_dir], check=False)
        check_equal(elsewhere.returncode, 1, "from another network namespace")
        check("namespace" in elsewhere.stderr, "which it says", elsewhere.stderr)
        wait_for(lambda: "that was to replace this one is gone" in daemon.log(), "the old to know")
        nowhere = a.run(
            [TCPCRYPTD, "--upgrade", "--run-dir", net.directory()], check=False
        )
        check_equal(nowhere.returncode, 1, "nobody to replace")
        check("no tcpcryptd" in nowhere.stderr, "which it says", nowhere.stderr)
        answer = daemon.ask(command="upgrade", layout="of another version")
        check("laid out" in answer["error"], "another layout of the maps is refused", answer)
        answer = as_user(65534, lambda: daemon.ask(command="upgrade", layout="x"))
        check_equal(answer, {"error": "only root may do that"}, "only root may")
        check_equal(daemon.pid(), first, "the same daemon answers")
        encrypts(daemon, a, b, "and encrypts")
        half_way(daemon)
        check_equal(daemon.pid(), first, "the same daemon answers")
        encrypts(daemon, a, b, "and encrypts")
        upgraded(daemon)
        encrypts(daemon, a, b, "an upgrade works after all")
        end_all(daemon)


def as_user(uid, question):
    """Asks as another user."""
    here, there = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(Exception):
            os.setresuid(uid, uid, uid)
            os.write(there, json.dumps(question()).encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def layout_of_this_version():
    """As it stands in the program."""
    program = pathlib.Path(TCPCRYPTD).read_bytes()
    start = program.index(b'{"command":"upgrade","layout":"') + 31
    return program[start : start + 16].decode()


def half_way(daemon):
    """A new one that gives up: before it takes over, and before it says who it is."""
    for take in (False, True):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(daemon.run_dir / "control.sock"))
            request = {"command": "upgrade", "layout": layout_of_this_version()}
            sock.sendall(json.dumps(request).encode() + b"\n")
            reply, ancillary, _, _ = sock.recvmsg(1 << 16, socket.CMSG_SPACE(128 * 4))
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        found = json.loads(reply)["names"]
        check_equal(len(found), len(fds), "each descriptor has its name")
        again = daemon.ask(command="upgrade", layout=layout_of_this_version())
        check("under way" in again.get("error", ""), "one upgrade at a time", again)
        (channel,) = [fd for name, fd in zip(found, fds) if name.startswith("daemon ")]
        if take:
            with socket.socket(fileno=os.dup(channel)) as end:
                end.setblocking(True)
                end.send(b"take 1 1000 1")
                check_equal(end.recv(99), b"given", "the old one yields")
        for fd in fds:
            os.close(fd)
        wait_for(
            lambda t=take: ("taking connections again" if t else "was to replace") in daemon.log(),
            "the old one to notice",
        )


@contextlib.contextmanager
def asking(daemon, request=b""):
    """A client of the control socket: its socket, and what it reads, a line at a time."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(daemon.run_dir / "control.sock"))
        sock.sendall(request)
        with sock.makefile() as lines:
            yield sock, lines


def sees_connections(a, b, lines):
    """Whether a watcher hears of a connection that is made from now on."""
    with pair_of(a, b) as (client, _):
        local = "%s:%d" % client.getsockname()
        with contextlib.suppress(TimeoutError):
            return any(json.loads(line).get("local") == local for line in lines)
    return False


def watchers():
    """Who watches goes on with the new daemon, also when the old one's news waited for him; and who has
    connected and not asked is answered by the new one."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        with contextlib.ExitStack() as stack:
            slow, told = stack.enter_context(asking(daemon, WATCH))
            check("watching" in told.readline(), "watching")
            for _ in range(NEWS_UNREAD):
                with pair_of(a, b):
                    pass
            late, news = stack.enter_context(asking(daemon))
            lister, listed = stack.enter_context(asking(daemon))
            upgraded(daemon)
            upgraded(daemon)
            late.sendall(WATCH)
            check("watching" in news.readline(), "who asks after the upgrade watches")
            check(sees_connections(a, b, news), "the new daemon's connections")
            with pair_of(a, b) as (client, _):
                local = "%s:%d" % client.getsockname()
                lister.sendall(b'{"command":"list"}\n')
                found = [json.loads(line)["local"] for line in listed]
                check(local in found, "who asks for the list gets the new one's", found)
            read = [json.loads(told.readline())["event"] for _ in range(2 * NEWS_UNREAD)]
            check_equal(len(read), 2 * NEWS_UNREAD, "what waited is read")
            check_equal(json.loads(told.readline())["event"], "watching", "and watched again")
            check(sees_connections(a, b, told), "the new one's connections, too")
            wait_for(lambda: len(daemons_in(a)) == 1, "old ones to end while he watches", LINGER)
        end_all(daemon)


def told_to_end_together():
    """SIGTERM to each of them, as a service manager sends it, is one order and not two: what the old one
    carries may end by itself."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        with pair_of(a, b) as (client, server):
            new = upgraded(daemon)
            os.kill(daemon.process.pid, signal.SIGTERM)
            wait_for(lambda: "ending when 1 connection" in daemon.log(), "the old one to be told")
            os.kill(new, signal.SIGTERM)
            wait_for(lambda: daemons_in(a) == [daemon.process.pid], "the new one to end")
            exchange_one(client, server)
        wait_all_ended(daemon)


def told_to_end_before_the_new_one_dies():
    """Who is ending takes nothing back but what it needs to end."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        with pair_of(a, b) as old:
            new = upgraded(daemon)
            os.kill(daemon.process.pid, signal.SIGTERM)
            wait_for(lambda: "ending when 1 connection" in daemon.log(), "the old one to be told")
            os.kill(new, signal.SIGKILL)
            wait_for(lambda: "taking connections again" in daemon.log(), "the old one to notice")
            with pair_of(a, b) as one:
                exchange_one(*one)
                check_equal(len(daemon.list(recent=False)), 1, "a new connection is left alone")
            exchange_one(*old)
        wait_all_ended(daemon)


def required():
    """Where policy requires encryption, nothing is refused either; and all is when all are dead."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, "rule = require out\n")
        net.daemon(b)
        with Server(b, echo) as server:
            with Flood(a, b.addresses[socket.AF_INET], server.port) as flood:
                for _ in range(3):
                    count = flood.done
                    upgraded(daemon)
                    wait_for(lambda n=count: flood.done > n + 3, "connections to go on")
            check_equal(flood.errors[:5], [], f"{flood.done} connections, none refused or broken")
            for pid in daemons_in(a):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not daemons_in(a), "all daemons to be dead")
            daemon.process.wait()
            daemon.stopped = True
            try:
                connect(a, b.addresses[socket.AF_INET], server.port).close()
                check(False, "with all dead, what is required is refused")
            except ConnectionRefusedError:
                check(True, "with all dead, what is required is refused")
        daemon.tool("cleanup", "--guard", check=False)


def reloaded_meanwhile():
    """A configuration that the old daemon is told to read, when the new one has read the one before."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        path = daemon.dir / "tcpcryptd.conf"
        upgrading = a.start(
            [TCPCRYPTD, "--upgrade", "--run-dir", daemon.run_dir, "--config", path]
        )
        # The one that was started has read it and waits for another process of its.
        new = max(wait_for(lambda: (d := daemons_in(a))[2:] and d, "the new daemon to begin"))
        os.kill(new, signal.SIGSTOP)
        with path.open("a") as config:
            config.write("rule = require out\n")
        os.kill(daemon.process.pid, signal.SIGHUP)
        wait_for(lambda: "configuration reloaded" in daemon.log(), "the old one to read it")
        os.kill(new, signal.SIGCONT)
        check_equal(upgrading.wait(PATIENCE), 0, "--upgrade says that it is done")
        check_equal(daemon.pid(), new, "and the new one serves")
        with Server(b, echo) as server:
            try:
                connect(a, b.addresses[socket.AF_INET], server.port).close()
                check(False, "its rules are those of the file: plain is refused")
            except ConnectionRefusedError:
                check(True, "its rules are those of the file: plain is refused")
        daemon.tool("cleanup", "--guard", check=False)
        end_all(daemon)


def service_manager():
    """The one that is replaced tells the service manager who the main process is."""
    with Net() as net:
        a, _ = net.pair()
        daemon = net.daemon(a)
        path = daemon.dir / "notify"
        path.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            path.chmod(0o777)
            notify.settimeout(30)
            pid = upgraded(daemon)
            check_equal(notify.recv(4096), f"MAINPID={pid}".encode(), "MAINPID")
            check_equal(notify.recv(4096), b"READY=1", "and the new one is ready")
            os.kill(pid, signal.SIGKILL)
            told = notify.recv(4096)
            check_equal(told, f"MAINPID={daemon.process.pid}".encode(), "and when it is gone, back")
        end_all(daemon)


def restart_under_load():
    """SIGTERM and a start while plain and encrypted connections come: none is refused."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        net.daemon(b)
        with Server(b, echo) as server:
            with Flood(a, b.addresses[socket.AF_INET], server.port) as flood:
                os.kill(daemon.pid(), signal.SIGTERM)  # once: a second one would cut what is open
                wait_for(lambda: daemon.process.poll() is not None, "SIGTERM to end it", LINGER)
                check_equal(daemon.process.returncode, 0, "SIGTERM under load")
                daemon.stopped = True
                count = flood.done
                wait_for(lambda: flood.done > count + 3, "connections to go on without a daemon")
                again = net.daemon(a)
                count = flood.done
                wait_for(lambda: flood.done > count + 3, "connections to go on with another one")
            check_equal(flood.errors[:5], [], f"{flood.done} connections, none refused or broken")
        check(any(c["encrypted"] for c in again.list()), "and encrypted again")


if __name__ == "__main__":
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    main(
        __doc__,
        under_load,
        generations,
        ones_without_connections_end,
        the_new_one_dies,
        addresses_of_the_dead,
        sessions_of_the_dead,
        places_of_the_dead,
        nothing_changes,
        watchers,
        told_to_end_together,
        told_to_end_before_the_new_one_dies,
        required,
        reloaded_meanwhile,
        service_manager,
        restart_under_load,
    )
