"""Devices into ChirpStack, safe to run again: what is there stays, what is missing is completed, what is another's is named.

The order makes a power cut harmless: look, draw, write the keys file, and only then create. A second run finds every drawn
DevEUI and key in the file, and the devices that the first one made on the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from . import chirpstack
from .chirpstack import Api, Devices, Place
from .inventory import Drawing, Keys, Row, complete

Progress = Callable[[int, int], None]
"""Called with (done, of all)."""
What = Literal["new", "keyless", "there", "refused"]


@dataclass(frozen=True)
class Names:
    """Where the devices are to be, by name; `tenant_id` instead of `tenant` for a tenant's own token."""

    tenant: str = chirpstack.TENANT
    application: str = chirpstack.APPLICATION
    profile: str = chirpstack.PROFILE
    tenant_id: str = ""


@dataclass(frozen=True)
class Found:
    """A row as it stands: what is to be done for it, and, where it is refused, why."""

    row: Row
    what: What
    why: str = ""


@dataclass
class Report:
    """What came of it. `made`: tenant, application, profile; `refused`: a sentence each."""

    made: list[str] = field(default_factory=list)
    created: int = 0
    keys: int = 0
    there: int = 0
    refused: list[str] = field(default_factory=list)

    def text(self) -> str:
        """One line."""
        parts = [f"{self.created} devices created", f"{self.there} there already"]
        if self.keys:
            parts.append(f"{self.keys} keys completed")
        if self.refused:
            parts.append(f"{len(self.refused)} refused")
        return ", ".join(parts)


def look(
    connection: Api, names: Names, rows: Sequence[Row], keys: Keys, prefix: str, progress: Progress, *, draw: bool
) -> tuple[Place, list[Found]]:
    """Every row compared with keys file and network, nothing changed. `draw`: DevEUI and key of what is new are chosen."""
    place = chirpstack.find(connection, names.tenant, names.application, names.profile, tenant_id=names.tenant_id)
    devices = Devices(connection, place)
    listed = devices.listed()
    by_name: dict[str, list[str]] = {}
    for dev_eui, device in listed.items():
        by_name.setdefault(str(device.name), []).append(dev_eui)
    drawing = Drawing(prefix, [*keys.rows, *listed, *(row.dev_eui for row in rows)])
    found = []
    for number, given in enumerate(rows):
        progress(number, len(rows))
        row, why = _remembered(given, keys, by_name)
        if why:
            found.append(Found(row, "refused", why))
        elif row.dev_eui in listed:
            found.append(_there(row, devices, str(listed[row.dev_eui].device_profile_id), place, keys))
        elif row.dev_eui and (holder := devices.holder(row.dev_eui)) == chirpstack.HERE:  # made since the list was read
            found.append(_there(row, devices, place.profile, place, keys))
        elif row.dev_eui and holder:
            found.append(Found(row, "refused", f"DevEUI {row.dev_eui} is held by {holder}; nothing is changed there"))
        else:
            drawn = complete(row, drawing) if draw else row
            while draw and not row.dev_eui and devices.holder(drawn.dev_eui):
                drawn = complete(row, drawing)
            found.append(Found(drawn, "new"))
    progress(len(rows), len(rows))
    return place, found


def _remembered(row: Row, keys: Keys, by_name: dict[str, list[str]]) -> tuple[Row, str]:
    """(the row with what the keys file knows of it, "" or why it cannot be)."""
    if not row.dev_eui:
        named = by_name.get(row.name, [])
        if kept := keys.named(row.name):
            row = replace(row, dev_eui=kept.dev_eui)
        elif len(named) > 1:
            return row, f"{len(named)} devices have this name ({', '.join(named)}); give the DevEUI"
        elif named:
            row = replace(row, dev_eui=named[0])
    known = keys.rows.get(row.dev_eui)
    if known is None:
        return row, ""
    for name in ("kind", "join_eui", "app_key"):
        given, kept_value = getattr(row, name), getattr(known, name)
        if given and given != kept_value:
            shown = "another one" if name == "app_key" else kept_value
            return row, f"{name}: {keys.path} has {shown}; nothing is changed, correct one of the two"
    all_of_it = {
        name: getattr(row, name) or getattr(known, name) for name in ("join_eui", "app_key", "site", "district")
    }
    return replace(row, **all_of_it), ""


def _there(row: Row, devices: Devices, profile: str, place: Place, keys: Keys) -> Found:
    """A device of this application."""
    if profile != place.profile:
        return Found(
            row, "refused", "it is there with another device profile; nothing is changed, give it that of this list"
        )
    key = devices.key(row.dev_eui)
    if key is None:
        return Found(complete(row, Drawing("", ())), "keyless")
    if row.app_key and row.app_key != key:
        why = f"the network has another key than {keys.path if row.dev_eui in keys.rows else 'the list'}"
        return Found(row, "refused", f"{why}; nothing is changed, correct one of the two")
    join_eui = row.join_eui or devices.join_eui(row.dev_eui)
    return Found(replace(row, join_eui=join_eui, app_key=key), "there")


def carry_out(
    connection: Api, names: Names, place: Place, found: Sequence[Found], keys: Keys, progress: Progress
) -> Report:
    """Writes the keys, then creates what is missing."""
    report = Report(refused=[f"{each.row.where}: {each.why}" for each in found if each.what == "refused"])
    wanted = [each for each in found if each.what != "refused"]
    before = set(keys.rows)
    fresh = [each.row for each in wanted if keys.rows.get(each.row.dev_eui) != replace(each.row, line=0)]
    if fresh:
        keys.add(replace(row, line=0) for row in fresh)
    place, report.made = chirpstack.complete(connection, place, names.tenant, names.application, names.profile)
    devices = Devices(connection, place)
    lost = []  # somebody else was quicker: what was drawn for these is nobody's key
    for number, each in enumerate(wanted):
        progress(number, len(wanted))
        row = each.row
        if each.what == "there":
            report.there += 1
            continue
        made = each.what == "new" and devices.create(row.dev_eui, row.join_eui, row.name, row.tags)
        if each.what == "new" and not made:
            holder = devices.holder(row.dev_eui) or "another tenant"
            if holder != chirpstack.HERE:
                report.refused.append(
                    f"{row.where}: DevEUI {row.dev_eui} is held by {holder}; nothing is changed there"
                )
                lost.append(row.dev_eui)
                continue
        if not devices.create_key(row.dev_eui, row.app_key) and devices.key(row.dev_eui) != row.app_key:
            report.refused.append(f"{row.where}: it has got another key meanwhile; run this again")
            lost.append(row.dev_eui)
            continue
        report.created += made
        report.keys += not made
    progress(len(wanted), len(wanted))
    if forgotten := set(lost) - before:
        keys.drop(forgotten)
    return report
