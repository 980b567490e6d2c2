"""An SX1276 on a bench: registers by their addresses in the SX1276/77/78/79 datasheet, rev 7."""

from tools.virtual_board.chips.sx1276 import Sx1276
from tools.world.air import Air, LoRaGateway, Transmission

US, MS = 1000, 1_000_000
DIO0, DIO1, RESET = 4, 14, 9
SLEEP, STDBY, FSTX, TX, FSRX, RXCONTINUOUS, RXSINGLE, CAD = range(0x80, 0x88)
RX_TIMEOUT, RX_DONE, CRC_ERROR, VALID_HEADER, TX_DONE = 0x80, 0x40, 0x20, 0x10, 0x08
GATEWAY = "00000000000000f0"


class Bench:
    """An SX1276 with a host that clocks SPI at 2 MHz."""

    def __init__(self, clock, host, **options):
        self.clock, self.host = clock, host
        self.air = Air(clock, 1, keep=50)
        self.gateway = LoRaGateway(self.air, GATEWAY)
        self.air.set_path_loss(host.dev_eui, GATEWAY, 110.0)
        self.uplinks = []
        self.air.on_uplink = lambda frame, receptions, end: self.uplinks.append(frame)
        self.chip = Sx1276(self.air, dio0=DIO0, dio1=DIO1, reset=RESET, **options)
        self.chip.attach(host)
        self.chip.power(True)

    def run(self, ns):
        self.clock.run(self.clock.now + ns)

    def raw(self, data, mode=0, baudrate=2_000_000):
        self.chip.select(True)
        answer = self.chip.transfer(bytes(data), baudrate, mode)
        self.run(len(data) * 8 * 1_000_000_000 // baudrate)
        self.chip.select(False)
        return answer

    def read(self, address, length=1):
        answer = self.raw([address, *bytes(length)])[1:]
        return answer[0] if length == 1 else answer

    def write(self, address, *values):
        self.raw([address | 0x80, *values])

    def dio(self):
        return self.host.level(DIO0), self.host.level(DIO1)

    def init(self, *, calibrate=True, word=0xD90666):
        """LoRaMac-node's order: calibrate the high port in FSK mode, sleep, LoRa, then the settings."""
        self.run(10 * MS)
        self.write(0x06, *word.to_bytes(3, "big"))
        if calibrate:
            self.write(0x3B, 0x42)
            self.run(11 * MS)
        self.write(0x01, 0x00)
        self.write(0x01, SLEEP)
        self.write(0x01, STDBY)
        self.run(250 * US)
        self.write(0x09, 0x8C)  # PA_BOOST, 2 + 12 = 14 dBm
        self.write(0x0C, 0x23)
        self.write(0x0E, 0x00)
        self.write(0x26, 0x04)
        self.write(0x2F, 0x40, 0x00, 0x43)
        self.write(0x39, 0x34)

    def modem(self, sf, *, bandwidth=7, crc=True, symbols=0x64):
        self.write(0x1D, bandwidth << 4 | 2)
        self.write(0x1E, sf << 4 | crc << 2 | symbols >> 8, symbols & 255)
        self.write(0x26, 0x0C if sf >= 11 else 0x04)

    def tx_setup(self, payload, sf=12):
        self.modem(sf)
        self.write(0x33, 0x27)
        self.write(0x3B, 0x1D)
        self.write(0x40, 0x40)
        self.write(0x0D, 0x00)
        self.write(0x22, len(payload))
        self.write(0x00, *payload)

    def transmit(self, payload, sf=12):
        self.tx_setup(payload, sf)
        self.write(0x01, TX)
        self.run(3_000 * MS)
        return self.air.log[-1]

    def rx_setup(self, sf=12, symbols=0x64, word=0xD9619A):  # 869.525 MHz
        self.write(0x06, *word.to_bytes(3, "big"))
        self.modem(sf, crc=False, symbols=symbols)
        self.write(0x33, 0x67)
        self.write(0x3B, 0x19)
        self.write(0x40, 0x00)

    def downlink(self, payload, start, sf=12, **changes):
        options = {"iq_inverted": True, "crc": False, "optimised": sf >= 11, "freq_hz": 869_525_000, "power_dbm": 27.0}
        shape = {"bandwidth_hz": 125_000} | options | changes
        what = Transmission(spreading_factor=sf, payload=payload, **shape)
        self.clock.at(start, lambda: self.air.start_downlink(GATEWAY, what))
        return what.air_ns

    def listen_to(self, payload=b"x", sf=9, mode=RXSINGLE, **changes):
        """A downlink 10 ms after the receiver is asked for; returns flags and what became of the frame."""
        self.write(0x12, 0xFF)
        start = self.clock.now + 50 * MS
        self.downlink(payload, start, sf, **changes)
        self.clock.run(start - 10 * MS)
        self.write(0x01, mode)
        self.run(3_000 * MS)
        return self.read(0x12), self.air.log[-1].outcome[0][1]
