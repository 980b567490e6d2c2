"""What the gateway's tests share: a gateway process, a publisher, frames, InfluxDB read by hand."""

import base64
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import orjson
import paho.mqtt.client as mqtt
import urllib3
from vigie.payload import meter

from tools.run import servers
from tools.setup import places

DEV = "a748c6ac76e41f7a"


def wait_until(true: Callable[[], bool], what: str | Callable[[], str], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.02)


def uplink(number: int, data: bytes, *, port: int = 10, dev_eui: str = DEV, at: int | None = None) -> tuple[str, bytes]:
    """Topic and JSON body of the uplink with frame counter `number`, received `number` seconds after ten hours ago."""
    second = (int(time.time()) - 36_000 if at is None else at) + number
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{number:06d}+00:00"
    body = {
        "deduplicationId": f"00000000-0000-4000-8000-{number:012d}",
        "time": stamp,
        "deviceInfo": {"devEui": dev_eui, "deviceName": "compteur", "tags": {}},
        "devAddr": "00e7016e",
        "adr": True,
        "dr": 5,
        "fCnt": number,
        "fPort": port,
        "confirmed": False,
        "data": base64.b64encode(data).decode(),
        "rxInfo": [
            {"gatewayId": "7cd281062c91a4d2", "uplinkId": number, "rssi": -60, "snr": 9.0, "crcStatus": "CRC_OK"}
        ],
        "txInfo": {"frequency": 868_100_000},
    }
    return f"application/5a534a64-b3a7-419c-88b6-a84dd5d3a0de/device/{dev_eui}/event/up", orjson.dumps(body)


def meter_frame(mark: int, count: int) -> bytes:
    """A meter's frame: the count of the moment and one midnight."""
    day = mark // 86_400
    return meter.encode(meter.Meter(3, mark, 8 | 16, count, day, (meter.Day(count - 5, 0, 4, 24, 0),)), 51)


class Influx:
    """The server, with buckets of this test's own."""

    def __init__(self, server: servers.InfluxDB, access: servers.InfluxAccess) -> None:
        self.server, self.access = server, access

    def lines(self, flux: str) -> list[dict[str, str]]:
        answer = urllib3.PoolManager().request(
            "POST",
            f"{self.server.url}/api/v2/query?org={self.access.org}",
            body=flux.encode(),
            headers={
                "Authorization": f"Token {self.access.read_token()}",
                "Content-Type": "application/vnd.flux",
                "Accept": "application/csv",
            },
        )
        assert answer.status == 200, answer.data
        rows: list[dict[str, str]] = []
        head: list[str] = []
        for text in answer.data.decode().splitlines():
            cells = text.split(",")
            if not text:
                head = []
            elif not head:
                head = cells
            else:
                rows.append(dict(zip(head, cells, strict=True)))
        return rows

    def f_cnts(self, dev_eui: str = DEV) -> set[int]:
        """Frame counters of the link points of a device."""
        flux = (
            'from(bucket: "raw") |> range(start: -30d, stop: 2d) |> filter(fn: (r) => r._measurement == "link"'
            f' and r._field == "f_cnt" and r.dev_eui == "{dev_eui}") |> keep(columns: ["_time", "_value"])'
        )
        return {int(row["_value"]) for row in self.lines(flux)}


class Gateway:
    """The gateway as users run it: `python -m vigie run` with a settings file in its folder."""

    def __init__(self, folder: Path, broker_port: int, influx_url: str, access: servers.InfluxAccess) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.http = servers.free_port()
        self.settings = folder / "vigie.toml"
        self.settings.write_text(
            f"[mqtt]\nport = {broker_port}\n[influxdb]\nurl = '{influx_url}'\norg = '{access.org}'\n"
            f"write_token_file = '{access.write_token_file}'\nread_token_file = '{access.read_token_file}'\n"
            f"[http]\nport = {self.http}\n"
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.extra: dict[str, str] = {}

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(places.ROOT / "gateway"),
            "VIGIE_SETTINGS": str(self.settings),
            **self.extra,
        }

    def start(self, *, ready: bool = True) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "vigie", "run"], env=self.env, stderr=log)
        if ready:
            wait_until(
                lambda: self.page("/readyz")[0] == 200,
                lambda: f"the gateway is ready; {self.page('/readyz')}; {self.log()}",
            )

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def page(self, path: str) -> tuple[int, str]:
        assert self.process is None or self.process.poll() is None, self.log()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """Sum over the labels; -1 while nobody answers."""
        status, text = self.page("/metrics")
        if status != 200:
            return -1
        return sum(
            float(row.rpartition(" ")[2]) for row in text.splitlines() if row.split("{")[0].split(" ")[0] == name
        )

    def settled(self, received: int) -> None:
        def done() -> bool:
            got = self.metric("vigie_mqtt_messages_total") - self.metric("vigie_duplicates_total")
            return got >= received and self.metric("vigie_spool_events") == 0

        wait_until(done, lambda: f"{received} received and stored; {self.log()[-2000:]}", 60)

    def vigie(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vigie", *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)


class Publisher:
    """ChirpStack's side: QoS 1, waits for each acknowledgement in `flush`."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._sent: list[mqtt.MQTTMessageInfo] = []

    def send(self, topic: str, body: bytes) -> None:
        self._sent.append(self._client.publish(topic, body, qos=1))

    def flush(self) -> None:
        for info in self._sent:
            info.wait_for_publish(30)
            assert info.is_published()
        self._sent.clear()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
