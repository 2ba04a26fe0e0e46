# SPDX-License-Identifier: BSD-2-Clause
"""
Goal of this test: `tcpcrypt` against a scripted daemon. Every command asks what
doc/control.md says, prints what people need, hands --json through unchanged, keeps
its exit status, and survives whatever comes over the socket.

usage: cli_test.py PATH_OF_TCPCRYPT
"""

import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

from fake_daemon import FakeDaemon, FakeHost, greeted

TOOL = None
ID = "23" + "".join(f"{i:08x}" for i in range(0xA0000000, 0xA0000008))
GROUPED = " ".join([ID[:2]] + [ID[i : i + 8] for i in range(2, len(ID), 8)])


def connection(**changes):
    now = time.time()
    answer = {
        "id": 7,
        "direction": "out",
        "local": "10.0.0.1:43210",
        "peer": "192.0.2.7:5000",
        "state": "encrypted",
        "encrypted": True,
        "reason": None,
        "role": "A",
        "tep": "x25519",
        "aead": "aes-128-gcm",
        "resumed": False,
        "not_resumed": "no-session",
        "session_id": ID,
        "bytes_in": 734,
        "bytes_out": 12595,
        "rekeys": 0,
        "started": now - 125.5,
        "ended": None,
        "pid": 1234,
        "comm": "curl",
    }
    answer.update(changes)
    return answer


PLAIN = {
    "state": "plain",
    "encrypted": False,
    "reason": "no-eno",
    "role": None,
    "tep": None,
    "aead": None,
    "session_id": None,
}

STATUS = {
    "state": "intercepting",
    "version": "9.8.7",
    "pid": 4321,
    "started": time.time() - 7300,
    "engine": {"netns_cookie": 4097, "cgroup": "/sys/fs/cgroup", "interfaces": ["eth0", "wlan0"]},
    "connections": 12,
    "workers": [{"connections": 5}, {"connections": 4}, {"connections": 3}],
    "encrypted": 1234,
    "resumed": 1000,
    "fresh": {"no-session": 200, "unknown-session": 34},
    "plain": {"no-eno": 40, "remembered": 16},
    "failed": {"auth-failed": 1, "brand-new-reason": 2},
    "crypto": {
        "aes_gcm": {"library": "libexample", "reason": "the CPU can"},
        "x25519": {"library": "OpenSSL", "reason": "built without the other"},
    },
}


def lines(*objects):
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = self.enterContext(tempfile.TemporaryDirectory())

    def daemon(self, *replays, **options):
        daemon = FakeDaemon(self.dir, replays, **options)
        self.addCleanup(daemon.close)
        return daemon

    def host(self, *arguments):
        host = FakeHost(*arguments)
        self.addCleanup(host.close)
        return host

    def command(self, *arguments):
        return [TOOL, "--run-dir", self.dir, *arguments]

    def run_tool(self, *arguments, status=0, locale="C.UTF-8", command=None):
        environment = dict(os.environ, LC_ALL=locale, TZ="UTC")
        done = subprocess.run(
            command or self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            env=environment,
        )
        self.assertEqual(done.returncode, status, done)
        for output in (done.stdout, done.stderr):
            self.assertFalse(set(output) & (set(range(32)) - {10} | {127}), output)
        return done.stdout.decode(), done.stderr.decode()

    def assert_one_error(self, output, *parts):
        self.assertEqual(output.count("\n"), 1, output)
        answer = json.loads(output)
        for part in parts:
            self.assertIn(part, answer["error"])


class Usage(Case):
    """Goal: usage errors exit 2 and say so on standard error; help and version exit 0."""

    def test_usage_errors(self):
        for arguments in (
            [],
            ["nonsense"],
            ["--nonsense"],
            ["status", "--nonsense"],
            ["status", "extra"],
            ["list", "extra"],
            ["status", "--recent"],
            ["--recent", "list"],
            ["list", "--timeout", "3"],
            ["--run-dir"],
            ["--run-dir", ""],
            ["status", "--json=1"],
            ["verify"],
            ["verify", "localhost"],
            ["verify", "localhost", "80", "more"],
            ["verify", "localhost", "0"],
            ["verify", "localhost", "65536"],
            ["verify", "localhost", ""],
            ["verify", "localhost", "80", "--timeout", "0"],
            ["verify", "localhost", "80", "--timeout", "nan"],
            ["verify", "localhost", "80", "--timeout", "5x"],
            ["verify", "localhost", "80", "--timeout", "99999"],
        ):
            with self.subTest(arguments=arguments):
                out, err = self.run_tool(status=2, command=[TOOL, *arguments])
                self.assertEqual(out, "")
                self.assertNotEqual(err, "")

    def test_help_and_version(self):
        for arguments in (["--help"], ["list", "--help"]):
            out, err = self.run_tool(command=[TOOL, *arguments])
            self.assertEqual(err, "")
            for word in ("status", "list", "watch", "verify HOST PORT", "flush", "doctor", "--json"):
                self.assertIn(word, out)
        out, _ = self.run_tool(command=[TOOL, "--version"])
        self.assertRegex(out, r"^tcpcrypt \d+\.\d+")

    def test_options_on_either_side(self):
        daemon = self.daemon(lines(STATUS))
        for command in (
            [TOOL, "--run-dir", self.dir, "--json", "status"],
            [TOOL, "status", "--json", "--run-dir", self.dir],
            [TOOL, "--json", "status", f"--run-dir={self.dir}"],
        ):
            out, _ = self.run_tool(command=command)
            self.assertEqual(json.loads(out), STATUS)
        self.assertEqual(len(daemon.requests), 3)


class NotRunning(Case):
    """Goal: without a daemon every command says so, says what to do, and exits 1."""

    def test_every_command(self):
        for arguments in (["status"], ["list"], ["watch"], ["flush"]):
            with self.subTest(arguments=arguments):
                out, err = self.run_tool(*arguments, status=1)
                self.assertEqual(out, "")
                self.assertIn("tcpcryptd is not running", err)
                self.assertIn(f"start it as root: tcpcryptd --run-dir {self.dir}", err)
                out, err = self.run_tool(*arguments, "--json", status=1)
                self.assertEqual(err, "")
                self.assert_one_error(out, "not running")

    def test_stale_socket(self):
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(os.path.join(self.dir, "control.sock"))
        stale.close()
        _, err = self.run_tool("status", status=1)
        self.assertIn("tcpcryptd is not running", err)

    def test_verify_says_plain(self):
        host = self.host()
        out, err = self.run_tool("verify", "127.0.0.1", str(host.port), status=1)
        self.assertEqual(out, "")
        self.assertIn("plain as far as can be told", err)
        self.assertIn("tcpcryptd is not running", err)
        out, _ = self.run_tool("verify", "127.0.0.1", str(host.port), "--json", status=1)
        self.assert_one_error(out, "not running")
        self.assertIs(json.loads(out)["encrypted"], False)

    def test_name_too_long(self):
        _, err = self.run_tool(status=1, command=[TOOL, "status", "--run-dir", "/" + "x" * 200])
        self.assertIn("too long", err)

    def test_daemon_that_hangs(self):
        self.daemon(b"", hold=True)
        host = self.host()
        _, err = self.run_tool(
            "verify", "127.0.0.1", str(host.port), "--timeout", "0.3", status=1
        )
        self.assertIn("does not answer in time", err)


class Status(Case):
    """Goal: status shows the state, the totals and every reason in words."""

    def test_human(self):
        daemon = self.daemon(lines(STATUS))
        out, err = self.run_tool("status")
        self.assertEqual(daemon.requests, [{"command": "status"}])
        self.assertEqual(err, "")
        self.assertRegex(out, r"tcpcryptd 9\.8\.7 \(pid 4321\): intercepting, up 2h 0\dm\n")
        self.assertRegex(out, r"connections now +12\n")
        self.assertRegex(out, r"workers +3, with 3 to 5 connections each\n")
        self.assertRegex(out, r"encrypted +1234\n")
        self.assertRegex(out, r"resumed +1000\n")
        self.assertRegex(out, r"fresh keys +234\n")
        self.assertRegex(out, r"unknown-session +34  the passive end did not know")
        self.assertRegex(out, r"plain +56\n")
        self.assertRegex(out, r"no-eno +40  the far end did not answer")
        self.assertRegex(out, r"failed +3\n")
        self.assertRegex(out, r"brand-new-reason +2")
        self.assertRegex(out, r"interfaces +eth0, wlan0\n")
        self.assertRegex(out, r"AES-GCM +libexample \(the CPU can\)\n")
        self.assertRegex(out, r"X25519 +OpenSSL \(built without the other\)\n")
        self.assertLessEqual(max(map(len, out.splitlines())), 100)

    def test_at_limit(self):
        for at_limit in (True, False):
            self.daemon(lines(dict(STATUS, at_limit=at_limit)))
            out, _ = self.run_tool("status")
            self.assertEqual("LIMIT" in out, at_limit)

    def test_sparse(self):
        for status in ({}, {"state": 5, "plain": [], "engine": 1, "pid": "x", "crypto": 1}):
            self.daemon(lines(status))
            self.run_tool("status")


class List(Case):
    """Goal: list shows each connection, its verdict and its whole session ID."""

    def test_human(self):
        daemon = self.daemon(
            lines(
                connection(resumed=True, rekeys=2),
                connection(direction="in", local="[2001:db8::1]:22222", **PLAIN),
                connection(state="negotiating", encrypted=False, session_id=None),
                connection(state="closed", reason="auth-failed", ended=time.time() - 61),
                connection(reason="remembered", state="plain", bytes_in=None, bytes_out=None),
            )
        )
        out, err = self.run_tool("list")
        self.assertEqual(daemon.requests, [{"command": "list", "recent": False}])
        self.assertEqual(err, "")
        rows = out.splitlines()
        self.assertRegex(rows[0], r"^DIR +LOCAL +PEER +IN +OUT +TIME +PROGRAM$")
        self.assertRegex(
            rows[1],
            r"^out +10\.0\.0\.1:43210 +192\.0\.2\.7:5000 +734 B +12\.3 KiB +2m 05s +curl \(1234\)$",
        )
        self.assertEqual(
            rows[2].strip(), "encrypted: x25519, aes-128-gcm, role A, resumed, 2 key updates"
        )
        self.assertEqual(rows[3].strip(), "session ID " + GROUPED)
        self.assertEqual(rows[4].index("192.0.2.7"), rows[1].index("192.0.2.7"))
        self.assertIn("plain: the far end did not answer the offer to encrypt (no-eno)", rows[5])
        self.assertEqual(rows[7].strip(), "negotiating")
        self.assertRegex(rows[9], r"closed 1m 0\ds ago, failed: data was changed .*auth-failed")
        self.assertIn("5 connections: 1 negotiating, 1 encrypted, 2 plain, 1 failed", rows[-1])
        self.assertLessEqual(max(map(len, rows)), 100)

    def test_recent_and_order(self):
        answers = [connection(local=f"10.0.0.1:{port}") for port in (9, 3, 5)]
        daemon = self.daemon(lines(*answers))
        out, _ = self.run_tool("list", "--recent")
        self.assertEqual(daemon.requests, [{"command": "list", "recent": True}])
        places = [out.index(f"10.0.0.1:{port} ") for port in (9, 3, 5)]
        self.assertEqual(places, sorted(places))

    def test_empty(self):
        self.daemon(b"")
        self.assertEqual(self.run_tool("list"), ("No connections.\n", ""))
        self.assertEqual(self.run_tool("list", "--json"), ("", ""))

    def test_unknown_reason(self):
        """Neither may an encrypted one look plain, nor a plain one encrypted."""
        self.daemon(
            lines(
                connection(state="closed", reason="from-the-future"),
                connection(state="plain", encrypted=False, reason="also-new"),
            )
        )
        out, _ = self.run_tool("list")
        self.assertIn("failed: from-the-future", out)
        self.assertIn("plain: also-new", out)


class Json(Case):
    """Goal: with --json the daemon's lines come through byte for byte."""

    def test_unchanged(self):
        raw = (
            b'{ "state":"intercepting",  "future":[1,2.50,{"a":null}], "e":"\\u001b" }\n'
            b'{"x":1e3,"comm":"\xc3\xa4"}\t\n'
        )
        self.daemon(raw)
        out, err = self.run_tool_raw("list", "--json")
        self.assertEqual((out, err), (raw, b""))
        out, _ = self.run_tool_raw("watch", "--json", status=1)
        self.assertTrue(out.startswith(raw))

    def run_tool_raw(self, *arguments, status=0):
        done = subprocess.run(self.command(*arguments), capture_output=True, timeout=30)
        self.assertEqual(done.returncode, status, done)
        return done.stdout, done.stderr

    def test_error_of_the_daemon(self):
        self.daemon(b'{"error":"no \\u001b such thing", "code":7}\n')
        for command in (["status"], ["list"], ["flush"], ["watch"]):
            out, _ = self.run_tool(*command, "--json", status=1)
            self.assertEqual(out, '{"error":"no \\u001b such thing", "code":7}\n')
            out, err = self.run_tool(*command, status=1)
            self.assertEqual(out, "")
            self.assertIn("tcpcryptd answers: no \\x1b such thing", err)


class Doctor(Case):
    """Goal: doctor judges what the daemon tells, whatever that is, and exits 1 when it lacks."""

    def checks(self, status):
        self.daemon(status)
        out, _ = self.run_tool("doctor", "--json", status=1)
        found = {}
        for line in out.splitlines():
            answer = json.loads(line)
            self.assertEqual(set(answer), {"check", "verdict", "text", "mend"})
            found[answer["check"]] = answer
        return found

    def test_lacking(self):
        sandbox = {"on": True, "user": "us\x1b[31mer", "user_missing": True, "seccomp": False}
        status = dict(STATUS, state="stop\x1bping", sandbox=sandbox, key_log="/k\x1bl")
        found = self.checks(lines(status))
        for name in ("daemon", "interfaces", "user", "sandbox", "memory", "key-log", "namespace"):
            self.assertEqual(found[name]["verdict"], "lacks", name)
        self.assertIn("nologin us\x1b[31mer, ", found["user"]["mend"])
        out, _ = self.run_tool("doctor", status=1)
        self.assertIn("us\\x1b[31mer", out)

    def test_odd_answers(self):
        for odd in (b"", b'{"error":"no"}\n', b"nonsense\n", b'{"state":7}\n'):
            self.assertEqual(self.checks(odd)["daemon"]["verdict"], "lacks", odd)
        found = self.checks(b'{"state":"intercepting"}\n')
        self.assertEqual(found["daemon"]["verdict"], "good")
        self.assertEqual(found["sandbox"]["verdict"], "lacks")

    def test_engine_only(self):
        found = self.checks(b'{"state":"engine-only"}\n')
        self.assertEqual(found["daemon"]["verdict"], "good")
        self.assertIn("only programs that encrypt by themselves", found["daemon"]["text"])


class Flush(Case):
    """Goal: flush asks for it and believes only the daemon's word."""

    def test_flush(self):
        daemon = self.daemon(b'{"flushed":true}\n')
        out, _ = self.run_tool("flush")
        self.assertIn("forgotten", out)
        self.assertEqual(daemon.requests, [{"command": "flush"}])
        self.assertEqual(self.run_tool("flush", "--json")[0], '{"flushed":true}\n')

    def test_not_flushed(self):
        self.daemon(b'{"flushed":false}\n')
        _, err = self.run_tool("flush", status=1)
        self.assertIn("did not say", err)


class Hostile(Case):
    """Goal: nothing from the socket steers the terminal, hangs or crashes the tool."""

    def test_control_characters(self):
        comm = "a\x1b[2J\r\n\t\x07\x7f\u009b31m\u202egnp\u200b\\ä"
        answer = connection(comm=comm, peer="\x1b]0;x\x07", session_id="\x1b[1m", role="\n")
        escaped = "a\\x1b[2J\\x0d\\x0a\\x09\\x07\\x7f\\xc2\\x9b31m\\xe2\\x80\\xaegnp\\xe2\\x80\\x8b\\\\ä"
        self.daemon(lines(answer, dict(answer, event="established\x1b", time=1e9)))
        out, _ = self.run_tool("list")
        self.assertIn(escaped + " (1234)\n", out)
        out, _ = self.run_tool("watch", status=1)
        self.assertIn(escaped, out)
        out, _ = self.run_tool("list", locale="C")
        self.assertIn("\\\\\\xc3\\xa4 (1234)\n", out)

    def test_status_strings(self):
        bad = "\x1b[31m"
        self.daemon(
            lines(
                dict(
                    STATUS,
                    state=bad,
                    version=bad,
                    plain={bad: 3},
                    engine={"cgroup": bad, "interfaces": [bad, 5]},
                    crypto={"aes_gcm": {"library": bad, "reason": bad}, "x25519": 7},
                )
            )
        )
        out, _ = self.run_tool("status")
        self.assertEqual(out.count("\\x1b[31m"), 7)

    def test_closed_in_the_middle(self):
        self.daemon(lines(connection()) + b'{"id":8,"direc')
        out, err = self.run_tool("list", status=1)
        self.assertEqual(out, "")
        self.assertIn("went away in the middle", err)
        out, _ = self.run_tool("list", "--json", status=1)
        first, second = out.splitlines()
        self.assertEqual(json.loads(first)["id"], 7)
        self.assertIn("went away", json.loads(second)["error"])

    def test_no_answer_at_all(self):
        self.daemon(b"")
        for command in ("status", "flush"):
            _, err = self.run_tool(command, status=1)
            self.assertIn("without an answer", err)

    def test_not_json(self):
        for garbage in (b"hello\n", b"\n", b"[1]\n", b'"x"\n', b"{}{}\n", b"\xff\xfe\0\n",
                        b'{"a":"\xff"}\n', b"[" * 100000 + b"\n", b"\0" * 70000 + b"\n"):
            with self.subTest(garbage=garbage[:20]):
                daemon = FakeDaemon(self.dir, [garbage])
                for command in ("status", "list", "watch", "flush"):
                    _, err = self.run_tool(command, status=1)
                    self.assertIn("not a JSON object", err)
                    out, _ = self.run_tool(command, "--json", status=1)
                    self.assert_one_error(out, "not a JSON object")
                daemon.close()

    def test_long_lines(self):
        long = connection(comm="x" * 3_000_000)
        short = connection()
        self.daemon(lines(long, short, long))
        out, _ = self.run_tool("list", "--json")
        self.assertEqual([len(line) for line in out.splitlines()],
                         [len(json.dumps(o)) for o in (long, short, long)])
        out, _ = self.run_tool("list")
        self.assertIn("3 connections", out)

    def test_endless_line(self):
        self.daemon(b"x" * 6_000_000)
        _, err = self.run_tool("list", status=1)
        self.assertIn("too long", err)

    def test_many_lines(self):
        self.daemon(lines(*[connection(id=i) for i in range(20000)]))
        out, _ = self.run_tool("list")
        self.assertIn("20000 connections: 20000 encrypted", out)

    def test_wrong_types(self):
        numbers = {key: "1" for key in ("bytes_in", "started", "pid", "rekeys", "ended")}
        texts = {key: 5 for key in ("direction", "local", "peer", "state", "reason", "comm")}
        self.daemon(lines({}, connection(**numbers, **texts), connection(session_id="2"),
                          connection(started=-1e300, ended=1e300, bytes_in=2**63 - 1, pid=-5),
                          connection(started=1e300, ended=-1e300)))
        self.run_tool("list")
        self.run_tool("watch", status=1)


class Watch(Case):
    """Goal: one flushed line an event; SIGINT, SIGTERM and a reader that goes end it with 0."""

    EVENTS = (
        {"event": "watching", "time": 1e9},
        connection(event="established", time=1e9 + 1),
        connection(event="plain", time=1e9 + 2, direction="in", **PLAIN),
        connection(event="failed", time=1e9 + 3, reason="truncated", state="closed"),
        connection(event="closed", time=1e9 + 4, state="closed", started=1e9, ended=1e9 + 65),
    )

    @contextlib.contextmanager
    def watching(self, *arguments, **options):
        tool = subprocess.Popen(
            self.command("watch", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, LC_ALL="C.UTF-8", TZ="UTC"),
            **options,
        )
        try:
            yield tool
        finally:
            tool.kill()
            tool.wait()
            tool.stdout.close()
            tool.stderr.close()

    def test_lines(self):
        daemon = self.daemon(lines(*self.EVENTS), hold=True)
        with self.watching() as tool:
            got = [tool.stdout.readline().decode() for _ in self.EVENTS]
            self.assertEqual(daemon.requests, [{"command": "watch"}])
            self.assertEqual(got[0], "2001-09-09 01:46:40  watching    events from here on\n")
            self.assertIn("established out 10.0.0.1:43210 -> 192.0.2.7:5000  x25519, aes", got[1])
            self.assertIn("session ID " + GROUPED, got[1])
            self.assertIn("plain       in  10.0.0.1:43210 <- 192.0.2.7:5000  the far end", got[2])
            self.assertIn("cut off before the end of the data (truncated)", got[3])
            self.assertIn("in 734 B, out 12.3 KiB, after 1m 05s", got[4])
            daemon.end_all()
            self.assertEqual(tool.wait(10), 1)
            self.assertIn(b"tcpcryptd has stopped", tool.stderr.read())

    def test_json(self):
        self.daemon(lines(*self.EVENTS), hold=True)
        with self.watching("--json") as tool:
            got = [json.loads(tool.stdout.readline()) for _ in self.EVENTS]
            self.assertEqual(tuple(got), self.EVENTS)

    def test_signals(self):
        self.daemon(lines(self.EVENTS[0]), hold=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.watching() as tool:
                tool.stdout.readline()
                tool.send_signal(number)
                self.assertEqual(tool.wait(10), 0)
                self.assertEqual(tool.stderr.read(), b"")

    def test_reader_goes_away(self):
        """Without waiting for one more event, as `tcpcrypt watch | head -1` would."""
        self.daemon(lines(self.EVENTS[0]), hold=True)
        with self.watching() as tool:
            tool.stdout.readline()
            tool.stdout.close()
            self.assertEqual(tool.wait(10), 0)
            self.assertEqual(tool.stderr.read(), b"")

    def test_reader_goes_away_in_a_flood(self):
        self.daemon(lines(*[self.EVENTS[1]] * 20000), hold=True)
        with self.watching() as tool:
            tool.stdout.readline()
            tool.stdout.close()
            self.assertEqual(tool.wait(10), 0)
            self.assertEqual(tool.stderr.read(), b"")


class Verify(Case):
    """Goal: verify exits 0 only for encrypted and confirmed, and sends nothing itself."""

    def answer(self, **changes):
        """What the daemon answers: the connection that it was asked for."""

        def reply(request):
            changed = dict(
                {"peer_confirmed": True, "round_trip_ms": 1.25},
                local=request["local"],
                peer=request["peer"],
                **changes,
            )
            return lines(connection(**changed))

        return reply

    def verify(self, host, *options, status=0, name="127.0.0.1"):
        greeted.clear()
        out, err = self.run_tool("verify", name, str(host.port), *options, status=status)
        self.assertTrue(host.ended.acquire(timeout=10))
        self.assertEqual(host.received, b"")
        self.assertIsNone(host.error)
        return out, err

    def test_encrypted(self):
        host = self.host()
        daemon = self.daemon(self.answer())
        out, err = self.verify(host)
        self.assertEqual(err, "")
        request = daemon.requests[0]
        self.assertEqual(request["command"], "verify")
        self.assertEqual(request["peer"], f"127.0.0.1:{host.port}")
        self.assertRegex(request["local"], r"^127\.0\.0\.1:\d+$")
        self.assertIn("is encrypted: x25519, aes-128-gcm, role A\n", out)
        self.assertIn("confirmed that it holds the keys of this session, in 1.2 ms", out)
        self.assertIn("session ID  " + GROUPED, out)
        self.assertIn("man in the middle", out)
        self.assertIn("tcpcrypt list --recent", out)
        self.assertIn(request["local"], out)
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        out, _ = self.verify(host, "--json")
        self.assertEqual(json.loads(out)["session_id"], ID)

    def test_ipv6(self):
        try:
            host = self.host(socket.AF_INET6, "::1")
        except OSError as error:
            self.skipTest(f"no IPv6: {error}")
        daemon = self.daemon(self.answer())
        self.verify(host, name="::1")
        self.assertEqual(daemon.requests[0]["peer"], f"[::1]:{host.port}")

    def test_mapped(self):
        host = self.host()
        daemon = self.daemon(self.answer())
        self.verify(host, name="::ffff:127.0.0.1")
        self.assertEqual(daemon.requests[0]["peer"], f"127.0.0.1:{host.port}")
        self.assertRegex(daemon.requests[0]["local"], r"^127\.0\.0\.1:\d+$")

    def test_every_address_is_tried(self):
        """localhost is ::1 first in most places; the host listens on 127.0.0.1 only."""
        host = self.host()
        self.daemon(self.answer())
        self.verify(host, name="localhost")

    def test_plain(self):
        host = self.host()
        self.daemon(self.answer(**PLAIN, peer_confirmed=False))
        out, _ = self.verify(host, status=1)
        self.assertIn("is plain: the far end did not answer the offer to encrypt (no-eno)", out)
        out, _ = self.verify(host, "--json", status=1)
        self.assertIs(json.loads(out)["encrypted"], False)

    def test_not_confirmed(self):
        host = self.host()
        for changes in ({"peer_confirmed": False}, {"peer_confirmed": 1}):
            daemon = FakeDaemon(self.dir, [self.answer(**changes)])
            out, _ = self.verify(host, status=1)
            self.assertIn("not confirmed", out)
            self.verify(host, "--json", status=1)
            daemon.close()

    def test_not_listed(self):
        host = self.host()
        daemon = self.daemon(b'{"error":"connection not found"}\n')
        out, err = self.verify(host, status=1)
        self.assertEqual(out, "")
        self.assertIn("plain: tcpcryptd does not handle this connection", err)
        for why in ("its port", "a rule", "on this host", "remembered", "limits"):
            self.assertIn(why, err)
        self.assertGreater(len(daemon.requests), 1)
        self.assertLess(len(daemon.requests), 20)
        out, _ = self.verify(host, "--json", status=1)
        self.assert_one_error(out, "plain")

    def test_listed_a_moment_later(self):
        host = self.host()
        missing = b'{"error":"connection not found"}\n'
        daemon = self.daemon(missing, missing, self.answer())
        self.verify(host)
        self.assertEqual(len(daemon.requests), 3)

    def test_other_error(self):
        host = self.host()
        self.daemon(b'{"error":"the far end reset the connection"}\n')
        _, err = self.verify(host, status=1)
        self.assertIn("tcpcryptd answers: the far end reset", err)
        out, _ = self.verify(host, "--json", status=1)
        self.assertEqual(out, '{"error":"the far end reset the connection"}\n')

    def test_daemon_gone(self):
        host = self.host()
        for answer in (b"", b'{"encrypted":true,', b"garbage\n"):
            daemon = FakeDaemon(self.dir, [answer])
            _, err = self.verify(host, status=1)
            self.assertIn("tcpcryptd", err)
            out, _ = self.verify(host, "--json", status=1)
            self.assert_one_error(out, "tcpcryptd")
            daemon.close()

    def test_no_connection(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = str(unused.getsockname()[1])
            _, err = self.run_tool("verify", "127.0.0.1", port, status=1)
            self.assertIn("Connection refused", err)
            out, _ = self.run_tool("verify", "127.0.0.1", port, "--json", status=1)
            self.assert_one_error(out, "Connection refused")
        _, err = self.run_tool("verify", "127.0.0.1.", "no-such-service", status=1)
        self.assertIn("cannot resolve", err)

    def test_standard_output_closed(self):
        """No socket of the tool's may become file descriptor 1."""
        host = self.host()
        self.daemon(self.answer())
        command = self.command("verify", "127.0.0.1", str(host.port))
        subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command], timeout=30)
        self.assertTrue(host.ended.acquire(timeout=10))
        self.assertEqual(host.received, b"")


def any_library():
    """One that ld.so takes: the C library's own."""
    return next(line.split()[-1] for line in open("/proc/self/maps") if "/libc.so" in line)


class Run(Case):
    """Goal: run starts what execvp() would, and in the state that it was started in itself."""

    def setUp(self):
        super().setUp()
        self.bin = os.path.join(self.dir, "bin")
        os.makedirs(os.path.join(self.dir, "folder", "found"))
        os.mkdir(self.bin)
        shutil.copy("/bin/true", os.path.join(self.bin, "found"))

    def start(self, *program, **options):
        """The library need not be one: the program is started without it."""
        options.setdefault("env", os.environ)
        options["env"] = dict(options["env"], TCPCRYPT_INPROC_LIBRARY="/dev/null")
        return subprocess.run([TOOL, "run", *program], capture_output=True, timeout=30, **options)

    def test_path(self):
        for path, status in (
            (f"/nonexistent:{self.bin}", 0),
            (f"{self.dir}/folder:{self.bin}", 0),
            ("", 0),
            (":/usr/bin", 0),
            ("/usr/bin:", 0),
            ("/usr/bin::/bin", 0),
            ("/usr/bin", 1),
            (f"{self.dir}/folder", 1),
        ):
            with self.subTest(path=path):
                done = self.start("found", cwd=self.bin, env=dict(os.environ, PATH=path))
                self.assertEqual(done.returncode, status, done)
        self.assertEqual(self.start("").returncode, 1)

    def test_sigpipe(self):
        """Ignored, as a service's is, or not, as a shell has it."""
        for ignored in (signal.SIG_DFL, signal.SIG_IGN):
            done = self.start("grep", "SigIgn", "/proc/self/status", restore_signals=False,
                              preexec_fn=lambda how=ignored: signal.signal(signal.SIGPIPE, how))
            bits = int(done.stdout.split()[1], 16)
            self.assertEqual(bits >> (signal.SIGPIPE - 1) & 1, ignored == signal.SIG_IGN)


    def test_other_loader(self):
        """A program of another C library's, such as musl's, has no use for this one's."""
        program = os.path.join(self.bin, "other")
        with open("/bin/true", "rb") as true, open(program, "wb") as file:
            file.write(true.read().replace(b"/ld-linux", b"/ld-musl-"))
        os.chmod(program, 0o755)
        for option in ("--require", "--"):
            done = self.start(option, program)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn(b"another C library", done.stderr)

    def test_unfit_library(self):
        """What ld.so would not load, and start the program all the same, is said."""
        for name in ("a b", "a:b", "a$LIB"):
            shutil.copy(any_library(), os.path.join(self.dir, name))
        with open(any_library(), "rb") as library, open(f"{self.dir}/foreign", "wb") as file:
            head = bytearray(library.read(64))
            head[18] ^= 1  # the machine
            file.write(head)
        open(f"{self.dir}/short", "wb").close()
        for library, why in (("a b", "space"), ("a:b", "colon"), ("a$LIB", "dollar"),
                             ("short", "no shared library"), ("foreign", "no shared library"),
                             ("none", "No such file"), (".", "no shared library"),
                             (os.path.relpath(any_library(), self.dir), "whole path")):
            path = library if "/" in library else os.path.join(self.dir, library)
            env = dict(os.environ, TCPCRYPT_INPROC_LIBRARY=path)
            for option, printed, status in (("--require", b"", 1), ("--", b"started\n", 0)):
                with self.subTest(library=library, option=option):
                    done = subprocess.run([TOOL, "run", option, "echo", "started"], cwd=self.dir,
                                          capture_output=True, timeout=30, env=env)
                    self.assertEqual((done.stdout, done.returncode), (printed, status), done)
                    self.assertIn("cannot load", done.stderr.decode())
                    self.assertIn(why, done.stderr.decode())
            done = subprocess.run([TOOL, "enable", "web"], cwd=self.dir, capture_output=True,
                                  timeout=30, env=dict(env, TCPCRYPT_UNITS=self.dir))
            self.assertEqual(done.returncode, 1, done)
            self.assertIn(why, done.stderr.decode())
            self.assertFalse(os.path.exists(f"{self.dir}/web.service.d"))


class Enable(Case):
    """Goal: the drop-in is the service's, and systemd reads in it what was meant."""

    def enable(self, unit, run_dir="/run/x", command="enable", status=0):
        environment = dict(os.environ, TCPCRYPT_UNITS=self.dir,
                           TCPCRYPT_INPROC_LIBRARY=any_library())
        done = subprocess.run([TOOL, "--run-dir", run_dir, command, unit], timeout=30,
                              env=environment, capture_output=True)
        self.assertEqual(done.returncode, status, done)
        return {name: open(os.path.join(self.dir, name, "50-tcpcrypt.conf")).read()
                for name in os.listdir(self.dir)}

    def test_names(self):
        for unit, folder in (("web", "web.service.d"), ("web.service", "web.service.d"),
                             ("org.example.web", "org.example.web.service.d"),
                             ("web@1.2", "web@1.2.service.d")):
            self.assertEqual(list(self.enable(unit)), [folder])
            self.assertEqual(self.enable(unit, command="disable"), {})
        for wrong in ("", "a/b", "web.socket", "web.timer", "multi-user.target", "a b", "a\nb", "a\33[1m",
                      "a\u202eb", "web.service ", "50%"):
            for command in ("enable", "disable"):
                self.assertEqual(self.enable(wrong, command=command, status=2), {})

    def test_raw(self):
        """Nothing of a name reaches the terminal as it is that could steer it."""
        done = subprocess.run([TOOL, "enable", "a\n\33[1m"], timeout=30, capture_output=True,
                              env=dict(os.environ, TCPCRYPT_UNITS=self.dir))
        self.assertIn(b"no name of a service: a\\x0a\\x1b[1m\n", done.stderr)
        self.assertEqual((done.stdout, done.returncode), (b"", 2))

    def test_unknown(self):
        """A service that is not there may come later, but who mistyped its name hears of it."""
        for name in ("web.service", "web@.service"):
            open(os.path.join(self.dir, name), "w").close()
        env = dict(os.environ, TCPCRYPT_UNITS=self.dir, TCPCRYPT_INPROC_LIBRARY=any_library())
        for unit, known in (("web", True), ("web.service", True), ("web@1.2", True), ("web@", True),
                            ("wbe", False), ("wbe@1", False), ("web@1.socket.service", True)):
            done = subprocess.run([TOOL, "enable", unit], timeout=30, capture_output=True, env=env)
            self.assertEqual((done.returncode, b"no service" not in done.stderr), (0, known), done)

    def test_run_dir(self):
        for run_dir, written in (("/run/x", "/run/x"), ("/a b", "/a b"), ("/a%i", "/a%%i"),
                                 ('/a"b\\', '/a\\"b\\\\'), ("/a\n[Service]", "/a\\x0a[Service]")):
            text = self.enable("web", run_dir)["web.service.d"]
            self.assertIn(f'\nEnvironment="TCPCRYPT_RUN_DIR={written}"\n', text)
        self.enable("web", command="disable")
        self.assertEqual(self.enable("web", "run", status=2), {})


class Output(Case):
    """Goal: colours only for a terminal, and an output that cannot be written is an error."""

    def on_terminal(self, **environment):
        master, slave = pty.openpty()
        command = self.command("status")
        environment = dict(os.environ, TERM="xterm", **environment)
        subprocess.run(command, stdout=slave, env=environment, timeout=30, check=True)
        os.close(slave)
        output = os.read(master, 65536)
        os.close(master)
        return output

    def test_colours(self):
        self.daemon(lines(STATUS))
        with unittest.mock.patch.dict(os.environ):
            os.environ.pop("NO_COLOR", None)
            self.assertIn(b"\x1b[32mintercepting\x1b[0m", self.on_terminal())
        self.assertNotIn(b"\x1b", self.on_terminal(NO_COLOR="1"))
        self.assertNotIn("\x1b", self.run_tool("status")[0])

    def test_full_disk(self):
        self.daemon(lines(*[connection()] * 500))
        for command in (["list"], ["list", "--json"], ["watch"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run(self.command(*command), stdout=full, stderr=subprocess.PIPE,
                                      timeout=30)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"cannot write", done.stderr)

    def test_head(self):
        self.daemon(lines(*[connection()] * 5000))
        for command in ("list", "list --json"):
            shell = f'"{TOOL}" --run-dir "{self.dir}" {command} | head -1; echo ${{PIPESTATUS[0]}}'
            done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=30)
            self.assertEqual(done.stdout.splitlines()[-1], b"0")
            self.assertEqual(done.stderr, b"")


def print_goals():
    print("Goal of this test: tcpcrypt against a scripted daemon")
    for case in Case.__subclasses__():
        print(f"  {case.__name__}: {case.__doc__.removeprefix('Goal: ')}")
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    TOOL = os.path.abspath(sys.argv.pop(1))
    print_goals()
    unittest.main(verbosity=2)
