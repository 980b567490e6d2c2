"""AES-128 as LoRaWAN uses it: CMAC (RFC 4493), the MIC, payload encryption (TS001-1.0.4).

A device only ever encrypts: the network "decrypts" a join-accept so that encrypting it on the device gives the plain text back (6.2.6).
"""

from struct import pack

from cryptolib import aes
from micropython import const

_ECB = const(1)
UP = 0
DOWN = 1


def _xor(a, b):
    return bytes([x ^ y for x, y in zip(a, b)])


def _double(block):
    """Multiply by x in GF(2^128), most significant bit first (RFC 4493, 2.3)."""
    out = bytearray(16)
    carry = 0
    for i in range(15, -1, -1):
        out[i] = (block[i] << 1) & 0xFF | carry
        carry = block[i] >> 7
    if carry:
        out[15] ^= 0x87
    return bytes(out)


class Key:
    """One AES-128 key, 16 bytes; the cipher and the CMAC subkeys are made once, since each costs AES blocks."""

    def __init__(self, key):
        if len(key) != 16:
            raise ValueError("AES key: %d bytes, expected 16" % len(key))
        self.key = bytes(key)
        self._aes = aes(self.key, _ECB)
        self._subkeys = None

    def encrypt(self, blocks):
        """ECB over a multiple of 16 bytes."""
        return self._aes.encrypt(blocks)

    def cmac(self, message):
        """AES-CMAC of `message`, 16 bytes (RFC 4493, 2.4)."""
        if self._subkeys is None:
            k1 = _double(self.encrypt(bytes(16)))
            self._subkeys = (k1, _double(k1))
        last = max(0, (len(message) - 1) // 16 * 16)
        tail = message[last:]
        if len(tail) == 16:
            tail = _xor(tail, self._subkeys[0])
        else:
            tail = _xor(tail + b"\x80" + bytes(15 - len(tail)), self._subkeys[1])
        state = bytes(16)
        for i in range(0, last, 16):
            state = self.encrypt(_xor(state, message[i : i + 16]))
        return self.encrypt(_xor(state, tail))


def data_mic(key, message, direction, dev_addr, fcnt):
    """MIC of a data frame, 4 bytes: CMAC over B0 and the frame up to the MIC, with the 32-bit counter (4.4). `dev_addr`: 4 bytes as on air."""
    return key.cmac(pack("<BIB4sIBB", 0x49, 0, direction, dev_addr, fcnt, 0, len(message)) + message)[:4]


def crypt(key, data, direction, dev_addr, fcnt):
    """Encrypt or decrypt an FRMPayload: exclusive or with the encrypted blocks A1..An (4.3.3)."""
    blocks = b"".join(
        [pack("<BIB4sIBB", 1, 0, direction, dev_addr, fcnt, 0, i) for i in range(1, (len(data) + 15) // 16 + 1)]
    )
    return _xor(data, key.encrypt(blocks)) if data else b""
