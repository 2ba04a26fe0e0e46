# SPDX-License-Identifier: BSD-2-Clause
"""Load for the tests of limits and faults: traffic.c, bad_wire.c, and what a process holds."""
import contextlib
import json
import os
import pathlib
import re
import select
import signal
import subprocess

from harness import REPO, check, indent, wait_for

TRAFFIC = os.environ.get("TRAFFIC", str(REPO / "build/test/net/traffic"))
BAD_WIRE = os.environ.get("BAD_WIRE", str(REPO / "build/test/net/bad_wire"))


def is_stopped(pid):
    """All its threads: one may run on for a moment."""
    stats = [(task / "stat").read_text() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


@contextlib.contextmanager
def stopped(daemon):
    """What happens meanwhile the daemon hears of at once."""
    pid = daemon.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: is_stopped(pid), "the daemon to stop")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Program:
    """A program in a host that takes lines and answers with lines."""

    def __init__(self, net, host, args):
        self.stderr_path = net.directory() / "stderr"
        with open(self.stderr_path, "w", encoding="utf-8") as log:
            self.process = host.start(
                args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )

    def tell(self, line=""):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def answer(self, timeout):
        """The next line."""
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            raise TimeoutError(f"no answer in {timeout} s: {self.faults()}")
        return line.decode()

    def finish(self):
        """Tells it that there is nothing more to come."""
        self.process.stdin.close()

    def faults(self):
        return self.stderr_path.read_text(encoding="utf-8", errors="replace")


class Traffic(Program):
    """A `traffic`: see traffic.c for its arguments."""

    def __init__(self, net, host, *args, wrapper=()):
        super().__init__(net, host, [*wrapper, TRAFFIC, *args])

    def object(self, timeout=120):
        return json.loads(self.answer(timeout))

    def summary(self, timeout=200):
        """The end: nothing more is to come, and what was is summed up."""
        if not self.process.stdin.closed:
            self.finish()
        found = self.object(timeout)
        while "opened" not in found:
            found = self.object(timeout)
        self.process.wait(timeout)
        return found


def serve(net, host, *ports, wrapper=()):
    """A `traffic serve` that listens."""
    server = Traffic(net, host, "serve", *ports, wrapper=wrapper)
    for port in ports:
        host.wait_listening(port)
    return server


def check_traffic(programs, text):
    """Ends some `traffic`s; whether each byte was right. Returns the sums of their counts."""
    total = {}
    for program in programs:
        for key, value in program.summary().items():
            total[key] = total.get(key, 0) + value
    faults = "".join(p.faults() for p in programs)
    check(not total["failed"] and not total["live"], text, f"{total}\n{indent(faults)}")
    return total


class BadWire(Program):
    """A link that harms what it carries, until told otherwise."""

    def __init__(self, net, middle, interfaces, seed):
        super().__init__(net, middle, [BAD_WIRE, *interfaces, seed])
        self.answer(10)

    def set(self, loss=0, reorder=0, duplicate=0, corrupt=0, delay=0, jitter=0):
        self.tell(f"faults {loss} {reorder} {duplicate} {corrupt} {delay} {jitter}")

    def down(self):
        self.tell("down")

    def counters(self):
        """The end of it: what it has done."""
        self.finish()
        return json.loads(self.answer(10))


# ---- what a process holds -----------------------------------------------------------------


def rss_kb(pid):
    """The memory of its own that a process has in RAM."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+)", text, re.M)[1])


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def is_sanitized(pid):
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    return "libasan" in maps or "libtsan" in maps


def of_each_descriptor(pid, folder, read):
    """What read(path) says of each in /proc/PID/fd or fdinfo; some are closed meanwhile."""
    told = []
    for path in pathlib.Path(f"/proc/{pid}/{folder}").iterdir():
        with contextlib.suppress(FileNotFoundError):
            told.append(read(path))
    return told


def descriptors(pid):
    """How many it has open, by kind; pipes are kept for reuse and say nothing."""
    count = {}
    for target in of_each_descriptor(pid, "fd", os.readlink):
        kind = re.split(r":\[|/\d", target)[0]
        count[kind] = count.get(kind, 0) + 1
    count.pop("pipe", None)
    return count


def bpf_objects(pid):
    """Its (kind, id) of BPF programs, maps and links."""
    found = set()
    for text in of_each_descriptor(pid, "fdinfo", pathlib.Path.read_text):
        # A link tells its program too.
        for kind in ("link", "map", "prog"):
            number = re.search(rf"^{kind}_id:\s+(\d+)", text, re.M)
            if number:
                found.add((kind, int(number[1])))
    return found


def bpftool(*args):
    done = subprocess.run(["bpftool", "-j", *map(str, args)], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def map_number(pid, name):
    """The id of a BPF map of a process."""
    maps = [number for kind, number in bpf_objects(pid) if kind == "map"]
    (number,) = [n for n in maps if bpftool("map", "show", "id", n)["name"] == name]
    return number


def map_entries(pid, name):
    """How many entries a BPF map of a process has."""
    return len(bpftool("map", "dump", "id", map_number(pid, name)))


def map_values(number, first=None):
    """The values in a BPF map as bytes; first: so many of an array's only."""
    if first is None:
        entries = bpftool("map", "dump", "id", number)
    else:
        entries = [bpftool("map", "lookup", "id", number, "key", i, 0, 0, 0) for i in range(first)]
    return [bytes(int(byte, 16) for byte in entry["value"]) for entry in entries]


PLACES = 256  # SHARED_OPENINGS in bpf/shared.h


def taken(places):
    """How many places handshakes have in the map that the daemon and its programs share."""
    return sum(any(value[:8]) for value in map_values(places))


def wait_bpf_gone(objects):
    """The kernel frees them a little after the last descriptor."""

    def left():
        return [o for o in objects if bpftool(o[0], "show", "id", o[1]) is not None]

    wait_for(lambda: not left(), "the kernel to free the BPF objects")
