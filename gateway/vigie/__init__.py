"""Vigie's gateway: ChirpStack events from MQTT, through a spool that survives, to InfluxDB. For analysts: `vigie.frame`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import pandas as pd

    from .settings import Settings


def frame(
    measurement: str,
    dev_eui: str | None = None,
    *,
    since: str | datetime = "2d",
    until: str | datetime | None = None,
    settings: Settings | Path | str | None = None,
) -> pd.DataFrame:
    """The points of a measurement of docs/schema.md, of one node or of all (`dev_eui` None), oldest first: a row each.

    `since` is a span back from now (12h, 2d, 3w) or a time, `until` a time, not included (None: all there is); a time without a
    zone is UTC. `settings`: a settings file or what was read of it; None: the file that $VIGIE_SETTINGS names, else ./vigie.toml.
    The index `time` is UTC, tz-aware, in ns. The columns are `dev_eui` and every field of the schema in its order, by type: int
    Int64, float Float64, bool boolean, str string. What a point does not have is <NA>, never NaN, and no integer becomes a float.
    A reading that failed is <NA> with its code in `X_reason`. A meter's midnights and counts of the moment come together.
    UsageError names a word that is wrong, or pandas where it is missing (it is the extra `vigie[frame]`); SettingsError,
    InfluxError as for `vigie query`.
    """
    # Only here: the gateway needs no pandas, and who wants the codec alone none of the rest.
    from .errors import UsageError  # noqa: PLC0415 - as said

    try:
        from .frames import read_frame  # noqa: PLC0415 - as said
    except ModuleNotFoundError as error:
        if error.name not in {"pandas", "numpy"}:
            raise
        raise UsageError(f"frame: {error.name} is not installed; pip install 'vigie[frame]'") from None
    return read_frame(measurement, dev_eui, since, until, settings)
