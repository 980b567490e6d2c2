"""ChirpStack's default ADR algorithm (chirpstack/src/adr/default.rs, 4.20): data rate first, then power, NbTrans by losses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

INSTALLATION_MARGIN_DB = 10.0
HISTORY = 20  # frames
_NB_TRANS = ((5.0, (1, 1, 2)), (10.0, (1, 2, 3)), (30.0, (2, 3, 3)))  # loss below %, by the present NbTrans 1 to 3
_NB_TRANS_WORST = (3, 3, 3)


class Heard(NamedTuple):
    """One frame of the history: its counter, the best SNR of its receptions in dB, and the power index it was sent with."""

    f_cnt: int
    max_snr: float
    tx_power: int


class Setting(NamedTuple):
    """What a LinkADRReq sets."""

    dr: int
    tx_power: int
    nb_trans: int


def loss_percent(history: Sequence[Heard]) -> float:
    """Frames lost in the history, in percent; 0 until the history is full."""
    if len(history) < HISTORY:
        return 0.0
    lost = sum(b.f_cnt - a.f_cnt - 1 for a, b in pairwise(history))
    return lost / len(history) * 100.0


def _nb_trans(now: int, loss: float) -> int:
    column = min(max(now, 1), 3) - 1
    for limit, row in _NB_TRANS:
        if loss < limit:
            return row[column]
    return _NB_TRANS_WORST[column]


def wanted(now: Setting, history: Sequence[Heard], required_snr: float, max_dr: int, max_tx_power: int) -> Setting:
    """The setting that the device should have; equal to `now` (but for NbTrans) where nothing speaks for a change."""
    dr, power = min(now.dr, max_dr), now.tx_power
    nb_trans = _nb_trans(now.nb_trans, loss_percent(history))
    best = max((h.max_snr for h in history), default=-999.0)
    steps = int((best - required_snr - INSTALLATION_MARGIN_DB) / 3.0)  # towards zero, as Rust's `as isize`
    if steps < 0 and sum(h.tx_power == now.tx_power for h in history) != HISTORY:
        return Setting(dr, power, nb_trans)  # no more power on a short history: it would go up and down
    for _ in range(abs(steps)):
        if steps < 0:
            power = max(power - 1, 0)
        elif dr < max_dr:
            dr += 1
        elif power < max_tx_power:
            power += 1
    return Setting(dr, power, nb_trans)
