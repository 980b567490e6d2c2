"""The network server, sans-I/O: uplinks in, downlinks and events out. Everything follows from (seed, database, inputs, now).

Behaviour is ChirpStack 4.20's (uplink/join.rs, uplink/data.rs, downlink/data.rs, downlink/tx_ack.rs) and is held against traffic
recorded from one, except that ids, and the choice among good gateways, come from a hash of the seed instead of a random source, and
that an `ack` event comes before the `up` of its frame, as recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from chirpstack_api.common import common_pb2 as common
from chirpstack_api.integration import integration_pb2 as integration
from google.protobuf import struct_pb2

from . import asked, codec, events_of, frame, mac, region, reply
from .collector import Collector
from .events import Event
from .exchange import (
    Answer,
    Downlink,
    DownlinkItem,
    Reception,
    Uplink,
    Way,
    rx_time,
    seeded_entropy,
    uuid_text,
    windows,
)
from .gateways import Gateways
from .outbox import Outbox, Sent
from .region import Network
from .state import Device, QueueItem, Session
from .store import Store

NET_ID = 0x000000
_WARNING, _ERROR = integration.LogLevel.WARNING, integration.LogLevel.ERROR


class Core:
    """All devices of a store. Not thread-safe: calls hold `store.lock`."""

    def __init__(
        self,
        store: Store,
        seed: str,
        entropy: Callable[[str, bytes], bytes] | None = None,
        network: Network | None = None,
    ) -> None:
        """`entropy(purpose, input)` -> 32 bytes; by default a hash of the seed. Purposes: uplink, dev_addr, gateway, downlink, location."""
        self.network = network or Network()  # may be changed at any time, as by a restart of ChirpStack
        self._store = store
        self._entropy = entropy or seeded_entropy(seed)
        self._devices: dict[str, Device] = {}
        self._by_addr: dict[int, list[str]] = {}
        self._outbox = Outbox(store)
        self._collector = Collector()
        self.gateways = Gateways(store)
        self._digest = hashlib.sha256()
        for (dev_eui,) in store.rows("SELECT dev_eui FROM device ORDER BY dev_eui"):
            self.reload(dev_eui)

    # -- what the API changed

    def reload(self, dev_eui: str) -> None:
        """Reads a device anew; one that is gone is forgotten."""
        old, new = self._devices.pop(dev_eui, None), self._store.device(dev_eui)
        if old and old.session:
            self._unlist(old.session.dev_addr, dev_eui)
        if new:
            self._devices[dev_eui] = new
            if new.session:
                self._by_addr.setdefault(new.session.dev_addr, []).append(dev_eui)

    def log_digest(self) -> str:
        """sha256 over all events so far, in order: world time, topic, JSON."""
        return self._digest.hexdigest()

    # -- for a caller in the same process, who drives a device by hand

    def ask(self, dev_eui: str, commands: bytes, times: int | None = 1) -> None:
        """Sends MAC commands, any bytes, in the next `times` downlinks in which there is room for all of them; None: in every one.

        A LinkADRReq block is the LinkADRReq of one ask. ValueError without commands or a session; a join forgets what was asked.
        """
        with self._store.lock, self._store.transaction():
            asked.ask(self.session(dev_eui), commands, times)
            self._store.save_radio(self._devices[dev_eui])

    def answers(self, dev_eui: str) -> list[bytes]:
        """The MAC commands of each uplink that had some since the first ask of this session, the last 256."""
        return self.session(dev_eui).answers

    def session(self, dev_eui: str) -> Session:
        """What the network knows of a joined device, to read; ValueError for any other."""
        device = self._devices.get(dev_eui)
        if device is None or device.session is None:
            raise ValueError(f"devnet: {dev_eui} has no session: it must join first")
        return device.session

    def locate(self, dev_eui: str, place: common.Location, now_ns: int) -> Event:
        """A `location` event. ChirpStack publishes one when a resolver has answered, and 4.20 comes without any; ValueError: no such device."""
        device = self._devices.get(dev_eui)
        if device is None:
            raise ValueError(f"devnet: there is no device {dev_eui}")
        draw = self._entropy("location", now_ns.to_bytes(8, "big") + place.SerializeToString(deterministic=True))
        event = events_of.event(device, events_of.location(device, place, uuid_text(draw), now_ns))
        self._record([event], now_ns)
        return event

    # -- from the air

    def reception(self, uplink: Uplink, now_ns: int) -> int | None:
        """One gateway's copy of a frame, at its own time. Returns when `due` is to be called, None where that was said before."""
        with self._store.lock:
            return self._collector.add(uplink, now_ns)

    @property
    def next_due(self) -> int | None:
        """The instant at which `due` has something to do."""
        return self._collector.next_due

    def due(self, now_ns: int) -> Answer:
        """What the frames lead to whose de-duplication window has ended."""
        out = Answer([], [])
        with self._store.lock:
            for uplink in self._collector.due(now_ns):
                answer = self.uplink(uplink, now_ns)
                out.events.extend(answer.events)
                out.downlinks.extend(answer.downlinks)
        return out

    def uplink(self, uplink: Uplink, now_ns: int) -> Answer:
        """One frame. A frame that is not for this network, of a disabled device or with a wrong MIC leads to nothing."""
        parsed = frame.parse_uplink(uplink.phy)
        dr = region.data_rate(uplink.spreading_factor, uplink.bandwidth_hz)
        if parsed is None or dr is None or not uplink.receptions:
            return Answer([], [])
        with self._store.lock:
            if isinstance(parsed, frame.JoinRequest):
                answer = self._join(parsed, uplink, dr, now_ns)
            else:
                answer = self._data(parsed, uplink, dr, now_ns)
        self._record(answer.events, now_ns)
        return answer

    def transmitted(self, downlink_id: int, item_index: int | None, status: str, now_ns: int) -> list[Event]:
        """The gateway's TxAck: it sends item `item_index`, or none (None) for the reason `status` (TOO_LATE, ...)."""
        with self._store.lock:
            out = self._transmitted(downlink_id, item_index, status, now_ns)
        self._record(out, now_ns)
        return out

    def _transmitted(self, downlink_id: int, item_index: int | None, status: str, now_ns: int) -> list[Event]:
        sent = self._outbox.sent.pop(downlink_id, None)
        device = self._devices.get(sent.dev_eui) if sent else None
        if sent is None or device is None or device.session is None or not sent.is_data:
            return []
        if item_index is None:
            return [events_of.log(device, now_ns, _ERROR, integration.LogCode.DOWNLINK_GATEWAY, status, {})]
        with self._store.transaction():
            device.session.f_cnt_down = max(device.session.f_cnt_down, sent.f_cnt_down + 1)
            out = self._outbox.transmitted(device, sent, item_index, now_ns)
            self._store.save_radio(device)
        return out

    # -- OTAA

    def _join(self, request: frame.JoinRequest, uplink: Uplink, dr: int, now_ns: int) -> Answer:
        device = self._devices.get(request.dev_eui)
        if device is None or device.disabled or not device.profile.supports_otaa or device.app_key is None:
            return Answer([], [])
        context = {"deduplication_id": self._deduplication_id(uplink, now_ns)}
        heard = self._heard_for(device, uplink)
        if not heard:
            return Answer([], [])
        uplink = uplink._replace(receptions=heard)
        if frame.cmac4(device.app_key, request.signed) != request.mic:
            text = "MIC of join-request is invalid, make sure keys are correct"
            return Answer([events_of.log(device, now_ns, _ERROR, integration.LogCode.UPLINK_MIC, text, context)], [])
        used = (request.join_eui, request.dev_nonce)
        if used in device.nonces:
            context |= {"join_eui": request.join_eui, "dev_nonce": str(request.dev_nonce)}
            text = "DevNonce has already been used"
            return Answer([events_of.log(device, now_ns, _ERROR, integration.LogCode.OTAA, text, context)], [])
        nonce_bytes = request.dev_nonce.to_bytes(2, "little")
        draw = self._entropy(
            "dev_addr", bytes.fromhex(request.dev_eui) + nonce_bytes + device.join_nonce.to_bytes(3, "little")
        )
        dev_addr = int.from_bytes(draw[:4], "little") & 0x01FFFFFF  # type 0 prefix and NwkID 0, 25 bits of NwkAddr
        body = frame.join_accept_body(
            device.join_nonce,
            NET_ID,
            dev_addr,
            self.network.rx1_dr_offset << 4 | self.network.rx2_dr,
            self.network.rx1_delay,
            self.network.cf_list,
        )
        phy = frame.join_accept(device.app_key, body)
        keys = frame.session_keys(device.app_key, device.join_nonce, NET_ID, request.dev_nonce)
        with self._store.transaction():
            self._store.add_nonce(device.dev_eui, *used)
            device.nonces.add(used)
            device.join_nonce += 1
            if device.session:
                self._unlist(device.session.dev_addr, device.dev_eui)
            self._outbox.forget(device.dev_eui)
            device.session = mac.joined(Session(dev_addr, *keys), self.network)
            self._by_addr.setdefault(dev_addr, []).append(device.dev_eui)
            if device.profile.flush_queue_on_activate:
                self._outbox.empty(device)
            self._store.save_radio(device)
        rx2 = Way(region.RX2_FREQUENCY_HZ, region.RX2_DR, region.JOIN_DELAY_S + 1)
        items = windows((Way(uplink.freq_hz, dr, region.JOIN_DELAY_S), rx2), (phy, phy))
        sender = self._sender(device, uplink, now_ns)
        if sender is None:  # ChirpStack sends the event after the join-accept, and comes to neither
            return Answer([], [])
        joined = events_of.join(device, dev_addr, context["deduplication_id"], rx_time(uplink, now_ns))
        return Answer([events_of.event(device, joined)], [self._send(device, sender, items, now_ns, None)])

    # -- data

    def _data(self, up: frame.DataUplink, uplink: Uplink, dr: int, now_ns: int) -> Answer:
        found = self._owner(up)
        if found is None:
            return Answer([], [])
        device, session, f_cnt = found
        deduplication_id = self._deduplication_id(uplink, now_ns)
        counted = self._heard_for(device, uplink)
        if not counted:
            return Answer([], [])
        uplink = uplink._replace(receptions=counted)
        time_ns = rx_time(uplink, now_ns)
        if f_cnt < session.f_cnt_up and not device.skip_fcnt_check:
            code, text = integration.LogCode.UPLINK_F_CNT_RESET, "Frame-counter reset or rollover detected"
            if f_cnt == session.f_cnt_up - 1:
                code = integration.LogCode.UPLINK_F_CNT_RETRANSMISSION
                text = "Uplink was flagged as re-transmission / frame-counter did not increment"
            context = {"f_cnt_up": str(f_cnt), "deduplication_id": deduplication_id}
            return Answer([events_of.log(device, time_ns, _WARNING, code, text, context)], [])
        snrs = [r.snr_db for r in uplink.receptions]
        key = session.app_s_key if up.port else session.nwk_s_key
        plain = frame.crypt_payload(key, frame.UP, up.dev_addr, f_cnt, up.payload)
        out: list[Event] = []
        with self._store.transaction():
            self._seen(device, session, up, dr, now_ns)
            replies, heard, forced = [], set[int](), bool(up.f_ctrl & frame.ADR_ACK_REQ)
            for commands in (up.f_opts, plain if up.port == 0 else b""):
                if commands:
                    blocks = mac.parse(commands)
                    heard |= blocks.keys()
                    asked.record(session, commands)
                    replies = mac.answers(session, blocks, snrs, uplink.spreading_factor, time_ns)
                    forced = forced or mac.must_answer(blocks)
                    out += self._status(device, blocks, deduplication_id, time_ns)
            mac.remember(session, f_cnt, max(snrs))
            session.f_cnt_up = f_cnt + 1
            if up.f_ctrl & frame.ACK:
                out += self._outbox.acknowledged(device, deduplication_id, time_ns)
            data = plain if up.port else b""
            made = self._decoded(device, up.port or 0, data, deduplication_id, time_ns, now_ns, out)
            body = events_of.uplink(device, up, uplink, dr, f_cnt, data, made, self.gateways, deduplication_id, time_ns)
            out.append(events_of.event(device, body))
            downlinks = self._respond(
                device, session, up, uplink, dr, replies, heard, deduplication_id, now_ns, out, forced=forced
            )
            self._store.save_radio(device)
        return Answer(out, downlinks)

    def _owner(self, up: frame.DataUplink) -> tuple[Device, Session, int] | None:
        """(device, session, whole counter) of the one session with this DevAddr under which the MIC holds."""
        for dev_eui in self._by_addr.get(up.dev_addr, ()):
            device = self._devices[dev_eui]
            session = device.session
            if session is None or device.disabled:
                continue
            for f_cnt in (
                frame.full_f_cnt(session.f_cnt_up, up.f_cnt),
                up.f_cnt,
            ):  # the latter after a reset of the device
                if frame.data_mic(session.nwk_s_key, frame.UP, up.dev_addr, f_cnt, up.signed) == up.mic:
                    return device, session, f_cnt
        return None

    def _seen(self, device: Device, session: Session, up: frame.DataUplink, dr: int, now_ns: int) -> None:
        device.last_seen_ns = now_ns
        session.adr = bool(up.f_ctrl & frame.ADR)
        if session.dr != dr:  # the device changed its data rate and, perhaps, its power
            session.dr, session.tx_power, session.history = dr, 0, []
        if up.f_ctrl & frame.ADR_ACK_REQ:
            mac.reset_channels(session)

    def _status(
        self, device: Device, blocks: dict[int, list[bytes]], deduplication_id: str, time_ns: int
    ) -> list[Event]:
        if asked.DEV_STATUS not in blocks:
            return []
        device.battery, raw = blocks[asked.DEV_STATUS][0]
        device.margin = (raw & 0x3F ^ 0x20) - 0x20  # six bits, signed
        return [events_of.event(device, events_of.status(device, deduplication_id, time_ns))]

    def _decoded(
        self,
        device: Device,
        f_port: int,
        data: bytes,
        deduplication_id: str,
        time_ns: int,
        now_ns: int,
        out: list[Event],
    ) -> struct_pb2.Struct | None:
        """What the profile's codec makes of a payload; where it fails, `out` gets the event that says how."""
        if not device.profile.codec:
            return None
        try:
            return codec.decode(device.profile.codec, data, f_port, time_ns, device.variables)
        except codec.CodecError as e:
            code, context = integration.LogCode.UPLINK_CODEC, {"deduplication_id": deduplication_id}
            out.append(events_of.log(device, now_ns, _ERROR, code, str(e), context))
            return None

    # -- the answer

    def _respond(
        self,
        device: Device,
        session: Session,
        up: frame.DataUplink,
        uplink: Uplink,
        dr: int,
        replies: list[bytes],
        heard: set[int],
        deduplication_id: str,
        now_ns: int,
        out: list[Event],
        *,
        forced: bool,
    ) -> list[Downlink]:
        sender = self._sender(device, uplink, now_ns)
        if sender is None:
            return []
        ways = reply.ways(session, uplink, dr)
        item = self._outbox.next_item(device, region.MAX_PAYLOAD[ways[0].dr], deduplication_id, now_ns, out)
        due = asked.due(session, heard)
        own = [] if due else mac.requests(session, device.profile, self.network, dr, uplink.spreading_factor, now_ns)
        blocks = replies + due + own
        if item is None and not blocks and not up.confirmed and not forced:
            return []
        more = item is not None and len(device.queue) > 1
        made = reply.build(session, ways, blocks, item, ack=up.confirmed, more=more)
        if due:
            asked.sent(session, max(made.blocks - len(replies), 0))
        if item is not None:
            item.f_cnt_down = session.f_cnt_down
            self._store.save_item(item)
        sent = (session.f_cnt_down, made.ports, item)
        return [self._send(device, sender, windows(ways, made.phys), now_ns, sent)]

    def _heard_for(self, device: Device, uplink: Uplink) -> tuple[Reception, ...]:
        unknown = self.network.allow_unknown_gateways
        return self.gateways.heard(uplink.receptions, device.info.tenant_id, unknown=unknown)

    def _sender(self, device: Device, uplink: Uplink, now_ns: int) -> Reception | None:
        draw = self._entropy("gateway", now_ns.to_bytes(8, "big") + uplink.phy)
        chance = int.from_bytes(draw[:4], "big")
        return self.gateways.sender(uplink.receptions, device.info.tenant_id, uplink.spreading_factor, chance)

    def _send(
        self,
        device: Device,
        sender: Reception,
        items: tuple[DownlinkItem, ...],
        now_ns: int,
        data: tuple[int, tuple[int | None, ...], QueueItem | None] | None,
    ) -> Downlink:
        """`data`: (FCntDown, ports by item, queue item), None for a join-accept."""
        draw = self._entropy("downlink", now_ns.to_bytes(8, "big") + items[0].phy)
        downlink = Downlink(int.from_bytes(draw[:4], "big"), sender.gateway_id, items, sender.context)
        f_cnt_down, ports, item = data or (0, (), None)
        self._outbox.hand_out(Sent(downlink, device.dev_eui, data is not None, f_cnt_down, ports, item))
        return downlink

    # -- events

    def _record(self, happened: list[Event], now_ns: int) -> None:
        for event in happened:
            self._digest.update(b"%d %s %s\n" % (now_ns, event.topic.encode(), event.json))

    def _deduplication_id(self, uplink: Uplink, now_ns: int) -> str:
        heard = "".join(r.gateway_id for r in uplink.receptions).encode()
        return uuid_text(self._entropy("uplink", now_ns.to_bytes(8, "big") + uplink.phy + heard))

    def _unlist(self, dev_addr: int, dev_eui: str) -> None:
        self._by_addr[dev_addr].remove(dev_eui)
