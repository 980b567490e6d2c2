"""One HTTP server on one port, uvicorn in a thread of its own: the page, its events, metrics and health."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from ..errors import SettingsError

_BACKLOG = 128
_START_S = 15.0
_STOP_S = 5.0
# After a stop is asked for: open streams are told to end, what else is running is given this long.
_GRACE_S = 2


class Server:
    """Listens from the moment when it is made; SettingsError when the port cannot be had."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise SettingsError(
                f"http: {host}:{port}: {error.strerror}; another program has it, or it is no address of this machine: "
                "change [http] host and port"
            ) from None
        self.port = int(self._socket.getsockname()[1])
        self._thread: threading.Thread | None = None

    def start(self, app: ASGIApp, before_stop: Callable[[], None]) -> None:
        """Serves `app` until `stop`; `before_stop` runs in the server's loop then, to end the streams."""
        # Its own lines would go past our log's form; a defect in a page is logged by the page.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            ws="none",
            # A proxy on this machine says for whom it asks; anybody else's word does not count.
            proxy_headers=True,
            forwarded_allow_ips="127.0.0.1,::1",
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._before_stop = before_stop
        self._server = uvicorn.Server(config)
        started = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(started.set)
            await self._server.serve([self._socket])

        self._thread = threading.Thread(target=asyncio.run, args=(serve(),), name="http", daemon=True)
        self._thread.start()
        started.wait(_START_S)

    def stop(self) -> None:
        """Ends the streams, then the server."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._before_stop)
            self._server.should_exit = True
            self._thread.join(_STOP_S)
        self._socket.close()
