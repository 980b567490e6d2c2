"""EU863-870 as data (RP002-1.0.3, 2.4 "EU863-870MHz Band", and ETSI EN 300 220-2 for the sub-bands). Another region is another such file."""

# (Hz, least data rate, greatest data rate): channels every device has and nobody may change; join-requests go there.
CHANNELS = ((868100000, 0, 5), (868300000, 0, 5), (868500000, 0, 5))
MAX_CHANNELS = 16
RANGE = (863000000, 870000000)  # a receive frequency must lie within

DATA_RATES = (
    (12, 125000),
    (11, 125000),
    (10, 125000),
    (9, 125000),
    (8, 125000),
    (7, 125000),
)  # (SF, Hz); DR6 and DR7 are optional, refused
MAX_PAYLOAD = (51, 51, 51, 115, 242, 242)  # N: application bytes of a frame without FOpts, no repeater
MAX_REPEATED = 222  # the same behind a repeater, at most
RX1_DR = (  # data rate of RX1 by uplink data rate (row) and RX1DROffset 0..5 (column)
    (0, 0, 0, 0, 0, 0),
    (1, 0, 0, 0, 0, 0),
    (2, 1, 0, 0, 0, 0),
    (3, 2, 1, 0, 0, 0),
    (4, 3, 2, 1, 0, 0),
    (5, 4, 3, 2, 1, 0),
)
RX2 = (869525000, 0)  # (Hz, data rate)

MAX_EIRP = 16  # dBm at TXPower 0, 2 dB less with each step
MAX_POWER = 7  # greatest TXPower index

# (low Hz, high Hz, duty cycle in per mille)
BANDS = (
    (863000000, 865000000, 1),
    (865000000, 868000000, 10),
    (868000000, 868600000, 10),
    (868700000, 869200000, 1),
    (869400000, 869650000, 100),
    (869700000, 870000000, 10),
)

DEFAULT_DR = 0  # the least: where a session begins and where the ADR back-off ends (TS001-1.0.4, 4.3.1.1)
# Data rates of join-requests in turn. A node near a LoRa gateway joins within seconds though a request is lost, and one that needs
# SF12 comes to it within a minute; SF12 alone would wait 2.6 to 5 minutes after each loss.
JOIN_DRS = (5, 3, 0)
JOIN_DELAY = 5  # seconds from the end of the join-request to RX1
ADR_ACK_LIMIT = 64
ADR_ACK_DELAY = 32
