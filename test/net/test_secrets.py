#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The daemon keeps its secrets in memory, and does not begin without randomness for them."""
import os
import re
import socket
import subprocess

from apps import Server, connect, echo, read_exactly
from harness import PATIENCE, TCPCRYPTD, Net, check, check_equal, main, wait_for
from packets import Capture

# An OpenSSL that has no random generator.
NO_GENERATOR = """
openssl_conf = begin
[begin]
random = generator
[generator]
random = NO-SUCH-GENERATOR
"""

OTHER_GROUP = 65534


def no_core_dump():
    """8548-3.3-4, 8548-3.5-19, 8548-8-3: no core file, and no pipe that gets one."""
    with Net() as net:
        host = net.host()
        # The files in /proc belong to the process's own group, or to root's when it is not
        # dumpable: only with another group the two can be told apart.
        daemon = net.daemon(host, wrapper=["setpriv", f"--regid={OTHER_GROUP}", "--clear-groups"])
        proc = f"/proc/{daemon.process.pid}"
        with open(f"{proc}/limits") as file:
            limits = file.read()
        with open(f"{proc}/status") as file:
            gid = int(re.search(r"^Gid:\s+(\d+)", file.read(), re.M)[1])
        found = re.search(r"^Max core file size\s+(\S+)\s+(\S+)", limits, re.M)
        check_equal(found.groups(), ("0", "0"), "the daemon may not write a core file")
        check_equal(gid, OTHER_GROUP, "it runs in the test's group")
        check_equal(os.stat(f"{proc}/status").st_gid, 0, "and is not dumpable")


def no_file_of_secrets():
    """8548-3.3-4, 8548-3.5-19: with a session open, nothing is in any file of the
    daemon but what it told its log, and the run directory holds none."""
    with Net() as net:
        a, b = net.pair()
        daemon, _ = net.daemon(a), net.daemon(b)
        with Server(b, echo) as server:
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                sock.sendall(b"hello")
                read_exactly(sock, 5)
                fds = f"/proc/{daemon.process.pid}/fd"
                files = {os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)}
        # Its lock is a file, too, and an empty one.
        files = {f for f in files if os.path.isfile(f) and os.path.getsize(f)}
        check_equal(files, {str(daemon.log_path)}, "no file that it has open holds anything")
        check_equal(sorted(os.listdir(daemon.run_dir)), ["control.sock", "inproc.sock"],
                    "and keeps none")


def no_randomness():
    """8547-10-4, 8548-8-5: without it the daemon ends, and its host goes on in plain."""
    with Net() as net:
        a, b = net.pair()
        config = net.directory() / "openssl.cnf"
        config.write_text(NO_GENERATOR)
        env = {**os.environ, "OPENSSL_CONF": str(config)}
        with Capture(b, b.interfaces[0]) as capture, Server(b, echo) as server:
            process = a.start(
                [TCPCRYPTD, "--run-dir", net.directory() / "run"],
                env=env,
                stderr=subprocess.PIPE,
                text=True,
            )
            _, log = process.communicate(timeout=PATIENCE)
            check_equal(process.returncode, 1, "tcpcryptd does not start without randomness")
            check("randomness" in log, "and says so", log)
            with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
                sock.sendall(b"hello")
                check_equal(read_exactly(sock, 5), b"hello", "connections are made as ever")
            wait_for(lambda: capture.flows(server.port), "the connection on the wire")
            enos = [p.eno() for p in capture.packets(server.port) if p.eno()]
            check_equal(enos, [], "without ENO")


if __name__ == "__main__":
    main("secrets stay in memory", no_core_dump, no_file_of_secrets, no_randomness)
