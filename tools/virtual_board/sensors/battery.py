"""The battery behind its divider, as the ADC pin sees it: a cell whose voltage falls slowly and evenly."""

from __future__ import annotations

from collections.abc import Callable

from ..wiring import Host

DAY = 86_400_000_000_000


class Battery:
    """An `AdcSource`: `full_uv` less `fall_uv_a_day`, divided by `divider`; or a truth of the test's own."""

    def __init__(
        self,
        since: int,
        *,
        full_uv: int = 3_600_000,
        fall_uv_a_day: int = 100,
        divider: int = 2,
        truth: Callable[[int], int] | None = None,
    ) -> None:
        """`since`: world time in ns of the new battery; `truth(ns)`, where given, is the cell's voltage in µV."""
        self._since, self._full, self._fall, self._divider = since, full_uv, fall_uv_a_day, divider
        self._truth = truth

    def attach(self, host: Host) -> None:
        """`Device.attach`."""
        self._host = host

    def power(self, on: bool) -> None:
        """`Device.power`: the cell is the supply and has no state of its own."""

    def cell_uv(self, when: int) -> int:
        """Voltage of the cell in µV at a world time in ns."""
        if self._truth is not None:
            return self._truth(when)
        return max(0, self._full - self._fall * max(0, when - self._since) // DAY)

    def microvolts(self, pin: int) -> int:  # noqa: ARG002 - one cell, one pin
        """`AdcSource.microvolts`."""
        return self.cell_uv(self._host.now) // self._divider
