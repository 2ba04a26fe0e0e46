#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The control socket: root sees and does everything, others what concerns their connections."""
import contextlib
import ctypes
import json
import os
import platform
import pwd
import socket

from apps import Server, echo, exchange, read_exactly
from harness import USER, Net, check, check_equal, libc, main, wait_for

ALICE, BOB = 40001, 40002  # user IDs; nobody needs to have names for them
USER_MAX = 8  # clients that one of them may have: daemon/visitor.h
SETRESUID = {"x86_64": 117, "aarch64": 147}[platform.machine()]
MESSAGE = b"For my eyes only. " * 30


@contextlib.contextmanager
def as_user(uid):
    """The calling thread, and only it, is that user for a while."""
    if libc.syscall(SETRESUID, uid, uid, 0) != 0:
        raise OSError(ctypes.get_errno(), "setresuid")
    try:
        yield
    finally:
        if libc.syscall(SETRESUID, 0, 0, 0) != 0:
            os.abort()


def client(daemon, uid):
    """A connection to the control socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    with as_user(uid):
        sock.connect(str(daemon.run_dir / "control.sock"))
    return sock


def ask(daemon, uid, **request):
    """What a user is answered: a list of objects."""
    answers = b""
    with client(daemon, uid) as sock:
        # Who is refused is told before having asked, and that ends the connection.
        with contextlib.suppress(BrokenPipeError):
            sock.sendall(json.dumps(request).encode() + b"\n")
        with contextlib.suppress(ConnectionResetError):
            while more := sock.recv(65536):
                answers += more
    return [json.loads(line) for line in answers.splitlines()]


def connect_as(uid, host, address, port):
    sock = host.socket()
    sock.settimeout(30)
    with as_user(uid):
        sock.connect((address, port))
    return sock


def ends(records):
    return sorted((r["direction"], r["local"], r["peer"]) for r in records if "id" in r)


def sees_own_only():
    with Net() as net:
        a, b = net.pair()
        da, db = net.daemon(a), net.daemon(b)
        address = b.addresses[socket.AF_INET]
        with Server(b, echo) as first, Server(b, echo) as second:
            os.fchown(first.socket.fileno(), ALICE, -1)
            socks = {
                uid: connect_as(uid, a, address, server.port)
                for uid, server in ((ALICE, first), (BOB, second))
            }
            for sock in socks.values():
                sock.sendall(MESSAGE)
                read_exactly(sock, len(MESSAGE))
            for uid, server, name in ((ALICE, first, "alice"), (BOB, second, "bob")):
                (whole,) = da.wait_list(port=server.port, encrypted=True)
                check_equal(whole["uid"], uid, f"root sees that it is {name}'s")
                own = ask(da, uid, command="list", recent=True)
                check_equal(ends(own), ends([whole]), f"{name} sees the own connection only")
                check_equal(own[0]["session_id"], whole["session_id"], "with its session ID")
            server_of_alice = ask(db, ALICE, command="list", recent=False)
            check_equal(len(server_of_alice), 1, "at the server's: alice sees that to her server")
            check(server_of_alice[0]["local"].endswith(f":{first.port}"), "which it is")
            check_equal(ask(db, BOB, command="list", recent=True), [], "bob, who has none, nothing")
            verifying(da, first, second)
            for sock in socks.values():
                sock.close()
            da.wait_list(2, state="closed")
            ended = ask(da, BOB, command="list", recent=True)
            check_equal([r["uid"] for r in ended], [BOB], "the same of those that ended")


def verifying(daemon, own, other):
    (mine,) = ask(daemon, ALICE, command="list", recent=False)
    (others,) = daemon.list(port=other.port)
    request = {"command": "verify", "local": mine["local"], "peer": mine["peer"]}
    check_equal(ask(daemon, ALICE, **request)[0].get("peer_confirmed"), True, "alice verifies hers")
    request = {"command": "verify", "local": others["local"], "peer": others["peer"]}
    before = daemon.list(port=other.port)[0]["rekeys"]
    answer = ask(daemon, ALICE, **request)[0]
    check("not found" in answer.get("error", ""), "of bob's she is not told that it is there", answer)
    check_equal(daemon.list(port=other.port)[0]["rekeys"], before, "and it gets no new keys")
    confirmed = ask(daemon, 0, **request)[0].get("peer_confirmed")
    check_equal(confirmed, True, "root may verify any")


def watches_own_only():
    with Net() as net:
        a, b = net.pair()
        da, _ = net.daemon(a), net.daemon(b)
        address = b.addresses[socket.AF_INET]
        with Server(b, echo) as server, client(da, ALICE) as watcher, client(da, 0) as root:
            for sock in (watcher, root):
                sock.sendall(b'{"command":"watch"}\n')
                check(b"watching" in sock.recv(4096), "watching")
            with connect_as(BOB, a, address, server.port) as sock:
                sock.sendall(MESSAGE)
                read_exactly(sock, len(MESSAGE))
            with connect_as(ALICE, a, address, server.port) as sock:
                sock.sendall(MESSAGE)
                read_exactly(sock, len(MESSAGE))
            seen = {uid: [] for uid in (ALICE, 0)}
            for uid, sock, wanted in ((0, root, 4), (ALICE, watcher, 2)):
                with sock.makefile() as file:
                    while len(seen[uid]) < wanted:
                        seen[uid].append(json.loads(file.readline())["uid"])
            check_equal(sorted(seen[0]), [ALICE] * 2 + [BOB] * 2, "root sees all begin and end")
            check_equal(seen[ALICE], [ALICE] * 2, "alice hers")


def a_remembered_one():
    """A connection that goes natively has an owner, too."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        address = b.addresses[socket.AF_INET]
        with Server(b, echo) as server:
            exchange(a, server, address, MESSAGE)
            daemon.wait_list(port=server.port, reason="no-eno")
            connect_as(ALICE, a, address, server.port).close()
            daemon.wait_list(port=server.port, reason="remembered")
        own = ask(daemon, ALICE, command="list", recent=True)
        check_equal([r["reason"] for r in own], ["remembered"], "alice sees that hers was plain")


def acting_is_roots():
    with Net() as net:
        host = net.host()
        daemon = net.daemon(host)
        for uid, who in ((ALICE, "others"), (BOB, "others")):
            (answer,) = ask(daemon, uid, command="flush")
            check_equal(answer, {"error": "only root may do that"}, f"{who} may not flush")
        (answer,) = ask(daemon, 0, command="flush")
        check_equal(answer, {"flushed": True}, "root may")
        (status,) = ask(daemon, ALICE, command="status")
        check_equal(status["state"], "intercepting", "everybody may ask for the state and totals")
        libraries = {backend["library"] for backend in status["crypto"].values() if backend["reason"]}
        check(libraries <= {"OpenSSL", "libipsec-mb", "libsodium", "nettle"} and libraries,
              f"and who computes the cryptography: {', '.join(libraries)}")
        path = daemon.run_dir / "control.sock"
        check_equal(path.stat().st_mode & 0o777, 0o666, "everybody may connect")
        check_equal(daemon.run_dir.stat().st_mode & 0o777, 0o711, "through a run directory that they cannot open")


def answered(daemon, uid):
    """Whether a user gets the state."""
    found = ask(daemon, uid, command="status")
    return bool(found) and "state" in found[0]


def refused(daemon, uid):
    found = ask(daemon, uid, command="status")
    return found and "too many" in found[0].get("error", "")


def many_clients_of_one():
    with Net() as net:
        daemon = net.daemon(net.host())
        with contextlib.ExitStack() as stack:
            for _ in range(USER_MAX):
                sock = stack.enter_context(client(daemon, ALICE))
                sock.sendall(b'{"command":"watch"}\n')
                check(b"watching" in sock.recv(4096), "one more watcher of alice's")
            check(refused(daemon, ALICE), "beyond her share alice is refused, with an answer")
            check(answered(daemon, BOB), "bob is not")
            check(answered(daemon, 0), "nor root")
            # As many users as it takes to fill what all but root have together.
            uid = BOB
            while answered(daemon, uid):
                for _ in range(USER_MAX):
                    silent = stack.enter_context(client(daemon, uid))
                    silent.sendall(b'{"command":"watch"}\n')
                uid += 1
            check(uid > BOB + 2, "several users fill the rest", uid)
            check(answered(daemon, 0), "root is let in all the same")
        wait_for(lambda: answered(daemon, ALICE), "the clients to be gone")
        check(True, "and when they are gone, alice is, too")


def watchers_that_said_more():
    """Whoever is gone takes no place, also when there is more of what he said than the daemon reads at once."""
    with Net() as net:
        daemon = net.daemon(net.host())
        for _ in range(USER_MAX):
            with client(daemon, ALICE) as sock:
                sock.sendall(b'{"command":"watch"}\n')
                check(b"watching" in sock.recv(4096), "one more watcher of alice's")
                sock.sendall(bytes(10000))
        wait_for(lambda: answered(daemon, ALICE), "the watchers to be gone")
        check(True, "when they are gone, alice is answered")


def the_daemons_user():
    """The user that the daemon is has no other rights than root: it could read its memory."""
    with Net() as net:
        daemon = net.daemon(net.host())
        (answer,) = ask(daemon, pwd.getpwnam(USER).pw_uid, command="flush")
        check_equal(answer, {"flushed": True}, "the daemon's own user may do what root may")


if __name__ == "__main__":
    main(
        "the control socket serves every user, and tells each no more than is theirs",
        sees_own_only,
        watches_own_only,
        a_remembered_one,
        acting_is_roots,
        many_clients_of_one,
        watchers_that_said_more,
        the_daemons_user,
    )
