#!/usr/bin/env python3
"""Writes the seed corpora: fuzz/corpus/<target>/, from test/vectors/. Run from the root."""
import json
import pathlib

VECTORS = pathlib.Path("test/vectors")
CORPUS = pathlib.Path("fuzz/corpus")
KINDS = {"init1": 0, "init2": 1}
AEADS = {1: 0, 2: 1, 16: 2}


def load(name):
    return json.loads((VECTORS / name).read_text())


def write(target, name, data):
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name.replace("/", "-")).write_bytes(data)


def pieces(data):
    """The session target's input: a length byte before each piece."""
    out = b""
    for i in range(0, len(data), 255):
        piece = data[i : i + 255]
        out += bytes([len(piece)]) + piece
    return out


CONFIGS = {
    "all": "# comment\nteps = x25519, p256\naeads=chacha20-poly1305 aes-128-gcm\n"
    "ports-left-alone = 22 989-995\nmax-connections = 100\nrekey-bytes = 4096\n"
    "remember-plain-seconds = 3\nresume-seconds = 60\nresume-max = 10\nkey-log = /root/keys\n",
    "twice": "teps = x448 x448\n",
    "range": "ports-left-alone = 10-9\n",
    "number": "rekey-bytes = 99999999999999999999999\n",
    "unknown": "colour = blue\n",
    "words": "just words",
}
REQUESTS = {
    "status": '{"command":"status"}',
    "list": '{"command":"list","recent":true}',
    "watch": '{"command":"watch"}',
    "flush": '{"command":"flush"}',
    "verify4": '{"command":"verify","local":"10.0.0.1:5000","peer":"10.0.0.2:80"}',
    "verify6": '{"command":"verify","local":"[fd00::1]:5000","peer":"[fd00::2]:80"}',
    "unknown": '{"command":"dance"}',
    "array": '["status"]',
    "twice": '{"command":"list","command":"flush"}',
}


def write_texts():
    for target, texts in (("config", CONFIGS), ("control", REQUESTS)):
        for name, text in texts.items():
            write(target, name, text.encode())


def write_packets():
    """SYNs as lo carries them: 10.0.0.1 or fd00::1, MSS and ENO among their options."""
    tcp = bytes.fromhex("8000005000000001000000008002ffff00000000020405b445032301")
    tcp = tcp[:12] + bytes([len(tcp) // 4 << 4]) + tcp[13:]
    v4 = bytes.fromhex("4500003000004000400600000a0000010a000002") + tcp
    v6 = bytes.fromhex("60000000001c0640") + (b"\xfd" + bytes(14) + b"\1") * 2 + tcp
    options = b"\x46" + v4[1:20] + bytes([1, 1, 1, 0]) + tcp
    for name, data in {"v4": v4, "v6": v6, "ip-options": options, "short": v4[:30]}.items():
        write("packet", name, data)


def main():
    negotiation = load("eno_negotiation.json")
    for case in negotiation["cases"][::3]:
        options = [bytes.fromhex(case[k] or "") for k in ("a_option", "b_option")]
        write("eno", case["id"], b"".join(options))
    for case in load("eno_options.json")["headers"][::3]:
        write("eno", case["id"], bytes.fromhex(case["tcp_options"]))
        write("bpf", case["id"], b"\x40" + bytes.fromhex(case["tcp_options"]))
    for n, case in enumerate(negotiation["cases"][1::3]):
        for end in "ab":
            option = bytes.fromhex(case[f"{end}_option"] or "")
            write("bpf", f"{case['id']}-{end}", bytes([0x40 | n % 8 << 1]) + option)
    # The session that bpf_fuzz.c has when bit 3 is set: the other host sends nine times 31.
    for name, contents in {
        "resume-offer": "a3" + "31" * 9 + "0102030405060708",
        "resume-answer": "01a3" + "31" * 9 + "01020304050607",
        "resume-other": "01a3" + "30" * 9,
    }.items():
        option = bytes.fromhex(contents)
        write("bpf", name, bytes([0x48, 0x45, 2 + len(option)]) + option)
    write_texts()
    write_packets()
    for case in load("init_bad.json")["cases"][::2]:
        wire = bytes.fromhex(case["wire"])
        kind, tep = KINDS[case["message"]], case["tep"]
        if len(wire) < 300:
            write("init", case["id"], bytes([kind | (tep - 0x21) << 1]) + wire)
            role_b = 0x08 if kind == 0 else 0
            write("session", case["id"], bytes([0x40 | role_b]) + pieces(wire))
    for case in load("frames_bad.json")["streams"][::2]:
        wire = bytes.fromhex(case["wire"])
        write("frame", case["id"], wire)
        write("session", case["id"], bytes([0x80 | AEADS[case["aead"]]]) + pieces(wire))
    for name, steps in {
        "fresh": "00 0300 8300 0300 0020 8010 0300 8300 0105 8105 0300 8300",
        "resumed": "01 0020 8020 0300 8300 0105 8105 0300 8300",
        "rekey": "03 0420 8420 0020 8020 0300 8300 0020 0105 0300 8300",
        "flip": "01 0020 0580 0300 0105 0300",
        "cut": "01 0020 0680 0300 8800",
        "urgent": "01 0220 0300 0120 0301 0301 0300",
        "resumed-other-role": "f5 0020 8020 0300 8300 0105 8105 0300 8300",
    }.items():
        write("pair", name, bytes.fromhex(steps))
    # What a peer with the keys sends: 00, control, length, plaintext; 4x is this host's move.
    for name, steps in {
        "data": "00 00 03 00 6869 40",
        "end": "00 00 03 01 6869 40",
        "after-end": "00 00 01 01 00 00 01 00",
        "urgent": "00 00 05 02 0001 6869",
        "rekey": "00 01 01 00 40 00 01 03 00 6869 42",
        "both": "41 40 00 01 01 00 42 c2 00 01 01 00 40",
        "reserved": "00 fe 03 fc 6869",
        "short": "00 00 02 02 00",
    }.items():
        write("peer", name, bytes.fromhex(steps))


main()
