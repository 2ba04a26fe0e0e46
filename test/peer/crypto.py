# SPDX-License-Identifier: BSD-2-Clause
"""The cryptography of RFC 8548 for the peer: HKDF from the standard library, key agreement
and AES-GCM by libcrypto through ctypes. Nothing here is the project's own code."""
import ctypes
import ctypes.util
import hashlib
import hmac

lib = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")

POINTER = ctypes.c_void_p
NID_P256, NID_X25519 = 415, 1034
GCM_SET_IVLEN, GCM_GET_TAG, GCM_SET_TAG = 0x09, 0x10, 0x11
COMPRESSED = 2
TAG = 16

for name in (
    "EVP_PKEY_new_raw_private_key EVP_PKEY_new_raw_public_key EVP_PKEY_CTX_new "
    "EVP_CIPHER_CTX_new EVP_aes_128_gcm EC_GROUP_new_by_curve_name EC_POINT_new BN_bin2bn "
    "BN_new BN_CTX_new"
).split():
    getattr(lib, name).restype = POINTER
lib.EC_POINT_point2oct.restype = ctypes.c_size_t


class CryptoError(Exception):
    """libcrypto refused: a bad key, or a frame that does not authenticate."""


def need(result, what):
    if not result or result < 0:
        raise CryptoError(what)
    return result


# ---- HKDF (RFC 5869) ----------------------------------------------------------------------


def extract(salt, material):
    return hmac.digest(salt, material, hashlib.sha256)


def expand(key, info, length):
    block, output, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(key, block + info + bytes([counter]), hashlib.sha256)
        output += block
        counter += 1
    return output[:length]


# ---- key agreement ------------------------------------------------------------------------


class X25519:
    """A key pair; public is as it stands in an Init message."""

    def __init__(self, private):
        self.private = private
        base = b"\x09" + bytes(31)
        self.public = self.shared(base)

    def shared(self, public):
        own = POINTER(need(lib.EVP_PKEY_new_raw_private_key(
            NID_X25519, None, self.private, ctypes.c_size_t(32)), "private key"))
        other = POINTER(need(lib.EVP_PKEY_new_raw_public_key(
            NID_X25519, None, public, ctypes.c_size_t(32)), "public key"))
        context = POINTER(lib.EVP_PKEY_CTX_new(own, None))
        secret = ctypes.create_string_buffer(32)
        length = ctypes.c_size_t(32)
        try:
            need(lib.EVP_PKEY_derive_init(context), "derive")
            need(lib.EVP_PKEY_derive_set_peer(context, other), "peer key")
            need(lib.EVP_PKEY_derive(context, secret, ctypes.byref(length)), "derive")
        finally:
            lib.EVP_PKEY_CTX_free(context)
            lib.EVP_PKEY_free(own)
            lib.EVP_PKEY_free(other)
        return secret.raw

    @staticmethod
    def split(data):
        """The public key at the beginning of some bytes, and how long it is there."""
        return data[:32], 32


class P256:
    group = POINTER(lib.EC_GROUP_new_by_curve_name(NID_P256))
    context = POINTER(lib.BN_CTX_new())

    def __init__(self, private):
        self.scalar = POINTER(lib.BN_bin2bn(private, len(private), None))
        point = POINTER(lib.EC_POINT_new(self.group))
        need(lib.EC_POINT_mul(self.group, point, self.scalar, None, None, self.context), "key")
        encoded = ctypes.create_string_buffer(33)
        lib.EC_POINT_point2oct(self.group, point, COMPRESSED, encoded, ctypes.c_size_t(33),
                               self.context)
        lib.EC_POINT_free(point)
        self.public = len(encoded.raw).to_bytes(2, "big") + encoded.raw

    def shared(self, public):
        point, product = POINTER(lib.EC_POINT_new(self.group)), POINTER(lib.EC_POINT_new(self.group))
        encoded = ctypes.create_string_buffer(33)
        try:
            need(lib.EC_POINT_oct2point(self.group, point, public[2:],
                                        ctypes.c_size_t(len(public) - 2), self.context), "point")
            need(lib.EC_POINT_mul(self.group, product, None, point, self.scalar, self.context),
                 "product")
            lib.EC_POINT_point2oct(self.group, product, COMPRESSED, encoded, ctypes.c_size_t(33),
                                   self.context)
        finally:
            lib.EC_POINT_free(point)
            lib.EC_POINT_free(product)
        return encoded.raw[1:]  # the x coordinate

    @staticmethod
    def split(data):
        length = 2 + int.from_bytes(data[:2], "big")
        return data[:length], length


# ---- AEAD_AES_128_GCM (RFC 5116) ----------------------------------------------------------


class Gcm:
    key_length = 16
    nonce_length = 12

    def __init__(self, key):
        self.key = key
        self.context = POINTER(lib.EVP_CIPHER_CTX_new())

    def __del__(self):
        lib.EVP_CIPHER_CTX_free(self.context)

    def start(self, nonce, associated, encrypt):
        need(lib.EVP_CipherInit_ex(self.context, POINTER(lib.EVP_aes_128_gcm()), None, self.key,
                                   nonce, encrypt), "init")
        length = ctypes.c_int()
        need(lib.EVP_CipherUpdate(self.context, None, ctypes.byref(length), associated,
                                  len(associated)), "associated data")

    def run(self, data):
        output, length = ctypes.create_string_buffer(len(data) or 1), ctypes.c_int()
        need(lib.EVP_CipherUpdate(self.context, output, ctypes.byref(length), data, len(data)),
             "update")
        return output.raw[: len(data)]

    def seal(self, nonce, associated, plain):
        self.start(nonce, associated, 1)
        text, length = self.run(plain), ctypes.c_int()
        need(lib.EVP_CipherFinal_ex(self.context, ctypes.create_string_buffer(16),
                                    ctypes.byref(length)), "final")
        tag = ctypes.create_string_buffer(TAG)
        need(lib.EVP_CIPHER_CTX_ctrl(self.context, GCM_GET_TAG, TAG, tag), "tag")
        return text + tag.raw

    def open(self, nonce, associated, sealed):
        self.start(nonce, associated, 0)
        plain, length = self.run(sealed[:-TAG]), ctypes.c_int()
        need(lib.EVP_CIPHER_CTX_ctrl(self.context, GCM_SET_TAG, TAG,
                                     ctypes.create_string_buffer(sealed[-TAG:], TAG)), "tag")
        need(lib.EVP_CipherFinal_ex(self.context, ctypes.create_string_buffer(16),
                                    ctypes.byref(length)), "the frame does not authenticate")
        return plain
