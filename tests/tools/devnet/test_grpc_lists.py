"""Lists, gateways and codecs over gRPC as ChirpStack 4.20 has them (api/*.rs, storage/*.rs)."""

import grpc
import pytest
from chirpstack_api import api
from chirpstack_api.gw import gw_pb2 as gw
from devnet_node import DEV, GATEWAY, START_NS, Node, network_server

from tools.devnet.grpc_server import Server

NO_UUID = "00000000-0000-0000-0000-000000000000"


class Client:
    """Every stub, called as the admin."""

    def __init__(self, devnet, port):
        self.devnet = devnet
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        jwt = api.InternalServiceStub(self.channel).Login(api.LoginRequest(email="admin", password="admin")).jwt
        self.admin = [("authorization", f"Bearer {jwt}")]
        device = devnet.registry.get("device", DEV).message
        self.application_id, self.profile_id = device.application_id, device.device_profile_id
        self.tenant_id = devnet.registry.get("application", self.application_id).message.tenant_id

    def call(self, service, method, message, **fields):
        stub = getattr(api, f"{service}ServiceStub")(self.channel)
        return getattr(stub, method)(getattr(api, message)(**fields), metadata=self.admin)

    def refused(self, *args, **fields):
        with pytest.raises(grpc.RpcError) as caught:
            self.call(*args, **fields)
        return caught.value.code().name, caught.value.details()

    def device(self, number, **fields):
        device = {
            "dev_eui": f"{number:016x}",
            "application_id": self.application_id,
            "device_profile_id": self.profile_id,
        }
        self.call("Device", "Create", "CreateDeviceRequest", device=device | fields)

    def gateway(self, gateway_id, method="Create", **fields):
        message = {"gateway_id": gateway_id, "name": "g", "tenant_id": self.tenant_id, "stats_interval": 30} | fields
        return self.call("Gateway", method, f"{method}GatewayRequest", gateway=message)

    def devices(self, **fields):
        asked = {"application_id": self.application_id, "limit": 10} | fields
        found = self.call("Device", "List", "ListDevicesRequest", **asked)
        return found.total_count, [d.name for d in found.result]

    def gateways(self, **fields):
        found = self.call("Gateway", "List", "ListGatewaysRequest", **({"limit": 10} | fields))
        return found.total_count, [g.gateway_id[:2] for g in found.result]


@pytest.fixture
def client():
    devnet = network_server()
    server = Server(devnet)
    c = Client(devnet, server.port)
    yield c
    c.channel.close()
    server.stop(0)
    devnet.close()


def test_devices_by_page_search_order_profile_and_tags(client):
    client.device(3, name="Bac-b", tags={"kind": "bin", "line": "7"})
    client.device(1, name="bac-c", tags={"kind": "bin"})
    client.device(2, name="air_a")
    assert client.devices() == (4, ["Bac-b", "air_a", "bac-c", "compteur-0042"])
    assert client.devices(limit=0) == (4, [])
    assert client.devices(limit=2, offset=1) == (4, ["air_a", "bac-c"])
    assert client.devices(offset=9) == (4, [])
    assert client.devices(search="BAC") == (2, ["Bac-b", "bac-c"])
    assert client.devices(search="BAC", limit=1, offset=1) == (2, ["bac-c"])
    assert client.devices(order_by_desc=True)[1] == ["compteur-0042", "bac-c", "air_a", "Bac-b"]
    by = api.ListDevicesRequest
    assert client.devices(order_by=by.DEV_EUI)[1] == ["bac-c", "air_a", "Bac-b", "compteur-0042"]
    assert client.devices(tags={"kind": "bin"}) == (2, ["Bac-b", "bac-c"])
    assert client.devices(tags={"kind": "bin", "line": "7"}) == (1, ["Bac-b"])
    assert client.devices(tags={"kind": "it's"}) == (0, [])
    profile = {"name": "0", "tenant_id": client.tenant_id}
    other = client.call("DeviceProfile", "Create", "CreateDeviceProfileRequest", device_profile=profile).id
    client.device(5, name="z", device_profile_id=other)
    assert client.devices(device_profile_id=other) == (1, ["z"])
    assert client.devices(order_by=by.DEVICE_PROFILE_NAME)[1][0] == "z"


def test_devices_by_last_seen_never_seen_first(client):
    client.device(1, name="never")
    client.device(2, name="late", skip_fcnt_check=False)
    for number, dev_eui in enumerate((DEV, f"{2:016x}")):
        client.call(
            "Device",
            "CreateKeys",
            "CreateDeviceKeysRequest",
            device_keys={"dev_eui": f"{2:016x}", "nwk_key": "26bb77745b3181ebd862e6a7c213b480"},
        ) if number else None
        node = Node(client.devnet, dev_eui, now_ns=START_NS + number * 10**12)
        node.join()
        node.up(0)
    by = api.ListDevicesRequest.LAST_SEEN_AT
    assert client.devices(order_by=by)[1] == ["never", "compteur-0042", "late"]
    assert client.devices(order_by=by, order_by_desc=True)[1] == ["late", "compteur-0042", "never"]


def test_gateways_live(client):
    client.gateway(
        "AA" * 8,
        name="toit",
        description="d",
        location={"latitude": 48.1, "altitude": 1.1, "accuracy": 5},
        tags={"k": "v"},
        metadata={"x": "y"},
    )
    got = client.call("Gateway", "Get", "GetGatewayRequest", gateway_id="aa" * 8)
    assert got.gateway.downlink_priority == 10
    assert (got.gateway.location.latitude, got.gateway.location.accuracy) == (48.1, 0)
    assert got.gateway.location.altitude == pytest.approx(1.1, abs=1e-6)
    assert got.gateway.location.altitude != 1.1  # ChirpStack stores single precision
    assert (dict(got.gateway.tags), dict(got.gateway.metadata)) == ({"k": "v"}, {})
    assert not got.HasField("last_seen_at")
    client.gateway("aa" * 8, "Update", name="mât", downlink_priority=3, tenant_id="")
    got = client.call("Gateway", "Get", "GetGatewayRequest", gateway_id="aa" * 8).gateway
    assert (got.name, got.downlink_priority, got.tenant_id) == ("mât", 3, client.tenant_id)
    assert got.HasField("location")
    assert got.location.latitude == 0
    client.call("Gateway", "Delete", "DeleteGatewayRequest", gateway_id="aa" * 8)
    missing = ("NOT_FOUND", f"Object does not exist (id: {'aa' * 8})")
    assert client.refused("Gateway", "Get", "GetGatewayRequest", gateway_id="aa" * 8) == missing
    assert client.refused("Gateway", "GetMetrics", "GetGatewayMetricsRequest", gateway_id=GATEWAY)[0] == "UNIMPLEMENTED"


def test_a_gateways_state_follows_its_stats(client):
    client.devnet.now_ns = lambda: START_NS + 60 * 10**9
    for gateway_id in ("aa", "bb", "cc"):
        client.gateway(gateway_id * 8, name=gateway_id)
    client.devnet.stats(gw.GatewayStats(gateway_id="bb" * 8, metadata={"region_config_id": "eu868"}), START_NS)
    client.devnet.stats(gw.GatewayStats(gateway_id="cc" * 8), START_NS - 1)
    asked = {"limit": 10, "order_by": api.ListGatewaysRequest.LAST_SEEN_AT, "order_by_desc": True}
    found = client.call("Gateway", "List", "ListGatewaysRequest", **asked).result[:2]
    assert [(g.gateway_id[:2], g.state) for g in found] == [("bb", api.ONLINE), ("cc", api.OFFLINE)]
    assert dict(found[0].properties) == {"region_config_id": "eu868"}
    never = client.call("Gateway", "List", "ListGatewaysRequest", limit=1, search="aa").result[0]
    assert (never.state, never.HasField("last_seen_at"), never.HasField("location")) == (api.NEVER_SEEN, False, True)
    got = client.call("Gateway", "Get", "GetGatewayRequest", gateway_id="bb" * 8)
    assert got.last_seen_at.ToNanoseconds() == START_NS
    assert dict(got.gateway.metadata) == {"region_config_id": "eu868"}


def test_gateways_by_page_search_order_and_tenant(client):
    other = client.call(
        "Tenant", "Create", "CreateTenantRequest", tenant={"name": "Autre", "can_have_gateways": True}
    ).id
    client.gateway("ee" * 8, name="nord", tenant_id=other)
    client.gateway("dd" * 8, name="Nord-2", tenant_id=other)
    assert client.gateways(tenant_id=other) == (2, ["dd", "ee"])
    assert client.gateways(search="NORD", order_by=api.ListGatewaysRequest.GATEWAY_ID, order_by_desc=True) == (
        2,
        ["ee", "dd"],
    )
    assert client.gateways(search="nord", limit=1, offset=1) == (2, ["ee"])
    assert client.gateways(limit=0) == (6, [])
    assert client.gateways()[0] == 6


def test_tenants_applications_and_profiles_by_page_and_search(client):
    for name in ("b", "A", "c"):
        client.call("Tenant", "Create", "CreateTenantRequest", tenant={"name": name, "max_device_count": 7})
        client.call(
            "Application",
            "Create",
            "CreateApplicationRequest",
            application={"name": name, "tenant_id": client.tenant_id},
        )
        client.call(
            "DeviceProfile",
            "Create",
            "CreateDeviceProfileRequest",
            device_profile={"name": name, "tenant_id": client.tenant_id},
        )
    tenants = client.call("Tenant", "List", "ListTenantsRequest", limit=2, offset=1)
    assert (tenants.total_count, [t.name for t in tenants.result]) == (4, ["Ville", "b"])
    for service, message in (
        ("Application", "ListApplicationsRequest"),
        ("DeviceProfile", "ListDeviceProfilesRequest"),
    ):
        page = client.call(service, "List", message, limit=2, tenant_id=client.tenant_id)
        assert (page.total_count, [x.name for x in page.result]) == (4, ["A", "b"])
        found = client.call(service, "List", message, limit=9, search="C", tenant_id=client.tenant_id)
        assert all("c" in x.name.lower() for x in found.result)
        assert found.total_count == len(found.result) > 0
        assert client.refused(service, "List", message, limit=1) == ("INVALID_ARGUMENT", "invalid length: found 0")
    of_all = client.call("DeviceProfile", "List", "ListDeviceProfilesRequest", limit=9, global_only=True)
    assert of_all.total_count == 0  # devnet has none without a tenant


def test_filters_that_devnet_does_not_have_say_so(client):
    for service, message, name in (
        ("Device", "ListDevicesRequest", "multicast_group_id"),
        ("Gateway", "ListGatewaysRequest", "multicast_group_id"),
        ("Tenant", "ListTenantsRequest", "user_id"),
    ):
        refusal = ("UNIMPLEMENTED", f"devnet cannot filter by {name}; leave it out")
        assert client.refused(service, "List", message, **{name: NO_UUID}) == refusal


def test_names_and_limits(client):
    invalid = "Validation error: name is not set"
    assert client.refused("Tenant", "Create", "CreateTenantRequest", tenant={}) == ("INVALID_ARGUMENT", invalid)
    profile = {"tenant_id": client.tenant_id}
    twice = ("INVALID_ARGUMENT", f"Validation error: {invalid}")
    assert client.refused("DeviceProfile", "Create", "CreateDeviceProfileRequest", device_profile=profile) == twice
    gateway = {"gateway_id": "aa" * 8, "name": "g", "tenant_id": client.tenant_id}
    assert client.refused("Gateway", "Update", "UpdateGatewayRequest", gateway=gateway | {"gateway_id": GATEWAY}) == (
        "INVALID_ARGUMENT",
        "Validation error: downlink_priority must be > 0",
    )
    limits = {
        "id": client.tenant_id,
        "name": "Ville",
        "max_device_count": 1,
        "max_gateway_count": 4,
        "can_have_gateways": True,
    }
    client.call("Tenant", "Update", "UpdateTenantRequest", tenant=limits)
    full = "Not allowed (Max number of {} exceeded for tenant)"
    assert client.refused("Gateway", "Create", "CreateGatewayRequest", gateway=gateway) == (
        "INVALID_ARGUMENT",
        full.format("gateways"),
    )
    device = {"dev_eui": "aa" * 8, "application_id": client.application_id, "device_profile_id": client.profile_id}
    assert client.refused("Device", "Create", "CreateDeviceRequest", device=device) == (
        "INVALID_ARGUMENT",
        full.format("devices"),
    )
    client.call("Tenant", "Update", "UpdateTenantRequest", tenant=limits | {"can_have_gateways": False})
    none = ("INVALID_ARGUMENT", "Not allowed (Tenant can not have gateways)")
    assert client.refused("Gateway", "Create", "CreateGatewayRequest", gateway=gateway) == none


def test_a_downlink_given_as_an_object_goes_through_the_codec(client):
    def enqueue(**item):
        asked = api.EnqueueDeviceQueueItemRequest(queue_item={"dev_eui": DEV, "f_port": 7})
        asked.queue_item.object.update(item)
        return api.DeviceServiceStub(client.channel).Enqueue(asked, metadata=client.admin)

    def queue():
        return [
            (i.f_port, i.data)
            for i in client.call("Device", "GetQueue", "GetDeviceQueueItemsRequest", dev_eui=DEV).result
        ]

    enqueue(value=42)
    assert queue() == [(7, b"")]  # no codec: nothing, as in ChirpStack
    profile = client.devnet.registry.get("device_profile", client.profile_id).message
    profile.payload_codec_runtime = api.CodecRuntime.JS
    profile.payload_codec_script = (
        "function encodeDownlink(i) { if (i.data.no) throw new Error('no'); return {bytes: [i.data.value], fPort: 20} }"
    )
    client.call("DeviceProfile", "Update", "UpdateDeviceProfileRequest", device_profile=profile)
    enqueue(value=42)
    assert queue()[1:] == [(20, b"*")]
    with pytest.raises(grpc.RpcError) as caught:
        enqueue(no=True)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details().startswith("JS error: Error: no\n    at encodeDownlink (main:4:")
    profile.payload_codec_runtime = api.CodecRuntime.CAYENNE_LPP
    refusal = ("UNIMPLEMENTED", "devnet runs codecs in JavaScript only")
    assert client.refused("DeviceProfile", "Update", "UpdateDeviceProfileRequest", device_profile=profile) == refusal


def test_a_personalised_device_listens_where_its_profile_says(client):
    profile = client.devnet.registry.get("device_profile", client.profile_id).message
    profile.supports_otaa = False
    profile.abp_rx1_delay, profile.abp_rx1_dr_offset, profile.abp_rx2_dr, profile.abp_rx2_freq = 3, 2, 3, 868_300_000
    profile.flush_queue_on_activate = True
    client.call("DeviceProfile", "Update", "UpdateDeviceProfileRequest", device_profile=profile)
    client.call(
        "Device", "Enqueue", "EnqueueDeviceQueueItemRequest", queue_item={"dev_eui": DEV, "f_port": 1, "data": b"a"}
    )
    keys = dict.fromkeys(("nwk_s_enc_key", "s_nwk_s_int_key", "f_nwk_s_int_key"), "44" * 16)
    activation = {"dev_eui": DEV, "dev_addr": "01020304", "app_s_key": "33" * 16} | keys
    client.call("Device", "Activate", "ActivateDeviceRequest", device_activation=activation)
    assert client.call("Device", "GetQueue", "GetDeviceQueueItemsRequest", dev_eui=DEV).total_count == 0
    node = Node(client.devnet, DEV)
    node.session = 0x01020304, b"\x44" * 16, b"\x33" * 16
    items = node.up(0, confirmed=True).downlinks[0].items
    assert [(i.freq_hz, i.spreading_factor, i.delay_ns // 10**9) for i in items] == [
        (868_100_000, 9, 3),
        (868_300_000, 9, 4),
    ]
