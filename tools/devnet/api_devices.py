"""The calls of ChirpStack's DeviceService that devnet serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from chirpstack_api.api import device_pb2 as api
from chirpstack_api.api import device_profile_pb2 as profile_api
from chirpstack_api.common import common_pb2 as common
from google.protobuf.empty_pb2 import Empty

from . import codec, events
from .access import ApiError, Caller, allow, hex_id, uuid_id
from .api_objects import unserved
from .devnet import Devnet
from .listing import Wanted
from .state import Session


class DeviceCalls:
    """One method a call, each `(request, caller) -> response`."""

    def __init__(self, devnet: Devnet) -> None:
        self._devnet, self._registry = devnet, devnet.registry

    def table(self) -> dict[str, Callable[[Any, Caller], Any]]:
        """The calls by their full name."""
        named = {
            "Create": self.create,
            "Get": self.get,
            "Update": self.update,
            "Delete": self.delete,
            "List": self.list_,
            "CreateKeys": self.create_keys,
            "GetKeys": self.get_keys,
            "UpdateKeys": self.update_keys,
            "DeleteKeys": self.delete_keys,
            "FlushDevNonces": self.flush_dev_nonces,
            "Activate": self.activate,
            "Deactivate": self.deactivate,
            "GetActivation": self.get_activation,
            "Enqueue": self.enqueue,
            "FlushQueue": self.flush_queue,
            "GetQueue": self.get_queue,
        }
        return {f"api.DeviceService/{name}": call for name, call in named.items()}

    def create(self, request: Any, caller: Caller) -> Any:
        """Create."""
        device = self._device(request)
        application = device.application_id
        if not caller.is_admin:  # an unknown application is told to an admin only
            allow(caller, self._registry.tenant_of("application", application), write=True)
        allow(caller, caller.tenant_id, write=True)
        self._registry.create("device", device)
        return self._changed()

    def get(self, request: Any, caller: Caller) -> Any:
        """Get."""
        dev_eui = self._allowed(request.dev_eui, caller, write=False)
        stored = self._registry.get("device", dev_eui)
        response = api.GetDeviceResponse(device=stored.message, class_enabled=common.DeviceClass.CLASS_A)
        self._times(response, stored.created_ns, stored.updated_ns)
        self._seen(response, dev_eui)
        return response

    def update(self, request: Any, caller: Caller) -> Any:
        """Update."""
        device = self._device(request)
        self._allowed(device.dev_eui, caller, write=True)
        allow(caller, self._registry.tenant_of("application", device.application_id), write=False)
        self._registry.update("device", device)
        return self._changed()

    def delete(self, request: Any, caller: Caller) -> Any:
        """Delete."""
        self._registry.delete("device", self._allowed(request.dev_eui, caller, write=True))
        return self._changed()

    def list_(self, request: Any, caller: Caller) -> Any:
        """List: of one application; a device profile and tags narrow it."""
        unserved(request, "multicast_group_id")
        application = uuid_id(request.application_id)
        where = {"application_id": application}
        if request.device_profile_id:
            where["device_profile_id"] = uuid_id(request.device_profile_id)
        allow(caller, self._registry.tenant_of("application", application), write=False)
        wanted = Wanted(
            where,
            request.search,
            request.limit,
            request.offset,
            request.order_by,
            request.order_by_desc,
            dict(request.tags),
        )
        count, page = self._registry.page("device", wanted)
        result = []
        for stored in page:
            device = stored.message
            item = api.DeviceListItem(
                dev_eui=device.dev_eui,
                name=device.name,
                description=device.description,
                device_profile_id=device.device_profile_id,
                device_profile_name=self._registry.get("device_profile", device.device_profile_id).message.name,
                tags=device.tags,
            )
            self._times(item, stored.created_ns, stored.updated_ns)
            self._seen(item, device.dev_eui)
            result.append(item)
        return api.ListDevicesResponse(total_count=count, result=result)

    def create_keys(self, request: Any, caller: Caller) -> Any:
        """CreateKeys; a 1.0.x AppKey is in nwk_key."""
        keys = self._keys(request, caller)
        self._registry.create_keys(keys)
        return self._changed()

    def get_keys(self, request: Any, caller: Caller) -> Any:
        """GetKeys."""
        stored = self._registry.keys(self._allowed(request.dev_eui, caller, write=False))
        response = api.GetDeviceKeysResponse(device_keys=stored.message)
        self._times(response, stored.created_ns, stored.updated_ns)
        return response

    def update_keys(self, request: Any, caller: Caller) -> Any:
        """UpdateKeys."""
        self._registry.update_keys(self._keys(request, caller))
        return self._changed()

    def delete_keys(self, request: Any, caller: Caller) -> Any:
        """DeleteKeys."""
        self._registry.delete_keys(self._allowed(request.dev_eui, caller, write=True))
        return self._changed()

    def flush_dev_nonces(self, request: Any, caller: Caller) -> Any:
        """FlushDevNonces."""
        self._registry.flush_dev_nonces(self._allowed(request.dev_eui, caller, write=True))
        return self._changed()

    def activate(self, request: Any, caller: Caller) -> Any:
        """Activate: activation by personalisation."""
        if not request.HasField("device_activation"):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "device_activation is missing")
        given = request.device_activation
        dev_eui = self._allowed(given.dev_eui, caller, write=True)
        session = Session(
            dev_addr=int(hex_id(given.dev_addr, 4), 16),
            nwk_s_key=bytes.fromhex(hex_id(given.nwk_s_enc_key, 16)),
            app_s_key=bytes.fromhex(hex_id(given.app_s_key, 16)),
            f_cnt_up=given.f_cnt_up,
            f_cnt_down=given.n_f_cnt_down,
        )
        device = self._registry.get("device", dev_eui).message
        profile = self._registry.get("device_profile", device.device_profile_id).message
        if not profile.supports_otaa:  # where the device listens is the profile's; 0 is the region's
            session.rx1_delay = profile.abp_rx1_delay or session.rx1_delay
            session.rx1_dr_offset, session.rx2_dr = profile.abp_rx1_dr_offset, profile.abp_rx2_dr
            session.rx2_frequency = profile.abp_rx2_freq or session.rx2_frequency
        with self._devnet.store.transaction():
            self._registry.set_session(dev_eui, session)
            if profile.flush_queue_on_activate:
                self._registry.flush_queue(dev_eui)
        return self._changed()

    def deactivate(self, request: Any, caller: Caller) -> Any:
        """Deactivate: the device must join anew."""
        self._registry.set_session(self._allowed(request.dev_eui, caller, write=True), None)
        return self._changed()

    def get_activation(self, request: Any, caller: Caller) -> Any:
        """GetActivation; without an activation for a device that has none."""
        dev_eui = self._allowed(request.dev_eui, caller, write=False)
        self._registry.get("device", dev_eui)
        session = self._registry.session(dev_eui)
        if session is None:
            return api.GetDeviceActivationResponse()
        key = session.nwk_s_key.hex()
        activation = api.DeviceActivation(
            dev_eui=dev_eui,
            dev_addr=f"{session.dev_addr:08x}",
            app_s_key=session.app_s_key.hex(),
            nwk_s_enc_key=key,
            s_nwk_s_int_key=key,
            f_nwk_s_int_key=key,
            f_cnt_up=session.f_cnt_up,
            n_f_cnt_down=session.f_cnt_down,
            a_f_cnt_down=session.f_cnt_down,
        )
        return api.GetDeviceActivationResponse(device_activation=activation)

    def enqueue(self, request: Any, caller: Caller) -> Any:
        """Enqueue; the id comes at once, the item is sent from the world's next stop on."""
        if not request.HasField("queue_item"):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "queue_item is missing")
        item = request.queue_item
        if item.is_encrypted:
            raise ApiError(grpc.StatusCode.UNIMPLEMENTED, "devnet encrypts downlinks itself and takes plain `data`")
        item.dev_eui = self._allowed(item.dev_eui, caller, write=True)
        if item.HasField("object"):
            item.f_port, item.data = self._encoded(item)
        with self._devnet.store.transaction():
            if request.flush_queue:
                self._registry.flush_queue(item.dev_eui, keep_pending=True)
            item_id = self._registry.enqueue(item)
        self._devnet.changed()
        return api.EnqueueDeviceQueueItemResponse(id=item_id)

    def _encoded(self, item: Any) -> tuple[int, bytes]:
        """(fPort, bytes) that the profile's codec makes of a downlink's object; nothing without a codec, as in ChirpStack."""
        device = self._registry.get("device", item.dev_eui).message
        profile = self._registry.get("device_profile", device.device_profile_id).message
        if profile.payload_codec_runtime != profile_api.JS:
            return item.f_port, b""
        try:
            return codec.encode(
                profile.payload_codec_script, item.object, item.f_port, self._devnet.now_ns(), device.variables
            )
        except codec.CodecError as e:
            raise ApiError(grpc.StatusCode.INTERNAL, str(e)) from e

    def flush_queue(self, request: Any, caller: Caller) -> Any:
        """FlushQueue: all items, sent and unacknowledged ones too."""
        self._registry.flush_queue(self._allowed(request.dev_eui, caller, write=True))
        return self._changed()

    def get_queue(self, request: Any, caller: Caller) -> Any:
        """GetQueue."""
        items = self._registry.queue(self._allowed(request.dev_eui, caller, write=False))
        return api.GetDeviceQueueItemsResponse(total_count=len(items), result=[] if request.count_only else items)

    # -- shared

    def _device(self, request: Any) -> Any:
        if not request.HasField("device"):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "device is missing")
        device = request.device
        device.dev_eui = hex_id(device.dev_eui)
        device.application_id = uuid_id(device.application_id)
        device.device_profile_id = uuid_id(device.device_profile_id)
        device.join_eui = hex_id(device.join_eui or "00" * 8)
        return device

    def _keys(self, request: Any, caller: Caller) -> Any:
        if not request.HasField("device_keys"):
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "device_keys is missing")
        keys = request.device_keys
        keys.dev_eui = self._allowed(keys.dev_eui, caller, write=True)
        return keys

    def _allowed(self, dev_eui: str, caller: Caller, *, write: bool) -> str:
        """The DevEUI in lower case, if the caller may read or change this device."""
        dev_eui = hex_id(dev_eui)
        allow(caller, self._registry.tenant_of("device", dev_eui), write=write)
        return dev_eui

    def _changed(self) -> Empty:
        self._devnet.changed()
        return Empty()

    def _times(self, message: Any, created_ns: int, updated_ns: int) -> None:
        message.created_at.CopyFrom(events.timestamp(created_ns))
        message.updated_at.CopyFrom(events.timestamp(updated_ns))

    def _seen(self, message: Any, dev_eui: str) -> None:
        """last_seen_at and device_status, where the device has been heard and has told its status."""
        last_seen_ns, margin, battery = self._registry.radio(dev_eui)
        if last_seen_ns is not None:
            message.last_seen_at.CopyFrom(events.timestamp(last_seen_ns))
        if margin is not None and battery is not None:
            known = 0 < battery < 255
            message.device_status.margin = margin
            message.device_status.external_power_source = battery == 0
            message.device_status.battery_level = round(battery / 254 * 100, 2) if known else -1
