"""Mostly valid downlinks: whatever MAC commands, ports and lengths they have, the device stays one that can go on. See fuzz_mac.py."""

from fuzz_mac import Fuzz

SEED = 1
DOWNLINKS = 25000


def test_no_exception_and_no_change_without_a_valid_mic():
    fuzz = Fuzz(SEED, valid=70)
    fuzz.run(DOWNLINKS)
    print(fuzz)
    assert fuzz.frames >= DOWNLINKS and fuzz.taken > 100
    assert len(fuzz.kinds) > 15 and fuzz.repeats > 500
