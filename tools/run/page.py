"""The page's password in a run: made once, set by the gateway's own command, kept readable for the one who runs it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING

from ..setup.say import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from .state import Var

_SET_S = 60.0


def password_file(var: Var) -> Path:
    """The file with the page's password (mode 0600); made, and the password set, where it is not there. For the gateway that runs."""
    kept = var.folder / "page.password"
    if kept.exists():
        return kept
    password = secrets.token_urlsafe(12)
    command = [sys.executable, "-m", "vigie", "--settings", str(var.settings_file), "web", "password"]
    told = subprocess.run(command, input=password, capture_output=True, text=True, timeout=_SET_S, check=False)
    if told.returncode != 0:
        raise Problem(f"page: its password cannot be set: {told.stderr.strip().removeprefix('vigie: ')}")
    # after the gateway has it: a file here says that this is the password
    with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(password + "\n")
    return kept
