#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode with programs that keep data: postgres, memcached, rsync, git."""
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from apps import sha256
from harness import Net, check, check_equal, main, wait_for
from inproc import SECRET, V4, Pair, as_user, each_role, secret_file

# ---- postgres: a process for each connection, which the postmaster accepts -------------------

POSTGRES = max(glob.glob("/usr/lib/postgresql/*/bin"), default="")
SETTINGS = {
    "listen_addresses": "*",
    "port": 5432,
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "8MB",
    "autovacuum": "off",
}
ROWS = "".join(f"{i}\t{SECRET.decode()}\n" for i in range(20000))
ACTIVE = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'"


def postgres():
    with tempfile.TemporaryDirectory(prefix="tct-postgres-") as data:
        shutil.chown(data, "postgres", "postgres")
        initdb = [f"{POSTGRES}/initdb", "-D", data, "-A", "trust", "--no-sync", "-U", "postgres"]
        subprocess.run(as_user("postgres", initdb), check=True, stdout=subprocess.DEVNULL)
        with open(f"{data}/pg_hba.conf", "a", encoding="ascii") as file:
            file.write("host all all all trust\n")
        each_role("postgres", lambda pair, name: postgres_session(pair, name, data))


def start_postgres(pair, data):
    args = [f"{POSTGRES}/postgres", "-D", data]
    for key, value in SETTINGS.items():
        args += ["-c", f"{key}={value}"]
    server = pair.b.start(as_user("postgres", pair.server(args)), stderr=subprocess.DEVNULL)
    pair.b.wait_listening(5432)
    psql = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", pair.b.addresses[V4], "-U", "postgres"]
    psql = pair.client(psql)
    wait_for(lambda: not pair.a.run([*psql, "-c", "select 1"], check=False).returncode, "postgres")
    return server, psql


def postgres_session(pair, name, data):
    server, psql = start_postgres(pair, data)
    setup = ["drop table if exists t", "create table t(n int, x text)", "copy t from stdin"]
    pair.a.run([*psql, *(word for text in setup for word in ("-c", text))], input=ROWS)
    got = pair.a.run([*psql, "-c", "copy t to stdout"]).stdout
    check(got == ROWS, f"{name}: 20,000 rows there and back")
    script = pair.net.directory() / "script"
    script.write_text("select x from t where n < 20;\n")
    bench = [f"{POSTGRES}/pgbench", "-n", "-C", "-c", 8, "-j", 2, "-t", 8, "-f", script,
             "-h", pair.b.addresses[V4], "-U", "postgres", "postgres"]
    out = pair.a.run(pair.client(bench)).stdout
    check("processed: 64/64" in out, f"{name}: pgbench, 64 connections, 8 at once", out)
    check_cancel(pair, name, psql)
    server.send_signal(signal.SIGINT)
    check_equal(server.wait(30), 0, f"{name}: the server ends well")
    pair.check(name, 5432)


def check_cancel(pair, name, psql):
    """Ctrl-C: psql connects once more, in its signal handler."""
    args = [*psql, "-c", "select pg_sleep(60)"]
    sleeper = pair.a.start(args, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: pair.a.run([*psql, "-c", ACTIVE]).stdout.strip() == "1", "the query")
    sleeper.send_signal(signal.SIGINT)
    _, error = sleeper.communicate(timeout=30)
    check("canceling statement" in error, f"{name}: a query is cancelled", error)


# ---- memcached: threads, to which the first hands on what it accepts -------------------------

MEMCACHE_CLIENT = """
import socket, sys
def line(f):
    return f.readline().rstrip(b"\\r\\n")
def talk(n):
    s = socket.create_connection((sys.argv[1], 11211))
    f = s.makefile("rb")
    values = {b"k%d-%d" % (n, i): sys.argv[2].encode() * (1 + i * n * 20) for i in range(12)}
    for key, value in values.items():
        s.sendall(b"set %s 0 0 %d\\r\\n" % (key, len(value)) + value + b"\\r\\n")
    good = all(line(f) == b"STORED" for _ in values)
    s.sendall(b"get " + b" ".join(values) + b"\\r\\n")
    got = {}
    while (head := line(f)) != b"END":
        _, key, _, length = head.split()
        got[key] = f.read(int(length))
        f.read(2)
    return s, good and got == values
print(all(good for _, good in [talk(n) for n in range(20)]))
"""


def memcached():
    def body(pair, name):
        pair.b.start(pair.server(["memcached", "-u", "nobody", "-t", 3]), stderr=subprocess.DEVNULL)
        pair.b.wait_listening(11211)
        args = [sys.executable, "-c", MEMCACHE_CLIENT, pair.b.addresses[V4], SECRET.decode()]
        out = pair.a.run(pair.client(args)).stdout
        check_equal(out.strip(), "True", f"{name}: 20 connections get what they set")
        pair.check(name, 11211)

    each_role("memcached", body)


# ---- rsync: at both ends two processes with one socket ---------------------------------------

RSYNCD_CONF = """
use chroot = no
uid = 0
gid = 0
pid file = {dir}/pid
[module]
path = {dir}/module
read only = no
"""


def digests(root):
    out = subprocess.run("find . -type f | sort | xargs sha256sum", shell=True, cwd=root,
                         check=True, capture_output=True, text=True)
    return out.stdout


def rsync():
    def body(pair, name):
        directory = pair.net.directory()
        source = directory / "source"
        for path in ("module", "source/sub"):
            os.makedirs(directory / path)
        for i in range(40):
            secret_file(source / "sub" / str(i), 4096 * i)
        secret_file(source / "large", 3 << 20)
        config = directory / "rsyncd.conf"
        config.write_text(RSYNCD_CONF.format(dir=directory))
        pair.b.start(pair.server(["rsync", "--daemon", "--no-detach", f"--config={config}"]))
        pair.b.wait_listening(873)
        module = f"rsync://{pair.b.addresses[V4]}/module/"
        pair.a.run(pair.client(["rsync", "-a", f"{source}/", module]))
        expected = digests(source)
        check_equal(digests(directory / "module"), expected, f"{name}: 42 files sent")
        with open(source / "large", "r+b") as file:
            file.seek(1 << 20)
            file.write(SECRET)
        pair.a.run(pair.client(["rsync", "-a", "--delete", f"{source}/", module]))
        expected = digests(source)
        check_equal(digests(directory / "module"), expected, f"{name}: what changed is sent")
        pair.a.run(pair.client(["rsync", "-a", module, directory / "got"]))
        check_equal(digests(directory / "got"), expected, f"{name}: and fetched")
        pair.check(name, 873)

    each_role("rsync", body)


# ---- git ---------------------------------------------------------------------------------------


def git_in(directory):
    return ["git", "-C", directory, "-c", "user.name=n", "-c", "user.email=e",
            "-c", "init.defaultBranch=main", "-c", "core.compression=0"]


def commit(directory, path, size):
    digest = secret_file(directory / path, size)
    for args in (["add", path], ["commit", "-qm", path]):
        subprocess.run([*git_in(directory), *args], check=True)
    return digest


def start_git(pair):
    """A repository, and a daemon for it; returns where they are."""
    directory = pair.net.directory()
    work = directory / "work"
    subprocess.run([*git_in(directory), "init", "-q", work], check=True)
    # Packed without compression, the bytes could be read on the wire.
    subprocess.run([*git_in(work), "config", "core.compression", "0"], check=True)
    digest = commit(work, "first", 1 << 20)
    pair.b.start(pair.server(["git", "daemon", "--export-all", f"--base-path={directory}",
                              "--enable=receive-pack", "--reuseaddr", "--log-destination=none"]))
    pair.b.wait_listening(9418)
    return directory, digest, f"git://{pair.b.addresses[V4]}/work"


def git():
    """Its daemon and `push` hand the connection on to other programs."""

    def body(pair, name):
        directory, digest, where = start_git(pair)
        clone, bare = directory / "clone", directory / "bare"
        pair.a.run(pair.client(["git", "clone", "-q", where, clone]))
        check_equal(sha256(clone / "first"), digest, f"{name}: cloned")
        digest = commit(directory / "work", "second", 1 << 20)
        pair.a.run(pair.client([*git_in(clone), "pull", "-q"]))
        check_equal(sha256(clone / "second"), digest, f"{name}: pulled")
        subprocess.run(["git", "clone", "-q", "--bare", directory / "work", bare], check=True)
        commit(clone, "third", 1 << 20)
        push = ["push", "-q", where.replace("work", "bare"), "main"]
        pair.a.run(pair.client([*git_in(clone), *push]))
        heads = [subprocess.run([*git_in(at), "rev-parse", "main"], capture_output=True, text=True,
                                check=True).stdout for at in (clone, bare)]
        check_equal(heads[0], heads[1], f"{name}: pushed")
        pair.check(name, 9418)

    each_role("git", body)


if __name__ == "__main__":
    main(
        "programs that keep data, with the in-process library: what is sent is what arrives",
        postgres,
        memcached,
        rsync,
        git,
    )
