"""Words of the protocol between a board's interpreter and the world; tools/virtual_board/protocol.py holds the same ones.

A message is a run of records of 12 bytes `<BBHII`: operation, line (pin or bus number), length of the payload, µs since the
last answer, argument; then the payload. Operations below `REQUEST` are posted and have no answer, the last record of a
message is always a request. The answer has the same size: status, number of pin records, length of the payload, µs that passed,
µs until the next sync is due; then the pin records (pin; level, +2 for an interrupt) and the payload.
"""

from micropython import const

PIN = const(1)  # line pin; argument mode | pull << 4 | value << 8 | hold << 9 | hold given << 10
OUT = const(2)  # line pin; argument level
IRQ = const(3)  # line pin; argument trigger: 1 rising, 2 falling, 0 off
SLEEP_HOLD = const(4)  # argument: digital pads keep their hold through deep sleep
WDT = const(5)  # argument: time-out in ms, arms the watchdog
FEED = const(6)

REQUEST = const(16)
SYNC = const(16)
WAIT = const(17)  # argument: µs
SPI_INIT = const(18)  # payload <bbbBI: sck, mosi, miso, mode, baud rate
SPI = const(19)  # payload: bytes out; argument: board µs of the transfer | want bytes back << 31
I2C_INIT = const(20)  # payload <bbI: scl, sda, frequency
I2C_WRITE = const(21)  # argument: address | stop << 8
I2C_READ = const(22)  # argument: address | stop << 8 | length << 16
UART_INIT = const(23)  # payload <bbIHH: tx, rx, baud rate, size of the receive buffer, of the transmit buffer
UART_CLOSE = const(24)
UART_WRITE = const(25)  # answers <I: µs until the line is idle
UART_READ = const(26)  # argument: bytes wanted; payload <I: time-out in µs
UART_ANY = const(27)  # answers <I: bytes waiting
ADC = const(28)  # line pin; answers <I: µV
TEMPERATURE = const(29)  # answers <i: m°C
RTC_GET = const(30)
RTC_SET = const(31)
RTC_TIME = const(32)  # payload <q: µs since 2000 of the clock, now
NVS_GET = const(33)  # line kind; payload: namespace NUL key
NVS_SET = const(34)  # line kind; payload: namespace NUL key NUL value
NVS_ERASE = const(35)
NVS_COMMIT = const(36)
FLASH_ERASE = const(37)  # argument: block
FLASH_PROGRAM = const(38)  # argument: byte offset in the image
LIGHTSLEEP = const(39)  # payload: SLEEP
DEEPSLEEP = const(40)  # payload: SLEEP; no answer
RESET = const(41)  # argument: cause; no answer
CONSOLE = const(
    42
)  # main.py has ended; argument RAW | AT_ONCE; payload: bytes for the cable; answers the bytes that came by it
READY = const(43)  # before everything else; answers BOOT

RAW = const(1)  # of CONSOLE: the raw REPL asks
AT_ONCE = const(2)  # the answer is empty and comes at once
INTERRUPT = const(255)  # in place of a pin in an answer: Ctrl-C came by the cable

RECORD = "<BBHII"
SLEEP = "<qbBQB"  # µs (-1: for ever), ext0 pin (-1: none), ext0 level, ext1 pins, ext1 any-high
BOOT = "<BBqQ6s16sB"  # reset cause, wake reason, RTC µs since 2000, ext1 pins that woke, MAC address, entropy, raw REPL
