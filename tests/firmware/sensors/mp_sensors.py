"""Drivers against their datasheets' own examples, and what each says when the sensor fails."""

import struct

from samples import (
    BAD_CHECKSUM,
    BLIND_ZONE,
    NO_ECHO,
    OUT_OF_RANGE,
    SHORT_READ,
    SILENCE,
    commonest,
    failure,
    field,
    median,
)
from sensors import a02yyuw, pms5003, sht31
from sensors.battery import Battery


class Time:
    """Virtual milliseconds: a driver that waits for a silent sensor must not make the test wait."""

    now = 0

    def ticks_ms(self):
        return self.now

    def ticks_add(self, ticks, delta):
        return ticks + delta

    def ticks_diff(self, later, earlier):
        return later - earlier

    def sleep_ms(self, ms):
        Time.now += ms


a02yyuw.time = pms5003.time = sht31.time = Time()


class Line:
    """A UART on which bytes come every `period` ms, from 100 ms on; the last item repeats if `endless`."""

    def __init__(self, items, period=100, endless=False):
        self._items = list(items)
        self._at = Time.now + 100
        self._period = period
        self._endless = endless

    def read(self):
        came = b""
        while self._items and Time.now >= self._at:
            came += self._items[0]
            self._at += self._period
            if len(self._items) > 1 or not self._endless:
                self._items.pop(0)
        return came or None


def echo(mm):
    return bytes([0xFF, mm >> 8, mm & 0xFF, (0xFF + (mm >> 8) + mm) & 0xFF])


def particles(words, total=None):
    frame = b"\x42\x4d" + struct.pack(">14H", 28, *words)
    return frame + struct.pack(">H", sum(frame) if total is None else total)


CLEAN = (3, 5, 6, 4, 7, 9, 801, 230, 31, 3, 1, 0, 0x9700)


def test_sensirion_crc_of_the_datasheet():
    assert sht31.crc8(b"\xbe\xef") == 0x92


def test_sht31_converts_by_the_datasheet():
    words = bytes([0x66, 0x66, sht31.crc8(b"\x66\x66"), 0x80, 0x00, sht31.crc8(b"\x80\x00")])
    # 0x6666 = 26214: -45 + 175 * 26214 / 65535 = 25.00; 0x8000: 50.0008 %
    assert sht31.convert(words) == (2500, 5000, 0)


def test_sht31_every_flipped_bit_is_a_bad_checksum():
    good = bytes([0x66, 0x66, sht31.crc8(b"\x66\x66"), 0x80, 0x00, sht31.crc8(b"\x80\x00")])
    for bit in range(48):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert sht31.convert(bad) == (None, None, BAD_CHECKSUM), bit


def test_sht31_short_read_silence_and_range():
    assert sht31.convert(b"\x66\x66\x93") == (None, None, SHORT_READ)
    assert sht31.convert(b"") == (None, None, SILENCE)
    cold = bytes([0, 0, sht31.crc8(b"\0\0"), 0x80, 0, sht31.crc8(b"\x80\0")])
    assert sht31.convert(cold) == (None, None, OUT_OF_RANGE)  # -45 degrees: the word of a broken sensor

    class Nobody:
        def writeto(self, address, data):
            raise OSError(19)

    assert sht31.Sht31(Nobody()).measure() == (None, None, SILENCE)


def test_sht31_asks_for_a_single_shot():
    class Bus:
        asked = None

        def writeto(self, address, data):
            self.asked = (address, bytes(data), Time.now)

        def readfrom(self, address, length):
            assert Time.now - self.asked[2] >= 16  # 15.5 ms for high repeatability
            return bytes([0x66, 0x66, 0x93, 0x80, 0x00, sht31.crc8(b"\x80\0")])[:length]

    bus = Bus()
    assert sht31.crc8(b"\x66\x66") == 0x93
    assert sht31.Sht31(bus).measure() == (2500, 5000, 0)
    assert bus.asked[:2] == (0x44, b"\x24\x00")


def test_ultrasonic_frame_of_the_datasheet():
    assert a02yyuw.parse(b"\xff\x03\x9d\x9f") == (925, 0)
    assert echo(925) == b"\xff\x03\x9d\x9f"


def test_ultrasonic_the_clone_s_sum_is_refused():
    assert a02yyuw.parse(b"\xff\x00\xde\xdd") == (222, 0)
    assert a02yyuw.parse(b"\xff\x00\xde\xde") == (None, BAD_CHECKSUM)


def test_ultrasonic_range_has_reasons_and_never_a_zero():
    for mm, reason in ((0, BLIND_ZONE), (29, BLIND_ZONE), (4501, NO_ECHO), (0xFFFD, NO_ECHO), (0xFFFE, NO_ECHO)):
        assert a02yyuw.parse(echo(mm)) == (None, reason)
    assert a02yyuw.parse(echo(30)) == (30, 0)
    assert a02yyuw.parse(echo(4500)) == (4500, 0)


def test_ultrasonic_median_of_seven_with_spread():
    line = Line([echo(mm) for mm in (1000, 1004, 996, 2000, 1001, 999, 1002, 1003)])
    assert a02yyuw.A02yyuw(line).measure() == (1001, 1004, 7, 0)


def test_ultrasonic_fewer_than_three_valid_is_no_measurement():
    line = Line([echo(900)] * 2 + [echo(0xFFFD)] * 20)
    assert a02yyuw.A02yyuw(line).measure() == (None, None, 2, NO_ECHO)


def test_ultrasonic_silence_bad_sum_short_read_noise():
    def reason(line):
        return a02yyuw.A02yyuw(line).measure()[3]

    assert reason(Line([])) == SILENCE
    assert reason(Line([b"\xff\x00\xde\xde"], endless=True)) == BAD_CHECKSUM
    assert a02yyuw.A02yyuw(Line([b"\xff\x03"])).frame() == (None, SHORT_READ)
    assert a02yyuw.A02yyuw(Line([b"\x00\x10\x20"])).frame() == (None, BAD_CHECKSUM)


def test_ultrasonic_finds_the_frame_in_the_middle_of_a_stream():
    # the tail of a frame, then 255 mm, whose data byte is a header itself
    line = Line([b"\x9d\x9f" + echo(255)] + [echo(255)] * 8)
    sensor = a02yyuw.A02yyuw(line)
    assert sensor.frame() == (255, 0)
    assert sensor.measure()[0] == 255


def test_particles_frame():
    frame = particles(CLEAN)
    assert len(frame) == 32
    assert pms5003.parse(frame) == ((4, 7, 9), 0)  # words 4 to 6: atmospheric


def test_particles_every_flipped_bit_is_a_bad_checksum():
    good = particles(CLEAN)
    for bit in range(256):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert pms5003.parse(bytes(bad)) == (None, BAD_CHECKSUM), bit


def test_particles_short_read_silence_range_and_a_dark_laser():
    assert pms5003.parse(particles(CLEAN)[:20]) == (None, SHORT_READ)
    assert pms5003.parse(b"") == (None, SILENCE)
    assert pms5003.parse(particles((0,) * 12 + (0x9700,))) == (None, OUT_OF_RANGE)
    assert pms5003.parse(particles((1, 1, 1, 900, 1001, 1100) + CLEAN[6:])) == (None, OUT_OF_RANGE)
    assert pms5003.parse(particles((0,) * 6 + CLEAN[6:])) == ((0, 0, 0), 0)  # clean air has few, but not no particles


def test_particles_median_of_five_and_reasons():
    frames = [particles((0, 0, 0, pm, pm + 2, pm + 5) + CLEAN[6:]) for pm in (10, 11, 60, 12, 9, 10)]
    assert pms5003.Pms5003(Line(frames)).measure() == ((11, 13, 16), 0)
    assert pms5003.Pms5003(Line([])).measure() == (None, SILENCE)
    assert pms5003.Pms5003(Line([particles(CLEAN, 0x1234)], 1000, True)).measure() == (None, BAD_CHECKSUM)
    assert pms5003.Pms5003(Line([particles(CLEAN)[:9]])).frame() == (None, SHORT_READ)


def test_particles_frame_cut_in_two_and_behind_rubbish():
    frame = particles(CLEAN)
    assert pms5003.Pms5003(Line([b"\x42\x00\x42", frame[:10], frame[10:]])).frame() == ((4, 7, 9), 0)


def test_battery_behind_its_divider():
    values = [1_810_000, 1_800_000, 1_790_000, 1_200_000, 1_801_000]

    class Adc:
        def read_uv(self):
            return values.pop()

    assert Battery(Adc(), 2).millivolts() == 3600


def test_fields():
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2
    assert commonest([SILENCE, NO_ECHO, NO_ECHO]) == NO_ECHO
    assert field(925, 0) == 925
    assert field(None, NO_ECHO) == failure(NO_ECHO) == 0xFFF5
    assert field(-1, 0) == failure(OUT_OF_RANGE)
    assert field(-500, 0, above=10_000) == 9500
