# ruff: noqa: FBT002 - a command line's switches are booleans with a default
"""The command `vigie`. Errors that a person can mend are one line on standard error and a stated exit code."""

import csv
import json
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from . import check as checks
from . import query as queries
from . import service
from .cli_register import register_commands
from .cli_status import show_status
from .cli_water import water_commands
from .errors import EXIT_FAILED, EXIT_USAGE, UsageError, VigieError
from .files import load
from .settings import Settings
from .spool import DeadLetter, Spool
from .web.commands import commands as web_commands

_commands = typer.Typer(
    help="Vigie's gateway: from ChirpStack's MQTT events to InfluxDB.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_query = typer.Typer(help="Read what is stored.", no_args_is_help=True)
_dead = typer.Typer(help="Events that could not be stored.", no_args_is_help=True)
_commands.add_typer(_query, name="query")
_commands.add_typer(_dead, name="dead")
_commands.add_typer(web_commands, name="web")
_commands.add_typer(register_commands, name="register")
_commands.add_typer(water_commands, name="water")


# Typer's own for a word that it does not know, of which BadParameter is the public child; typer has it from click, inside or beside it.
_WRONG_WORD: type[Exception] = typer.BadParameter.__bases__[0]
_NOT_FOR_A_SCREEN = {"adr", "confirmed", "frequency", "gateway", "backhaul_ms"}


@dataclass(frozen=True, slots=True)
class _Given:
    settings: Path | None

    def load(self) -> Settings:
        return load(self.settings)


def app() -> None:
    """Entry point."""
    try:
        code = _commands(standalone_mode=False)
    except VigieError as error:
        print(f"vigie: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except _WRONG_WORD as error:
        sys.exit(_explain(error))
    except BrokenPipeError:
        # `vigie query … | head`: the reader has enough. Nothing more may be written, not even at exit.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        sys.stdout = None
        sys.exit(EXIT_FAILED)
    sys.exit(code)


def _explain(error: Any) -> int:
    """One line for a wrong word on the command line; nothing where typer has shown its help instead."""
    if text := error.format_message():
        stop = "" if text.endswith((".", "?", ")")) else "."
        command = error.ctx.command_path if error.ctx else "vigie"
        print(f"vigie: {text}{stop} See `{command} --help`.", file=sys.stderr)
    return EXIT_USAGE


@_commands.callback()
def _common(
    context: typer.Context,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file; else $VIGIE_SETTINGS, else ./vigie.toml.", show_default=False)
    ] = None,
) -> None:
    context.obj = _Given(settings)


@_commands.command("run")
def _run(context: typer.Context) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    settings = context.obj.load()
    service.set_up_log(settings.log.level, settings.log.format)
    service.run(settings)


@_commands.command("check")
def _check(context: typer.Context) -> None:
    """Try every dependency; one line each; exit code 1 if one fails."""
    settings = context.obj.load()
    print(f"settings    ok      {settings.source}")
    failed = False
    for finding in checks.run(settings):
        failed = failed or not finding.ok
        print(f"{finding.name:<11} {'ok' if finding.ok else 'FAILED':<7} {finding.text}")
    print(f"note: {checks.BROKER_NOTE}")
    if failed:
        raise typer.Exit(EXIT_FAILED)


_commands.command("status")(show_status)


_Dev = Annotated[str | None, typer.Argument(metavar="[DEV]", help="DevEUI, 16 hex digits.", show_default=False)]
_All = Annotated[bool, typer.Option("--all", help="All nodes.")]
_Since = Annotated[str, typer.Option(help="A span (12h, 2d, 3w) or a UTC time.")]
_Csv = Annotated[bool, typer.Option("--csv", help="CSV: comma, point, UTF-8.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON array.")]


def _reading(measurement: str, summary: str) -> None:
    """Adds `vigie query MEASUREMENT`; all of them take the same words."""

    @_query.command(measurement, help=summary)
    def show(
        context: typer.Context,
        dev: _Dev = None,
        every: _All = False,
        since: _Since = "2d",
        as_csv: _Csv = False,
        as_json: _Json = False,
    ) -> None:
        settings = context.obj.load()
        query = queries.make_query(measurement, dev, every=every, since=since)
        _print(queries.columns(measurement), queries.read(settings, query), as_csv=as_csv, as_json=as_json)


_reading("meter", "Counts of a water meter (pulses) and the figures of each day.")
_reading("bin", "Distances in a bin (mm).")
_reading("air", "Particles (µg/m³), temperature (°C), humidity (%).")
_reading("link", "Each frame as the network heard it.")


@_query.command("nodes")
def _nodes(
    context: typer.Context,
    dev: _Dev = None,
    every: _All = False,
    since: _Since = "2d",
    as_csv: _Csv = False,
    as_json: _Json = False,
) -> None:
    """Each node: when it was last seen, its link, battery, firmware, clock and flags."""
    settings = context.obj.load()
    query = queries.make_query("nodes", dev, every=every or dev is None, since=since)
    _print(list(queries.NODE_COLUMNS), queries.read_nodes(settings, query), as_csv=as_csv, as_json=as_json)


@_dead.command("list")
def _dead_list(context: typer.Context) -> None:
    """Number, arrival, kind and reason of each."""
    table = Table("id", "received", "kind", "reason")
    for letter in _letters(context, None):
        table.add_row(str(letter.id), _utc(_received(letter)), letter.kind, letter.reason)
    _console().print(table)


@_dead.command("show")
def _dead_show(context: typer.Context, number: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """All of one, as it came; a Protobuf body in hex."""
    letter = _letters(context, [number])[0]
    try:
        body = letter.body.decode()
    except UnicodeDecodeError:
        body = letter.body.hex()
    print(
        f"id        {letter.id}\nreceived  {_utc(_received(letter))}\nkind      {letter.kind}\ntopic     {letter.topic}"
    )
    print(f"reason    {letter.reason}\nbody      {body}")


_Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", show_default=False)]


@_dead.command("replay")
def _dead_replay(context: typer.Context, numbers: _Ids = None, every: _All = False) -> None:
    """Make them wait again: the running gateway tries them within a second."""
    print(f"{_spool(context).replay(_chosen(context, numbers, every=every))} waiting again")


@_dead.command("drop")
def _dead_drop(context: typer.Context, numbers: _Ids = None, every: _All = False) -> None:
    """Forget them for good."""
    print(f"{_spool(context).drop(_chosen(context, numbers, every=every))} dropped")


def _spool(context: typer.Context) -> Spool:
    settings = context.obj.load()
    return Spool(Path(settings.spool.path), settings.spool.max_bytes)


def _letters(context: typer.Context, numbers: list[int] | None) -> list[DeadLetter]:
    letters = _spool(context).dead_letters(numbers)
    missing = set(numbers or ()) - {letter.id for letter in letters}
    if missing:
        raise UsageError(f"dead: no dead letter has the number {min(missing)}; `vigie dead list` has them all")
    return letters


def _chosen(context: typer.Context, numbers: list[int] | None, *, every: bool) -> list[int]:
    if bool(numbers) == every:
        raise UsageError("dead: give numbers from `vigie dead list`, or --all, not both")
    return [letter.id for letter in _letters(context, numbers or None)]


def _received(letter: DeadLetter) -> datetime:
    return datetime.fromtimestamp(letter.received_ns / 1e9, UTC)


def _print(columns: list[str], rows: list[queries.Row], *, as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise UsageError("query: --csv or --json, not both")
    if as_json:
        json.dump(
            [{name: _plain(row.get(name)) for name in columns if row.get(name) is not None} for row in rows], sys.stdout
        )
        print()
        return
    cells = [["" if row.get(name) is None else str(_plain(row[name])) for name in columns] for row in rows]
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *cells])
        return
    # A person's table leaves out what no row has, and of a link what fits no screen; --csv and --json have all.
    used = [
        number
        for number, name in enumerate(columns)
        if name not in _NOT_FOR_A_SCREEN and any(row[number] for row in cells)
    ]
    table = Table()
    for number in used:
        table.add_column(columns[number], no_wrap=True)
    for row in cells:
        table.add_row(*(row[number] for number in used))
    if rows:
        _console().print(table)
    print(f"{len(rows)} rows, times in UTC", file=sys.stderr)


def _console() -> Console:
    # into a pipe or a file a table is as wide as it needs to be
    return Console() if sys.stdout.isatty() else Console(width=250)


def _plain(value: Any) -> Any:
    return _utc(value) if isinstance(value, datetime) else value


def _utc(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat(timespec="seconds" if moment.microsecond == 0 else "microseconds")
    return text.removesuffix("+00:00") + "Z"


if __name__ == "__main__":
    app()
