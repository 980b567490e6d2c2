"""`cryptolib` with a stated cost for keys and blocks; the cipher is the interpreter's own."""

# ruff: noqa: D101, D102, N801  the class is called so on the board

import costs
import link
from ucryptolib import aes as _aes


class aes:
    def __init__(self, key, mode: int, *rest) -> None:
        self._aes = _aes(key, mode, *rest)
        link.spend(costs.AES_KEY)

    def encrypt(self, block, *out):
        result = self._aes.encrypt(block, *out)
        link.spend(costs.AES_BLOCK * (len(block) + 15 >> 4))
        return result

    def decrypt(self, block, *out):
        result = self._aes.decrypt(block, *out)
        link.spend(costs.AES_BLOCK * (len(block) + 15 >> 4))
        return result
