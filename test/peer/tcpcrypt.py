# SPDX-License-Identifier: BSD-2-Clause
"""TCP-ENO (RFC 8547) and tcpcrypt (RFC 8548) once more, from the RFC texts alone: fresh key
exchange with X25519 or P-256, and session resumption, with AES-128-GCM. It is strict about what it is sent, and sends
whatever it is told to."""
import dataclasses
import secrets
import struct

from crypto import CryptoError, Gcm, P256, X25519, expand, extract
from tcp import ACK, KIND_ENO, PSH, SYN, Violation

NEXTK, SESSID, REKEY, KEY_A, KEY_B, RESUME = (bytes([i]) for i in range(1, 7))
INIT1_MAGIC, INIT2_MAGIC = bytes.fromhex("15101a0e"), bytes.fromhex("097105e0")
TEPS = {0x21: P256, 0x23: X25519}
AES_128_GCM = 1
KEY_BYTES = 32
URGP, FINP = 2, 1
ACK_OPTION = bytes([KIND_ENO, 2])


def eno(*suboptions):
    """A SYN-form ENO option of these suboption bytes."""
    body = b"".join(bytes([s]) if isinstance(s, int) else s for s in suboptions)
    return bytes([KIND_ENO, 2 + len(body)]) + body


@dataclasses.dataclass
class Offer:
    """A SYN-form ENO option, read strictly: this is what a peer may send."""

    role_bit: int
    app_aware: int
    teps: list  # all, with and without resumption
    resume: tuple  # (TEP, half of an identifier, nonce), or None
    raw: bytes

    @classmethod
    def of(cls, segment):
        options = segment.eno()
        if not options:
            return None
        # 8547-4.1-5
        if len(options) > 1:
            raise Violation("more than one ENO option in a SYN")
        body, resume = cls.split_resumption(options[0][2:])
        globals_ = [b for b in body if b < 0x20]
        # 8547-4.2-1
        if len(globals_) > 1:
            raise Violation("more than one global suboption")
        flags = globals_[0] if globals_ else 0
        # 8547-4.2-7
        if flags & 0x1C:
            raise Violation("reserved bits set in the global suboption")
        teps = [b for b in body if b >= 0x20]
        # 8548-3.5-15, 8548-3.5-16
        if resume:
            teps.append(resume[0])
        if len(set(teps)) != len(teps):
            raise Violation("a TEP twice")
        return cls(flags & 1, flags >> 1 & 1, teps, resume, options[0])

    @staticmethod
    def split_resumption(body):
        """What comes before the suboption with data, which is the last, and that one."""
        for at, byte in enumerate(body):
            if not byte & 0x80:
                continue
            data = body[at + 1 :]
            # 8548-3.5-1, 8548-3.5-4, 8548-3.5-5
            if byte < 0xA0 or not 9 <= len(data) <= 17:
                raise Violation(f"suboption {body[at:].hex()}")
            return body[:at], (byte & 0x7F, bytes(data[:9]), bytes(data[9:]))
        return body, None


class Secret:
    """ss[i] of a session in which this end had a role."""

    def __init__(self, value, role, tep):
        self.value = value
        self.role = role
        self.tep = tep

    def after(self):
        return Secret(expand(self.value, NEXTK, KEY_BYTES), self.role, self.tep)

    def half(self, role):
        """The half of its identifier that the end with this original role sends."""
        identifier = expand(self.value, RESUME, 18)
        return identifier[:9] if role == "A" else identifier[9:]

    @property
    def own_half(self):
        return self.half(self.role)

    @property
    def other_half(self):
        return self.half("B" if self.role == "A" else "A")

    def suboption(self, nonce=b""):
        return bytes([0x80 | self.tep]) + self.own_half + nonce


class Direction:
    """The keys of one direction, generation by generation."""

    def __init__(self, master, label, offset):
        self.master = master
        self.label = label
        self.offset = offset
        self.generation = 0
        self.load()

    def load(self):
        key = expand(self.master, self.label, Gcm.key_length + Gcm.nonce_length)
        self.aead = Gcm(key[: Gcm.key_length])
        self.randomizer = int.from_bytes(key[Gcm.key_length :], "big")

    def step(self):
        self.master = expand(self.master, REKEY, KEY_BYTES)
        self.generation += 1
        self.load()

    def nonce(self):
        return (self.randomizer ^ self.offset).to_bytes(Gcm.nonce_length, "big")


@dataclasses.dataclass
class Frame:
    rekey: bool
    fin: bool
    urgent: int
    data: bytes


class Session:
    """The end of a connection that has negotiated a TEP. role "A" or "B"."""

    def __init__(self, connection, role, tep, transcript):
        self.connection = connection
        self.role = role
        self.tep = tep
        self.tep_byte = tep
        self.transcript = transcript
        self.pair = TEPS[tep](secrets.token_bytes(32))
        self.nonce = secrets.token_bytes(32)
        self.consumed = 0  # bytes of the connection's stream
        self.frames_in = []
        self.finished = False  # FINp came
        self.resumed = False

    # ---- Init messages ----

    def make_init(self, ciphers=(AES_128_GCM,), ignored=b"", public=None, magic=None, length=None,
                  nciphers=None):
        if self.role == "A":
            count = len(ciphers) if nciphers is None else nciphers
            body = bytes([count]) + b"".join(c.to_bytes(2, "big") for c in ciphers)
            own_magic = INIT1_MAGIC
        else:
            body, own_magic = ciphers[0].to_bytes(2, "big"), INIT2_MAGIC
        body += self.nonce + (self.pair.public if public is None else public) + ignored
        total = 8 + len(body) if length is None else length
        return (own_magic if magic is None else magic) + total.to_bytes(4, "big") + body

    def read_init(self):
        """Waits for the other end's Init message and checks every field of it."""
        magic = INIT2_MAGIC if self.role == "A" else INIT1_MAGIC
        head = self.connection.wait_bytes(8)
        length = int.from_bytes(head[4:8], "big")
        if head[:4] != magic:
            raise Violation(f"Init begins with {head[:4].hex()}")
        message = self.connection.wait_bytes(length)
        self.check_push(length)
        at = 8
        if self.role == "A":
            ciphers, at = [int.from_bytes(message[8:10], "big")], 10
        else:
            ciphers = [int.from_bytes(message[9 + 2 * i : 11 + 2 * i], "big")
                       for i in range(message[8])]
            at = 9 + 2 * message[8]
        if not ciphers or AES_128_GCM not in ciphers:
            raise Violation(f"ciphers {ciphers}")
        at += 32
        public, size = TEPS[self.tep].split(message[at:])
        # 8548-4.1-1, 8548-4.1-3
        if at + size != length:
            raise Violation("an Init message with bytes to be ignored")
        # 8548-5-2
        if self.tep == 0x21 and (size != 35 or public[2] not in (2, 3)):
            raise Violation("a P-256 key that is not compressed")
        self.consumed = length
        return message, public

    def check_push(self, length):
        """8548-3.3-2: the segment with the last byte of Init is pushed."""
        connection = self.connection
        for segment in connection.incoming():
            at = (segment.seq - connection.irs - 1) & 0xFFFFFFFF
            if segment.payload and at < length <= at + len(segment.payload):
                if not segment.has(PSH):
                    raise Violation("no PSH on the last byte of Init")

    def derive(self, own, other, public):
        """The keys from both Init messages."""
        init1, init2 = (own, other) if self.role == "A" else (other, own)
        nonce_at = 9 + 2 * init1[8]
        secret = self.pair.shared(public)
        prk = extract(init1[nonce_at : nonce_at + 32],
                      self.transcript + init1 + init2 + secret)
        self.session_id = bytes([self.tep_byte]) + expand(prk, SESSID, KEY_BYTES)
        self.secret = Secret(prk, self.role, self.tep)
        master = expand(prk, REKEY, KEY_BYTES)
        to_b = Direction(master, KEY_A, len(init1))
        to_a = Direction(master, KEY_B, len(init2))
        self.tx, self.rx = (to_b, to_a) if self.role == "A" else (to_a, to_b)

    def exchange(self, size=1400, **init):
        """The whole key exchange; size: of the segments that carry our Init message."""
        own = self.make_init(**init)
        if self.role == "A":
            self.connection.send(own, size)
            other, public = self.read_init()
        else:
            other, public = self.read_init()
            self.connection.send(own, size)
        self.derive(own, other, public)
        return self

    def resume(self, secret, own_nonce, other_nonce):
        """Keys from an earlier session's secret: no message is exchanged, frames begin at 0."""
        nonces = own_nonce + other_nonce if secret.role == "A" else other_nonce + own_nonce
        self.tep_byte = 0x80 | self.tep
        self.session_id = bytes([self.tep_byte]) + expand(secret.value, SESSID + nonces, KEY_BYTES)
        self.secret = secret
        master = expand(secret.value, REKEY + nonces, KEY_BYTES)
        to_b, to_a = Direction(master, KEY_A, 0), Direction(master, KEY_B, 0)
        # 8548-3.5-25: by the original role.
        self.tx, self.rx = (to_b, to_a) if secret.role == "A" else (to_a, to_b)
        self.resumed = True
        return self

    # ---- frames ----

    def seal(self, data=b"", fin=False, urgent=None, rekey=False, cres=0, fres=0):
        """A frame. cres, fres: reserved bits of the control and the flags byte."""
        if rekey:
            self.tx.step()
        flags = (FINP if fin else 0) | (URGP if urgent is not None else 0) | fres
        plain = bytes([flags]) + (b"" if urgent is None else struct.pack("!H", urgent)) + data
        return self.seal_plain(plain, (1 if rekey else 0) | cres)

    def seal_plain(self, plain, control=0):
        head = bytes([control]) + struct.pack("!H", len(plain) + 16)
        frame = head + self.tx.aead.seal(self.tx.nonce(), head, plain)
        self.tx.offset += len(frame)
        return frame

    def send(self, data=b"", size=1400, **options):
        self.connection.send(self.seal(data, **options), size)

    def read(self):
        """The next frame, checked."""
        connection = self.connection
        head = connection.wait_bytes(self.consumed + 3)[self.consumed :]
        length = int.from_bytes(head[1:3], "big")
        sealed = connection.wait_bytes(self.consumed + 3 + length)[self.consumed + 3 :]
        # 8548-4.2-1
        if head[0] & 0xFE:
            raise Violation("reserved bits set in the control byte")
        # 8548-3.7-1
        if self.finished:
            raise Violation("a frame after the one with FINp")
        if head[0] & 1:
            self.rx.step()
        try:
            plain = self.rx.aead.open(self.rx.nonce(), head, sealed)
        except CryptoError:
            raise Violation("a frame that does not authenticate") from None
        # 8548-4.2.1-1
        if plain[0] & 0xFC:
            raise Violation("reserved bits set in the flags byte")
        self.rx.offset += 3 + length
        self.consumed += 3 + length
        urgent = struct.unpack("!H", plain[1:3])[0] if plain[0] & URGP else None
        frame = Frame(bool(head[0] & 1), bool(plain[0] & FINP), urgent,
                      plain[3:] if plain[0] & URGP else plain[1:])
        self.finished = frame.fin
        self.frames_in.append(frame)
        return frame

    def read_data(self, length):
        """Application data of that length, and the frames it came in."""
        data = b""
        while len(data) < length:
            data += self.read().data
        return data

    def read_end(self):
        """Application data up to FINp, after which there must be FIN and nothing else."""
        data = b""
        while not self.finished:
            data += self.read().data
        self.connection.wait(lambda: self.connection.ended, "FIN behind FINp")
        if len(self.connection.stream) != self.consumed:
            raise Violation("bytes after FINp")
        return data


# ---- handshakes ---------------------------------------------------------------------------


def check_answer(synack, offered, secret=None):
    """The option in a passive opener's SYN-ACK; None when it has none. secret: the one that was
    offered to be resumed."""
    answer = Offer.of(synack)
    if answer is None:
        return None
    # 8547-4.2-3, 8547-4.6-14
    if answer.role_bit != 1:
        raise Violation("a passive opener without b = 1")
    # 8547-4.5-1
    if len(answer.teps) != 1 or answer.teps[0] not in offered:
        raise Violation(f"a passive opener that answers {answer.raw.hex()}")
    # 8548-3.5-6, 8548-3.5-7
    if answer.resume and (not secret or answer.resume[:2] != (secret.tep, secret.other_half)):
        raise Violation(f"resumption that was not offered: {answer.raw.hex()}")
    return answer


def open_connection(link, address, port, option=eno(0x23), ack=ACK_OPTION):
    """The three-way handshake as client; returns (connection, answer or None)."""
    connection = link.open(address, port)
    connection.syn(option)
    synack = connection.wait_for(SYN | ACK, "SYN-ACK")
    answer = check_answer(synack, {0x21, 0x23, 0x24, 0x22})
    connection.ack(ack if answer else b"")
    return connection, answer


def open_session(link, address, port, tep=0x23, option=None, **init):
    """An encrypted connection as client."""
    option = option or eno(tep)
    connection, answer = open_connection(link, address, port, option)
    if answer is None:
        raise Violation("ENO is not answered")
    session = Session(connection, "A", answer.teps[0], option + answer.raw)
    return session.exchange(**init)


def reopen_session(link, address, port, secret, nonce=b"", options=b""):
    """A connection as client that offers to resume; resumed or not is the server's choice.
    options: more of them for the SYN."""
    option = eno(secret.suboption(nonce))
    connection = link.open(address, port)
    connection.syn(options + option)
    answer = check_answer(connection.wait_for(SYN | ACK, "SYN-ACK"), {secret.tep}, secret)
    if answer is None:
        raise Violation("ENO is not answered")
    connection.ack(ACK_OPTION)
    session = Session(connection, "A", secret.tep, option + answer.raw)
    if answer.resume:
        return session.resume(secret, nonce, answer.resume[2])
    return session.exchange()


def accept_connection(link, port, option):
    """The three-way handshake as server; returns (connection, the client's offer or None)."""
    connection = link.accept(port)
    offer = Offer.of(connection.first(SYN))
    connection.synack(option)
    connection.wait_for(ACK, "ACK", without=SYN)
    return connection, offer


def accept_resumed(link, port, secret, nonce=b""):
    """A connection as server whose client must offer to resume with this secret."""
    connection = link.accept(port)
    offer = Offer.of(connection.first(SYN))
    if not offer or not offer.resume or offer.resume[:2] != (secret.tep, secret.other_half):
        raise Violation(f"an active opener that offers {offer}")
    option = eno(0x01, secret.suboption(nonce))
    connection.synack(option)
    connection.wait_for(ACK, "ACK", without=SYN)
    session = Session(connection, "B", secret.tep, offer.raw + option)
    return session.resume(secret, nonce, offer.resume[2])


def accept_session(link, port, tep=0x23, option=None, **init):
    """An encrypted connection as server."""
    option = option or eno(0x01, tep)
    connection, offer = accept_connection(link, port, option)
    if offer is None or tep not in offer.teps or offer.role_bit:
        raise Violation(f"an active opener that offers {offer}")
    session = Session(connection, "B", tep, offer.raw + option)
    session.exchange(**init)
    return session
