"""The prompt at the end of a board's cable: the friendly REPL as far as a person needs it, the raw REPL and raw paste as tools do.

Behaviour as documented in MicroPython's reference, "The MicroPython Interactive Interpreter Mode", and in its
`pyexec.c`: what a tool waits for byte by byte is the same. No history, no completion; `input()` has no keyboard.
Nothing of the other stand-ins is imported here: this file is loaded after they have gone from sys.modules.
"""

# ruff: noqa: S102  running what comes by the cable is what a prompt does

import io
import sys

RAW = 1  # as in wire.py
AT_ONCE = 2
CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = 1, 2, 3, 4, 5
_ESCAPE = 27
_WINDOW = 128  # half of MICROPY_REPL_STDIN_BUFFER_MAX
_BANNER = b'MicroPython v1.25.0; virtual ESP32S3\r\nType "help()" for more information.\r\n'


class Console:
    """Bytes to and from the cable; what is said leaves with the next look at what was typed."""

    def __init__(self, ask, raw: int) -> None:
        """`ask(bytes out, how)` -> bytes in: at least one, without AT_ONCE, or empty, with it."""
        self._ask = ask
        self._out = b""
        self._in = b""
        self.raw = raw

    def say(self, data: bytes) -> None:
        """Bytes for the other end."""
        self._out += data

    def flush(self) -> None:
        """What was said leaves now: something follows that may take its time or print."""
        self._ask(self._out, self.raw | AT_ONCE)
        self._out = b""

    def take(self, most: int) -> bytes:
        """Up to `most` bytes that were typed, at least one."""
        while not self._in:
            out, self._out = self._out, b""
            self._in = self._ask(out, self.raw)
        taken, self._in = self._in[:most], self._in[most:]
        return taken

    def key(self) -> int:
        """One byte that was typed."""
        return self.take(1)[0]


def _shown(error: BaseException) -> bytes:
    text = io.StringIO()
    sys.print_exception(error, text)
    lines = [line for line in text.getvalue().split("\n") if not line.startswith('  File "repl.py"')]
    return "\r\n".join(lines).encode()


def _execute(source, kind: str, scope: dict, soft_reset) -> bytes:
    """Runs it; what is to be shown of an exception."""
    try:
        exec(compile(bytes(source), "<stdin>", kind), scope)
    except SystemExit:
        soft_reset()
    except BaseException as error:  # noqa: BLE001  whatever it was, the prompt comes back
        return _shown(error)
    return b""


def _paste(console: Console):
    """(source that comes by raw paste, in windows; b"") or (None, what to say of its end)."""
    console.say(b"R\x01" + bytes([_WINDOW, 0, CTRL_A]))
    source = bytearray()
    left = _WINDOW
    while True:
        part = console.take(left)
        ends = [at for at in (part.find(b"\x03"), part.find(b"\x04")) if at >= 0]
        try:
            source += part[: min(ends)] if ends else part
        except MemoryError as error:
            source = bytearray()
            console.say(b"\x04")
            while not ends and console.key() != CTRL_D:  # the other end acknowledges that it stops
                pass
            return None, _shown(error)
        if ends:
            console.say(b"\x04")
            return (None, b"KeyboardInterrupt: \r\n") if part[min(ends)] == CTRL_C else (source, b"")
        left -= len(part)
        if not left:
            left = _WINDOW
            console.say(b"\x01")


def _raw(console: Console, scope: dict, soft_reset) -> None:
    """Until Ctrl-B."""
    console.raw = RAW
    banner = b"raw REPL; CTRL-B to exit\r\n"
    while True:
        console.say(banner + b">")
        banner = b""
        line = bytearray()
        pasted = False
        source, error = None, b""
        while True:
            key = console.key()
            if key == CTRL_B:
                console.say(b"\r\n")
                return
            if key == CTRL_A:
                if line == b"\x05A":
                    pasted = True
                    source, error = _paste(console)
                    break
                banner = b"raw REPL; CTRL-B to exit\r\n"
                break
            if key == CTRL_C:
                line = bytearray()
            elif key == CTRL_D:
                source = line
                break
            else:
                line.append(key)
        if banner:
            continue
        if not line and not pasted:
            console.say(b"OK\r\n")
            console.flush()
            soft_reset()
        if not pasted:
            console.say(b"OK")
        if source is not None:
            console.flush()
            error = _execute(source, "exec", scope, soft_reset)
        console.say(b"\x04" + error + b"\x04")


def _unfinished(source: str) -> bool:
    """Whether a compound statement or an open bracket asks for another line."""
    lines = source.split("\n")
    if lines[0].rstrip().endswith(":") or lines[0].startswith("@"):
        return len(lines) == 1 or lines[-1] != ""
    return sum([source.count(c) for c in "([{"]) > sum([source.count(c) for c in ")]}"]) or source.endswith("\\")


def _line(console: Console, prompt: bytes):
    """A line as typed, echoed; an int is the control key that ended it."""
    console.say(prompt)
    line = bytearray()
    while True:
        key = console.key()
        if key == 13:
            console.say(b"\r\n")
            return bytes(line)
        if key == CTRL_C or (key in (CTRL_A, CTRL_B, CTRL_D, CTRL_E) and not line):
            return key
        if key in (8, 127):
            if line:
                line = line[:-1]
                console.say(b"\b \b")
        elif key == _ESCAPE:  # arrow keys and their like
            console.take(1)
            console.take(1)
        elif key >= 32 or key == 9:
            line.append(key)
            console.say(bytes([key]))


def _block(console: Console):
    """Paste mode: all up to Ctrl-D; None after Ctrl-C."""
    console.say(b"\r\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== ")
    source = bytearray()
    while True:
        key = console.key()
        if key in (CTRL_C, CTRL_D):
            console.say(b"\r\n")
            return bytes(source) if key == CTRL_D else None
        source.append(10 if key == 13 else key)
        console.say(b"\r\n=== " if key == 13 else bytes([key]))


def _friendly(console: Console, scope: dict, soft_reset) -> None:
    """Until Ctrl-A."""
    console.raw = 0
    console.say(_BANNER)
    while True:
        kind = "single"
        source = _line(console, b">>> ")
        while not isinstance(source, int) and _unfinished(source.decode()):
            more = _line(console, b"... ")
            source = more if isinstance(more, int) else source + b"\n" + more
        if source == CTRL_A:
            console.say(b"\r\n")
            return
        if source == CTRL_D:
            console.say(b"\r\n")
            console.flush()
            soft_reset()
        if source == CTRL_E:
            kind = "exec"
            source = _block(console)
        if source == CTRL_B:
            console.say(b"\r\n" + _BANNER)
        elif isinstance(source, int):
            console.say(b"\r\n")
        elif source:
            console.flush()
            console.say(_execute(source + b"\n", kind, scope, soft_reset))


def run(ask, soft_reset, scope: dict, raw: int) -> None:
    """Never returns. `scope`: the names of `__main__`; `raw`: begins in the raw REPL."""
    console = Console(ask, raw)
    while True:
        try:
            (_raw if raw else _friendly)(console, scope, soft_reset)
            raw = 0 if raw else RAW
        except KeyboardInterrupt:  # what the program had masked
            pass
        except (MemoryError, UnicodeError) as error:
            console.say(_shown(error))
