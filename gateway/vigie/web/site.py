"""The page's rooms put together: what the service starts, feeds and stops."""

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import structlog

from ..errors import VigieError
from ..points import Point
from ..query import read_last
from ..register import Register
from ..settings import Settings
from .account import Account
from .app import App, Machine
from .directory import Directory, Known, Meter
from .latest import DAYS_KEPT, Latest
from .live import Hub
from .pages import Pages
from .server import Server

_AGAIN_S = 10.0
_log = structlog.get_logger("web")


class Site:
    """The HTTP side of the gateway. Making it takes the port; SettingsError where that or the time zone cannot be."""

    def __init__(self, settings: Settings, machines: Mapping[str, Machine]) -> None:
        self._settings = settings
        self._latest = Latest()
        self._hub = Hub(lambda: self._latest.version)
        pages = Pages(settings, self._latest, Directory(partial(registered, Path(settings.register_.path))))
        account = Account(Path(settings.web.password_file))
        self._app = App(account, self._hub, pages, machines)
        self._server = Server(settings.http.host, settings.http.port)
        self._stop = threading.Event()
        if (trouble := account.trouble()) is not None:
            _log.warning(
                f"nobody can sign in to the page: its password's file is {trouble}",
                file=str(settings.web.password_file),
                cure="run `vigie web password` as the gateway's user",
            )
        if not pages.charts:
            _log.warning("the page shows tables without charts: uPlot is not installed", cure="docs/administrator.md")

    @property
    def port(self) -> int:
        """The port that it has."""
        return self._server.port

    def start(self) -> None:
        """Serves, and begins to read what InfluxDB has."""
        self._server.start(self._app.asgi, self._hub.close)
        threading.Thread(target=self._seed, name="page", daemon=True).start()

    def stop(self) -> None:
        """Ends the streams and the server."""
        self._stop.set()
        self._server.stop()

    def stored(self, points: list[Point]) -> None:
        """What the writer has stored, from its thread."""
        try:
            self._hub.tell(self._latest.take(points))
        except Exception:  # noqa: BLE001 - the page may be wrong for a while; the flow of readings must not stop for it
            _log.exception("defect: the page could not take what was stored")

    def _seed(self) -> None:
        """Reads InfluxDB once; again after a while where it does not answer."""
        while not self._stop.is_set():
            try:
                known = self._latest.take(read_last(self._settings, DAYS_KEPT))
            except VigieError as error:
                if self._latest.trouble != str(error):
                    _log.warning("the page shows only what comes from now on", reason=str(error))
                self._latest.trouble = str(error)
                self._stop.wait(_AGAIN_S)
            except Exception:  # noqa: BLE001 - a page without its past is better than a thread that ends in silence
                _log.exception("defect: the page could not read what is stored")
                return
            else:
                self._latest.trouble = None
                self._latest.seeded = True
                self._hub.tell(known)
                _log.debug("the page knows what is stored")
                return


def registered(path: Path) -> dict[str, Known]:
    """The register's nodes by DevEUI, without a household, an address or a position; a register that is not there is an empty one."""
    if not path.exists():
        return {}
    with Register(path) as register:
        sites = {site.site: site for site in register.sites()}
        shapes = {shape.site: shape for shape in register.bins()}
        meters: dict[str, list[Meter]] = {}
        for one in register.segments():
            meters.setdefault(one.dev_eui, []).append(Meter(one.since_ns, one.until_ns, one.ml_per_pulse))
        return {
            device.dev_eui: Known(
                device.site or "",
                sites[device.site].district if device.site in sites else "",
                device.kind,
                device.interval_s,
                tuple(meters.get(device.dev_eui, ())),
                shapes.get(device.site or ""),
            )
            for device in register.devices()
        }
