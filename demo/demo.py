#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Shows on one machine what tcpcrypt does between two, and checks what it says.

Three hosts, network namespaces joined by virtual cables: alice and bob run tcpcryptd, carol
does not. Exit status 1 when anything that is claimed is not so.
"""
import pathlib
import socket
import sys

REPO = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "test" / "net"))

from apps import Nginx, curl, url  # noqa: E402
from harness import Net, Skip, die_tidily, failures, wait_for  # noqa: E402
from packets import (  # noqa: E402
    INIT1_MAGIC,
    INIT2_MAGIC,
    KIND_ENO,
    Capture,
    frames,
    init_length,
)

PHRASE = "The old lighthouse keeper counts the ships at night."
PAGE = f"""<!doctype html>
<title>A page</title>
<p>{PHRASE}</p>
"""
TEPS = {0x21: "P-256", 0x22: "P-521", 0x23: "X25519", 0x24: "X448"}
COLOURS = {"bold": "1", "green": "32", "red": "31", "yellow": "33"}

false_claims = []


# ---- telling ------------------------------------------------------------------------------


def paint(text, colour):
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if sys.stdout.isatty() else text


def say(text=""):
    print(text, flush=True)


def step(title):
    say(f"\n{paint(title, 'bold')}\n")


def claim(ok, text):
    """Says what has just been seen, or that it has not."""
    if ok:
        say(f"  {paint('[ok]', 'green')} {text}")
    else:
        say(f"  {paint('[NOT SO]', 'red')} {text}")
        false_claims.append(text)


def show(host, order, output):
    say(f"  {host}$ {paint(order, 'bold')}")
    for line in output.splitlines():
        say(f"  | {line}")
    say()


def hex_lines(data, limit):
    """A hex dump with its printable characters, like hexdump -C."""
    for start in range(0, min(len(data), limit), 16):
        row = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        say(f"      {row.hex(' '):<47}  |{text}|")


# ---- steps --------------------------------------------------------------------------------


def introduce(client, server):
    step("Two hosts, and a web page")
    say(f"  Two network namespaces of this machine, joined by a virtual cable:\n"
        f"\n"
        f"      alice {client} ------ cable ------ {server} bob\n"
        f"      curl                                      nginx\n"
        f"      tcpcryptd                                 tcpcryptd\n"
        f"\n"
        f"  curl and nginx are Debian's own. Nobody told them about encryption: the\n"
        f"  address is plain http, and there is no certificate. On the page it says:\n"
        f"\n"
        f"      {paint(PHRASE, 'yellow')}")


def fetch(name, host, server):
    page = curl(host, url(server)).stdout
    show(name, f"curl {url(server)}", page)
    claim(page == PAGE, "the page arrived, complete and unchanged")


def compare_ends(daemons):
    sessions = {}
    for name, daemon in daemons.items():
        listed = daemon.wait_list(port=80, state="closed")
        sessions[name] = listed[-1]["session_id"]
        show(name, "tcpcrypt list --recent", daemon.tool("list", "--recent").stdout)
    alice, bob = sessions["alice"], sessions["bob"]
    say("  The session ID comes out of the key exchange. Someone in the middle who reads\n"
        "  along would have to make two key exchanges, and the ends would not agree:\n"
        "\n"
        f"      alice  {alice}\n"
        f"      bob    {bob}\n")
    claim(alice is not None and alice == bob, "both ends show the same session ID")


def suboption(byte):
    """What a byte of the ENO option says."""
    if byte in TEPS:
        return f"tcpcrypt, key exchange by {TEPS[byte]}"
    if byte < 0x20:
        return "I am the passive side" if byte & 1 else "no special wishes"
    return "something else"


def show_handshake_segment(who, name, packet):
    """The TCP header of a segment in hex, with the ENO option in brackets."""
    option = packet.eno() if packet else None
    claim(option is not None, f"{who}: the {name} has the ENO option")
    if option is None:
        return
    start = packet.tcp_offset
    length = (packet.frame[start + 12] >> 4) * 4
    place = next(offset for kind, offset, _ in packet.options if kind == KIND_ENO)
    header = [f"{byte:02x}" for byte in packet.frame[start : start + length]]
    marked = range(place - start, place - start + len(option))
    words = [paint(f"[{w}]", "yellow") if i in marked else f" {w} " for i, w in enumerate(header)]
    for row in range(0, len(words), 16):
        say("      " + "".join(words[row : row + 16]))
    say(f"      {option[0]:02x} = TCP option {KIND_ENO}, Encryption Negotiation (TCP-ENO)")
    say(f"      {option[1]:02x} = its length" + ("; it only says: go on" if option[1] == 2 else ""))
    for byte in option[2:]:
        say(f"      {byte:02x} = {suboption(byte)}")
    say()


def show_stream(flow, end, who, magic, name):
    stream = flow.stream(end)
    length = init_length(stream) if len(stream) >= 8 else 0
    found, _ = frames(stream, length)
    say(f"  The first bytes that {who} sent, {name}: {magic.hex(' ')}, its length, and keys")
    hex_lines(stream[:length], 48)
    claim(stream[:4] == magic, f"{who}'s data begins with {name}")
    claim(found != [], "then come encrypted frames; the first one begins like this:")
    if found:
        hex_lines(stream[found[0][0] :], 64)
    say()


def show_wire(capture):
    flow = wait_for(lambda: closed_flow(capture), "the end of the connection on the cable")
    say("  The three segments that open the connection, as they were on the cable (the\n"
        "  TCP headers, with the option that tcpcryptd added in brackets):\n")
    show_handshake_segment("alice to bob", "SYN", flow.syn)
    show_handshake_segment("bob to alice", "SYN-ACK", flow.synack)
    show_handshake_segment("alice to bob", "first ACK", flow.ack)
    show_stream(flow, flow.client, "alice", INIT1_MAGIC, "Init1")
    show_stream(flow, flow.server, "bob", INIT2_MAGIC, "Init2")
    total = sum(len(p.payload) for p in flow.packets)
    for text in (PHRASE, "GET /", "HTTP/1.1"):
        claim(not capture.contains(text.encode()), f"{text!r}: nowhere in {total} bytes of data")


def closed_flow(capture):
    return next((flow for flow in capture.flows(80) if flow.closed()), None)


def show_plain(capture):
    flow = wait_for(lambda: closed_flow(capture), "the end of the plain connection")
    claim(not any(p.eno() for p in flow.packets), "plain TCP, exactly as without tcpcrypt")
    claim(capture.contains(PHRASE.encode()), "and whoever holds carol's cable reads along:")
    stream = flow.stream(flow.server)
    place = max(stream.find(PHRASE.encode()), 0) & ~15
    hex_lines(stream[place : place + 64], 64)


def demo():
    with Net() as net:
        alice, bob, carol = net.host(), net.host(), net.host()
        cable = net.link(alice, bob)
        other_cable = net.link(carol, bob)
        nginx = Nginx(net, bob)
        (nginx.root / "index.html").write_text(PAGE)
        server = bob.addresses[socket.AF_INET]
        introduce(alice.addresses[socket.AF_INET], server)

        daemons = {"alice": net.daemon(alice), "bob": net.daemon(bob)}
        wire = net.use(Capture(alice, cable))
        step("1. alice fetches the page")
        fetch("alice", alice, server)
        step("2. What tcpcryptd knows of it, at both ends")
        compare_ends(daemons)
        step("3. What crossed the cable")
        show_wire(wire)

        step("4. carol, who does not run tcpcryptd, fetches the same page")
        wire = net.use(Capture(carol, other_cable))
        fetch("carol", carol, f"10.{net.links}.0.2")
        show_plain(wire)


def main():
    die_tidily()
    try:
        demo()
    except Skip as reason:
        sys.exit(f"demo: {reason}: sudo make demo")
    except KeyboardInterrupt:
        say("\nStopped. Everything that the demo made is gone.")
        sys.exit(130)
    if false_claims or failures:
        say(f"\n{paint('Something is wrong, see above.', 'red')}")
        sys.exit(1)
    step("That is all. Hosts, cables and programs of this demo are gone again.")


if __name__ == "__main__":
    main()
