#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: the engine ends, is killed, is started again, and servers go on.

What a connection's SYN and SYN-ACK have negotiated is never followed by plain text, whoever was the engine
when; and the servers that are there are encrypted again without being started anew.
"""
import os
import socket
import subprocess
import sys

from harness import Net, check, check_equal, main, wait_for
from inproc import SECRET, V4, loaded
from packets import Capture

PORT = 7053
ENABLED, TEP_MANDATORY, NONCE_LEN = 1026, "1033", 1046
EXAMPLES = os.environ["EXAMPLES"]
# Answers what it reads, tells of it, and whatever becomes of its connections does not end it. With a word it
# accepts only when it is told to, and before that runs what it is told.
SERVER = """
import os, socket, sys, threading
if os.environ.get("LISTENER"):
    listener = socket.socket(fileno=int(os.environ["LISTENER"]))
else:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", int(sys.argv[1])))
listener.listen()
def told():
    for line in sys.stdin:
        exec(line)
        print("done", flush=True)
        if line == "pass\\n":
            break
if sys.argv[2:] == ["waits"]:
    told()
elif sys.argv[2:]:
    threading.Thread(target=told, daemon=True).start()
while True:
    sock, _ = listener.accept()
    try:
        with sock:
            while data := sock.recv(65536):
                print(data, flush=True)
                sock.sendall(data)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""
CLIENT = """
import socket, sys
message = sys.argv[3].encode()
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
        sock.sendall(message)
        got = sock.recv(len(message), socket.MSG_WAITALL)
    print("answered" if got == message else got)
except OSError as error:
    print(type(error).__name__)
"""


# Connects, and comes back to it when told to.
LATE_CLIENT = """
import socket, sys
sock = socket.socket()
sock.setblocking(False)
sock.connect_ex((sys.argv[1], int(sys.argv[2])))
print("connecting", flush=True)
sys.stdin.readline()
sock.setblocking(True)
try:
    for option in sys.argv[4:]:
        sock.setsockopt(socket.IPPROTO_TCP, int(option), 0)
    sock.sendall(sys.argv[3].encode())
    print(sock.recv(65536))
except OSError as error:
    print(type(error).__name__)
"""


class Hosts:
    """A server that encrypts by itself on a host whose daemon (options) comes and goes; clients that do so,
    or do not (proxied)."""

    def __init__(self, net, proxied=False, options=("--engine-only",)):
        self.net, self.proxied, self.options = net, proxied, options
        self.a, self.b = net.pair()
        self.da = net.daemon(self.a)
        self.db = net.daemon(self.b, options=options)
        self.capture = net.use(Capture(self.a, self.a.interfaces[0]))
        self.server = None

    def serve(self, args, ready=True):
        self.server = self.b.start(loaded(args, self.db), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if ready:
            self.b.wait_listening(PORT)

    def tell(self, line):
        """The server, which has words."""
        self.server.stdin.write(line.encode() + b"\n")
        self.server.stdin.flush()
        wait_for(lambda: self.server.stdout.readline() == b"done\n", "the server to do it")

    def client(self, program=CLIENT, *words):
        args = [sys.executable, "-c", program, self.b.addresses[V4], str(PORT), SECRET.decode(), *words]
        return args if self.proxied else loaded(args, self.da)

    def ask(self):
        """What a client says, and whether its connection was encrypted."""
        said = self.a.run(self.client()).stdout.strip()
        last = wait_for(lambda: self.da.list(port=PORT), "the connection")[-1]
        return said, last["encrypted"]

    def restart(self, end):
        end()
        self.db = self.net.daemon(self.b, after=self.db, options=self.options)

    def wait_handshake(self):
        wait_for(lambda: [f for f in self.capture.flows(PORT) if f.ack], "the handshake")

    def check_wire(self, text):
        """What was negotiated is not plain."""
        flows = self.capture.flows(PORT)
        check(flows, f"{text}: there were connections")
        for flow in flows:
            readable = any(SECRET[:16] in p.payload for p in flow.packets)
            answered = flow.synack is not None and flow.synack.eno() is not None
            check(not (readable and answered), f"{text}: nothing plain follows an ENO option that was answered")

    def wait_encrypts(self, text):
        """Who comes is encrypted again; hosts that have met it plain are told to forget that."""

        def asked():
            self.da.tool("flush")
            said, encrypted = self.ask()
            if said not in ("answered", "ConnectionResetError"):
                raise RuntimeError(f"{text}: {said}")
            return said == "answered" and encrypted

        wait_for(asked, f"{text}: connections to be encrypted again")
        check_equal(self.ask(), ("answered", True), f"{text}: and they stay so")


def python_server(*words):
    return [sys.executable, "-c", SERVER, str(PORT), *words]


def restarts(text, args, **keys):
    """Ended, then killed, and started again each time."""
    with Net() as net:
        hosts = Hosts(net, **keys)
        hosts.serve(args)
        check_equal(hosts.ask(), ("answered", True), f"{text}: encrypted")
        hosts.restart(hosts.db.stop)
        hosts.wait_encrypts(f"{text}: started again")
        hosts.restart(hosts.db.kill)
        hosts.wait_encrypts(f"{text}: killed and started again")
        hosts.check_wire(text)


def restarted():
    restarts("in-process client", python_server())


def restarted_proxied():
    restarts("proxied client", python_server(), proxied=True)


def restarted_full():
    """The proxy serves it until its program has heard of the new engine."""
    restarts("intercepting daemon", python_server(), options=())


def restarted_library():
    restarts("libtcpcrypt", [f"{EXAMPLES}/echo-server", "0.0.0.0", str(PORT)])


def stopped():
    """Without an engine servers are what they are without tcpcrypt; at most the first client hears of it."""
    for end in ("stop", "kill"):
        text = f"engine ends ({end})"
        with Net() as net:
            hosts = Hosts(net)
            hosts.serve(python_server())
            check_equal(hosts.ask(), ("answered", True), f"{text}: encrypted")
            getattr(hosts.db, end)()
            first, *others = [hosts.ask() for _ in range(3)]
            check(first in (("answered", False), ("ConnectionResetError", False)), f"{text}: the first", first)
            check_equal(others, [("answered", False)] * 2, f"{text}: plain from then on")
            hosts.restart(lambda: None)
            hosts.wait_encrypts(f"{text}: started again")
            hosts.check_wire(text)


def queued():
    """What the last engine has negotiated is accepted when there is none, or another one."""
    for again in (False, True):
        text = "accepted from another engine's time" if again else "accepted when there is no engine"
        with Net() as net:
            hosts = Hosts(net)
            hosts.serve(python_server("waits"))
            client = hosts.a.start(hosts.client(), stdout=subprocess.PIPE, text=True)
            hosts.wait_handshake()
            if again:
                hosts.restart(hosts.db.kill)
            else:
                hosts.db.kill()
            hosts.tell("pass")
            check_equal(hosts.server.stdout.readline(), b"ConnectionResetError\n", f"{text}: the server")
            check_equal(client.communicate(timeout=30)[0], "ConnectionResetError\n", f"{text}: the client")
            hosts.check_wire(text)


def connected_before():
    """A client's engine ends when it has negotiated, and the client has not asked yet what. A wish that
    comes late does not make the next engine know the connection."""
    for again, words in ((False, []), (True, []), (True, [TEP_MANDATORY])):
        text = "connected by another engine" if again else "connected before the engine has gone"
        text += ", and a late wish" if words else ""
        with Net() as net:
            hosts = Hosts(net)
            hosts.serve(python_server())
            args = hosts.client(LATE_CLIENT, *words)
            # The library asks when connect() returns: the answer comes later, by the first retransmission.
            route = ["blackhole", f"{hosts.a.addresses[V4]}/32"]
            hosts.b.run(["ip", "route", "add", *route])
            client = hosts.a.start(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            check_equal(client.stdout.readline(), "connecting\n", text)
            hosts.b.run(["ip", "route", "del", *route])
            hosts.wait_handshake()
            hosts.da.kill()
            if again:
                hosts.da = net.daemon(hosts.a, after=hosts.da)
            check_equal(client.communicate("go\n", timeout=30)[0], "ConnectionResetError\n", text)
            hosts.check_wire(text)


def wished():
    """A listener that the engine does not know has wishes."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.serve(python_server("told"))
        check_equal(hosts.ask(), ("answered", True), "with wishes: encrypted")
        hosts.restart(hosts.db.kill)
        hosts.tell(f"listener.setsockopt(socket.IPPROTO_TCP, {NONCE_LEN}, 8)")
        hosts.wait_encrypts("with wishes")
        hosts.check_wire("with wishes")


def listens_again():
    """listen() once more, when there was no engine for a while."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.serve(python_server("told"))
        check_equal(hosts.ask(), ("answered", True), "listens again: encrypted")
        hosts.db.kill()
        hosts.ask()
        check_equal(hosts.ask(), ("answered", False), "listens again: plain without an engine")
        hosts.restart(lambda: None)
        hosts.tell("listener.listen()")
        hosts.wait_encrypts("listens again")
        hosts.check_wire("listens again")


def under_way():
    """A plain handshake that is under way when the listener is marked again stays plain, and goes on."""
    with Net() as net:
        hosts = Hosts(net)
        hosts.serve(python_server("told"))
        # The kernel accepts what brings data only.
        hosts.tell("listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)")
        with hosts.a.socket() as sock:
            sock.settimeout(30)
            sock.setsockopt(socket.IPPROTO_TCP, ENABLED, 0)
            hosts.restart(hosts.db.kill)
            sock.connect((hosts.b.addresses[V4], PORT))
            hosts.wait_encrypts("a plain handshake under way")
            sock.sendall(b"plain")
            check_equal(sock.recv(5), b"plain", "a plain handshake under way: it is answered")


def inherited():
    """A listener that another program has made is the proxy's to serve, and stays so."""
    make = (
        "import os, socket, sys; listener = socket.create_server(('0.0.0.0', int(sys.argv[1]))); "
        "listener.set_inheritable(True); os.environ['LISTENER'] = str(listener.detach()); "
        "os.execvp(sys.argv[2], sys.argv[2:])"
    )
    with Net() as net:
        hosts = Hosts(net, options=())
        args = loaded(python_server(), hosts.db)
        hosts.server = hosts.b.start([sys.executable, "-c", make, str(PORT), *args], stdout=subprocess.PIPE)
        hosts.b.wait_listening(PORT)
        for _ in range(3):
            check_equal(hosts.ask(), ("answered", True), "inherited: encrypted, by the proxy")
        hosts.check_wire("inherited")


if __name__ == "__main__":
    main(
        "in-process mode: servers when the engine ends and comes back",
        restarted,
        restarted_proxied,
        restarted_full,
        restarted_library,
        stopped,
        queued,
        connected_before,
        wished,
        listens_again,
        under_way,
        inherited,
    )
