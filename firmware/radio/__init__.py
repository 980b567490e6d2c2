"""The modem: `trait.py` says what the runner needs of one, a driver a chip family provides it, `runner.py` is the only part that waits."""
