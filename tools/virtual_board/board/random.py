"""`random`, started from the board's entropy and never from the host's."""

# ruff: noqa: F401  the interpreter's own generator

import os

from urandom import choice, getrandbits, randint, random, randrange, uniform
from urandom import seed as _seed


def seed(n=None) -> None:
    """Without a number the generator is seeded from the hardware, as on the port."""
    _seed(int.from_bytes(os.urandom(4), "little") if n is None else n)
