"""Which boards a city has: everything about a site follows from the seed and its number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from . import chance

Kind = Literal["air", "bin", "meter"]
KINDS: tuple[Kind, ...] = ("air", "bin", "meter")
JOIN_EUI = "0000000000000000"
GATEWAY_ID = "7276ff002e062701"
"""EUI of the city's LoRa gateway on the town hall; others follow from the seed (`map.py`)."""
LEAKING = 2
"""Number of the site whose house leaks: the first meter."""


@dataclass(frozen=True)
class Site:
    """One place with one board. `dev_eui` 16, `app_key` 32 hex digits."""

    number: int
    kind: Kind
    dev_eui: str
    app_key: str
    board: str = "bare_s3"
    """The board's file in firmware/boards; `equip` knows its radio."""

    @property
    def name(self) -> str:
        """The device's name in the network server: kind and number, nothing of a household."""
        return f"{self.kind}-{self.number:04d}"

    @property
    def leaks(self) -> bool:
        """Whether the house behind this meter has a leak."""
        return self.number == LEAKING

    @property
    def district(self) -> str:
        """A word for the device's tags."""
        return ("centre", "gare", "bissy", "biollay")[self.number // 3 % 4]

    def config_file(self) -> bytes:
        """The board's /config.json (docs/internals.md)."""
        values = {
            "kind": self.kind,
            "board": self.board,
            "dev_eui": self.dev_eui,
            "join_eui": JOIN_EUI,
            "app_key": self.app_key,
            "region": "eu868",
        }
        return json.dumps(values, indent=1).encode()


def plan(seed: int, boards: int) -> list[Site]:
    """The first `boards` sites of the city of this seed: air, bin, meter in turn."""
    return [
        Site(
            number,
            KINDS[number % 3],
            f"{chance.draw(seed, 'dev_eui', number):016x}",
            f"{chance.draw(seed, 'key', number, 0):016x}{chance.draw(seed, 'key', number, 1):016x}",
        )
        for number in range(boards)
    ]
