"""What a part of the set-up says about itself before anything is done."""

from collections.abc import Callable
from dataclasses import dataclass

from .say import Progress

# Runs the step: gets its sign of life and the lock that its programs inherit.
Install = Callable[[Progress, int], None]


@dataclass(frozen=True)
class Step:
    """One thing that is missing: what, where to, how long and how much, and how it is brought."""

    title: str
    where: str
    seconds: int
    kept_mb: int
    passing_mb: int
    tools: tuple[str, ...]
    install: Install
