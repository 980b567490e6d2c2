"""What the gateway reads of its machine before it starts: the settings file, the environment, the files of secrets."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePath

from .errors import SettingsError
from .settings import Settings, validated

ENV_FILE = "VIGIE_SETTINGS"
DEFAULT_FILE = Path("vigie.toml")


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from `path`, else $VIGIE_SETTINGS, else ./vigie.toml, with the environment over them.

    Relative paths in the file are relative to its folder. Raises SettingsError with the section and the name at fault.
    """
    file = path or Path(environ.get(ENV_FILE) or DEFAULT_FILE)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"settings: {file} does not exist; give --settings FILE, set {ENV_FILE}, or write it (docs/administrator.md has one to copy)"
        ) from None
    except OSError as error:
        raise SettingsError(f"settings: {file} cannot be read: {error.strerror}; check its rights") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings: {file} is not TOML: {error}; mend that line") from None
    return validated(values, environ, file, file.resolve().parent)


def read_secret(path: PurePath, what: str) -> str:
    """The stripped text of a secret's file; SettingsError naming the file where that fails or is empty."""
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"{what}: {path}: {error.strerror}; make the file and let the gateway's user read it"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{what}: {path} is not text; put the secret into it, on one line") from None
    if not secret:
        raise SettingsError(f"{what}: {path} is empty; put the secret into it, on one line")
    if not secret.isprintable() or not secret.isascii():
        # Shown nowhere: whatever it is, somebody took it for a secret.
        raise SettingsError(f"{what}: {path} has more than one line of plain text; put the secret into it, on one line")
    return secret
