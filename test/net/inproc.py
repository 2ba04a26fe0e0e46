# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of in-process mode have in common."""
import os
import socket

from apps import sha256
from harness import TCPCRYPT, TCPCRYPTD, Net, check, check_equal, wait_for
from packets import Capture

V4, V6 = socket.AF_INET, socket.AF_INET6
SECRET = b"Nobody on the path shall read this sentence. "
ROLES = ("client", "server", "both")
LIBRARY = os.environ.get(
    "TCPCRYPT_INPROC_LIBRARY",
    os.path.join(os.path.dirname(TCPCRYPTD), "..", "inproc", "libtcpcrypt-inproc.so"),
)


def secret_file(path, size):
    """A file of about that size, SECRET all over it and bytes that differ; returns its sha256."""
    with open(path, "wb") as file:
        for number in range(0, size, 4096):
            file.write(SECRET + os.urandom(4096 - 2 * len(SECRET)) + SECRET)
    return sha256(path)


# A sanitizer's runtime, which must be the first library of a program with a sanitized one; empty: none.
RUNTIME = os.environ.get("SANITIZER_RUNTIME", "")


def as_user(user, args):
    """The program, and the library in it, without root's rights."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *args]


def loaded(args, daemon=None):
    """The program as `tcpcrypt run` starts it; it tells this daemon of its connections."""
    library = f"TCPCRYPT_INPROC_LIBRARY={LIBRARY}"
    run_dir = ["--run-dir", daemon.run_dir] if daemon else []
    if RUNTIME:
        args = ["env", f"LD_PRELOAD={RUNTIME}:{LIBRARY}", *args]
    return [str(arg) for arg in ("env", library, TCPCRYPT, *run_dir, "run", "--require", "--", *args)]


class Pair:
    """
    Two hosts with daemons; the programs of the role's side have the library. plain: the other
    side has nothing, neither daemon nor library.
    """

    def __init__(self, net, role, plain=False):
        self.net, self.role, self.plain = net, role, plain
        self.a, self.b = net.pair()
        self.da = None if plain and role == "server" else net.daemon(self.a)
        self.db = None if plain and role == "client" else net.daemon(self.b)
        self.capture = net.use(Capture(self.a, self.a.interfaces[0]))

    def client(self, args):
        return args if self.role == "server" else loaded(args, self.da)

    def server(self, args):
        return args if self.role == "client" else loaded(args, self.db)

    def session_ids(self, daemon, port):
        return {c["session_id"] for c in daemon.list(port=port)}

    def check_carried(self, name, port):
        """Both daemons list the connections, encrypted, whoever carries them."""
        if self.plain:
            for daemon in filter(None, (self.da, self.db)):
                found = [c for c in daemon.list(port=port) if c["encrypted"]]
                check_equal(found, [], f"{name}: nothing is listed as encrypted")
            return
        wait_for(lambda: self.session_ids(self.da, port) == self.session_ids(self.db, port) != set(),
                 f"{name}: both ends' lists to have the same session IDs")
        for daemon in (self.da, self.db):
            found = daemon.list(port=port)
            check(found and all(c["session_id"] for c in found),
                  f"{name}: each end lists session IDs", found)
            # Programs may reset; and who closes first does not wait for the other end's
            # FINp, so that its kernel says that nobody reads it.
            failed = [c for c in found if c["reason"] not in (None, "reset", "local-reset")
                      or not c["encrypted"]]
            check_equal(failed, [], f"{name}: all of them are encrypted and end well")

    def check_secret(self, name):
        check(self.capture.packets(), f"{name}: something was captured")
        if self.plain:
            check(self.capture.contains(SECRET), f"{name}: in plain on the wire")
        else:
            check(not self.capture.contains(SECRET), f"{name}: nothing is readable on the wire")

    def check(self, name, port):
        self.check_carried(name, port)
        self.check_secret(name)


def each_role(name, body, plain=True):
    """The body in every role; and with peers without ENO, where nothing may change."""
    for role in ROLES:
        with Net() as net:
            body(Pair(net, role), f"{name}, in-process {role}")
    for role in ROLES[:2] if plain else ():
        with Net() as net:
            body(Pair(net, role, plain=True), f"{name}, in-process {role} and a plain peer")


# Marks its socket as the library does, and writes to it in plain.
RAW_WRITER = """
import socket, sys, time
s = socket.socket()
while True:
    try:
        s.setsockopt(socket.IPPROTO_TCP, 1060, 1)
        break
    except BlockingIOError:
        time.sleep(.01)
s.settimeout(20)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(sys.argv[3].encode())
try:
    print("answer", s.recv(100))
except OSError as e:
    print("error", e.errno)
"""
