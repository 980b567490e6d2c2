"""Other networks in the same air: uplinks of nodes that are not the city's, at a stated rate, by the seed.

Four in five are LoRaWAN frames with a DevAddr of another network, which gateways hand on and the network server drops; the
others are of private networks, whose sync word a LoRaWAN gateway does not answer to. All of them collide with the city's.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import chance, lora
from .air import Air
from .frame import Transmission
from .gateway import EU868_CHANNELS

HOUR = 3_600_000_000_000
NODES = 40
"""Different senders, each somewhere else."""
PRIVATE_SYNC_WORD = 0x1424
SPREADING_FACTORS = (7, 7, 7, 7, 8, 8, 9, 9, 10, 11, 12, 12)
"""What a sender draws from; without measurement, many near and some that never heard of ADR."""
_POWER_DBM = 14.0
_NWK_IDS = (0x13, 0x20, 0x31, 0x48)
"""Networks of type 0 that the frames belong to; none is the city's (NetID 000000)."""


class ForeignNetworks:
    """Sends from its creation on; `frames` counts."""

    def __init__(self, air: Air, frames_an_hour: int, freqs_hz: Sequence[int] = ()) -> None:
        """`frames_an_hour`: one in each equal part of an hour, at an instant of the seed's; `freqs_hz`: default the gateways' channels."""
        if frames_an_hour < 1:
            raise ValueError(f"{frames_an_hour} foreign frames an hour: give 1 or more")
        self._air = air
        self._part = HOUR // frames_an_hour
        self._freqs = tuple(freqs_hz) or tuple(freq for freq, width in EU868_CHANNELS if width == 125_000)
        self.frames = 0
        self._next(air.clock.now // self._part + 1)

    def _next(self, part: int) -> None:
        when = part * self._part + chance.below(self._air.seed, self._part, "foreign", "when", part)
        self._air.clock.at(when, lambda: self._send(part))

    def _send(self, part: int) -> None:
        self._next(part + 1)
        self.frames += 1
        node = self._below(NODES, "node", part)
        # What a node is stays: network, data rate and place.
        factor = SPREADING_FACTORS[self._below(len(SPREADING_FACTORS), "sf", node)]
        private = self._below(5, "private", node) == 0
        what = Transmission(
            self._freqs[self._below(len(self._freqs), "freq", part)],
            factor,
            125_000,
            self._payload(node, part),
            _POWER_DBM,
            optimised=lora.low_data_rate(factor, 125_000),
            sync_word=PRIVATE_SYNC_WORD if private else lora.PUBLIC_SYNC_WORD,
        )
        self._air.transmit(f"foreign-{node:02d}", what)

    def _below(self, bound: int, *what: str | int) -> int:
        return chance.below(self._air.seed, bound, "foreign", *what)

    def _payload(self, node: int, part: int) -> bytes:
        """An unconfirmed data uplink of 8 to 31 bytes on port 1 to 99; its MIC is nobody's."""
        address = _NWK_IDS[self._below(len(_NWK_IDS), "network", node)] << 25 | self._below(1 << 25, "address", node)
        head = b"\x40" + address.to_bytes(4, "little") + b"\x80" + (part & 0xFFFF).to_bytes(2, "little")
        length = 8 + self._below(24, "length", part)
        rest = b"".join(
            chance.draw(self._air.seed, "foreign", "bytes", part, each).to_bytes(8, "big") for each in range(6)
        )
        return head + bytes([1 + self._below(99, "port", node)]) + rest[: length + 4]
