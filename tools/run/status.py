"""`make status`: one JSON line about the running chain."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from ..setup.say import Problem
from .servers import ORG
from .settle import read_metric
from .state import NETWORKS, Run, Var, folder_of

MEASUREMENTS = ("meter", "bin", "air")
"""What is counted."""


def count_points(url: str, org: str, token: str) -> dict[str, int]:
    """Points of each kind of reading in all buckets."""
    found = dict.fromkeys(MEASUREMENTS, 0)
    with InfluxDBClient(url, token, org=org, timeout=20_000) as client:
        query = client.query_api()
        for bucket in ("daily", "hourly", "raw"):
            flux = f"""from(bucket: "{bucket}") |> range(start: 0)
              |> filter(fn: (r) => contains(value: r._measurement, set: {json.dumps(MEASUREMENTS)}))
              |> keep(columns: ["_measurement", "dev_eui", "_time"])
              |> group(columns: ["_measurement", "dev_eui"]) |> unique(column: "_time")
              |> group(columns: ["_measurement"]) |> count(column: "dev_eui")"""
            for table in query.query(flux):
                for record in table.records:
                    found[record["_measurement"]] += record["dev_eui"]
    return found


def describe(run: Run, token: str) -> dict[str, Any]:
    """The line's object."""
    services = dict(run.services)
    points: dict[str, int | None] = dict.fromkeys(MEASUREMENTS)
    try:
        points = dict(count_points(run.addresses["influxdb"], ORG, token))
    except (ApiException, HTTPError, OSError) as error:
        services["influxdb"] = str(error).splitlines()[0]
    dead = read_metric(run.addresses["metrics"], "vigie_dead_letters")
    if dead is None:
        services["gateway"] = "does not answer /metrics"
    return {
        "services": services,
        "boards": run.boards,
        "joined": run.joined,
        "world_time": datetime.fromtimestamp(run.world_time // 10**9, UTC).isoformat().replace("+00:00", "Z"),
        "lag_s": run.lag_s,
        "points": points,
        "dead_letters": None if dead is None else int(dead),
    }


def main(words: list[str]) -> int:
    """Prints the line; 1 with a sentence when nothing runs."""
    parser = argparse.ArgumentParser(prog="make status", description="One JSON line about the running chain.")
    parser.add_argument("--var", type=Path, metavar="FOLDER", help="where its data lies (var/, var/external/)")
    parser.add_argument("--network", default=NETWORKS[0], metavar="NAME", help=f"one of {', '.join(NETWORKS)}")
    given = parser.parse_args(words)
    try:
        var = Var(given.var or folder_of(given.network))
        run = var.read_run() if var.running() else None
        if run is None or not run.addresses:
            print(
                "status: no chain runs here, or it is still starting; start it with `make run`, or ask again in a few seconds",
                file=sys.stderr,
            )
            return 1
        with open(run.read_token_file, encoding="ascii") as file:
            token = file.read().strip()
        print(json.dumps(describe(run, token)))
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
