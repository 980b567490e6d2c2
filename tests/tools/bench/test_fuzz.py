"""`make fuzz`: it ends by itself, says how much it did, and fails with the words of the process that failed."""

import json

import pytest

from tools.bench import fuzz


def told(capsys):
    lines = capsys.readouterr().out.splitlines()
    return lines, json.loads(lines[-1])


def test_as_many_downlinks_as_asked(capsys):
    assert fuzz.fuzz(seconds=60, count=400, seed=7) == 0
    _lines, figures = told(capsys)
    assert figures["downlinks"] >= 400
    assert figures["passed"] and figures["seed"] == 7


@pytest.mark.parametrize("option", ["--seconds", "--count", "--seed", "--round"])
@pytest.mark.parametrize("value", ["-3", "1e6", "x"])
def test_a_number_that_is_none_is_refused(option, value, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fuzz", f"{option}={value}"])
    with pytest.raises(SystemExit) as ended:
        fuzz.main()
    assert ended.value.code == 2
    assert f"argument {option}: {value} is not a whole number" in capsys.readouterr().err


def test_it_ends_when_its_time_is_over(capsys):
    assert fuzz.fuzz(seconds=1, count=0, seed=7) == 0
    _lines, figures = told(capsys)
    assert figures["rounds"] > 0
    assert figures["seconds"] < 30


def test_a_round_again_is_the_same_one(capsys):
    said = []
    for _ in range(2):
        assert fuzz.fuzz(seconds=1, count=0, seed=7, only=3) == 0
        figures = told(capsys)[1]
        said.append((figures["rounds"], figures["downlinks"], figures["taken"]))
    assert said[0] == said[1]
    assert said[0][0] == 1


@pytest.mark.parametrize("program", ["print('SEED=1 ROUND=2'); raise SystemExit(3)", "print('SEED=1 ROUND=2'); x"])
def test_a_fault_fails_and_says_what_the_process_said(program, tmp_path, monkeypatch, capsys):
    script = tmp_path / "rounds.py"
    script.write_text(program)
    monkeypatch.setattr(fuzz, "ROUNDS", script)
    assert fuzz.fuzz(seconds=60, count=0, seed=1) == 1
    lines, figures = told(capsys)
    assert "SEED=1 ROUND=2" in lines
    assert not figures["passed"]
