"""`vigie water` as users run it, over a register and a real InfluxDB with two years of counts."""

import csv
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from vigie import cli
from vigie.city import days, walking, water
from vigie.cli_output import sheet
from vigie.register import kind_named
from vigie.register.sheets import parse
from vigie.rows import SiteRow

from tests.gateway.two_years import END, GAP, MUTE, NS, PLAIN, SILENT, START, YEARS, D, H, dial

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture(scope="module")
def city(make_two_years):
    return make_two_years()


def local(number):
    """The local day whose index is that of midnight `number` after the start."""
    return days.local_day(datetime.fromtimestamp((START + number * D) // NS, UTC).date() - timedelta(days=1), PARIS)


def vigie(city, *words, code=0):
    """Standard output and standard error of the command, run inside this process."""
    out, said = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True), io.StringIO()
    argv = ["vigie", "--settings", str(city.file), *map(str, words)]
    with redirect_stdout(out), redirect_stderr(said), patch.object(sys, "argv", argv), pytest.raises(SystemExit) as end:
        cli.app()
    assert (end.value.code or 0) == code, said.getvalue()
    return out.buffer.getvalue().decode(), said.getvalue()


def test_index_as_a_file(city):
    at = local(305).day.isoformat()
    out, said = vigie(city, "water", "index", "--at", at, "--csv")
    rows = {row["site"]: row for row in csv.DictReader(io.StringIO(out))}
    assert list(rows) == ["S0", "S1", "S2", "S3", "S4", "S9"]
    litres = dial(PLAIN, START + 305 * D)
    assert rows["S0"] == dict.fromkeys(rows["S0"], "") | {
        "site": "S0",
        "serial": "M0",
        "dev_eui": PLAIN,
        "day": at,
        "index_m3": str(litres // 1000),
        "index_l": str(litres),
        "instant": days.iso(START + 305 * D),
        "quality": "read",
    }
    assert (rows["S3"]["quality"], rows["S3"]["from_instant"]) == ("estimated", days.iso(START + 299 * D))
    assert rows["S3"]["to_l"] == str(dial(GAP, START + 310 * D))
    assert (rows["S9"]["quality"], rows["S9"]["reason"]) == ("unread", "the register has no meter here")
    assert "4 read, 1 estimated, 1 unread" in said
    data = json.loads(vigie(city, "water", "index", "--at", at, "--district", "Q1", "--json")[0])
    assert [(one["site"], one["quality"]) for one in data] == [("S1", "read"), ("S3", "estimated"), ("S9", "unread")]
    assert data[0]["index_l"] == int(rows["S1"]["index_l"])


def test_names_stay_text_in_a_french_spreadsheet_and_the_register_notes_them(city):
    at = local(10).day.isoformat()
    out, _ = vigie(city, "water", "index", "--at", at, "--names", "--french")
    assert out.startswith("\ufeffsite;serial;dev_eui;day;index_m3;")
    assert all(line.endswith("\r\n") for line in out.splitlines(keepends=True))
    rows = list(csv.DictReader(io.StringIO(out.removeprefix("\ufeff"), newline=""), delimiter=";"))
    assert (rows[0]["household_ref"], rows[0]["address"]) == ("'=H-0", "20 rue du Lac")
    with city.register() as register:
        noted = [(one.action, one.personal) for one in register.audit()]
    assert noted[-1] == ("water index", True)


def test_the_walking_list_comes_back_and_brackets(city):
    last = local(YEARS).day.isoformat()
    out, said = vigie(city, "water", "unread", "--at", last, "--french")
    lines = out.removeprefix("\ufeff").splitlines()
    assert lines[0] == "site;serial;time;dial_l;who;district;address;last_m3;reason"
    # 16 and 18 rue du Lac; S2's count epoch is not in the register
    assert [line.split(";")[0] for line in lines[1:]] == ["S4", "S2"]
    assert "1 unread sites have no meter to read" in said
    read_at = END + D + 9 * H
    litres = dial(MUTE, END) + 900
    local_time = datetime.fromtimestamp(read_at // NS, PARIS).strftime("%d/%m/%Y %H:%M")
    cells = lines[1].split(";")
    cells[2:5] = [local_time, f"{litres},0", "R. 7"]
    (city.folder / "back.csv").write_text("\ufeff" + "\r\n".join([lines[0], ";".join(cells), lines[2]]) + "\r\n")
    taken, refused = vigie(
        city, "register", "import", "dials", city.folder / "back.csv", "--zone", "Europe/Paris", code=1
    )
    assert "1 new" in taken
    assert refused.splitlines()[0].endswith("line 3: refused: time is empty")
    (row,) = (
        row for row in json.loads(vigie(city, "water", "index", "--at", last, "--json")[0]) if row["site"] == "S4"
    )
    assert (row["quality"], row["from_instant"], row["to_instant"]) == (
        "estimated",
        days.iso(SILENT),
        days.iso(read_at),
    )
    before = dial(MUTE, SILENT)
    assert row["index_l"] == (before * 1000 + (litres - before) * 1000 * (END - SILENT) // (read_at - SILENT)) // 1000
    page, _ = vigie(city, "water", "unread", "--at", local(701).day.isoformat(), "--html")
    assert "no district" not in page and "</html>" in page
    assert "<script" not in page


def test_the_page_to_print_is_by_district_street_and_number_and_takes_no_name_for_markup():
    unread = [
        water.Index(f"S{n}", f"M{n}", "", None, 0, "unread", reason="no count since", since_ns=0, present=n != 5)
        for n in range(6)
    ]
    places = [
        ("B", "10 rue A"),
        ("B", "2 rue A"),
        ("A", "rue Z 3"),
        ("A", "7 bis, rue <b>"),
        ("", "1 rue A"),
        ("A", "1 rue A"),
    ]
    rows = {f"S{n}": SiteRow(f"S{n}", "meter", q, "", where, None, None, "") for n, (q, where) in enumerate(places)}
    stops = walking.walking_list(unread, rows)
    assert [one.site for one in stops] == ["S4", "S3", "S2", "S1", "S0"]
    page = walking.page(stops, "2026-06-30")
    assert page.count("<section>") == 3
    assert "7 bis, rue &lt;b&gt;" in page and "<b>" not in page
    assert "no district: 1 to read, for 2026-06-30" in page


@pytest.mark.parametrize(
    ("text", "plain", "french"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("0012", "0012", "\t0012"),
        ("12-3", "12-3", "\t12-3"),
        ("1234567890123456", "1234567890123456", "\t1234567890123456"),
        ("0000000000001e10", "0000000000001e10", "\t0000000000001e10"),
        ("00000000000000c1", "00000000000000c1", "00000000000000c1"),
        ("Été; M12", "Été; M12", '"Été; M12"'),
    ],
)
def test_text_stays_text(text, plain, french):
    assert sheet(["site", "n"], [{"site": text, "n": 5}], ["site"], french=False).decode() == f"site,n\n{plain},5\n"
    made = sheet(["site", "n"], [{"site": text, "n": 5}], ["site"], french=True)
    assert made == f"\ufeffsite;n\r\n{french};5\r\n".encode()
    # and it comes back
    cells = {"site": text, "serial": "M", "time": "2026-01-01T00:00Z", "dial_l": 1, "who": "R. 7"}
    (line,) = parse(sheet(list(cells), [cells], ["site"], french=True), kind_named("dials"), None, "list.csv")
    assert line.row.site == text


def test_radio_against_dial(city):
    day = local(200)
    noon = (day.start_ns + day.end_ns) // 2
    right = dial(PLAIN, noon)
    file = city.folder / "dial.csv"
    file.write_text(
        "site,serial,time,dial_l,who\n"
        f"S0,M0,{days.iso(noon)},{right},R. 7\n"
        f"S3,M3,{days.iso(noon)},{dial(GAP, noon) + 3000},R. 7\n"
        f"S1,M9,{days.iso(noon)},5,R. 7\n"
        f"S7,M7,{days.iso(noon)},5,R. 7\n"
        f"S4,M4,{days.iso(noon + D)},5,R. 7\n"
        f"S4,M4,noon,5,R. 7\n"
    )
    out, said = vigie(city, "water", "compare", "--at", day.day, file, "--csv", code=1)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["site"], row["verdict"]) for row in rows] == [("S0", "agrees"), ("S1", "open"), ("S3", "differs")]
    assert int(rows[0]["least_l"]) <= right <= int(rows[0]["most_l"])
    assert int(rows[2]["difference_l"]) == int(rows[2]["radio_l"]) - int(rows[2]["dial_l"]) < -2000
    assert rows[1]["reason"] == "the register has meter M1 there at that time"
    for number, why in ((5, "'S7'"), (6, f"is not of {day.day}"), (7, "time is 'noon'")):
        assert f"line {number}:" in said and why in said
    out, _ = vigie(city, "water", "compare", "--at", day.day, file, "--within", "5000", "--json", code=1)
    assert [row["verdict"] for row in json.loads(out)] == ["agrees", "open", "agrees"]


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("index", "--at", "30.6.2026"), 2, "vigie: water: --at '30.6.2026': give a day such as 2026-06-30"),
        (("index", "--at", "2199-01-01"), 2, "which is still to come"),
        (
            ("index", "--at", "2025-06-30", "--district", "q1"),
            2,
            "--district 'q1' is not in the register; it has Q0, Q1",
        ),
        (("index", "--at", "2025-06-30", "--csv", "--json"), 2, "--csv or --json, not both"),
        (("unread", "--at", "2025-06-30", "--csv", "--html"), 2, "--html or --csv, not both"),
        (("indx",), 2, "No such command 'indx'. Did you mean 'index'?"),
        (("index",), 2, "Missing option '--at'"),
        (("compare", "--at", "2025-06-30", "none.csv"), 2, "none.csv: No such file or directory"),
    ],
)
def test_a_wrong_word_is_one_line(city, words, code, line):
    out, said = vigie(city, "water", *words, code=code)
    assert out == ""
    assert said.count("\n") == 1 and line in said


def test_a_zone_or_a_register_that_is_not_there_is_one_line(city):
    other = city.folder / "other.toml"
    for text, code, line in (
        ("[water]\ntime_zone = 'Europe/Pari'\n", 3, "knows no time zone 'Europe/Pari'"),
        ("[register]\npath = 'none.sqlite'\n", 7, "none.sqlite does not exist"),
    ):
        other.write_text(text)
        out, said = vigie(SimpleNamespace(file=other), "water", "index", "--at", "2025-06-30", code=code)
        assert out == "" and said.count("\n") == 1 and line in said
    assert not (city.folder / "none.sqlite").exists()
