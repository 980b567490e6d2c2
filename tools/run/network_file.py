"""`network.toml`: how `make run NETWORK=external` reaches a city's broker and ChirpStack (docs/administrator.md has one to copy)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..setup import places
from ..setup.say import Problem
from ..technician.chirpstack import PROFILE
from ..world.forwarder import Broker

MOST_GATEWAYS = 20


def _host_and_port(text: str) -> str:
    if not re.fullmatch(r"[^\s/]+:\d+", text):
        raise ValueError("it is a host and a port, such as chirpstack.example.org:8080")
    return text


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mqtt(_Section):
    """The broker that ChirpStack uses, for the LoRa gateways and for the Vigie gateway. Files: relative to the settings file."""

    host: str = Field(min_length=1)
    port: int = Field(1883, ge=1, le=65535)
    username: str | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    topic_prefix: str = Field("eu868", pattern=r"^[^+#/]*$")


class Api(_Section):
    """ChirpStack's gRPC API; `token_file` holds an API key's token."""

    address: Annotated[str, AfterValidator(_host_and_port)]
    token_file: Path
    tls: bool = False


class ChirpStack(_Section):
    """Where the virtual devices are registered; `tenant_id` instead of `tenant` for a tenant's own API key."""

    tenant: str = Field("vigie-virtual", min_length=1)
    tenant_id: UUID | None = None
    application: str = Field("vigie-virtual", min_length=1)
    device_profile: str = Field(PROFILE, min_length=1)


class World(_Section):
    """`gateways`: LoRa gateways of the city; `refuse_rx1`: of so many downlinks one is refused in RX1, 0: none."""

    gateways: int = Field(1, ge=1, le=MOST_GATEWAYS)
    refuse_rx1: int = Field(0, ge=0)


class NetworkFile(_Section):
    """All settings."""

    mqtt: Mqtt
    api: Api
    chirpstack: ChirpStack = ChirpStack()
    world: World = World()

    def broker(self) -> Broker:
        """With the password read. Problem: a file that cannot be."""
        mqtt = self.mqtt
        password = None if mqtt.password_file is None else secret(mqtt.password_file, "[mqtt] password_file")
        return Broker(
            mqtt.host, mqtt.port, mqtt.username, password, mqtt.tls, mqtt.ca_file, mqtt.cert_file, mqtt.key_file
        )

    def token(self) -> str:
        """The API key's token. Problem: a file that cannot be read."""
        return secret(self.api.token_file, "[api] token_file")


def secret(path: Path, what: str) -> str:
    """The one word in a file. Problem names file and setting, never the content."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise Problem(f"{what}: {places.short(path)}: {error.strerror}; make the file, mode 0600") from None
    except UnicodeDecodeError:
        text = ""
    if len(text.split()) != 1:
        raise Problem(f"{what}: {places.short(path)}: no secret in it, or more than one word; put the secret into it")
    return text


def load(path: Path) -> NetworkFile:
    """The settings of a file. Problem: what is wrong, where, in one line."""
    shown = places.short(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Problem(
            f"{shown} does not exist; docs/administrator.md has one to copy, or name another (SETTINGS=)"
        ) from None
    except OSError as error:
        raise Problem(f"{shown}: {error.strerror}; check its rights") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(f"{shown} is not TOML: {error}; mend that line") from None
    try:
        found = NetworkFile.model_validate(values)
    except ValidationError as error:
        raise Problem(_one_line(shown, error)) from None
    mqtt, folder = found.mqtt, path.absolute().parent
    if not mqtt.tls and (mqtt.ca_file or mqtt.cert_file or mqtt.key_file):
        raise Problem(f"{shown}: [mqtt] has certificates, but tls is not true; set it")
    if (mqtt.cert_file is None) != (mqtt.key_file is None):
        raise Problem(f"{shown}: [mqtt] cert_file and key_file belong together; give both or none")
    names = ("password_file", "ca_file", "cert_file", "key_file")
    anchored = {name: folder / value for name in names if (value := getattr(mqtt, name)) is not None}
    api = found.api.model_copy(update={"token_file": folder / found.api.token_file})
    return found.model_copy(update={"mqtt": mqtt.model_copy(update=anchored), "api": api})


def _one_line(shown: str, error: ValidationError) -> str:
    # A misspelt name is also a missing one: the name that stands there tells more.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    section, *rest = [str(part) for part in first["loc"]]
    where = f"[{section}] {'.'.join(rest)}".rstrip()
    if first["type"] == "extra_forbidden":
        return f"{shown}: {where} is not a setting; docs/administrator.md has the names"
    if first["type"] == "missing":
        return f"{shown}: {where} is missing; docs/administrator.md has an example"
    return f"{shown}: {where}: {first['msg'].removeprefix('Value error, ').lower()} (it is {first['input']!r}); mend it there"
