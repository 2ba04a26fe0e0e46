#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The example programs of libtcpcrypt, compiled as somebody else would and run as they are.

Built for use they are compiled against an installed copy, shared and static, by what pkg-config
says; in a sanitized tree those of the tree itself are run.
"""
import functools
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile

from apps import connect, read_to_end
from harness import PREFIX, REPO, Net, check, check_equal, main
from inproc import SECRET, V4, loaded
from packets import Capture

PAGE = SECRET * 5000
NAMES = ("echo-server", "fetch", "over-stream")
PORT = 7020


class Built:
    """The examples as files; environment and text tell how they were built."""

    def __init__(self, text, directory, environment=()):
        self.text, self.directory, self.environment = text, directory, environment

    def argv(self, name, *args):
        return ["env", *self.environment, str(self.directory / name), *map(str, args)]


def pkg_config(root, *args):
    found = next(root.rglob("libtcpcrypt.pc")).parent
    env = {**os.environ, "PKG_CONFIG_PATH": str(found), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    out = subprocess.run(["pkg-config", *args, "libtcpcrypt"], env=env, capture_output=True,
                         text=True, check=True).stdout
    return shlex.split(out)


def compile_all(root, text, options, libraries):
    directory = root / text
    directory.mkdir()
    for name in NAMES:
        done = subprocess.run(
            ["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *options, "-o",
             directory / name, REPO / "examples" / f"{name}.c", *libraries],
            capture_output=True, text=True)
        check(done.returncode == 0, f"{name} compiles, {text}", done.stderr)
    found = next(root.rglob("libtcpcrypt.so.1")).parent
    return Built(text, directory, [f"LD_LIBRARY_PATH={found}"])


def ldd(built):
    env = {**os.environ, **dict(word.split("=") for word in built.environment)}
    done = subprocess.run(["ldd", built.directory / "fetch"], capture_output=True, text=True,
                          env=env)
    return done.stdout + done.stderr


@functools.cache
def temporary():
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-")


@functools.cache
def builds():
    """The examples in each way that they can be built here."""
    tree = os.environ.get("INSTALL_FROM")
    if not tree:
        return [Built("of the tree", pathlib.Path(os.environ["EXAMPLES"]))]
    root = pathlib.Path(temporary().name)
    root.chmod(0o755)
    subprocess.run(["meson", "install", "-C", tree, "--no-rebuild", "--destdir", str(root)],
                   check=True, capture_output=True)
    flags = pkg_config(root, "--cflags")
    shared = compile_all(root, "shared", flags, pkg_config(root, "--libs"))
    check("libtcpcrypt.so.1 =>" in ldd(shared), "shared: the soname is libtcpcrypt.so.1")
    static = compile_all(root, "static", ["-static", *flags],
                         pkg_config(root, "--static", "--libs"))
    check("not a dynamic" in ldd(static), "static: nothing is linked at run time")
    return [shared, static]


def ids(text, word="encrypted: "):
    return [line[len(word):] for line in text.splitlines() if line.startswith(word)]


def serve_http(net, host, wrap=list):
    directory = net.directory()
    (directory / "page").write_bytes(PAGE)
    host.start(wrap([sys.executable, "-m", "http.server", "80", "-d", directory]),
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    host.wait_listening(80)


def fetch(host, built, to, *options, check=True, wrap=list):
    return host.run(wrap(built.argv("fetch", *options, to.addresses[V4], 80, "/page")), check=check)


def check_page(done, text):
    page = done.stdout.partition("\n\n")[2].encode()  # text mode has "\n" for "\r\n"
    check(page == PAGE, f"{text}: the page", f"{len(page)} of {len(PAGE)} bytes")


def fetched():
    """fetch, from a server that is served by the daemon, and by one in in-process mode."""
    for built in builds():
        with Net() as net:
            a, b = net.pair()
            net.daemon(a, options=["--engine-only"])
            daemon = net.daemon(b)
            wire = net.use(Capture(a, a.interfaces[0]))
            serve_http(net, b)
            text = f"fetch, {built.text}"
            done = fetch(a, built, b, "-r")
            check_page(done, text)
            found = daemon.wait_list(port=80, encrypted=True)[0]
            check_equal(ids(done.stderr), [found["session_id"]], f"{text}: one session ID")
            check(not wire.contains(SECRET), f"{text}: nothing in plain")
            if built.text == "shared":
                done = fetch(a, built, b, wrap=loaded)
                check_page(done, "fetch in in-process mode, not encrypted twice")
                check_equal(len(ids(done.stderr)), 1, "fetch in in-process mode: by itself")


def fetched_in_plain():
    """Without an engine, and from a host without tcpcrypt: plain, or with -r not at all."""
    built = builds()[0]
    with Net() as net:
        a, b = net.pair()
        serve_http(net, b)
        check_plain(net, a, b, built, "no engine", "no-engine", "no-engine")
        net.daemon(a)
        check_plain(net, a, b, built, "no tcpcrypt there", "no-eno", "plain")


def check_plain(net, a, b, built, text, reason, error):
    done = fetch(a, built, b)
    check_page(done, text)
    check_equal(done.stderr, f"plain: {reason}\n", f"{text}: why")
    wire = net.use(Capture(a, a.interfaces[0]))
    refused = fetch(a, built, b, "-r", check=False)
    check_equal((refused.returncode, refused.stdout), (1, ""), f"{text}, -r: refused")
    check(error in refused.stderr, f"{text}, -r: because of `{error}`", refused.stderr)
    check(not any(p.payload for p in wire.packets(80)), f"{text}, -r: nothing is sent")


def echoed():
    """echo-server, with clients that the daemon serves."""
    ways = [(built, built.text, list) for built in builds()]
    # Run in in-process mode it is not encrypted twice.
    ways += [(built, "in-process", loaded) for built in builds() if built.text == "shared"]
    for built, text, wrap in ways:
        with Net() as net:
            a, b = net.pair()
            daemon = net.daemon(a)
            net.daemon(b, options=["--engine-only"])
            wire = net.use(Capture(a, a.interfaces[0]))
            out = net.directory() / "out"
            with open(out, "w") as file:
                b.start(wrap(built.argv("echo-server", "-r", "0.0.0.0", PORT)), stdout=file)
            b.wait_listening(PORT)
            check_echoes(a, b, daemon, wire, out, f"echo-server, {text}")


def check_echoes(a, b, daemon, wire, out, text):
    texts = [SECRET * 2000 + b"%d" % i for i in range(20)]
    socks = [connect(a, b.addresses[V4], PORT) for _ in texts]
    for sock, line in zip(socks, texts):
        sock.sendall(line)
        sock.shutdown(socket.SHUT_WR)
    check([read_to_end(sock) for sock in socks] == texts, f"{text}: 20 at once, each its own")
    for sock in socks:
        sock.close()
    found = daemon.wait_list(20, port=PORT, encrypted=True)
    check_equal(sorted(ids(out.read_text())), sorted(c["session_id"] for c in found),
                f"{text}: the same session IDs")
    check(not wire.contains(SECRET), f"{text}: nothing in plain")


def over_stream():
    """Both ends of a socketpair, without any engine."""
    for built in builds():
        done = subprocess.run(built.argv("over-stream", "a few words"), capture_output=True,
                              text=True, check=True)
        both = dict(line.split() for line in done.stdout.splitlines()[:2])
        check_equal(both["parent"], both["child"], f"over-stream, {built.text}: one session ID")
        check(done.stdout.endswith("\na few words\n"), f"over-stream, {built.text}: the words")


if __name__ == "__main__":
    main(
        "the examples of libtcpcrypt work, compiled shared and static against what is installed",
        fetched,
        fetched_in_plain,
        echoed,
        over_stream,
    )
