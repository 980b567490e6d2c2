"""What people do with the register: import a sheet, correct an entry, withdraw one. Each is one transaction with its audit line."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from ..errors import RegisterError
from ..rows import Segment
from .judge import refusal, withdrawal
from .sheets import OF_ROW, Kind, Row, from_cells, key, parse, to_cells
from .store import Entry, Origin, Register

_STEP = 500  # lines between two calls of `progress`


@dataclass(slots=True)
class Report:
    """What became of a sheet's lines. `refused` and `notes`: line number and reason; `kept`: whether the register took anything."""

    new: int = 0
    corrected: int = 0
    known: int = 0
    kept: bool = True
    refused: list[tuple[int, str]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)


def import_sheet(
    register: Register,
    kind: Kind,
    data: bytes,
    origin: Origin,
    *,
    zone: tzinfo | None = None,
    dry_run: bool = False,
    all_or_nothing: bool = False,
    progress: Callable[[int], None] = lambda _line: None,
) -> Report:
    """Takes a sheet's good lines. A line that says what an entry says, or said before it was corrected, changes nothing.

    A line that says otherwise than the current entry about the same thing is a correction if the origin has a reason, else refused.
    RegisterError where no line can be read.
    """
    report = Report()
    taken: dict[str, tuple[int, Row]] = {}
    try:
        with register.transaction(keep=not dry_run):
            for line in parse(data, kind, zone, origin.source):
                if line.number % _STEP == 0:
                    progress(line.number)
                if line.row is None:
                    report.refused.append((line.number, line.reason))
                else:
                    _take(register, line.number, line.row, origin, report, taken)
            _keep_or_leave(report, all_or_nothing=all_or_nothing)
            if report.new or report.corrected:
                register.note(origin.who, "import", _told(kind, data, origin, report))
    except _Nothing:
        report.kept = False
    return report


def correct(
    register: Register, number: int, changes: dict[str, str], origin: Origin, zone: tzinfo | None = None
) -> int:
    """Enters the row of entry `number` with other cells (by column), in its place; the new entry's number. RegisterError: why not."""
    with register.transaction():
        entry, row = _standing(register, number)
        kind = OF_ROW[type(row)]
        names = [column.name for column in kind.columns]
        if unknown := next((name for name in changes if name not in names), None):
            raise RegisterError(f"register: {kind.name} have no column {unknown!r}; they have {', '.join(names)}")
        try:
            changed = from_cells(to_cells(row) | changes, kind, zone)
        except ValueError as error:
            raise RegisterError(f"register: entry {number}: {error}") from None
        if changed == row:
            raise RegisterError(f"register: entry {number} says that already; nothing to correct")
        taken = next((other for other in register.about(changed) if other.current and other.id != entry.id), None)
        why = f"entry {taken.id} is about the same" if taken else refusal(changed, register.facts(changed, entry.id))
        why = why or _left_behind(register, entry, row, changed)
        if why is not None:
            raise RegisterError(f"register: entry {number}: {why}")
        made = register.append(changed, origin, entry.id)
        register.note(origin.who, "correct", f"{kind.name}: entry {made} in place of {number}: {origin.reason}")
    return made


def withdraw(register: Register, number: int, origin: Origin) -> int:
    """Takes the row of entry `number` out of the current view; the new entry's number. RegisterError: why not."""
    with register.transaction():
        entry, row = _standing(register, number)
        if why := withdrawal(row, register.facts(row, entry.id), register.named_by(row)):
            raise RegisterError(f"register: entry {number}: {why}")
        made = register.append_withdrawal(row, origin, entry.id)
        register.note(origin.who, "withdraw", f"{entry.kind}: entry {made} withdraws {number}: {origin.reason}")
    return made


class _Nothing(Exception):
    """A line was refused, so none is to be kept."""


def _keep_or_leave(report: Report, *, all_or_nothing: bool) -> None:
    if all_or_nothing and report.refused:
        raise _Nothing


def _take(
    register: Register, number: int, row: Row, origin: Origin, report: Report, taken: dict[str, tuple[int, Row]]
) -> None:
    if (before := taken.get(key(row))) is not None:
        line, said = before
        if said == row:
            report.known += 1
            report.notes.append((number, f"says the same as line {line}; taken once"))
        else:
            report.refused.append((number, f"line {line} says otherwise: {_differences(said, row)}"))
        return
    about = register.about(row)
    current = next((entry for entry in about if entry.current), None)
    if current is not None and current.row == row:
        report.known += 1
    elif (old := next((entry for entry in about if entry.row == row), None)) is not None:
        report.known += 1
        report.notes.append(
            (number, f"entry {old.id} said so until entry {_last(about, old)} took its place; left as it is")
        )
    elif current is not None and not origin.reason:
        told = _differences(current.row, row) if current.row is not None else ""
        report.refused.append(
            (number, f"entry {current.id} says otherwise: {told}; to correct it import with --correct REASON")
        )
    else:
        _enter(register, number, row, origin, report, current)
    if not report.refused or report.refused[-1][0] != number:
        taken[key(row)] = (number, row)


def _enter(register: Register, number: int, row: Row, origin: Origin, report: Report, current: Entry | None) -> None:
    why = refusal(row, register.facts(row, current.id if current else None))
    if why is None and current is not None and current.row is not None:
        why = _left_behind(register, current, current.row, row)
    if why is not None:
        report.refused.append((number, why))
    elif current is not None:
        register.append(row, origin, current.id)
        report.corrected += 1
    else:
        register.append(row, origin._replace(reason=""))
        report.new += 1


def _left_behind(register: Register, entry: Entry, row: Row, changed: Row) -> str | None:
    """Why the old row may not go, where the new one is about something else: another id, another meter."""
    if isinstance(row, Segment) and isinstance(changed, Segment):
        same = (row.site, row.serial) == (changed.site, changed.serial)
    else:
        same = key(row) == key(changed)
    return None if same else withdrawal(row, register.facts(row, entry.id), register.named_by(row))


def _standing(register: Register, number: int) -> tuple[Entry, Row]:
    entry = register.entry(number)
    if entry.superseded_by is not None:
        raise RegisterError(f"register: entry {entry.superseded_by} took the place of {number}; correct that one")
    if entry.row is None:
        raise RegisterError(f"register: entry {number} is a withdrawal; import the row again to have it back")
    return entry, entry.row


def _differences(old: Row, new: Row) -> str:
    """Columns that differ, with both values unless they are personal."""
    before, after = to_cells(old), to_cells(new)
    told = []
    for column in OF_ROW[type(old)].columns:
        name = column.name
        if before[name] != after[name]:
            told.append(
                name if column.personal else f"{name} {before[name] or 'empty'} there, {after[name] or 'empty'} here"
            )
    return ", ".join(told)


def _last(about: Sequence[Entry], old: Entry) -> int:
    """The entry that took the place of `old`, or of the one that took it, as far as they are about the same."""
    by_id = {entry.id: entry for entry in about}
    found = old
    while found.superseded_by in by_id:
        found = by_id[found.superseded_by]
    return found.superseded_by or found.id


def _told(kind: Kind, data: bytes, origin: Origin, report: Report) -> str:
    digest = hashlib.sha256(data).hexdigest()
    counts = f"{report.new} new, {report.corrected} corrected, {report.known} known, {len(report.refused)} refused"
    why = f": {origin.reason}" if origin.reason else ""
    return f"{kind.name} from {origin.source} (SHA-256 {digest}): {counts}{why}"
