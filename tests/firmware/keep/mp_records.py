"""Records: round trip, every flipped bit found, power cut at every step of a write."""

import os

from keep import days
from keep.core import SIZE, Core
from keep.flash import Flash, pack_count, unpack_count
from keep.record import seal, unseal
from keep.ring import PROVEN, SENT, Ring
from keep.work import Work

FOLDER = "/tmp/mp_records"


def test_every_flipped_bit_is_found():
    body = bytes(range(40))
    good = seal(3, body)
    assert unseal(3, good) == body
    assert unseal(3, good + b"what lay there before") == body
    assert unseal(4, good) is None
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert unseal(3, bad) is None, bit
    for length in range(len(good)):
        assert unseal(3, good[:length]) is None


def test_core_round_trip():
    core = Core()
    core.awake, core.closed, core.contact, core.count, core.epoch = True, True, 5, 0xFFFFFFFF, 65_535
    core.asleep_at, core.wake_at, core.stored, core.stored_at, core.boots = 1 << 40, 1 << 41, 77, 1 << 39, 9
    core.clock.set(1000, 1_780_000_000_000)
    core.pass_time(2000)
    data = core.pack()
    assert len(data) == SIZE <= 185
    again = Core(data)
    assert again.pack() == data
    assert (again.count, again.epoch, again.wake_at, again.awake, again.closed) == (
        0xFFFFFFFF,
        65_535,
        1 << 41,
        True,
        True,
    )
    again.pulse(3000)
    assert again.count == 0  # 32 bits, modulo


def test_work_round_trip():
    work = Work()
    work.report, work.exceptions, work.announced, work.session = 5, 70_000, True, bytes(range(200))
    again = Work(work.pack())
    assert (again.report, again.exceptions, again.announced, again.session) == (5, 65_535, True, bytes(range(200)))
    assert Work(Work().pack()).session is None
    assert len(Work().pack()) + 400 + 7 <= 768 - 192  # the longest session fits between its neighbours


def test_days_keep_thirty_and_prove():
    body = b""
    for day in range(40):
        body = days.add(body, 1 + day // 20, 20_000 + day, 100 * day, 0, 7, 24, 0)
    kept = days.entries(body)
    assert len(kept) == 30 and kept[0][1] == 20_010 and days.latest_epoch(body) == (2, 3900)
    body = days.prove(body, 1, [20_011])
    assert [entry[1] for entry in days.entries(body) if entry[6] & days.PROVEN] == [20_011]
    assert days.latest_epoch(b"") == (0, 0)


def test_ring_keeps_order_holes_and_what_was_dropped():
    ring = Ring(2, 4)
    for mark in (900, 1800, 3600):
        ring.add(mark, bytes([mark // 900, 0]))
    ring.add(3600, b"xx")  # a clock set back: the first reading of an instant stays
    assert ring.history(3600, 900, 10) == [b"\4\0", None, b"\2\0", b"\1\0"]
    assert ring.history(3600, 900, 2) == [b"\4\0"]
    ring.advance([3600, 1800], SENT)
    ring.advance([1800], PROVEN)
    assert ring.waiting() == 1 and ring.newest(True) == 900
    again = Ring(2, 4, ring.pack())
    assert again.pack() == ring.pack()
    again.add(4500, b"ab")
    again.add(5400, b"cd")
    assert again.dropped == 1 and again.waiting() == 2
    assert Ring(3, 4, ring.pack()).newest() is None


def test_ring_never_puts_sure_and_unsure_readings_into_one_frame():
    ring = Ring(2, 8)
    ring.add(900, b"aa")
    ring.add(1800, b"bb", True)
    ring.add(3600, b"cc", True)
    ring.add(4500, b"dd")
    ring.advance([1800], SENT)
    kept = Ring(2, 8, ring.pack())
    assert kept.history(4500, 900, 8) == [b"dd"] and not kept.unsure(4500)
    assert kept.history(3600, 900, 8) == [b"cc", None, b"bb"] and kept.unsure(3600)
    assert kept.history(900, 900, 8) == [b"aa"]
    assert kept.waiting() == 3


def test_count_is_old_or_new_whatever_step_the_power_fails_at():
    clean()
    flash = Flash(FOLDER)
    flash.put("count", pack_count(1, 123_456))
    whole = read("count")
    # a cut while the temporary file grows
    for length in range(len(whole) + 1):
        with open(FOLDER + "/count.new", "wb") as file:
            file.write(seal(1, pack_count(1, 123_999))[:length])
        assert unpack_count(Flash(FOLDER).get("count")) == (1, 123_456)
    Flash(FOLDER).put("count", pack_count(2, 123_999))  # what was left behind is in nobody's way
    assert unpack_count(Flash(FOLDER).get("count")) == (2, 123_999)
    clean()


def test_flash_writes_only_what_changed_and_finds_damage():
    clean()
    flash = Flash(FOLDER)
    assert flash.get("count") is None
    for _ in range(5):
        flash.put("count", pack_count(1, 5))
    assert flash.writes == 1
    data = bytearray(read("count"))
    data[-1] ^= 1
    with open(FOLDER + "/count", "wb") as file:
        file.write(data)
    assert flash.get("count") is None and unpack_count(None) == (0, 0)
    clean()


def read(name):
    with open(FOLDER + "/" + name, "rb") as file:
        return file.read()


def clean():
    try:
        for name in os.listdir(FOLDER):
            os.remove(FOLDER + "/" + name)
        os.rmdir(FOLDER)
    except OSError:
        pass
