# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of in-process mode have in common."""
import os
import socket

from harness import TCPCRYPT, TCPCRYPTD, Net, check, check_equal, wait_for
from packets import Capture

V4, V6 = socket.AF_INET, socket.AF_INET6
SECRET = b"Nobody on the path shall read this sentence. "
ROLES = ("client", "server", "both")
LIBRARY = os.environ.get(
    "TCPCRYPT_INPROC_LIBRARY",
    os.path.join(os.path.dirname(TCPCRYPTD), "..", "inproc", "libtcpcrypt-inproc.so"),
)


def loaded(args, daemon=None):
    """The program as `tcpcrypt run` starts it; it tells this daemon of its connections."""
    library = f"TCPCRYPT_INPROC_LIBRARY={LIBRARY}"
    run_dir = ["--run-dir", daemon.run_dir] if daemon else []
    return [str(arg) for arg in ("env", library, TCPCRYPT, *run_dir, "run", "--require", "--", *args)]


class Pair:
    """Two hosts with daemons; the programs of the role's side have the library."""

    def __init__(self, net, role):
        self.net, self.role = net, role
        self.a, self.b = net.pair()
        self.da, self.db = net.daemon(self.a), net.daemon(self.b)
        self.capture = net.use(Capture(self.a, self.a.interfaces[0]))

    def client(self, args):
        return args if self.role == "server" else loaded(args, self.da)

    def server(self, args):
        return args if self.role == "client" else loaded(args, self.db)

    def session_ids(self, daemon, port):
        return {c["session_id"] for c in daemon.list(port=port)}

    def check_carried(self, name, port):
        """Both daemons list the connections, encrypted, whoever carries them."""
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
        check(not self.capture.contains(SECRET), f"{name}: nothing is readable on the wire")


def each_role(name, body):
    for role in ROLES:
        with Net() as net:
            pair = Pair(net, role)
            body(pair, f"{name}, in-process {role}")


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
