"""Data downlinks of which nearly all must be refused, in RX1 and RX2 and between the transmissions of one uplink (NbTrans). See fuzz_mac.py."""

from fuzz_mac import Fuzz

SEED = 1
DOWNLINKS = 25000


def test_no_exception_and_no_change_without_a_valid_mic():
    fuzz = Fuzz(SEED, valid=4)
    fuzz.run(DOWNLINKS)
    print(fuzz)
    assert fuzz.frames >= DOWNLINKS and fuzz.taken > 100
    assert len(fuzz.kinds) > 15 and fuzz.repeats > 1000
    assert len(fuzz.lengths) == 256, "random bytes of every length"
