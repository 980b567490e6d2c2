"""A node's words, where something is missing, foreign or wrong."""

from zoneinfo import ZoneInfo

import pytest
from vigie.rows import BinShape
from vigie.web.directory import Known, Meter
from vigie.web.language import languages
from vigie.web.latest import DAY_NS, Heard, Midnight, Stamped
from vigie.web.listing import entry
from vigie.web.shown import Cell, facts, shown

NOW = 1_782_820_800 * 10**9  # 2026-06-30 12:00 UTC
EN, FR = languages(ZoneInfo("Europe/Paris")).values()


def words(known=None, to=EN, **parts):
    heard = Heard(
        "00000000000000a1",
        **{
            name: Stamped(NOW, fields) if isinstance(fields, dict) and name != "days" else fields
            for name, fields in parts.items()
        },
    )
    return shown(entry(heard.dev_eui, heard, known, NOW), to, NOW)


@pytest.mark.parametrize(
    ("parts", "cell"),
    [
        ({"health": {"battery": 3605}}, Cell("3.60 V")),
        ({"health": {"battery": 3050}, "report": {"low_battery": True}}, Cell("3.05 V", "low", attention=True)),
        ({"health": {"battery_reason": 1}}, Cell("no value: not measured", attention=True)),
        ({"status": {"battery": 84.6}}, Cell("85 %")),
        ({"status": {"external_power": True}}, Cell("mains")),
        ({"status": {"external_power": False}}, Cell("")),
        ({}, Cell("")),
    ],
)
def test_battery(parts, cell):
    assert words(**parts).battery == cell


@pytest.mark.parametrize(
    ("link", "cell"),
    [
        ({"dr": 5, "rssi": -120, "snr": -6.0}, Cell("weak", "-120 dBm, SNR -6.0 dB, SF7", attention=True)),
        ({"dr": 0, "rssi": -120, "snr": -6.0}, Cell("good", "-120 dBm, SNR -6.0 dB, SF12")),
        ({"dr": 7, "rssi": -80, "snr": 1.0}, Cell("-80 dBm, SNR 1.0 dB")),
        ({"dr": 5}, Cell("unknown")),
    ],
)
def test_signal(link, cell):
    assert words(link=link).signal == cell


@pytest.mark.parametrize(
    ("kind", "reading", "known", "text"),
    [
        ("bin", {"distance": 810}, Known("s", "d", "bin", shape=BinShape("s", 1500, 120, 240)), "50 % full"),
        ("bin", {"distance": 1810}, None, "1,810 mm to what it sees"),
        ("bin", {"distance_reason": 6}, None, "no value: in the blind zone: perhaps full"),
        ("bin", {"distance_reason": 14}, None, "no value: unknown"),
        ("air", {"pm25": 12, "pm10_reason": 3}, None, "PM2.5 12 µg/m³, PM10 no value: bad checksum"),
    ],
)
def test_last_value(kind, reading, known, text):
    assert words(known, kind=kind, reading=reading).value.text == text


def test_a_meters_last_whole_day():
    day = NOW // DAY_NS * DAY_NS
    days = {day - DAY_NS: Midnight(100, 1, unsure=False), day: Midnight(223, 1, unsure=True)}
    meter = Known("s", "d", "meter", meters=(Meter(0, None, 10_000),))
    assert words(meter, kind="meter", days=days).value == Cell("1,230 L on 29 Jun 2026", "time uncertain")
    assert words(meter, FR, kind="meter", days=days).value.text == "1\u202f230 L le 29 juin 2026"
    assert words(kind="meter", days=days).value.text == "123 pulses on 29 Jun 2026, litres unknown"
    assert words(meter, kind="meter", link={"dr": 5}).value.text == "no whole day known"
    assert words(meter).value.text == ""


def test_texts_from_outside_are_escaped():
    known = Known("<b>site</b>", "d", "air")
    assert words(known).site == "<b>site</b>"  # a plain text, which the template escapes
    assert str(words(known, health={"firmware": "<i>"}).firmware) == "<i>"
    assert not hasattr(words(known).site, "__html__")


@pytest.mark.parametrize(
    ("health", "rows"),
    [
        (
            {"clock_error": 12, "boots": 2, "exceptions": 1},
            {"Clock": "off by at most 12 s", "Starts": "2 since it was mounted; errors in the program: 1"},
        ),
        ({"clock_error": 65_535}, {"Clock": "not known to the node"}),
        ({}, {}),
    ],
)
def test_facts(health, rows):
    one = entry("a", Heard("a", health=Stamped(NOW, health)), None, NOW)
    assert dict(facts(one, EN)) == {"Reports": "every 1 d", **rows}
