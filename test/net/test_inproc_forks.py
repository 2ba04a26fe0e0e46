#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: threads copy connections, pass them on and share them with children, and others fork meanwhile."""
import os
import sys

from harness import Net, check_equal, main
from inproc import V4, Pair
from test_inproc_calls import THREADED_ECHO

PORT = 7051
PROGRAM = os.environ["FORKS"]
THREADS = 4
CONNECTIONS = 100
SEED = int(os.environ.get("SEED", "8548"))


def storm(server, client, server_args, client_args, address, text):
    server.start([*server_args, sys.executable, "-c", THREADED_ECHO, str(PORT)])
    server.wait_listening(PORT)
    done = client.run([*client_args, PROGRAM, address, PORT, THREADS, CONNECTIONS, SEED], check=False)
    check_equal(done.stderr, "", f"{text}: nothing to complain of")
    check_equal(done.stdout, f"{THREADS * CONNECTIONS} connections, 0 wrong\n", f"{text}: each byte, and the end")
    check_equal(done.returncode, 0, f"{text}: the program ends well")


def native():
    """The test itself is right."""
    with Net() as net:
        a, b = net.pair()
        storm(b, a, [], [], b.addresses[V4], "natively")


def in_process(role):
    with Net() as net:
        pair = Pair(net, role)
        text = f"in-process {role}"
        storm(pair.b, pair.a, pair.server([]), pair.client([]), pair.b.addresses[V4], text)
        pair.check_carried(text, PORT)


def client():
    in_process("client")


def both():
    in_process("both")


if __name__ == "__main__":
    main(
        "in-process mode: connections that threads copy, pass on and share, while others fork",
        native,
        client,
        both,
    )
