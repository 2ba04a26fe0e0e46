#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the daemon may do once it has started, and that it still does all that it should."""
import os
import pathlib
import pwd
import resource
import signal
import socket
import subprocess

from apps import Server, connect, echo, exchange, read_exactly
from harness import REPO, TCPCRYPT, TCPCRYPTD, USER, Net, check, check_equal, main, wait_for

CAP_NET_ADMIN, CAP_IPC_LOCK, CAP_SYS_PTRACE = 1 << 12, 1 << 14, 1 << 19
SECCOMP_OFF, SECCOMP_FILTER = "0", "2"
MESSAGE = b"As little as it takes. " * 40
MANY = 200


def is_sanitized():
    program = pathlib.Path(TCPCRYPTD).read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def threads_of(process):
    """The status of each thread, as a dictionary."""
    found = []
    for path in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        lines = (path / "status").read_text().splitlines()
        found.append(dict(line.split(":\t", 1) for line in lines if ":\t" in line))
    return found


def expected_capabilities():
    bits = CAP_NET_ADMIN
    names = ["net_admin"]
    # Whoever may not raise the limit on locked memory has to keep the right to exceed it.
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] != resource.RLIM_INFINITY and not may_raise():
        bits |= CAP_IPC_LOCK
        names.append("ipc_lock")
    if is_sanitized():
        bits |= CAP_SYS_PTRACE
        names.append("sys_ptrace")
    return bits, names


def may_raise():
    own = pathlib.Path("/proc/self/status").read_text()
    (line,) = [line for line in own.splitlines() if line.startswith("CapEff:")]
    return int(line.split()[1], 16) >> 24 & 1  # CAP_SYS_RESOURCE


def check_confined(daemon, uid, text):
    bits, names = expected_capabilities()
    for thread in threads_of(daemon.process):
        check_equal(thread["Uid"].split(), [str(uid)] * 4, f"{text}: its user ID")
        for name in ("CapPrm", "CapEff"):
            check_equal(int(thread[name], 16), bits, f"{text}: {name}: {' '.join(names)}")
        for name in ("CapBnd", "CapInh", "CapAmb"):
            check_equal(int(thread[name], 16), 0, f"{text}: {name}: none")
        check_equal(thread["NoNewPrivs"], "1", f"{text}: no new privileges")
        seccomp = SECCOMP_OFF if is_sanitized() else SECCOMP_FILTER
        check_equal(thread["Seccomp"], seccomp, f"{text}: its system calls are filtered")
    told = daemon.status()["sandbox"]
    check_equal(told["capabilities"], names, f"{text}: `status` tells the capabilities")
    check_equal((told["on"], told["uid"]), (True, uid), f"{text}: and the user ID")


def becomes_its_user():
    with Net() as net:
        host = net.host()
        user = pwd.getpwnam(USER)
        daemon = net.daemon(host)
        check_confined(daemon, user.pw_uid, "the user of the configuration")
        (first, *_) = threads_of(daemon.process)
        check_equal(first["Gid"].split(), [str(user.pw_gid)] * 4, "its group ID")
        check_equal(first["Groups"].split(), [], "and no other group")
        check_equal(os.stat(f"/proc/{daemon.process.pid}/status").st_uid, 0, "it is not dumpable")
        # The sanitizers make mlockall() do nothing.
        locked = is_sanitized() or int(first["VmLck"].split()[0]) > 1000
        check(locked, "its memory is locked", first["VmLck"])
        check(daemon.status()["sandbox"]["memory_locked"], "and `status` tells")


def goes_on_without_a_user():
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, "user = no-such-user\n")
        net.daemon(b)
        check_confined(daemon, 0, "without such a user")
        check("NO USER no-such-user" in daemon.log(), "the log says so, loudly", daemon.log())
        check(daemon.status()["sandbox"]["user_missing"], "and so does `status`")
        shown = daemon.tool("status").stdout
        check("no-such-user" in shown, "also for people", shown)
        with Server(b, echo) as server:
            exchange(a, server, b.addresses[socket.AF_INET], MESSAGE)
            daemon.wait_list(port=server.port, encrypted=True)
        check(True, "it encrypts")


def sandbox_off():
    with Net() as net:
        daemon = net.daemon(net.host(), "sandbox = off\n")
        (thread, *_) = threads_of(daemon.process)
        check_equal(thread["Uid"].split()[0], "0", "sandbox = off: it stays root")
        check_equal(thread["Seccomp"], SECCOMP_OFF, "without a filter")
        check("SANDBOX IS OFF" in daemon.log(), "the log says so, loudly", daemon.log())
        check_equal(daemon.status()["sandbox"]["on"], False, "and so does `status`")
        check("SANDBOX" in daemon.tool("status").stdout, "also for people")


def encrypted_exchange(daemon, host, server, address, text, family=socket.AF_INET):
    check_equal(exchange(host, server, address, MESSAGE, family), MESSAGE, f"{text}: the answer")
    found = daemon.wait_list(port=server.port, encrypted=True)
    check(found, f"{text}: encrypted")


def interfaces_that_come_later():
    """CAP_NET_ADMIN: BPF programs on new interfaces."""
    with Net() as net:
        a, b = net.host(), net.host()
        da, db = net.daemon(a), net.daemon(b)
        net.link(a, b)
        late = a.interfaces[0]
        for daemon in (da, db):
            wait_for(lambda: late in daemon.status()["engine"]["interfaces"], "the interface")
        for family, address in b.addresses.items():
            with Server(b, echo, family) as server:
                encrypted_exchange(db, a, server, address, f"over {late} to {address}", family)
        a.ip("link", "del", late)
        for daemon in (da, db):
            wait_for(lambda: late not in daemon.status()["engine"]["interfaces"], "it to be gone")
        check(True, "an interface that goes is forgotten")


def options_that_take_a_right():
    """CAP_NET_ADMIN: what a privileged program set on its socket goes to the wire's, too."""
    with Net() as net:
        a, b = net.pair()
        # With the mark there is a route, without it there is none.
        target = "10.99.0.2"
        a.ip("route", "add", target, "via", b.addresses[socket.AF_INET], "table", "77")
        a.ip("rule", "add", "fwmark", "77", "table", "77")
        b.ip("addr", "add", f"{target}/32", "dev", b.interfaces[0])
        daemon = net.daemon(a, "keepalive-seconds = 1\n")
        net.daemon(b)
        with Server(b, echo) as server:
            with a.socket() as sock:
                sock.settimeout(30)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 77)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 7)
                sock.connect((target, server.port))
                sock.sendall(MESSAGE)
                check_equal(read_exactly(sock, len(MESSAGE)), MESSAGE, "SO_MARK chose the route")
                (found,) = daemon.wait_list(port=server.port, encrypted=True)
                rekeys = found["rekeys"]
                wait_for(
                    lambda: daemon.list(port=server.port)[0]["rekeys"] > rekeys,
                    "a probe of the other end",
                )
                check(True, "and the other end is asked for signs of life")


def many_connections():
    with Net() as net:
        a, b = net.pair()
        da, _ = net.daemon(a), net.daemon(b)
        address = b.addresses[socket.AF_INET]
        with Server(b, echo) as server:
            socks = [connect(a, address, server.port) for _ in range(MANY)]
            for sock in socks:
                sock.sendall(MESSAGE)
            right = [read_exactly(sock, len(MESSAGE)) == MESSAGE for sock in socks]
            check(all(right), f"{MANY} connections at a time carry what they should")
            found = da.wait_list(MANY, port=server.port, encrypted=True)
            check_equal(len(found), MANY, "all of them encrypted")
            for sock in socks:
                sock.close()
        with Server(b, echo) as server:
            right = [exchange(a, server, address, MESSAGE) == MESSAGE for _ in range(MANY)]
            check(all(right), f"{MANY} one after the other, too")
        log = da.log().lower()
        check("denied" not in log and "permitted" not in log, "nothing was denied to it", log)


def reloads_what_it_may_read():
    with Net() as net:
        a, b = net.pair()
        da, _ = net.daemon(a), net.daemon(b)
        path = da.dir / "tcpcryptd.conf"
        address = b.addresses[socket.AF_INET]
        with Server(b, echo) as server:
            encrypted_exchange(da, a, server, address, "before")
            path.write_text(f"ports-left-alone = {server.port}\n")
            da.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "reloaded" in da.log(), "the reload")
            before = len(da.list(port=server.port))
            check_equal(exchange(a, server, address, MESSAGE), MESSAGE, "after SIGHUP: the answer")
            check_equal(len(da.list(port=server.port)), before, "new rules: a port left alone")
            path.write_text("")
            path.chmod(0o600)
            da.process.send_signal(signal.SIGHUP)
            wait_for(lambda: f"{path}: Permission denied" in da.log(), "the refusal to be told")
            check_equal(exchange(a, server, address, MESSAGE), MESSAGE, "not readable: the answer")
            check_equal(len(da.list(port=server.port)), before, "it changes nothing")
        restarted = start_with(net, da, path)
        check(f"{path} cannot be read by the user {USER}" in restarted, "a start warns of it", restarted)


def start_with(net, daemon, path):
    """Starts a daemon in its place with a configuration that only root can read."""
    daemon.stop()
    config = f"user = {USER}\n"
    path.write_text(config)
    log = daemon.dir / "again"
    with open(log, "w") as file:
        process = daemon.host.start(
            [TCPCRYPTD, "--run-dir", daemon.run_dir, "--config", path], stderr=file
        )
    wait_for(lambda: "intercepting" in log.read_text(), "the start")
    process.terminate()
    check_equal(process.wait(30), 0, "which works")
    return log.read_text()


def locks_of(daemon):
    """The files in /run/tcpcryptd that it has open."""
    fds = pathlib.Path(f"/proc/{daemon.process.pid}/fd").iterdir()
    paths = [pathlib.Path(os.readlink(fd)) for fd in fds]
    return [path for path in paths if path.parent == pathlib.Path("/run/tcpcryptd")]


def leaves_nothing():
    """What it made as root it takes away as the user it is."""
    with Net() as net:
        a, _ = net.pair()
        daemon = net.daemon(a)
        (lock,) = locks_of(daemon)
        check_equal(daemon.stop(), "", "it ends well")
        check(not lock.exists(), "its lock is gone")
        check_equal(os.listdir(daemon.run_dir), [], "and its socket")
        for name in (*a.interfaces, "lo"):
            with a.inside():
                shown = os.popen(f"tc qdisc show dev {name}").read()
            check("clsact" not in shown, f"and its filters on {name}", shown)


def locks_of_others():
    """Who is not root cannot keep the next daemon from starting."""
    with Net() as net:
        a, _ = net.pair()
        daemon = net.daemon(a)
        other = ["setpriv", "--reuid=12345", "--clear-groups"]
        for path in (daemon.run_dir, *locks_of(daemon)):
            done = a.run([*other, "flock", "-n", path, "true"], check=False)
            check("denied" in done.stderr, f"others cannot lock {path.name}", done.stderr)
        done = a.run([*other, TCPCRYPT, "--run-dir", daemon.run_dir, "status"], check=False)
        check_equal(done.returncode, 0, "but may ask on the socket")


def locks_of_the_dead():
    """A daemon that was killed leaves its lock; the next one anywhere takes it away."""
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a)
        (lock,) = locks_of(daemon)
        daemon.kill()
        check(lock.exists(), "kill -9 leaves the lock")
        other = net.daemon(b)
        check(not lock.exists(), "the next daemon sweeps it away")
        (held,) = locks_of(other)
        third = net.daemon(a)
        check(held.exists(), "and leaves those that are held")
        check_equal(third.status()["state"], "intercepting", "the namespace is free again")


def bounding_set():
    """The rights that the service's unit has it start with."""
    unit = (REPO / "packaging/tcpcryptd.service.in").read_text()
    lines = [line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet=")]
    names = {name for line in lines for name in line.partition("=")[2].split()}
    return names | {"CAP_SYS_PTRACE"} if is_sanitized() else names


def starts_with_the_units_rights():
    names = subprocess.check_output(["setpriv", "--list-caps"], text=True).split()
    others = [name for name in names if f"CAP_{name.upper()}" not in bounding_set()]
    wrapper = ["setpriv", "--bounding-set", ",".join(f"-{name}" for name in others)]
    with Net() as net:
        a, b = net.pair()
        daemon = net.daemon(a, wrapper=wrapper)
        net.daemon(b, wrapper=wrapper)
        check_confined(daemon, pwd.getpwnam(USER).pw_uid, "with the unit's rights")
        with Server(b, echo) as server:
            encrypted_exchange(daemon, a, server, b.addresses[socket.AF_INET], "and so")
        check_equal(daemon.stop(), "", "and ends well")


def memory_that_cannot_be_locked():
    """Better swapped than out of memory at the limit."""
    limits = ["--bounding-set", "-ipc_lock,-sys_resource"]
    wrapper = ["prlimit", f"--memlock={1 << 22}", "setpriv", *limits]
    with Net() as net:
        daemon = net.daemon(net.host(), wrapper=wrapper)
        check("may be locked" in daemon.log(), "the log says that memory is not locked", daemon.log())
        told = daemon.status()["sandbox"]
        check_equal(told["memory_locked"], False, "and so does `status`")
        check("ipc_lock" not in told["capabilities"], "and no right is kept for it")


def run_dir_of_others():
    """A directory that was not made for the daemon stays whose it was."""
    with Net() as net:
        host = net.host()
        where = net.directory()
        (where / "somebody's").touch()
        process = host.start([TCPCRYPTD, "--run-dir", where, "--config", config_of(net)])
        wait_for(lambda: (where / "control.sock").exists() and asks(host, where), "the start")
        check_equal(where.stat().st_uid, 0, "a run directory with other things stays root's")
        process.terminate()
        check_equal(process.wait(30), 0, "and the daemon ends well")


# Over a copy of /etc that has no such user, in a mount namespace that ends with it.
MAKE_USER = """set -e
mount -t tmpfs tmpfs "$1"
cp -a /etc/. "$1"
sed -i '/^tcpcrypt:/d' "$1"/passwd "$1"/group "$1"/shadow "$1"/gshadow
mount --bind "$1" /etc
tools/make-user
getent passwd tcpcrypt
"""


def user_is_made():
    """`make install` makes the user, as the Makefile does: from the top of the tree."""
    with Net() as net:
        make = ["unshare", "--mount", "sh", "-c", MAKE_USER, "sh", net.directory()]
        done = subprocess.run(make, cwd=REPO, capture_output=True, text=True, check=False)
        check_equal(done.returncode, 0, "there is a user tcpcrypt then")
        check(":/usr/sbin/nologin" in done.stdout, "who cannot log in", done.stdout + done.stderr)


def config_of(net):
    path = net.directory() / "tcpcryptd.conf"
    path.write_text(f"user = {USER}\n")
    return path


def asks(host, run_dir):
    done = host.run([TCPCRYPT, "--run-dir", run_dir, "status"], check=False)
    return done.returncode == 0


if __name__ == "__main__":
    main(
        "the daemon keeps only the rights it needs, and needs no more",
        becomes_its_user,
        goes_on_without_a_user,
        user_is_made,
        sandbox_off,
        interfaces_that_come_later,
        options_that_take_a_right,
        many_connections,
        reloads_what_it_may_read,
        leaves_nothing,
        locks_of_others,
        locks_of_the_dead,
        starts_with_the_units_rights,
        memory_that_cannot_be_locked,
        run_dir_of_others,
    )
