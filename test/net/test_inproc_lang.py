#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode with the runtimes of languages: Python, Node.js, OpenJDK."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

from harness import check, check_equal, main
from inproc import SECRET, V4, each_role

HERE = pathlib.Path(__file__).resolve().parent

# ---- Python ----------------------------------------------------------------------------------

# Every way that its sockets have of reading and writing; three processes accept.
PYTHON_SERVER = """
import os, socket
listener = socket.create_server(("0.0.0.0", 7040))
for _ in range(2):
    if not os.fork():
        break
while True:
    sock, _ = listener.accept()
    with sock, sock.makefile("rb") as file:
        while head := file.readline():
            data = file.read(int(head))
            sock.sendall(b"%d %d\\n" % (os.getpid(), len(data)))
            sock.sendmsg([memoryview(data)[:len(data) // 2]])
            done = len(data) // 2
            while done < len(data):
                done += sock.send(data[done:])
"""
PYTHON_CLIENT = """
import select, socket, sys, tempfile
data = sys.argv[2].encode() * 20000
pids = set()

def read_all(sock, length):
    got = bytearray(length)
    view = memoryview(got)
    while view:
        if sock.gettimeout() == 0:
            select.select([sock], [], [], 20)
        n = sock.recv_into(view)
        if not n:
            raise EOFError
        view = view[n:]
    return bytes(got)

def head(sock):
    text = b""
    while not text.endswith(b"\\n"):
        select.select([sock], [], [], 20)
        peeked = sock.recv(100, socket.MSG_PEEK)
        n = peeked.find(b"\\n") + 1 or len(peeked)
        text += read_all(sock, n)
    pid, length = text.split()
    pids.add(pid)
    return int(length)

def send_file(sock, part):
    with tempfile.TemporaryFile() as file:
        file.write(part)
        file.seek(0)
        sock.sendfile(file)

def send_whole(sock, part):
    sock.sendall(part)

good = []
for n in range(12):
    with socket.create_connection((sys.argv[1], 7040)) as sock:
        for i, send in enumerate([send_whole, send_file] * 2):
            part = data[:len(data) >> (n % 4) * 4]
            sock.settimeout([None, 20][i // 2])
            sock.sendall(b"%d\\n" % len(part))
            send(sock, part)
            sock.setblocking(i % 2 == 0)
            good.append(head(sock) == len(part) and read_all(sock, len(part)) == part)
print(all(good), len(good))
"""


def python_sockets():
    def body(pair, name):
        pair.b.start(pair.server([sys.executable, "-c", PYTHON_SERVER]))
        pair.b.wait_listening(7040)
        args = [sys.executable, "-c", PYTHON_CLIENT, pair.b.addresses[V4], SECRET.decode()]
        out = pair.a.run(pair.client(args)).stdout
        check_equal(out.strip(), "True 48", f"{name}: 48 pieces of data come back")
        pair.check(name, 7040)

    each_role("Python", body)


# ---- Node.js ---------------------------------------------------------------------------------


def node_talk(pair, name, what, processes):
    pair.b.start(pair.server(["node", HERE / "echo.js", what]))
    for port in (7030, 7031):
        pair.b.wait_listening(port)
    args = ["node", HERE / "echo.js", "client", pair.b.addresses[V4], SECRET.decode()]
    out = pair.a.run(pair.client(args)).stdout.splitlines()
    check_equal(out[:2], ["streams true", "http true"], f"{name}: all that was sent comes back")
    check(int(out[2].split()[1]) in processes, f"{name}: as many processes as should", out[2])
    for port in (7030, 7031):
        pair.check(name, port)


def node():
    each_role("node", lambda pair, name: node_talk(pair, name, "server", [1]))


def node_share():
    """Processes that share a listener, which the first has sent to them."""
    each_role("node share", lambda pair, name: node_talk(pair, name, "share", [1, 2]))


def node_cluster():
    """The first process accepts, and sends each connection to one of the others."""
    each_role("node cluster", lambda pair, name: node_talk(pair, name, "pass", [1, 2]))


# ---- OpenJDK ---------------------------------------------------------------------------------


def java():
    compiler = shutil.which("javac") or shutil.which("ecj")
    check(compiler, "a Java compiler is here (tools/install-deps)")
    with tempfile.TemporaryDirectory(prefix="tct-java-") as classes:
        args = [compiler, "-nowarn", "-proc:none", "-source", "11", "-target", "11", "-d", classes]
        subprocess.run([*args, HERE / "Echo.java"], check=True, capture_output=True)
        # Small and quick to start.
        jvm = ["java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx256m", "-cp", classes, "Echo"]
        each_role("OpenJDK", lambda pair, name: java_talk(pair, name, jvm))


def java_talk(pair, name, jvm):
    pair.b.start(pair.server([*jvm, "server"]))
    for port in (7020, 7021, 7022):
        pair.b.wait_listening(port)
    out = pair.a.run(pair.client([*jvm, "client", pair.b.addresses[V4], SECRET.decode()])).stdout
    expected = ["streams true", "channels true", "http true"]
    check_equal(out.splitlines(), expected, f"{name}: all that was sent comes back")
    for port in (7020, 7021, 7022):
        pair.check(name, port)


if __name__ == "__main__":
    main(
        "the runtimes of languages with the in-process library: what is sent comes back",
        python_sockets,
        node,
        node_share,
        node_cluster,
        java,
    )
