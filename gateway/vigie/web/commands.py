# ruff: noqa: FBT002 - a command line's switches are booleans with a default
"""`vigie web`: the page's password."""

import getpass
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .account import set_password

commands = typer.Typer(help="The page.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Keeps `password` a word of its own while it is the only one."""


@commands.command("password")
def _password(
    context: typer.Context,
    generate: Annotated[bool, typer.Option("--generate", help="Make one and print it, once.")] = False,
) -> None:
    """Set the page's password: typed twice, or one line on standard input. A running gateway knows it at once."""
    settings = context.obj.load()
    if generate:
        password = secrets.token_urlsafe(15)
    elif sys.stdin.isatty():
        password = getpass.getpass("New password: ")
        if getpass.getpass("Again: ") != password:
            raise UsageError("web password: the two are not the same; nothing has changed, run it again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    set_password(Path(settings.web.password_file), password)
    print(password if generate else f"password set in {settings.web.password_file}")
