"""micropython-lib's packages: found where they are, fetched by mip from an index on this machine, one sentence where there is none."""

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tools.setup import micropython_lib
from tools.setup.say import Problem

FILES = {
    "lora-sync": ("lora/modem.mpy", "lora/sync_modem.mpy"),
    "lora-sx126x": ("lora/modem.mpy", "lora/sx126x.mpy"),
    "lora-sx127x": ("lora/modem.mpy", "lora/sx127x.mpy"),
}


@pytest.fixture
def index(tmp_path):
    """A mip index of stand-in packages on 127.0.0.1, and the folder that it serves."""
    folder = tmp_path / "index"
    for package, names in FILES.items():
        hashes = []
        for name in names:
            content = f"stand-in of {name}".encode()
            short = hashlib.sha256(content).hexdigest()[:8]
            hashes.append([name, short])
            file = folder / "file" / short[:2] / short
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        description = folder / "package" / "6" / package / "latest.json"
        description.parent.mkdir(parents=True)
        description.write_text(json.dumps({"v": 1, "hashes": hashes, "version": "0.1.0"}))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def test_the_packages_come_from_the_index_and_are_found(index, tmp_path):
    url, _folder = index
    home = tmp_path / "cache" / "micropython-lib"
    home.mkdir(parents=True)
    (home / "of-an-older-fetch").touch()
    micropython_lib.fetch(url, home)
    found = micropython_lib.packages(home)
    assert sorted(found) == ["modem.mpy", "sx126x.mpy", "sx127x.mpy", "sync_modem.mpy"]
    assert found["modem.mpy"].read_bytes() == b"stand-in of lora/modem.mpy"
    assert [entry.name for entry in home.parent.iterdir()] == ["micropython-lib"]
    assert [entry.name for entry in home.iterdir()] == ["lora"]


def test_a_fetch_that_breaks_off_leaves_the_older_one(index, tmp_path):
    url, folder = index
    home = tmp_path / "micropython-lib"
    micropython_lib.fetch(url, home)
    (folder / "package" / "6" / "lora-sx127x" / "latest.json").unlink()
    with pytest.raises(Problem, match="Package not found"):
        micropython_lib.fetch(url, home)
    assert len(micropython_lib.packages(home)) == 4
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["index", "micropython-lib"]


def test_no_index_is_one_sentence_with_both_cures(tmp_path):
    with pytest.raises(Problem) as caught:
        micropython_lib.fetch("http://127.0.0.1:9", tmp_path / "micropython-lib")
    said = str(caught.value)
    assert said.startswith("micropython-lib: [Errno 111] Connection refused requesting http://127.0.0.1:9/")
    assert "fetch it where there is network" in said
    assert "make test MICROPYTHON_LIB=<folder>" in said
    assert "\n" not in said


def test_a_checkout_is_read_where_its_packages_lie(tmp_path):
    for name in (
        "lora/lora/modem.py",
        "lora-sync/lora/sync_modem.py",
        "lora-sx126x/lora/sx126x.py",
        "lora-async/lora/a.py",
    ):
        file = tmp_path / "micropython" / "lora" / name
        file.parent.mkdir(parents=True)
        file.touch()
    assert sorted(micropython_lib.packages(tmp_path)) == ["modem.py", "sx126x.py", "sync_modem.py"]


def test_another_folder_has_none(tmp_path):
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "modem.py").touch()
    assert micropython_lib.packages(tmp_path) == {}
    assert micropython_lib.packages(tmp_path / "nowhere") == {}
