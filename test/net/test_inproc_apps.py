#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""In-process mode: real programs, as client, as server and as both, against the daemon."""
import hashlib
import os
import subprocess

from apps import NGINX_CONF, make_file, sha256, url
from harness import check, check_equal, main
from inproc import SECRET, V4, V6, each_role


def start_nginx(pair, workers=2):
    directory = pair.net.directory()
    os.chmod(directory, 0o755)
    root = directory / "root"
    root.mkdir()
    text = NGINX_CONF.format(dir=directory).replace("worker_processes 1", f"worker_processes {workers}")
    text = text.replace("access_log off;", "access_log off; sendfile on; tcp_nopush on;")
    config = directory / "nginx.conf"
    config.write_text(text)
    args = ["nginx", "-p", directory, "-c", config, "-e", directory / "error.log"]
    pair.b.start(pair.server(args))
    pair.b.wait_listening(80)
    return root, directory


def nginx_and_curl():
    def body(pair, name):
        root, directory = start_nginx(pair)
        digest = make_file(root / "large", 4 << 20)
        (root / "small").write_bytes(SECRET)
        for family in (V4, V6):
            address = pair.b.addresses[family]
            got = directory / "got"
            args = ["curl", "-q", "--noproxy", "*", "-sS", "--max-time", 60]
            pair.a.run(pair.client([*args, "-o", got, url(address, "large")]))
            check_equal(sha256(got), digest, f"{name}: 4 MiB by sendfile, family {family}")
            urls = [url(address, "small")] * 20
            out = pair.a.run(pair.client([*args, *urls])).stdout
            check_equal(out.encode(), SECRET * 20, f"{name}: 20 requests over one connection")
            pair.a.run(pair.client([*args, "-T", got, url(address, "upload/up")]))
            check_equal(sha256(root / "upload" / "up"), digest, f"{name}: 4 MiB uploaded")
        out = pair.a.run(pair.client([*args, "-Z", "--parallel-max", 50]
                                     + [a for i in range(200) for a in ("-o", "/dev/null", url(address, f"small?{i}"))]))
        check_equal(out.returncode, 0, f"{name}: 200 transfers, 50 at once")
        pair.check_carried(name, 80)
        pair.check_secret(name)

    each_role("nginx and curl", body)


def wget():
    def body(pair, name):
        root, directory = start_nginx(pair)
        digest = make_file(root / "large", 3 << 20)
        got = directory / "got"
        address = pair.b.addresses[V4]
        pair.a.run(pair.client(["wget", "--no-config", "--no-proxy", "-q", "-O", got, url(address, "large")]))
        check_equal(sha256(got), digest, f"{name}: 3 MiB")
        pair.check_carried(name, 80)

    each_role("nginx and wget", body)


def redis():
    def body(pair, name):
        args = ["redis-server", "--port", 6379, "--bind", "0.0.0.0", "--protected-mode", "no",
                "--save", "", "--dir", pair.net.directory()]
        pair.b.start(pair.server(args), stdout=subprocess.DEVNULL)
        pair.b.wait_listening(6379)
        cli = ["redis-cli", "-h", pair.b.addresses[V4]]
        value = SECRET.decode() * 5000
        done = pair.a.run(pair.client([*cli, "-x", "set", "key"]), input=value)
        check_equal(done.stdout.strip(), "OK", f"{name}: 220 kB are set")
        got = pair.a.run(pair.client([*cli, "get", "key"])).stdout
        check_equal(got.strip(), value.strip(), f"{name}: and read again")
        bench = ["redis-benchmark", "-h", pair.b.addresses[V4], "-q", "-n", 2000, "-c", 20,
                 "-t", "set,get,lpush,lrange_100"]
        done = pair.a.run(pair.client(bench))
        check_equal(done.returncode, 0, f"{name}: redis-benchmark with 20 connections")
        pair.check_carried(name, 6379)
        pair.check_secret(name)

    each_role("redis", body)


def iperf3():
    def body(pair, name):
        pair.b.start(pair.server(["iperf3", "-s", "-1", "-p", 5201]), stdout=subprocess.DEVNULL)
        pair.b.wait_listening(5201)
        args = ["iperf3", "-J", "-P", 4, "-n", "30M", "-c", pair.b.addresses[V4]]
        done = pair.a.run(pair.client(args))
        check('"error"' not in done.stdout, f"{name}: 4 streams, 30 MB", done.stdout[-300:])
        pair.check_carried(name, 5201)

    each_role("iperf3", body)


def netcat():
    def body(pair, name):
        data = SECRET.decode() * 20000
        out = pair.net.directory() / "out"
        with open(out, "wb") as file:
            server = pair.b.start(pair.server(["nc", "-N", "-l", 7000]), stdout=file)
            pair.b.wait_listening(7000)
            pair.a.run(pair.client(["nc", "-N", pair.b.addresses[V4], 7000]), input=data)
            server.wait(30)
        check_equal(hashlib.sha256(out.read_bytes()).hexdigest(),
                    hashlib.sha256(data.encode()).hexdigest(), f"{name}: 900 kB, then the end")
        pair.check_carried(name, 7000)
        pair.check_secret(name)

    each_role("netcat", body)


if __name__ == "__main__":
    main(
        "programs with the in-process library are encrypted by themselves, against every peer",
        nginx_and_curl,
        wget,
        redis,
        iperf3,
        netcat,
    )
