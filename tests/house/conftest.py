"""Names the files that are getting long, at the end of every run of the house's rules."""

import pytest

from tests.house import rules
from tools.setup import places


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the warning; a file over the hard limit fails a test instead."""
    for name, lines in rules.lengths(places.ROOT).items():
        if lines <= rules.MOST_LINES:
            terminalreporter.write_line(f"house: {name} has {lines} lines; over {rules.MOST_LINES} it must be split")
