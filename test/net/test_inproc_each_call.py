#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
In-process mode: calls on sockets, one by one, say what they say without the library.

Where each call that programs make on sockets is tested; "here" is calls.c and calls_odd.c, "behaviour" the suite in
test/behaviour, which run.py --inproc plays, and "programs" are those of test_inproc_apps.py and its like.

    read, write, recv, send                          behaviour/data.py, here: eintr, timeouts
    readv, writev, sendmsg, recvmsg                  behaviour/data.py, here: eintr, timeouts, trunc, waitall
    sendmmsg                                         here: sendmmsg; test_inproc_wait.py: passed_on
    recvmmsg                                         here: recvmmsg
    sendfile, sendfile64                             behaviour/data.py: from_file; here: large; programs: nginx
    preadv2, pwritev2, and their 64                  here: large
    splice                                           behaviour/data.py: spliced; test_inproc_wait.py: splices; here: eintr, odd; haproxy
    close                                            behaviour/ends.py; test_inproc_end.py
    close_range, closefrom                           here: close_range; test_inproc_calls.py: closed_all
    shutdown                                         behaviour/ends.py; test_inproc_wait.py: shutdowns
    dup, dup2                                        behaviour/processes.py, servers.py; here: close_range
    dup3                                             here: dup3
    fcntl, fcntl64                                   behaviour/options.py; here: large
    ioctl(FIONREAD)                                  behaviour/data.py: peeks
    getsockopt, setsockopt                           behaviour/options.py; test_inproc_calls.py: options
    accept, accept4, connect                         behaviour/connecting.py; here: eintr
    poll, ppoll, select, pselect, epoll_*wait*       behaviour/data.py, connecting.py; test_inproc_wait.py; here: eintr
    __read_chk, __recv_chk, __recvfrom_chk,
    __poll_chk, __ppoll_chk                          here: fortified, overflow
    __read, __write and other names of glibc's own   here: alias
    MSG_PEEK, MSG_DONTWAIT                           behaviour/data.py: peeks; test_inproc_wait.py: peeks
    MSG_WAITALL                                      behaviour/data.py: peeks, short_waitall; here: waitall, pieces, eintr
    MSG_TRUNC                                        behaviour/data.py: peeks; here: trunc
    flags, lengths and control data that are wrong   here: forms
    SO_RCVTIMEO, SO_SNDTIMEO                         here: timeouts; behaviour/data.py: receive_timeout; test_inproc_wait.py
    fork with a shared listener, fork after accept   behaviour/processes.py, servers.py; test_inproc.py
    exec, SCM_RIGHTS                                 test_inproc_pass.py; test_inproc_calls.py: inherited
    posix_spawn, posix_spawnp, system, popen         test_inproc_spawn.py
    threads using one socket                         behaviour/data.py: both_ways; test_inproc_calls.py: cancelled; here: taken, copies
    EINTR                                            here: eintr; test_inproc_wait.py: interruptions, restarts
    stdio on sockets                                 here: stdio, stream_first
    stdin, stdout, freopen on a connection           test_inproc_pass.py: streams, terminal
    login_tty, forkpty                               test_inproc_pass.py: terminal
    epoll_ctl, and events of nothing to read         test_inproc_wait.py: trusting
    prctl, capset                                    test_inproc.py: capabilities
    calls that the program has itself, sodium_init   test_inproc.py: own_names
    io_uring                                         test_inproc.py; what goes past: test_inproc_guard.py
    system calls by number                           test_inproc.py; here: sendmmsg, recvmmsg, close_range
"""
import difflib
import os
import re
import subprocess
import sys

from harness import Net, check, check_equal, main
from inproc import V4, Pair
from test_inproc_calls import THREADED_ECHO

PORT = 7050
PROGRAM = os.environ["CALLS"]
FORTIFIED = {"__read_chk", "__recv_chk", "__recvfrom_chk", "__poll_chk", "__ppoll_chk"}
LARGE = {"sendfile64", "fcntl64", "preadv64v2", "pwritev64v2"}


def serve(host, args):
    host.start([*args, sys.executable, "-c", THREADED_ECHO, str(PORT)])


def said(host, args, address, case, program):
    done = host.run([*args, program, address, PORT, case], check=False)
    return done.stdout + (f"ended with {done.returncode}: {done.stderr}" if done.returncode else "")


def difference(native, here):
    lines = difflib.unified_diff(native.splitlines(), here.splitlines(), lineterm="", n=1)
    return list(lines)[2:]


def play(case, resets=False, program=PROGRAM):
    """The case natively, and in-process against a peer of each kind. resets: the client leaves bytes unread."""
    with Net() as net:
        a, b = net.pair()
        serve(b, [])
        b.wait_listening(PORT)
        native = said(a, [], b.addresses[V4], case, program)
    check(native.endswith("\ndone\n"), f"{case}: natively", native)
    for role in ("client", "both"):
        with Net() as net:
            pair = Pair(net, role)
            serve(pair.b, pair.server([]))
            pair.b.wait_listening(PORT)
            here = said(pair.a, pair.client([]), pair.b.addresses[V4], case, program)
            check_equal(difference(native, here), [], f"{case}: in-process {role}")
            if not resets:
                pair.check_carried(f"{case}, in-process {role}", PORT)


def names():
    """The helper program calls what it is there for."""
    out = subprocess.run(["nm", "-u", PROGRAM], capture_output=True, text=True, check=True).stdout
    called = set(re.findall(r" U (\w+)", out))
    check_equal((FORTIFIED | LARGE) - called, set(), "fortified and 64-bit names are called")


def several_messages():
    play("sendmmsg")
    play("recvmmsg")


def fortified():
    play("fortified")
    play("overflow")


def large_files():
    play("large")


def aliases():
    play("alias")


def streams():
    play("stdio")
    play("stream_first")


def flags():
    play("trunc")
    play("waitall")


def time_limits():
    play("timeouts", resets=True)


def odd():
    """What few programs ask for."""
    play("peeks")
    play("pieces")
    play("nothing")
    play("limits")
    play("forms")
    play("together")
    play("partial", resets=True)
    play("refused")


def taken():
    """A descriptor becomes another one while a call waits for it."""
    play("taken", resets=True)


def copies():
    """Duplicates are made while another thread forks."""
    play("copies")


def descriptors():
    play("dup3")
    play("close_range")


def signals():
    play("eintr", resets=True)


if __name__ == "__main__":
    main(
        "in-process mode: each call on sockets says what it says without the library",
        names,
        several_messages,
        fortified,
        large_files,
        aliases,
        streams,
        flags,
        time_limits,
        odd,
        taken,
        copies,
        descriptors,
        signals,
    )
