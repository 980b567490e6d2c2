"""The command line: a wrong word gets one line that says what, where and what to do, and exit code 2."""

import subprocess
import sys

import pytest
from vigie.errors import SettingsError, UsageError
from vigie.files import read_secret
from vigie.query import make_query

from tools.run import servers


def vigie(*words):
    told = subprocess.run([sys.executable, "-m", "vigie", *words], capture_output=True, text=True, check=False)
    return told.returncode, told.stdout, told.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("qery",), "vigie: No such command 'qery'. Did you mean 'query'? See `vigie --help`.\n"),
        (("query", "metre"), "vigie: No such command 'metre'. Did you mean 'meter'? See `vigie query --help`.\n"),
        (("--version",), "vigie: No such option: --version. See `vigie --help`.\n"),
        (("statu",), "vigie: No such command 'statu'. Did you mean 'status'? See `vigie --help`.\n"),
        (
            ("status", "--jsn"),
            "vigie: No such option: --jsn (Possible options: --json) See `vigie status --help`.\n",
        ),
        (("query", "air", "--since"), "vigie: Option '--since' requires an argument. See `vigie --help`.\n"),
    ],
)
def test_a_wrong_word_is_one_line(words, line):
    code, out, error = vigie(*words)
    assert (code, out) == (2, "")
    # python -m has another name for the program than its script has
    assert error.replace("python -m vigie", "vigie") == line


def test_a_number_that_is_none_is_one_line():
    code, _, error = vigie("dead", "show", "x")
    assert code == 2
    assert error.count("\n") == 1
    assert "'ID'" in error


def test_help_is_asked_for_or_shown_instead_of_nothing():
    code, out, error = vigie("--help")
    assert (code, error) == (0, "")
    assert "query" in out
    code, out, error = vigie()
    assert code == 2
    assert "query" in out + error


def test_a_missing_settings_file_is_its_own_exit_code(tmp_path):
    code, _, error = vigie("--settings", str(tmp_path / "none.toml"), "check")
    assert code == 3
    assert error.count("\n") == 1


def test_an_influxdb_that_is_not_there_is_named_in_plain_words(tmp_path):
    url = f"http://127.0.0.1:{servers.free_port()}"
    file = tmp_path / "vigie.toml"
    file.write_text(f'[influxdb]\nurl = "{url}"\n[http]\nport = 0\n')
    code, out, _ = vigie("--settings", str(file), "status")
    assert code == 1
    assert f"InfluxDB    {url}: [Errno 111] Connection refused; is it running, and is [influxdb] url right?\n" in out


@pytest.mark.parametrize(
    ("since", "words"),
    [
        ("2099-01-01", "lies in the future; give a time that has passed"),
        ("99999999999y", "give a span such as 12h, 2d or 3w"),
        ("yesterday", "give a span such as 12h, 2d or 3w"),
    ],
)
def test_a_span_that_cannot_be_is_refused(since, words):
    with pytest.raises(UsageError) as refused:
        make_query("air", None, every=True, since=since)
    assert words in str(refused.value)


def test_a_wrong_deveui_is_told_by_the_command_that_was_typed(tmp_path):
    file = tmp_path / "vigie.toml"
    file.write_text("[http]\nport = 0\n")
    code, out, error = vigie("--settings", str(file), "query", "nodes", "70b3")
    assert (code, out) == (2, "")
    assert error == "vigie: query nodes: '70b3' is not a DevEUI: 16 hex digits, as on the node's label\n"


@pytest.mark.parametrize("content", ["one\ntwo\n", "all:\n\trm -rf x\n", "clé\n"])
def test_a_file_that_holds_no_secret_is_refused_without_showing_it(tmp_path, content):
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(SettingsError) as refused:
        read_secret(file, "[influxdb] read_token_file")
    assert "on one line" in str(refused.value)
    assert content.strip() not in str(refused.value)
