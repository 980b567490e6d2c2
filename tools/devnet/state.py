"""What devnet remembers of a device. Counters are whole (32 bits); times are ns UTC."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from chirpstack_api.integration import integration_pb2 as integration

from . import region
from .adr import Heard


@dataclass(slots=True)
class QueueItem:
    """One downlink in a device's queue. `pending`: sent confirmed, not yet acknowledged."""

    id: str
    f_port: int
    data: bytes
    confirmed: bool
    expires_ns: int | None
    pending: bool = False
    f_cnt_down: int | None = None


class Ask(NamedTuple):
    """MAC commands that a caller wants in the next `times` downlinks, in every one with None."""

    commands: bytes
    times: int | None


@dataclass(slots=True)
class Session:
    """A joined device. `f_cnt_up` is the next counter expected, `f_cnt_down` the next to send.

    A block is one or more MAC commands of one CID as they were sent, CID and all.
    """

    dev_addr: int
    nwk_s_key: bytes
    app_s_key: bytes
    f_cnt_up: int = 0
    f_cnt_down: int = 0
    adr: bool = False
    dr: int = 0
    tx_power: int = 0
    nb_trans: int = 1
    max_tx_power: int = region.MAX_TX_POWER_INDEX
    rx1_delay: int = region.RX1_DELAY_S
    rx1_dr_offset: int = 0
    rx2_dr: int = region.RX2_DR
    rx2_frequency: int = region.RX2_FREQUENCY_HZ
    rx1_frequencies: dict[int, int] = field(default_factory=dict)  # DlChannelReq: Hz of the uplink: Hz of RX1
    max_duty: int = 0  # DutyCycleReq's MaxDutyCycle, noted only
    channels: list[int] = field(default_factory=lambda: list(region.DEFAULT_CHANNELS))  # enabled indices
    extra: dict[int, int] = field(default_factory=dict)  # index of a channel beyond the default ones: Hz
    history: list[Heard] = field(default_factory=list)
    pending: dict[int, bytes] = field(default_factory=dict)  # CID: the block last sent, awaiting its answer
    errors: dict[int, int] = field(default_factory=dict)  # CID: refusals
    status_requested_ns: int | None = None
    asks: list[Ask] = field(default_factory=list)
    asked: list[int] = field(
        default_factory=list
    )  # CIDs that a caller has ever asked for: the network leaves them alone
    settled: dict[int, bytes] = field(default_factory=dict)  # CID of a sticky answer: the block it last answered
    answers: list[bytes] = field(default_factory=list)  # an uplink's MAC commands each, since the first ask

    def to_json(self) -> str:
        """The session as one line for the database; bytes as hex."""
        record = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(record, separators=(",", ":"), default=bytes.hex)

    @classmethod
    def from_json(cls, text: str) -> Session:
        """The inverse of `to_json`."""
        record = json.loads(text)
        for name in ("nwk_s_key", "app_s_key"):
            record[name] = bytes.fromhex(record[name])
        for name in ("extra", "errors", "rx1_frequencies"):
            record[name] = {int(k): v for k, v in record[name].items()}
        for name in ("pending", "settled"):
            record[name] = {int(cid): bytes.fromhex(block) for cid, block in record[name].items()}
        record["history"] = [Heard(*h) for h in record["history"]]
        record["asks"] = [Ask(bytes.fromhex(commands), times) for commands, times in record["asks"]]
        record["answers"] = [bytes.fromhex(commands) for commands in record["answers"]]
        return cls(**record)


@dataclass(slots=True)
class Profile:
    """What the radio side needs of a device profile."""

    adr: bool  # adr_algorithm_id == "default"; ChirpStack, too, does no ADR for an id that it does not know
    status_interval: int  # DevStatusReq a day
    rx1_delay: int
    flush_queue_on_activate: bool
    supports_otaa: bool
    codec: str  # the JavaScript codec's script, "" for none


@dataclass(slots=True)
class Device:
    """A device as the radio side sees it; `info` is the deviceInfo of its events, `txack_info` that of its txack events."""

    dev_eui: str
    application_id: str
    info: integration.DeviceInfo
    txack_info: integration.DeviceInfo
    profile: Profile
    disabled: bool
    skip_fcnt_check: bool
    variables: dict[str, str]  # for the codec
    app_key: bytes | None
    nonces: set[tuple[str, int]]  # (JoinEUI, DevNonce) used
    join_nonce: int
    session: Session | None
    queue: list[QueueItem]
    last_seen_ns: int | None = None
    margin: int | None = None
    battery: int | None = None  # as in DevStatusAns: 0 external, 1 to 254, 255 unknown
