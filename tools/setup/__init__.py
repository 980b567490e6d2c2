"""Set-up: brings what the project needs to a machine that has Python 3.11 and nothing else, using the standard library only."""
