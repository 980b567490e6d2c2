"""SPI, I2C, UART and ADC of the ESP32-S3, one request a bus transaction."""

# ruff: noqa: A002, ARG002, D101, D102  arguments and members are the port's, its manual describes them

from struct import pack, unpack

import costs
import link
import wire
from pins import pin_number

_ENODEV = 19
_UNUSED = -1


def _pin(pin, default: int) -> int:
    return default if pin is None else pin_number(pin)


class SPI:
    MSB = 0
    LSB = 1

    def __init__(
        self,
        id: int,
        baudrate: int = 500000,
        *,
        polarity: int = 0,
        phase: int = 0,
        bits: int = 8,
        firstbit: int = 0,
        sck=None,
        mosi=None,
        miso=None,
    ) -> None:
        if id not in (1, 2):
            raise ValueError("SPI(%d) doesn't exist" % id)
        self._id = id
        # The port's default pins of SPI2 and SPI3 on this chip.
        self._pins = [12, 11, 13] if id == 1 else [36, 35, 37]
        self._baudrate = baudrate
        self._mode = 0
        self.init(baudrate, polarity=polarity, phase=phase, bits=bits, firstbit=firstbit, sck=sck, mosi=mosi, miso=miso)

    def init(
        self,
        baudrate: int = -1,
        *,
        polarity: int = -1,
        phase: int = -1,
        bits: int = -1,
        firstbit: int = -1,
        sck=None,
        mosi=None,
        miso=None,
    ) -> None:
        if bits not in (-1, 8) or firstbit not in (-1, 0):
            raise ValueError("the virtual board has bits=8, firstbit=MSB only")
        if baudrate != -1:
            divider = (80000000 + baudrate - 1) // baudrate  # of the 80 MHz APB clock: never faster than asked
            self._baudrate = 80000000 // divider
        if polarity != -1:
            self._mode = self._mode & 1 | polarity << 1
        if phase != -1:
            self._mode = self._mode & 2 | phase
        for i, pin in enumerate((sck, mosi, miso)):
            self._pins[i] = _pin(pin, self._pins[i])
        link.demand(wire.SPI_INIT, self._id, 0, pack("<bbbBI", *self._pins, self._mode, self._baudrate))
        link.spend(costs.SETUP)
        self._open = True

    def deinit(self) -> None:
        self._open = False
        link.spend(costs.SETUP)

    def _transfer(self, data, want: int):
        if not self._open:
            raise OSError("transfer on deinitialized SPI")
        if not data:
            raise ValueError("buffer too short")
        us = (len(data) * 8000000 + self._baudrate - 1) // self._baudrate
        link.spend(costs.SPI)
        return link.request(wire.SPI, self._id, us | want << 31, data)[1]

    def write(self, buf) -> None:
        self._transfer(buf, 0)

    def read(self, nbytes: int, write: int = 0):
        return self._transfer(bytes([write]) * nbytes, 1)

    def readinto(self, buf, write: int = 0) -> None:
        buf[:] = self._transfer(bytes([write]) * len(buf), 1)

    def write_readinto(self, write_buf, read_buf) -> None:
        if len(write_buf) != len(read_buf):
            raise ValueError("buffers must be the same length")
        read_buf[:] = self._transfer(write_buf, 1)


class _I2C:
    def _begin(self, line: int, scl: int, sda: int, freq: int) -> None:
        if freq <= 0:
            raise ValueError("invalid freq")
        self._line = line
        self._freq = freq
        link.demand(wire.I2C_INIT, line, 0, pack("<bbI", scl, sda, freq))
        link.spend(costs.SETUP)

    def _request(self, op: int, addr: int, arg: int, payload):
        link.spend(costs.I2C)
        return link.demand(op, self._line, addr & 0x7F | arg, payload)

    def writeto(self, addr: int, buf, stop: bool = True) -> int:
        """Returns the number of acknowledged bytes."""
        return unpack("<i", self._request(wire.I2C_WRITE, addr, (1 if stop else 0) << 8, bytes(buf)))[0]

    def writevto(self, addr: int, vector, stop: bool = True) -> int:
        return self.writeto(addr, b"".join([bytes(part) for part in vector]), stop)

    def readfrom(self, addr: int, nbytes: int, stop: bool = True) -> bytes:
        return self._request(wire.I2C_READ, addr, (1 if stop else 0) << 8 | nbytes << 16, None) or b""

    def readfrom_into(self, addr: int, buf, stop: bool = True) -> None:
        buf[:] = self.readfrom(addr, len(buf), stop)

    def _memory(self, memaddr: int, addrsize: int) -> bytes:
        if addrsize & 7 or addrsize > 32:
            raise ValueError("invalid addrsize")
        return bytes([memaddr >> shift & 0xFF for shift in range(addrsize - 8, -1, -8)])

    def readfrom_mem(self, addr: int, memaddr: int, nbytes: int, *, addrsize: int = 8) -> bytes:
        self.writeto(addr, self._memory(memaddr, addrsize), False)
        return self.readfrom(addr, nbytes)

    def readfrom_mem_into(self, addr: int, memaddr: int, buf, *, addrsize: int = 8) -> None:
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf), addrsize=addrsize)

    def writeto_mem(self, addr: int, memaddr: int, buf, *, addrsize: int = 8) -> None:
        self.writeto(addr, self._memory(memaddr, addrsize) + bytes(buf))

    def scan(self) -> list:
        found = []
        for addr in range(0x08, 0x78):
            try:
                self.writeto(addr, b"")
                found.append(addr)
            except OSError:
                pass
        return found


class I2C(_I2C):
    def __init__(self, id: int, *, scl=None, sda=None, freq: int = 400000, timeout: int = 50000) -> None:
        if id not in (0, 1):
            raise ValueError("I2C(%d) doesn't exist" % id)
        # The port's default pins on this chip.
        self._begin(id, _pin(scl, 18 if id == 0 else 9), _pin(sda, 19 if id == 0 else 8), freq)

    def deinit(self) -> None:
        link.spend(costs.SETUP)


class SoftI2C(_I2C):
    _lines = 1

    def __init__(self, scl, sda, *, freq: int = 400000, timeout: int = 50000) -> None:
        SoftI2C._lines += 1
        self._begin(SoftI2C._lines, pin_number(scl), pin_number(sda), freq)


class UART:
    INV_TX = 32
    INV_RX = 4

    def __init__(self, id: int, *args, **kwargs) -> None:
        if not 0 <= id <= 2:
            raise ValueError("UART(%d) does not exist" % id)
        self._id = id
        self._defaults()
        self.init(*args, **kwargs)

    def _defaults(self) -> None:
        # Default pins of the chip's three UARTs in the port.
        self._tx, self._rx = ((43, 44), (10, 9), (17, 16))[self._id]
        self._baudrate = 115200
        self._rxbuf = 256
        self._txbuf = 256
        self._timeout = 0
        self._open = False

    def init(
        self,
        baudrate: int = 0,
        bits: int = 0,
        parity=-1,
        stop: int = 0,
        *,
        tx=None,
        rx=None,
        txbuf: int = -1,
        rxbuf: int = -1,
        timeout: int = -1,
        timeout_char: int = -1,
    ) -> None:
        if not self._open:
            self._defaults()
        if bits not in (0, 8) or parity not in (-1, None) or stop not in (0, 1):
            raise ValueError("the virtual board has 8 bits, no parity, 1 stop bit only")
        if baudrate > 0:
            self._baudrate = baudrate
        self._tx = _pin(tx, self._tx)
        self._rx = _pin(rx, self._rx)
        if txbuf >= 0:
            self._txbuf = txbuf
        if rxbuf >= 0:
            self._rxbuf = rxbuf
        if self._rxbuf <= 128 or 0 < self._txbuf <= 128:
            raise OSError(-1, "ESP_FAIL")  # uart_driver_install: buffers must be larger than the FIFO of 128 bytes
        if timeout >= 0:
            self._timeout = timeout
        link.demand(
            wire.UART_INIT, self._id, 0, pack("<bbIHH", self._tx, self._rx, self._baudrate, self._rxbuf, self._txbuf)
        )
        link.spend(costs.SETUP)
        self._open = True

    def deinit(self) -> None:
        self._open = False
        link.demand(wire.UART_CLOSE, self._id, 0, None)

    def _check(self) -> None:
        link.spend(costs.UART)
        if not self._open:
            raise OSError(-1, "ESP_FAIL")

    def any(self) -> int:
        self._check()
        return link.number(wire.UART_ANY, self._id, 0)

    def write(self, buf) -> int:
        self._check()
        link.demand(wire.UART_WRITE, self._id, 0, bytes(buf))
        return len(buf)

    def flush(self) -> None:
        """Waits until all is sent."""
        self._check()
        link.wait(unpack("<I", link.demand(wire.UART_WRITE, self._id, 0, b""))[0])

    def txdone(self) -> bool:
        self._check()
        return unpack("<I", link.demand(wire.UART_WRITE, self._id, 0, b""))[0] == 0

    def _some(self, n: int) -> bytes:
        """One read of the driver: up to `n` bytes within the time-out."""
        self._check()
        return link.demand(wire.UART_READ, self._id, n, pack("<I", self._timeout * 1000)) or b""

    def read(self, nbytes: int = -1):
        """Without a number: what is there; None when nothing came within the time-out."""
        found = b""
        while nbytes < 0 or len(found) < nbytes:
            part = self._some(256 if nbytes < 0 else nbytes - len(found))
            if not part:
                break
            found += part
        return found or None

    def readinto(self, buf, nbytes: int = -1):
        found = self.read(len(buf) if nbytes < 0 else min(nbytes, len(buf)))
        if found is None:
            return None
        buf[: len(found)] = found
        return len(found)

    def readline(self):
        found = b""
        while not found.endswith(b"\n"):
            part = self._some(1)
            if not part:
                break
            found += part
        return found or None


class ADC:
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_12BIT = 12

    # Full scale in mV at each attenuation (ESP32-S3 data sheet, ADC calibration: 950, 1250, 1750, 3100).
    _SCALE = (950, 1250, 1750, 3100)

    def __init__(self, pin, *, atten: int = 3) -> None:
        self._pin = pin_number(pin)
        self._atten = 3
        if not 1 <= self._pin <= 20:  # ADC1 is on GPIO 1 to 10, ADC2 on 11 to 20
            raise ValueError("invalid pin")
        self.atten(atten)

    def init(self, *, atten: int = 3) -> None:
        self.atten(atten)

    def atten(self, *value):
        if not value:
            return self._atten
        if not 0 <= value[0] <= 3:
            raise ValueError("invalid attenuation")
        self._atten = value[0]
        return None

    def width(self, *value):
        if not value:
            return 12
        if value[0] != 12:
            raise ValueError("invalid bit-width")
        return None

    def _raw(self) -> int:
        link.spend(costs.ADC)
        microvolts = link.number(wire.ADC, self._pin, 0)
        return max(0, min(4095, microvolts * 4095 // (self._SCALE[self._atten] * 1000)))

    def read(self) -> int:
        return self._raw()

    def read_u16(self) -> int:
        raw = self._raw()
        return raw << 4 | raw >> 8

    def read_uv(self) -> int:
        """Calibrated, in steps of 1 mV."""
        return (self._raw() * self._SCALE[self._atten] + 2047) // 4095 * 1000
