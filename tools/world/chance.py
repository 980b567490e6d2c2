"""Chance that does not depend on order: a draw is a hash of (seed, what, when), never the next of a shared stream.

So a board that boots twice, a second LoRa gateway or a test that asks one question more changes no other draw.
"""

from __future__ import annotations

from hashlib import blake2b

Key = int | str


def draw(seed: int, *what: Key) -> int:
    """64 random bits for this seed and these words and numbers."""
    text = "\x1f".join([str(seed), *(f"{type(word).__name__[0]}{word}" for word in what)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def below(seed: int, bound: int, *what: Key) -> int:
    """A whole number from 0 to bound - 1."""
    return draw(seed, *what) * bound >> 64


def unit(seed: int, *what: Key) -> float:
    """A number in [0, 1), a multiple of 2**-53."""
    return (draw(seed, *what) >> 11) * 2.0**-53


def bell(seed: int, *what: Key) -> float:
    """Mean 0, standard deviation 1, within ±5.9: a sum of 12 draws, as logarithms differ between machines."""
    bits = draw(seed, "bell", *what)
    total = sum(bits >> 5 * place & 31 for place in range(12))
    return (total - 186) / 31.98
