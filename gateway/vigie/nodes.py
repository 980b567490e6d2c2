"""The register's current view to InfluxDB as `node`, by the writer's door: at the start, after a change, on each new UTC day.

What is written can be written again at any time, so nothing is spooled. Points lie on the UTC day's midnight: a day has one a node,
and no view ages out. A register that cannot be read never stops the gateway.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from .errors import RegisterError
from .points import node_point
from .register import Register
from .rows import Node
from .writer import LINES_A_REQUEST, InfluxWriter

LOOK_S = 2.0
"""How often the register is asked whether it has changed."""
_AGAIN_S = 30.0
_DAY_NS = 86_400 * 1_000_000_000
_log = structlog.get_logger("nodes")


class NodeWriter:
    """Writes into `bucket` until `stop` is set; all in one thread. A register that is not there yet is an empty one; it is not made."""

    def __init__(
        self,
        path: Path,
        influx: InfluxWriter,
        bucket: str,
        stop: threading.Event,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = path
        self._influx = influx
        self._bucket = bucket
        self._stop = stop
        self._now_ns = now_ns
        self._seen: tuple[int, int] | None = None  # version of the register and day that were written last
        self._written: dict[str, Node] = {}
        self._trouble = ""
        self._register: Register | None = None

    def run(self) -> None:
        """Until `stop`."""
        wait = 0.0
        while not self._stop.wait(wait):
            trouble = self.look()
            if trouble and trouble != self._trouble:
                _log.error("the register's view does not reach InfluxDB; tried again", reason=trouble)
            self._trouble = trouble
            wait = _AGAIN_S if trouble else LOOK_S
        self.close()

    def close(self) -> None:
        """Ends the connection to the register, if there is one."""
        if self._register is not None:
            self._register.close()
        self._register = None

    def look(self) -> str:
        """Writes what has changed since the last look; why it could not, or an empty text."""
        try:
            if self._register is None:
                if not self._path.exists():
                    return ""
                self._register = Register(self._path)
            seen = (self._register.version(), self._now_ns() // _DAY_NS)
            return "" if seen == self._seen else self._write(self._register.nodes(self._now_ns()), seen)
        except RegisterError as error:
            self.close()
            return str(error)

    def _write(self, nodes: list[Node], seen: tuple[int, int]) -> str:
        day = seen[1]
        known = self._written if self._seen is not None and self._seen[1] == day else {}
        news = [node for node in nodes if known.get(node.dev_eui) != node]
        for start in range(0, len(news), LINES_A_REQUEST):
            chunk = news[start : start + LINES_A_REQUEST]
            answer = self._influx.write(self._bucket, [node_point(node, day * _DAY_NS).line for node in chunk])
            if answer.status != 204:
                return f"{self._bucket}: {answer.status or 'no answer'}: {answer.text}"
        self._written = {node.dev_eui: node for node in nodes}
        self._seen = seen
        _log.info("the register's view is in InfluxDB", nodes=len(nodes), written=len(news))
        return ""
