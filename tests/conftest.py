"""The order of all tests, and what holds for each."""

import hypothesis
import pytest

# how long an example takes says what else the machine does
hypothesis.settings.register_profile("vigie", deadline=None)
hypothesis.settings.load_profile("vigie")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The system's tests first: with a file a process, what is begun last should be short."""
    items.sort(key=lambda item: "system" not in item.path.parts)
