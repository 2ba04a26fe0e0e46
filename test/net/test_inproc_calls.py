#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode, call by call: socket options, urgent data, fast open, what is refused."""
import json
import os
import sys

from harness import Net, check, check_equal, main, wait_for
from inproc import V4, V6, Pair

PORT = 7020
SESSID, NEGTEP, PEER_GOPT, ROLE, SELF_NAME, PEER_NAME = 1027, 1028, 1031, 1034, 1035, 1036
TRANSCRIPT, STATE, CONF, RESUMED = 1038, 1039, 1040, 1044
ENCRYPTING, DISABLED = 2, 3

COMMON = """
import ctypes, errno, fcntl, json, os, socket, struct, sys, termios, time
TCP = socket.IPPROTO_TCP
libc = ctypes.CDLL(None, use_errno=True)
def get(s, option, size=0):
    try:
        value = s.getsockopt(TCP, option, size) if size else s.getsockopt(TCP, option)
        return value.hex() if size else value
    except OSError as e:
        return errno.errorcode[e.errno]
def put(s, level, option, value):
    try:
        s.setsockopt(level, option, value)
        return 0
    except OSError as e:
        return errno.errorcode[e.errno]
def tells(s):
    return {**{o: get(s, o, 128) for o in (1027, 1035, 1036, 1038, 1040)},
            **{o: get(s, o) for o in (1028, 1031, 1034, 1039, 1044)}}
def connected():
    family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    s = socket.socket(family)
    s.connect((sys.argv[1], int(sys.argv[2])))
    return s
"""
# Answers each word with what the options say at this end.
TELLER = COMMON + """
l = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    s, _ = l.accept()
    while s.recv(100):
        s.sendall(json.dumps(tells(s)).encode())
    s.close()
"""
ASKER = COMMON + """
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
before = tells(s)
s.connect((sys.argv[1], int(sys.argv[2])))
s.sendall(b"first")
other = json.loads(s.recv(10000))
mine = tells(s)
short = get(s, 1027, 32)
rekeyed = [put(s, TCP, 1045, 1), put(s, TCP, 1045, 2)]
late = [put(s, TCP, o, 1) for o in (1026, 1030)] + [put(s, TCP, 1033, 1)]
s.sendall(b"again")
again = json.loads(s.recv(10000))
s.close()
print(json.dumps([before, mine, other, short, rekeyed, late, again["1027"] == mine[1027]]))
"""


def begin(net, role, server, *args):
    pair = Pair(net, role)
    pair.b.start(pair.server([sys.executable, "-c", server, PORT, *args]))
    pair.b.wait_listening(PORT)
    return pair


def ask(pair, client, family=V4, *args):
    done = pair.a.run(pair.client([sys.executable, "-c", client, pair.b.addresses[family], PORT, *args]))
    return json.loads(done.stdout)


def options():
    """tcp_eno(7) answers at both ends as if the daemon carried the connection."""
    for family in (V4, V6):
        with Net() as net:
            pair = begin(net, "both", TELLER)
            before, mine, other, short, rekeyed, late, stays = ask(pair, ASKER, family)
            readable = {o: v for o, v in before.items() if int(o) != STATE}
            check_equal(set(readable.values()), {"ENOTCONN"}, "unconnected: nothing to read")
            check_equal(before[str(STATE)], 0, "unconnected: it says so")
            mine, other = ({int(o): v for o, v in end.items()} for end in (mine, other))
            check(len(mine[SESSID]) == 66 and mine[SESSID] == other[SESSID], "one session ID", mine)
            check_equal((mine[ROLE], other[ROLE]), (0, 1), "roles")
            check_equal((mine[SELF_NAME], mine[PEER_NAME]), (other[PEER_NAME], other[SELF_NAME]),
                        "names")
            check_equal(mine[TRANSCRIPT], other[TRANSCRIPT], "one transcript")
            check(mine[TRANSCRIPT].startswith("45"), "which begins with an option", mine)
            check_equal((mine[NEGTEP], mine[CONF]), (other[NEGTEP], other[CONF]), "TEP and AEAD")
            check_equal(mine[NEGTEP], int(mine[SESSID][:2], 16), "the session ID names the TEP")
            check_equal((mine[PEER_GOPT], other[PEER_GOPT]), (1, 0), "global suboptions")
            check_equal((mine[STATE], other[STATE], mine[RESUMED]), (ENCRYPTING, ENCRYPTING, 0), "state")
            check_equal(short, "EINVAL", "part of a session ID is none")
            check_equal(rekeyed, [0, "EINVAL"], "rekeying")
            check_equal(late, ["EISCONN", "EISCONN", 0], "too late for wishes, but one")
            check(stays, "and afterwards the session is the same")
            (listed,) = [c for c in pair.da.list(port=PORT) if c["session_id"]]
            check_equal(listed["session_id"], mine[SESSID], "which is the one that is listed")


PLAIN = COMMON + """
s = connected()
s.sendall(b"first")
print(json.dumps([s.recv(100).decode(), get(s, 1027, 33), get(s, 1039), put(s, TCP, 1033, 1),
                  errno.errorcode.get(s.connect_ex((sys.argv[1], int(sys.argv[2]))), 0)]))
"""
ECHO = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    s, _ = l.accept()
    try:
        while data := s.recv(65536):
            s.sendall(data)
    except OSError:
        pass
    s.close()
"""


def plain_peer():
    """Plain connections say that they are, and end when their program wants no such."""
    with Net() as net:
        pair = Pair(net, "client", plain=True)
        pair.b.start([sys.executable, "-c", ECHO, PORT])
        pair.b.wait_listening(PORT)
        echoed, session, state, set_late, again = ask(pair, PLAIN)
        check_equal(echoed, "first", "it works")
        check_equal((session, state & 255, state >> 8), ("EINVAL", DISABLED, 1), "no session, and why")
        check_equal(set_late, 0, "TCP_ENO_TEP_MANDATORY ends it")
        check(again != "EISCONN", "it is not connected any more", again)


THREADED_ECHO = """
import contextlib, socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(65536):
                self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server(("0.0.0.0", int(sys.argv[1])), Echo).serve_forever()
"""
INHERITED = COMMON + """
import select, subprocess
def flag(s):
    return fcntl.fcntl(s, fcntl.F_GETFD)
def passes(s):
    return not subprocess.run(["/bin/sh", "-c", f"echo -n child >&{s.fileno()}"], close_fds=False,
                              stderr=subprocess.DEVNULL).returncode
def get(s, size):
    return s.recv(size, socket.MSG_WAITALL).decode()
to = sys.argv[1], int(sys.argv[2])
def waiting(s):
    s.connect(to)
def polling(s):
    s.setblocking(False)
    s.connect_ex(to)
    during = flag(s)
    select.select([], [s], [])
    s.setblocking(True)
    return during
def told_later(s):
    s.set_inheritable(False)
    s.connect_ex(to)
    s.set_inheritable(True)
told = []
for way in waiting, polling, told_later:
    s = socket.socket()
    s.set_inheritable(True)
    told += [way(s) or 0, flag(s), passes(s) and get(s, 5)]
s = socket.socket()
s.set_inheritable(True)
failed = s.connect_ex((to[0], 1))
print(json.dumps([told, [failed != 0, flag(s), passes(s)]]))
"""
INHERITED_ENCRYPTED = COMMON + """
import subprocess
def passes(s):
    return not subprocess.run(["/bin/sh", "-c", f"echo -n child >&{s.fileno()}"], close_fds=False,
                              stderr=subprocess.DEVNULL).returncode
s = socket.socket()
s.set_inheritable(True)
s.connect((sys.argv[1], int(sys.argv[2])))
told = [fcntl.fcntl(s, fcntl.F_GETFD), passes(s), s.recv(5, socket.MSG_WAITALL).decode()]
s.set_inheritable(False)
print(json.dumps([*told, fcntl.fcntl(s, fcntl.F_GETFD), passes(s)]))
"""


def inherited():
    """Connections live on in a child if the program wants that."""
    with Net() as net:
        pair = Pair(net, "client", plain=True)
        pair.b.start([sys.executable, "-c", THREADED_ECHO, PORT])
        pair.b.wait_listening(PORT)
        told, failed = ask(pair, INHERITED)
        check_equal(told, [0, 0, "child"] * 3, "plain: close-on-exec as it was set, and a child writes")
        check_equal(failed[:2], [True, 0], "not connected: as it was set")
    with Net() as net:
        pair = begin(net, "both", ECHO)
        check_equal(ask(pair, INHERITED_ENCRYPTED), [0, True, "child", 1, False],
                    "encrypted: close-on-exec as it was set, and a child writes")


REFUSED = COMMON + """
s = connected()
s.sendall(b"x" * 1000)
got = s.recv(1000, socket.MSG_WAITALL)
def lio():
    class aiocb(ctypes.Structure):
        _fields_ = [("fildes", ctypes.c_int), ("rest", ctypes.c_char * 256)]
    cb = aiocb(fildes=s.fileno())
    r = libc.lio_listio(0, (ctypes.POINTER(aiocb) * 1)(ctypes.pointer(cb)), 1, None)
    return r, errno.errorcode.get(ctypes.get_errno())
def zero_copy():
    try:
        return s.getsockopt(TCP, 35, 40).hex()
    except OSError as e:
        return errno.errorcode[e.errno]
def error_queue():
    try:
        return len(s.recvmsg(100, 100, socket.MSG_ERRQUEUE)[0])
    except OSError as e:
        return errno.errorcode[e.errno]
answers = [put(s, TCP, 31, b"tls"), put(s, socket.SOL_SOCKET, 42, 0), zero_copy(), lio(), error_queue()]
low = [put(s, socket.SOL_SOCKET, socket.SO_RCVLOWAT, 7), s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)]
s.sendall(b"y" * 1000)
outq = struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"0000"))[0]
print(json.dumps([len(got), answers, low, len(s.recv(1000, socket.MSG_WAITALL)), outq >= 0]))
"""


def refused():
    """What would see frames instead of bytes is refused, and the connection lives on."""
    with Net() as net:
        pair = begin(net, "both", ECHO)
        got, answers, low, more, counted = ask(pair, REFUSED)
        check_equal(answers, ["ENOENT", "ENOTSUP", "ENOTSUP", [-1, "ENOTSUP"], "EAGAIN"],
                    "TLS, peek offset, pages, aio; no errors are queued")
        check_equal(low, [0, 7], "SO_RCVLOWAT reads as it was written")
        check_equal((got, more, counted), (1000, 1000, True), "it lives")
        pair.check_carried("refused", PORT)


CLOSER = COMMON + """
import tempfile
def talk():
    s = connected()
    s.sendall(b"word")
    got = s.recv(4, socket.MSG_WAITALL).decode()
    s.close()
    return got
talked = [talk()]
file = tempfile.TemporaryFile()
def all_of(close):
    descriptors = {int(d) for d in os.listdir("/proc/self/fd")} - {0, 1, 2, file.fileno()}
    close(sorted(descriptors))
    # Whatever number is free by now is the file's.
    mine = [fcntl.fcntl(file, fcntl.F_DUPFD, 500) for _ in range(8)]
    talked.append(talk())
    for fd in mine:
        os.close(fd)
def singly(descriptors):
    for fd in descriptors:
        try:
            os.close(fd)
        except OSError:
            pass
def together(_):
    os.closerange(3, file.fileno())
    os.closerange(file.fileno() + 1, 1 << 20)
def over(descriptors):
    for fd in descriptors:
        if fd >= 500:
            os.dup2(file.fileno(), fd)
for close in singly, together, over:
    all_of(close)
print(json.dumps([talked, os.fstat(file.fileno()).st_size]))
"""


def closed_all():
    """A program closes all descriptors that there may be, and has its own files there."""
    with Net() as net:
        pair = begin(net, "both", ECHO)
        talked, size = ask(pair, CLOSER)
        check_equal(talked, ["word"] * 4, "connections afterwards")
        check_equal(size, 0, "nobody else writes to its file")
        wait_for(lambda: len(pair.da.list(port=PORT)) == 4, "the daemon to have heard of each")
        pair.check_carried("closed", PORT)


UNCOUNTED = COMMON + """
first = connected()
first.sendall(b"1")
told = [first.recv(1).decode()]
go, gone = os.pipe(), os.pipe()
pid = ctypes.PyDLL(None)._Fork()
if not pid:
    def tries(what, *args):
        try:
            return what(*args) and 0
        except OSError as e:
            return errno.errorcode[e.errno]
    first.sendall(b"2")
    os.write(gone[1], first.recv(1))
    os.read(go[0], 1)
    failed = [tries(first.send, b"no"), tries(first.recv, 1)]
    number = first.fileno()
    first.close()
    r, w = os.pipe()
    os.dup2(r, number)
    os.write(w, b"pipe")
    failed.append(os.read(number, 4).decode())
    os.write(gone[1], json.dumps(failed).encode())
    os.read(go[0], 1)
    os.kill(os.getpid(), 9)
told.append(os.read(gone[0], 1).decode())
first.sendall(b"3")
told.append(first.recv(1).decode())
first.close()
second = connected()
os.write(go[1], b"x")
failed = json.loads(os.read(gone[0], 100))
second.sendall(b"4")
told.append(second.recv(1).decode())
os.write(go[1], b"x")
os.waitpid(pid, 0)
second.sendall(b"5")
told.append(second.recv(1).decode())
print(json.dumps([told, failed]))
"""


def uncounted():
    """What a child that _Fork() made had from its parent is never another connection."""
    with Net() as net:
        pair = begin(net, "both", THREADED_ECHO)
        told, failed = ask(pair, UNCOUNTED)
        check_equal(told, list("12345"), "the parent's connections, and the child's while they are")
        check_equal(failed, ["EBADF", "EBADF", "pipe"], "afterwards the child has none")


def cancelled():
    """A thread that is cancelled in a call leaves the connection to the others."""
    with Net() as net:
        pair = begin(net, "both", ECHO)
        command = pair.client([os.environ["CANCELLED"], pair.b.addresses[V4], PORT])
        check_equal(pair.a.run(command).stdout, " before cancelled after\n", "another one goes on")
        pair.check_carried("cancelled", PORT)


URGENT_READER = """
import socket, sys
l = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s, _ = l.accept()
data = b""
while b"before" not in data:
    data += s.recv(100)
s.sendall(b"go")
while True:
    try:
        oob = s.recv(1, socket.MSG_OOB)
        break
    except OSError:
        pass
s.sendall(oob + b".")
"""
URGENT_WRITER = COMMON + """
s = connected()
s.sendall(b"before")
if len(sys.argv) <= 3: s.recv(2)
s.send(b"ug!", socket.MSG_OOB)
if len(sys.argv) > 3: s.recv(2)
print(json.dumps(s.recv(2, socket.MSG_WAITALL).decode()))
"""


def urgent():
    """What is sent urgently is urgent for a program behind a proxy."""
    with Net() as net:
        pair = begin(net, "client", URGENT_READER)
        check_equal(ask(pair, URGENT_WRITER), "!.", "the last byte is urgent data")
    with Net() as net:
        pair = begin(net, "client", URGENT_READER)
        check_equal(ask(pair, URGENT_WRITER, V4, "early"), "!.", "so it is before there are keys")


FAST = COMMON + """
s = socket.socket()
n = s.sendto(b"first", socket.MSG_FASTOPEN, (sys.argv[1], int(sys.argv[2])))
print(json.dumps([n, s.recv(5, socket.MSG_WAITALL).decode()]))
"""


def fast_open():
    """MSG_FASTOPEN connects and sends, without data in the SYN."""
    with Net() as net:
        pair = begin(net, "both", ECHO)
        check_equal(ask(pair, FAST), [5, "first"], "it connects and sends")
        syns = [p for p in pair.capture.packets() if p.flags & 2]
        check(syns and not any(p.payload for p in syns), "no data goes in the SYN")
        pair.check_carried("fast open", PORT)


if __name__ == "__main__":
    main(
        "in-process mode: single calls, what they answer and what is refused",
        options,
        plain_peer,
        inherited,
        refused,
        closed_all,
        uncounted,
        cancelled,
        urgent,
        fast_open,
    )
