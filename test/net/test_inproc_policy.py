#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Policy and in-process mode: a rule means the same whoever encrypts."""
import socket
import sys

from apps import Server, connect, echo, errno_of, family_name
from harness import Net, check, check_equal, main, wait_for
from inproc import RAW_WRITER, SECRET, loaded
from packets import Capture
from test_policy import REFUSED, reload, sent_bare
from wire import StripEno, is_synack, wired_pair

FAMILIES = (socket.AF_INET, socket.AF_INET6)
PORT = 7010

CLIENT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) as s:
        s.sendall(sys.argv[3].encode())
        s.shutdown(socket.SHUT_WR)
        print(s.makefile().read() == sys.argv[3])
except OSError as e:
    print(type(e).__name__)
"""
SERVER = """
import socket, sys
family = socket.AF_INET6 if sys.argv[1] == "::" else socket.AF_INET
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family)
while True:
    try:
        sock, peer = listener.accept()
    except ConnectionAbortedError:
        continue
    with sock:
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except OSError:
            pass
"""


def talk(host, address, port):
    """What the program in in-process mode makes of it: True, or its error."""
    args = [sys.executable, "-c", CLIENT, address, port, SECRET.decode()]
    return host.run(loaded(args)).stdout.strip()


def serve(host, family=socket.AF_INET):
    any_address = "::" if family == socket.AF_INET6 else "0.0.0.0"
    host.start(loaded([sys.executable, "-c", SERVER, any_address, PORT]))
    host.wait_listening(PORT)


def check_no_payload(wire, port, text):
    check(not any(p.payload for p in wire.packets(port)), f"{text}: no payload")


def required_out():
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            wire = net.use(Capture(a, a.interfaces[0]))
            with Server(b, echo, family) as server:
                rule = f"rule = require out port {server.port}\n"
                net.daemon(a, rule)
                text = f"require out, no ENO at the peer, {family_name(family)}"
                for _ in range(2):
                    error = talk(a, b.addresses[family], server.port)
                    check(error.endswith("Error"), f"{text}: an error", error)
                check_equal(sent_bare(wire.packets(server.port), a), [], f"{text}: SYNs with ENO")
                check_no_payload(wire, server.port, text)
                net.daemon(b)
                text = f"require out, the peer encrypts, {family_name(family)}"
                check_equal(talk(a, b.addresses[family], server.port), "True", text)
                check(not wire.contains(SECRET), f"{text}: nothing in plain")


def stripped():
    """What the network takes away costs the connection."""
    with Net() as net:
        a, b, wire = wired_pair(net)
        wire.to_left.append(StripEno(is_synack))
        with Server(b, echo) as server:
            net.daemon(a, f"rule = require out port {server.port}\n")
            net.daemon(b)
            text = "require out, ENO stripped from the SYN-ACK"
            error = talk(a, b.addresses[socket.AF_INET], server.port)
            check(error.endswith("Error"), f"{text}: an error", error)
            check_no_payload(wire, server.port, text)


def past_the_library():
    """The guard holds what is plain, though it must not be, also without the library."""
    with Net() as net:
        a, b = net.pair()
        wire = net.use(Capture(a, a.interfaces[0]))
        with Server(b, echo) as server:
            daemon = net.daemon(a, f"rule = require out port {server.port}\n")
            args = [b.addresses[socket.AF_INET], server.port, SECRET.decode()]
            out = a.run([sys.executable, "-c", RAW_WRITER, *map(str, args)]).stdout
            check_equal(out.strip(), "error 103", "written in plain: the connection is aborted")
            check_no_payload(wire, server.port, "written in plain")
            wait_for(lambda: "wrote past the library" in daemon.log(), "the daemon's word")


def off_out():
    """Without a wish of the program's own a rule `off` holds for it as well."""
    with Net() as net:
        a, b = net.pair()
        wire = net.use(Capture(a, a.interfaces[0]))
        with Server(b, echo) as server:
            net.daemon(a, f"rule = off out port {server.port}\n")
            net.daemon(b)
            check_equal(talk(a, b.addresses[socket.AF_INET], server.port), "True", "off: plain")
            check(not any(p.eno() for p in wire.packets(server.port)), "off: no ENO")


def incoming():
    """Listeners: under `require` the daemon stands in, `off` is plain, else they are their own."""
    for family in FAMILIES:
        with Net() as net:
            a, b = net.pair()
            name = family_name(family)
            address = b.addresses[family]
            wire = net.use(Capture(b, b.interfaces[0]))
            daemon = net.daemon(b, f"rule = require in port {PORT}\n")
            serve(b, family)
            error = errno_of(lambda: connect(a, address, PORT, family).close())
            check_equal(error, REFUSED, f"require in, a plain SYN, {name}: ECONNREFUSED")
            check_equal(sent_bare(wire.packets(PORT), b), [], f"require in, {name}: no SYN-ACK")
            net.daemon(a)
            check_equal(talk(a, address, PORT), "True", f"require in, {name}: encrypted")
            daemon.wait_list(port=PORT, encrypted=True)
            check(not wire.contains(SECRET), f"require in, {name}: nothing in plain")
            (daemon.dir / "tcpcryptd.conf").write_text(f"rule = off in port {PORT}\n")
            reload(daemon)
            check_equal(talk(a, address, PORT), "True", f"off in, {name}: answered")
            wait_for(lambda: wire.contains(SECRET), f"off in, {name}: the plain text")


if __name__ == "__main__":
    main(
        "policy rules hold for programs that encrypt by themselves",
        required_out,
        stripped,
        past_the_library,
        off_out,
        incoming,
    )
