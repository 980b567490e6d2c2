"""`vigie-node provision` against devnet over gRPC: again, in the midst of it, beside other people's devices, with typing errors."""

import csv
import re
import signal
import subprocess
import sys
import time

import grpc
import pytest
from chirpstack_api import api

from tools.run import servers
from tools.setup import places
from tools.setup.say import Problem
from tools.technician import chirpstack
from tools.technician.inventory import Drawing, Keys, Row, only_one, read_list
from tools.technician.provision import Names, carry_out, look

PREFIX = "70b3d5f0a1"
LIST = f"""\
kind,dev_eui,name,site,district
meter,{PREFIX}000001,,S-0001,centre
bin,,bin-gare-1,S-0002,gare
air,,,S-0003,
"""


@pytest.fixture
def tell(network, vigie_node, tmp_path):
    """`tell(*words)`: provision with this network and keys file."""
    keys = tmp_path / "keys.csv"

    def run(*words, env=None):
        place = ("--api", network.address, "--token-file", network.token, "--keys", keys)
        return vigie_node("provision", *place, *words, env=env)

    run.keys = keys
    return run


@pytest.fixture
def listing(tmp_path):
    path = tmp_path / "devices.csv"
    path.write_text(LIST)
    return path


def kept(path):
    with path.open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def stored(network, table):
    return network.devnet.store.rows(f"SELECT * FROM {table}")  # noqa: S608 - a name of this file


def network_key(network, dev_eui):
    return network.registry.keys(dev_eui).message.nwk_key


def no_progress(_done, _total):
    pass


def provision(network, rows, keys, prefix=PREFIX, names=None):
    names = names or Names()
    place, found = look(network.connection, names, rows, keys, prefix, no_progress, draw=True)
    return carry_out(network.connection, names, place, found, keys, no_progress)


def test_a_list_becomes_devices_with_keys_and_a_second_run_changes_nothing(network, tell, listing):
    code, out, err = tell(listing, "--dev-eui-prefix", PREFIX)
    assert (code, err) == (0, "")
    assert out == (
        "made tenant Ville\nmade application vigie\nmade device profile vigie-class-a-eu868\n"
        f"3 devices created, 0 there already; keys are in {tell.keys}\n"
    )
    assert tell.keys.stat().st_mode & 0o777 == 0o600
    rows = kept(tell.keys)
    assert list(rows) == ["meter-S-0001", "bin-gare-1", "air-S-0003"]
    assert [row["dev_eui"] for row in rows.values()] == [f"{PREFIX}00000{n}" for n in (1, 2, 3)]
    assert len({row["app_key"] for row in rows.values()}) == 3
    for row in rows.values():
        device = network.registry.get("device", row["dev_eui"]).message
        assert device.name == row["name"] and device.join_eui == "0" * 16
        assert dict(device.tags) == {k: row[k] for k in ("kind", "site", "district") if row[k]}
        assert network_key(network, row["dev_eui"]) == row["app_key"]
        assert row["app_key"] not in out
    profile = network.registry.get("device_profile", device.device_profile_id).message
    assert profile.adr_algorithm_id == "default" and profile.supports_otaa and profile.device_status_req_interval == 1
    assert (profile.region, profile.mac_version, profile.reg_params_revision) == (0, 4, 5)
    assert profile.payload_codec_runtime == api.CodecRuntime.JS
    assert profile.payload_codec_script == chirpstack.CODEC.read_text()
    tables = ("tenant", "application", "device_profile", "device", "device_keys")
    before, keys = [stored(network, table) for table in tables], tell.keys.read_bytes()
    code, out, err = tell(listing, "--dev-eui-prefix", PREFIX)
    assert (code, out, err) == (0, f"0 devices created, 3 there already; keys are in {tell.keys}\n", "")
    assert [stored(network, table) for table in tables] == before
    assert tell.keys.read_bytes() == keys


def test_a_dry_run_writes_nothing(network, tell, listing):
    code, out, err = tell(listing, "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "would create tenant Ville",
        "would create application vigie",
        "would create profile vigie-class-a-eu868",
        f"line 2: meter-S-0001: would create meter {PREFIX}000001, with a new key",
        "line 3: bin-gare-1: would create bin a new DevEUI, with a new key",
        "line 4: air-S-0003: would create air a new DevEUI, with a new key",
    ]
    assert not tell.keys.exists() and not stored(network, "tenant") and not stored(network, "device")
    assert tell(listing)[0] == 0
    network.registry.delete_keys(f"{PREFIX}000001")
    before = [stored(network, table) for table in ("device", "device_keys")]
    code, out, _ = tell(listing, "--dry-run")
    assert out.splitlines()[0] == f"line 2: meter-S-0001: {PREFIX}000001 is there without a key; would give it one"
    assert "would create" not in out
    assert [stored(network, table) for table in ("device", "device_keys")] == before


def test_a_device_without_keys_gets_those_of_the_keys_file(network, tell, listing):
    tell(listing)
    row = kept(tell.keys)["meter-S-0001"]
    network.registry.delete_keys(row["dev_eui"])
    code, out, _ = tell(listing)
    assert code == 0 and out.startswith("0 devices created, 2 there already, 1 keys completed;")
    assert network_key(network, row["dev_eui"]) == row["app_key"]


def test_a_lost_keys_file_is_filled_from_the_network(network, tell, listing):
    """A key that exists is never changed, and no device is registered twice because its DevEUI was forgotten."""
    tell(listing)
    before = kept(tell.keys)
    tell.keys.unlink()
    code, out, _ = tell(listing)
    assert code == 0 and out.startswith("0 devices created, 3 there already;")
    assert kept(tell.keys) == before


def test_another_key_is_named_and_stays(network, tell, listing):
    tell(listing)
    row = kept(tell.keys)["bin-gare-1"]
    network.registry.update_keys(api.DeviceKeys(dev_eui=row["dev_eui"], nwk_key="ab" * 16))
    code, _out, err = tell(listing)
    assert code == 1
    assert err == (
        f"vigie-node: line 3: bin-gare-1: the network has another key than {tell.keys}; nothing is changed, correct one of the two\n"
    )
    assert network_key(network, row["dev_eui"]) == "ab" * 16
    assert kept(tell.keys)["bin-gare-1"] == row
    listing.write_text(f"kind,dev_eui,app_key\nmeter,{PREFIX}000001,{'12' * 16}\n")
    code, _, err = tell(listing)
    assert code == 1 and "app_key: " in err and "has another one" in err and "12" * 16 not in err


def test_a_foreign_application_is_named_and_left_alone(network, tell, listing):
    other = chirpstack.Place(*[""] * 3)
    names = ("Ville", "bus-et-trams", "autre-profil")
    other, _ = chirpstack.complete(network.connection, other, *names)
    devices = chirpstack.Devices(network.connection, other)
    assert devices.create(f"{PREFIX}000001", "0" * 16, "bus-1", {})
    assert devices.create(f"{PREFIX}000002", "0" * 16, "bus-2", {})
    before = stored(network, "device")
    code, out, err = tell(listing, "--dev-eui-prefix", PREFIX)
    assert code == 1 and "2 devices created, 0 there already, 1 refused;" in out
    assert err == (
        f"vigie-node: line 2: meter-S-0001: DevEUI {PREFIX}000001 is held by application bus-et-trams ({other.application}); "
        "nothing is changed there\n"
    )
    after = {row[0]: row for row in stored(network, "device")}
    assert [after[row[0]] for row in before] == before
    rows = kept(tell.keys)
    assert "meter-S-0001" not in rows
    assert rows["bin-gare-1"]["dev_eui"] == f"{PREFIX}000003"  # drawn past what is held elsewhere


def test_two_runs_at_once_from_two_places_meet(network, tmp_path):
    """Another run has made devices since this one looked: they are this application's, with the keys of that run."""
    one, other = Keys(tmp_path / "one.csv"), Keys(tmp_path / "other.csv")
    rows = [Row("meter", "m-1", f"{PREFIX}000001", app_key="1a" * 16), Row("meter", "m-2", f"{PREFIX}000002")]
    _place, found = look(network.connection, Names(), rows, one, "", no_progress, draw=True)
    assert provision(network, rows, other).created == 2
    report = carry_out(network.connection, Names(), chirpstack.find(network.connection), found, one, no_progress)
    assert report.created == 0 and report.refused == ["m-2: it has got another key meanwhile; run this again"]
    assert (report.created, provision(network, rows, one).there) == (0, 2)
    assert network_key(network, f"{PREFIX}000002") == other.rows[f"{PREFIX}000002"].app_key
    assert one.rows == other.rows == Keys(one.path).rows


def test_a_tenants_own_key_does_with_its_id_and_hears_of_another_tenant(network, tell, listing, tmp_path):
    connection = network.connection
    ours, _ = chirpstack.complete(connection, chirpstack.find(connection))
    other, _ = chirpstack.complete(connection, chirpstack.Place("", "", ""), "Autre ville")
    chirpstack.Devices(connection, other).create(f"{PREFIX}000001", "0" * 16, "x", {})
    request = api.CreateApiKeyRequest(api_key={"name": "ville", "tenant_id": ours.tenant})
    made = connection.call(api.InternalServiceStub(connection.channel).CreateApiKey, request)
    network.token.write_text(made.token)
    code, out, err = tell(listing, "--tenant-id", ours.tenant)
    assert code == 1 and out.startswith("2 devices created")
    assert err == (
        f"vigie-node: line 2: meter-S-0001: DevEUI {PREFIX}000001 is held by another tenant; nothing is changed there\n"
    )
    assert "meter-S-0001" not in kept(tell.keys)
    code, _, err = tell(listing)  # without the id it would have to list tenants
    assert code == 1 and "ListTenants: UNAUTHENTICATED; the token is refused" in err


def test_a_count_is_the_same_devices_each_time_and_grows(network, tell):
    words = ("--kind", "meter", "--dev-eui-prefix", PREFIX)
    assert tell("--count", 3, *words)[0] == 0
    before = kept(tell.keys)
    assert list(before) == ["meter-0001", "meter-0002", "meter-0003"]
    code, out, _ = tell("--count", 5, *words)
    assert code == 0 and out.startswith("2 devices created, 3 there already")
    after = kept(tell.keys)
    assert {name: after[name] for name in before} == before
    assert after["meter-0005"]["dev_eui"] == f"{PREFIX}000005"
    code, out, _ = tell("--count", 1, "--kind", "bin")
    chosen = kept(tell.keys)["bin-0001"]["dev_eui"]
    assert code == 0 and int(chosen[:2], 16) & 3 == 2  # locally administered


def test_kill_9_in_the_midst_leaves_no_device_whose_key_nobody_knows(network, tell, tmp_path):
    words = ["provision", "--api", network.address, "--token-file", network.token, "--keys", tell.keys]
    words += ["--count", "300", "--kind", "meter"]
    command = [sys.executable, "-m", "tools.technician", *map(str, words)]
    for devices in (1, 40):
        process = subprocess.Popen(command, cwd=places.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 20
        while len(stored(network, "device")) < devices and process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        network.devnet.apply_pending()
        made = {row[0] for row in stored(network, "device")}
        assert devices <= len(made) < 300
        assert made <= {row["dev_eui"] for row in kept(tell.keys).values()}
    network.registry.delete_keys(min(row[0] for row in stored(network, "device_keys")))
    code, _out, err = tell("--count", 300, "--kind", "meter")
    assert (code, err) == (0, "")
    assert len(stored(network, "device")) == len(stored(network, "device_keys")) == 300
    for row in kept(tell.keys).values():
        assert network_key(network, row["dev_eui"]) == row["app_key"]


def test_a_thousand_devices(network, tmp_path):
    keys = Keys(tmp_path / "many.csv")
    rows = [Row("meter", f"meter-{n:04d}") for n in range(1000)]
    for created, most in ((1000, 25), (0, 10)):
        began = time.monotonic()
        report = provision(network, rows, keys)
        seconds = time.monotonic() - began
        print(f"1,000 devices, {created} of them new: {seconds:.1f} s")
        assert (report.created, report.there) == (created, 1000 - created) and seconds < most


def test_a_profile_of_before_gets_its_codec_and_keeps_what_somebody_chose(network, tell, listing):
    place, _ = chirpstack.complete(network.connection, chirpstack.find(network.connection))
    profile = network.registry.get("device_profile", place.profile).message
    profile.payload_codec_script, profile.payload_codec_runtime, profile.adr_algorithm_id = "", 0, ""
    profile.device_status_req_interval, profile.uplink_interval = 4, 900
    network.registry.update("device_profile", profile)
    code, out, _ = tell(listing)
    made = "made device profile vigie-class-a-eu868 (adr_algorithm_id, payload_codec_runtime, payload_codec_script)\n"
    assert code == 0 and out.startswith(made)
    profile = network.registry.get("device_profile", place.profile).message
    assert profile.payload_codec_script == chirpstack.CODEC.read_text() and profile.adr_algorithm_id == "default"
    assert (profile.device_status_req_interval, profile.uplink_interval) == (4, 900)
    profile.mac_version = 3
    network.registry.update("device_profile", profile)
    code, _, err = tell(listing)
    assert code == 1 and err == (
        "vigie-node: device profile vigie-class-a-eu868: mac_version is LORAWAN_1_0_3, these devices need LORAWAN_1_0_4; "
        "name another profile (--profile)\n"
    )


def test_a_semicolon_list_from_a_french_spreadsheet(network, tell, listing):
    listing.write_bytes("\ufeffkind;dev_eui;site\r\nmeter;70B3D5F0A1000009;S-9\r\n;;\r\n".encode())
    assert tell(listing)[0] == 0
    assert kept(tell.keys)["meter-S-9"]["dev_eui"] == "70b3d5f0a1000009"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1: no column kind; the first line names the columns"),
        ("kind,name\n", ": no device in it; below the line of column names each line is one"),
        ("kind,adresse\nmeter,x\n", ":1: column 'adresse' is not known; known are kind, dev_eui,"),
        ("name\nm-1\n", ":1: no column kind; the first line names the columns"),
        ("kind,name\nmetre,m-1\n", ":2: kind is 'metre'; one of meter, bin, air is needed"),
        ("kind,dev_eui\nmeter,7.0E+15\n", ":2: dev_eui is '7.0E+15'; 16 hex digits are needed"),
        ("kind,name\nmeter,12 rue Haute\n", ":2: name is '12 rue Haute'; a code of letters, digits,"),
        ("kind,site,app_key\nmeter,S1,1234\n", ":2: app_key is wrong; 32 hex digits are needed"),
        ("kind,name\nmeter,\n", ":2: no dev_eui, name or site; one of them is needed"),
        ("kind,name\nmeter\n", ":2: 1 cells, 2 expected"),
        ("kind,name\nmeter,a\nbin,a\n", ":3: name a stands in line 2 already"),
        (f"kind,dev_eui\nair,{'0a' * 8}\nair,{'0A' * 8}\n", f":3: dev_eui {'0a' * 8} stands in line 2 already"),
    ],
)
def test_a_wrong_list_is_told_by_line(listing, text, told):
    listing.write_text(text)
    with pytest.raises(Problem) as problem:
        read_list(listing)
    assert str(problem.value).startswith(f"{listing}{told}")


def test_every_wrong_line_is_told_before_anything_is_done(network, tell, listing):
    listing.write_text("kind,name\nmetre,a\nmeter,b\nmeter,c d\n")
    assert [line.split(": ")[1] for line in tell(listing)[2].splitlines()] == [f"{listing}:2", f"{listing}:4"]
    assert not stored(network, "tenant") and not tell.keys.exists()


def test_typing_errors_are_one_line(network, tell, vigie_node, listing, tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("")
    keys = tmp_path / "open.csv"
    keys.write_text("kind,dev_eui,app_key,name\n")
    keys.chmod(0o644)
    for code, words, told in (
        (2, ("provision",), "give a CSV file, or --count with --kind"),
        (2, ("provision", "--count", "3"), "--kind is missing: one of meter, bin, air is needed"),
        (2, ("provision", "--count", "3", "--kind", "metre"), "--kind metre: one of"),
        (2, ("provision", listing, "--kind", "bin"), "--kind goes with --count"),
        (2, ("provision", "--cuont", "3"), "No such option: --cuont"),
        (2, ("provision", listing, "--tenant-id", "ville"), "Invalid value for '--tenant-id': "),
        (2, ("provison", listing), "No such command 'provison'"),
        (1, ("provision", listing), "no token: put one of ChirpStack's API keys into a file"),
        (1, ("provision", listing, "--token-file", tmp_path / "no"), "No such file or directory; name the file of an API key"),
        (1, ("provision", listing, "--token-file", empty), "no token in it"),
        (1, ("provision", tmp_path / "no.csv", "--token-file", network.token), "No such file or directory; name a CSV file"),
        (1, ("provision", listing, "--token-file", network.token, "--keys", keys, "--api", network.address), "others may read these keys; chmod 600"),
        (1, ("provision", listing, "--token-file", network.token, "--keys", tmp_path / "no" / "k.csv"), "name a keys file (--keys) in a folder"),
    ):  # fmt: skip
        ended, out, err = vigie_node(*words)
        assert (ended, out, err.count("\n")) == (code, "", 1) and told in err, (words, err)
    code, _, err = tell(listing, "--dev-eui-prefix", "ville")
    assert code == 1 and "--dev-eui-prefix ville: the first 6 to 14 hex digits" in err
    network.token.write_text("not.a.token")
    code, _, err = tell(listing)
    assert code == 1 and "ListTenants: UNAUTHENTICATED InvalidToken; the token is refused" in err


def test_the_token_may_come_from_the_environment(network, vigie_node, listing, tmp_path):
    env = {"VIGIE_CHIRPSTACK_TOKEN": network.token.read_text()}
    words = ("provision", listing, "--api", network.address, "--keys", tmp_path / "k.csv")
    assert vigie_node(*words, env=env)[0] == 0


def test_a_server_that_is_away_is_tried_again_and_then_told(network, monkeypatch):
    monkeypatch.setattr(chirpstack, "_DEADLINE_S", 0.2)
    monkeypatch.setattr(chirpstack, "_PAUSE_S", 0.01)
    network.server.stop(0)
    calls = []

    def away(_request, **_how):
        calls.append(1)
        error = grpc.RpcError()
        error.code, error.details = (lambda: grpc.StatusCode.UNAVAILABLE), (lambda: "no route")
        raise error

    with pytest.raises(Problem, match="GetDevice: UNAVAILABLE no route; it does not answer: check the address"):
        network.connection.call(away, api.GetDeviceRequest(), may_miss=True)
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(
        Problem, match="CreateTenant: UNAVAILABLE"
    ):  # two tenants of one name are worse than another run
        network.connection.call(away, api.CreateTenantRequest())
    assert len(calls) == 1


def test_an_address_where_nobody_answers_is_told_at_once(network, vigie_node, listing, monkeypatch):
    monkeypatch.setattr(chirpstack, "_REACH_S", 0.3)
    address = f"127.0.0.1:{servers.free_port()}"
    code, out, err = vigie_node("provision", listing, "--api", address, "--token-file", network.token)
    assert (code, out) == (1, "") and err.startswith(
        f"vigie-node: network server at {address}: nobody answers there; check the address"
    )


def test_a_handshake_that_fails_is_one_line(network):
    # a process of its own: gRPC reads how much it may say once in a process
    script = (
        "import sys; from tools.technician import chirpstack; chirpstack._REACH_S = 1.5; from tools.setup.say import Problem\n"
        "try: chirpstack.Api(sys.argv[1], tls=True).reach()\n"
        "except Problem as told: print(told)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, network.address], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stderr == ""
    assert "check the address (host:port of the API, with or without TLS)" in told.stdout


def test_two_runs_do_not_share_a_keys_file(tmp_path):
    path = tmp_path / "keys.csv"
    with only_one(path), pytest.raises(Problem, match="another run is at work with it"), only_one(path):
        pass
    with only_one(path):
        pass


def test_a_full_block_of_deveuis_is_told():
    drawing = Drawing("70b3d5f0a100ff", ["70b3d5f0a100fffe"])
    assert drawing.dev_eui() == "70b3d5f0a100ffff"
    with pytest.raises(Problem, match="the block is full"):
        drawing.dev_eui()


def test_two_places_of_one_name_are_told(network):
    for _ in range(2):
        network.registry.create("tenant", api.Tenant(name="Ville"))
    with pytest.raises(Problem, match=re.escape("2 objects are called Ville (")):
        chirpstack.find(network.connection)
