"""The broker behind TLS with client certificates: the gateway's session and the world's LoRa gateways, both by the same files."""

import datetime as dt
import ipaddress
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from vigie.errors import BrokerError, SettingsError
from vigie.ingest import Session
from vigie.settings import Mqtt

from tests.gateway.support import wait_until
from tools.run import servers
from tools.run.external import reach_broker
from tools.setup.say import Problem
from tools.world.forwarder import Broker

MESSAGES = 300
TOPIC = "application/a/device/b/event/up"


def signed(folder, name, issuer=None):
    """A certificate for loopback and its key as PEM files; by itself, or by an issuer (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer[1] if issuer else key).public_key()),
            critical=False,
        )
        .add_extension(x509.KeyUsage(*(True,) + (False,) * 4 + (issuer is None,) * 2 + (False,) * 2), critical=True)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(text)
    return made, key


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    authority = signed(folder, "authority")
    for name in ("broker", "client"):
        signed(folder, name, authority)
    signed(folder, "stranger")
    return folder


@pytest.fixture(scope="module")
def port(files):
    """A Mosquitto that takes only those whom the authority has signed."""
    broker = servers.start_mosquitto(files / "mosquitto")
    broker.stop()
    config = files / "mosquitto" / "mosquitto.conf"
    lines = [f"cafile {files}/authority.pem", f"certfile {files}/broker.pem", f"keyfile {files}/broker.key"]
    listener, rest = config.read_text().split("\n", 1)
    config.write_text("\n".join([listener, *lines, "require_certificate true", rest]))
    command = [str(servers.places.MOSQUITTO), "-c", str(config)]
    server = servers.Server("mosquitto", files / "mosquitto", command, stop_signal=servers.signal.SIGTERM)
    server.await_ready(lambda: "running" in server.log_text() or "Opening" in server.log_text())
    time.sleep(0.1)
    yield broker.port
    server.stop()


def settings(port, files, **other):
    names = {"ca_file": "authority.pem", "cert_file": "client.pem", "key_file": "client.key"} | other
    paths = {name: files / value for name, value in names.items() if value}
    return Mqtt(port=port, tls=True, client_id="tls", topic="application/+/device/+/event/+", **paths)


def test_messages_pass_in_bursts(port, files):
    session = Session(settings(port, files), keep=False)
    session.subscribe()
    wait_until(lambda: session.read() == [] and session.subscribed, "SUBACK", 10)
    broker = Broker(
        "127.0.0.1", port, None, None, True, files / "authority.pem", files / "client.pem", files / "client.key"
    )
    sender = broker.client("sender")
    connected = threading.Event()
    sender.on_connect = lambda *_: connected.set()
    sender.max_inflight_messages_set(0)
    sender.connect("127.0.0.1", port)
    sender.loop_start()
    assert connected.wait(10)
    for number in range(MESSAGES):
        sender.publish(TOPIC, b"%d " % number + bytes(200), qos=1)
    got = []

    def all_there():
        messages = session.read()
        session.acknowledge(messages)
        got.extend(bytes(each.payload).split(b" ")[0] for each in messages)
        return len(got) >= MESSAGES

    wait_until(all_there, lambda: f"{len(got)} of {MESSAGES}", 20)
    assert got == [b"%d" % number for number in range(MESSAGES)]
    session.leave()
    sender.disconnect()
    sender.loop_stop()


# paho leaves the socket of a handshake that failed to the garbage collector, which closes it and says so
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_a_broker_of_another_authority_is_refused(port, files):
    with pytest.raises(BrokerError, match="certificate verify failed"):
        Session(settings(port, files, ca_file="stranger.pem"), keep=False)
    with pytest.raises(Problem, match=r"certificate verify failed.*check \[mqtt\] host, port and TLS"):
        reach_broker(Broker("127.0.0.1", port, tls=True, ca_file=files / "stranger.pem"))


def test_a_client_that_the_broker_does_not_know_is_told(port, files):
    with pytest.raises(BrokerError):
        Session(settings(port, files, cert_file="stranger.pem", key_file="stranger.key"), keep=False)
    with pytest.raises(Problem, match=r"^broker at 127\.0\.0\.1"):
        reach_broker(Broker("127.0.0.1", port, tls=True, ca_file=files / "authority.pem"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ca_file": "nothing.pem"}, r"\[mqtt\] ca_file: .*nothing.pem: No such file"),
        ({"key_file": "stranger.key"}, r"\[mqtt\] cert_file and key_file: .*client.pem: "),
    ],
)
def test_a_file_of_no_use_is_named(port, files, wrong, said):
    with pytest.raises(SettingsError, match=said):
        Session(settings(port, files, **wrong), keep=False)
