#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A daemon of several workers behaves as one, whoever of them carries a connection."""
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import random
import signal
import socket
import threading

from apps import BROKEN, Server, bound_time, connect, echo, errno_of, exchange, family_name
from apps import read_exactly, read_line, read_to_end
from harness import Net, check, check_equal, libc, main, sockets_of, wait_for

FAMILIES = (socket.AF_INET, socket.AF_INET6)
WORKERS = 4
CONFIG = f"workers = {WORKERS}\n"
MESSAGE = b"Each to his own. " * 60

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


def carried(daemon):
    """How many connections each worker has."""
    return [worker["connections"] for worker in daemon.status()["workers"]]


def speak(sock):
    sock.sendall(MESSAGE)
    return read_exactly(sock, len(MESSAGE)) == MESSAGE


@contextlib.contextmanager
def live(a, b, server, count, family=socket.AF_INET):
    """So many connections that have exchanged data and stay open."""
    with contextlib.ExitStack() as stack:
        socks = [
            stack.enter_context(connect(a, b.addresses[family], server.port, family))
            for _ in range(count)
        ]
        check(all(speak(sock) for sock in socks), f"{count} connections carry data")
        yield socks


def workers_of(daemon):
    """The thread ids of the workers."""
    tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return [int(t.name) for t in tasks if (t / "comm").read_text().startswith("worker-")]


# ---- cases --------------------------------------------------------------------------------


def spreads():
    with Net() as net:
        a, b = net.pair()
        ends = {"out": net.daemon(a, CONFIG), "in": net.daemon(b, CONFIG)}
        for daemon in ends.values():
            check_equal(len(workers_of(daemon)), WORKERS, "a thread for each worker")
            check_equal(len(daemon.host.listeners()), 2, "which share two ports")
        for family in FAMILIES:
            with Server(b, echo, family) as server, live(a, b, server, 40, family):
                for direction, daemon in ends.items():
                    each = carried(daemon)
                    text = f"{family_name(family)}, {direction}"
                    check_equal(sum(each), 40, f"{text}: all are carried")
                    # How evenly depends on how soon a busy machine's workers count; by chance
                    # alone one of four has none in one of 25,000 runs.
                    check(min(each) > 0, f"{text}: every worker has some", f"{each}")
            for daemon in ends.values():
                wait_for(lambda daemon=daemon: not sum(carried(daemon)), "them to end")


def shows_all():
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, CONFIG)
        net.daemon(b, CONFIG)
        watcher = bound_time(socket.socket(socket.AF_UNIX))
        with watcher, Server(b, echo) as server:
            watcher.connect(str(daemon.run_dir / "control.sock"))
            watcher.sendall(b'{"command":"watch"}\n')
            check_equal(json.loads(read_line(watcher))["event"], "watching", "somebody watches")
            with live(a, b, server, 24):
                listed = daemon.list(recent=False, port=server.port)
                check_equal(len(listed), 24, "list: all of them")
                check_equal(len({c["id"] for c in listed}), 24, "list: each with its own id")
                check_equal({c["id"] % WORKERS for c in listed}, set(range(WORKERS)), "of all workers")
                order = [c["started"] for c in listed]
                check_equal(order, sorted(order), "list: oldest first")
                counters = {(c["bytes_out"], c["bytes_in"]) for c in listed}
                check_equal(counters, {(len(MESSAGE), len(MESSAGE))}, "list: bytes as of now")
                answers = [daemon.ask(command="verify", local=c["local"], peer=c["peer"])
                           for c in listed]
                check(all(v["peer_confirmed"] for v in answers), "verify: every one of them")
                check_equal([v["id"] for v in answers], [c["id"] for c in listed], "and no other")
            ids = [c["id"] for c in listed]
            seen = {}
            while sum(len(events) for events in seen.values()) < 48:
                event = json.loads(read_line(watcher))
                seen.setdefault(event["id"], []).append(event["event"])
            check_equal(seen, {i: ["established", "closed"] for i in ids}, "watch: every event once")
            ended = [c["ended"] for c in daemon.wait_list(24, port=server.port, state="closed")]
            check_equal(ended, sorted(ended), "list: of those that ended the oldest first")
            status = daemon.status()
            check_equal((status["connections"], status["encrypted"]), (0, 24), "status: the sum")


def limit():
    """max-connections counts the connections of all workers together."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, CONFIG + "max-connections = 6\n")
        net.daemon(b, CONFIG)
        with Server(b, echo) as server:
            with live(a, b, server, 6), live(a, b, server, 3):
                check_equal(sum(carried(daemon)), 6, "the limit, and not one more")
                check(daemon.status()["at_limit"], "`status` says that it is reached")
                wait_for(lambda: "6 connections, and no more are taken" in daemon.log(), "the log to say so")
                config = daemon.dir / "tcpcryptd.conf"
                config.write_text(CONFIG + "max-connections = 8\n")
                daemon.process.send_signal(signal.SIGHUP)
                wait_for(lambda: "reloaded" in daemon.log(), "the daemon to reload")
                with live(a, b, server, 4):
                    check_equal(sum(carried(daemon)), 8, "reloaded: the new one")
            wait_for(lambda: not sum(carried(daemon)), "all to end")
            with live(a, b, server, 1):
                check_equal(sum(carried(daemon)), 1, "when some have ended others may come")
                check(not daemon.status()["at_limit"], "and the limit is not reached any more")


def ends():
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, CONFIG + "drain-seconds = 60\n")
        net.daemon(b, CONFIG)
        with Server(b, echo) as server:
            with live(a, b, server, 12) as socks:
                daemon.process.terminate()
                wait_for(lambda: daemon.status()["state"] == "stopping", "draining to begin")
                check(all(speak(sock) for sock in socks), "draining: those of all workers go on")
                with live(a, b, server, 4):
                    check_equal(sum(carried(daemon)), 12, "draining: no worker takes new ones")
            wait_for(lambda: daemon.process.poll() is not None, "the daemon to end with the last")
            check_equal(daemon.process.returncode, 0, "it ends when the last has ended")
            daemon.stopped = True
            daemon = net.daemon(a, CONFIG)
            with live(a, b, server, 12) as socks:
                daemon.kill()
                errors = {errno_of(lambda sock=sock: read_to_end(sock)) for sock in socks}
                check(errors <= set(BROKEN), "kill -9: all of them are reset", f"{errors}")
            got = exchange(a, server, b.addresses[socket.AF_INET], MESSAGE)
            check_equal(got, MESSAGE, "and new ones are left alone")


def one_hangs():
    """As long as one worker hangs, new connections go their way by themselves."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, CONFIG)
        net.daemon(b, CONFIG)
        with Server(b, echo) as server:
            tid = workers_of(daemon)[-1]
            with stopped(tid):
                wait_for(lambda: not is_carried(a, b, server, daemon), "new ones to be left alone")
                check(True, "with one worker hanging, new connections go by themselves")
            wait_for(lambda: is_carried(a, b, server, daemon), "new ones to be taken again")
            check(True, "and when it goes on, they are taken again")


@contextlib.contextmanager
def stopped(tid):
    """One thread of a process does not run; the others do."""
    args = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    ptrace = ctypes.CFUNCTYPE(ctypes.c_long, *args, use_errno=True)(("ptrace", libc))
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if ptrace(request, tid, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(tid, 0x40000000)  # __WALL
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH, tid, None, None)


def is_carried(a, b, server, daemon):
    """Whether a connection was the daemon's. One that hangs with the worker was, too."""
    before = daemon_sockets(a, daemon)
    with contextlib.suppress(OSError), a.socket() as sock:
        sock.settimeout(0.5)
        sock.connect((b.addresses[socket.AF_INET], server.port))
        speak(sock)
        return daemon_sockets(a, daemon) > before
    return True


def daemon_sockets(host, daemon):
    return len(sockets_of(host, daemon.process.pid))


def same_rights():
    """No thread keeps what the daemon has given up."""
    with Net() as net:
        a, _ = net.pair()
        daemon = net.daemon(a, CONFIG)
        found = {rights(tid) for tid in workers_of(daemon)}
        check_equal(found, {rights(daemon.process.pid)}, "capabilities and filter as in main")


def rights(tid):
    lines = pathlib.Path(f"/proc/{tid}/status").read_text().splitlines()
    return tuple(line for line in lines if line.startswith(("Cap", "Uid", "Seccomp", "NoNewPrivs")))


def ports_are_not_shared():
    """The workers share a port; no server shall share its own because of that."""
    with Net() as net:
        a, b = net.pair()
        net.daemon(a, CONFIG)
        net.daemon(b, CONFIG)
        with Server(b, echo) as server, live(a, b, server, 2):
            with b.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                address = (b.addresses[socket.AF_INET], server.port)
                error = errno_of(lambda: (other.bind(address), other.listen()))
                check_equal(error, errno.EADDRINUSE, "another server does not get the port")


def flood():
    """More workers than CPUs, and many short connections: each gets its own bytes."""
    clients, each = 16, 60
    with Net() as net:
        a, b = net.pair()
        daemons = net.daemon(a, CONFIG), net.daemon(b, CONFIG)
        wrong = []

        def client(number):
            source = random.Random(number)
            for _ in range(each):
                message = source.randbytes(source.randrange(1, 20000))
                try:
                    if exchange(a, server, b.addresses[socket.AF_INET], message) != message:
                        wrong.append("other bytes came back")
                except (OSError, EOFError) as error:
                    wrong.append(repr(error))

        with Server(b, echo) as server:
            threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        check_equal(wrong, [], f"{clients * each} connections: what was sent came back")
        for daemon in daemons:
            wait_for(lambda daemon=daemon: not sum(carried(daemon)), "all to end")
            status = daemon.status()
            check_equal(status["encrypted"], clients * each, "each of them encrypted")
            check_equal(status["failed"], {}, "none failed")
            recent = daemon.list()
            check_equal(len(recent), min(1000, clients * each), "and the last are remembered")


if __name__ == "__main__":
    main(
        "several workers carry the connections, and the daemon is one all the same",
        spreads,
        shows_all,
        limit,
        ends,
        one_hangs,
        same_rights,
        ports_are_not_shared,
        flood,
    )
