"""Where sites, LoRa gateways and foreign nodes stand in a made-up city, and what a path between two of them loses.

Between a gateway on a roof and a node in the street: 3GPP TR 45.820, Table D.1 (macro cells, 900 MHz),

    loss = 120.9 + 37.6 log10(distance in km) dB

with log-normal shadowing of 8 dB, of which a place shares half (as variance) among its paths to all gateways, and a least
coupling loss of 70 dB (3GPP TR 36.942, section 4.5.2, whose macro formula this is at 900 MHz with antennas 15 m above the
roofs). Shadowing is fixed for each path by the seed. Between two roofs: free space. Ours, without a source: 15 dB more for
a meter in its pit, 20 dB more between two nodes in the street, antennas as in `NODE_DBI` and `GATEWAY_DBI`.

Units: m east and north of the city's middle, dB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import sqrt

from . import chance
from .sites import GATEWAY_ID, Site

RADIUS_M = 2500
"""Of the city, round its middle."""
DISTRICTS = {"centre": (0, 0), "gare": (500, 1500), "bissy": (-1600, 200), "biollay": (300, -1500)}
"""Middle of each quarter; a site stands within `DISTRICT_M` of its quarter's."""
DISTRICT_M = 900
PIT_DB = 15.0
STREET_DB = 20.0
SHADOWING_DB = 8.0
LEAST_LOSS_DB = 70.0
NODE_DBI = 2.0
"""As ANTENNA_GAIN_DB of the boards' files."""
GATEWAY_DBI = 3.0
"""For what it hears; what it sends is given as radiated."""
_CANDIDATES = 32
_ORIGIN = (45.0, 5.0)
_M_PER_DEGREE = (111_320, 78_715)
"""Of latitude, of longitude at 45 degrees."""


@dataclass(frozen=True)
class Place:
    """Where something stands: m east and north, on a roof or in the street, and what stands round it takes in dB."""

    east_m: int
    north_m: int
    roof: bool = False
    cover_db: float = 0.0


def macro_loss_db(distance_m: float) -> float:
    """Median loss in dB between a roof and the street, at 868 MHz; antennas without gain."""
    return max(LEAST_LOSS_DB, 120.9 + 37.6 * _log10(distance_m / 1000))


def free_space_db(distance_m: float) -> float:
    """Loss in dB at 868 MHz: 32.44 + 20 log10(MHz) + 20 log10(km) (ITU-R P.525)."""
    return max(LEAST_LOSS_DB, 91.2 + 20 * _log10(distance_m / 1000))


def _log10(value: float) -> float:
    """By `decimal`, which rounds alike on every machine; the C library's does not."""
    return float(Decimal(max(value, 0.001)).log10())


class CityMap:
    """A city's places by name: DevEUI, gateway id, name of a foreign node."""

    def __init__(self, seed: int, sites: Sequence[Site], gateways: int = 3) -> None:
        """The first gateway stands on the town hall, each other where it is far from those before it."""
        self.seed = seed
        self._places: dict[str, Place] = {}
        for site in sites:
            middle = DISTRICTS[site.district]
            self._places[site.dev_eui] = self._within(
                DISTRICT_M, site.dev_eui, middle, cover_db=PIT_DB if site.kind == "meter" else 0.0
            )
        self.gateways = [GATEWAY_ID] + [
            f"7276ff00{chance.draw(seed, 'gateway', number) >> 32:08x}" for number in range(1, gateways)
        ]
        for number, gateway_id in enumerate(self.gateways):
            self._places[gateway_id] = self._roof(number)

    def _within(self, radius: int, name: str, middle: tuple[int, int] = (0, 0), cover_db: float = 0.0) -> Place:
        for attempt in range(1000):
            east, north = (
                chance.below(self.seed, 2 * radius + 1, "place", name, axis, attempt) - radius for axis in (0, 1)
            )
            if east * east + north * north <= radius * radius:
                return Place(middle[0] + east, middle[1] + north, cover_db=cover_db)
        raise AssertionError("a draw from a square misses its circle 1000 times")

    def _roof(self, number: int) -> Place:
        if number == 0:
            return Place(0, 0, roof=True)
        before = [self._places[gateway_id] for gateway_id in self.gateways[:number]]
        candidates = [self._within(RADIUS_M * 3 // 5, f"roof {number} {each}") for each in range(_CANDIDATES)]
        best = max(candidates, key=lambda place: min(_squared_m(place, other) for other in before))
        return Place(best.east_m, best.north_m, roof=True)

    def put(self, name: str, place: Place) -> None:
        """Something more on the map, or elsewhere than by the seed."""
        self._places[name] = place

    def place(self, name: str) -> Place:
        """Where something stands; what the map does not know stands in some street of the city."""
        if name not in self._places:
            self._places[name] = self._within(RADIUS_M, name)
        return self._places[name]

    def distance_m(self, one: str, other: str) -> float:
        """Between two places, in m."""
        return sqrt(_squared_m(self.place(one), self.place(other)))

    def degrees(self, name: str) -> tuple[float, float]:
        """Latitude and longitude, of a city that is made up: what stands on the ground there is another one."""
        place = self.place(name)
        north, east = place.north_m / _M_PER_DEGREE[0], place.east_m / _M_PER_DEGREE[1]
        return round(_ORIGIN[0] + north, 6), round(_ORIGIN[1] + east, 6)

    def shadowing_db(self, node: str, gateway_id: str) -> float:
        """What buildings add to or take from a path's median: 8 dB of standard deviation, half the variance the node's own."""
        own = chance.bell(self.seed, "shadow", node)
        path = chance.bell(self.seed, "shadow", node, gateway_id)
        return SHADOWING_DB * sqrt(0.5) * (own + path)

    def loss_db(self, sender: str, receiver: str) -> float:
        """`air.Ground`: path, shadowing and cover less the antennas, to a quarter of a dB."""
        one, other = self.place(sender), self.place(receiver)
        distance = self.distance_m(sender, receiver)
        if one.roof and other.roof:
            loss = free_space_db(distance)
        else:
            node, mast = (receiver, sender) if one.roof else (sender, receiver)
            if not one.roof and not other.roof:
                node, mast = sorted((sender, receiver))
            loss = macro_loss_db(distance) + self.shadowing_db(node, mast) + one.cover_db + other.cover_db
            loss += 0.0 if one.roof or other.roof else STREET_DB
            loss = max(LEAST_LOSS_DB, loss)
        gains = (0.0 if one.roof else NODE_DBI) + (GATEWAY_DBI if other.roof else NODE_DBI)
        return round((loss - gains) * 4) / 4


def _squared_m(one: Place, other: Place) -> int:
    return (one.east_m - other.east_m) ** 2 + (one.north_m - other.north_m) ** 2
