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


def main():
    negotiation = load("eno_negotiation.json")
    for case in negotiation["cases"][::3]:
        options = [bytes.fromhex(case[k] or "") for k in ("a_option", "b_option")]
        write("eno", case["id"], b"".join(options))
    for case in load("eno_options.json")["headers"][::3]:
        write("eno", case["id"], bytes.fromhex(case["tcp_options"]))
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
    }.items():
        write("pair", name, bytes.fromhex(steps))


main()
