#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode with Apache httpd, nginx and haproxy, which are told to reload under load."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys

from apps import NGINX_CONF, sha256
from harness import Net, check, check_equal, main, wait_for
from inproc import SECRET, V4, Pair, each_role, loaded, secret_file
from packets import Capture

CURL = ["curl", "-q", "--noproxy", "*", "-sS", "--max-time", 60]
SMALL = 20000


class Site:
    """Files to serve, which the servers' own users may read."""

    def __init__(self, net):
        self.dir = net.directory()
        self.root = self.dir / "root"
        self.root.mkdir(mode=0o755)
        # More than a connection's buffers hold.
        self.digest = secret_file(self.root / "large", 6 << 20)
        self.small = SECRET * (SMALL // len(SECRET))
        (self.root / "small").write_bytes(self.small)


def where(pair, port):
    return f"http://{pair.b.addresses[V4]}:{port}/"


def children(pid):
    """The processes that pid has, and has not yet waited for."""
    return set(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def fetch(pair, name, site, port=80):
    """Large and small files, one connection and many at once."""
    base = where(pair, port)
    got = site.dir / "got"
    pair.a.run(pair.client([*CURL, "-o", got, base + "large"]))
    check_equal(sha256(got), site.digest, f"{name}: 6 MiB")
    out = pair.a.run(pair.client([*CURL, *[base + "small"] * 10])).stdout
    check(out.encode() == site.small * 10, f"{name}: 10 requests over one connection")
    many = [word for i in range(60) for word in ("-o", site.dir / f"got{i}", base + f"small?{i}")]
    pair.a.run(pair.client([*CURL, "-Z", "--parallel-max", 20, *many]))
    good = all((site.dir / f"got{i}").read_bytes() == site.small for i in range(60))
    check(good, f"{name}: 60 requests, 20 at once")


SLOW_CLIENT = """
import hashlib, socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock, sock.makefile("rb") as file:
    sock.sendall(b"GET /large HTTP/1.0\\r\\n\\r\\n")
    while file.readline().strip():
        pass
    digest = hashlib.sha256(file.read(1000))
    print("begun", flush=True)
    sys.stdin.readline()
    digest.update(file.read())
    print(digest.hexdigest())
"""


@contextlib.contextmanager
def slow_transfer(pair, name, site, port=80):
    """A transfer that is under way for as long as the block takes, and must come to a good end."""
    args = [sys.executable, "-c", SLOW_CLIENT, pair.b.addresses[V4], str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = pair.a.start(pair.client(args), **pipes)
    check_equal(process.stdout.readline(), "begun\n", f"{name}: a transfer is under way")
    yield
    out, _ = process.communicate("\n", timeout=60)
    check_equal(out.strip(), site.digest, f"{name}: it goes on to its end")


def reload(pair, name, site, server, number, workers, port=80):
    """Signal number gives the server new workers, which serve, while old ones end what they do."""
    before = workers()
    with slow_transfer(pair, name, site, port):
        server.send_signal(number)
        wait_for(lambda: workers() - before, f"{name}: new workers")
        for _ in range(3):
            out = pair.a.run(pair.client([*CURL, where(pair, port) + "small"]))
            check(out.stdout.encode() == site.small, f"{name}: requests meanwhile")
    wait_for(lambda: not workers() & before, f"{name}: the old workers to end")


# ---- Apache httpd ----------------------------------------------------------------------------

MODULES = "/usr/lib/apache2/modules"
APACHE_CONF = """
ServerRoot {dir}
ServerName localhost
PidFile {dir}/pid
DefaultRuntimeDir {dir}
ErrorLog {dir}/error.log
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
User nobody
Group nogroup
Listen 80
DocumentRoot {dir}/root
EnableSendfile On
KeepAlive On
StartServers {processes}
{limits}
"""
# A process of prefork ends after some connections, and another one takes its place.
LIMITS = {
    "prefork": (20, "MinSpareServers 2\nMaxRequestWorkers 30\nMaxConnectionsPerChild 5"),
    "event": (2, "ThreadsPerChild 12\nMinSpareThreads 12\nMaxSpareThreads 36\nMaxRequestWorkers 36"),
}


def apache(mpm):
    def body(pair, name):
        site = Site(pair.net)
        config = site.dir / "httpd.conf"
        processes, limits = LIMITS[mpm]
        config.write_text(APACHE_CONF.format(dir=site.dir, mpm=mpm, modules=MODULES,
                                             processes=processes, limits=limits))
        server = pair.b.start(pair.server(["apache2", "-DFOREGROUND", "-f", config]))
        pair.b.wait_listening(80)
        fetch(pair, name, site)
        reload(pair, name, site, server, signal.SIGUSR1, lambda: children(server.pid))
        pair.check(name, 80)

    each_role(f"Apache {mpm}", body)


def apache_prefork():
    apache("prefork")


def apache_event():
    apache("event")


# ---- nginx -----------------------------------------------------------------------------------


class Master:
    """nginx in the background, as it must be to be upgraded."""

    def __init__(self, site):
        self.pid = int((site.dir / "nginx.pid").read_text())

    def send_signal(self, number):
        os.kill(self.pid, number)


def start_nginx(host, site, run):
    text = NGINX_CONF.format(dir=site.dir).replace("worker_processes 1", "worker_processes 3")
    text = text.replace("daemon off", "daemon on")
    text = text.replace("access_log off;", "access_log off; sendfile on; tcp_nopush on;")
    config = site.dir / "nginx.conf"
    config.write_text(text)
    host.run(run([shutil.which("nginx"), "-p", site.dir, "-c", config, "-e", site.dir / "error.log"]))
    host.wait_listening(80)
    return Master(site)


def upgrade(pair, name, site, old):
    """Another nginx, whose environment is its own, gets the listeners."""
    with slow_transfer(pair, name, site):
        old.send_signal(signal.SIGUSR2)
        wait_for((site.dir / "nginx.pid.oldbin").exists, f"{name}: the new nginx")
        wait_for((site.dir / "nginx.pid").exists, f"{name}: the new nginx to be ready")
        old.send_signal(signal.SIGQUIT)
        for _ in range(3):
            out = pair.a.run(pair.client([*CURL, where(pair, 80) + "small"])).stdout
            check(out.encode() == site.small, f"{name}: requests while it is upgraded")
    wait_for(lambda: not pathlib.Path(f"/proc/{old.pid}").exists(), f"{name}: the old nginx to end")
    out = pair.a.run(pair.client([*CURL, where(pair, 80) + "small"])).stdout
    check(out.encode() == site.small, f"{name}: and after that")


def nginx():
    def body(pair, name):
        site = Site(pair.net)
        server = start_nginx(pair.b, site, pair.server)
        fetch(pair, name, site)
        reload(pair, name, site, server, signal.SIGHUP, lambda: children(server.pid))
        upgrade(pair, name, site, server)
        pair.check(name, 80)

    each_role("nginx", body)


# ---- haproxy ---------------------------------------------------------------------------------

HAPROXY_CONF = """
global
    nbthread 2
    stats socket {dir}/haproxy level admin expose-fd listeners
defaults
    mode tcp
    option splice-auto
    timeout connect 30s
    timeout client 60s
    timeout server 60s
frontend f
    bind :8080
    default_backend b
backend b
    server s {address}:80
"""


def haproxy():
    """Between two connections, both of them its own: it forwards by splice()."""
    for others in ("proxied", "in-process", "plain"):
        with Net() as net:
            pair = Pair(net, "both" if others == "in-process" else "server", others == "plain")
            haproxy_between(pair, others)


def haproxy_between(pair, others):
    name = f"haproxy, the others {others}"
    site = Site(pair.net)
    web = pair.net.host()
    link = pair.net.link(pair.b, web)
    behind = pair.net.use(Capture(web, link))
    daemon = None if others == "plain" else pair.net.daemon(web)
    run = list if others != "in-process" else lambda args: loaded(args, daemon)
    start_nginx(web, site, run)
    config = site.dir / "haproxy.cfg"
    config.write_text(HAPROXY_CONF.format(dir=site.dir, address=web.addresses[V4]))
    server = pair.b.start(pair.server(["haproxy", "-W", "-f", config]))
    pair.b.wait_listening(8080)
    fetch(pair, name, site, 8080)
    reload(pair, name, site, server, signal.SIGUSR2, lambda: children(server.pid), 8080)
    pair.check(name, 8080)
    check_equal(behind.contains(SECRET), others == "plain", f"{name}: readable behind it")
    if daemon:
        wait_for(lambda: pair.session_ids(daemon, 80) == pair.session_ids(pair.db, 80) != set(),
                 f"{name}: the same session IDs behind it")


if __name__ == "__main__":
    main(
        "web servers and a proxy with the in-process library serve on while they reload",
        apache_prefork,
        apache_event,
        nginx,
        haproxy,
    )
