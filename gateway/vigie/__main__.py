"""`python -m vigie`, the same as the command `vigie`."""

from .cli import app

app()
