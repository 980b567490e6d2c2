"""The order of all tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The system's tests first: with a file a process, what is begun last should be short."""
    items.sort(key=lambda item: "system" not in item.path.parts)
