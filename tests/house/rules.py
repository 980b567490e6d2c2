"""The house's rules as functions over a tree: each returns sentences, one a violation, none when all is well.

The rooms and their arrows are the tables at the top; docs and design speak of the same names.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

# Who may import whom on the board. `main` and `node` see several rooms; the others only what stands here.
FIRMWARE: dict[str, set[str]] = {
    "main": {"node"},
    "node": {"sensors", "pulse", "samples", "payload", "lorawan", "radio", "keep", "schedule", "boards"},
    "sensors": {"samples"},
    "samples": {"payload"},
    "payload": set(),
    "lorawan": set(),
    "radio": {"lorawan"},
    "pulse": set(),
    "keep": set(),
    "schedule": set(),
    "boards": set(),
}

# Rooms of the gateway that touch the world may use these beside their neighbours; pure ones may use `errors`.
COMMON = {"errors", "settings", "files", "metrics"}
EVERY = {
    "payload", "events", "ingest", "spool", "decode", "points", "verdict", "writer", "downlink", "register", "query",
    "rows", "nodes", "city", "web", "service", "settings", "files", "errors", "metrics", "check",
}  # fmt: skip
GATEWAY: dict[str, set[str]] = {
    "payload": set(),
    "errors": set(),
    "settings": {"errors"},
    "files": {"errors", "settings"},
    "metrics": {"errors", "events", "spool"},
    "events": {"errors"},
    "ingest": COMMON | {"events", "spool"},
    "spool": {"errors", "settings", "events"},
    "decode": {"errors", "events", "payload"},
    "points": {"errors", "events", "payload", "decode", "rows"},
    "verdict": {"errors"},
    "writer": COMMON | {"events", "spool", "decode", "points", "verdict"},
    "downlink": COMMON | {"payload"},
    "rows": set(),
    "register": COMMON | {"rows"},
    "nodes": COMMON | {"rows", "register", "points", "writer"},
    "query": COMMON | {"points", "rows"},
    "frames": COMMON | {"query", "points"},  # for analysts, behind an extra
    "city": {"errors", "rows"},
    "web": EVERY - {"service"},
    "check": COMMON | {"ingest", "spool", "writer"},  # tries each door once; cli asks it
    "service": EVERY,
    "cli": EVERY | {"cli_register", "cli_status", "cli_water", "cli_output"},
    "cli_register": COMMON | {"register"},
    "cli_status": COMMON | {"check", "spool"},
    "cli_water": COMMON | {"register", "query", "city", "rows", "cli_output"},
    "cli_output": {"errors", "register"},
    "__main__": {"cli"},
    "__init__": {"errors", "settings", "frames"},
}
PURE_FIRMWARE = {"samples", "payload", "lorawan", "schedule", "keep"}
PURE_GATEWAY = {"payload", "events", "decode", "points", "verdict", "rows", "register", "city", "settings", "errors"}
# Files of a pure room that touch the world all the same: where the record formats of keep/ meet memory and flash, the register's file.
TOUCHING = {"firmware/keep/rtc.py", "firmware/keep/flash.py", "gateway/vigie/register/store.py"}

# Clocks, buses, sockets, files, random sources: what a pure room gets as an argument.
IMPURE = {
    "time", "utime", "machine", "esp32", "network", "os", "uos", "socket", "select", "random", "secrets", "asyncio", "vfs",
    "threading", "_thread", "subprocess", "multiprocessing", "signal", "pathlib", "shutil", "tempfile", "glob", "io",
    "sqlite3", "http", "urllib", "requests", "ssl", "logging", "structlog", "uuid", "paho", "grpc", "influxdb_client",
    "prometheus_client", "starlette", "uvicorn",
}  # fmt: skip
# Names in those modules that touch nothing: a PurePath only joins and parts names.
PURE_NAMES = {("pathlib", "PurePath")}
IMPURE_CALLS = {"open", "input", "print", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}

# What the tools may use of the gateway: the names that it keeps stable for others.
PUBLIC_GATEWAY = {"payload", "settings", "errors"}
# These stand on their own: devnet checks the firmware only if nothing of it is the firmware's or the world's.
ALONE_TOOLS = {"devnet", "setup"}

SKIPPING = {"skip", "skipif", "importorskip", "xfail"}
# micropython-lib is in no package registry: a machine without network cannot bring it, and one line says so.
MAY_SKIP = {"tests/tools/mplib/test_mplib.py"}

INTEGER_ONLY = ("firmware/payload", "firmware/lorawan", "firmware/keep")
MOST_LINES, MANY_LINES = 600, 400

_UNOWNED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b(?!\s*\(?#\d+)")
# Written in parts, so that this file does not contain them.
_FORBIDDEN = [
    "/wo" + "rk/", "/ro" + "ot/", "py" + "pi.org", "python" + "hosted.org", "crates" + ".io", "proxy.golang" + ".org",
    "sum.golang" + ".org", "npmjs" + ".org", "npmjs" + ".com", "maven" + ".org", "maven.apache" + ".org", "deb.debian" + ".org",
    "security.debian" + ".org", "snapshot.debian" + ".org",
]  # fmt: skip
_NOT_OURS = {".git", ".venv", ".cache", "var", "__pycache__", "node_modules", "dist", "build", "vendor"}


def files(root: Path) -> Iterator[Path]:
    """Every file of the project, in order; what git ignores is not the project's."""
    for path in sorted(root.iterdir()):
        if path.name in _NOT_OURS or path.name.endswith("_cache") or path.name.startswith(".hypothesis"):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files(path)
        elif path.is_file():
            yield path


def _trees(root: Path, folder: str) -> Iterator[tuple[str, Path, ast.Module]]:
    """Path as a person names it, path inside the folder, syntax tree; of each Python file under root/folder."""
    base = root / folder
    for path in files(base) if base.is_dir() else ():
        if path.suffix == ".py":
            yield (
                str(path.relative_to(root)),
                path.relative_to(base),
                ast.parse(path.read_text(encoding="utf-8"), str(path)),
            )


def _imports(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each import as line and absolute dotted path, relative ones resolved against `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = base + (tuple(node.module.split(".")) if node.module else ())
            for alias in node.names:
                yield node.lineno, (*stem, alias.name)


def _room(inside: Path) -> str:
    return inside.parts[0].removesuffix(".py")


def arrows(root: Path) -> list[str]:
    """Imports against the arrows, and rooms that the tables do not know."""
    wrong: dict[str, None] = {}
    for folder, table, prefix in (("firmware", FIRMWARE, ()), ("gateway/vigie", GATEWAY, ("vigie",))):
        for name, inside, tree in _trees(root, folder):
            room = _room(inside)
            if room not in table:
                wrong[
                    f"{name}: the house has no room {room!r}; give it a place in the design and in tests/house/rules.py"
                ] = None
                continue
            for line, target in _imports(tree, prefix + inside.parts[:-1]):
                path = target[len(prefix) :]
                if target[: len(prefix)] != prefix or not path or path[0] not in table or path[0] == room:
                    continue
                if path[0] not in table[room]:
                    wrong[f"{name}:{line}: {room} imports {path[0]}, against the arrows"] = None
    return list(wrong)


def purity(root: Path) -> list[str]:
    """Pure rooms that reach for the world."""
    wrong = []
    for folder, rooms in (("firmware", PURE_FIRMWARE), ("gateway/vigie", PURE_GATEWAY)):
        for name, inside, tree in _trees(root, folder):
            if _room(inside) not in rooms or name in TOUCHING:
                continue
            wrong += [
                f"{name}:{line}: a pure room imports {target[0]}; have it passed in"
                for line, target in _imports(tree, ("vigie",))
                if target[0] in IMPURE and target not in PURE_NAMES
            ]
            for node in ast.walk(tree):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if called.removeprefix("datetime.") in IMPURE_CALLS or called in IMPURE_CALLS:
                    wrong.append(f"{name}:{node.lineno}: a pure room calls {called}; have its result passed in")
    return wrong


def integers(root: Path) -> list[str]:
    """Floats where a board's single precision and CPython's double would part ways."""
    wrong = []
    for folder in INTEGER_ONLY:
        for name, _, tree in _trees(root, folder):
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, float):
                    wrong.append(
                        f"{name}:{node.lineno}: a float constant, {node.value}; use integers in a smaller unit"
                    )
                elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
                    wrong.append(f"{name}:{node.lineno}: true division; use // and say how it rounds")
    return wrong


def payload_imports(root: Path) -> list[str]:
    """The codec runs on both interpreters: it imports struct, namedtuple and itself, nothing else."""
    wrong = []
    for name, inside, tree in _trees(root, "firmware/payload"):
        package = ("payload", *inside.parts[:-1])
        for line, target in _imports(tree, package):
            if target[0] not in {"struct", "payload"} and target != ("collections", "namedtuple"):
                wrong.append(
                    f"{name}:{line}: payload imports {'.'.join(target)}; only struct, collections.namedtuple and its own files"
                )
        for node in ast.walk(tree):
            absolute = (
                isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "payload"
            )
            if absolute or (
                isinstance(node, ast.Import) and any(a.name.split(".")[0] == "payload" for a in node.names)
            ):
                wrong.append(
                    f"{name}:{node.lineno}: payload imports itself by name; the gateway knows it as vigie.payload: use a relative import"
                )
    return wrong


def tools_imports(root: Path) -> list[str]:
    """Tools work under two names, keep out of the gateway's inside, and never load firmware into CPython."""
    wrong = []
    for name, inside, tree in _trees(root, "tools"):
        if inside.parts[:2] == ("virtual_board", "board"):
            continue
        for line, target in _imports(tree, ("tools-themselves", *inside.parts[:-1])):
            where = f"{name}:{line}:"
            if target[0] in {"tools", "vigie_tools"}:
                wrong.append(
                    f"{where} imports {'.'.join(target)} by name; installed it is vigie_tools: use a relative import"
                )
            elif target[0] == "vigie" and len(target) > 1 and target[1] not in PUBLIC_GATEWAY:
                wrong.append(
                    f"{where} imports {'.'.join(target)}; of the gateway tools use only {', '.join(sorted(PUBLIC_GATEWAY))}"
                )
            elif target[0] == "firmware":
                wrong.append(f"{where} imports firmware into CPython; run it in MicroPython")
            elif (
                target[0] == "tools-themselves"
                and inside.parts[0] in ALONE_TOOLS
                and target[1] not in {inside.parts[0], "setup"}
            ):
                wrong.append(f"{where} {inside.parts[0]} stands on its own, but imports {target[1]}")
    return wrong


def lengths(root: Path) -> dict[str, int]:
    """Python files with more lines than are comfortable."""
    counted = {
        str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(root)
        if path.suffix == ".py"
    }
    return {name: lines for name, lines in counted.items() if lines > MANY_LINES}


def too_long(root: Path) -> list[str]:
    """Files that must be split."""
    return [
        f"{name}: {lines} lines, more than {MOST_LINES}" for name, lines in lengths(root).items() if lines > MOST_LINES
    ]


def words(root: Path) -> list[str]:
    """Notes without an issue's number; paths of one machine; names of registries' hosts."""
    wrong = []
    for path in files(root):
        if path.name == "go.sum":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(root)
        for number, line in enumerate(text.splitlines(), 1):
            if found := _UNOWNED.search(line):
                wrong.append(f"{name}:{number}: {found[1]} without an issue's number, such as {found[1]}(#12)")
            wrong.extend(f"{name}:{number}: contains {word!r}" for word in _FORBIDDEN if word in line)
    return wrong


def skips(root: Path) -> list[str]:
    """Tests that may not run: what is missing must be brought, or fail."""
    wrong = []
    for name, _, tree in _trees(root, "tests"):
        wrong += [
            f"{name}:{node.lineno}: {node.attr}; bring what it needs, or let it fail"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in SKIPPING and name not in MAY_SKIP
        ]
    return wrong


RULES = (arrows, purity, integers, payload_imports, tools_imports, too_long, words, skips)
