"""What processor work costs in model time, in µs: the only place. Everything else takes none (docs/internals.md, section 1).

Figures are the order of magnitude of an ESP32-S3 at 160 MHz with MicroPython 1.25; they are stated, not measured on a board.
"""

# From the wake stub or the reset vector to the first line of main.py: ROM, second-stage bootloader, MicroPython, mounting littlefs.
BOOT_COLD = 350_000  # the bootloader verifies the whole application image after a power-on or a reset
BOOT_WAKE = 180_000  # skipped after deep sleep (CONFIG_BOOTLOADER_SKIP_VALIDATE_IN_DEEP_SLEEP)
BOOT_SOFT = 60_000

TICKS = 2  # ticks_*, time(), a polling loop's step
PIN = 2  # Pin.value, on, off
PIN_INIT = 10
SETUP = 100  # opening or closing a bus, watchdog, NVS
IRQ = 20  # from an edge to the first line of its handler (scheduled, never hard, on this port)
SPI = 15  # driver's share of one transfer, beside its bit time
I2C = 40
UART = 20
ADC = 60
TEMPERATURE = 300
RTC_MEMORY = 10
NVS_READ = 50
NVS_COMMIT = 3_000
AES_KEY = 20
AES_BLOCK = 10
URANDOM_WORD = 1

# NOR flash (typical figures of a W25Q64 data sheet, AC characteristics: sector erase 45 ms, page program 0.7 ms)
FLASH_ERASE = 45_000  # a sector of 4096 bytes
FLASH_PROGRAM = 700  # for each page of 256 bytes begun
