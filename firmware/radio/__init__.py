"""The modem: `trait.py` says what the runner needs of one, `sx126x.py` drives an SX1261/2, `runner.py` is the only part that waits."""
