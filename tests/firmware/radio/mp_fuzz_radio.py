"""The drivers on a bus that answers anything: an event of the trait or a RadioError, nothing else, whatever the chip's registers say."""

import random

from fakes import Clock, Pin, install

clock = Clock()
install(clock)

from radio.sx126x import Sx126x  # noqa: E402
from radio.sx127x import Sx127x  # noqa: E402
from radio.trait import Closed, Frame, RadioError, Sent  # noqa: E402

SEED = 1
POLLS = 10000


class Board:
    TCXO_MILLIVOLTS = 0
    TCXO_START_US = 0
    ANTENNA_GAIN_DB = 2
    PA_BOOST = True


class Noise:
    """A bus that answers noise, a floating line or a line held low."""

    def __init__(self):
        self.quiet = None

    def write_readinto(self, out, into):
        assert len(out) == len(into) <= 258
        for i in range(len(into)):
            into[i] = random.getrandbits(8) if self.quiet is None else self.quiet


def judge(event):
    """Whether it is what the trait promises."""
    if event is None or isinstance(event, (Sent, Closed)):
        return
    assert isinstance(event, Frame)
    assert isinstance(event.phy, bytes) and len(event.phy) <= 255
    assert -32 <= event.snr_db <= 32 and -256 < event.rssi_dbm <= 127


def poll_noise(modem, stage):
    """Polls of a chip that went mad after its set-up; the kinds of what came of them."""
    seen = {}
    for i in range(POLLS):
        modem._stage = stage
        modem._start = random.choice(((0x82, b"\0\0\0"), (0x83, b"\0\0\0")))
        modem._fired, modem._fired_us = True, i
        try:
            event = modem.poll()
            judge(event)
            kind = type(event).__name__
        except RadioError:
            kind = "RadioError"
        seen[kind] = seen.get(kind, 0) + 1
    print(seen)
    return seen


def call_noise(modem, spi):
    """Each verb in any order, the chip awake, asleep or never started."""
    told = 0
    for _ in range(300):
        spi.quiet = random.choice((None, None, 0, 255))
        verb = random.randint(0, 5)
        try:
            if verb == 0:
                modem.prepare_transmit(bytes(random.randint(12, 255)), 868100000, random.randint(7, 12), 125000, 14)
                modem.start()
            elif verb == 1:
                modem.prepare_receive(868100000, random.randint(7, 12), 125000, random.randint(8, 248))
                modem.start()
            elif verb == 2:
                modem.abort()
            elif verb == 3:
                modem.sleep()
            else:
                modem._fired = verb == 5
                judge(modem.poll())
        except RadioError:
            told += 1
    assert told > 20, told


def test_sx126x_answers_anything():
    random.seed(SEED)
    spi = Noise()
    modem = Sx126x(spi, (Pin(1), Pin(1), Pin(0), Pin(0)), Board)
    seen = poll_noise(modem, 2)
    assert min([seen.get(kind, 0) for kind in ("Sent", "Closed", "Frame", "RadioError", "NoneType")]) > 50
    call_noise(modem, spi)


def test_sx127x_answers_anything():
    random.seed(SEED)
    spi = Noise()
    modem = Sx127x(spi, (Pin(1), Pin(1), Pin(0), Pin(0)), Board)
    seen = poll_noise(modem, 2)
    assert min([seen.get(kind, 0) for kind in ("Sent", "Closed", "Frame", "NoneType")]) > 50
    call_noise(modem, spi)
