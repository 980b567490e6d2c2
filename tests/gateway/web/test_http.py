"""The page's server by real HTTP: who sees what, with which headers; events; what is refused. InfluxDB is away here."""

import gzip
import http.client
import json
import re
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlencode

import pytest
import structlog
from vigie import settings as config
from vigie.errors import SettingsError
from vigie.points import Point
from vigie.web import live
from vigie.web.account import set_password
from vigie.web.site import Site

from tests.gateway.support import wait_until

PASSWORD = "open, please"
DEV = "00000000000000a1"
MACHINES = {"/metrics": lambda: (200, "text/plain", b"up 1\n"), "/readyz": lambda: (503, "text/plain", b"why not\n")}


def settings(folder, port=0, zone="Europe/Paris"):
    found = config.validated({}, {}, folder / "vigie.toml", folder)
    token = folder / "read.token"
    token.write_text("a-secret-token")
    return found.model_copy(
        update={
            "http": config.Http(port=port),
            "influxdb": found.influxdb.model_copy(update={"url": "http://127.0.0.1:9"}),
            "water": found.water.model_copy(update={"time_zone": zone}),
        }
    )


@contextmanager
def running(folder):
    site = Site(settings(folder), MACHINES)
    site.start()
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("vigie.web.account._N", 2**5)


@pytest.fixture
def site(tmp_path, quick):
    set_password(tmp_path / "web.password", PASSWORD)
    with running(tmp_path) as made:
        yield made


class Client:
    def __init__(self, site):
        self.port, self.cookies = site.port, {}

    def ask(self, path, method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        given = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **headers}
        if body is not None:
            given["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in given.items()})
        answer = connection.getresponse()
        answer.text = answer.read()
        connection.close()
        for name, value in answer.getheaders():
            if name == "set-cookie":
                self.cookies.update([value.partition(";")[0].split("=", 1)])
        return answer

    def sign_in(self, password=PASSWORD, **headers):
        return self.ask("/sign-in", "POST", urlencode({"password": password, "next": "/nodes/x?days=7"}), **headers)


@pytest.fixture
def client(site):
    return Client(site)


def test_machines_ask_without_a_password(client):
    assert client.ask("/metrics").text == b"up 1\n"
    assert (client.ask("/readyz").status, client.ask("/readyz").text) == (503, b"why not\n")


@pytest.mark.parametrize("path", ["/", "/?q=a", f"/nodes/{DEV}"])
def test_pages_need_a_session(client, path):
    answer = client.ask(path)
    assert (answer.status, answer.getheader("location").split("?")[0]) == (303, "/sign-in")
    client.cookies["vigie_session"] = "made-up"
    assert client.ask(path).status == 303
    assert client.ask("/live").status == 401


def test_signing_in_and_out(client):
    answer = client.sign_in()
    assert (answer.status, answer.getheader("location")) == (303, "/nodes/x?days=7")
    cookie = answer.getheader("set-cookie").lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie and "secure" not in cookie
    assert client.ask("/").status == 200
    token = client.cookies["vigie_session"]
    assert client.ask("/sign-out", "POST", "").status == 303
    client.cookies["vigie_session"] = token
    assert client.ask("/").status == 303  # over on this side too


def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_only(client):
    answer = client.sign_in(
        X_Forwarded_Proto="https", X_Forwarded_For="192.0.2.7", Host="vigie.example", Origin="https://vigie.example"
    )
    assert answer.status == 303
    assert "secure" in answer.getheader("set-cookie").lower()


def test_wrong_passwords_are_told_and_slowed_down_by_address(client):
    for _ in range(5):
        answer = client.sign_in("close, please", X_Forwarded_For="192.0.2.7")
        assert answer.status == 403
        assert b"This is not the password" in answer.text
    slowed = client.sign_in(X_Forwarded_For="192.0.2.7")
    assert (slowed.status, 1 <= int(slowed.getheader("retry-after")) <= 10) == (429, True)
    assert client.sign_in(X_Forwarded_For="192.0.2.8").status == 303


def test_forms_of_other_sites_and_long_ones_are_refused(client):
    assert client.sign_in(Origin="https://elsewhere.example").status == 403
    assert client.sign_in(Origin="null").status == 403
    assert client.ask("/sign-in", "POST", "password=" + "x" * 9000).status == 413
    assert client.ask("/sign-in", "POST", b"\xff\xfe").status == 400
    assert client.ask("/sign-in", "POST", "&".join(f"a{n}=1" for n in range(20))).status == 400


def test_nothing_else_can_be_sent(client):
    client.sign_in()
    for path in ("/", f"/nodes/{DEV}", "/live", "/preferences", "/metrics", "/static/vigie.css"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert client.ask(path, method, "").status == 405, (method, path)


@pytest.mark.parametrize("path", ["/sign-in", "/", "/nothing", "/metrics", "/static/vigie.js"])
def test_every_answer_is_closed_to_foreign_scripts(client, path):
    answer = client.ask(path)
    policy = answer.getheader("content-security-policy")
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.getheader("x-content-type-options") == "nosniff"
    kept = "public, max-age=31536000, immutable" if path.startswith("/static") else "no-store"
    assert answer.getheader("cache-control") == kept
    assert answer.getheader("server") is None


def test_no_page_has_a_script_or_a_style_in_it(client):
    client.sign_in()
    for path in ("/", "/nothing", "/sign-in"):
        text = client.ask(path).text.decode()
        assert "style=" not in text and "<style" not in text and " on" not in {part[:3] for part in text.split("<a ")}
        assert text.count("<script") == text.count("<script src=")


@pytest.mark.parametrize(
    "path", ["/static/../site.py", "/static/%2e%2e/site.py", "/static/", "/static/vendor", "/static/..%2fsite.py"]
)
def test_only_the_pages_own_files_are_served(client, path):
    assert client.ask(path).status == 404


@pytest.mark.parametrize(
    ("back", "to"),
    [
        ("/nodes/a?days=7&x=1", "/nodes/a?days=7&x=1"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("https://elsewhere.example", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("", "/"),
        ("/é", "/%C3%A9"),
    ],
)
def test_preferences_lead_back_and_nowhere_else(client, back, to):
    answer = client.ask("/preferences?" + urlencode({"lang": "fr", "theme": "x", "back": back}))
    assert (answer.status, answer.getheader("location")) == (303, to)
    assert client.cookies == {"vigie_lang": "fr"}
    assert b'<html lang="fr"' in client.ask("/sign-in").text


def test_pages_are_packed_for_who_can_unpack(client):
    client.sign_in()
    plain, packed = client.ask("/").text, client.ask("/", Accept_Encoding="gzip")
    assert packed.getheader("content-encoding") == "gzip"
    assert len(packed.text) < len(plain) / 2
    assert gzip.decompress(packed.text)[:15] == plain[:15]


def point(**fields):
    return Point(
        "raw", "link", "", DEV, {"dr": 5, "rssi": -80, "snr": 8.0, "gateways": 1, **fields}, 1_782_820_800 * 10**9
    )


def test_what_the_writer_stores_is_shown_though_influxdb_is_away(site, client):
    client.sign_in()
    site.stored([point()])
    text = client.ask("/").text.decode()
    assert f"/nodes/{DEV}" in text
    assert "InfluxDB does not answer" in text or "has not been read since" in text
    assert "a-secret-token" not in text
    node = client.ask(f"/nodes/{DEV.upper()}")
    assert node.status == 200
    assert "InfluxDB does not answer" in node.text.decode()
    assert client.ask("/nodes/00000000000000ff").status == 404
    assert client.ask("/nodes/%3Cscript%3E").text.count(b"<script>") == 0


def test_a_full_page_of_nodes_is_a_small_first_view(site, client):
    client.sign_in()
    site.stored([replace(point(), dev_eui=f"{number:016x}") for number in range(60)])
    paths = ["/", *re.findall(r'(?:src|href)="(/static/[^"]*)"', client.ask("/").text.decode())]
    assert len(paths) == 4
    assert client.ask("/").text.count(b"<tr id=") == 50
    sizes = [len(client.ask(path).text) for path in paths]
    print(f"first view of 50 nodes: {sum(sizes)} bytes before they are packed")
    assert sum(sizes) <= 150_000


def events(site, client, number):
    """The first `number` events of a stream, read by hand."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.request("GET", "/live", headers={"Cookie": f"vigie_session={client.cookies['vigie_session']}"})
    answer = connection.getresponse()
    assert answer.getheader("content-type").startswith("text/event-stream")
    try:
        while number > 0:
            line = answer.fp.readline()
            if line in (b"", b"0\r\n"):  # closed, or the last chunk
                return
            name = line.decode().strip()
            if name.startswith("event: "):
                yield name.removeprefix("event: "), json.loads(answer.fp.readline().decode().removeprefix("data: "))
                number -= 1
    finally:
        connection.close()


def test_news_reach_who_listens(site, client):
    client.sign_in()
    heard = events(site, client, 2)
    assert next(heard) == ("hello", {"version": 0})
    assert b'data-version="0"' in client.ask("/").text
    site.stored([point(), point()])
    assert next(heard) == ("news", {"nodes": [DEV]})
    assert b'data-version="1"' in client.ask("/").text
    heard.close()
    wait_until(lambda: site._hub.clients == 0, "who has gone is forgotten", 10)


def test_many_news_are_one_message_and_a_slow_reader_keeps_no_queue(site, client, monkeypatch):
    monkeypatch.setattr(site._hub, "_pace_s", 3)  # all 300 fall into one pace, whatever else the machine does
    client.sign_in()
    heard = events(site, client, 3)
    next(heard)
    site.stored([point()])
    next(heard)
    for number in range(300):
        site.stored([replace(point(), dev_eui=f"{number:016x}")])
    assert next(heard) == ("news", {"nodes": []})  # too many to name: the page reads its part again


def test_an_ended_session_ends_its_stream(site, client, monkeypatch):
    monkeypatch.setattr(site._hub, "_heartbeat_s", 0.1)
    client.sign_in()
    heard = events(site, client, 100)
    assert [next(heard)[0] for _ in range(2)] == ["hello", "beat"]
    client.ask("/sign-out", "POST", "")
    client.cookies["vigie_session"] = ""
    assert {name for name, _ in heard} <= {"beat"}  # and then no more
    wait_until(lambda: site._hub.clients == 0, "the stream ends", 10)


def test_more_listeners_than_the_gateway_bears_are_told(site, client, monkeypatch):
    monkeypatch.setattr(live, "MOST_CLIENTS", 1)
    client.sign_in()
    heard = events(site, client, 1)
    next(heard)
    answer = client.ask("/live")
    assert (answer.status, answer.getheader("retry-after")) == (503, "10")


def test_without_a_password_the_page_says_what_to_do(tmp_path, quick):
    with running(tmp_path) as site:
        client = Client(site)
        text = client.ask("/sign-in").text.decode()
        assert "run: vigie web password" in text
        assert '<input id="password"' not in text
        assert client.sign_in().status == 303
        assert client.ask("/").status == 303
        set_password(tmp_path / "web.password", PASSWORD)  # and a running gateway knows it at once
        client.sign_in()
        assert client.ask("/").status == 200


def test_the_log_has_no_secret(site, client):
    with structlog.testing.capture_logs() as lines:
        client.sign_in("close, please")
        client.sign_in()
    assert [(line["event"], line["address"]) for line in lines if "address" in line] == [
        ("wrong password", "127.0.0.1"),
        ("signed in", "127.0.0.1"),
    ]
    text = str(lines)
    assert PASSWORD not in text and "close" not in text and client.cookies["vigie_session"] not in text


def test_a_port_that_is_taken_and_a_zone_that_is_none_are_one_line(site, tmp_path):
    with pytest.raises(SettingsError, match=rf"http: 127\.0\.0\.1:{site.port}: Address already in use.*\[http\]"):
        Site(settings(tmp_path, site.port), MACHINES)
    with pytest.raises(SettingsError, match=r"\[water\] time_zone: there is no 'Europe/Paname'"):
        Site(settings(tmp_path, zone="Europe/Paname"), MACHINES)


def test_a_defect_in_a_page_is_logged_and_not_shown(site, client, monkeypatch):
    client.sign_in()
    monkeypatch.setattr(site._app._pages, "nodes", lambda *_: 1 / 0)
    with structlog.testing.capture_logs() as lines:
        answer = client.ask("/")
    assert (answer.status, b"ZeroDivision" in answer.text) == (500, False)
    # beside it the page's first look at a database that is not there may be told
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["defect in the page"]
