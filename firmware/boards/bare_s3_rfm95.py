"""A bare ESP32-S3 with an RFM95W module or another SX1276; else wired as bare_s3. Pins as soldered; power facts from the parts' datasheets."""

# SX1276: its PA_BOOST pin feeds the antenna, a crystal the clock; the module switches the antenna by itself
RADIO = "sx127x"
SPI_ID = 1
SPI_BAUD = 2_000_000
SCK, MOSI, MISO, NSS, RESET, DIO0, DIO1 = 12, 11, 13, 10, 9, 4, 14
PA_BOOST = True
ANTENNA_GAIN_DB = 2

# sensors
I2C_ID, SDA, SCL, I2C_HZ = 0, 1, 2, 100_000
SHT31_ADDRESS = 0x44
PMS_UART, PMS_TX, PMS_RX, PMS_SET = 1, 17, 18, 8
ULTRASONIC_UART, ULTRASONIC_TX, ULTRASONIC_RX = 2, 15, 16
SUPPLY = 7  # high = sensors have 5 V
CONTACT = 5  # reed, an RTC pin

BATTERY_ADC, BATTERY_DIVIDER = 6, 2
LED, BUTTON = 48, 0  # button pressed = 0

SLEEP_UA = 10  # deep sleep, RTC timer and EXT0
ACTIVE_MA = 40
# lithium thionyl chloride cell with its capacitor
FULL_BATTERY_MV, LOW_BATTERY_MV, EMPTY_BATTERY_MV = 3600, 3300, 3000
