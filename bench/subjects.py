# SPDX-License-Identifier: BSD-2-Clause
"""What is compared: plain TCP, tcpcrypt, and what people would use instead.

A subject is started in the two hosts of the lab, says where the client connects to reach the
lab's two servers, and is stopped again before the next one starts, so that at every moment
only the subject that is being measured runs.
"""
import os
import sys

import harness

ECHO, HTTP, HTTP_MEMORY = 7000, 8000, 8010  # the plain servers' ports
TLS = 1  # is what is added to them for the same servers with TLS
INPROC = 2  # and for those with tcpcrypt's in-process mode
# A tunnel's client's port, and what it leads to.
TUNNELS = ((9000, ECHO), (9001, HTTP), (9002, HTTP_MEMORY))
CIPHER = "TLS_AES_128_GCM_SHA256"


class Lab:
    """Two hosts joined by a veth pair, each on a core and in a control group of its own, with the
    servers in the second."""

    def __init__(self, net, load):
        self.net = net
        self.load = load
        self.dir = net.directory()
        self.client, self.server = net.pair()
        self.cores = {self.client: 0, self.server: 1}
        self.address = self.server.addresses[harness.socket.AF_INET]
        self.pem = self.certificate()
        for host in (self.client, self.server):
            host.seclude()
            self.tune(host)
        self.serve()

    def tune(self, host):
        """Cubic by route, on the link and on loopback; enough ports for every round."""
        device = host.interfaces[0]
        mine = host.addresses[harness.socket.AF_INET]
        network = mine.rpartition(".")[0] + ".0/24"
        host.ip("route", "replace", network, "dev", device, "src", mine, "congctl", "cubic")
        for own in ("127.0.0.0/8", mine):
            host.ip("route", "replace", "local", own, "dev", "lo" if own[:3] == "127" else device,
                    "table", "local", "congctl", "cubic")
        host.sysctl("ipv4/ip_local_port_range", "10000 65000")
        host.sysctl("ipv4/tcp_tw_reuse", 1)

    def certificate(self):
        path = self.dir / "pem"
        key, cert = self.dir / "key", self.dir / "cert"
        harness.command(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=bench", "-keyout", str(key), "-out", str(cert)]
        )
        path.write_text(key.read_text() + cert.read_text())
        return path

    def pinned(self, host):
        return ["taskset", "-c", str(self.cores[host])]

    def start(self, host, args):
        log = open(self.dir / f"log-{len(self.net.processes)}", "w")
        with log:
            return host.start([*self.pinned(host), *args], stdout=log, stderr=log)

    def fail(self, what):
        """Ends the run, with what the programs had to say."""
        for log in sorted(self.dir.glob("log-*")):
            print(harness.indent(log.read_text(errors="replace")[-2000:]), file=sys.stderr)
        sys.exit(f"bench: {what}")

    def serve(self):
        page = self.dir / "www" / "index.html"
        page.parent.mkdir()
        page.write_text("x" * 1000)
        for directory in (self.dir, page.parent):
            directory.chmod(0o755)  # nginx's workers are another user
        self.servers = self.start_servers(0)
        self.start(self.server, [self.load, "serve", f"--tls={self.pem}", "0.0.0.0", ECHO + TLS])
        self.server.wait_listening(ECHO + TLS)

    def start_servers(self, offset, wrapper=()):
        """The echo server and nginx, so far above their ports; returns their processes."""
        config = self.dir / f"nginx-{offset}.conf"
        tls = f"""ssl_session_cache off; ssl_protocols TLSv1.3;
            ssl_conf_command Ciphersuites {CIPHER};
            ssl_certificate {self.pem}; ssl_certificate_key {self.pem};"""

        def listen(port):
            return f"listen {port + offset} backlog=4096;" + (
                "" if offset else f"listen {port + TLS} ssl backlog=4096;")

        config.write_text(
            f"""daemon off; worker_processes 1; pid {self.dir}/nginx-{offset}.pid;
            error_log stderr crit; events {{ worker_connections 4096; }}
            http {{
                access_log off; sendfile on; keepalive_requests 1000000000; {tls}
                server {{ {listen(HTTP)} root {self.dir}/www; }}
                server {{ {listen(HTTP_MEMORY)} location / {{ return 200 "{'x' * 1000}"; }} }}
            }}"""
        )
        started = [
            self.start(self.server, [*wrapper, self.load, "serve", "0.0.0.0", ECHO + offset]),
            self.start(self.server, [*wrapper, "nginx", "-c", config]),
        ]
        for port in (ECHO, HTTP, HTTP_MEMORY):
            self.server.wait_listening(port + offset)
        return started


class Plain:
    """TCP as it is: what everything else is a fraction of."""

    name, title = "plain", "plain TCP"
    flags = ()
    wrapper = ()  # what runs the client

    def __init__(self, lab):
        self.lab = lab
        self.processes = []

    def start(self):
        pass

    def target(self, port):
        """Where a client finds the server on this port."""
        return self.lab.address, port

    def server(self):
        """The echo server."""
        return self.lab.servers[0]

    def stop(self):
        harness.end_processes(self.processes)

    def pids(self):
        """The processes that stand between client and server."""
        return [process.pid for process in self.processes]


class Tcpcrypt(Plain):
    """The programs of plain TCP, with a tcpcryptd at both ends."""

    name, title = "tcpcrypt", "tcpcrypt, fresh keys"
    daemon = None  # that of this build
    config = "resume-seconds = 0\n"

    def start(self):
        program = self.daemon or harness.TCPCRYPTD
        self.daemons = [
            self.lab.net.daemon(host, self.config, wrapper=self.lab.pinned(host), program=program)
            for host in (self.lab.client, self.lab.server)
        ]

    def pids(self):
        return [daemon.process.pid for daemon in self.daemons]

    def stop(self):
        for daemon in self.daemons:
            totals = daemon.status()
            if not totals["encrypted"]:
                raise RuntimeError(f"nothing was encrypted: {totals}")
            daemon.kill()  # connections that linger would make it drain


class TcpcryptResumed(Tcpcrypt):
    name, title = "tcpcrypt-resumed", "tcpcrypt, resumed"
    config = ""


class Before(Tcpcrypt):
    """Another build of tcpcryptd, for before and after: BEFORE=path."""

    name, title = "before", "tcpcrypt of BEFORE"
    daemon = os.environ.get("BEFORE")


class BeforeResumed(Before):
    name, title = "before-resumed", "tcpcrypt of BEFORE, resumed"
    config = ""


class InProcess(Plain):
    """The programs of plain TCP, each with tcpcrypt in its own process."""

    name, title = "inproc", "in-process, fresh keys"
    config = "resume-seconds = 0\n"

    def start(self):
        lab = self.lab
        self.daemons = [
            lab.net.daemon(host, self.config, wrapper=lab.pinned(host), options=["--engine-only"])
            for host in (lab.client, lab.server)
        ]
        self.wrapper, wrapper = (self.loaded(daemon) for daemon in self.daemons)
        self.processes = lab.start_servers(INPROC, wrapper)

    def server(self):
        return self.processes[0]

    def pids(self):
        return []

    def loaded(self, daemon):
        return [harness.TCPCRYPT, "--run-dir", daemon.run_dir, "run", "--require", "--"]

    def target(self, port):
        return self.lab.address, port + INPROC

    def stop(self):
        super().stop()
        for daemon in self.daemons:
            totals = daemon.status()
            if not totals["encrypted"]:
                raise RuntimeError(f"nothing was encrypted: {totals}")
            daemon.stop()


class InProcessResumed(InProcess):
    name, title = "inproc-resumed", "in-process, resumed"
    config = ""


class InProcessPlain(InProcess):
    """In-process programs and a peer without tcpcrypt: what it costs where nothing is encrypted."""

    name, title = "inproc-plain", "in-process client, plain peer"
    config = ""

    def start(self):
        daemon = self.lab.net.daemon(self.lab.client, self.config,
                                     wrapper=self.lab.pinned(self.lab.client),
                                     options=["--engine-only"])
        self.daemons = [daemon]
        self.wrapper = [harness.TCPCRYPT, "--run-dir", daemon.run_dir, "run", "--"]

    def server(self):
        return self.lab.servers[0]

    def target(self, port):
        return self.lab.address, port

    def stop(self):
        for daemon in self.daemons:
            daemon.stop()


class Tls(Plain):
    """TLS 1.3 inside the programs, by OpenSSL; nginx for HTTP."""

    name, title = "tls", "TLS 1.3 in-process"
    flags = ("--tls",)

    def target(self, port):
        return self.lab.address, port + TLS


class TlsResumed(Tls):
    name, title = "tls-resumed", "TLS 1.3 in-process, resumed"
    flags = ("--tls", "--resume")


class Tunnel(Plain):
    """A process beside the client, one beside the server, and encryption between them."""

    def target(self, port):
        return "127.0.0.1", next(mine for mine, server in TUNNELS if server == port)

    def start(self):
        lab = self.lab
        self.processes = [lab.start(lab.server, argv) for argv in self.commands(server=True)]
        for mine, _ in TUNNELS:
            lab.server.wait_listening(mine + 500)
        self.processes += [lab.start(lab.client, argv) for argv in self.commands(server=False)]
        for mine, _ in TUNNELS:
            lab.client.wait_listening(mine)

    def ends(self, server):
        """What this side listens on and leads to, for both tunnels."""
        if server:
            return [(f"{self.lab.address}:{mine + 500}", f"127.0.0.1:{to}") for mine, to in TUNNELS]
        return [(f"127.0.0.1:{mine}", f"{self.lab.address}:{mine + 500}") for mine, _ in TUNNELS]

    def write(self, name, text):
        path = self.lab.dir / name
        path.write_text(text)
        path.chmod(0o600)
        return path


class Stunnel(Tunnel):
    name, title = "stunnel", "stunnel, certificate"

    def authentication(self, server):
        return f"cert = {self.lab.pem}\n" if server else ""

    def commands(self, server):
        text = f"""foreground = yes\npid =\ndebug = 3
        socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1
        sslVersion = TLSv1.3\nciphersuites = {CIPHER}\nsessionResume = no\n"""
        for i, (listen, to) in enumerate(self.ends(server)):
            text += f"[tunnel{i}]\nclient = {'no' if server else 'yes'}\n"
            text += f"accept = {listen}\nconnect = {to}\n" + self.authentication(server)
        return [["stunnel", self.write(f"{self.name}-{server}", text)]]


class StunnelPsk(Stunnel):
    name, title = "stunnel-psk", "stunnel, PSK"

    def authentication(self, server):
        secrets = self.write("psk", "bench:" + "00112233445566778899aabbccddeeff\n")
        return f"PSKsecrets = {secrets}\n" + ("" if server else "PSKidentity = bench\n")


class Spiped(Tunnel):
    name, title = "spiped", "spiped"

    def commands(self, server):
        key = self.write("spiped-key", "a key of this benchmark, and no other\n")
        return [
            ["spiped", "-F", "-n", "0", "-d" if server else "-e", "-k", key, "-s", bracket(listen),
             "-t", bracket(to)]
            for listen, to in self.ends(server)
        ]


def bracket(address):
    host, _, port = address.rpartition(":")
    return f"[{host}]:{port}"


class Haproxy(Tunnel):
    name, title = "haproxy", "HAProxy TLS pair"
    encrypts = True

    def commands(self, server):
        here = f"ssl crt {self.lab.pem}" if server and self.encrypts else ""
        there = "" if server or not self.encrypts else "ssl verify none no-ssl-reuse"
        text = f"""global\n maxconn 4000
        ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
        ssl-default-bind-ciphersuites {CIPHER}
        ssl-default-server-ciphersuites {CIPHER}
        defaults\n mode tcp\n timeout connect 10s\n timeout client 1h\n timeout server 1h\n"""
        for i, (listen, to) in enumerate(self.ends(server)):
            text += f"listen tunnel{i}\n bind {listen} {here}\n server there {to} {there}\n"
        return [["haproxy", "-db", "-f", self.write(f"haproxy-{server}", text)]]


class HaproxyPlain(Haproxy):
    """What two processes on the way cost that do nothing but pass on."""

    name, title = "relay", "HAProxy pair, no encryption"
    encrypts = False


class Floor(Tunnel):
    """The same two hops without encryption, policy and books: the system calls that pass bytes on."""

    name, title = "floor", "two bare relays"

    def commands(self, server):
        return [
            [self.lab.load, "relay", *listen.split(":"), *to.split(":")]
            for listen, to in self.ends(server)
        ]


ALL = [Plain, Tcpcrypt, TcpcryptResumed, InProcess, InProcessResumed, InProcessPlain, Tls, TlsResumed, Haproxy, Stunnel, StunnelPsk, Spiped]
OTHERS = [HaproxyPlain, Floor, Before, BeforeResumed]  # only when named
