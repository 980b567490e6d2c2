"""How much of the 100 KB heap each kind of wake loads as code; what is left is for its data and for the buffers of the bus."""

import gc
import sys


class Chip:
    """Names only: no test of this file calls them."""

    ADC = I2C = RTC = SPI = UART = WDT = Pin = object
    PWRON_RESET = HARD_RESET = 1

    @staticmethod
    def reset_cause():
        return 1

    @staticmethod
    def lightsleep(ms):
        pass


sys.modules["machine"] = Chip
sys.modules["esp32"] = Chip

BUDGET = {"contact": 16_000, "longer": 34_000, "sampling": 38_000, "transmitting": 84_000}
WAKES = (
    ("contact", ("node.boot", "keep.core", "keep.rtc", "pulse.contact")),
    ("longer", ("node.app",)),
    ("sampling", ("node.sampling", "sensors.pms5003", "sensors.sht31", "keep.ring")),
    (
        "transmitting",
        (
            "node.link",
            "radio.sx126x",
            "node.reports",
            "payload.meter",
            "payload.air",
            "payload.health",
            "keep.midnights",
        ),
    ),
)


def test_each_wake_s_code_fits():
    gc.collect()
    before = gc.mem_alloc()
    for wake, modules in WAKES:
        for module in modules:
            __import__(module)
        gc.collect()
        used = gc.mem_alloc() - before
        print("{}: {} bytes of code".format(wake, used))
        assert used <= BUDGET[wake], (wake, used)
