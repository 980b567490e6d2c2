"""Takes a bin's or an air node's reading on its boundary. Imported only on the wakes that sample."""

import struct
import time

from keep.rtc import now
from machine import I2C, UART, Pin, lightsleep
from payload.codes import NOT_MEASURED
from samples import failure, field

# how long before the boundary the supply comes on, so that the reading stands on the boundary
LEAD_MS = {"bin": 3_000, "air": 36_000}
LATE_MS = 5_000  # a reading taken later than this after its boundary is none
_AIR_WARM_MS = 30_000
_ULTRASONIC_START_MS = 1_000  # DFRobot SEN0311: power-on to first output


def take(kind, board, clock, boundary):
    """The frame entry of the reading at UTC ms `boundary`; fields say why where there is none."""
    late = clock.now(now()) > boundary + LATE_MS
    supply = Pin(board.SUPPLY, Pin.OUT, value=0)
    try:
        if kind == "bin":
            return struct.pack("<HBB", failure(NOT_MEASURED), 0, 0) if late else _echo(board, supply, clock, boundary)
        return struct.pack("<5H", *[failure(NOT_MEASURED)] * 5) if late else _air(board, supply, clock, boundary)
    finally:
        supply.value(0)


def _until(clock, utc):
    """Waits for an instant near by."""
    time.sleep_ms(max(0, utc - clock.now(now())))


def _echo(board, supply, clock, boundary):
    from sensors.a02yyuw import A02yyuw

    uart = UART(board.ULTRASONIC_UART, 9600, tx=board.ULTRASONIC_TX, rx=board.ULTRASONIC_RX)
    supply.value(1)
    time.sleep_ms(_ULTRASONIC_START_MS)
    _until(clock, boundary)
    distance, spread, valid, reason = A02yyuw(uart).measure()
    uart.deinit()
    return struct.pack("<HBB", field(distance, reason), 0 if reason else min(spread, 255), valid)


def _air(board, supply, clock, boundary):
    from sensors.pms5003 import Pms5003
    from sensors.sht31 import Sht31

    running = Pin(board.PMS_SET, Pin.OUT, value=1)
    supply.value(1)
    # the crystal is off for the warm-up: what passes is counted as sleep, on the sleep clock
    fell = now()
    lightsleep(_AIR_WARM_MS)
    clock.slept(now() - fell)
    uart = UART(board.PMS_UART, 9600, tx=board.PMS_TX, rx=board.PMS_RX, rxbuf=256)
    _until(clock, boundary)
    masses, reason = Pms5003(uart).measure()
    uart.deinit()
    running.value(0)
    supply.value(0)
    i2c = I2C(board.I2C_ID, scl=Pin(board.SCL), sda=Pin(board.SDA), freq=board.I2C_HZ)
    temperature, humidity, fault = Sht31(i2c, board.SHT31_ADDRESS).measure()
    fields = [field(mass, reason) for mass in masses or (0, 0, 0)]
    return struct.pack("<5H", *fields, field(temperature, fault, above=10_000), field(humidity, fault))
