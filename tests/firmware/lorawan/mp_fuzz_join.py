"""Join-accepts and what is none, in both windows of a join-request. See fuzz_mac.py."""

from fuzz_mac import Fuzz

SEED = 1
DOWNLINKS = 25000


def test_no_exception_and_no_change_without_a_valid_mic():
    fuzz = Fuzz(SEED, valid=0)
    fuzz.run(DOWNLINKS)
    print(fuzz)
    assert fuzz.frames >= DOWNLINKS and fuzz.taken > 100
    assert len(fuzz.kinds) > 8
