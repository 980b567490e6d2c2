"""The register's view in InfluxDB, and the command `vigie register` as people type it."""

import threading
import time

import pytest
from vigie.nodes import NodeWriter
from vigie.register import KINDS, Register, import_sheet
from vigie.register.store import Origin
from vigie.writer import Answer

from tests.gateway.support import DEV, wait_until

DAY_NS = 86_400 * 10**9
NOON = 20_000 * DAY_NS + DAY_NS // 2
SHEETS = {
    "sites": "site,kind,district,address\nS1,meter,gare,4 rue du Lac\nB1,bin,,\n",
    "devices": f"dev_eui,kind,site\n{DEV},meter,S1\n00000000000000c1,bin,B1\n00000000000000d1,air,\n",
    "segments": f"site,serial,dev_eui,epoch,litres_per_pulse,since\nS1,M1,{DEV},0,2.5,2024-01-10T09:00:00Z\n",
}


class Door:
    """InfluxDB's door, that answers what a test says."""

    def __init__(self):
        self.status, self.lines = 204, []

    def write(self, bucket, lines):
        assert bucket == "raw"
        if self.status == 204:
            self.lines += lines
        return Answer(self.status, "no")


def fill(path, now_ns=lambda: NOON):
    with Register(path, now_ns) as register:
        for kind, text in SHEETS.items():
            assert not import_sheet(register, KINDS[kind], text.encode(), Origin("clerk", "x")).refused


def test_the_view_is_written_at_the_start_after_a_change_and_on_a_new_day(tmp_path):
    path, door, now = tmp_path / "register.sqlite", Door(), [NOON]
    nodes = NodeWriter(path, door, "raw", threading.Event(), lambda: now[0])
    assert (nodes.look(), door.lines) == ("", [])
    assert not path.exists()
    fill(path)
    meter = f'node,dev_eui={DEV} site="S1",district="gare",kind="meter",litres_per_pulse=2.5 {20_000 * DAY_NS}'
    bin_ = f'node,dev_eui=00000000000000c1 site="B1",district="",kind="bin" {20_000 * DAY_NS}'
    door.status = 503
    assert nodes.look() == "raw: 503: no"
    door.status = 204
    assert (nodes.look(), door.lines) == ("", [bin_, meter])
    assert (nodes.look(), door.lines) == ("", [bin_, meter])
    with Register(path, lambda: NOON) as register:
        import_sheet(register, KINDS["sites"], b"site,kind,district\nB1,bin,lac\n", Origin("clerk", "x", "moved"))
    assert (nodes.look(), door.lines[2:]) == ("", [bin_.replace('district=""', 'district="lac"')])
    now[0] += DAY_NS
    assert nodes.look() == ""
    nodes.close()
    assert [line.rpartition(" ")[2] for line in door.lines[3:]] == [str(20_001 * DAY_NS)] * 2


def test_a_register_that_cannot_be_read_stops_nothing(tmp_path):
    path = tmp_path / "register.sqlite"
    path.write_bytes(b"no database" * 500)
    stop = threading.Event()
    nodes = NodeWriter(path, Door(), "raw", stop)
    assert "not a database" in nodes.look()
    loop = threading.Thread(target=nodes.run)
    loop.start()
    stop.set()
    loop.join(5)
    assert not loop.is_alive()


def today():
    return time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())


def test_a_sheet_reaches_influxdb_through_the_running_gateway(gateway, influx):
    fill(gateway.folder / "register.sqlite", time.time_ns)
    first_day = today()
    gateway.start()
    (gateway.folder / "sites.csv").write_text(SHEETS["sites"].replace("gare", "lac"))
    done = gateway.vigie("register", "import", "sites", str(gateway.folder / "sites.csv"), "--correct", "new quarter")
    assert (done.stdout, done.stderr) == ("sites: 0 new, 1 corrected, 1 known, 0 refused\n", "")
    flux = (
        'from(bucket: "raw") |> range(start: -2d, stop: 1d) |> filter(fn: (r) => r._measurement == "node")'
        f' |> filter(fn: (r) => r.dev_eui == "{DEV}") |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
    )
    found = []

    def there():
        found[:] = influx.lines(flux)
        return any(row.get("district") == "lac" for row in found)

    wait_until(there, gateway.log)
    assert (found[-1]["site"], found[-1]["litres_per_pulse"], found[-1]["kind"]) == ("S1", "2.5", "meter")
    assert not any("rue du Lac" in str(row) for row in found)
    assert found[-1]["_time"] in {first_day, today()}
    assert gateway.stop() == 0


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Runs `vigie register ...` in a folder of its own; (exit code, output, errors)."""
    from typer.testing import CliRunner
    from vigie import cli

    folder = tmp_path_factory.mktemp("cli")
    (folder / "vigie.toml").write_text("")
    for kind, text in SHEETS.items():
        (folder / f"{kind}.csv").write_text(text)
    (folder / "bad.csv").write_text("site,kind\nS1,meter\nS9,boat\nS8,air\n")

    def run(*words, **how):
        words = ["--settings", str(folder / "vigie.toml"), "register", *(w.replace("@", f"{folder}/") for w in words)]
        done = CliRunner().invoke(cli._commands, words, **how)
        return done.exit_code, done.stdout, done.stderr or str(done.exception or "")

    words = [word for kind in SHEETS for word in (kind, f"@{kind}.csv")]
    assert run("import", *words, "--who", "clerk")[1].count(" 0 refused") == 3
    run.folder = folder
    return run


def test_the_same_sheet_twice_and_a_bad_line(told):
    assert told("import", "sites", "@sites.csv") == (0, "sites: 0 new, 0 corrected, 2 known, 0 refused\n", "")
    code, out, error = told("import", "sites", "@bad.csv", "--dry-run")
    assert code == 1
    assert out == "sites: 1 new, 0 corrected, 0 known, 2 refused; dry run, nothing kept\n"
    assert error.splitlines()[1] == "bad.csv: line 3: refused: kind is 'boat'; give meter, bin or air"
    assert error.startswith(
        "bad.csv: line 2: refused: entry 1 says otherwise: district gare there, empty here, address; to correct"
    )
    code, out, _ = told("import", "sites", "@bad.csv", "--all-or-nothing")
    assert (code, out.endswith("; nothing kept (--all-or-nothing)\n")) == (1, True)
    code, out, _ = told("import", "sites", "-", input="site,kind\nS7,air\n")
    assert (code, out) == (0, "sites: 1 new, 0 corrected, 0 known, 0 refused\n")


def test_personal_data_is_shown_on_request_only_and_noted(told):
    for words in (
        ("list", "sites"),
        ("list",),
        ("history",),
        ("history", "sites", "--csv"),
        ("export", "sites", "--no-personal"),
    ):
        code, out, _ = told(*words)
        assert code == 0
        assert "rue du Lac" not in out
    assert "4 rue du Lac" in told("show", "S1", "--who", "chief")[1]
    assert "4 rue du Lac" in told("export", "sites", "--who", "chief")[1]
    code, out, _ = told("export", "sites", "@out.csv", "--french", "--history", "--who", "chief")
    assert code == 0
    sheet = (told.folder / "out.csv").read_bytes()
    assert sheet.startswith(b"\xef\xbb\xbfentry;entered;by;source;reason;supersedes;superseded_by;site;")
    assert (told.folder / "out.csv").stat().st_mode & 0o777 == 0o600
    trail = [row.split(",") for row in told("audit", "--csv")[1].splitlines()]
    assert [row[2:4] for row in trail if row[4] == "yes"] == [["chief", what] for what in ("show", "export", "export")]
    assert [row[3] for row in trail if row[4] == ""].count("export") == 1


def test_a_dash_is_standard_output_as_it_is_standard_input(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told("export", "sites", "-", "--no-personal") == told("export", "sites", "--no-personal")
    assert list(tmp_path.iterdir()) == []


def test_a_correction_without_a_reason_is_refused(told):
    assert told("import", "sites", "@bad.csv", "--correct", " ") == (
        1,
        "",
        "register: --correct is empty; say in a few words why",
    )


def test_a_backup_leaves_a_file_that_is_there_alone(told):
    file = told.folder / "sites.csv"
    code, out, error = told("backup", "@sites.csv")
    assert (code, out) == (1, "")
    assert error == f"register: backup to {file}: File exists; give a new file in a folder with room"
    assert file.read_text() == SHEETS["sites"]


def test_a_correction_a_withdrawal_and_a_backup(told):
    number = told("list", "segments", "--csv")[1].splitlines()[1].split(",")[0]
    code, out, _ = told("correct", number, "tolerance_l=40", "--reason", "agreed", "--who", "chief")
    assert code == 0
    made = out.split()[1]
    assert out == f"entry {made} takes the place of {number}\n"
    rows = told("history", "segments", "--csv")[1].splitlines()
    assert rows[1].split(",")[6] == made
    assert rows[2].split(",")[2:6] == ["chief", "correct", "agreed", number]
    assert told("backup", "@copy.sqlite")[0] == 0
    assert told("withdraw", made, "--reason", "test")[:2] == (0, f"entry {int(made) + 1} withdraws {made}\n")
    with Register(told.folder / "copy.sqlite") as copy:
        assert copy.segments()[0].tolerance_l == 40


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("imprt", "sites"), "No such command 'imprt'"),
        (("import", "site", "@sites.csv"), "there is no kind 'site' (did you mean 'sites'?)"),
        (("import", "sites"), "give a kind and a file, such as sites sites.csv"),
        (("import", "sites", "@nil.csv"), "nil.csv: No such file or directory"),
        (("import", "sites", "@sites.csv", "--zone", "Europe/Pari"), "--zone 'Europe/Pari': give a zone"),
        (("show", "S99"), "there is no site 'S99'"),
        (("correct", "1", "kind", "--reason", "x"), "'kind': give COLUMN=VALUE"),
        (("correct", "1", "kind=bin"), "Missing option '--reason'"),
        (("correct", "1", "kind=bin", "--reason", " "), "--reason is empty"),
        (("withdraw", "999", "--reason", "x"), "there is no entry 999"),
        (("export", "sites", "@no/such/x.csv"), "No such file or directory; give a file in a folder"),
        (("export", "bin"), "did you mean 'bins'?"),
    ],
)
def test_a_wrong_word_is_one_line(told, words, line):
    code, _, error = told(*words)
    assert code != 0
    assert line in error
