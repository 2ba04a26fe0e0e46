#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`tcpcrypt doctor` finds what is amiss, wherever a network namespace can make it so."""
import json
import os
import resource
import signal
import subprocess

from harness import TCPCRYPT, Net, check, check_equal, main

# The machine's, not the test's: its processor, its limits, and how tcpcryptd was built.
OF_THE_MACHINE = {"crypto", "files", "sandbox", "memory"}
FILTER = """
__attribute__((section("tc"), used)) int pass(void *skb) { return -1; }
char gpl[] __attribute__((section("license"), used)) = "GPL";
"""


def doctor(host, run_dir, **options):
    """Verdicts by check, the texts, and the exit status."""
    args = [TCPCRYPT, "--run-dir", run_dir, "doctor", "--json"]
    done = host.run(args, check=False, **options)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    verdicts = {}
    for line in found:
        verdicts[line["check"]] = line["verdict"]
        if line["verdict"] == "lacks" and line["check"] != "daemon":
            check(line["mend"], f"what is lacking has a mend: {line['check']}")
    return verdicts, found, done.returncode


def lacks(host, run_dir, name, text):
    verdicts, found, status = doctor(host, run_dir)
    said = [line["text"] for line in found if line["check"] == name]
    check_equal((verdicts.get(name), status), ("lacks", 1), f"{text}: {name} lacks")
    return said


def all_well():
    with Net() as net:
        host, other = net.pair()
        daemon = net.daemon(host)
        verdicts, found, status = doctor(host, daemon.run_dir)
        bad = [line for line in found if line["verdict"] != "good"]
        others = [line for line in bad if line["check"] not in OF_THE_MACHINE]
        check_equal(others, [], "a host like any other lacks nothing")
        check_equal(status, 1 if bad else 0, "and the exit status says so")
        missing = {"kernel", "btf", "cgroup", "bpf", "tc", "daemon", "user"} - set(verdicts)
        check_equal(missing, set(), "it has looked at everything")
        text = daemon.tool("doctor", check=False).stdout
        check_equal(len(text.splitlines()), len(found), "people get a line each, too")
        nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
        done = host.run([*nobody, TCPCRYPT, "--run-dir", daemon.run_dir, "doctor"], check=False)
        seen = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("?")]
        check_equal(set(seen) - {"files"}, {"bpf", "raw-socket", "tc"}, "only root can look at")
        there = doctor(other, daemon.run_dir)
        check_equal(there[0]["namespace"], "lacks", "seen from another namespace: not served")


def no_daemon():
    with Net() as net:
        host = net.host()
        said = lacks(host, net.directory(), "daemon", "nobody runs one")
        check("not running" in said[0], "and why", said)


def daemon_hangs():
    with Net() as net:
        daemon = net.daemon(net.host())
        os.kill(daemon.process.pid, signal.SIGSTOP)
        try:
            said = lacks(daemon.host, daemon.run_dir, "daemon", "it hangs")
            check("in time" in said[0], "and why", said)
        finally:
            os.kill(daemon.process.pid, signal.SIGCONT)


def daemon_amiss():
    """What `status` tells of itself, and what /proc does."""
    with Net() as net:
        host, _ = net.pair()
        keylog = net.directory() / "keys"
        daemon = net.daemon(host, f"user = no-such-user\nkey-log = {keylog}\n")
        for name in ("user", "key-log"):
            lacks(host, daemon.run_dir, name, "as it was told to start")
        few = (512, 512)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, few)
        lacks(host, daemon.run_dir, "files", "few files")
        daemon.stop()
        daemon = net.daemon(host, "sandbox = off\n")
        lacks(host, daemon.run_dir, "sandbox", "sandbox = off")


def network_amiss():
    with Net() as net:
        host, _ = net.pair()
        run_dir = net.daemon(host).run_dir
        host.sysctl("ipv4/ip_local_port_range", "40000 40100")
        lacks(host, run_dir, "local-ports", "a hundred ports")
        host.sysctl("ipv4/tcp_syncookies", 2)
        lacks(host, run_dir, "syncookies", "cookies always")
        host.ip("addr", "del", "::1/128", "dev", "lo")
        lacks(host, run_dir, "ipv6", "no ::1")
        host.ip("addr", "flush", "dev", host.interfaces[0], "scope", "global")
        check_equal(doctor(host, run_dir)[0]["ipv6"], "good", "which does not matter without IPv6")
        host.ip("addr", "del", "127.0.0.1/8", "dev", "lo")
        lacks(host, run_dir, "loopback", "no 127.0.0.1")
        host.ip("link", "set", "lo", "down")
        lacks(host, run_dir, "loopback", "lo down")


def filters_of_others():
    with Net() as net:
        host, _ = net.pair()
        daemon = net.daemon(host)
        name = host.interfaces[0]
        source, program = net.directory() / "f.c", net.directory() / "f.o"
        source.write_text(FILTER)
        subprocess.run(["clang", "-O2", "--target=bpf", "-c", source, "-o", program], check=True)
        behind = ["bpf", "direct-action", "obj", str(program), "sec", "tc"]
        tc(host, "filter", "add", "dev", name, "ingress", "pref", "9000", *behind)
        check_equal(doctor(host, daemon.run_dir)[0]["tc-filters"], "good", "one behind ours")
        tc(host, "filter", "add", "dev", name, "ingress", "pref", "10", *behind)
        said = lacks(host, daemon.run_dir, "tc-filters", "one before ours")
        check(name in said[0] and "preference 10)" in said[0], "and which", said)
        tc(host, "filter", "del", "dev", name, "ingress")


def tc(host, *args):
    host.run(["tc", *args])


if __name__ == "__main__":
    main(
        "`tcpcrypt doctor` tells what a host lacks, and nothing else",
        all_well,
        no_daemon,
        daemon_hangs,
        daemon_amiss,
        network_amiss,
        filters_of_others,
    )
