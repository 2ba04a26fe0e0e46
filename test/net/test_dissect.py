#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Wireshark's view of ENO and tcpcrypt, with and without a key log; who gets a key log."""
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess

from apps import Server, connect, echo, read_exactly, read_to_end
from harness import PATIENCE, REPO, TCPCRYPTD, Net, Skip, check, check_equal, main, wait_for
from packets import SYN, Capture

DISSECTOR = REPO / "packaging/wireshark/tcpcrypt.lua"
LINKTYPE_ETHERNET = 1
NOBODY = 65534
AEADS = {"aes-128-gcm": "0x0001", "aes-256-gcm": "0x0002", "chacha20-poly1305": "0x0010"}
TEXT = b"Whoever has the key log may read this. "
MESSAGE = TEXT * 5000


def write_pcap(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, LINKTYPE_ETHERNET))
        for n, frame in enumerate(frames):
            file.write(struct.pack("<IIII", 1, n, len(frame), len(frame)) + frame)


def tshark(net, capture, wanted, keylog=None, only="tcpcrypt or tcpeno", twice=False):
    """The packets of a capture as {field: [values]}, those that `only` picks."""
    if not shutil.which("tshark"):
        raise Skip("tshark is not installed")
    args = ["tshark", "-r", capture, "-X", f"lua_script:{DISSECTOR}", "-Y", only, "-T", "json"]
    args += ["-J", "none"] + [word for field in wanted for word in ("-e", field)]
    args += ["-o", f"tcpcrypt.keylog:{keylog}"] if keylog else []
    args += ["-2"] if twice else []
    env = {**os.environ, "HOME": str(net.directory())}
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=100)
    if done.returncode or "Lua" in done.stderr:
        raise RuntimeError(f"tshark: {done.stderr}")
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def values(packets, field):
    return [value for packet in packets for value in packet.get(field, [])]


def conversation(net, a, b, config=""):
    """Two daemons and one echoed message; returns (capture file, key log)."""
    keylog = net.directory() / "keys"
    daemon, _ = net.daemon(a, f"key-log = {keylog}\n{config}"), net.daemon(b)
    with Capture(b, b.interfaces[0]) as capture, Server(b, echo) as server:
        with connect(a, b.addresses[socket.AF_INET], server.port) as sock:
            sock.sendall(MESSAGE)
            check(read_exactly(sock, len(MESSAGE)) == MESSAGE, "the echo is right")
            sock.shutdown(socket.SHUT_WR)
            read_to_end(sock)
        server.wait_results()
        wait_for(lambda: any(f.closed() for f in capture.flows(server.port)), "the end")
        path = net.directory() / "capture.pcap"
        write_pcap(path, capture.frames)
    check_equal(daemon.status()["key_log"], str(keylog), "the status tells of the key log")
    check("KEY LOG" in daemon.tool("status").stdout, "loudly")
    check("KEY LOG" in daemon.log(), "and so does the daemon's own log")
    return path, keylog, daemon


CONTENT = ["tcpcrypt.data", "tcpcrypt.flags.finp", "tcpcrypt.authentic", "tcpcrypt.session_id"]


def decrypted():
    """8547-5-6: with the key log, all that was said, of every AEAD and after rekeying."""
    for aead, number in AEADS.items():
        with Net() as net:
            a, b = net.pair()
            path, keylog, daemon = conversation(net, a, b, f"aeads = {aead}\nrekey-bytes = 40000\n")
            wanted = CONTENT + ["tcpcrypt.init.cipher", "tcpcrypt.generation", "ip.src"]
            found = tshark(net, path, wanted, keylog, "tcpcrypt", twice=aead == "aes-128-gcm")
            check(number in values(found, "tcpcrypt.init.cipher"), f"{aead}: the Init messages")
            said = {address: b"" for address in values(found, "ip.src")}
            for packet in found:
                data = "".join(values([packet], "tcpcrypt.data"))
                said[packet["ip.src"][0]] += bytes.fromhex(data)
            check_equal(len(said), 2, f"{aead}: two directions")
            check(all(s == MESSAGE for s in said.values()), f"{aead}: all plaintext of both")
            authentic = values(found, "tcpcrypt.authentic")
            check(authentic and set(authentic) == {"1"}, f"{aead}: every frame authenticates")
            ends = values(found, "tcpcrypt.flags.finp").count("1")
            check_equal(ends, 2, f"{aead}: one FINp a direction")
            generations = {int(g) for g in values(found, "tcpcrypt.generation")}
            check(max(generations) >= 2, f"{aead}: over several key generations")
            (listed,) = daemon.wait_list(state="closed", encrypted=True)
            ids = set(values(found, "tcpcrypt.session_id"))
            check_equal(ids, {listed["session_id"]}, f"{aead}: with the daemon's session ID")


def not_decrypted():
    """Without the key log, or with another connection's, the frames are there and nothing else."""
    with Net() as net:
        a, b = net.pair()
        path, keylog, _ = conversation(net, a, b)
        wanted = CONTENT + ["tcpcrypt.clen"]
        found = tshark(net, path, wanted, only="tcpcrypt")
        check(values(found, "tcpcrypt.clen"), "without a key log: frames")
        check_equal([values(found, field) for field in CONTENT], [[]] * 4, "and no content")
        line = keylog.read_text()
        master = line.split()[6]
        other = net.directory() / "other"
        other.write_text(line.replace(master, master[::-1]))
        found = tshark(net, path, wanted, other, "tcpcrypt")
        check_equal(values(found, "tcpcrypt.data"), [], "with wrong keys: no content")
        check_equal(set(values(found, "tcpcrypt.authentic")), {"0"}, "and no frame authenticates")
        right = net.directory() / "both"
        right.write_text(line + other.read_text())
        found = tshark(net, path, wanted, right, "tcpcrypt")
        check_equal(set(values(found, "tcpcrypt.authentic")), {"1"}, "of two, the fitting key")


def fields():
    """ENO options and Init messages, field by field, of a real connection."""
    with Net() as net:
        a, b = net.pair()
        path, _, _ = conversation(net, a, b)
        wanted = ["tcpeno.tep", "tcpeno.global.b", "tcpeno.global.a", "tcpeno.length", "tcp.flags.syn"]
        syn, synack, ack = tshark(net, path, wanted, only="tcpeno")[:3]
        check_equal(syn["tcpeno.tep"], ["0x21", "0x23"], "TEPs in the SYN")
        check("tcpeno.global.b" not in syn, "which has no global suboption")
        check_equal((synack["tcpeno.tep"], synack["tcpeno.global.b"]), (["0x23"], ["1"]),
                    "TEP and role in the SYN-ACK")
        check_equal((ack["tcp.flags.syn"], ack["tcpeno.length"]), (["0"], ["2"]), "the ACK's option")
        names = ("magic", "message_len", "nciphers", "nonce", "pubkey")
        wanted = [f"tcpcrypt.init.{name}" for name in names]
        init1, init2 = tshark(net, path, wanted, only="tcpcrypt.init.magic")
        check_equal(init1["tcpcrypt.init.magic"], ["0x15101a0e"], "Init1's magic")
        check_equal(init2["tcpcrypt.init.magic"], ["0x097105e0"], "Init2's")
        check_equal(init1["tcpcrypt.init.nciphers"], ["3"], "three ciphers offered")
        for init, name in ((init1, "Init1"), (init2, "Init2")):
            lengths = [len(init[f"tcpcrypt.init.{field}"][0]) // 2 for field in ("nonce", "pubkey")]
            check_equal(lengths, [32, 32], f"nonce and public key of {name}")


def segment(flags, options):
    """A frame from 192.0.2.1:1000 to 192.0.2.2:2000."""
    options += b"\x01" * (-len(options) % 4)
    tcp = struct.pack("!HHIIBBHHH", 1000, 2000, 1, 1, (20 + len(options)) // 4 << 4, flags, 1, 0, 0)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40 + len(options), 1, 0, 64, 6, 0)
    return bytes(12) + b"\x08\x00" + ip + bytes([192, 0, 2, 1, 192, 0, 2, 2]) + tcp + options


HALF, NONCE = bytes(range(1, 10)), bytes(range(101, 109))

# option: what must be seen of it
OPTIONS = {
    "4502": {"tcpeno.length": ["2"]},
    "45031f": {
        "tcpeno.global": ["0x1f"],
        "tcpeno.global.reserved": ["0x07"],
        "tcpeno.global.a": ["1"],
        "tcpeno.global.b": ["1"],
    },
    "45047f20": {"tcpeno.tep": ["0x7f", "0x20"]},
    "450ca3" + HALF.hex(): {
        "tcpeno.tep": ["0x23"],
        "tcpeno.v": ["1"],
        "tcpeno.resume.half": [HALF.hex()],
    },
    "451521a3" + HALF.hex() + NONCE.hex(): {
        "tcpeno.tep": ["0x21", "0x23"],
        "tcpeno.resume.half": [HALF.hex()],
        "tcpeno.resume.nonce": [NONCE.hex()],
    },
    "450882a4aabbcc21": {
        "tcpeno.length_byte": ["3"],
        "tcpeno.tep": ["0x24", "0x21"],
        "tcpeno.data": ["aabbcc"],
    },
    "45048423": {},
    "45049fa3": {},
}
ILL_FORMED = {"45048423", "45049fa3"}


def odd_options():
    with Net() as net:
        path = net.directory() / "options.pcap"
        write_pcap(path, [segment(SYN, bytes.fromhex(option)) for option in OPTIONS])
        wanted = sorted({field for seen in OPTIONS.values() for field in seen})
        found = tshark(net, path, wanted, only="tcp")
        bad = tshark(net, path, ["frame.number"], only="tcpeno.ill_formed")
        bad = {int(packet["frame.number"][0]) for packet in bad}
        for number, (option, seen) in enumerate(OPTIONS.items(), 1):
            shown = {field: found[number - 1].get(field) for field in seen}
            check_equal(shown, seen, f"option {option}")
            check_equal(number in bad, option in ILL_FORMED, f"option {option}: ill-formed or not")


# ---- who gets a key log -------------------------------------------------------------------


def refused(net, host, text, prepare):
    """tcpcryptd must not start with what prepare(directory) leaves there."""
    directory = net.directory()
    config, keylog = directory / "tcpcryptd.conf", directory / "keys"
    config.write_text(f"key-log = {keylog}\n")
    config.chmod(0o644)
    prepare(config, keylog)
    args = [TCPCRYPTD, "--config", config, "--run-dir", directory / "run"]
    process = host.start(args, stderr=subprocess.PIPE, text=True)
    try:
        _, log = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        check(False, f"key log refused: {text}", "tcpcryptd runs")
        process.terminate()
        process.wait()
        return
    check_equal(process.returncode, 1, f"key log refused: {text}")
    check("key-log" in log or "key log" in log, f"{text}: and tcpcryptd says why", log)


def as_link(config, keylog):
    keylog.with_name("elsewhere").touch(mode=0o600)
    keylog.symlink_to(keylog.with_name("elsewhere"))


def as_hard_link(config, keylog):
    keylog.touch(mode=0o600)
    os.link(keylog, keylog.with_name("elsewhere"))


def as_strangers(config, keylog):
    keylog.touch(mode=0o600)
    os.chown(keylog, NOBODY, NOBODY)


def readable(config, keylog):
    keylog.touch()
    keylog.chmod(0o640)


REFUSALS = (
    ("the configuration is not root's", lambda c, k: os.chown(c, NOBODY, 0)),
    ("its group may write it", lambda c, k: c.chmod(0o660)),
    ("everybody may write it", lambda c, k: c.chmod(0o606)),
    ("the path is relative", lambda c, k: c.write_text("key-log = keys\n")),
    ("the log is a symbolic link", as_link),
    ("it has a second name", as_hard_link),
    ("it is somebody else's", as_strangers),
    ("others may read it", readable),
    ("it is a directory", lambda c, k: k.mkdir(mode=0o700)),
    ("it is a pipe", lambda c, k: os.mkfifo(k, 0o600)),
)


def reload_key_log(daemon, keylog):
    """SIGHUP switches it off, under the same conditions; on takes root, and so a start."""
    config, other = daemon.dir / "tcpcryptd.conf", keylog.with_name("other")

    def reload(text, mode, what):
        length = len(daemon.log())
        config.write_text(text)
        config.chmod(mode)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: what in daemon.log()[length:], f"the daemon to say {what!r}")
        return daemon.status()["key_log"]

    insecure = reload(f"key-log = {other}\n", 0o666, "nobody else can write")
    check_equal(insecure, str(keylog), "reload: an insecure configuration changes nothing")
    same = reload(f"key-log = {keylog}\nrekey-bytes = 40000\n", 0o644, "reloaded")
    check_equal(same, str(keylog), "reload: the same key log goes on")
    check_equal(reload("", 0o644, "reloaded"), None, "reload: off")
    fds = [os.path.realpath(fd) for fd in pathlib.Path(f"/proc/{daemon.process.pid}/fd").iterdir()]
    check(str(keylog) not in fds, "and closed")
    off = reload(f"key-log = {other}\n", 0o644, "opened by root")
    check_equal(off, None, "reload: not on again, and it says why")
    check(not other.exists(), "and makes no file")


def who_gets_a_key_log():
    with Net() as net:
        host = net.host()
        for text, prepare in REFUSALS:
            refused(net, host, text, prepare)
        keylog = net.directory() / "keys"
        permissive = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
        daemon = net.daemon(host, f"key-log = {keylog}\n", wrapper=permissive)
        check_equal(keylog.stat().st_mode & 0o7777, 0o600, "what is made is root's alone")
        reload_key_log(daemon, keylog)
        daemon.stop()
        check_equal(net.daemon(host).status()["key_log"], None, "by default there is none")


if __name__ == "__main__":
    main(
        "Wireshark shows ENO and tcpcrypt, and content to root's key log only",
        fields,
        odd_options,
        decrypted,
        not_decrypted,
        who_gets_a_key_log,
    )
