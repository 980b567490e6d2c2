"""Boards that run unmodified firmware in real MicroPython, and what sits on their pins."""
