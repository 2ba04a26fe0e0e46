# SPDX-License-Identifier: BSD-2-Clause
"""Programs in cgroups of their own, in other network namespaces, as other users."""
import os
import pathlib
import signal
import socket

from cases import case
from connecting import greet
from harness import PREFIX, setns
from names import converse

BOTH = ("v4", "v6")


def cgroup2():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 "):
            return pathlib.Path(fields.split()[4])
    raise OSError("no cgroup2")


class OwnCgroup:
    """This process in a new cgroup below the root, for the length of a `with` block."""

    def __init__(self, me):
        self.root = cgroup2()
        own = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
        self.home = self.root / next(l for l in own if l.startswith("0::"))[3:].lstrip("/")
        self.path = self.root / f"{PREFIX}{os.getpid()}-{me.role}"

    def __enter__(self):
        self.path.mkdir()
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def __exit__(self, *_):
        (self.home / "cgroup.procs").write_text(str(os.getpid()))
        self.path.rmdir()


def in_cgroup(me):
    with OwnCgroup(me):
        sock = me.connect()
        me.names(sock)
        converse(me, sock)


def serve_in_cgroup(me):
    with OwnCgroup(me):
        greet(me)


case("in a cgroup of its own", in_cgroup, serve_in_cgroup, families=BOTH)


def other_host(net, hosts):
    """A third host, joined to the server's, in which no daemon runs."""
    hosts["other"] = net.host()
    net.link(hosts["other"], hosts["server"])


def in_other_namespace(me):
    me.hear()
    other = me.place.hosts["other"]
    address = "10.2.0.2" if me.family == socket.AF_INET else "fd00:2::2"
    with open(other.path) as namespace:
        setns(namespace)
    with me.socket() as sock:
        me.call("connect", sock.connect, (address, me.port()))
        me.see("own address", sock.getsockname()[0] == other.addresses[me.family])
        me.see("peer's address", sock.getpeername()[0] == address)
        converse(me, sock)


case("in another network namespace", in_other_namespace, greet, families=BOTH, own_net=True,
     prepare=other_host, carried=False, inproc=False)


def passed_socket(me):
    """A socket made here, connected and used by a process in another namespace."""
    sock = me.socket()
    me.hear()

    def use():
        with open(me.place.hosts["server"].path) as namespace:
            setns(namespace)
        sock.connect(me.target())
        sock.sendall(b"from another namespace")

    me.in_child(use)
    me.names(sock)
    sock.shutdown(socket.SHUT_WR)
    me.read_to_end(sock)


# In-process, a socket that two processes have before it connects is left alone.
case("a socket used from another namespace", passed_socket, greet, inproc=False)


def without_privilege(me):
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    sock = me.connect()
    me.names(sock)
    me.call("set SO_MARK", sock.setsockopt, socket.SOL_SOCKET, socket.SO_MARK, 1)
    converse(me, sock)


case("without privilege", without_privilege, greet)


def over_unix(me):
    """A connected socket handed to another process by SCM_RIGHTS."""
    here, there = socket.socketpair()

    def use():
        _, (fd,), _, _ = socket.recv_fds(there, 1, 1)
        with socket.socket(fileno=fd) as received:
            received.sendall(b"from another process")

    pid = me.child(use)
    sock = me.connect()
    socket.send_fds(here, [b"x"], [sock.fileno()])
    os.waitpid(pid, 0)
    sock.shutdown(socket.SHUT_WR)
    me.read_to_end(sock)


case("a connection passed by SCM_RIGHTS", over_unix, greet)


def killed(me):
    """A program that is killed: its kernel closes for it."""
    me.hear()

    def speak():
        sock = me.socket()
        sock.connect(me.target())
        sock.sendall(b"last words")
        me.wait_sent(sock)
        os.kill(os.getpid(), signal.SIGKILL)

    me.see("killed by", os.waitpid(me.child(speak), 0)[1])


case("a client that is killed", killed, lambda me: me.read_to_end(me.accept()))
