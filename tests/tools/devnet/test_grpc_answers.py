"""Each call recorded from ChirpStack 4.20 (grpc-answers.json) is made to devnet and must have the same code and text."""

import json

import devnet_recorded as recorded
import grpc
import pytest
from chirpstack_api import api

from tools.devnet.devnet import Devnet
from tools.devnet.grpc_server import Server

ANSWERS = json.loads((recorded.VECTORS / "grpc-answers.json").read_text())
UNKNOWN = "ff" * 8
NO_UUID = "00000000-0000-0000-0000-000000000000"
DEV, KEYLESS = "0102030405060708", "0102030405060709"
# Two records do not say what their titles say; ChirpStack's source (4.20) decides:
# the first is the answer of the Create that the recorder made before it (storage/device_keys.rs: NotFound);
# the second read a device of the key's own tenant (api/auth/validator.rs, ValidateDeviceAccess).
CORRECTED = {
    "Device.GetKeys, device without keys": ("NOT_FOUND", f"Object does not exist (id: {KEYLESS})"),
    "with a tenant's API key: Device.Get of another tenant": ("UNAUTHENTICATED", ""),
}


class Client:
    """Stubs over one channel, with a token for each kind of caller."""

    def __init__(self, devnet, port):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.device = api.DeviceServiceStub(self.channel)
        self.tenant = api.TenantServiceStub(self.channel)
        self.application = api.ApplicationServiceStub(self.channel)
        self.profile = api.DeviceProfileServiceStub(self.channel)
        self.gateway = api.GatewayServiceStub(self.channel)
        self.internal = api.InternalServiceStub(self.channel)
        jwt = self.internal.Login(api.LoginRequest(email="admin", password="admin")).jwt
        self.admin = [("authorization", f"Bearer {jwt}")]
        self.tenant_id, self.application_id, self.profile_id = recorded.provision(devnet, DEV, "11" * 16)
        self.make_device(KEYLESS)
        self.other = self.tenant.Create(api.CreateTenantRequest(tenant={"name": "Autre"}), metadata=self.admin).id

    def make_device(self, dev_eui, **change):
        fields = {
            "dev_eui": dev_eui,
            "name": "x",
            "application_id": self.application_id,
            "device_profile_id": self.profile_id,
        }
        self.device.Create(api.CreateDeviceRequest(device=fields | change), metadata=self.admin)

    def key(self, **fields):
        made = self.internal.CreateApiKey(api.CreateApiKeyRequest(api_key={"name": "k"} | fields), metadata=self.admin)
        return [("authorization", f"Bearer {made.token}")]

    def enqueue(self, dev_eui=DEV, f_port=10, data=b"\1", metadata=None):
        item = {"dev_eui": dev_eui, "f_port": f_port, "data": data}
        return self.device.Enqueue(api.EnqueueDeviceQueueItemRequest(queue_item=item), metadata=metadata or self.admin)


@pytest.fixture
def devnet(tmp_path):
    d = Devnet(tmp_path / "devnet.sqlite", "seed")
    yield d
    d.close()


@pytest.fixture
def client(devnet):
    server = Server(devnet)
    c = Client(devnet, server.port)
    yield c
    c.channel.close()
    server.stop(0)


def make_keys(c, dev_eui, key="22" * 16):
    keys = {"dev_eui": dev_eui, "nwk_key": key}
    c.device.CreateKeys(api.CreateDeviceKeysRequest(device_keys=keys), metadata=c.admin)


def make_gateway(c):
    gateway = {"gateway_id": "aa" * 8, "name": "g", "tenant_id": c.tenant_id, "stats_interval": 30}
    c.gateway.Create(api.CreateGatewayRequest(gateway=gateway), metadata=c.admin)


def twice(call, *args):
    call(*args)
    call(*args)


def make_profile(c, **fields):
    profile = {"name": "p", "tenant_id": c.tenant_id} | fields
    c.profile.Create(api.CreateDeviceProfileRequest(device_profile=profile), metadata=c.admin)


def get(c, dev_eui, metadata):
    c.device.Get(api.GetDeviceRequest(dev_eui=dev_eui), metadata=metadata)


CALLS = {
    "Device.Get without metadata": lambda c: get(c, DEV, None),
    "Device.Get with a bad token": lambda c: get(c, DEV, [("authorization", "Bearer bad")]),
    "Device.Create, DevEUI exists": lambda c: c.make_device(DEV),
    "Device.Create, name exists in the application": lambda c: c.make_device("aa" * 8, name="compteur-0042"),
    "Device.Create, DevEUI not hex": lambda c: c.make_device("zz" * 8),
    "Device.Create, DevEUI of 7 bytes": lambda c: c.make_device("aa" * 7),
    "Device.Create, empty name": lambda c: c.make_device("aa" * 8, name=""),
    "Device.Create, unknown application": lambda c: c.make_device("aa" * 8, application_id=NO_UUID),
    "Device.Create, unknown profile": lambda c: c.make_device("aa" * 8, device_profile_id=NO_UUID),
    "Device.CreateKeys, second time": lambda c: make_keys(c, DEV),
    "Device.CreateKeys, short key": lambda c: make_keys(c, KEYLESS, "22" * 15),
    "Device.CreateKeys, unknown device": lambda c: make_keys(c, UNKNOWN),
    "Device.GetKeys, device without keys": lambda c: c.device.GetKeys(
        api.GetDeviceKeysRequest(dev_eui=KEYLESS), metadata=c.admin
    ),
    "Device.Get, unknown": lambda c: get(c, UNKNOWN, c.admin),
    "Device.Delete, unknown": lambda c: c.device.Delete(api.DeleteDeviceRequest(dev_eui=UNKNOWN), metadata=c.admin),
    "Device.Enqueue, unknown device": lambda c: c.enqueue(UNKNOWN),
    "Device.Enqueue, fPort 0": lambda c: c.enqueue(f_port=0),
    "Device.Enqueue, fPort 256": lambda c: c.enqueue(f_port=256),
    "Device.Enqueue, no data": lambda c: c.enqueue(data=b""),
    "Device.Enqueue, 300 bytes": lambda c: c.enqueue(data=bytes(300)),
    "Device.Enqueue, device never activated": lambda c: c.enqueue(KEYLESS),
    "Device.Enqueue, no queue item": lambda c: c.device.Enqueue(api.EnqueueDeviceQueueItemRequest(), metadata=c.admin),
    "Device.GetQueue, unknown device": lambda c: c.device.GetQueue(
        api.GetDeviceQueueItemsRequest(dev_eui=UNKNOWN), metadata=c.admin
    ),
    "Device.FlushDevNonces, unknown device": lambda c: c.device.FlushDevNonces(
        api.FlushDevNoncesRequest(dev_eui=UNKNOWN), metadata=c.admin
    ),
    "Tenant.Get, unknown": lambda c: c.tenant.Get(api.GetTenantRequest(id=NO_UUID), metadata=c.admin),
    "Tenant.Get, not a UUID": lambda c: c.tenant.Get(api.GetTenantRequest(id="x"), metadata=c.admin),
    "Tenant.Create, same name twice": lambda c: c.tenant.Create(
        api.CreateTenantRequest(tenant={"name": "Ville"}), metadata=c.admin
    ),
    "Application.Create, unknown tenant": lambda c: c.application.Create(
        api.CreateApplicationRequest(application={"name": "a", "tenant_id": NO_UUID}), metadata=c.admin
    ),
    "DeviceProfile.Create, no region": make_profile,
    "DeviceProfile.Create, unknown ADR algorithm": lambda c: make_profile(c, adr_algorithm_id="nonesuch"),
    "Gateway.Create, exists": lambda c: twice(make_gateway, c),
    "Gateway.Get, unknown": lambda c: c.gateway.Get(api.GetGatewayRequest(gateway_id=UNKNOWN), metadata=c.admin),
    "Internal.Login, wrong password": lambda c: c.internal.Login(api.LoginRequest(email="admin", password="no")),
    "Device.List, no application": lambda c: c.device.List(api.ListDevicesRequest(limit=10), metadata=c.admin),
    "with a tenant's API key: Tenant.List": lambda c: c.tenant.List(
        api.ListTenantsRequest(limit=10), metadata=c.key(tenant_id=c.tenant_id)
    ),
    "with a read-only tenant key: Device.Enqueue": lambda c: c.enqueue(
        metadata=c.key(tenant_id=c.tenant_id, is_read_only=True)
    ),
    "with a tenant's API key: Device.Get of another tenant": lambda c: get(c, DEV, c.key(tenant_id=c.other)),
}


def outcome(call, client):
    try:
        call(client)
    except grpc.RpcError as e:
        return e.code().name, e.details()
    return "OK", ""


@pytest.mark.parametrize("record", ANSWERS, ids=lambda r: r["call"])
def test_answer_is_chirpstacks(record, client):
    expected = CORRECTED.get(record["call"], (record["code"], record.get("details", "")))
    assert outcome(CALLS[record["call"]], client) == expected


def test_scopes_of_api_keys(client):
    read_only = client.key(tenant_id=client.tenant_id, is_read_only=True)
    of_tenant, of_admin = client.key(tenant_id=client.tenant_id), client.key(is_admin=True)
    admin_read_only = client.key(is_admin=True, is_read_only=True)
    for key in (read_only, of_tenant, of_admin, admin_read_only):
        get(client, DEV, key)
    client.enqueue(metadata=of_tenant)
    client.enqueue(metadata=of_admin)
    client.tenant.List(api.ListTenantsRequest(limit=10), metadata=of_admin)
    refused = ("UNAUTHENTICATED", "")
    assert outcome(lambda c: c.enqueue(metadata=admin_read_only), client) == refused
    assert outcome(lambda c: c.tenant.Create(api.CreateTenantRequest(tenant={}), metadata=of_tenant), client) == refused
    listed = client.internal.ListApiKeys(api.ListApiKeysRequest(limit=10, is_admin=True), metadata=client.admin)
    assert listed.total_count == 2
    for key in listed.result:
        client.internal.DeleteApiKey(api.DeleteApiKeyRequest(id=key.id), metadata=client.admin)
    assert outcome(lambda c: get(c, DEV, of_admin), client) == refused


def test_what_is_not_served_says_so(client):
    assert outcome(lambda c: c.device.GetMetrics(api.GetDeviceMetricsRequest(), metadata=c.admin), client)[0] == (
        "UNIMPLEMENTED"
    )
    users = api.UserServiceStub(client.channel)
    assert outcome(lambda c: users.List(api.ListUsersRequest(), metadata=c.admin), client)[0] == "UNIMPLEMENTED"


def test_queue_is_listed_and_flushed(client):
    first, second = client.enqueue(data=b"a").id, client.enqueue(data=b"b").id
    request = api.GetDeviceQueueItemsRequest(dev_eui=DEV)
    assert [(i.id, i.data) for i in client.device.GetQueue(request, metadata=client.admin).result] == [
        (first, b"a"),
        (second, b"b"),
    ]
    client.device.FlushQueue(api.FlushDeviceQueueRequest(dev_eui=DEV), metadata=client.admin)
    assert client.device.GetQueue(request, metadata=client.admin).total_count == 0


def test_lists_come_by_page(client):
    devices = client.device.List(
        api.ListDevicesRequest(limit=1, offset=1, application_id=client.application_id), metadata=client.admin
    )
    assert (devices.total_count, [d.dev_eui for d in devices.result]) == (2, [KEYLESS])
    profiles = client.profile.List(
        api.ListDeviceProfilesRequest(limit=10, tenant_id=client.tenant_id), metadata=client.admin
    )
    assert [p.name for p in profiles.result] == ["class-a-eu868"]


def test_changes_wait_for_the_worlds_stop_when_not_paced(client, devnet):
    devnet.paced = False
    item = client.enqueue().id
    client.make_device("aa" * 8, name="new")
    request = api.GetDeviceQueueItemsRequest(dev_eui=DEV)
    assert [i.id for i in client.device.GetQueue(request, metadata=client.admin).result] == [item]
    assert devnet.core._devices[DEV].queue == []
    assert "aa" * 8 not in devnet.core._devices
    assert devnet.apply_pending() == [DEV, "aa" * 8]
    assert [i.id for i in devnet.core._devices[DEV].queue] == [item]
    assert "aa" * 8 in devnet.core._devices


def test_an_activation_is_shown(client):
    empty = client.device.GetActivation(api.GetDeviceActivationRequest(dev_eui=DEV), metadata=client.admin)
    assert not empty.HasField("device_activation")
    activation = {"dev_eui": DEV, "dev_addr": "01020304", "app_s_key": "33" * 16, "f_cnt_up": 7}
    activation |= dict.fromkeys(("nwk_s_enc_key", "s_nwk_s_int_key", "f_nwk_s_int_key"), "44" * 16)
    client.device.Activate(api.ActivateDeviceRequest(device_activation=activation), metadata=client.admin)
    got = client.device.GetActivation(api.GetDeviceActivationRequest(dev_eui=DEV), metadata=client.admin)
    assert (got.device_activation.dev_addr, got.device_activation.f_cnt_up) == ("01020304", 7)
