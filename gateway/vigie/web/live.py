"""Live: who has a page open hears which nodes have something new. Server-sent events, from the writer inside this process.

The writer's thread tells; the server's loop hands on. A client holds a set of DevEUIs, never a queue: however slow it is, it takes
no more memory than there are nodes, and what it missed is one message.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable

MOST_CLIENTS = 200
HEARTBEAT_S = 15.0
_PACE_S = 1.0  # between two messages to one client
_MOST_NAMED = 200  # more nodes than this in one message: "several", and the page reads its part anew


class TooMany(Exception):
    """As many clients as the gateway bears are listening."""


class _Client:
    def __init__(self) -> None:
        self.news: set[str] = set()
        self.wake = asyncio.Event()


class Hub:
    """Messages from the writer's thread to all clients."""

    def __init__(self, version: Callable[[], int], heartbeat_s: float = HEARTBEAT_S, pace_s: float = _PACE_S) -> None:
        self._version = version
        self._heartbeat_s = heartbeat_s
        self._pace_s = pace_s
        self._clients: set[_Client] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def open(self) -> None:
        """In the server's loop, before the first client."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """In the server's loop: every stream ends."""
        self._closed = True
        for client in self._clients:
            client.wake.set()

    def tell(self, dev_euis: Iterable[str]) -> None:
        """From any thread: these nodes have something new. Before `open` and after the loop's end nobody hears it."""
        names = set(dev_euis)
        if self._loop is not None and names and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_on, names)

    def _hand_on(self, names: set[str]) -> None:
        for client in self._clients:
            client.news |= names
            client.wake.set()

    def listen(self, goes_on: Callable[[], bool]) -> AsyncIterator[bytes]:
        """One client's stream: a message when there is news, else a heartbeat, as long as `goes_on()`. TooMany, at once."""
        if len(self._clients) >= MOST_CLIENTS:
            raise TooMany
        return self._stream(goes_on)

    async def _stream(self, goes_on: Callable[[], bool]) -> AsyncIterator[bytes]:
        client = _Client()
        self._clients.add(client)
        try:
            # a page that was made at another version than this one reads itself again: what it lacks came before the stream
            yield f'retry: 5000\nevent: hello\ndata: {{"version": {self._version()}}}\n\n'.encode()
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(client.wake.wait(), self._heartbeat_s)
                client.wake.clear()
                names, client.news = client.news, set()
                if self._closed or not goes_on():
                    return
                if not names:
                    # a message and no comment: the page sees that the line lives, and renews what only time changes
                    yield b"event: beat\ndata: {}\n\n"
                else:
                    listed = sorted(names) if len(names) <= _MOST_NAMED else []
                    yield b"event: news\ndata: " + json.dumps({"nodes": listed}).encode() + b"\n\n"
                    await asyncio.sleep(self._pace_s)
        finally:
            self._clients.discard(client)

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)
