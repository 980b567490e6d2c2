"""Session and nonce records of any length and content: the device starts, counts the fault and can join.

A record that has the right length but not its bytes is the store's to find (keep/record.py: CRC-32); here it must raise nothing at the start.
"""

import random

from fuzz_mac import Fuzz
from keep.record import seal, unseal
from lorawan import eu868
from lorawan.mac import JOIN, Mac, Transmit
from network import APP_KEY, DEV_EUI, JOIN_EUI, Entropy

SEED = 1
ROUNDS = 30
RECORDS = 40  # damaged ones of each in a round


def started(nonce, session):
    return Mac(eu868, DEV_EUI, JOIN_EUI, APP_KEY, Entropy(), nonce, session)


def damaged(record):
    out = bytearray(record)
    for _ in range(random.randint(1, 4)):
        out[random.randint(0, len(out) - 1)] ^= random.randint(1, 255)
    return bytes(out)


def records():
    """(nonce, session, flash session) of devices that have lived."""
    fuzz = Fuzz(SEED)
    for number in range(ROUNDS):
        fuzz.round(number)
        yield fuzz.device.flash["nonce"], fuzz.device.mac.session(), fuzz.device.flash["session"]


def can_join(mac):
    now = mac.join_wait_ms(0)
    assert isinstance(mac.handle((JOIN,), now)[-1], Transmit)
    assert mac.faults["record"]


def test_records_of_any_wrong_length_and_of_random_bytes():
    for nonce, *sessions in records():
        for session in sessions:
            for length in range(1, len(session)):
                mac = started(None, session[:length])
                assert not mac.joined and mac.faults["record"] == 1, length
            for extra in (1, 7, 100):
                assert not started(None, session + bytes(extra)).joined
        for _ in range(RECORDS):
            noise = bytes([random.getrandbits(8) for _ in range(random.randint(1, 400))])
            mac = started(noise, noise)
            assert not mac.joined
            can_join(mac)
        for length in range(1, len(nonce)):
            can_join(started(nonce[:length], None))
            can_join(started(nonce + bytes(length), None))


def test_damaged_records_raise_nothing_and_are_found_by_the_seal():
    for nonce, *sessions in records():
        for record in [nonce] + sessions:
            sealed = seal(1, record)
            for _ in range(RECORDS):
                assert unseal(1, damaged(sealed)) is None
        for session in sessions:
            for _ in range(RECORDS):
                mac = started(damaged(nonce), damaged(session))
                assert isinstance(mac.joined, bool)
                assert len(mac.session()) <= 411
                mac.join_wait_ms(0)
