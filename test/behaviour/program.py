# SPDX-License-Identifier: BSD-2-Clause
"""The two programs of a case, and the transcript that each keeps of what it saw.

A transcript has return values, error names, bytes and events in the order in which the program
saw them; never a time or a port number. Addresses are written as whose they are.
"""
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))

import packets  # noqa: E402  pylint: disable=wrong-import-position
from harness import setns, wait_for  # noqa: E402  pylint: disable=wrong-import-position

PATIENCE = 40  # seconds after which a program is stuck: a bound, never a measure
SIOCOUTQ = termios.TIOCOUTQ
SO_ATTACH_FILTER = 26
TCP_STATES = "? ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT " \
    "LAST_ACK LISTEN CLOSING".split()
PR_SET_PDEATHSIG = 1
EVENTS = ("IN", "PRI", "OUT", "ERR", "HUP", "RDHUP")
ALL_EVENTS = select.POLLIN | select.POLLOUT | select.POLLPRI | select.POLLRDHUP
BROKEN = (errno.ECONNRESET, errno.EPIPE)

libc = ctypes.CDLL(None, use_errno=True)


class Stuck(Exception):
    """The program's time is over."""


def error_name(number):
    return errno.errorcode.get(number, str(number)) if number else "0"


def event_names(mask):
    names = [name for name in EVENTS if mask & getattr(select, "POLL" + name)]
    return "|".join(names) or "none"


class Program:
    """One of a case's two programs, inside its host."""

    def __init__(self, role, place, case, channel):
        self.role, self.place, self.case = role, place, case
        self.family = case.family
        self.own, self.peer = place.addresses(role)
        self.host = place.hosts[role]
        self.channel = channel
        self.lines = []
        self.ports = {}

    # ---- the transcript -------------------------------------------------------------------

    def see(self, what, value=None):
        self.lines.append(what if value is None else f"{what}: {self.text(value)}")

    def text(self, value):
        if isinstance(value, OSError):
            return error_name(value.errno)
        if isinstance(value, (bytes, bytearray)):
            if len(value) <= 64:
                return repr(bytes(value))
            return f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}"
        if isinstance(value, tuple) and len(value) in (2, 4) and isinstance(value[0], str):
            return self.address_text(value)
        if isinstance(value, (list, tuple)):
            return ", ".join(self.text(item) for item in value)
        if isinstance(value, socket.socket):
            return "a socket"
        return str(value)

    def address_text(self, address):
        """An address as whose it is, with its port."""
        host, mapped = address[0].partition("%")[0], ""
        if host.startswith("::ffff:") and "." in host:
            host, mapped = host[len("::ffff:"):], " (v4-mapped)"
        names = {a: name for name, end in (("own", self.own), ("peer", self.peer))
                 for a in end.values()}
        where = names.get(host, host) + mapped + f", {self.port_text(address[1])}"
        return where + (f", scope {address[3]}" if len(address) == 4 and address[3] else "")

    def port_text(self, port):
        index = port - self.case.port
        if 0 <= index < self.case.PORTS:
            return f"the case's port {index}"
        if not port:
            return "no port"
        return self.ports.setdefault(port, f"ephemeral port {len(self.ports) + 1}")

    def call(self, what, function, *args):
        """Calls and notes what it returned, or its error; returns the value, or the OSError."""
        try:
            value = function(*args)
        except OSError as error:
            value = error
        self.see(what, "0" if value is None else value)
        return value

    # ---- the other program ----------------------------------------------------------------

    def tell(self, *words):
        self.channel.send(json.dumps(words).encode())

    def hear(self):
        message = self.channel.recv(65536)
        if not message:
            raise Stuck("the other program has ended")
        words = json.loads(message)
        return words[0] if len(words) == 1 else words

    def hear_end(self):
        """Waits until the other program has ended."""
        while self.channel.recv(65536):
            pass

    def child(self, function):
        """Runs function in a child process, which ends with this one at the latest."""
        pid = os.fork()
        if pid:
            return pid
        try:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            function()
        finally:
            os._exit(0)

    def in_child(self, function):
        os.waitpid(self.child(function), 0)

    # ---- sockets --------------------------------------------------------------------------

    def port(self, index=0):
        return self.case.port + index

    def target(self, index=0):
        return (self.peer[self.family], self.port(index))

    def socket(self, family=None):
        return socket.socket(family or self.family)

    def listen(self, index=0, backlog=64, prepare=None, tell=True):
        """A listening socket on all addresses."""
        sock = self.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if prepare:
            prepare(sock)
        sock.bind(("", self.port(index)))
        sock.listen(backlog)
        if tell:
            self.tell("listening")
        return sock

    def accept(self, index=0):
        with self.listen(index) as listener:
            return listener.accept()[0]

    def connect(self, index=0, hear=True, sock=None):
        """A connection to the other program's accept()."""
        sock = sock or self.socket()
        if hear:
            self.hear()
        sock.connect(self.target(index))
        return sock

    def read_to_end(self, sock):
        """Notes all that comes, and how it ends."""
        data = bytearray()
        try:
            while more := sock.recv(1 << 16):
                data += more
            end = "end of file"
        except OSError as error:
            end = error_name(error.errno)
        self.see("read", data)
        self.see("then", end)
        return bytes(data)

    def names(self, sock, when=""):
        self.call(f"getsockname {when}".strip(), sock.getsockname)
        self.call(f"getpeername {when}".strip(), sock.getpeername)

    def error(self, sock):
        self.see("SO_ERROR", error_name(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))

    def wait_event(self, sock, wanted, what="poll", patience=PATIENCE):
        """Waits until these events are there together and notes all that are."""
        poll = select.poll()
        poll.register(sock, ALL_EVENTS)

        def there():
            mask = dict(poll.poll(0)).get(sock.fileno(), 0)
            return mask if mask & wanted == wanted else 0

        self.see(what, event_names(wait_for(there, event_names(wanted), patience)))

    def now_event(self, sock, what="poll now"):
        poll = select.poll()
        poll.register(sock, ALL_EVENTS)
        self.see(what, event_names(dict(poll.poll(0)).get(sock.fileno(), 0)))

    def until_broken(self, sock):
        """Sends until it fails; notes how. Later sends fail with EPIPE, so either shows it."""
        error = 0
        try:
            while True:
                sock.send(b"x" * 1000, socket.MSG_NOSIGNAL)
                select.select([], [], [], 0.005)
        except OSError as caught:
            error = caught.errno
        self.see("send in the end", "broken" if error in BROKEN else error_name(error))

    def wait_unread(self, sock, count):
        wait_for(lambda: unread(sock) >= count, f"{count} bytes to read", PATIENCE)

    def wait_sent(self, sock):
        wait_for(lambda: not outstanding(sock), "everything to be acknowledged", PATIENCE)

    def state(self, sock):
        return TCP_STATES[sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]]

    def wait_state(self, sock, *states):
        wait_for(lambda: self.state(sock) in states, f"TCP state {states}", PATIENCE)
        self.see("TCP_INFO state", self.state(sock))

    # ---- the wire -------------------------------------------------------------------------

    def capture(self):
        return Wire(self)


class Wire:
    """What the program's link carries to and from the case's ports."""

    def __init__(self, program):
        self.program = program
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        only_to_ports(self.socket, program.port(), program.port(program.case.PORTS - 1))
        self.socket.bind((program.host.interfaces[0], packets.ETH_P_ALL))
        self.socket.setblocking(False)
        self.seen = []

    def packets(self):
        """Those sent by this host to the other one, so far."""
        while True:
            try:
                frame = self.socket.recv(1 << 17)
            except BlockingIOError:
                break
            self.seen.append(packets.parse(frame))
        first, last = self.program.port(), self.program.port(self.program.case.PORTS - 1)
        own = self.program.own.values()
        return [p for p in self.seen if p and p.src[0] in own and first <= p.dst[1] <= last]

    def wait(self, condition, what):
        return wait_for(lambda: next(filter(condition, self.packets()), None), what, PATIENCE)


def only_to_ports(sock, first, last):
    """Lets a packet socket see TCP segments to these ports only: other cases share the link."""
    code = (
        (0x28, 0, 0, 12),  # ldh ethertype
        (0x15, 0, 3, 0x0800),  # jeq IPv4
        (0xB1, 0, 0, 14),  # ldxb length of the IPv4 header
        (0x48, 0, 0, 16),  # ldh [x + destination port]
        (0x05, 0, 0, 2),  # ja to the comparison
        (0x15, 0, 4, 0x86DD),  # jeq IPv6, or reject
        (0x28, 0, 0, 56),  # ldh destination port
        (0x35, 0, 2, first),  # jge, or reject
        (0x25, 1, 0, last),  # jgt: reject
        (0x06, 0, 0, 0xFFFFFFFF),  # accept
        (0x06, 0, 0, 0),  # reject
    )
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    fprog = struct.pack("HL", len(code), ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)


def unread(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0\0\0\0"))[0]


def outstanding(sock):
    return struct.unpack("i", fcntl.ioctl(sock, SIOCOUTQ, b"\0\0\0\0"))[0]


def at_mark(sock):
    return struct.unpack("i", fcntl.ioctl(sock, 0x8905, b"\0\0\0\0"))[0]


def linger_zero(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset(sock):
    """close() that sends a RST."""
    linger_zero(sock)
    sock.close()


def disconnect(sock):
    """connect() to AF_UNSPEC, which Python has no words for."""
    address = struct.pack("H14x", socket.AF_UNSPEC)
    if libc.connect(sock.fileno(), address, len(address)):
        raise OSError(ctypes.get_errno(), "connect")


def output(args):
    return subprocess.run(args, capture_output=True, text=True, check=True).stdout


def run_program(function, program):
    """The body of a program's process; gives its transcript."""

    def over(number, frame):
        raise Stuck("out of time")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(PATIENCE)
    with open(program.host.path) as namespace:
        setns(namespace)
    try:
        function(program)
        program.see("done")
    except OSError as error:
        # The harness's TimeoutError has no number: what it waited for did not come.
        if error.errno:
            program.see("ended by", error)
        else:
            program.see("stuck", str(error))
    except (Stuck, EOFError) as error:
        program.see("stuck", str(error))
    except Exception as error:  # pylint: disable=broad-exception-caught
        program.see("broken case", f"{type(error).__name__} {error}")
    return program.lines
