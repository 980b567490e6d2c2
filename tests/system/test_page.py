"""The page in headless Chromium with readings flowing: bytes, accessibility, keyboard, live, and the pictures in docs/.

VIGIE_SCREENSHOTS=docs writes the pictures; without it they go to a folder of the test's and are only checked for being there.
"""

import calendar
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import sync_playwright

from tests.system.page_city import DEAF, LATE, NEVER, NS, PASSWORD, SEED, SILENT, UNREGISTERED, PageCity
from tools.setup import debian, places
from tools.world import equip

AXE = (places.NPM_PACKAGES / "axe-core" / "axe.min.js").read_text()
MOST_BYTES = 150_000
METER, BIN, AIR = 2, 1, 0
LOCALES = {"en": "en-GB", "fr": "fr-FR"}


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "var"
    folder.mkdir()
    with PageCity(folder) as made:
        yield made


@pytest.fixture(scope="module")
def chromium():
    program = debian.find("chromium")
    assert program is not None, "chromium is not there: make browser"
    with sync_playwright() as playwright:
        # as root in a container there is no sandbox to be had; the page is our own
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, city):
    """Opens a fresh browser; whatever the console complains of, or goes to another host, fails the test."""
    opened, complaints = [], []

    def open_page(lang="en", theme="light", *, signed_in=True, **options):
        context = chromium.new_context(
            locale=LOCALES[lang], color_scheme=theme, **{"viewport": {"width": 1240, "height": 800}, **options}
        )
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(city.url) else complaints.append(asked.url))
        if signed_in:
            sign_in(page, city)
        return page

    yield open_page
    for context in opened:
        context.close()
    # a wrong password, a page that is not there, an ended session and a gateway that is away are what tests do on purpose
    meant = re.compile(
        r"status of (401|403|404)|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET"
    )
    assert [text for text in complaints if not meant.search(text)] == []


def sign_in(page, city, password=PASSWORD):
    page.goto(f"{city.url}/")
    page.fill("#password", password)
    page.press("#password", "Enter")
    page.wait_for_selector("#nodes, [role=alert]")


def until(page, true, what, seconds=30):
    """As the page's own waiting would, which needs an eval that the page forbids."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        page.wait_for_timeout(100)


def eui(city, number):
    return city.sites[number].dev_eui


def row(page, city, number):
    return page.locator(f"#n{eui(city, number)}")


def findings(page):
    """What axe-core has to say: rules that are broken, nothing left out. By the debugger's door, which no CSP closes."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE})
    asked = {"expression": "axe.run(document)", "awaitPromise": True, "returnByValue": True}
    told = session.send("Runtime.evaluate", asked)["result"]["value"]
    session.detach()
    return [(one["id"], node["html"][:160]) for one in told["violations"] for node in one["nodes"]]


class Bytes:
    """What a page took from the network: as it came, and unpacked."""

    def __init__(self, page):
        self.packed, self.unpacked, self.hosts = 0, 0, set()
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        session.on("Network.loadingFinished", lambda event: self._add("packed", event["encodedDataLength"]))
        session.on("Network.dataReceived", lambda event: self._add("unpacked", event["dataLength"]))
        session.on("Network.requestWillBeSent", lambda event: self.hosts.add(urlparse(event["request"]["url"]).netloc))

    def _add(self, name, number):
        setattr(self, name, getattr(self, name) + number)


def test_every_state_is_told_in_words(visit, city):
    page = visit()
    assert page.locator("#nodes tbody tr").count() == len(city.sites)
    for number, words in (
        (SILENT, "silent since"),
        (LATE, "late since"),
        (NEVER, "never heard"),
        (UNREGISTERED, "not in the register"),
        (DEAF, "no value: no echo"),
        (METER, "leak suspected"),
        (METER, "weak"),
        (AIR, "on time"),
    ):
        assert words in row(page, city, number).inner_text(), number
    # and the shapes differ as the words do
    shapes = {
        page.locator(f"#nodes .shape.{name} > *").first.evaluate("one => one.outerHTML")
        for name in ("silent", "late", "never", "on_time")
    }
    assert len(shapes) == 4


def test_values_are_the_truths(visit, city):
    page = visit()
    site = city.sites[METER]
    home = equip.house(site, SEED, city.since * NS)
    midnight = city.until // 86_400 * 86_400 * NS
    litres = (home.pulse_count(midnight) - home.pulse_count(midnight - 86_400 * NS)) * home.litres_per_pulse
    assert f"{litres:,} L on" in row(page, city, METER).inner_text()
    page.goto(f"{city.url}/nodes/{site.dev_eui}?days=31")
    shown = page.locator("#series tbody td.value data").evaluate_all("all => all.map(one => Number(one.value))")
    days = [midnight - back * 86_400 * NS for back in range(1, 32)]
    assert shown == [
        (home.pulse_count(day + 86_400 * NS) - home.pulse_count(day)) * home.litres_per_pulse for day in days
    ]
    # nothing finer than a day: no count of the moment, no household
    assert page.locator("#series tbody time").evaluate_all(
        "all => all.every(one => one.dateTime.endsWith('T00:00:00Z'))"
    )
    page.goto(f"{city.url}/nodes/{eui(city, BIN)}")
    place = equip.bin_(city.sites[BIN], SEED)
    first = page.locator("#series tbody tr").first
    at = first.locator("time").get_attribute("datetime")
    level = place.level_mm(calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ")) * NS)
    assert (
        first.locator("data").get_attribute("value")
        == f"{round(100 * (place.depth_mm - level) / (place.depth_mm - 120)):.1f}"
    )


@pytest.mark.parametrize("path", ["/", "node"])
def test_a_first_view_is_small_and_asks_nobody_else(visit, city, path):
    page = visit()
    taken = Bytes(page)
    page.goto(city.url + (f"/nodes/{eui(city, METER)}" if path == "node" else path))
    page.wait_for_selector("#live[data-state=on]")
    page.wait_for_timeout(300)
    print(f"first view of {path}: {taken.packed} bytes, unpacked {taken.unpacked}")
    assert taken.hosts == {urlparse(city.url).netloc}
    assert 1000 < taken.packed <= MOST_BYTES
    assert taken.unpacked <= MOST_BYTES


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("lang", ["en", "fr"])
def test_axe_finds_nothing(visit, city, lang, theme):
    page = visit(lang, theme, signed_in=False)
    page.goto(f"{city.url}/")
    assert page.locator("html").get_attribute("lang") == lang
    assert findings(page) == []
    sign_in(page, city, "not the password at all")
    assert findings(page) == []
    sign_in(page, city)
    addresses = [
        "/",
        "/?q=nothing-has-this",
        "/no-such-page",
        *(f"/nodes/{eui(city, number)}" for number in (METER, BIN, AIR, NEVER, DEAF)),
    ]
    for address in addresses:
        page.goto(city.url + address)
        if page.locator("details").count():
            page.locator("details").evaluate("one => one.open = true")
        assert (address, findings(page)) == (address, [])


def test_the_checker_would_find_something(visit):
    page = visit()
    page.evaluate("document.getElementById('q').removeAttribute('id')")
    page.evaluate("document.querySelector('.found').style.color = '#ccc'")
    assert {name for name, _ in findings(page)} >= {"label", "color-contrast"}


def test_a_keyboard_is_enough(visit, city):
    page = visit(signed_in=False)
    page.goto(f"{city.url}/nodes/{eui(city, BIN)}")  # sent to the sign-in, and back afterwards
    focused = "document.activeElement"
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate(f"{focused}.id") == "password":
            break
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#series", state="attached")
    assert page.url.endswith(eui(city, BIN))
    page.goto(f"{city.url}/")
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    assert page.evaluate(f"{focused}.getBoundingClientRect().left") == 0  # seen once it has the focus
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(f"document.getElementById('main').contains({focused})")
    seen = []
    for _ in range(40):
        style = page.evaluate(f"getComputedStyle({focused}).outlineStyle")
        name = page.evaluate(f"{focused}.id || {focused}.getAttribute('href') || {focused}.tagName")
        assert style != "none", f"{name} has the focus and does not show it"
        seen.append(name)
        if name == "q":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("bin-0001")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=bin-0001*")
    assert page.locator("#nodes tbody tr").count() == 1
    page.locator("#nodes tbody a").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#series-details summary")
    page.wait_for_selector("#series", state="hidden")  # the chart, once it is drawn, stands for it
    page.locator("#series-details summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#series").is_visible()


def test_search_filter_order_and_language(visit, city):
    page = visit()
    page.select_option("#kind", "bin")
    page.select_option("#sort", "site")
    page.click(".filter button")
    assert [one.split("\n")[0] for one in page.locator("#nodes tbody th").all_inner_texts()] == [
        "bin-0007",
        "bin-0001",
        "bin-0004",
    ]
    page.click("#summary a:has(.late)")
    page.wait_for_url("**state=late**")
    assert page.locator("#nodes tbody tr").count() == 1
    page.click("text=Français")
    page.wait_for_selector("html[lang=fr] footer")
    assert "state=late" in page.url and "kind=bin" in page.url
    assert "en retard depuis" in row(page, city, LATE).inner_text()
    page.select_option("#theme", "dark")
    page.click(".preferences form button >> nth=0")
    page.wait_for_selector("html[data-theme=dark] footer")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 23, 29)"


def test_without_scripts_everything_can_be_read(visit, city):
    page = visit(java_script_enabled=False)
    page.fill("#q", "gare meter")
    page.click(".filter button")
    assert "silent since" in row(page, city, SILENT).inner_text()
    page.click(f"#n{eui(city, SILENT)} a")
    assert page.locator("#series tbody tr").count() > 20
    assert page.locator("#series").is_visible()


def test_on_a_small_screen_the_page_itself_does_not_scroll_sideways(visit, city):
    page = visit(viewport={"width": 320, "height": 600})  # WCAG 2.1, 1.4.10
    for address in ("/", f"/nodes/{eui(city, AIR)}"):
        page.goto(city.url + address)
        page.wait_for_selector("#live[data-state=on]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_news_come_without_loading_the_page_again(visit, city):
    listing, node = visit(), visit()
    node.goto(f"{city.url}/nodes/{eui(city, AIR)}")
    for page in (listing, node):
        page.wait_for_selector("#live[data-state=on]")
        page.evaluate("window.same = true")
    known, newest = row(listing, city, AIR).inner_text(), node.locator("#frames tbody tr").first.inner_text()
    listing.locator(f"#n{eui(city, AIR)} a").focus()
    city.air(city.sites[AIR], city.now // 900 * 900, at=int(time.time()))
    city.settle()
    until(listing, lambda: row(listing, city, AIR).inner_text() != known, "the list shows it")
    until(node, lambda: node.locator("#frames tbody tr").first.inner_text() != newest, "the node's page shows it")
    assert listing.evaluate("window.same") and node.evaluate("window.same")
    # what had the focus has it still
    assert listing.evaluate("document.activeElement.getAttribute('href')") == f"/nodes/{eui(city, AIR)}"


def test_a_first_node_appears_where_there_was_none(visit, city):
    page = visit()
    stranger = replace(city.sites[UNREGISTERED], number=99, dev_eui="00000000000000aa")
    page.goto(f"{city.url}/?q={stranger.dev_eui}")
    page.wait_for_selector("#live[data-state=on]")
    assert "No node fits" in page.locator("main").inner_text()
    page.evaluate("window.same = true")
    city.air(stranger, city.now // 900 * 900, at=int(time.time()))
    city.settle()
    until(page, lambda: page.locator("#nodes tbody tr").count() == 1, "it is in the list")
    assert "air, not in the register" in page.locator("#nodes").inner_text()
    assert page.evaluate("window.same")
    assert page.locator("#live").get_attribute("data-state") == "on"


def chart(page):
    """Waits for the chart and says how wide it is, px."""
    page.wait_for_selector(".chart canvas")
    page.wait_for_selector("#live[data-state=on]")
    return page.locator(".chart canvas").bounding_box()["width"]


def test_the_pictures(visit, city, tmp_path):
    folder = Path(os.environ.get("VIGIE_SCREENSHOTS") or tmp_path)
    page = visit("en", "light", viewport={"width": 1240, "height": 1000})
    page.wait_for_selector("#live[data-state=on]")
    page.screenshot(path=folder / "page-nodes.png")
    page = visit("fr", "dark", viewport={"width": 1240, "height": 1000})
    page.goto(f"{city.url}/nodes/{eui(city, METER)}")
    assert chart(page) > 1000
    page.screenshot(path=folder / "page-meter.png")
    page = visit("en", "light", viewport={"width": 1240, "height": 1000})
    page.goto(f"{city.url}/nodes/{eui(city, AIR)}")
    assert chart(page) > 1000
    page.screenshot(path=folder / "page-air.png")
    assert all(10_000 < (folder / f"page-{name}.png").stat().st_size < 250_000 for name in ("nodes", "meter", "air"))


def test_a_gateway_that_goes_and_comes_back(visit, city):
    page = visit()
    page.wait_for_selector("#live[data-state=on]")
    started = time.monotonic()
    city.chain.stop_gateway()
    assert time.monotonic() - started < 10  # an open page does not hold the stop up
    page.wait_for_selector("#live[data-state=lost]")
    assert "connection lost" in page.locator("#live").inner_text()
    city.chain.start_gateway()
    page.wait_for_selector(
        "#live[data-state=ended]", timeout=30_000
    )  # sessions end with the gateway, and the page says so
    sign_in(page, city)
    # the newest of every node is known again, from InfluxDB
    until(
        page,
        lambda: (
            page.reload() and page.locator("#nodes tbody tr").count() == 10 and not page.locator(".warning").count()
        ),
        "all are back",
    )
    assert "leak suspected" in row(page, city, METER).inner_text()
    assert re.search(r"\d+ L on", row(page, city, METER).inner_text())
    assert "silent since" in row(page, city, SILENT).inner_text()
