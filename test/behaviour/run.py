#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Programs see the same with tcpcryptd as without: every case natively and through it.

Each case is run three times: without a daemon (native), with daemons at both ends (encrypted)
and with one at the client only (relay); or, with --inproc, natively and with the in-process
library in both programs, and nothing else that encrypts. The transcripts must be equal, line by line, but for the differences
that differences.tsv lists with their reasons; those must be there.

    run.py [-v] [--inproc] [PATTERN...]    only the cases whose names match; -v prints the
                                           transcripts
"""
import difflib
import fnmatch
import json
import os
import pathlib
import select
import signal
import socket
import sys
import time

import program as programs
import router
from harness import Net, Skip, die_tidily, wait_for
from program import Program, run_program

import connecting  # noqa: F401  the cases' modules, in the order of the table
import names  # noqa: F401
import ends  # noqa: F401
import data  # noqa: F401
import urgent  # noqa: F401
import options  # noqa: F401
import servers  # noqa: F401
import processes  # noqa: F401
from cases import CASES

# In-process mode is compared alone, since the library must be in this process from its start.
INPROC = "--inproc" in sys.argv
COLUMNS = ("native", "inproc") if INPROC else ("native", "encrypted", "relay")
COMPARED = COLUMNS[1:]
PROXIED = ("encrypted", "relay")
AT_TIMES = " at times"
TITLES = {"encrypted": "encrypted", "relay": "plain relay", "inproc": "in-process"}
DIFFERENCES = pathlib.Path(__file__).parent / "differences.tsv"
AT_ONCE = 8
GRACE = 10  # seconds for a program to end after the other one has

# Nobody but the library encrypts.
ENGINE_ONLY = [sys.executable, "-c",
               "import os, sys; os.execv(sys.argv[1], [*sys.argv[1:], '--engine-only'])"]

# So that each connection is relayed, not only the first one to a destination.
CONFIG = "remember-plain-seconds = 0\n"


# ---- hosts --------------------------------------------------------------------------------


class Place:
    """Two joined hosts, client and server, with destinations that do not answer."""

    def __init__(self, net, column):
        self.net, self.column = net, column
        client, server = net.pair()
        self.hosts = {"client": client, "server": server}
        self.daemons = []
        server.sysctl("ipv4/icmp_ratelimit", 0)
        server.sysctl("ipv6/icmp/ratelimit", 0)
        client.sysctl("ipv4/tcp_syn_retries", 1)
        for family in ("ipv4", "ipv6"):
            client.sysctl(f"{family}/neigh/{client.interfaces[0]}/retrans_time_ms", 100)
        connecting.add_routes(client, server)
        self.router, fd = fork(router.serve, server)
        os.close(fd)

    def close(self):
        os.kill(self.router, signal.SIGKILL)
        os.waitpid(self.router, 0)

    def addresses(self, role):
        """The addresses of a role's own host and of the other one, by family."""
        other = {"client": "server", "server": "client"}[role]
        return self.hosts[role].addresses, self.hosts[other].addresses

    def start_daemons(self):
        ends = {"native": (), "relay": ("client",), "encrypted": ("client", "server"),
                "inproc": ("client", "server")}
        wrapper = ENGINE_ONLY if self.column == "inproc" else ()
        for role in ends[self.column]:
            self.daemons.append(self.net.daemon(self.hosts[role], CONFIG, wrapper=wrapper))

    def enter_dir(self, role):
        """Where the role's library finds its daemon: load_library()."""
        for daemon in self.daemons:
            if daemon.host is self.hosts[role]:
                os.chdir(daemon.run_dir.parent)

    def connections(self):
        """What the client's daemon has carried."""
        return self.daemons[0].list() if self.daemons else []


# ---- running a case -----------------------------------------------------------------------


def fork(function, *args):
    """Runs function in a process that dies with this one; returns (pid, fd of its result)."""
    read_fd, write_fd = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(write_fd)
        return pid, read_fd
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        programs.libc.prctl(programs.PR_SET_PDEATHSIG, signal.SIGTERM)
        os.close(read_fd)
        result = json.dumps(function(*args)).encode()
        with open(write_fd, "wb") as file:
            file.write(result)
        status = 0
    finally:
        os._exit(status)


def collect(fd):
    with open(fd, "rb") as file:
        text = file.read()
    return json.loads(text) if text else None


def run_pair(case, place):
    """Runs both programs; returns {role: transcript}."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channels = dict(zip(("client", "server"), ends))
    running = {}

    def start(role):
        function = getattr(case, role)
        if not function:
            return
        other = channels["client" if role == "server" else "server"]

        def body():
            other.close()
            # What the library looks at when the program opens its first connection.
            if place.column == "inproc":
                os.environ["TCPCRYPT_INPROC"] = "prefer"
                place.enter_dir(role)
            return run_program(function, Program(role, place, case, channels[role]))

        running[role] = fork(body)

    start("server")
    if case.daemon_last:
        wait_for(lambda: case.port in place.hosts["server"].listeners(), "the server to listen")
        place.start_daemons()
    start("client")
    for channel in ends:
        channel.close()
    return finish(running)


def finish(running):
    """Waits for the programs; who does not end soon after the other one is told to."""
    transcripts = {}
    deadline = None
    while running:
        fds = {fd: role for role, (_, fd) in running.items()}
        left = None if deadline is None else max(0, deadline - time.monotonic())
        ready, _, _ = select.select(list(fds), [], [], left)
        for fd in ready:
            role = fds[fd]
            pid, _ = running.pop(role)
            transcripts[role] = collect(fd) or ["died"]
            os.waitpid(pid, 0)
            deadline = time.monotonic() + GRACE
        if not ready:
            for pid, _ in running.values():
                os.kill(pid, signal.SIGALRM)
            deadline = None
    return transcripts


def run_apart(case, column):
    """A case in hosts of its own."""
    die_tidily()
    with Net() as net:
        place = Place(net, column)
        if case.prepare:
            case.prepare(net, place.hosts)
        if not case.daemon_last:
            place.start_daemons()
        transcripts = run_pair(case, place)
        place.close()
        return {"transcripts": transcripts, "connections": place.connections(),
                "log": "".join(daemon.log() for daemon in place.daemons)}


def run_case(case, column, place):
    if case.own_net:
        return run_apart(case, column)
    return {"transcripts": run_pair(case, place)}


def run_all(chosen, places):
    """{(case name, column): result}, several at once."""
    waiting = [(case, column) for case in chosen for column in COLUMNS]
    # Those that take long begin first.
    waiting.sort(key=lambda job: not job[0].own_net)
    running, results = {}, {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            case, column = waiting.pop(0)
            pid, fd = fork(run_case, case, column, places[column])
            running[fd] = pid, (case.name, column)
        for fd in select.select(list(running), [], [])[0]:
            pid, key = running.pop(fd)
            results[key] = collect(fd) or {"transcripts": {"client": ["the case did not run"]}}
            os.waitpid(pid, 0)
    return results


# ---- comparing ----------------------------------------------------------------------------


def lines_of(result):
    transcripts = result["transcripts"]
    return [f"{role}: {line}" for role in sorted(transcripts) for line in transcripts[role]]


def compare(native, proxied):
    """The differences, as `native line => proxied line`."""
    matcher = difflib.SequenceMatcher(None, native, proxied, autojunk=False)
    found = []
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            continue
        count = max(i2 - i1, j2 - j1)
        before = native[i1:i2] + ["nothing"] * (count - (i2 - i1))
        after = proxied[j1:j2] + ["nothing"] * (count - (j2 - j1))
        found += [f"{a} => {b}" for a, b in zip(before, after)]
    return found


class Documented:
    """differences.tsv: case pattern, column (or both), what differs, reason. A column `at times`
    is for what depends on when a packet comes: it need not occur."""

    def __init__(self, path):
        lines = path.read_text().splitlines()[1:]
        self.rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
        for row in self.rows:
            assert len(row) == 4 and all(row), f"{path}: {row}"

    def expected(self, name, column):
        """Those rows that say something of this case in this column."""
        return [row for row in self.rows
                if (row[1] == column or row[1] == "both" and column in PROXIED)
                and fnmatch.fnmatchcase(name, row[0])]

    def judge(self, name, column, differences):
        """(undocumented differences, documented ones that did not occur)."""
        expected = [row[2] for row in self.expected(name, column)]
        allowed = [row[2] for row in self.expected(name, column + AT_TIMES)]
        missing = [what for what in expected if what not in differences]
        return [d for d in differences if d not in expected + allowed], missing

    def idle(self):
        """Rows that no case matches."""
        return [row for row in self.rows
                if not any(fnmatch.fnmatchcase(case.name, row[0]) for case in CASES)]


def carried_wrongly(case, column, connections):
    """What is wrong with how the daemon took the case's connections; empty: nothing."""
    ports = range(case.port, case.port + case.PORTS)
    mine = [c for c in connections
            if {port_number(c["local"]), port_number(c["peer"])} & set(ports)]
    if column == "inproc":
        return encrypted_wrongly(case, mine)
    if bool(mine) != case.carried:
        return "left alone" if case.carried else "not left alone"
    plain = sorted({c["reason"] for c in mine} & set(PLAIN_REASONS))
    if column == "encrypted" and case.served and plain:
        return "not encrypted: " + ", ".join(plain)
    if column == "encrypted" and not case.served and plain != ["no-eno"]:
        return "not left alone at the server: " + ", ".join(plain)
    if column == "relay" and any(c["encrypted"] for c in mine):
        return "encrypted"
    return ""


def encrypted_wrongly(case, mine):
    """The same where the daemon only lists what the client's library has done."""
    encrypted = any(c["encrypted"] for c in mine)
    if case.inproc is not None and encrypted != case.inproc:
        return "encrypted" if encrypted else "not encrypted"
    return ""


PLAIN_REASONS = ("no-eno", "remembered", "syn-retries", "syn-cookie", "ack-without-eno")


def port_number(address):
    text = (address or ":0").rpartition(":")[2]
    return int(text) if text.isdigit() else 0


# ---- the report ---------------------------------------------------------------------------


class Report:
    """The table and, below it, what is not as it should be."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.faults, self.notes = {}, {}  # text: where
        self.counts = {}

    @staticmethod
    def add(texts, text, where):
        texts.setdefault(text, []).append(where)

    def row(self, case, cells):
        print(f"{case.name:<58} | " + " | ".join(f"{c:<22}" for c in cells))
        for cell in cells:
            self.counts[cell] = self.counts.get(cell, 0) + 1

    def cell(self, case, column, results, documented, connections):
        native = lines_of(results[case.name, "native"])
        proxied = lines_of(results[case.name, column])
        differences = compare(native, proxied)
        new, gone = documented.judge(case.name, column, differences)
        wrong = carried_wrongly(case, column, connections)
        heading = f"{case.name} | {column}"
        for text in new:
            self.add(self.faults, f"not documented: {text}", heading)
        for text in gone:
            self.add(self.faults, f"documented, but no more: {text}", heading)
        if wrong:
            self.add(self.faults, f"the connections were {wrong}", heading)
        for text in differences:
            if text not in new:
                self.add(self.notes, text, heading)
        if new or gone or wrong:
            return "DIFFERS"
        if differences:
            return "differs as documented"
        return "same" if case.carried and case.served else "same (left alone)"

    def broken(self, case, native):
        """A native run that did not come to its end says nothing."""
        for line in native:
            if any(word in line for word in ("broken case", "stuck", "died", "did not run")):
                self.add(self.faults, line, f"{case.name} | native")

    def finish(self):
        for title, texts in (("Documented differences", self.notes), ("FAULTS", self.faults)):
            if texts:
                print(f"\n{title}:")
            for text, where in texts.items():
                print(f"  {text}")
                for heading in where:
                    print(f"      {heading}")
        counts = ", ".join(f"{n} {cell}" for cell, n in sorted(self.counts.items()))
        print(f"\n{counts}; {len(self.faults)} faults")
        return 1 if self.faults else 0


def report(chosen, results, connections, verbose, complete):
    documented = Documented(DIFFERENCES)
    out = Report(verbose)
    titles = [f"native = {TITLES[column]}?" for column in COMPARED]
    print("\n" + " | ".join([f"{'case':<58}"] + [f"{title:<22}" for title in titles]))
    print("-" * 58 + ("-+-" + "-" * 22) * len(titles))
    for case in chosen:
        out.broken(case, lines_of(results[case.name, "native"]))
        cells = []
        for column in COMPARED:
            own = results[case.name, column].get("connections", connections[column])
            cells.append(out.cell(case, column, results, documented, own))
        out.row(case, cells)
        if verbose:
            show(case, results)
    if complete:
        for row in documented.idle():
            out.add(out.faults, "documented, but there is no such case", row[0])
    return out.finish()


def show(case, results):
    for column in COLUMNS:
        for line in lines_of(results[case.name, column]):
            print(f"    {column:<9} {line}")
        if column != "native" and results[case.name, column].get("log"):
            print(results[case.name, column]["log"])


def load_library():
    """Starts again with the in-process library, which is off but in that column's programs."""
    library = os.environ.get("TCPCRYPT_INPROC_LIBRARY")
    if not library:
        print("skipped: TCPCRYPT_INPROC_LIBRARY does not name the in-process library")
        sys.exit(77)
    if library not in os.environ.get("LD_PRELOAD", ""):
        before = os.environ.get("LD_PRELOAD")
        os.environ["LD_PRELOAD"] = ":".join(filter(None, (library, before)))
        os.environ["TCPCRYPT_INPROC"] = "off"
        os.environ["TCPCRYPT_RUN_DIR"] = "run"  # in the working directory
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main():
    if INPROC:
        load_library()
    print("Goal: a program sees the same with tcpcryptd as without, call by call", flush=True)
    die_tidily()
    started = time.monotonic()
    patterns = [arg for arg in sys.argv[1:] if arg not in ("-v", "--inproc")]
    chosen = [case for case in CASES
              if not patterns or any(fnmatch.fnmatchcase(case.name, p) for p in patterns)]
    try:
        with Net() as net:
            places = {column: Place(net, column) for column in COLUMNS}
            for place in places.values():
                place.start_daemons()
            results = run_all(chosen, places)
            connections = {column: places[column].connections() for column in COMPARED}
            for place in places.values():
                place.close()
            status = report(chosen, results, connections, "-v" in sys.argv, not patterns)
    except Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    print(f"{len(chosen)} cases in {time.monotonic() - started:.0f} s")
    sys.exit(status or bool(programs_failed()))


def programs_failed():
    from harness import failures  # what the end of the net found wrong with the daemons

    return failures


if __name__ == "__main__":
    main()
