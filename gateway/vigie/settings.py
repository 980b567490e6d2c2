"""The settings: one TOML file, each value also as `VIGIE_SECTION__NAME` in the environment (which wins).

Pure: `files` reads both and hands them in.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import SettingsError

ENV_PREFIX = "VIGIE_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mqtt(_Section):
    """The broker and the session that it keeps for this gateway.

    With `tls`, `ca_file` has the broker's authority instead of the system's; `cert_file` and `key_file` are the gateway's own.
    """

    host: str = "127.0.0.1"
    port: int = Field(1883, ge=1, le=65535)
    client_id: str = Field("vigie", min_length=1)
    username: str | None = None
    password_file: PurePath | None = None
    tls: bool = False
    ca_file: PurePath | None = None
    cert_file: PurePath | None = None
    key_file: PurePath | None = None
    topic: str = Field("application/+/device/+/event/+", min_length=1)


class Influxdb(_Section):
    """Where the points go; the tokens stand in files, readable by the gateway only."""

    url: str = Field("http://127.0.0.1:8086", pattern=r"^https?://[^/]+")
    org: str = Field("vigie", min_length=1)
    write_token_file: PurePath = PurePath("write.token")
    read_token_file: PurePath = PurePath("read.token")


class Buckets(_Section):
    """The buckets by their retention; docs/schema.md says which reading lies in which."""

    daily: str = Field("daily", min_length=1)
    hourly: str = Field("hourly", min_length=1)
    raw: str = Field("raw", min_length=1)


class Spool(_Section):
    """The file that holds every event until InfluxDB has it."""

    path: PurePath = PurePath("spool.sqlite")
    max_bytes: int = Field(4_000_000_000, ge=1_000_000)


class Register(_Section):
    """The file of sites, devices, meter segments and dial readings (docs/register.md)."""

    path: PurePath = PurePath("register.sqlite")


class Water(_Section):
    """The index of a day: the zone of its days, a meter's greatest flow, how far from a day's end a foreign device's count may lie."""

    time_zone: str = Field("Europe/Paris", min_length=1)
    q4_l_per_h: int = Field(3125, ge=1, le=10_000_000)
    foreign_hours: int = Field(3, ge=0, le=12)


class Http(_Section):
    """The page, /metrics, /healthz and /readyz; port 0 takes a free one, which the log names."""

    host: str = "127.0.0.1"
    port: int = Field(8095, ge=0, le=65535)


class Web(_Section):
    """The page: the file of its one account's password. Its local times are those of [water] time_zone."""

    password_file: PurePath = PurePath("web.password")


class Log(_Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "text"


class Settings(_Section):
    """All settings; `source` is where they were read, for messages."""

    source: str = ""
    mqtt: Mqtt = Mqtt()
    influxdb: Influxdb = Influxdb()
    buckets: Buckets = Buckets()
    spool: Spool = Spool()
    # `register` alone is a method of every model's class
    register_: Register = Field(default=Register(), alias="register")
    water: Water = Water()
    http: Http = Http()
    web: Web = Web()
    log: Log = Log()


def validated(values: Mapping[str, Any], environ: Mapping[str, str], file: PurePath, folder: PurePath) -> Settings:
    """Settings from the tables of `file`, with the environment over them; relative paths are relative to `folder`, the file's.

    Raises SettingsError with the section and the name at fault.
    """
    merged = _overlaid(values, environ)
    merged["source"] = str(file)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_one_line(file, error)) from None
    return _anchored(settings, folder)


def _overlaid(values: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    merged = {name: dict(table) if isinstance(table, dict) else table for name, table in values.items()}
    for name, value in environ.items():
        section, separator, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
        if not name.startswith(ENV_PREFIX) or not separator:
            continue
        table = merged.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    return merged


def _one_line(file: PurePath, error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    where = f"[{place[0]}] {'.'.join(place[1:])}".rstrip() if place else "the file"
    if first["type"] == "extra_forbidden":
        return f"settings: {file}: {where} is not a setting; see docs/administrator.md for the names"
    return f"settings: {file}: {where}: {first['msg'].lower()} (it is {first['input']!r}); mend it there or in the environment"


def _anchored(settings: Settings, folder: PurePath) -> Settings:
    mqtt, influxdb, spool = settings.mqtt, settings.influxdb, settings.spool
    names = ("password_file", "ca_file", "cert_file", "key_file")
    mqtt = mqtt.model_copy(
        update={name: folder / value for name in names if (value := getattr(mqtt, name)) is not None}
    )
    influxdb = influxdb.model_copy(
        update={name: folder / getattr(influxdb, name) for name in ("write_token_file", "read_token_file")}
    )
    spool = spool.model_copy(update={"path": folder / spool.path})
    register = settings.register_.model_copy(update={"path": folder / settings.register_.path})
    web = settings.web.model_copy(update={"password_file": folder / settings.web.password_file})
    changed = {"mqtt": mqtt, "influxdb": influxdb, "spool": spool, "register_": register, "web": web}
    return settings.model_copy(update=changed)
