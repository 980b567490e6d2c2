"""A EUI, an address or a key that is not the hex text it should be is refused at once, in words that say what is needed."""

import os

from lorawan import eu868
from lorawan.mac import Mac

OTAA = ("70b3d5e75e000a01", "0000000000000001", "2b7e151628aed2a6abf7158809cf4f3c")
ABP = ("260b1f7c", "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210")
LENGTHS = "LoRaWAN: DevEUI, JoinEUI, AppKey are 16, 16, 32 hex digits; DevAddr and session keys 8, 32, 32"


def otaa(*texts):
    return Mac(eu868, *texts, os.urandom, None, None)


def abp(*texts):
    return Mac.abp(eu868, *texts, os.urandom, None)


def refusal(make, texts):
    try:
        make(*texts)
    except ValueError as fault:
        return str(fault)
    return ""


def test_a_text_of_another_length_is_refused_with_the_lengths_that_are_needed():
    for make, texts in ((otaa, OTAA), (abp, ABP)):
        for i, text in enumerate(texts):
            for bad in ("", text[:-1], text[:-2], text + "00", text[:2] + "-" + text[2:], bytes(7)):
                said = refusal(make, texts[:i] + (bad,) + texts[i + 1 :])
                assert said == LENGTHS, (said, bad)


def test_a_text_that_is_not_hex_is_refused():
    for make, texts in ((otaa, OTAA), (abp, ABP)):
        for i, text in enumerate(texts):
            assert refusal(make, texts[:i] + (text[:-1] + "g",) + texts[i + 1 :]) == "non-hex digit"


def test_lengths_that_only_add_up_are_refused():
    assert refusal(otaa, ("70b3d5e75e000a", "000000000000000001", OTAA[2])) == LENGTHS
    assert refusal(abp, OTAA) == LENGTHS


def test_capital_letters_are_the_same_device():
    for make, texts in ((otaa, OTAA), (abp, ABP)):
        assert make(*texts).session() == make(*[text.upper() for text in texts]).session()
