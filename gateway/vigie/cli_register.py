# ruff: noqa: FBT002 - a command line's switches are booleans with a default
"""`vigie register ...`: what clerks and technicians do with the register."""

import csv
import getpass
import os
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Table

from .errors import EXIT_FAILED, RegisterError, UsageError
from .register import (
    KINDS,
    Entry,
    Kind,
    Register,
    Report,
    correct,
    import_sheet,
    kind_named,
    render,
    to_cells,
    withdraw,
)
from .register.cells import guarded, written_time
from .register.store import Origin

register_commands = typer.Typer(help="Sites, devices, meters, dial readings, bins.", no_args_is_help=True)

_KindName = Annotated[str, typer.Argument(metavar="KIND", help=", ".join(KINDS), show_default=False)]
_AnyKind = Annotated[str | None, typer.Argument(metavar="[KIND]", help=", ".join(KINDS), show_default=False)]
_Number = Annotated[int, typer.Argument(metavar="ENTRY", help="Its number, from `vigie register history`.")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the entry.", show_default=False)]
_Who = Annotated[str | None, typer.Option(help="Who enters it; else the user of this machine.", show_default=False)]
_Zone = Annotated[
    str | None, typer.Option(help="Zone of times without an offset, such as Europe/Paris.", show_default=False)
]
_Csv = Annotated[bool, typer.Option("--csv", help="CSV: comma, point, UTF-8.")]
_HISTORY = ("entry", "entered", "by", "source", "reason", "supersedes", "superseded_by")


@register_commands.command("import")
def _import(
    context: typer.Context,
    sheets: Annotated[
        list[str],
        typer.Argument(metavar="KIND FILE [KIND FILE]...", help="CSV (docs/register.md); - is standard input."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, keep nothing.")] = False,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Keep nothing of a file of which a line is refused.")
    ] = False,
    correction: Annotated[
        str | None,
        typer.Option("--correct", metavar="REASON", help="Lines that say otherwise are corrections, for this reason."),
    ] = None,
    zone: _Zone = None,
    who: _Who = None,
) -> None:
    """Take sheets: each good line; each refused one is named with its reason."""
    pairs = _pairs(sheets)
    place = _zone(zone)
    reason = "" if correction is None else _given(correction, "--correct")
    refused = False
    with _open(context) as register:
        for kind, file in pairs:
            origin = Origin(_user(who), "standard input" if str(file) == "-" else file.name, reason)
            with _progress() as progress:
                report = import_sheet(
                    register,
                    kind,
                    _read(file),
                    origin,
                    zone=place,
                    dry_run=dry_run,
                    all_or_nothing=all_or_nothing,
                    progress=progress,
                )
            told = [(line, f"refused: {why}") for line, why in report.refused] + report.notes
            for line, text in sorted(told):
                print(f"{origin.source}: line {line}: {text}", file=sys.stderr)
            print(_summary(kind, report, dry_run=dry_run))
            refused = refused or bool(report.refused)
    if refused:
        raise typer.Exit(EXIT_FAILED)


@register_commands.command("list")
def _list(context: typer.Context, kind: _AnyKind = None, as_csv: _Csv = False) -> None:
    """The current view of a kind without personal data; without a kind, how much there is."""
    with _open(context) as register:
        if kind is None:
            rows = [[name, str(len(register.entries(name, current=True)))] for name in KINDS]
            _print(["kind", "entries"], rows, as_csv=as_csv)
            return
        sheet = kind_named(kind)
        names = _columns(sheet, personal=False)
        rows = [[str(entry.id), *_cells(entry, names)] for entry in register.entries(sheet.name, current=True)]
    _print(["entry", *names], rows, as_csv=as_csv)


@register_commands.command("show")
def _show(context: typer.Context, site: Annotated[str, typer.Argument(metavar="SITE")], who: _Who = None) -> None:
    """Everything about one site, household and address too; the audit trail notes it."""
    with _open(context) as register:
        entries = register.entries(site=site, current=True)
        if not entries:
            raise RegisterError(f"register: there is no site {site!r}; `vigie register list sites` has them all")
        register.note(_user(who), "show", f"site {site}", personal=True)
    for name in KINDS:
        for entry in (entry for entry in entries if entry.kind == name and entry.row is not None):
            print(f"{name} (entry {entry.id}, {_entered(entry)}, {entry.who})")
            filled = [(column, text) for column, text in _texts(entry).items() if text]
            print("\n".join(f"  {column:<16} {text}" for column, text in filled))


@register_commands.command("history")
def _history(
    context: typer.Context,
    kind: _AnyKind = None,
    site: Annotated[str | None, typer.Option(help="Of one site.", show_default=False)] = None,
    as_csv: _Csv = False,
) -> None:
    """Every entry, oldest first: when, by whom, from what, why; without personal data."""
    sheet = None if kind is None else kind_named(kind)
    with _open(context) as register:
        entries = register.entries(sheet.name if sheet else None, site)
    rows = [[*_origin(entry), entry.kind, _said(entry)] for entry in entries]
    _print([*_HISTORY, "kind", "says"], rows, as_csv=as_csv)


@register_commands.command("export")
def _export(
    context: typer.Context,
    kind: _KindName,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Else, and for -, standard output.", show_default=False)
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every entry with its origin, not the current view.")
    ] = False,
    french: Annotated[
        bool, typer.Option("--french", help="Semicolon, decimal comma, UTF-8 with a byte order mark.")
    ] = False,
    no_personal: Annotated[bool, typer.Option("--no-personal", help="Leave out the columns of personal data.")] = False,
    who: _Who = None,
) -> None:
    """A kind as CSV that `import` takes again; the audit trail notes who took personal data."""
    sheet = kind_named(kind)
    file = None if str(file) == "-" else file
    names = _columns(sheet, personal=not no_personal)
    personal = [column.name for column in sheet.columns if column.personal and column.name in names]
    head = [*_HISTORY, *names] if history else names
    with _open(context) as register:
        entries = register.entries(sheet.name, current=not history)
        table = [
            dict(zip(head, [*(_origin(entry) if history else ()), *_cells(entry, names)], strict=True))
            for entry in entries
        ]
        told = f"{sheet.name} to {file or 'standard output'}: {len(table)} entries" + (", history" if history else "")
        told += f", with {', '.join(personal)}" if personal else ", no personal data"
        # before the first byte leaves: what cannot be noted is not exported
        register.note(_user(who), "export", told, personal=bool(personal))
    _write(file, render(sheet, head, table, french=french))


@register_commands.command("audit")
def _audit(context: typer.Context, as_csv: _Csv = False) -> None:
    """Who imported, corrected, withdrew, exported or looked at personal data, oldest first."""
    with _open(context) as register:
        trail = register.audit()
    rows = [
        [str(line.id), _second(line.made_ns), line.who, line.action, "yes" if line.personal else "", line.detail]
        for line in trail
    ]
    _print(["id", "time", "by", "action", "personal", "detail"], rows, as_csv=as_csv)


@register_commands.command("correct")
def _correct(
    context: typer.Context,
    number: _Number,
    changes: Annotated[list[str], typer.Argument(metavar="COLUMN=VALUE...", help="An empty value clears it.")],
    reason: _Reason,
    zone: _Zone = None,
    who: _Who = None,
) -> None:
    """Enter an entry again with other values; the old one stays in the history."""
    cells = dict(_pair(text) for text in changes)
    with _open(context) as register:
        made = correct(register, number, cells, Origin(_user(who), "correct", _given(reason)), _zone(zone))
    print(f"entry {made} takes the place of {number}")


@register_commands.command("withdraw")
def _withdraw(context: typer.Context, number: _Number, reason: _Reason, who: _Who = None) -> None:
    """Take an entry out of the current view; it stays in the history."""
    with _open(context) as register:
        made = withdraw(register, number, Origin(_user(who), "withdraw", _given(reason)))
    print(f"entry {made} withdraws {number}")


@register_commands.command("backup")
def _backup(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE")], who: _Who = None) -> None:
    """A whole copy in a new file, while the gateway runs; to restore, stop it and put the copy in the register's place."""
    with _open(context) as register:
        register.note(_user(who), "backup", f"to {file}", personal=True)
        register.backup(file)
    print(f"{file}: a copy of the register; it has households and addresses: keep it as you keep the register")


@contextmanager
def _open(context: typer.Context) -> Iterator[Register]:
    with Register(Path(context.obj.load().register_.path)) as register:
        yield register


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """A count of lines on a person's terminal, once it takes longer."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("  line {task.completed:,.0f}"), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda line: bar.update(task, completed=line)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise RegisterError(f"{file}: {error.strerror}; give a CSV file that you may read") from None


def _write(file: Path | None, lines: Iterable[str]) -> None:
    if file is None:
        # as bytes: neither the line's end nor the encoding is the terminal's to choose
        sys.stdout.buffer.writelines(line.encode() for line in lines)
        sys.stdout.buffer.flush()
        return
    try:
        # households and addresses are for the one who asked
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.writelines(line.encode() for line in lines)
    except OSError as error:
        raise RegisterError(f"{file}: {error.strerror}; give a file in a folder where you may write") from None


def _pairs(words: Sequence[str]) -> list[tuple[Kind, Path]]:
    if len(words) % 2:
        raise UsageError("register import: give a kind and a file, such as sites sites.csv")
    return [(kind_named(kind), Path(file)) for kind, file in zip(words[::2], words[1::2], strict=True)]


def _summary(kind: Kind, report: Report, *, dry_run: bool) -> str:
    counts = f"{report.new} new, {report.corrected} corrected, {report.known} known, {len(report.refused)} refused"
    tail = "; dry run, nothing kept" if dry_run else "" if report.kept else "; nothing kept (--all-or-nothing)"
    return f"{kind.name}: {counts}{tail}"


def _columns(kind: Kind, *, personal: bool) -> list[str]:
    return [column.name for column in kind.columns if personal or not column.personal]


def _texts(entry: Entry) -> dict[str, str]:
    return {} if entry.row is None else to_cells(entry.row)


def _cells(entry: Entry, names: Sequence[str]) -> list[str]:
    texts = _texts(entry)
    return [texts.get(name, "") for name in names]


def _origin(entry: Entry) -> list[str]:
    links = ["" if number is None else str(number) for number in (entry.supersedes, entry.superseded_by)]
    return [str(entry.id), _entered(entry), entry.who, entry.source, entry.reason, *links]


def _entered(entry: Entry) -> str:
    return _second(entry.made_ns)


def _second(ns: int) -> str:
    return written_time(ns - ns % 1_000_000_000)


def _said(entry: Entry) -> str:
    if entry.row is None:
        return "withdrawn"
    names = _columns(KINDS[entry.kind], personal=False)
    return " ".join(f"{name}={text}" for name, text in zip(names, _cells(entry, names), strict=True) if text)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise UsageError(f"register correct: {text!r}: give COLUMN=VALUE, such as out_dial_l=128400")
    return name.strip().lower(), value


def _given(reason: str, option: str = "--reason") -> str:
    if not reason.strip():
        raise UsageError(f"register: {option} is empty; say in a few words why")
    return reason.strip()


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"register: --zone {name!r}: give a zone such as Europe/Paris or UTC") from None


def _user(given: str | None) -> str:
    """Who sits there: behind sudo the one who called it."""
    try:
        return (given or "").strip() or os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _print(head: Sequence[str], rows: Sequence[Sequence[str]], *, as_csv: bool) -> None:
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([head, *([guarded(text) for text in row] for row in rows)])
        return
    used = [place for place in range(len(head)) if any(row[place] for row in rows)]
    table = Table(*(head[place] for place in used))
    for row in rows:
        table.add_row(*(row[place] for place in used))
    if rows:
        (Console() if sys.stdout.isatty() else Console(width=250)).print(table)
    print(f"{len(rows)} rows, times in UTC", file=sys.stderr)
