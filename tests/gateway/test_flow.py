"""The gateway as a process between a real Mosquitto and a real InfluxDB: outages, kills, poison, duplicates."""

import time

from vigie import settings as config
from vigie.payload import bin as bin_
from vigie.writer import InfluxWriter

from tests.gateway.support import DEV, Gateway, Influx, Publisher, meter_frame, uplink, wait_until
from tools.run import servers

NOON = int(time.time()) // 86_400 * 86_400 - 43_200  # yesterday, within every retention


def send(publisher: Publisher, numbers: range, dev_eui: str) -> None:
    for number in numbers:
        publisher.send(*uplink(number, meter_frame(NOON + number, 1000 + number), dev_eui=dev_eui, at=NOON))
    publisher.flush()


def test_an_uplink_is_one_point_in_each_of_its_buckets(gateway: Gateway, publisher: Publisher, influx: Influx):
    gateway.start()
    send(publisher, range(3), "00000000000000a0")
    gateway.settled(3)
    flux = 'from(bucket: "%s") |> range(start: -30d, stop: 2d) |> filter(fn: (r) => r.dev_eui == "00000000000000a0" and r._field == "count")'
    assert [int(row["_value"]) for row in influx.lines(flux % "hourly")] == [1000, 1001, 1002]
    daily = influx.lines(flux % "daily")
    # three frames carried the same midnight: one point (the last frame's count of our own making)
    assert [(row["_time"], row["_value"]) for row in daily] == [
        (time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(NOON)), "997")
    ]
    assert gateway.metric("vigie_points_total") == 3 * 4  # link, report, two counts
    assert gateway.stop() == 0


def test_killed_again_and_again_it_loses_nothing(gateway: Gateway, publisher: Publisher, influx: Influx):
    dev_eui = "00000000000000a1"
    gateway.start()
    for part in range(4):
        send(publisher, range(part * 500, part * 500 + 250), dev_eui)
        for number in range(part * 500 + 250, part * 500 + 500):
            publisher.send(*uplink(number, meter_frame(NOON + number, number + 5), dev_eui=dev_eui, at=NOON))
        wait_until(lambda: gateway.metric("vigie_mqtt_messages_total") > 0, "something arrives")
        gateway.kill()
        publisher.flush()
        gateway.start()
    wait_until(lambda: len(influx.f_cnts(dev_eui)) == 2000, "all 2,000 are stored")
    wait_until(lambda: gateway.metric("vigie_spool_events") == 0, "the spool is empty")
    assert gateway.metric("vigie_dead_letters") == 0


def test_what_is_published_while_it_is_away_and_the_broker_restarts_arrives(
    gateway: Gateway, publisher: Publisher, influx: Influx, broker: servers.Mosquitto
):
    dev_eui = "00000000000000a2"
    gateway.start()
    assert gateway.stop() == 0
    send(publisher, range(200), dev_eui)
    broker.stop()
    again = servers.start_mosquitto(broker.server.folder, broker.port)
    try:
        gateway.start()
        gateway.settled(200)
        assert "session=resumed" in gateway.log()
        again.stop()  # under the running gateway
        wait_until(lambda: gateway.page("/readyz")[0] == 503, "it says that the broker is gone")
        again = servers.start_mosquitto(broker.server.folder, broker.port)
        wait_until(lambda: gateway.page("/readyz")[0] == 200, "it is back")
        late = Publisher(broker.port)
        send(late, range(200, 210), dev_eui)
        late.close()
        gateway.settled(210)
        assert influx.f_cnts(dev_eui) == set(range(210))
    finally:
        gateway.kill()
        again.stop()


def test_an_influxdb_that_is_away_is_waited_for(gateway: Gateway, publisher: Publisher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("influx")
    server = servers.start_influxdb(folder)
    access = servers.influx_setup(server.url, folder / "secrets")
    tokens = access.write_token_file.read_text()
    own = Gateway(
        gateway.folder, int(gateway.settings.read_text().split("port = ")[1].split("\n")[0]), server.url, access
    )
    server.stop()
    own.start()
    try:
        send(publisher, range(100), DEV)
        wait_until(lambda: own.metric("vigie_spool_events") == 100, "all wait in the spool")
        assert own.page("/readyz")[0] == 200  # InfluxDB away makes no gateway unready
        server = servers.start_influxdb(folder, server.port)
        assert servers.influx_setup(server.url, folder / "secrets") == access
        assert access.write_token_file.read_text() == tokens  # a second start keeps its tokens
        own.settled(100)
        assert Influx(server, access).f_cnts() == set(range(100))
    finally:
        own.kill()
        server.stop()


def test_poison_becomes_a_dead_letter_and_the_rest_goes_on(gateway: Gateway, publisher: Publisher, influx: Influx):
    dev_eui = "00000000000000a3"
    gateway.start()
    publisher.send("application/a/device/b/event/up", b"{")
    publisher.send("application/a/device/b/event/up", b"\xff\xfe\x00")
    publisher.send("application/a/device/b/event/link_check", b'{"deviceInfo": {}}')
    publisher.send(*uplink(0, b"\x7f\x00", dev_eui=dev_eui))
    publisher.send(*uplink(1, b"\xee\xee", dev_eui=dev_eui, port=51))
    publisher.send(*uplink(2, b"", dev_eui=dev_eui, port=0))
    publisher.send(*uplink(3, meter_frame(NOON, 50), dev_eui=dev_eui, at=NOON))
    publisher.flush()
    gateway.settled(7)
    assert influx.f_cnts(dev_eui) == {0, 1, 2, 3}  # a frame was received, whatever is in it
    assert gateway.metric("vigie_dead_letters") == 5
    listed = gateway.vigie("dead", "list").stdout
    for reason in (
        "not JSON",
        "neither JSON nor the Protobuf",
        "unknown type 'link_check'",
        "payload version byte 0x7f",
        "fPort 51",
    ):
        assert reason in listed
    assert gateway.vigie("dead", "replay", "--all").stdout == "5 waiting again\n"
    wait_until(
        lambda: gateway.metric("vigie_spool_events") == 0 and gateway.metric("vigie_dead_letters") == 5, "dead again"
    )
    assert gateway.vigie("dead", "drop", "--all").stdout == "5 dropped\n"
    assert gateway.metric("vigie_dead_letters") == 0


def test_one_type_conflict_in_a_batch_costs_one_event(gateway: Gateway, publisher: Publisher, influx: Influx):
    dev_eui = "00000000000000a4"
    gateway.start()
    assert gateway.stop() == 0  # the session stays; the batch waits in the broker
    # InfluxDB knows a field's type by shard: one where `distance` is a float refuses our integers, and only there.
    conflict = (NOON - 86_400 * 21) // 3600 * 3600
    token = influx.access.write_token_file.read_text().strip()
    writer = InfluxWriter(config.Influxdb(url=influx.server.url, org=influx.access.org), token)
    assert writer.write("raw", [f"bin,dev_eui={dev_eui} distance=1.5 {(conflict - 3600) * 10**9}"]).status == 204
    for number in range(300):
        frame = bin_.encode(bin_.Bin(conflict if number == 77 else NOON, 0, (bin_.Echo(900 + number, 3, 7),)), 51)
        publisher.send(*uplink(number, frame, dev_eui=dev_eui, port=20, at=NOON))
    publisher.flush()
    gateway.start()
    gateway.settled(300)
    assert gateway.metric("vigie_dead_letters") == 1
    shown = gateway.vigie("dead", "list").stdout
    assert "InfluxDB refuses the point bin of" in shown
    assert "type conflict" in shown
    assert len(influx.f_cnts(dev_eui)) == 300


def test_the_same_event_twice_is_counted_and_stored_once(gateway: Gateway, publisher: Publisher, influx: Influx):
    dev_eui = "00000000000000a5"
    gateway.start()
    for _ in range(3):
        send(publisher, range(5), dev_eui)
    gateway.settled(5)
    wait_until(lambda: gateway.metric("vigie_duplicates_total") == 10, "ten duplicates")
    assert gateway.metric("vigie_mqtt_messages_total") == 15
    assert influx.f_cnts(dev_eui) == set(range(5))


def test_a_full_spool_stops_acknowledging_and_drops_nothing(gateway: Gateway, publisher: Publisher, influx: Influx):
    dev_eui = "00000000000000a6"
    gateway.extra = {"VIGIE_SPOOL__MAX_BYTES": "1000000", "VIGIE_INFLUXDB__URL": "http://127.0.0.1:9"}
    gateway.start()
    send(publisher, range(3000), dev_eui)  # more than the spool takes: some 500 bytes each, 700 in its file
    wait_until(lambda: "is at its limit" in gateway.page("/readyz")[1], "it says that the spool is full")
    assert gateway.metric("vigie_spool_bytes") < 1_200_000  # one batch of a thousand may overshoot by what rows cost
    gateway.stop()
    gateway.extra = {"VIGIE_SPOOL__MAX_BYTES": "1000000"}
    gateway.start(ready=False)
    wait_until(lambda: influx.f_cnts(dev_eui) == set(range(3000)), "all are stored", 60)
    wait_until(lambda: gateway.metric("vigie_spool_events") == 0, "the spool is empty")


def test_check_names_what_is_wrong_and_two_gateways_exclude_each_other(gateway: Gateway):
    gateway.start()
    good = gateway.vigie("check")
    assert good.returncode == 0, good.stdout
    second = gateway.vigie("run")
    assert second.returncode == 4
    assert "is in use by process" in second.stderr
    gateway.extra = {"VIGIE_BUCKETS__RAW": "rawe", "VIGIE_MQTT__PORT": "9"}
    bad = gateway.vigie("check")
    assert bad.returncode == 1
    failed = [row for row in bad.stdout.splitlines() if "FAILED" in row]
    assert len(failed) == 3, bad.stdout
    assert "rawe" in failed[1]
    assert "127.0.0.1:9" in failed[0]


def test_query_shows_what_is_stored(gateway: Gateway, publisher: Publisher):
    dev_eui = "00000000000000a7"
    gateway.start()
    send(publisher, range(1), dev_eui)
    gateway.settled(1)
    table = gateway.vigie("query", "meter", dev_eui, "--since", "3d", "--csv").stdout.splitlines()
    midnight = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(NOON))
    noon = time.strftime("%Y-%m-%dT12:00:00Z", time.gmtime(NOON))
    assert table[1:] == [f"{midnight},{dev_eui},995,3,0,4,24,,,", f"{noon},{dev_eui},1000,3,,,,,,"]
    for words, code, said in (
        (("query", "meter", "zz"), 2, "is not a DevEUI"),
        (("query", "bin"), 2, "--all"),
        (("query", "air", "--all", "--since", "soon"), 2, "--since 'soon'"),
        (("--settings", "/nowhere.toml", "check"), 3, "/nowhere.toml does not exist"),
    ):
        answer = gateway.vigie(*words)
        assert answer.returncode == code
        assert said in answer.stderr
        assert answer.stderr.count("\n") == 1
