"""`python -m tools.devnet`: devnet as a process of its own, reached only through MQTT and gRPC, as ChirpStack is."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from .backend import Backend
from .devnet import Devnet
from .grpc_server import Server
from .publisher import Publisher
from .store import StoreError

_LOOK_S = 0.2


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no HOST:PORT")
    return host, int(port)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.devnet", description="A small network server for tests.")
    parser.add_argument("--mqtt", type=_address, default=("127.0.0.1", 1883), metavar="HOST:PORT", help="the broker")
    parser.add_argument(
        "--api",
        type=_address,
        default=("127.0.0.1", 8080),
        metavar="HOST:PORT",
        help="where gRPC is served; port 0: a free one",
    )
    parser.add_argument("--database", default="devnet.sqlite", metavar="FILE", help="made if it is not there")
    parser.add_argument("--seed", default="devnet", help="what ids and keys are drawn from")
    parser.add_argument("--topic-prefix", default="eu868", metavar="WORD", help="of the gateways' topics")
    parser.add_argument("--username", help="of the broker")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="of the broker")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """0 after SIGINT or SIGTERM, 1 with one sentence when something is wrong."""
    given = _parse(words)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        password = given.password_file.read_text("utf-8").strip() if given.password_file else None
        devnet = Devnet(given.database, given.seed)
        account = {"username": given.username, "password": password}
        publisher = Publisher(*given.mqtt, **account)
        devnet.publisher = publisher
        server = Server(devnet, f"{given.api[0]}:{given.api[1]}")
    except (StoreError, OSError) as error:
        print(
            error
            if isinstance(error, StoreError) or not error.filename
            else f"devnet: {error.filename}: {error.strerror}",
            file=sys.stderr,
        )
        return 1
    backend = Backend(
        devnet, *given.mqtt, topic_prefix=given.topic_prefix, say=lambda text: print(text, flush=True), **account
    )
    print(f"devnet: the API (gRPC) answers at {given.api[0]}:{server.port}, user admin, password admin", flush=True)
    while backend.alive and not stop.wait(_LOOK_S):
        pass
    alive = backend.alive
    backend.close()
    server.stop()
    publisher.close()
    devnet.close()
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
