"""The table of certification scenarios in docs/lorawan.md and the tests are one list: no scenario without a test, no test without a row."""

import ast
import re

from tools.setup import places

FOLDER = places.ROOT / "tests" / "firmware" / "lorawan" / "certification"
ROW = re.compile(r"\| ([a-z]+) (\d\d): .+ \| (.+) \| (test_\w+) \|")
CLAUSE = re.compile(r"(TS001 |RP002 |EN 300 220-2 )?(\d+(\.\d+)*|Table \d+)")


def rows():
    text = (places.ROOT / "docs" / "lorawan.md").read_text(encoding="utf-8")
    table = text.partition("\n## Scenarios\n")[2].partition("\n## ")[0]
    for line in table.splitlines():
        if line.startswith("| ") and line != "| scenario | clause | test |":
            row = ROW.fullmatch(line)
            assert row, line
            yield row


def functions():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("mp_cert_*.py"))]
    return [node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_each_scenario_has_its_test_and_each_test_its_scenario():
    named = [row[4] for row in rows()]
    there = [name for name in functions() if name.startswith("test_")]
    assert len(named) >= 40
    assert sorted(named) == sorted(there)
    assert len(set(there)) == len(there)


def test_each_row_has_the_number_of_its_test_and_clauses():
    for row in rows():
        assert row[4].startswith(f"test_{row[1]}_{row[2]}_"), row[0]
        clauses = row[3].split(", ")
        assert clauses[0].startswith(("TS001 ", "RP002 ", "EN ")), row[0]
        assert all(CLAUSE.fullmatch(clause) for clause in clauses), row[0]
