# SPDX-License-Identifier: BSD-2-Clause
"""Hosts for the network tests and the demo: network namespaces joined by veth pairs.

A Net owns everything that is made through it (hosts, links, processes, daemons, temporary
files) and takes it all away when its `with` block ends, however it ends. Programs are run in
a host by nsenter, which unlike `ip netns exec` leaves the mounts, and so the cgroup, alone.
"""
import atexit
import contextlib
import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

REPO = pathlib.Path(__file__).resolve().parents[2]
TCPCRYPTD = os.environ.get("TCPCRYPTD", str(REPO / "build/daemon/tcpcryptd"))
TCPCRYPT = os.environ.get("TCPCRYPT", str(REPO / "build/cli/tcpcrypt"))
LONG = os.environ.get("TCPCRYPT_TEST_LONG") == "1"

USER = "nobody"  # there is one everywhere; the daemon's own may not have been made
PREFIX = "tct-"  # of every namespace, tct-PID-N, and temporary directory
NETNS_DIR = pathlib.Path("/run/netns")
# $0: a control group, $1: where its hierarchy is mounted, and then a command.
SECLUDED = """echo 0 > "$0/cgroup.procs" && exec unshare --cgroup --mount sh -c '
umount "$0" && mount -t cgroup2 cgroup2 "$0" && exec "$@"' "$@"
"""
# Where guards are pinned: in the usual place, or in the daemon's own where nothing is mounted there.
GUARD_DIRS = (pathlib.Path("/sys/fs/bpf/tcpcrypt"), pathlib.Path("/run/tcpcrypt-bpf/tcpcrypt"))
SO_NETNS_COOKIE = 71
CLONE_NEWNET = 0x40000000
# Seconds to wait for what should come at once: a bound, never a measure. An emulated machine wants more.
PATIENCE = float(os.environ.get("TCT_PATIENCE", "30"))
DESCRIPTORS = 20000  # that a test may have open at once; a shell gives it 1,024
SANITIZER = re.compile(r"ERROR: \w*Sanitizer|WARNING: \w*Sanitizer|: runtime error: ")

libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """This test cannot run here; the text says why."""


# ---- waiting ------------------------------------------------------------------------------


def wait_for(condition, what, timeout=PATIENCE):
    """Polls until condition() is true and returns its value; TimeoutError otherwise."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(0.01)


# ---- hosts --------------------------------------------------------------------------------


class Host:
    """A network namespace. addresses: {AF_INET: ..., AF_INET6: ...} of its first link."""

    def __init__(self, net, name):
        self.net = net
        self.name = name
        self.path = NETNS_DIR / name
        self.addresses = {}
        self.interfaces = []
        self.cgroup = None

    def create(self):
        command(["ip", "netns", "add", self.name])
        self.ip("link", "set", "lo", "up")
        for family in ("ipv4", "ipv6"):
            for what in ("default", "all"):
                self.sysctl(f"{family}/conf/{what}/forwarding", 0)
        self.sysctl("ipv6/conf/default/accept_dad", 0)

    def seclude(self):
        """Programs that are started from now on see a control group of their own as the root of
        all: what a daemon among them attaches there is not run for other hosts."""
        self.cgroup = cgroup_root() / self.name
        self.cgroup.mkdir()

    def ip(self, *args):
        command(["ip", "-netns", self.name, *args])

    @contextlib.contextmanager
    def inside(self):
        """Moves the calling thread into this host; sockets made there stay there."""
        with open("/proc/thread-self/ns/net") as home, open(self.path) as there:
            setns(there)
            try:
                yield
            finally:
                setns(home)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0):
        with self.inside():
            return socket.socket(family, kind, proto)

    def sysctl(self, name, value):
        with self.inside():
            pathlib.Path("/proc/sys/net", name).write_text(f"{value}\n")

    def argv(self, args):
        # setpriv: should this process be killed, the programs it started end with it.
        inside = ["setpriv", "--pdeathsig", "TERM", "nsenter", f"--net={self.path}"]
        if self.cgroup:
            inside += ["sh", "-c", SECLUDED, self.cgroup, self.cgroup.parent]
        return [*map(str, inside), *map(str, args)]

    def run(self, args, check=True, timeout=120, **options):
        """Runs a program to its end and returns the CompletedProcess, output captured."""
        options = {"capture_output": True, "text": True, **options}
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(self.argv(args), timeout=timeout, **options)
        if check and done.returncode != 0:
            raise RuntimeError(f"{args} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self, args, **options):
        """Starts a program that the Net ends if nobody else does."""
        options = {"stdin": subprocess.DEVNULL, **options}
        process = subprocess.Popen(self.argv(args), start_new_session=True, **options)
        self.net.processes.append(process)
        return process

    def tcp_sockets(self):
        """The TCP sockets of this host."""
        found = []
        with self.inside():
            for table in ("tcp", "tcp6"):
                lines = pathlib.Path("/proc/thread-self/net", table).read_text().splitlines()
                found += [TcpSocket(line.split()) for line in lines[1:]]
        return found

    def listeners(self):
        """The ports that TCP sockets of this host listen on."""
        return {s.port for s in self.tcp_sockets() if s.listens}

    def wait_listening(self, port):
        wait_for(lambda: port in self.listeners(), f"a listener on port {port}")

    def guard(self):
        """Where this host's guard is pinned, if it is; else a path that is not there."""
        with self.socket() as sock:
            cookie = sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
        name = str(int.from_bytes(cookie, sys.byteorder))
        return next((d / name for d in GUARD_DIRS if (d / name).exists()), GUARD_DIRS[0] / name)

    def pids(self):
        out = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        return [int(pid) for pid in out.stdout.split() if int(pid) != os.getpid()]


def setns(namespace):
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def command(args):
    done = subprocess.run(args, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(args)}: {done.stderr.strip()}")


class TcpSocket:
    """A line of /proc/net/tcp."""

    def __init__(self, fields):
        self.port = int(fields[1].rpartition(":")[2], 16)
        self.remote = int(fields[2].rpartition(":")[2], 16)
        self.listens = fields[3] == "0A"
        self.connects = fields[3] == "02"
        self.unread = 0 if self.listens else int(fields[4].rpartition(":")[2], 16)
        self.inode = fields[9]


def sockets_of(host, pid):
    """The TCP sockets of host that process pid holds."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
            if found:
                inodes.add(found[1])
    return [s for s in host.tcp_sockets() if s.inode in inodes]


# ---- the daemon ---------------------------------------------------------------------------


class Daemon:
    """A tcpcryptd in a host, with its own run directory, or that of another one that has ended
    (after); wrapper: a command that runs it; options: its own."""

    def __init__(self, net, host, config="", wrapper=(), program=TCPCRYPTD, after=None,
                 options=()):
        self.host = host
        self.dir = after.dir if after else net.directory()
        self.run_dir = self.dir / "run"
        self.log_path = self.dir / "stderr"
        self.stopped = False
        config_path = self.dir / "tcpcryptd.conf"
        if "user =" not in config:
            config += f"\nuser = {USER}\n"
        config_path.write_text(config)
        config_path.chmod(0o644)
        args = [*wrapper, program, "--run-dir", self.run_dir, "--config", config_path, *options]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(
            self.log_path, "w"
        ) as log:
            (self.dir / "notify").unlink(missing_ok=True)
            notify.bind(str(self.dir / "notify"))
            (self.dir / "notify").chmod(0o777)
            notify.setblocking(False)
            env = {**os.environ, "NOTIFY_SOCKET": str(self.dir / "notify")}
            self.process = host.start(args, env=env, stdout=log, stderr=log)
            wait_for(lambda: self.is_ready(notify), "tcpcryptd to be ready")

    def is_ready(self, notify):
        if self.process.poll() is not None:
            raise RuntimeError(f"tcpcryptd ended with {self.process.returncode}: {self.log()}")
        with contextlib.suppress(BlockingIOError):
            return b"READY=1" in notify.recv(4096)
        return False

    def pid(self):
        return self.status()["pid"]

    def log(self):
        return self.log_path.read_text(errors="replace")

    def tool(self, *args, **options):
        """Runs tcpcrypt against this daemon."""
        return self.host.run([TCPCRYPT, "--run-dir", self.run_dir, *args], **options)

    def status(self):
        return json.loads(self.tool("status", "--json").stdout)

    def ask(self, **request):
        """The first line of what the control socket answers, an object."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self.run_dir / "control.sock"))
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile() as file:
                return json.loads(file.readline())

    def verify_later(self, local, peer):
        """`verify` for a live connection; returns a function that waits for the answer."""
        answers = []

        def ask():
            answers.append(self.ask(command="verify", local=local, peer=peer))

        thread = threading.Thread(target=ask)
        thread.start()

        def answer():
            thread.join()
            return answers[0]

        return answer

    def list(self, recent=True, **keys):
        """The connections, oldest first, whose values equal keys; port: of either end."""
        args = ["list", "--json"] + (["--recent"] if recent else [])
        found = [json.loads(line) for line in self.tool(*args).stdout.splitlines()]
        port = keys.pop("port", None)
        if port is not None:
            found = [c for c in found if port in (port_of(c["local"]), port_of(c["peer"]))]
        return [c for c in found if all(c[key] == value for key, value in keys.items())]

    def wait_list(self, count=1, **keys):
        """Waits until `count` connections are listed that match."""

        def listed():
            found = self.list(**keys)
            return found if len(found) >= count else None

        return wait_for(listed, f"{count} of {keys} in `tcpcrypt list`")

    def kill(self):
        """kill -9: the end that nothing can prepare for."""
        self.process.kill()
        self.process.wait()
        self.stopped = True

    def has_ended_on_sigterm(self):
        """The first SIGTERM drains, as long as connections live; another one ends it."""
        self.process.terminate()
        return self.process.poll() is not None

    def stop(self):
        """SIGTERM; returns what was wrong with the daemon's end, or an empty string."""
        if self.stopped:
            return ""
        self.stopped = True
        if self.process.poll() is not None:
            return f"tcpcryptd had ended with {self.process.returncode}"
        try:
            wait_for(self.has_ended_on_sigterm, "tcpcryptd to end")
        except TimeoutError:
            self.process.kill()
            self.process.wait()
            return "tcpcryptd did not end on SIGTERM"
        code = self.process.returncode
        if SANITIZER.search(self.log()):
            return "the sanitizer has something to say"
        return f"tcpcryptd ended with {code}" if code else ""


def port_of(address):
    """None for a connection that went out natively: nobody knows its local end."""
    return int(address.rpartition(":")[2]) if address else None


# ---- what owns it all ---------------------------------------------------------------------


class Net:
    """Hosts, links and all that runs in them, for the length of a `with` block."""

    def __init__(self):
        self.hosts = []
        self.links = 0
        self.processes = []
        self.daemons = []
        self.temp = None
        self.stack = contextlib.ExitStack()

    serial = 0

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip("needs root to make network namespaces")
        sweep()
        self.temp = pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.temp.chmod(0o755)
        atexit.register(self.close)
        return self

    def __exit__(self, kind, value, trace):
        faults = self.close()
        if kind is None:
            for daemon, fault in faults:
                check(False, f"tcpcryptd in {daemon.host.name} ends well", fault)
                print(indent(daemon.log()))
        elif not issubclass(kind, (KeyboardInterrupt, SystemExit)):
            for daemon in self.daemons:
                print(f"stderr of tcpcryptd in {daemon.host.name}:\n{indent(daemon.final_log)}")

    def host(self):
        Net.serial += 1
        host = Host(self, f"{PREFIX}{os.getpid()}-{Net.serial}")
        self.hosts.append(host)
        host.create()
        return host

    def directory(self):
        """Of root's; others may look inside, as they may in /etc and /run."""
        path = pathlib.Path(tempfile.mkdtemp(dir=self.temp))
        path.chmod(0o755)
        return path

    def veth(self, a, b):
        """Joins two hosts by a bare veth pair; returns the interface's name, equal at both."""
        self.links += 1
        name = f"eth{self.links}"
        a.ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", b.name)
        for host in (a, b):
            host.interfaces.append(name)
            host.ip("link", "set", name, "up")
        return name

    def number(self, host, interface, subnet, index):
        """Gives a host its addresses: 10.SUBNET.0.INDEX and fd00:SUBNET::INDEX."""
        pair = {
            socket.AF_INET: f"10.{subnet}.0.{index}",
            socket.AF_INET6: f"fd00:{subnet}::{index}",
        }
        host.ip("addr", "add", pair[socket.AF_INET] + "/24", "dev", interface)
        host.ip("addr", "add", pair[socket.AF_INET6] + "/64", "dev", interface, "nodad")
        for family, address in pair.items():
            host.addresses.setdefault(family, address)
        return pair

    def link(self, a, b):
        """Joins two hosts in a subnet of their own."""
        name = self.veth(a, b)
        self.number(a, name, self.links, 1)
        self.number(b, name, self.links, 2)
        return name

    def pair(self):
        """Two hosts side by side."""
        a, b = self.host(), self.host()
        self.link(a, b)
        return a, b

    def daemon(self, host, config="", **options):
        daemon = Daemon(self, host, config, **options)
        self.daemons.append(daemon)
        return daemon

    def use(self, manager):
        """Enters a context manager that is left when the Net is, before the hosts go."""
        return self.stack.enter_context(manager)

    def close(self):
        """Takes everything away; returns (daemon, fault) of those that ended badly."""
        if self.temp is None:
            return []
        with uninterrupted():
            with contextlib.suppress(Exception):
                self.stack.close()
            faults = [(d, d.stop()) for d in self.daemons]
            for daemon in self.daemons:
                daemon.final_log = daemon.log()
            end_processes(self.processes)
            for host in self.hosts:
                remove_host(host)
            shutil.rmtree(self.temp, ignore_errors=True)
            self.temp = None
            atexit.unregister(self.close)
        return [(daemon, fault) for daemon, fault in faults if fault]


def end_processes(processes):
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cgroup_root():
    """Where cgroup v2 is mounted: not everywhere at the same place."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return next(pathlib.Path(m.split()[4]) for m in mounts if " - cgroup2 " in m)


def remove_host(host):
    """Ends what still runs in the host (all of it came from here), and the host."""
    for pid in host.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if host.cgroup:
        remove_cgroup(host.cgroup)
    with contextlib.suppress(OSError):
        shutil.rmtree(host.guard())
    subprocess.run(["ip", "netns", "del", host.name], stderr=subprocess.DEVNULL)


def remove_cgroup(path):
    """When the last of its processes, which have been told to end, is gone."""
    def removed():
        with contextlib.suppress(OSError):
            path.rmdir()
        return not path.exists()

    wait_for(removed, f"{path} to be empty")


def sweep():
    """Removes namespaces and files that a run which was killed left behind."""
    for path in NETNS_DIR.glob(PREFIX + "*"):
        if is_orphan(path):
            subprocess.run(["ip", "netns", "del", path.name], stderr=subprocess.DEVNULL)
    for path in cgroup_root().glob(PREFIX + "*"):
        if is_orphan(path):
            with contextlib.suppress(OSError):
                path.rmdir()
    for path in pathlib.Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if is_orphan(path):
            shutil.rmtree(path, ignore_errors=True)


def is_orphan(path):
    owner = re.match(PREFIX + r"(\d+)-", path.name)
    return owner and not pathlib.Path("/proc", owner[1]).exists()


@contextlib.contextmanager
def uninterrupted():
    """Holds back the signals that would cut the cleaning short."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_tidily():
    """SIGTERM and SIGHUP unwind like ctrl-C does."""

    def unwind(number, frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, unwind)
    signal.signal(signal.SIGHUP, unwind)


# ---- checks -------------------------------------------------------------------------------

failures = []


def check(ok, text, detail=""):
    """One line a check: what must be so, and whether it is."""
    print(f"{'ok  ' if ok else 'FAIL'} {text}" + (f": {detail}" if detail and not ok else ""))
    sys.stdout.flush()
    if not ok:
        failures.append(text)
    return bool(ok)


def check_equal(got, expected, text):
    return check(got == expected, text, f"got {got!r}, expected {expected!r}")


def indent(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def run_case(case):
    """A case that raises has failed, and the next one runs all the same."""
    try:
        case()
    except Skip:
        raise
    except Exception as error:
        check(False, case.__name__.replace("_", " "), f"{type(error).__name__}: {error}")
        print(indent(traceback.format_exc()), flush=True)


def raise_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, DESCRIPTORS)), hard))


def main(goal, *cases):
    """Runs a test script's cases, or those named on the command line; exits 0, 1 or 77."""
    print(f"Goal: {goal}", flush=True)
    die_tidily()
    raise_descriptors()
    chosen = sys.argv[1:]
    try:
        for path in (TCPCRYPTD, TCPCRYPT):
            if not os.access(path, os.X_OK):
                raise FileNotFoundError(f"{path} is not built")
        for case in cases:
            if not chosen or case.__name__ in chosen:
                run_case(case)
    except Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    sys.exit(1 if failures else 0)
