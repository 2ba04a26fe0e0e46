# SPDX-License-Identifier: BSD-2-Clause
"""libtcpcrypt's socket objects for tests: <tcpcrypt/socket.h> as Python sees it."""
import ctypes
import os
import select
import socket
import struct

AGAIN, EOF = 1, 2
BAD_MAGIC, BAD_FRAME, AUTH, TRUNCATED, AFTER_FIN = -1, -6, -7, -8, -9
STATE, ARGUMENT, SYSTEM, PLAIN, NO_ENGINE = -24, -25, -40, -41, -42
REASONS = ("ok", "no-eno", "ill-formed", "vacuous", "role-conflict", "not-app-aware",
           "no-common-tep", "ack-without-eno", "syn-retries", "syn-cookie", "left-alone",
           "no-engine")
STATES = ("new", "listening", "connecting", "exchanging", "encrypted", "plain", "failed")

Pointer = ctypes.c_void_p
Size = ctypes.c_size_t


class Params(ctypes.Structure):
    _fields_ = [
        ("size", Size), ("require", ctypes.c_bool), ("app_aware", ctypes.c_bool),
        ("app_aware_mandatory", ctypes.c_bool), ("teps", ctypes.c_char_p), ("n_teps", Size),
        ("aeads", ctypes.POINTER(ctypes.c_uint16)), ("n_aeads", Size),
        ("rekey_bytes", ctypes.c_uint64),
    ]


class Info(ctypes.Structure):
    _fields_ = [
        ("size", Size), ("state", ctypes.c_int), ("reason", ctypes.c_int), ("error", ctypes.c_int),
        ("peer_app_aware", ctypes.c_bool), ("resumed", ctypes.c_bool), ("role", ctypes.c_int),
        ("tep", ctypes.c_uint8), ("aead", ctypes.c_uint16), ("session_id", Pointer),
        ("local_generation", ctypes.c_uint64), ("remote_generation", ctypes.c_uint64),
    ]


def load():
    lib = ctypes.CDLL(os.environ["LIBTCPCRYPT"], use_errno=True)
    signatures = {
        "new": (Pointer, ctypes.c_int, Pointer, Pointer),
        "connect": (ctypes.c_int, Pointer, ctypes.c_char_p, ctypes.c_uint),
        "listen": (ctypes.c_int, Pointer, ctypes.c_int),
        "accept": (ctypes.c_int, Pointer, Pointer, Pointer, ctypes.c_int, Pointer),
        "read": (ctypes.c_int, Pointer, Pointer, Size, Pointer),
        "write": (ctypes.c_int, Pointer, ctypes.c_char_p, Size, Pointer),
        "events": (ctypes.c_short, Pointer, ctypes.c_short),
        "info": (None, Pointer, Pointer),
        "free": (None, Pointer),
    }
    for name in ("handshake", "flush", "shutdown", "close", "rekey", "fd", "take"):
        signatures[name] = (ctypes.c_int, Pointer)
    for name, (result, *arguments) in signatures.items():
        function = getattr(lib, f"tcpcrypt_socket_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


LIB = load() if "LIBTCPCRYPT" in os.environ else None


def call(name, *args):
    return getattr(LIB, f"tcpcrypt_socket_{name}")(*args)


class Failure(Exception):
    """A negative result, and the errno that came with it."""

    def __init__(self, error):
        super().__init__(error, os.strerror(ctypes.get_errno()))
        self.error, self.errno = error, ctypes.get_errno()


def sockaddr(family, address, port):
    if family == socket.AF_INET:
        return struct.pack("=HHs0s", family, socket.htons(port), b"", b"")[:4] + socket.inet_pton(
            family, address) + bytes(8)
    return struct.pack("=HHI", family, socket.htons(port), 0) + socket.inet_pton(
        family, address) + bytes(4)


class Sock:
    """A socket object; results as the library gives them, but failures raise."""

    def __init__(self, handle):
        self.handle = handle

    @classmethod
    def new(cls, host, family=socket.AF_INET, blocking=True, bind=None, aeads=(), **params):
        """bind: address and port."""
        sock = host.socket(family)
        sock.setblocking(blocking)
        if bind:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(bind)
        p = Params(size=ctypes.sizeof(Params), **params)
        if aeads:
            p.aeads, p.n_aeads = (ctypes.c_uint16 * len(aeads))(*aeads), len(aeads)
        error = ctypes.c_int()
        handle = call("new", sock.fileno(), ctypes.byref(p), ctypes.byref(error))
        if not handle:
            sock.close()
            raise Failure(error.value)
        sock.detach()
        return cls(handle)

    def call(self, name, *args):
        r = call(name, self.handle, *args)
        if r < 0:
            raise Failure(r)
        return r

    def connect(self, address, port, family=socket.AF_INET):
        to = sockaddr(family, address, port)
        return self.call("connect", to, len(to))

    def listen(self, backlog=64):
        self.call("listen", backlog)
        return self

    def accept(self, blocking=True):
        """The next connection, or AGAIN."""
        handle = Pointer()
        flags = 0 if blocking else socket.SOCK_NONBLOCK
        r = self.call("accept", None, None, flags, ctypes.byref(handle))
        return r or Sock(handle)

    def read(self, size):
        """Bytes, AGAIN or EOF."""
        buffer, n = ctypes.create_string_buffer(size), Size()
        return self.call("read", buffer, size, ctypes.byref(n)) or buffer.raw[:n.value]

    def write(self, data):
        """How many bytes; zero for AGAIN."""
        n = Size()
        r = self.call("write", data, len(data), ctypes.byref(n))
        return 0 if r else n.value

    def read_to_end(self):
        data = bytearray()
        while (more := self.read(1 << 18)) != EOF:
            data += more
        return bytes(data)

    def info(self):
        info = Info(size=ctypes.sizeof(Info))
        call("info", self.handle, ctypes.byref(info))
        return info

    def state(self):
        return STATES[self.info().state]

    def reason(self):
        return REASONS[self.info().reason]

    def session_id(self):
        at = self.info().session_id
        return ctypes.string_at(at, 33).hex() if at else None

    def fd(self):
        return call("fd", self.handle)

    def option(self, level, name, value):
        """setsockopt() on the descriptor, which stays the library's."""
        with socket.socket(fileno=os.dup(self.fd())) as sock:
            sock.setsockopt(level, name, value)

    def wait(self, wanted=0, timeout=30):
        """poll() for what the library says."""
        poll = select.poll()
        poll.register(self.fd(), call("events", self.handle, wanted))
        if not poll.poll(timeout * 1000):
            raise TimeoutError("nothing to poll for came")

    def close(self):
        r = call("close", self.handle)
        if r != AGAIN:
            self.handle = None
        if r < 0:
            raise Failure(r)
        return r

    def free(self):
        call("free", self.handle)
        self.handle = None
