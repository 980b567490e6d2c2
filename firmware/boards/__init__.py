"""Pins, parts and power facts, one file a board."""


def load(name):
    """The board file of that name, and no other."""
    return getattr(__import__("boards." + name), name)
