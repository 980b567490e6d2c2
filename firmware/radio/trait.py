"""What a LoRa modem must do for LoRaWAN; a driver provides these verbs and nothing else. None of them waits for the air.

    prepare_transmit(phy, frequency, sf, bandwidth, eirp)   load a frame: Hz, Hz, dBm radiated (the driver takes the antenna's gain off)
    prepare_receive(frequency, sf, bandwidth, symbols)      set a window up that closes after `symbols` without a LoRa preamble
    start()                                                 begin what was prepared, now
    poll() -> None or an event                              looks at the interrupt only; cheap
    abort()                                                 end what runs (a receive window that never closed)
    sleep()                                                 least current; the next prepare starts over
    lead_us                                                 from start() of a window until the receiver listens
    max_symbols                                             the longest window

Each verb raises RadioError when the chip does not answer. LoRaWAN's own settings are fixed: public sync word, preamble 8, explicit header,
CR 4/5; uplinks with CRC and normal IQ, downlinks without CRC and with inverted IQ (RP002-1.0.3, 4.1).
"""

from collections import namedtuple

Sent = namedtuple("Sent", ("ticks_us",))  # time.ticks_us of the interrupt
Frame = namedtuple("Frame", ("ticks_us", "phy", "snr_db", "rssi_dbm"))
Closed = namedtuple("Closed", ("ticks_us",))  # nothing, or a frame whose header or CRC was wrong


class RadioError(Exception):
    """The modem does not do what its datasheet says; one sentence with the place."""
