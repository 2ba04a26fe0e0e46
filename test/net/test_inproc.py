#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: processes that share connections, plain peers, the guard, what is refused."""
import os
import shutil
import subprocess
import sys

from apps import Server, echo, url
from harness import TCPCRYPT, Net, check, check_equal, main, wait_for
from inproc import LIBRARY, RAW_WRITER, SECRET, V4, Pair, as_user, each_role, loaded
from packets import Capture


ASYNC_SERVER = """
import asyncio
async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 7001)
    await server.serve_forever()
asyncio.run(main())
"""
ASYNC_CLIENT = """
import asyncio, os, sys
async def talk(size):
    reader, writer = await asyncio.open_connection(sys.argv[1], 7001)
    data = os.urandom(size)
    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()
    sending = asyncio.create_task(send())
    got = await reader.read(-1)
    await sending
    writer.close()
    return got == data
async def main():
    print(all(await asyncio.gather(*(talk(s) for s in [1, 1000, 3000000] * 10))))
asyncio.run(main())
"""


def python_asyncio():
    def body(pair, name):
        pair.b.start(pair.server([sys.executable, "-c", ASYNC_SERVER]))
        pair.b.wait_listening(7001)
        done = pair.a.run(pair.client([sys.executable, "-c", ASYNC_CLIENT, pair.b.addresses[V4]]))
        check_equal(done.stdout.strip(), "True", f"{name}: 30 connections echo what they got")
        pair.check_carried(name, 7001)

    each_role("asyncio", body)


FORKING_SERVER = """
import os, signal, socket
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("0.0.0.0", 7002))
while True:
    sock, _ = listener.accept()
    if os.fork():
        sock.close()
        continue
    listener.close()
    sock.sendall(b"child speaks first\\n")
    data = b""
    while more := sock.recv(4096):
        data += more
        if data.endswith(b"\\n"):
            break
    # Another process goes on where this one stops.
    if os.fork():
        os._exit(0)
    sock.sendall(b"grandchild got " + data)
    break
"""


def fork_after_accept():
    def body(pair, name):
        pair.b.start(pair.server([sys.executable, "-c", FORKING_SERVER]))
        pair.b.wait_listening(7002)
        client = ("import socket,sys\ns=socket.create_connection((sys.argv[1],7002))\n"
                  "f=s.makefile('rwb',buffering=0)\na=f.readline()\ns.sendall(b'hello\\n')\n"
                  "print(a, f.readline(), f.read())")
        for _ in range(5):
            done = pair.a.run(pair.client([sys.executable, "-c", client, pair.b.addresses[V4]]))
            check_equal(done.stdout.strip(),
                        str(b"child speaks first\n") + " " + str(b"grandchild got hello\n") + " b''",
                        f"{name}: three processes share a connection")
        pair.check_carried(name, 7002)

    each_role("fork after accept", body)


# Its listener outlives it; what it accepted does not, but goes on here.
REPLACED_SERVER = """
import os, socket, sys
if len(sys.argv) == 1:
    listener = socket.create_server(("0.0.0.0", 7006))
    os.set_inheritable(listener.fileno(), True)
    os.execve(sys.executable, [*sys.orig_argv, str(listener.fileno())], {})
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    sock, _ = listener.accept()
    data = sock.recv(100)
    if not os.fork():
        for path in ("/no/such/program", "/bin/true"):
            try:
                os.execv(path, [path])
            except FileNotFoundError:
                pass
    os.wait()
    sock.sendall(data)
    sock.close()
"""


def replaced():
    """execve(): listeners go on encrypting, and connections of other processes end well."""

    def body(pair, name):
        pair.b.start(pair.server([sys.executable, "-c", REPLACED_SERVER]))
        pair.b.wait_listening(7006)
        client = ("import socket,sys\ns=socket.create_connection((sys.argv[1],7006))\n"
                  "s.sendall(sys.argv[2].encode())\nprint(s.makefile('r').read())")
        args = [sys.executable, "-c", client, pair.b.addresses[V4], SECRET.decode()]
        for _ in range(3):
            out = pair.a.run(pair.client(args)).stdout
            check_equal(out.strip(), SECRET.decode().strip(), f"{name}: what was sent, and the end")
        pair.check(name, 7006)

    each_role("execve()", body, plain=False)


PARENTS_SERVER = """
import socket
late, soon = (socket.create_server(("0.0.0.0", port)) for port in (7007, 7008))
def serve(listener):
    sock, _ = listener.accept()
    sock.sendall(sock.recv(100))
    sock.close()
while True:
    serve(soon)
    serve(late)
"""
PARENTS_CLIENT = """
import os, socket, sys
mine = socket.create_connection((sys.argv[1], 7007))
if os.fork():
    mine.close()
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
own = socket.create_connection((sys.argv[1], 7008))
own.sendall(b"own")
print(own.recv(100))
mine.sendall(b"parent's")
print(mine.recv(100))
"""


def parents():
    """A forked process makes a connection while the keys of its parent's are not there yet."""

    def body(pair, name):
        pair.b.start(pair.server([sys.executable, "-c", PARENTS_SERVER]))
        for port in (7007, 7008):
            pair.b.wait_listening(port)
        args = [sys.executable, "-c", PARENTS_CLIENT, pair.b.addresses[V4]]
        out = pair.a.run(pair.client(args), timeout=40).stdout
        check_equal(out, "b'own'\nb\"parent's\"\n", f"{name}: both have their keys")

    each_role("a parent's connection", body, plain=False)


CLOSING_CLIENT = """
import os, signal, socket, sys, threading
stop = False
def connect_close():
    while not stop:
        sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
        sock.sendall(b"hello")
        sock.recv(5)
        sock.close()
threads = [threading.Thread(target=connect_close) for _ in range(3)]
for thread in threads:
    thread.start()
ends = set()
for _ in range(300):
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        for _ in range(16):
            os.read(os.open("/dev/zero", os.O_RDONLY), 1)
        os.kill(os.getpid(), signal.SIGKILL)
    ends.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
stop = True
for thread in threads:
    thread.join()
print(ends)
"""


def fork_while_closing():
    """The child of a process that was closing connections may use the descriptors' numbers."""
    with Net() as net:
        pair = Pair(net, "client")
        with Server(pair.b, echo) as server:
            args = [sys.executable, "-c", CLOSING_CLIENT, pair.b.addresses[V4], server.port]
            out = pair.a.run(pair.client(args), timeout=120).stdout
            check_equal(out, "{-9}\n", "300 children, and none waits for a close() of its parent's")


URING_SERVER = """
import ctypes, socket
listener = socket.create_server(("0.0.0.0", 7009))
# io_uring_setup(), which may fail: it is enough that it was asked for.
ctypes.CDLL(None).syscall(ctypes.c_long(425), ctypes.c_long(4), ctypes.create_string_buffer(120))
while True:
    sock, _ = listener.accept()
    sock.sendall(sock.recv(100))
    sock.close()
"""


def rings():
    """A program that asks for io_uring after listen() serves the connections that it accepts."""

    def body(pair, name):
        pair.b.start(pair.server([sys.executable, "-c", URING_SERVER]))
        pair.b.wait_listening(7009)
        client = ("import socket,sys\ns=socket.create_connection((sys.argv[1],7009))\n"
                  "s.sendall(sys.argv[2].encode())\nprint(s.recv(100).decode())")
        args = [sys.executable, "-c", client, pair.b.addresses[V4], SECRET.decode()]
        for _ in range(2):
            check_equal(pair.a.run(pair.client(args)).stdout.strip(), SECRET.decode().strip(),
                        f"{name}: an answer")
        pair.check(name, 7009)

    each_role("io_uring", body, plain=False)


READY_SERVER = """
import select, socket
listener = socket.create_server(("0.0.0.0", 7004))
while True:
    sock, _ = listener.accept()
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    count = 0
    try:
        while True:
            if count % 2:
                poll.poll()
            else:
                select.select([sock], [], [])
            data = sock.recv(1000)
            count += 1
            if not data:
                break
            sock.setblocking(True)
            sock.sendall(data)
            sock.setblocking(False)
    except BlockingIOError:
        print("EAGAIN")
    sock.close()
"""
READY_CLIENT = """
import select, socket, sys
def ask(pause, size):
    sock = socket.create_connection((sys.argv[1], 7004))
    select.select([sock], [], [], pause)
    sock.sendall(bytes(size))
    sock.shutdown(socket.SHUT_WR)
    return len(sock.makefile("rb").read()) == size
print(all([ask(n % 2 * .02, 1 + n * 5000) for n in range(30)]))
"""


def readiness():
    """Who reads when poll() or select() says so does not meet EAGAIN."""

    def body(pair, name):
        pair.b.start(pair.server([sys.executable, "-c", READY_SERVER]))
        pair.b.wait_listening(7004)
        done = pair.a.run(pair.client([sys.executable, "-c", READY_CLIENT, pair.b.addresses[V4]]))
        check_equal(done.stdout.strip(), "True", f"{name}: what is readable can be read")

    each_role("readiness", body, plain=False)


BY_NUMBER = """
import ctypes, os, platform, socket, sys
close = {"x86_64": 3}.get(platform.machine(), 57)
call = ctypes.CDLL(None).syscall
listener = socket.create_server(("0.0.0.0", 7005))
while True:
    sock, _ = listener.accept()
    sock.recv(100)
    sock.sendall(bytes(1000000))
    call(close, sock.detach())
"""


def closed_by_number():
    """A system call that is made by its number ends a connection as well as close() does."""

    def body(pair, name):
        pair.b.start(pair.server([sys.executable, "-c", BY_NUMBER]))
        pair.b.wait_listening(7005)
        client = ("import socket,sys\ns=socket.create_connection((sys.argv[1],7005))\n"
                  "s.sendall(b'x')\nprint(len(s.makefile('rb').read()))")
        for _ in range(5):
            done = pair.a.run(pair.client([sys.executable, "-c", client, pair.b.addresses[V4]]))
            check_equal(done.stdout.strip(), "1000000", f"{name}: all bytes, then the end")

    each_role("closed by number", body, plain=False)


# Connects to a plain server, again and again, and says for how many connections the socket was marked:
# ENODATA or ESTALE are the engine's answers, to who is marked and who is not.
REPEATER = """
import errno, os, socket, sys, time
to = (sys.argv[1], int(sys.argv[2]))
def connect(wish=False):
    sock = socket.socket()
    if wish:
        sock.setsockopt(socket.IPPROTO_TCP, 1026, 1)
    sock.connect(to)
    try:
        sock.getsockopt(socket.IPPROTO_TCP, 1060, 512)
        answer = "asked"
    except OSError as e:
        answer = errno.errorcode[e.errno]
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    return answer
connect()
for _ in range(3):
    print(connect())
end = time.monotonic() + 20
while connect() != "ENODATA" and time.monotonic() < end:
    pass
print("asked again" if time.monotonic() < end else "never")
print(connect())
child = os.fork()
if not child:
    print(connect(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(connect(wish=True))
print(connect())
"""


def plain_again():
    """What the engine knows as plain the library does not ask for, for a second; not if the program
    has wishes, which overrule that."""
    with Net() as net:
        a, b = net.pair()
        net.daemon(a, options=["--engine-only"])
        with Server(b, echo) as server:
            args = [sys.executable, "-c", REPEATER, b.addresses[V4], server.port]
            said = a.run(loaded(args)).stdout.split("\n")
            check_equal(said[:3], ["ENODATA", "ESTALE", "ESTALE"], "marked once, then not")
            check_equal(said[3:5], ["asked again", "ESTALE"], "and again when a second is over")
            check_equal(said[5], "ENODATA", "a child asks for itself")
            check_equal(said[6], "asked", "who wants encryption is asked for it")
            check_equal(said[7], "ENODATA", "and from then on nothing is left out")


def plain_peer():
    """Programs with the library talk to hosts without tcpcrypt as if it were not there."""
    with Net() as net:
        a, b = net.pair()
        net.daemon(a)
        directory = net.directory()
        (directory / "x").write_bytes(SECRET)
        b.start([sys.executable, "-m", "http.server", "80", "-d", directory],
                stderr=subprocess.DEVNULL)
        b.wait_listening(80)
        args = ["curl", "-q", "--noproxy", "*", "-sS", url(b.addresses[V4], "x")]
        for i in range(3):
            check_equal(a.run(loaded(args)).stdout.encode(), SECRET, f"plain connection {i + 1}")


def engine_only():
    """Without the proxy other programs are left alone."""
    with Net() as net:
        a, b = net.pair()
        for host in (a, b):
            log = net.daemon(host, options=["--engine-only"]).log()
            check("engine only" in log and "intercepting" not in log, "the log says so", log)
        directory = net.directory()
        (directory / "x").write_bytes(SECRET)
        args = [sys.executable, "-m", "http.server", "-d", directory]
        b.start(loaded([*args, "80"]), stderr=subprocess.DEVNULL)
        b.wait_listening(80)
        for name, wrap, readable in (("in-process", loaded, False), ("other programs", list, True)):
            with Capture(a, a.interfaces[0]) as capture:
                command = ["curl", "-q", "--noproxy", "*", "-sS", url(b.addresses[V4], "x")]
                check_equal(a.run(wrap(command)).stdout.encode(), SECRET, f"{name}: transfer")
                check_equal(capture.contains(SECRET), readable, f"{name}: readable on the wire")


WISHER = """
import socket, sys
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, 1042, b"\\0\\x10")
s.settimeout(20)
s.connect((sys.argv[1], int(sys.argv[2])))
s.sendall(b"x")
print(s.recv(1))
"""


def wishes():
    """A program's own choice of ciphers (TCP_CRYPT_ACONF) holds in this mode, too."""
    with Net() as net:
        pair = Pair(net, "client")
        with Server(pair.b, echo) as server:
            args = [sys.executable, "-c", WISHER, pair.b.addresses[V4], server.port]
            check_equal(pair.a.run(loaded(args)).stdout.strip(), "b'x'", "wished cipher: it works")
            found = pair.db.wait_list(port=server.port, encrypted=True)
            check_equal(found[0]["aead"], "chacha20-poly1305", "wished cipher: it is used")


def guard():
    """What is written past the library never leaves, and the connection ends."""
    with Net() as net:
        pair = Pair(net, "both")
        server = ("import socket\nl=socket.create_server(('0.0.0.0',7003))\nwhile True:\n"
                  "    s,_=l.accept()\n    try: print(s.recv(100),flush=True)\n"
                  "    except OSError as e: print(e,flush=True)\n")
        # The server's own library is not loaded: its listener is the proxy's.
        pair.b.start([sys.executable, "-c", server], stdout=subprocess.DEVNULL)
        pair.b.wait_listening(7003)
        text = SECRET.decode()
        out = pair.a.run([sys.executable, "-c", RAW_WRITER, pair.b.addresses[V4], "7003", text]).stdout
        check_equal(out.strip(), "error 103", "the connection is aborted")
        pair.check_secret("guard")
        wait_for(lambda: "wrote past the library" in pair.da.log(), "the daemon's word about it")


def own_names():
    """A program that stands in front of the C library itself, with what the library calls, too."""
    with Net() as net:
        pair = Pair(net, "client")
        server = net.use(Server(pair.b, echo))
        args = [os.environ["OWN_NAMES"], pair.b.addresses[V4], server.port, SECRET.decode()]
        done = pair.a.run(pair.client(args), check=False, timeout=30)
        check_equal(done.stdout, SECRET.decode() + "handled\n0\n1\n",
                    "own names: it hears the answer, and is the first to use libsodium")
        check_equal(done.returncode, 0, "own names: and ends well")
        pair.check("own names", server.port)


# As proftpd does: the main thread keeps capabilities that other threads lose, to become root again for a moment.
CAPABLE = """
import ctypes, os, socket, struct, sys, time
libc = ctypes.CDLL(None)
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"one")
s.recv(3)
time.sleep(.01)
PR_SET_KEEPCAPS, CAP_SETUID = 8, 7
if sys.argv[3] == "keeps": libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
os.setresuid(-1, 65534, 0)
os.setresuid(-1, 0, -1)
head, own = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[1 << CAP_SETUID] * 2, *[0] * 4)
if sys.argv[3] == "keeps": os.setresuid(65534, 65534, 65534)
assert not libc.capset(head, own)
os.setresuid(-1, 65534, -1)
os.setresuid(-1, 0 if sys.argv[3] == "keeps" else 65534, -1)
s.sendall(b"two")
print(s.recv(3), {t: open(f"/proc/self/task/{t}/status").read().split("CapPrm:")[1].split()[0]
                  for t in os.listdir("/proc/self/task")}.values())
"""


def capabilities():
    """What the program's thread gives up or keeps, the helper does."""
    for how in ("drops", "keeps"):
        with Net() as net:
            pair = Pair(net, "client")
            server = net.use(Server(pair.b, echo))
            args = [sys.executable, "-c", CAPABLE, pair.b.addresses[V4], server.port, how]
            done = pair.a.run(pair.client(args), check=False)
            check_equal((done.returncode, done.stdout),
                        (0, "b'two' dict_values(['0000000000000080', '0000000000000080'])\n"),
                        f"capabilities, {how}: it goes on, with as much as it asked for")
            pair.check_carried("capabilities", server.port)


SSHD_CONF = """
Port 2222
HostKey {dir}/key
AuthorizedKeysFile {dir}/key.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
"""


def confined():
    """sshd would be killed by its own sandbox: `run` refuses; started by a shell it does without the library."""
    with Net() as net:
        pair = Pair(net, "client")
        directory = net.directory()
        key = directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        (directory / "conf").write_text(SSHD_CONF.format(dir=directory))
        os.makedirs("/run/sshd", exist_ok=True)
        sshd = f"/usr/sbin/sshd -De -f {directory}/conf"
        done = pair.b.run(loaded(sshd.split(), pair.db), check=False)
        check("seccomp" in done.stderr and done.returncode == 1, "run refuses: sshd", done)
        with open(directory / "log", "w") as log:
            pair.b.start(loaded(["sh", "-c", f"exec {sshd}"], pair.db), stderr=log)
        pair.b.wait_listening(2222)
        ssh = ["ssh", "-F", "none", "-i", key, "-p", 2222, "-o", "StrictHostKeyChecking=no", "-o",
               f"UserKnownHostsFile={directory}/known", "-o", "BatchMode=yes"]
        done = pair.a.run(pair.client([*ssh, f"root@{pair.b.addresses[V4]}", "cat"]),
                          input="through it\n", check=False)
        check_equal(done.stdout, "through it\n", "sshd in a shell that has the library")
        pair.check_carried("sshd", 2222)


def refusals():
    """`run` says what it cannot serve before it starts it."""
    with Net() as net:
        a, _ = net.pair()
        done = a.run(loaded(["true"]), check=False)
        check("no engine" in done.stderr and done.returncode == 1, "--require without an engine", done)
        library = f"TCPCRYPT_INPROC_LIBRARY={LIBRARY}"
        done = a.run(["env", library, TCPCRYPT, "run", "echo", "plain"], check=False)
        check("plain" in done.stderr and done.stdout == "plain\n", "without it says so once", done)
        net.daemon(a)
        go = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True).stdout.strip()
        for program, why in (("/usr/bin/passwd", "setuid"), (f"{go}/bin/go", "Go program")):
            done = a.run(loaded([program]), check=False)
            check(why in done.stderr and done.returncode == 1, f"run refuses: {why}", done)
        # ld.so starts programs without a library that it cannot preload.
        spaced = shutil.copy(LIBRARY, net.directory() / "with space.so")
        for path, why in ((spaced, "a space"), (__file__, "no shared library")):
            for option, printed in (("--require", ""), ("--", "plain\n")):
                done = a.run(["env", f"TCPCRYPT_INPROC_LIBRARY={path}", TCPCRYPT, "run", option, "echo",
                              "plain"], check=False)
                check(why in done.stderr and done.stdout == printed, f"run {option}: {why}", done)
        # As some distributions install sudo.
        unread = shutil.copy("/usr/bin/id", net.directory() / "id")
        unread.chmod(0o4111)
        done = a.run(as_user("65534", loaded([unread])), check=False)
        check("setuid" in done.stderr and done.returncode == 1, "run refuses: setuid, unreadable", done)


if __name__ == "__main__":
    main(
        "in-process mode: what programs share, what stays plain, what is held or refused",
        python_asyncio,
        fork_after_accept,
        replaced,
        parents,
        fork_while_closing,
        rings,
        readiness,
        closed_by_number,
        plain_peer,
        plain_again,
        engine_only,
        wishes,
        guard,
        own_names,
        capabilities,
        confined,
        refusals,
    )
