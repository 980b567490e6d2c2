"""The routes: who may see what, in which language, with which headers. Nothing here changes anything but the reader's own cookies."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import anyio.to_thread
import structlog
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .account import Account
from .language import preferred
from .live import Hub, TooMany
from .pages import HERE, Look, Pages

Machine = Callable[[], tuple[int, str, bytes]]  # status, content type, body: what machines ask for

SESSION = "vigie_session"
_THEMES = ("auto", "light", "dark")
_YEAR_S = 365 * 86_400
_MOST_BODY = 8192
_MOST_WAITING = 20
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_log = structlog.get_logger("web")


class _Headers:
    """The headers that every answer has. A page is of this moment and of this reader: kept by nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                fixed = scope["path"].startswith("/static/") and message["status"] == 200
                # an address under /static/ names its content, and so never changes
                kept = f"public, max-age={_YEAR_S}, immutable" if fixed else "no-store"
                for name, value in {**_HEADERS, "Cache-Control": kept}.items():
                    if name.lower().encode() not in given:
                        message["headers"].append((name.lower().encode(), value.encode()))
            await send(message)

        await self._app(scope, receive, with_headers)


class App:
    """Builds the application from the rooms that it shows."""

    def __init__(self, account: Account, hub: Hub, pages: Pages, machines: Mapping[str, Machine]) -> None:
        self._account = account
        self._hub = hub
        self._pages = pages
        # Of their own, so that /healthz is answered while InfluxDB keeps readers waiting.
        self._signing = CapacityLimiter(1)
        self._reading = CapacityLimiter(4)
        routes: list[Any] = [Route(path, partial(_machine, page)) for path, page in machines.items()]
        routes += [
            Route("/", self._nodes),
            Route("/nodes/{dev_eui}", self._node),
            Route("/live", self._live),
            Route("/preferences", self._preferences),
            Route("/sign-in", self._sign_in_page),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]
        self.asgi = Starlette(
            routes=routes,
            middleware=[Middleware(_Headers), Middleware(GZipMiddleware, minimum_size=1000)],
            exception_handlers={HTTPException: self._refused, Exception: self._defect},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._hub.open()
        yield

    def look(self, request: Request) -> Look:
        """How this reader wants to see it."""
        codes = list(self._pages.languages)
        code = request.cookies.get("vigie_lang", "")
        if code not in codes:
            code = preferred(request.headers.get("accept-language", ""), codes)
        theme = request.cookies.get("vigie_theme", "auto")
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return Look(
            self._pages.languages[code],
            theme if theme in _THEMES else "auto",
            back if request.method == "GET" else "/",
            self._signed_in(request),
        )

    def _signed_in(self, request: Request) -> bool:
        return self._account.signed_in(request.cookies.get(SESSION))

    def _to_sign_in(self, request: Request) -> Response:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/sign-in" if back == "/" else f"/sign-in?{urlencode({'next': back})}", 303)

    def _nodes(self, request: Request) -> Response:
        if not self._signed_in(request):
            return self._to_sign_in(request)
        return _html(self._pages.nodes(self.look(request), request.query_params))

    async def _node(self, request: Request) -> Response:
        if not self._signed_in(request):
            return self._to_sign_in(request)
        look, dev_eui = self.look(request), request.path_params["dev_eui"].lower()
        make = partial(self._pages.node, look, dev_eui, request.query_params.get("days", ""))
        if self._reading.statistics().tasks_waiting > _MOST_WAITING:
            return _busy(self._pages.error(look, look.to.say("busy")))
        page = await anyio.to_thread.run_sync(make, limiter=self._reading)
        if page is None:
            return _html(self._pages.error(look, look.to.say("no_such_node", name=dev_eui[:40])), 404)
        return _html(page)

    async def _live(self, request: Request) -> Response:
        token = request.cookies.get(SESSION)
        if not self._account.signed_in(token):
            return Response("sign in first\n", 401, media_type="text/plain")
        try:
            stream = self._hub.listen(lambda: self._account.signed_in(token))
        except TooMany:
            return _busy("as many pages are open as the gateway bears\n")
        # a proxy that collects answers would hold the news back
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    def _preferences(self, request: Request) -> Response:
        answer = RedirectResponse(local(request.query_params.get("back", "")), 303)
        for name, known in (("lang", list(self._pages.languages)), ("theme", list(_THEMES))):
            if (value := request.query_params.get(name)) in known:
                answer.set_cookie(f"vigie_{name}", str(value), max_age=_YEAR_S, httponly=True, samesite="lax")
        return answer

    def _sign_in_page(self, request: Request) -> Response:
        onward = local(request.query_params.get("next", ""))
        if self._signed_in(request):
            return RedirectResponse(onward, 303)
        look = self.look(request)
        trouble = self._account.trouble()
        problem = look.to.say(f"password_{trouble}") if trouble else ""
        return _html(self._pages.sign_in(look, onward, problem, closed=trouble is not None))

    async def _sign_in(self, request: Request) -> Response:
        look = self.look(request)
        given = await _form(request)
        onward = local(given.get("next", ""))
        address = request.client.host if request.client else ""
        page = partial(self._pages.sign_in, look, onward)
        if self._account.trouble():
            return RedirectResponse("/sign-in", 303)
        if self._signing.statistics().tasks_waiting > _MOST_WAITING:
            return _busy(page(look.to.say("busy")))

        # Asked again by whoever comes out of the queue: many tries at once are still many tries.
        def try_it() -> tuple[str | None, float]:
            wait = self._account.wait_s(address)
            return (None, wait) if wait else (self._account.sign_in(address, given.get("password", "")), 0.0)

        token, wait = await anyio.to_thread.run_sync(try_it, limiter=self._signing)
        if wait:
            answer = _html(page(look.to.say("wait", time=look.to.span(int(wait) + 1))), 429)
            answer.headers["Retry-After"] = str(int(wait) + 1)
            return answer
        if token is None:
            _log.warning("wrong password", address=address)
            return _html(page(look.to.say("wrong_password")), 403)
        _log.info("signed in", address=address)
        answer = RedirectResponse(onward, 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(SESSION, token, httponly=True, samesite="strict", secure=secure)
        return answer

    async def _sign_out(self, request: Request) -> Response:
        await _form(request)
        self._account.sign_out(request.cookies.get(SESSION))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(SESSION, httponly=True, samesite="strict")
        return answer

    def _refused(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise TypeError("not an answer") from error
        look = self.look(request)
        text = look.to.say("not_found" if error.status_code == 404 else "refused")
        answer = _html(self._pages.error(look, text), error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    def _defect(self, request: Request, error: Exception) -> Response:
        _log.error("defect in the page", path=request.url.path, exc_info=error)
        # in both languages: making a page of it might meet the same defect
        text = "The page has a defect; the gateway's log says more.\nLa page a un défaut ; le journal de la passerelle en dit plus.\n"
        return Response(text, 500, media_type="text/plain")


def local(address: str) -> str:
    """The address if it is one of this page's own, else "/": nobody is sent elsewhere."""
    plain = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return quote(address, safe="/?=&%+:;,@!$'()*~-._") if plain else "/"


def _machine(page: Machine, _request: Request) -> Response:
    status, kind, body = page()
    return Response(body, status, {"Content-Type": kind})


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="text/html")


def _busy(text: str) -> Response:
    return Response(text, 503, {"Retry-After": "10"}, "text/html" if text.startswith("<") else "text/plain")


async def _form(request: Request) -> dict[str, str]:
    """A small form's fields, from this page only."""
    # A browser names the site that a POST comes from. The scheme is left out: a proxy may have another than we see.
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host", ""):
        raise HTTPException(403)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BODY:
            raise HTTPException(413)
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=10)
    except ValueError:
        raise HTTPException(400) from None
    return {name: values[-1] for name, values in found.items()}
