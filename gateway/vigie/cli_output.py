"""Rows on standard output as a table, CSV or JSON: what commands with many columns share."""

import csv
import io
import json
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .errors import UsageError
from .register.cells import guarded

Row = dict[str, Any]  # None: an empty cell


def form_of(command: str, *, as_csv: bool, french: bool, as_json: bool) -> str:
    """One of "table", "csv", "french" and "json"; UsageError where two are asked for."""
    if (as_csv or french) and as_json:
        raise UsageError(f"{command}: --csv or --json, not both")
    return "json" if as_json else "french" if french else "csv" if as_csv else "table"


def put(form: str, columns: Sequence[str], rows: Sequence[Row], texts: Collection[str]) -> None:
    """The rows; empty cells are left out of JSON and empty columns of a screen's table. `texts`: the columns that are no numbers."""
    if form == "json":
        json.dump(
            [{name: row[name] for name in columns if row.get(name) not in {None, ""}} for row in rows], sys.stdout
        )
        print()
    elif form == "table":
        used = [name for name in columns if any(row.get(name) not in {None, ""} for row in rows)]
        table = Table(*used)
        for row in rows:
            table.add_row(*(escape(_cell(row.get(name))) for name in used))
        if rows:
            (Console() if sys.stdout.isatty() else Console(width=250)).print(table)
    else:
        # bytes, whatever encoding and line ends the terminal has
        sys.stdout.flush()
        sys.stdout.buffer.write(sheet(columns, rows, texts, french=form == "french"))
        sys.stdout.buffer.flush()


def sheet(columns: Sequence[str], rows: Iterable[Row], texts: Collection[str], *, french: bool) -> bytes:
    """CSV in UTF-8: comma, LF. `french`: semicolon, byte order mark, CR LF, and a tab before text that looks like a number or a date."""
    text = io.StringIO()
    out = csv.writer(text, delimiter=";" if french else ",", lineterminator="\r\n" if french else "\n")
    out.writerow(columns)
    for row in rows:
        cells = {name: _cell(row.get(name)) for name in columns}
        out.writerow([guarded(cell, french=french) if name in texts else cell for name, cell in cells.items()])
    return (("\ufeff" if french else "") + text.getvalue()).encode()


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
