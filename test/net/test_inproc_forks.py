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
ENDS = 20
SEED = int(os.environ.get("SEED", "8548"))


def run(client, args, threads, connections, seed):
    """What the program says; it ends while a thread of it forks."""
    done = client.run([*args, *map(str, (threads, connections, seed))], check=False)
    return done.stdout + done.stderr + (f"ended with {done.returncode}" if done.returncode else "")


def all_is_well(connections):
    return f"{connections} connections, 0 wrong\n"


def storm(server, client, server_args, client_args, address, text):
    server.start([*server_args, sys.executable, "-c", THREADED_ECHO, str(PORT)])
    server.wait_listening(PORT)
    args = [*client_args, PROGRAM, address, str(PORT)]
    said = run(client, args, THREADS, CONNECTIONS, SEED)
    check_equal(said, all_is_well(THREADS * CONNECTIONS), f"{text}: each byte, and the end")
    said = [run(client, args, 1, 1, SEED + i) for i in range(ENDS)]
    check_equal(said, [all_is_well(1)] * ENDS, f"{text}: the program ends")


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
