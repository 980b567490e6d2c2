# ruff: noqa: FBT002 - a command line's switches are booleans with a default
"""The command `vigie-node`. What a person can mend is one line on standard error; exit code 1, 2 for a wrong command line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..setup.say import Problem
from . import chirpstack
from . import flash as flashing
from .board import catch
from .chirpstack import Api, Place
from .inventory import KINDS, Keys, Row, counted, only_one, read_list
from .provision import Found, Names, Progress, Report, carry_out, look

EXIT_FAILED, EXIT_USAGE = 1, 2
TOKEN = "VIGIE_CHIRPSTACK_TOKEN"  # noqa: S105 - the name of a variable
_SIGN_S = 10.0  # between two lines of progress where there is no terminal

_commands = typer.Typer(
    name="vigie-node",
    help="For technicians: devices into ChirpStack, firmware and keys onto boards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_WRONG_WORD: type[Exception] = typer.BadParameter.__bases__[0]  # typer's own for a word that it does not know


def app() -> None:
    """Entry point."""
    try:
        code = _commands(standalone_mode=False, prog_name="vigie-node")
    except Problem as problem:
        for line in str(problem).splitlines():
            print(f"vigie-node: {line}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except _WRONG_WORD as error:
        sys.exit(_explain(error))
    except (KeyboardInterrupt, typer.Abort):
        print("vigie-node: stopped; run it again to complete it", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except OSError as error:
        print(
            f"vigie-node: {error.filename or 'this machine'}: {error.strerror}; mend that and run it again",
            file=sys.stderr,
        )
        sys.exit(EXIT_FAILED)
    sys.exit(code)


def _explain(error: Any) -> int:
    """One line for a wrong word; nothing where typer has shown its help instead."""
    if text := error.format_message():
        stop = "" if text.endswith((".", "?", ")")) else "."
        command = error.ctx.command_path if error.ctx else "vigie-node"
        print(f"vigie-node: {text}{stop} See `{command} --help`.", file=sys.stderr)
    return EXIT_USAGE


@_commands.callback()
def _common() -> None:
    pass


@_commands.command("provision")
def _provision(
    devices: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CSV]", help="The devices: kind,dev_eui,join_eui,app_key,name,site,district.", show_default=False
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Instead of a CSV: so many devices of --kind.", show_default=False),
    ] = None,
    kind: Annotated[str, typer.Option(help=f"With --count: {', '.join(KINDS)}.", show_default=False)] = "",
    dev_eui_prefix: Annotated[
        str,
        typer.Option(
            metavar="HEX", help="The city's own block of DevEUIs; else they are drawn by chance.", show_default=False
        ),
    ] = "",
    api: Annotated[str, typer.Option(metavar="HOST:PORT", help="ChirpStack's API.")] = "127.0.0.1:8080",
    tls: Annotated[bool, typer.Option("--tls", help="The API is reached by TLS.")] = False,
    token_file: Annotated[
        Path | None, typer.Option(help=f"An API key's token; else ${TOKEN}.", show_default=False)
    ] = None,
    keys: Annotated[Path, typer.Option(help="Where DevEUIs and keys are kept, mode 0600.")] = Path("keys.csv"),
    tenant: Annotated[str, typer.Option(help="Made if it is not there.")] = chirpstack.TENANT,
    tenant_id: Annotated[
        UUID | None, typer.Option(metavar="UUID", help="Instead, for a tenant's own API key.", show_default=False)
    ] = None,
    application: Annotated[str, typer.Option(help="Made if it is not there.")] = chirpstack.APPLICATION,
    profile: Annotated[str, typer.Option(help="Device profile; made if it is not there.")] = chirpstack.PROFILE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")] = False,
) -> None:
    """Register devices in ChirpStack; safe to run again."""
    rows = _rows(devices, count, kind)
    names = Names(tenant, application, profile, str(tenant_id or ""))
    connection = Api(api, _token(token_file), tls=tls)
    try:
        with nullcontext() if dry_run else only_one(keys):
            kept = Keys(keys)
            connection.reach()
            with _progress("comparing") as progress:
                place, found = look(connection, names, rows, kept, dev_eui_prefix, progress, draw=not dry_run)
            if dry_run:
                refused = _announce(place, names, found)
            else:
                with _progress("registering") as progress:
                    report = carry_out(connection, names, place, found, kept, progress)
                refused = _tell(report, keys)
    finally:
        connection.close()
    if refused:
        raise typer.Exit(EXIT_FAILED)


def _announce(place: Place, names: Names, found: Sequence[Found]) -> int:
    """What would be done, a line each; how many devices are refused."""
    for name, known in (("tenant", place.tenant), ("application", place.application), ("profile", place.profile)):
        if not known:
            print(f"would create {name} {getattr(names, name)}")
    for each in found:
        print(_would(each))
    return sum(each.what == "refused" for each in found)


def _tell(report: Report, keys: Path) -> int:
    """What was done; how many devices were refused."""
    for made in report.made:
        print(f"made {made}")
    print(f"{report.text()}; keys are in {keys}")
    for line in report.refused:
        print(f"vigie-node: {line}", file=sys.stderr)
    return len(report.refused)


@_commands.command("flash")
def _flash(
    port: Annotated[str, typer.Argument(metavar="PORT", help="The board's serial port, such as /dev/ttyACM0.")],
    board: Annotated[str, typer.Option(help=f"Its board file: {', '.join(flashing.CHIPS)}.", show_default=False)],
    dev_eui: Annotated[str, typer.Option(help="Which device of the keys file it becomes.", show_default=False)],
    keys: Annotated[Path, typer.Option(help="The keys file that `provision` wrote.")] = Path("keys.csv"),
    firmware: Annotated[
        Path | None, typer.Option(help="Its folder; else the one that came with this command.", show_default=False)
    ] = None,
    wait: Annotated[int, typer.Option(min=1, help="Seconds to wait for the board's prompt.")] = 60,
    join: Annotated[
        int, typer.Option(min=0, help="Seconds to watch for the join; 0: restart the board and do not watch.")
    ] = 180,
    erase_records: Annotated[
        bool,
        typer.Option("--erase-records", help="The node's session, nonces and PULSE COUNT go: for another device only."),
    ] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Files of another program on the board may go.")] = False,
) -> None:
    """Put firmware, configuration and key onto a board, and watch it join; safe to run again."""
    if board not in flashing.CHIPS:
        raise typer.BadParameter(f"--board {board}: one of {', '.join(flashing.CHIPS)} is needed")
    kept = Keys(keys)
    row = kept.rows.get(dev_eui.lower())
    if row is None:
        what = f"no device {dev_eui} among its {len(kept.rows)}" if keys.exists() else "no such file"
        raise Problem(f"{keys}: {what}; `vigie-node provision` makes devices and their keys")
    files = flashing.compiled(firmware)
    caught = catch(port, wait, _say)
    try:
        try:
            with _progress("copying") as progress:
                flashing.write(caught, flashing.Job(board, row, erase_records, clear), files, _say, progress)
        except Problem:
            with suppress(Problem):  # the node goes on with what it has
                caught.reset()
            raise
        except KeyboardInterrupt:
            raise Problem("stopped; the board is at its prompt: run this again, or press its reset button") from None
        if not join:
            caught.reset()
            print(f"{row.kind} {row.dev_eui} is on the board; it starts")
            return
        _say(f"restarted; watching it for {join} s at most")
        print(f"{row.kind} {row.dev_eui}: {flashing.watch(caught, join, _say)}")
    finally:
        caught.close()


def _say(text: str) -> None:
    print(text, flush=True)


def _rows(devices: Path | None, count: int | None, kind: str) -> list[Row]:
    if devices is not None and count is None:
        if kind:
            raise typer.BadParameter("--kind goes with --count; in a CSV each line has its own")
        return read_list(devices)
    if devices is not None or count is None:
        raise typer.BadParameter("give a CSV file, or --count with --kind")
    if kind not in KINDS:
        raise typer.BadParameter(f"--kind {kind or 'is missing'}: one of {', '.join(KINDS)} is needed")
    return counted(kind, count)


def _token(path: Path | None) -> str:
    if path is None:
        token = os.environ.get(TOKEN, "").strip()
        if not token:
            raise Problem(
                f"no token: put one of ChirpStack's API keys into a file and name it by --token-file, or set ${TOKEN}"
            )
        return token
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}; name the file of an API key's token") from None
    except UnicodeDecodeError:
        token = ""
    if not token or len(token.split()) != 1:
        raise Problem(f"{path}: no token in it; it holds one word, as ChirpStack shows it when the API key is made")
    return token


def _would(found: Found) -> str:
    row = found.row
    dev_eui = row.dev_eui or "a new DevEUI"
    return {
        "new": f"{row.where}: would create {row.kind} {dev_eui}, {'its key given' if row.app_key else 'with a new key'}",
        "keyless": f"{row.where}: {dev_eui} is there without a key; would give it one",
        "there": f"{row.where}: {dev_eui} is there with its key",
        "refused": f"{row.where}: REFUSED: {found.why}",
    }[found.what]


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """A bar on a terminal; elsewhere a line every ten seconds."""
    began = time.monotonic()
    with Bar(
        TextColumn(f"  {what}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("")
        said = began

        def progress(done: int, total: int) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total)
            if bar.disable and time.monotonic() - said > _SIGN_S:
                said = time.monotonic()
                print(f"  {what}: {done} of {total}", file=sys.stderr, flush=True)

        yield progress
