# SPDX-License-Identifier: BSD-2-Clause
"""The programs that talk to each other in the tests: small servers and clients, and nginx."""
import contextlib
import errno
import hashlib
import os
import random
import socket
import struct
import threading

from harness import PATIENCE, wait_for

CHUNK = 1 << 18

# How a reset shows: ECONNRESET in the first call after it, the others in later ones and,
# when the far side had sent FIN before, in the first.
BROKEN = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)


def family_name(family):
    return {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}[family]


def bound_time(sock, seconds=PATIENCE):
    """A blocking socket whose calls give up after a while, so that no test can hang."""
    limit = struct.pack("ll", int(seconds), 0)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, limit)
    return sock


def connect(host, address, port, family=socket.AF_INET):
    """A connected blocking socket of a program in host."""
    sock = bound_time(host.socket(family))
    try:
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def read_exactly(sock, length):
    data = bytearray()
    while len(data) < length:
        more = sock.recv(min(length - len(data), CHUNK))
        if not more:
            raise EOFError(f"end of stream after {len(data)} of {length} bytes")
        data += more
    return bytes(data)


def read_to_end(sock):
    data = bytearray()
    while more := sock.recv(CHUNK):
        data += more
    return bytes(data)


def read_line(sock):
    line = bytearray()
    while not line.endswith(b"\n"):
        line += read_exactly(sock, 1)
    return bytes(line)


class Server:
    """A TCP server in a host: calls handler(conn, peer) in a thread for each connection.

    What handlers return is collected in `results`, what they raise in `errors`. No two servers of a
    test have the same port: lists and captures are searched by it.
    """

    ports = set()

    def __init__(self, host, handler, family=socket.AF_INET, dual=False):
        self.handler = handler
        self.results = []
        self.errors = []
        self.threads = []
        self.socket = self.bind(host, family, dual)
        self.socket.listen(512)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)

    def bind(self, host, family, dual):
        while True:
            sock = host.socket(family)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual))
            sock.bind(("", 0))
            port = sock.getsockname()[1]
            if port not in self.ports:
                self.ports.add(port)
                return sock
            sock.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        for thread in self.threads:
            thread.join()

    def accept(self):
        while True:
            try:
                conn, peer = self.socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.serve, args=(conn, peer), daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, conn, peer):
        with bound_time(conn):
            try:
                self.results.append(self.handler(conn, peer))
            except (OSError, EOFError) as error:
                self.errors.append(error)

    def wait_results(self, count=1):
        wait_for(lambda: len(self.results) >= count, f"{count} served connections")
        return self.results


def echo(conn, peer):
    """Sends back what comes until the end of the stream."""
    count = 0
    while data := conn.recv(CHUNK):
        conn.sendall(data)
        count += len(data)
    return count


def exchange(host, server, address, message, family=socket.AF_INET):
    """One message to an echo server and back; returns what came back."""
    with connect(host, address, server.port, family) as sock:
        sock.sendall(message)
        sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


def errno_of(call):
    """The error number that call() fails with; 0 when it does not fail."""
    try:
        call()
    except OSError as error:
        return error.errno
    return 0


def make_file(path, size):
    """A file of bytes that do not compress and differ everywhere; returns its sha256."""
    digest = hashlib.sha256()
    source = random.Random(size)
    with open(path, "wb") as file:
        while size:
            block = source.randbytes(min(size, 1 << 20))
            digest.update(block)
            file.write(block)
            size -= len(block)
    return digest.hexdigest()


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


NGINX_CONF = """
daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    types {{ text/html html; }}
    default_type application/octet-stream;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 80;
        listen [::]:80;
        root {dir}/root;
        location /upload/ {{
            dav_methods PUT;
            create_full_put_path on;
            client_max_body_size 0;
        }}
    }}
}}
"""


class Nginx:
    """A private nginx in a host, on port 80; put files into `root`."""

    def __init__(self, net, host):
        self.dir = net.directory()
        os.chmod(self.dir, 0o755)
        self.root = self.dir / "root"
        self.root.mkdir()
        config = self.dir / "nginx.conf"
        config.write_text(NGINX_CONF.format(dir=self.dir))
        args = ["nginx", "-p", self.dir, "-c", config, "-e", self.dir / "error.log"]
        self.process = host.start(args)
        host.wait_listening(80)


def url(address, path=""):
    where = f"[{address}]" if ":" in address else address
    return f"http://{where}/{path}"


def curl(host, *args, **options):
    """curl without the environment's proxies and configuration."""
    return host.run(["curl", "-q", "--noproxy", "*", "-sS", "--max-time", 100, *args], **options)
