"""Both languages say everything, with the same places for values; dates, numbers and spans as each writes them."""

import ast
import re
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

import pytest
from vigie.payload import codes
from vigie.web.language import languages, preferred
from vigie.web.texts import EN, FR

WEB = Path(__file__).parents[3] / "gateway" / "vigie" / "web"
BOTH = languages(ZoneInfo("Europe/Paris"))
NOON = 1_782_820_800 * 10**9  # 2026-06-30 12:00 UTC, summer time in Paris


def places(text):
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name)


def test_both_tables_have_the_same_keys_and_places():
    assert list(EN) == list(FR)
    assert {key: places(text) for key, text in EN.items()} == {key: places(text) for key, text in FR.items()}
    assert not [key for table in (EN, FR) for key, text in table.items() if not text.strip()]


def asked():
    """Keys that templates and code ask for, literally."""
    for template in (WEB / "templates").glob("*.html"):
        yield from re.findall(r"say\(\"(\w+)\"[,)]", template.read_text())
    for file in WEB.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("say", "mark")
            ):
                yield from (one.value for one in node.args if isinstance(one, ast.Constant))


def test_what_is_asked_for_is_there():
    wanted = set(asked())
    assert len(wanted) > 60
    assert wanted <= set(EN)


def test_no_sentence_of_the_templates_stands_outside_the_tables():
    for template in (WEB / "templates").glob("*.html"):
        bare = re.sub(r"\{[%{#].*?[%}#]\}|<[^>]*>", " ", template.read_text(), flags=re.DOTALL)
        assert re.findall(r"[A-Za-zÀ-ÿ]{2,}", bare) == [], template.name


def test_every_reason_code_has_its_words():
    assert {f"reason_{code}" for code in codes.REASONS} == {key for key in EN if key.startswith("reason_")}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("en", ["30 Jun 2026, 14:00", "12:00 UTC", "12,345.5", "1 d", "6 h", "15 min", "90 min", "30 s", "UTC+02:00"]),
        (
            "fr",
            [
                "30 juin 2026, 14:00",
                "12:00 UTC",
                "12\u202f345,5",
                "1 j",
                "6 h",
                "15 min",
                "90 min",
                "30 s",
                "UTC+02:00",
            ],
        ),
    ],
)
def test_each_writes_as_it_does(code, said):
    to = BOTH[code]
    moment = to.moment(NOON)
    spans = [to.span(seconds) for seconds in (86_400, 21_600, 900, 5400, 30)]
    assert [moment.local, moment.utc, to.number(12345.46, 1), *spans, to.offset(NOON)] == said
    assert moment.iso == "2026-06-30T12:00:00Z"


def test_another_day_in_utc_is_named_and_a_near_year_is_not():
    to = BOTH["en"]
    late = NOON + 10 * 3600 * 10**9 + 1800 * 10**9
    assert to.moment(late, NOON) == ("2026-06-30T22:30:00Z", "1 Jul, 00:30", "30 Jun, 22:30 UTC")
    assert to.moment(late, NOON + 400 * 86_400 * 10**9).local == "1 Jul 2026, 00:30"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en;q=0.3,fr;q=0.7", "fr"),
        ("de", "en"),
        ("", "en"),
        ("fr;q=x,en", "en"),
        ("*", "en"),
        ("fr;q=0", "en"),
    ],
)
def test_the_browsers_language_is_taken(header, code):
    assert preferred(header, ["en", "fr"]) == code
