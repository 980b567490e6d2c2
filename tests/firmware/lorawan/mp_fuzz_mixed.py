"""Data downlinks, one in four valid, with MAC commands of every kind. See fuzz_mac.py."""

from fuzz_mac import Fuzz

SEED = 1
DOWNLINKS = 25000


def test_no_exception_and_no_change_without_a_valid_mic():
    fuzz = Fuzz(SEED, valid=25)
    fuzz.run(DOWNLINKS)
    print(fuzz)
    assert fuzz.frames >= DOWNLINKS and fuzz.taken > 100
    assert len(fuzz.kinds) > 15 and fuzz.repeats > 1000
