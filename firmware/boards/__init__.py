"""Pins, parts and power facts, one file a board."""
