"""`python -m tools.technician`: the command `vigie-node` from a clone."""

from .cli import app

app()
