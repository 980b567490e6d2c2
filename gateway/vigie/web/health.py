"""/metrics, /healthz and /readyz.

Live: the loops turn. Ready: subscribed and the spool takes events; InfluxDB being away makes no gateway unready.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..errors import SettingsError

Page = Callable[[], tuple[int, str, bytes]]  # status, content type, body


def serve(host: str, port: int, pages: dict[str, Page]) -> ThreadingHTTPServer:
    """Serves `pages` by path from a thread of its own until `shutdown`; SettingsError when the port cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            status, kind, body = (
                page() if page else (404, "text/plain", b"not here; there are " + " ".join(pages).encode())
            )
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not news."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise SettingsError(
            f"http: {host}:{port}: {error.strerror}; another program has it: change [http] port"
        ) from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
