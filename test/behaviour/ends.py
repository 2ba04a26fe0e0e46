# SPDX-License-Identifier: BSD-2-Clause
"""How connections end: shutdown, close, RST, silence."""
import functools
import select
import socket

from cases import case
from program import BROKEN, event_names, reset

BOTH = ("v4", "v6")
GONE = select.POLLERR | select.POLLHUP
END = select.POLLRDHUP
DEAD_SECONDS = 12  # several times what the options below ask for


# ---- orderly ends -------------------------------------------------------------------------


def ends_first(me, sock):
    """Ends its direction, reads what the other one still says, and its end."""
    sock.sendall(b"question")
    sock.shutdown(socket.SHUT_WR)
    me.call("send after shutdown", sock.send, b"x", socket.MSG_NOSIGNAL)
    me.read_to_end(sock)
    me.wait_event(sock, GONE & ~select.POLLERR | END)
    me.call("send after both ends", sock.send, b"x", socket.MSG_NOSIGNAL)
    me.call("shutdown after both ends", sock.shutdown, socket.SHUT_RDWR)
    sock.close()


def ends_last(me, sock):
    me.read_to_end(sock)
    me.wait_event(sock, END)
    sock.sendall(b"answer")
    me.call("read after the end", sock.recv, 1)
    sock.shutdown(socket.SHUT_WR)
    me.wait_event(sock, select.POLLHUP)
    sock.close()


def as_client(function):
    return lambda me: function(me, me.connect())


def as_server(function):
    return lambda me: function(me, me.accept())


case("shutdown by the client first", as_client(ends_first), as_server(ends_last), families=BOTH)
case("shutdown by the server first", as_client(ends_last), as_server(ends_first), families=BOTH)


def ends_at_once(me, sock):
    sock.sendall(b"mine")
    me.wait_unread(sock, 4)
    sock.shutdown(socket.SHUT_WR)
    me.read_to_end(sock)
    me.wait_event(sock, select.POLLHUP)
    sock.close()


case("shutdown by both at once", as_client(ends_at_once), as_server(ends_at_once), families=BOTH)


def shuts_reading(me, sock):
    me.wait_unread(sock, 5)
    sock.shutdown(socket.SHUT_RD)
    me.now_event(sock)
    me.read_to_end(sock)
    sock.sendall(b"still talking")
    sock.close()


def talks_on(me, sock):
    sock.sendall(b"first")
    me.read_to_end(sock)
    sock.close()


case("shutdown(SHUT_RD)", as_client(shuts_reading), as_server(talks_on))


def shuts_both_ways(me, sock):
    sock.sendall(b"last words")
    sock.shutdown(socket.SHUT_RDWR)
    me.call("recv", sock.recv, 1)
    me.call("send", sock.send, b"x", socket.MSG_NOSIGNAL)
    sock.close()


def hears_last_words(me, sock):
    me.read_to_end(sock)
    sock.close()


for _who in ("client", "server"):
    _pair = [as_client(shuts_both_ways), as_server(hears_last_words)]
    if _who == "server":
        _pair = [as_client(hears_last_words), as_server(shuts_both_ways)]
    case(f"shutdown(SHUT_RDWR) by the {_who}", *_pair)


def closes_at_once(me, sock):
    sock.close()


case("close at once by the client", as_client(closes_at_once), as_server(hears_last_words),
     families=BOTH)
case("close at once by the server", as_client(hears_last_words), as_server(closes_at_once),
     families=BOTH)


def lingers(me, sock):
    """close() returns when everything has been acknowledged."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\x14\0\0\0")
    sock.sendall(bytes(200_000))
    me.call("close", sock.close)


case("close with SO_LINGER 20", as_client(lingers), as_server(hears_last_words))


# ---- broken connections --------------------------------------------------------------------


def pair_of(breaker, witness, who):
    if who == "client":
        return as_client(breaker), as_server(witness)
    return as_client(witness), as_server(breaker)


def resets_at_once(me, sock):
    me.hear()
    reset(sock)


def witnesses(me, sock):
    me.tell("ready")
    me.wait_event(sock, GONE)
    me.read_to_end(sock)
    me.call("read again", sock.recv, 1)
    me.call("send", sock.send, b"x", socket.MSG_NOSIGNAL)
    me.error(sock)
    me.now_event(sock)
    sock.close()


def resets_after_data(me, sock):
    me.hear()
    sock.sendall(b"some data")
    me.hear()
    reset(sock)


def reads_then_reset(me, sock):
    """The data that came before the RST is there to be read."""
    me.tell("ready")
    me.wait_unread(sock, 9)
    me.tell("it has come")
    me.wait_event(sock, GONE)
    me.read_to_end(sock)
    me.call("read again", sock.recv, 1)
    me.error(sock)
    sock.close()


def resets_right_behind_data(me, sock):
    me.hear()
    sock.sendall(b"x" * 3000)
    reset(sock)


def reads_right_behind(me, sock):
    me.tell("ready")
    me.wait_event(sock, GONE)
    me.read_to_end(sock)
    sock.close()


def closes_unread(me, sock):
    me.wait_unread(sock, 4)
    sock.close()


def leaves_unread(me, sock):
    sock.sendall(b"data")
    me.wait_event(sock, GONE)
    me.read_to_end(sock)
    me.call("send", sock.send, b"x", socket.MSG_NOSIGNAL)
    sock.close()


def sees_error_by_waiting(me, sock):
    """A reader that sleeps in recv() is woken by the error."""
    me.tell("ready")
    me.call("recv", sock.recv, 1)
    me.call("recv again", sock.recv, 1)
    sock.close()


def sees_error_by_so_error(me, sock):
    me.tell("ready")
    me.wait_event(sock, GONE)
    me.error(sock)
    me.call("recv", sock.recv, 1)
    me.call("send", sock.send, b"x", socket.MSG_NOSIGNAL)
    sock.close()


def sees_error_by_send(me, sock):
    me.tell("ready")
    me.wait_event(sock, GONE)
    me.call("send", sock.send, b"x", socket.MSG_NOSIGNAL)
    me.call("send again", sock.send, b"x", socket.MSG_NOSIGNAL)
    me.call("recv", sock.recv, 1)
    sock.close()


def resets_half_closed(me, sock):
    """RST after the witness has sent its FIN."""
    me.read_to_end(sock)
    reset(sock)


def witnesses_half_closed(me, sock):
    sock.sendall(b"all I have")
    sock.shutdown(socket.SHUT_WR)
    me.wait_event(sock, GONE)
    me.read_to_end(sock)
    me.call("read again", sock.recv, 1)
    sock.close()


def resets_during_data(me, sock):
    sock.recv(10_000, socket.MSG_WAITALL)
    reset(sock)


def floods(me, sock):
    """Sends until the RST stops it, in whichever call."""
    try:
        while True:
            sock.send(bytes(10_000), socket.MSG_NOSIGNAL)
    except OSError as error:
        me.see("flood ended", "broken" if error.errno in BROKEN else error)
    me.call("send again", sock.send, b"x", socket.MSG_NOSIGNAL)
    sock.close()


def ends_then_resets(me, sock):
    """A FIN and, when the witness has seen it, a RST by answering data to a closed socket."""
    sock.sendall(b"bye")
    sock.close()


def writes_to_closed(me, sock):
    me.read_to_end(sock)
    me.call("send to a closed end", sock.send, b"x", socket.MSG_NOSIGNAL)
    me.wait_event(sock, GONE)
    me.error(sock)
    me.call("send again", sock.send, b"x", socket.MSG_NOSIGNAL)
    me.call("recv", sock.recv, 1)
    sock.close()


for _text, _breaker, _witness in (
    ("RST before data", resets_at_once, witnesses),
    ("RST after data", resets_after_data, reads_then_reset),
    ("RST right behind data", resets_right_behind_data, reads_right_behind),
    ("RST during data", resets_during_data, floods),
    ("RST after the other's FIN", resets_half_closed, witnesses_half_closed),
    ("RST seen by a sleeping recv", resets_at_once, sees_error_by_waiting),
    ("RST seen by SO_ERROR", resets_at_once, sees_error_by_so_error),
    ("RST seen by send", resets_at_once, sees_error_by_send),
    ("close with unread data", closes_unread, leaves_unread),
    ("data to a closed end", ends_then_resets, writes_to_closed),
):
    for _who in ("client", "server"):
        # There may be no time for keys.
        _options = {"inproc": None} if _breaker is resets_at_once else {}
        case(f"{_text}, by the {_who}", *pair_of(_breaker, _witness, _who), families=BOTH, **_options)


# ---- half-open death ----------------------------------------------------------------------


def link_goes_down(me, option, when):
    """The other host's link goes: the program's own bound on waiting tells."""
    sock = me.socket()
    set_all(sock, option if when == "before" else ())
    me.connect(sock=sock)
    sock.sendall(b"hello")
    me.see("read", sock.recv(5))
    set_all(sock, option if when == "after" else ())
    me.tell("cut")
    me.hear()
    if option is USER_TIMEOUT:
        sock.send(b"nobody hears this")
    poll = select.poll()
    poll.register(sock, 0)
    me.see("events", event_names(sum(mask for _, mask in poll.poll(DEAD_SECONDS * 1000))))
    sock.setblocking(False)
    me.call("recv", sock.recv, 1)
    me.call("recv again", sock.recv, 1)


def link_goes_down_full(me):
    """As much as there is room for waits to be sent when the other host's link goes."""
    sock = me.socket()
    set_all(sock, USER_TIMEOUT)
    me.connect(sock=sock)
    sock.sendall(b"hello")
    me.see("read", sock.recv(5))
    me.tell("cut")
    me.hear()
    try:
        while True:
            sock.send(bytes(100_000), socket.MSG_NOSIGNAL)
    except OSError as error:
        me.see("send", error)
    me.call("send again", sock.send, b"x", socket.MSG_NOSIGNAL)
    me.call("recv", sock.recv, 1)


def fixed_neighbour(net, hosts):
    """So that it is TCP that finds out, and not sooner or later the neighbours' protocol."""
    server = hosts["server"]
    shown = server.run(["ip", "-o", "link", "show", "dev", server.interfaces[0]]).stdout
    mac = shown.partition("link/ether ")[2].split()[0]
    hosts["client"].ip("neigh", "replace", server.addresses[socket.AF_INET], "lladdr", mac,
                       "nud", "permanent", "dev", server.interfaces[0])


def set_all(sock, option):
    for level, name, value in option:
        sock.setsockopt(level, name, value)


def cut_link(me):
    sock = me.accept()
    me.see("read", sock.recv(5))
    sock.sendall(b"world")
    me.wait_sent(sock)
    me.hear()
    me.host.ip("link", "set", me.host.interfaces[0], "down")
    me.tell("down")
    me.hear_end()


KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
)
USER_TIMEOUT = ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500),)


for _when in ("before", "after"):
    for _text, _option in (("SO_KEEPALIVE", KEEPALIVE), ("TCP_USER_TIMEOUT", USER_TIMEOUT)):
        case(f"dead host, {_text} set {_when} connect",
             functools.partial(link_goes_down, option=_option, when=_when), cut_link,
             own_net=True, prepare=fixed_neighbour)
case("dead host, while send() sleeps", link_goes_down_full,
     cut_link, own_net=True, prepare=fixed_neighbour)
