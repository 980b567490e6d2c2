"""docs/grafana/vigie.json: its shape, and every query in it run on a city whose truth is known, with Grafana's variables put in."""

import json
import re
import threading
import time
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3
from vigie.metrics import Metrics
from vigie.settings import Spool as SpoolSettings
from vigie.spool import Arrival, Spool

from tests.gateway import planted as city
from tests.gateway.support import Influx, wait_until
from tools.run import servers
from tools.setup.places import ROOT

BOARD = json.loads((ROOT / "docs" / "grafana" / "vigie.json").read_text(encoding="utf-8"))
PANELS = {panel["title"]: panel for panel in BOARD["panels"]}
VARIABLES = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
FROM_METRICS = ("Events that wait in the gateway's spool", "Age of the oldest waiting event")


@pytest.fixture(scope="module")
def influx(tmp_path_factory):
    """The planted city, and InfluxDB's scraper at the metrics of a gateway whose spool holds two events."""
    folder = tmp_path_factory.mktemp("city")
    spool = Spool(folder / "spool.sqlite", SpoolSettings().max_bytes)
    spool.add([Arrival("up", bytes([n]) * 16, "t", b"x") for n in range(3)])
    spool.settle([], dead=[(1, "a reason")])
    metrics = Metrics(spool)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = metrics.render()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    with city.planted(folder / "influx") as (made, _):
        forever = {"daily": 0, "metrics": 0}
        servers.influx_setup(made.server.url, folder / "influx" / "secrets", retention_s=forever)
        access = replace(made.access, read_token_file=made.access.admin_token_file)
        scrape(made.server.url, access, f"http://127.0.0.1:{http.server_port}/metrics")
        yield Influx(made.server, access)
    http.shutdown()
    http.server_close()
    spool.close()


def scrape(url: str, access: servers.InfluxAccess, target: str) -> None:
    """As docs/grafana/README.md has it."""
    headers = {"Authorization": f"Token {access.read_token()}", "Content-Type": "application/json"}
    found = urllib3.request("GET", f"{url}/api/v2/buckets?limit=100", headers=headers).json()["buckets"]
    (bucket,) = [one for one in found if one["name"] == "metrics"]
    body = {"name": "vigie", "type": "prometheus", "url": target, "orgID": bucket["orgID"], "bucketID": bucket["id"]}
    made = urllib3.request("POST", f"{url}/api/v2/scrapers", body=json.dumps(body).encode(), headers=headers)
    assert made.status == 201, made.data


def run(
    influx: Influx, query: str, *, district: str = "all", start: object = city.MIDNIGHTS[0], stop: object = city.NOW
):
    """What Grafana does: its variables and the three values of the time range are put in as text."""
    for name, value in {"district": district, "daily": "daily", "raw": "raw", "metrics": "metrics"}.items():
        query = query.replace(f"${{{name}}}", value)
    for name, moment in {"timeRangeStart": start, "timeRangeStop": stop}.items():
        query = query.replace(f"v.{name}", f"{moment:%Y-%m-%dT%H:%M:%SZ}")
    query = query.replace("v.windowPeriod", "10s")
    assert "${" not in query
    return influx.lines(query)


def ask(influx: Influx, title: str, **more):
    return run(influx, PANELS[title]["targets"][0]["query"], **more)


def test_the_file_is_a_dashboard_without_doubles_or_hosts():
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(numbers) == len(set(numbers)) == len(PANELS)
    text = json.dumps(BOARD)
    assert not re.search(r"https?://|\d+\.\d+\.\d+\.\d+|localhost", text)
    assert {variable["type"] for variable in VARIABLES.values()} == {"datasource", "textbox", "query"}
    used = set(re.findall(r"\$\{(\w+)\}", text))
    assert used == set(VARIABLES)
    taken = set()
    for panel in BOARD["panels"]:
        assert panel["datasource"] == {"type": "influxdb", "uid": "${source}"}
        assert [target["refId"] for target in panel["targets"]] == ["A"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells
        taken |= cells


def test_every_panel_shows_something(influx: Influx):
    for title in PANELS:
        if title not in FROM_METRICS:
            assert ask(influx, title), title


def test_the_district_is_chosen_among_those_of_the_register(influx: Influx):
    query = VARIABLES["district"]["query"]["query"].replace(
        "range(start: -2d)", f"range(start: {city.MIDNIGHTS[-1]:%Y-%m-%dT%H:%M:%SZ})"
    )
    assert [row["_value"] for row in run(influx, query)] == ["Nord", "Sud", "all"]


@pytest.mark.parametrize(
    ("district", "heard", "registered", "leaks"), [("all", 6, 8, 1), ("Nord", 4, 4, 0), ("Sud", 2, 4, 1)]
)
def test_nodes_and_leaks_are_counted_in_their_district(district, heard, registered, leaks, influx: Influx):
    assert [row["_value"] for row in ask(influx, "Nodes heard", district=district)] == [str(heard)]
    assert [row["dev_eui"] for row in ask(influx, "Nodes in the register", district=district)] == [str(registered)]
    assert [row["_value"] for row in ask(influx, "Meters that say leak", district=district)] == [str(leaks)]


def test_silent_nodes_are_named(influx: Influx):
    assert [(row["site"], row["heard"]) for row in ask(influx, "Silent for more than 26 hours")] == [
        ("A-2", ""),
        ("M-3", "2026-10-25T03:00:00Z"),
    ]


def test_the_water_of_a_district_is_the_truth(influx: Influx):
    found = ask(influx, "Water by day", district="Sud", stop=city.NOW)
    third = [None if number in {2, 3} else used for number, used in enumerate(city.USED["M-3"])]
    truth = [used * 0.5 + (other or 0) for used, other in zip(city.USED["M-4"], third, strict=True)]
    assert [float(row["litres"]) for row in found] == truth
    assert found[0]["_time"] == "2026-10-20T00:00:00Z"


def test_loss_batteries_bins_and_air_are_the_truth(influx: Influx):
    lost = {row["site"]: row for row in ask(influx, "Frames received, lost and repeated")}
    assert [lost["B-1"][name] for name in ("received", "lost", "repeated")] == ["8", "4", "1"]
    assert float(lost["B-1"]["loss"]) == pytest.approx(100 * 4 / 12)
    batteries = ask(influx, "Batteries", start=city.NOW - timedelta(days=40))
    assert {row["site"] for row in batteries} == {"B-1", "M-1"}
    assert [row["_value"] for row in batteries if row["site"] == "B-1"][-1] == "3542"
    bins = [row["_value"] for row in ask(influx, "Bins: distance from the sensor") if row["site"] == "B-1"]
    assert (len(bins), bins[-1]) == (23, "340")  # an hour without an echo has no point
    air = [(row["_time"], row["_value"]) for row in ask(influx, "Air: PM2.5 by the hour")]
    assert air == [(f"2026-10-26T{hour}:00:00Z", mean) for hour, mean in ((10, "13"), (11, "46"), (12, "90"))]


def test_the_spool_comes_by_influxdbs_own_scraper(influx: Influx):
    now = time.time()

    def shown(title: str):
        span = {"start": time_of(now - 60), "stop": time_of(time.time() + 60)}
        return {row["_measurement"]: float(row["_value"]) for row in ask(influx, title, **span)}

    waiting, age = FROM_METRICS
    wait_until(lambda: shown(waiting) == {"vigie_spool_events": 2.0, "vigie_dead_letters": 1.0}, "the first scrape", 25)
    assert shown(age)["vigie_spool_oldest_age_seconds"] > 0


def time_of(seconds: float):
    return city.datetime.fromtimestamp(seconds, city.UTC)
