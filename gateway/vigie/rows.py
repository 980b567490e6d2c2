"""The rows that register and query hand to the city's pure cores: values only, no reading, no judgement.

Times are int ns UTC since 1970, water is int ml, counts are int pulses, `None` is "not known" or "not given". `since_ns` belongs
to a span, `until_ns` does not any more; `until_ns` None: it goes on. DevEUIs are 16 lower-case hex digits.
"""

from typing import NamedTuple


class SiteRow(NamedTuple):
    """A place: kind "meter", "bin" or "air". Household, address, position and note never leave the register."""

    site: str
    kind: str
    district: str
    household_ref: str
    address: str
    lat: float | None
    lon: float | None
    note: str


class DeviceRow(NamedTuple):
    """A node and the site where it hangs now, None in stock. `interval_s`: how often a frame is expected, s.

    `model` is "" for a node of ours, else the maker's name for a foreign device; `serial` is the node's own, not the meter's.
    """

    dev_eui: str
    kind: str
    site: str | None
    interval_s: int | None
    model: str
    serial: str
    note: str


class Segment(NamedTuple):
    """One meter counted by one device in one count epoch: dial = anchor_ml + (count - anchor_count) * ml_per_pulse.

    `epoch` None: a foreign device that counts without epochs. The anchor is the dial at an instant with the count of that
    instant; the three are given together or None, where nobody has read the dial in this epoch. `out_ml`: the dial when the
    meter was taken out, at `until_ns`. `tolerance_l`: what a person accepts as lost, in litres, between the epoch before and this
    one where no anchor was read; None: nobody has accepted anything.
    """

    site: str
    serial: str
    dev_eui: str
    epoch: int | None
    ml_per_pulse: int
    anchor_ml: int | None
    anchor_ns: int | None
    anchor_count: int | None
    since_ns: int
    until_ns: int | None
    out_ml: int | None
    tolerance_l: int | None


class Dial(NamedTuple):
    """A reading of a meter's dial by a person, with its own time."""

    site: str
    serial: str
    time_ns: int
    ml: int
    who: str


class Count(NamedTuple):
    """A count that a device sent, in pulses (a tuple has a `count` of its own already).

    `epoch` None: the device counts without epochs. `unsure`: its time may be off by over 60 s.
    """

    dev_eui: str
    time_ns: int
    epoch: int | None
    pulses: int
    unsure: bool = False


class BinShape(NamedTuple):
    """A bin from its sensor down: floor at `depth_mm`, full at `full_mm`; `volume_l` litres lie between the two."""

    site: str
    depth_mm: int
    full_mm: int
    volume_l: int


class Commissioning(NamedTuple):
    """A technician's record of mounting a device: dial, count and epoch as read there; `photo` is a reference, no picture."""

    site: str
    dev_eui: str
    time_ns: int
    who: str
    lat: float | None
    lon: float | None
    serial: str
    dial_ml: int | None
    pulses: int | None
    epoch: int | None
    photo: str
    note: str


class Node(NamedTuple):
    """All of a device that may leave the register (contract 10); `ml_per_pulse` of the meter it counts now, else None."""

    dev_eui: str
    site: str
    district: str
    kind: str
    ml_per_pulse: int | None
