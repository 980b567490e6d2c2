"""The register: sheets in, refused lines with their reasons, corrections as entries, the current view, the audit trail."""

import re
import sqlite3
import stat
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vigie.errors import RegisterError
from vigie.register import KINDS, Register, correct, import_sheet, render, to_cells, withdraw
from vigie.register.sheets import parse
from vigie.register.store import Origin
from vigie.rows import DeviceRow, Dial, Node, Segment, SiteRow

NOW = int(datetime(2026, 11, 26, tzinfo=UTC).timestamp()) * 10**9
DAY = 86_400 * 10**9
PARIS = ZoneInfo("Europe/Paris")
DEV, OTHER = "a748c6ac76e41f7a", "00000000000000b1"
SITES = "site,kind,district,household_ref,address\nS1,meter,gare,H-17,4 rue du Lac\nS2,meter,gare,,\nB1,bin,centre,,\n"
DEVICES = f"dev_eui,kind,site\n{DEV},meter,S1\n{OTHER},meter,S2\n00000000000000c1,bin,B1\n"
SEGMENT = "site,serial,dev_eui,epoch,litres_per_pulse,anchor_dial_l,anchor_time,anchor_count,since,until,out_dial_l\n"
FIRST = f"S1,M1,{DEV},0,10,120000,2026-01-10T09:00:00Z,3,2026-01-10T09:00:00Z,,\n"


def at(text):
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


@pytest.fixture
def register(tmp_path):
    with Register(tmp_path / "register.sqlite", lambda: NOW) as made:
        yield made


def take(register, kind, text, reason="", **how):
    data = text if isinstance(text, bytes) else text.encode()
    return import_sheet(register, KINDS[kind], data, Origin("clerk", f"{kind}.csv", reason), **how)


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A city that no test changes."""
    with Register(tmp_path_factory.mktemp("register") / "register.sqlite", lambda: NOW) as made:
        yield filled(made)


@pytest.fixture
def city(register):
    return filled(register)


def filled(register):
    for kind, text in (("sites", SITES), ("devices", DEVICES), ("segments", SEGMENT + FIRST)):
        assert take(register, kind, text).refused == []
    return register


def refused(register, kind, *lines, head=None):
    """The reasons for which lines of one kind are refused, by line number; nothing of them is kept."""
    report = take(register, kind, "\n".join([head or heads()[kind], *lines]), dry_run=True)
    return dict(report.refused)


def heads():
    return {
        "sites": "site,kind,district,household_ref,address,lat,lon,note",
        "devices": "dev_eui,kind,site,interval_s",
        "segments": SEGMENT.strip(),
        "dials": "site,serial,time,dial_l,who",
        "bins": "site,depth_mm,full_mm,volume_l",
        "commissioning": "site,dev_eui,time,who,serial,dial_l,count,epoch,photo",
    }


def test_the_current_view_is_what_the_sheets_said(city):
    assert city.sites()[1] == SiteRow("S1", "meter", "gare", "H-17", "4 rue du Lac", None, None, "")
    assert city.devices()[2] == DeviceRow(DEV, "meter", "S1", None, "", "", "")
    since = at("2026-01-10T09:00:00+00:00")
    assert city.segments() == [Segment("S1", "M1", DEV, 0, 10_000, 120_000_000, since, 3, since, None, None, None)]
    take(city, "dials", 'site,serial,time,dial_m3,who\nS1,M1,2026-06-30T18:20:00+02:00,"131,25",team 2\n')
    assert city.dials() == [Dial("S1", "M1", at("2026-06-30T16:20:00+00:00"), 131_250_000, "team 2")]


def test_the_same_file_twice_changes_nothing(city):
    before = city.entries(), city.audit()
    for kind, text in (("sites", SITES), ("devices", DEVICES), ("segments", SEGMENT + FIRST)):
        report = take(city, kind, text)
        assert (report.new, report.corrected, report.refused) == (0, 0, [])
        assert report.known == text.count("\n") - 1
    assert (city.entries(), city.audit()) == before


def test_doubled_lines_and_a_dial_that_falls(register):
    """Half-yearly readings in which every line stands twice and the meter was replaced without a word."""
    take(register, "sites", SITES)
    readings = [("2016-06-14", 749), ("2016-09-14", 762), ("2016-12-15", 762), ("2017-03-14", 6), ("2017-06-14", 24)]
    lines = [f"S2,M7,{day}T12:00:00Z,{m3},clerk" for day, m3 in readings for _ in range(2)]
    sheet = "\n".join(["site,serial,time,dial_m3,who", *lines])
    report = take(register, "dials", sheet)
    assert (report.new, [line for line, _ in report.notes]) == (3, [3, 5, 7])
    assert [line for line, _ in report.refused] == [8, 9, 10, 11]
    assert (
        "falls from 762000 L (2016-12-15T12:00:00Z) to 6000 L (2017-03-14T12:00:00Z); if the meter was replaced"
        in (report.refused[0][1])
    )
    assert take(register, "dials", sheet).new == 0
    take(register, "devices", DEVICES)
    segments = [
        f"S2,M7,{OTHER},,1,,,,2016-01-01T00:00:00Z,2017-01-20T09:00:00Z,763500",
        f"S2,M7,{OTHER},,1,0,2017-01-20T09:00:00Z,0,2017-01-20T09:00:00Z,,",
    ]
    assert take(register, "segments", SEGMENT + "\n".join(segments)).refused == []
    report = take(register, "dials", sheet)
    assert (report.new, report.refused) == (2, [])
    assert [dial.ml for dial in register.dials()] == [749 * 10**6, 762 * 10**6, 762 * 10**6, 6 * 10**6, 24 * 10**6]


REFUSED = [
    ("sites", ",meter,,,,,,", "site is empty"),
    ("sites", "S9,mtr,,,,,,", "kind is 'mtr'; give meter, bin or air"),
    ("sites", "S9,meter,,,,45.5,,", "lat and lon are given together"),
    ("sites", "S9,meter,,,,95,5,", "degrees lie between -90 and 90"),
    ("sites", "S9,meter,,,", "it has 5 cells, the header has 8"),
    ("sites", 'S9,meter,,"x', "a quote is opened and not closed"),
    ("sites", f"{'S' * 65},meter,,,,,,", "has 65 characters, at most 64"),
    ("sites", "S\x079,meter,,,,,,", "control character U+0007"),
    ("sites", "S1,bin,,,,,,", "entry 1 says otherwise: kind meter there, bin here, district gare there, empty here, "),
    ("devices", "1.23457E+15,meter,S1,", "a spreadsheet made a number of it"),
    ("devices", "a748c6ac76e41f7,meter,S1,", "16 hex digits"),
    ("devices", "00000000000000d1,meter,S7,", "the site 'S7' is not in the register; import sites first"),
    ("devices", "00000000000000d1,bin,S1,", "the site 'S1' is of kind 'meter', not 'bin'"),
    ("devices", "00000000000000d1,meter,S1,3", "it lies between 10 and"),
    ("devices", "00000000000000d1,meter,S1,3600.5", "give a whole number"),
    ("segments", "S1,M1,00000000000000ff,0,10,,,,2026-02-01T00:00:00Z,,", "the device 00000000000000ff is not in"),
    ("segments", "S2,M2,00000000000000c1,0,10,,,,2026-02-01T00:00:00Z,,", "is of kind 'bin', not 'meter'"),
    ("segments", "B1,M2,a748c6ac76e41f7a,0,10,,,,2026-02-01T00:00:00Z,,", "'B1' is of kind 'bin'"),
    ("segments", "S2,M2,00000000000000b1,0,0,,,,2026-02-01T00:00:00Z,,", "between 0.001 and 100000"),
    ("segments", "S2,M2,00000000000000b1,0,0.0001,,,,2026-02-01T00:00:00Z,,", "finer than a millilitre"),
    ("segments", "S2,M2,00000000000000b1,65536,10,,,,2026-02-01T00:00:00Z,,", "between 0 and 65535"),
    ("segments", "S2,M2,00000000000000b1,0,10,5,,,2026-02-01T00:00:00Z,,", "are given together or not at all"),
    ("segments", "S2,M2,00000000000000b1,0,10,,,,2026-02-01T00:00:00Z,,7", "out_dial_l is the dial at until"),
    ("segments", "S2,M2,00000000000000b1,0,10,,,,2026-02-01T00:00:00Z,2026-01-01T00:00:00Z,", "is not after since"),
    ("segments", "S2,M2,00000000000000b1,0,10,,,,2062-02-01T00:00:00Z,,", "in the future"),
    ("segments", "S2,M2,00000000000000b1,0,10,1,2026-01-31T00:00:00Z,0,2026-02-01T00:00:00Z,,", "lies outside"),
    (
        "segments",
        "S2,M2,00000000000000b1,0,10,50,2026-02-01T00:00:00Z,0,2026-02-01T00:00:00Z,2026-03-01T00:00:00Z,40",
        "falls from 50 L",
    ),
    (
        "segments",
        "S1,M2,00000000000000b1,0,10,,,,2026-02-01T00:00:00Z,,",
        "it overlaps the segment of a748c6ac76e41f7a",
    ),
    ("segments", "S2,M2,a748c6ac76e41f7a,1,10,,,,2026-02-01T00:00:00Z,,", "a device counts one meter at a time"),
    ("segments", "S1,M1,a748c6ac76e41f7a,0,10,,,,2026-02-01T00:00:00Z,,", "in the same count epoch"),
    ("segments", "S1,M1,a748c6ac76e41f7a,,10,,,,2026-02-01T00:00:00Z,,", "in the same count epoch"),
    ("segments", "S1,M1,a748c6ac76e41f7a,1,10,,,,2026-01-01T00:00:00Z,,", "does not follow in time as epochs do"),
    (
        "segments",
        "S2,M1,00000000000000b1,0,10,,,,2026-02-01T00:00:00Z,,",
        "it overlaps the segment of a748c6ac76e41f7a",
    ),
    ("dials", "S1,M1,2026-02-01T00:00:00Z,119999,clerk", "falls from 120000 L (2026-01-10T09:00:00Z) to 119999 L"),
    ("dials", "S1,M1,2026-01-09T00:00:00Z,120000.5,clerk", "falls from 120000.5 L"),
    ("dials", "S1,M8,2026-02-01T00:00:00Z,130000,clerk", "'M8' has no segment at 'S1' (there: M1)"),
    ("dials", "S1,M1,2026-12-24T00:00:00Z,130000,clerk", "in the future"),
    ("dials", "S1,M1,2026-02-30T00:00:00Z,130000,clerk", "day is out of range"),
    ("dials", "S1,M1,2026-06-30,130000,clerk", "a day without its time"),
    ("dials", "S1,M1,2026-06-30 18:00,130000,clerk", "without an offset"),
    ("dials", "S1,M1,2026-06-30T18:00:00+19:00,130000,clerk", "no place on earth"),
    ("dials", "S1,M1,1969-06-30T18:00:00Z,130000,clerk", "times begin with 1970"),
    ("dials", "S1,M1,18h,130000,clerk", "give a time such as"),
    ("dials", "S1,M1,2026-02-01T00:00:00Z,-5,clerk", "between 0 and"),
    ("dials", "S1,M1,2026-02-01T00:00:00Z,1.2.3,clerk", "give a number such as"),
    ("dials", "S1,M1,2026-02-01T00:00:00Z,130000,", "who is empty"),
    ("bins", "S1,1500,300,240", "of kind 'meter', not 'bin'"),
    ("bins", "B1,1500,1500,240", "must be less than depth_mm"),
    ("bins", "B1,1500,300,0", "volume_l is 0"),
    ("commissioning", "S9,a748c6ac76e41f7a,2026-01-10T09:00:00Z,t,,,,,", "site 'S9' is not"),
    ("commissioning", "S1,00000000000000ff,2026-01-10T09:00:00Z,t,,,,,", "device 00000000000000ff is not"),
    ("commissioning", "S1,a748c6ac76e41f7a,2026-01-10T09:00:00Z,t,,5,,,", "needs the meter's serial"),
    ("commissioning", "S1,a748c6ac76e41f7a,2026-02-10T09:00:00Z,t,M1,5,,,", "falls from 120000 L"),
]


@pytest.mark.parametrize(("kind", "line", "reason"), REFUSED, ids=[f"{kind}-{why[:40]}" for kind, _, why in REFUSED])
def test_a_bad_line_is_refused_with_its_number_and_reason(standing, kind, line, reason):
    (found,) = refused(standing, kind, line).items()
    assert found[0] == 2
    assert reason in found[1]
    assert "\n" not in found[1]


def test_bad_lines_cost_nothing_but_themselves(register):
    lines = ["A,air,,", "B,air", "", ";;", "C,air,,\xe9", 'D,air,,"x', "E,air,,", "E,air,,", "E,air,gare,"]
    sheet = "\n".join(["site,kind,district,note", *lines]).encode("latin-1")
    report = take(register, "sites", sheet)
    assert (report.new, report.known) == (2, 1)
    assert [line for line, _ in report.refused] == [3, 5, 6, 7, 10]
    assert "byte 0xE9 is not UTF-8" in report.refused[2][1]
    assert report.refused[4][1] == "line 8 says otherwise: district empty there, gare here"
    assert report.notes == [(9, "says the same as line 8; taken once")]
    assert [row.site for row in register.sites()] == ["A", "E"]


def test_all_or_nothing_and_a_dry_run_keep_nothing(register):
    sheet = "site,kind\nA,air\nB,boat\n"
    report = take(register, "sites", sheet, all_or_nothing=True)
    assert (report.kept, register.sites(), register.audit()) == (False, [], [])
    assert take(register, "sites", sheet, dry_run=True).new == 1
    assert (register.sites(), register.audit()) == ([], [])
    assert take(register, "sites", "site,kind\nA,air\n", all_or_nothing=True).kept
    assert len(register.sites()) == 1


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_sheets_of_any_spreadsheet(city, bom, separator, end):
    number = '"131 250,75"' if separator == "," else "131 250,75"
    rows = [["Site", "SERIAL ", "time", "dial_l", "who", "address"], ["S1", "M1", "30/06/2026 18:20", number, "é", "x"]]
    sheet = end.join(separator.join(row) for row in [*rows, [""] * 6]).encode()
    report = take(city, "dials", bom + sheet, zone=PARIS)
    assert report.refused == []
    assert city.dials() == [Dial("S1", "M1", at("2026-06-30T16:20:00+00:00"), 131_250_750, "é")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the header lacks site, kind"),
        (b"site,kind,adress\n", "line 1: sites have no column 'adress' (did you mean 'address'?)"),
        (b"site,kind,site\n", "the column site is there twice"),
        (b"site,district\n", "the header lacks kind"),
        (b"site\tkind\n", "line 1: tabs are its separator; save it with commas or semicolons"),
        (b"\xff\xfes\x00", "it is UTF-16"),
        (b"site,kind,\xe9\n", "line 1: it is not UTF-8"),
    ],
)
def test_a_sheet_that_is_none_is_refused_whole(register, data, words):
    with pytest.raises(RegisterError) as told:
        take(register, "sites", data)
    assert words in str(told.value)
    assert str(told.value).startswith("sites.csv: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-10-25 02:30", "comes twice that day"),
        ("2026-03-29 02:30", "does not exist that day"),
    ],
)
def test_the_hour_of_a_clock_change_needs_an_offset(text, words):
    sheet = f"site,serial,time,dial_l,who\nS,M,{text},1,x\nS,M,{text}+02:00,1,x\n".encode()
    first, second = parse(sheet, KINDS["dials"], PARIS, "x")
    assert words in first.reason
    assert second.row.time_ns == at(f"{text}+02:00")


def test_a_meter_is_replaced_by_closing_its_segment(city):
    second = f"S1,M2,{OTHER},0,1,0,2026-05-04T10:00:00Z,0,2026-05-04T10:00:00Z,,\n"
    assert "close the earlier one" in take(city, "segments", SEGMENT + second).refused[0][1]
    closed = FIRST.replace(",,\n", ",2026-05-04T10:00:00Z,128400\n")
    assert "to correct it import with --correct REASON" in take(city, "segments", SEGMENT + closed).refused[0][1]
    report = take(city, "segments", SEGMENT + closed + second, "meter replaced")
    assert (report.corrected, report.new, report.refused) == (1, 1, [])
    assert [(row.serial, row.out_ml) for row in city.segments()] == [("M1", 128_400_000), ("M2", None)]
    assert "was taken out before" in refused(city, "dials", "S1,M1,2026-06-01T00:00:00Z,130000,x")[2]
    assert refused(city, "dials", "S1,M2,2026-06-01T00:00:00Z,300,x") == {}
    # the original file again: what it says was corrected since, and stays so
    report = take(city, "segments", SEGMENT + FIRST)
    assert (report.new, report.corrected, report.known, report.refused) == (0, 0, 1, [])
    assert "until entry 8 took its place" in report.notes[0][1]


def test_the_next_epoch_of_a_meter_follows_an_open_one(city):
    young = f"S1,M1,{DEV},1,10,,,,2026-04-01T00:00:00Z,,\n"
    assert take(city, "segments", SEGMENT + young).refused == []
    assert "in the same count epoch" in refused(city, "segments", young.replace("04-01", "05-01"))[2]


def test_a_correction_takes_an_entrys_place_and_both_stay(city):
    number = city.entries("segments")[0].id
    made = correct(
        city, number, {"anchor_dial_l": "120010", "tolerance_l": "50"}, Origin("chief", "correct", "misread")
    )
    old, new = city.entries("segments")
    assert (old.id, old.superseded_by, new.id, new.supersedes) == (number, made, made, number)
    assert (old.row.anchor_ml, new.row.anchor_ml, new.row.tolerance_l) == (120_000_000, 120_010_000, 50)
    assert (new.who, new.reason, new.made_ns) == ("chief", "misread", NOW)
    assert city.segments() == [new.row]
    for wrong, words in (
        ((number, {"since": "2026-01-01T00:00:00Z"}), f"entry {made} took the place of {number}"),
        ((made, {"sinec": "x"}), "segments have no column 'sinec'"),
        ((made, {"tolerance_l": "50"}), "says that already"),
        ((made, {"epoch": "x"}), f"entry {made}: epoch is 'x'"),
        ((made, {"dev_eui": "00000000000000ff"}), "is not in the register"),
        ((99, {}), "there is no entry 99"),
    ):
        with pytest.raises(RegisterError) as told:
            correct(city, *wrong, Origin("chief", "correct", "why"))
        assert words in str(told.value)
    assert len(city.entries("segments")) == 2


def test_a_correction_may_not_make_a_dial_fall(city):
    take(city, "dials", "site,serial,time,dial_l,who\nS1,M1,2026-06-01T00:00:00Z,125000,x\n")
    with pytest.raises(RegisterError, match="falls from 126000 L"):
        correct(city, city.entries("segments")[0].id, {"anchor_dial_l": "126000"}, Origin("chief", "correct", "why"))


def test_a_correction_may_not_say_what_another_entry_says(city):
    number = city.entries("devices")[0].id
    with pytest.raises(RegisterError, match=r"entry \d+ is about the same"):
        correct(city, number, {"dev_eui": OTHER, "site": "S2"}, Origin("chief", "correct", "why"))


def test_a_site_or_device_that_others_name_keeps_its_name(city):
    site, device = city.entries("sites")[0].id, city.entries("devices")[0].id
    for number, changes in ((site, {"site": "S8"}), (device, {"dev_eui": "00000000000000d1"})):
        with pytest.raises(RegisterError, match="still name it"):
            correct(city, number, changes, Origin("chief", "correct", "why"))
    with pytest.raises(RegisterError, match="devices, segments still name it"):
        withdraw(city, site, Origin("chief", "withdraw", "why"))
    with pytest.raises(RegisterError, match="but the device a748c6ac76e41f7a there is a meter"):
        correct(city, site, {"kind": "bin"}, Origin("chief", "correct", "why"))


def test_a_withdrawal_takes_a_row_out_and_a_new_line_brings_it_back(city):
    number = city.entries("segments")[0].id
    gone = withdraw(city, number, Origin("chief", "withdraw", "never mounted"))
    assert city.segments() == []
    assert [entry.row is None for entry in city.entries("segments")] == [False, True]
    report = take(city, "segments", SEGMENT + FIRST)
    assert (report.new, report.known) == (0, 1)
    assert f"until entry {gone} took its place" in report.notes[0][1]
    with pytest.raises(RegisterError, match="is a withdrawal"):
        correct(city, gone, {}, Origin("chief", "correct", "why"))
    assert take(city, "segments", SEGMENT + FIRST.replace("120000", "120500")).new == 1
    assert len(city.segments()) == 1


def test_a_device_moves_by_a_correction(city):
    closed = FIRST.replace(",,\n", ",2026-05-04T10:00:00Z,\n")
    take(city, "segments", SEGMENT + closed, "moved")
    report = take(city, "devices", f"dev_eui,kind,site\n{DEV},meter,S2\n", "moved")
    assert (report.corrected, report.refused) == (1, [])
    assert city.devices()[2].site == "S2"


def test_nothing_is_deleted_or_changed(city):
    db = sqlite3.connect(city.path)
    for table in ("entries", "audit"):
        for sentence in ("DELETE FROM {}", "UPDATE {} SET who = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                db.execute(sentence.format(table))
    db.close()


def test_the_file_is_its_owners_and_survives(city, tmp_path):
    assert stat.S_IMODE(city.path.stat().st_mode) == 0o600
    with Register(city.path, lambda: NOW) as other:
        assert other.sites() == city.sites()
    copy = tmp_path / "copy.sqlite"
    city.backup(copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with Register(copy) as other:
        assert other.segments() == city.segments()
    with pytest.raises(RegisterError, match="File exists"):
        city.backup(copy)


def test_many_may_make_the_file_at_the_same_moment(tmp_path):
    for turn in range(5):
        path, start = tmp_path / f"{turn}.sqlite", threading.Barrier(6)

        def open_it(path=path, start=start):
            start.wait()
            with Register(path) as made:
                return made.version()

        with ThreadPoolExecutor(6) as pool:
            assert [done.result() for done in [pool.submit(open_it) for _ in range(6)]] == [0] * 6
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == []


def test_a_file_that_is_no_register_is_one_line(tmp_path):
    (tmp_path / "x").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    (tmp_path / "empty").touch()
    for path, words in (
        (tmp_path / "empty", "it is no register"),
        (tmp_path / "x", "not a database"),
        (tmp_path / "x" / "y", r"Not a directory|exists"),
    ):
        with pytest.raises(RegisterError, match=words):
            Register(path)


def test_the_audit_trail_says_who_did_what(city):
    correct(city, 1, {"note": "gate at the back"}, Origin("chief", "correct", "told by phone"))
    withdraw(city, city.entries("segments")[0].id, Origin("chief", "withdraw", "never mounted"))
    trail = city.audit()
    assert [(line.who, line.action) for line in trail] == [
        ("clerk", "import"), ("clerk", "import"), ("clerk", "import"), ("chief", "correct"), ("chief", "withdraw"),
    ]  # fmt: skip
    assert re.match(
        r"sites from sites\.csv \(SHA-256 [0-9a-f]{64}\): 3 new, 0 corrected, 0 known, 0 refused$", trail[0].detail
    )
    assert trail[3].detail.endswith("in place of 1: told by phone")


def test_only_what_may_leave_is_in_the_nodes(city):
    assert city.nodes(NOW) == [
        Node(OTHER, "S2", "gare", "meter", None),
        Node("00000000000000c1", "B1", "centre", "bin", None),
        Node(DEV, "S1", "gare", "meter", 10_000),
    ]
    assert city.nodes(at("2026-01-09T00:00:00+00:00"))[2].ml_per_pulse is None
    take(city, "devices", "dev_eui,kind,site\n00000000000000d2,air,\n")
    assert len(city.nodes(NOW)) == 3  # in stock


def exported(register, kind, *, french=False):
    names = [column.name for column in KINDS[kind].columns]
    rows = [to_cells(entry.row) for entry in register.entries(kind, current=True)]
    return "".join(render(KINDS[kind], names, rows, french=french)).encode()


@pytest.mark.parametrize("french", [False, True])
def test_an_export_imports_as_the_same(city, tmp_path, french):
    odd = 'site,kind,address,lat,lon,note\nS5,meter,"=HYPERLINK(""x"")",45.5655,-5.92,"\'=1;\n-2, ""é"""\n'
    take(city, "sites", odd)
    take(city, "sites", "site,kind\n0012,meter\n")
    take(city, "dials", "site,serial,time,dial_l,who\nS1,M1,2026-06-01T00:00:00.25Z,125000.125,=x\n")
    take(city, "bins", "site,depth_mm,full_mm,volume_l\nB1,1500,300,240\n")
    take(city, "commissioning", f"site,dev_eui,time,who,photo\nS1,{DEV},2026-01-10T09:00:00Z,t,+1\n")
    sheet = exported(city, "sites", french=french)
    assert (b"'=HYPERLINK" in sheet) and (b",-5.92," in sheet or b";-5,92;" in sheet)
    assert sheet.startswith(b"\xef\xbb\xbf") == french
    # what a spreadsheet would open as the number 12
    assert (b"\n\t0012;" in sheet) == french and (b"\n0012," in sheet) != french
    with Register(tmp_path / "again.sqlite", lambda: NOW) as again:
        for kind in KINDS:
            assert take(again, kind, exported(city, kind, french=french)).refused == []
        for view in ("sites", "devices", "segments", "dials", "bins", "commissionings"):
            assert getattr(again, view)() == getattr(city, view)() != []


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_any_text_comes_back_from_a_sheet(text):
    kind = KINDS["sites"]
    row = SiteRow("S", "meter", "", "", unicodedata.normalize("NFC", text).strip(), None, None, "")
    names = [column.name for column in kind.columns]
    sheet = "".join(render(kind, names, [to_cells(row)], french=True))
    assert [line.row for line in parse(sheet.encode(), kind, None, "x")] == [row]


@given(st.binary(max_size=300))
def test_no_file_makes_the_reader_fail(data):
    for kind in KINDS.values():
        head = ",".join(column.name for column in kind.columns).encode() + b"\n"
        for line in parse(head + data, kind, None, "x"):
            assert line.number > 1
            assert (line.row is None) == bool(line.reason)


def page_tables():
    text = (Path(__file__).parents[2] / "docs" / "register.md").read_text()
    for name, section in re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"
        ]
        yield name, rows[2:], section


def test_the_page_has_each_kinds_columns_and_its_examples_import(register):
    pages = {name: (rows, section) for name, rows, section in page_tables()}
    assert set(pages) == set(KINDS)
    for name, kind in KINDS.items():
        rows, section = pages[name]
        assert [row[0] for row in rows] == [column.name for column in kind.columns]
        assert [row[3] != "" for row in rows] == [
            column.needed or row[3] == "key" for column, row in zip(kind.columns, rows, strict=True)
        ]
        assert [row[4].startswith("personal") for row in rows] == [column.personal for column in kind.columns]
        by_name = {column.name: field for column, field in zip(kind.columns, kind.row._fields, strict=True)}
        assert {by_name[row[0]] for row in rows if row[3] == "key"} == set(kind.key)
        example = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
        report = take(register, name, example, zone=PARIS)
        # the example's second device hangs at a site of its own
        assert [why for _, why in report.refused if "'S-0043'" not in why] == []
        assert report.new >= 1
