"""SPI, I2C, UART and ADC of a board against models of a few lines: who answers, what, and how long it takes."""

from tools.virtual_board.wiring import I2cLine, SpiLine, UartLine, Wiring


class Model:
    """Records what happens to it."""

    def __init__(self):
        self.seen = []

    def attach(self, host):
        self.host = host

    def power(self, on):
        self.on = on


class Echo(Model):
    """Answers each byte with the one before; notes frames."""

    def select(self, on):
        self.seen.append(("select", on))
        self.last = 0xA5

    def transfer(self, mosi, baudrate, mode):
        self.seen.append((mosi, baudrate, mode, self.host.now))
        answer = bytes([self.last]) + mosi[:-1]
        self.last = mosi[-1]
        return answer


def test_spi_takes_its_bit_time_and_frames_by_chip_select(bench):
    echo = Echo()
    lines = bench.says(
        """
        import time
        from machine import Pin, SPI
        cs = Pin(10, Pin.OUT, value=1)
        spi = SPI(1, baudrate=1_900_000, polarity=0, phase=0, sck=Pin(12), mosi=Pin(11), miso=Pin(13))
        print(spi.read(2))
        cs(0)
        spi.write(b"\\x01\\x02")
        b = bytearray(2)
        spi.write_readinto(b"\\x03\\x04", b)
        print(b, spi.read(1, 9))
        a = time.ticks_us()
        spi.write(bytes(1000))
        print(time.ticks_diff(time.ticks_us(), a))
        cs(1)
        """,
        Wiring(spi=[SpiLine(12, 11, 13, 10, echo)]),
    )
    assert lines[0] == r"b'\x00\x00'"
    assert lines[1] == r"bytearray(b'\x02\x03') b'\x04'"
    # 80 MHz / 43; 8000 bits, the driver's share and one ticks call
    assert int(lines[2]) == -(-8000 * 1_000_000 // (80_000_000 // 43)) + 15 + 2
    assert [entry for entry in echo.seen if entry[0] == "select"] == [
        ("select", False),
        ("select", True),
        ("select", False),
    ]
    assert echo.seen[2][:3] == (b"\x01\x02", 80_000_000 // 43, 0)


class Register(Model):
    """A chip with 256 registers that does not acknowledge a third byte."""

    def write(self, data, stop):
        self.seen.append(("w", data, stop))
        return min(len(data), 2)

    def read(self, length, stop):
        return bytes(range(length)) if length < 9 else None


def test_i2c_reads_writes_scans_and_nacks(bench):
    chip = Register()
    lines = bench.says(
        """
        import time
        from machine import Pin, I2C, SoftI2C
        i2c = I2C(0, scl=Pin(2), sda=Pin(1), freq=100_000)
        print(i2c.scan())
        a = time.ticks_us()
        print(i2c.writeto(0x44, b"ab"))
        print(time.ticks_diff(time.ticks_us(), a))
        print(i2c.readfrom(0x44, 3), i2c.readfrom_mem(0x44, 0x1234, 2, addrsize=16))
        b = bytearray(2)
        i2c.readfrom_into(0x44, b)
        i2c.writeto_mem(0x44, 7, b"z")
        for call in (lambda: i2c.readfrom(0x44, 9), lambda: i2c.writeto(0x44, b"abc"), lambda: i2c.writeto(0x45, b"")):
            try:
                call()
            except OSError as e:
                print(e)
        print(SoftI2C(scl=Pin(2), sda=Pin(1)).writeto(0x44, b"abc"))
        print(SoftI2C(Pin(1), Pin(2)).scan())
        """,
        Wiring(i2c=[I2cLine(2, 1, 0x44, chip)]),
    )
    assert lines == [
        "[68]",
        "2",
        str(290 + 40 + 2),
        r"b'\x00\x01\x02' b'\x00\x01'",
        "[Errno 19] ENODEV",
        "[Errno 19] ENODEV",
        "[Errno 19] ENODEV",
        "2",
        "[]",
    ]
    assert ("w", b"\x12\x34", False) in chip.seen
    assert ("w", b"\x07z", True) in chip.seen


class Talker(Model):
    """Sends when its supply pin goes high, answers what it receives in upper case."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def output(self, pin, level):
        if level:
            self.host.send(18, self.data)

    def receive(self, data):
        self.seen.append((data, self.host.now))
        self.host.send(18, data.upper())


def uart(talker, baudrate=9600):
    return Wiring(uart=[UartLine(17, 18, baudrate, talker)], outputs=[(7, talker)])


def test_uart_bytes_arrive_by_baud_and_reads_wait_for_them(bench):
    talker = Talker(b"0123456789")
    lines = bench.says(
        """
        import time
        from machine import Pin, UART
        u = UART(1, 9600, tx=17, rx=18, timeout=0)
        print(u.read(), u.any())
        on = Pin(7, Pin.OUT, value=1)
        time.sleep_us(2100)
        print(u.any(), u.read())
        u.init(9600, timeout=100)
        a = time.ticks_ms()
        print(u.read(4), time.ticks_diff(time.ticks_ms(), a))
        time.sleep_ms(20)
        print(u.read(100), time.ticks_diff(time.ticks_ms(), a))
        u.write(b"hi\\n")
        print(u.readline())
        b = bytearray(4)
        print(u.readinto(b))
        """,
        uart(talker),
    )
    assert lines[0] == "None 0"
    assert lines[1] == "2 b'01'"
    assert lines[2] == "b'2345' 4"
    # The driver's read ends with four bytes after its time-out, the stream's next one after another.
    assert lines[3] == "b'6789' 224"
    assert lines[4] == r"b'HI\n'"
    assert lines[5] == "None"
    assert talker.seen[0][0] == b"hi\n"


def test_uart_overflows_as_the_driver_does_and_another_rate_hears_nothing(bench):
    source = """
        import time
        from machine import Pin, UART
        u = UART(1, {rate}, tx=17, rx=18, rxbuf=256)
        Pin(7, Pin.OUT, value=1)
        time.sleep(1)
        d = u.read()
        print(d and (len(d), d[255], d[256], d[-1]))
        """
    # 256 in the ring buffer, 128 in the FIFO; byte 384 resets the FIFO, which then holds 384..449.
    data = bytes(range(256)) + bytes(value % 251 for value in range(194))
    assert bench.says(source.format(rate=9600), uart(Talker(data))) == [
        f"({256 + 450 - 384}, 255, {data[384]}, {data[449]})"
    ]
    assert bench.says(source.format(rate=4800), uart(Talker(data))) == ["None"]


def test_adc_scales_by_attenuation_and_saturates(bench):
    class Battery(Model):
        def microvolts(self, pin):
            return 1_900_000

    lines = bench.says(
        """
        from machine import ADC, Pin
        a = ADC(Pin(6))
        print(a.read_uv(), a.read_u16(), a.read())
        a.atten(ADC.ATTN_0DB)
        print(a.read_uv(), a.read_u16())
        print(ADC(Pin(7)).read_uv())
        """,
        Wiring(adc=[(6, Battery())]),
    )
    assert lines == ["1899000 40153 2509", "950000 65535", "0"]
