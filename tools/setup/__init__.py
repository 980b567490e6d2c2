"""Set-up: brings what the project needs to a machine that has only Python 3.11, with the standard library alone."""
