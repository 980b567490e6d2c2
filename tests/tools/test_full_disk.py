"""A disk that takes no more: nothing is left half-written, and the error says where. Stood in for by the process' file size limit."""

import contextlib
import json
import resource
import sqlite3

import pytest

from tools.devnet.store import Store, StoreError
from tools.virtual_board.flash import Flash, build_image, read_image


@contextlib.contextmanager
def room(size):
    """No file may grow beyond `size` bytes; Python has SIGXFSZ ignored, so that writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_half_flash_image_is_left(tmp_path):
    image = tmp_path / "flash.img"
    with room(1_000_000), pytest.raises(OSError, match="File too large"):
        build_image(image, {"main.py": b"pass"})
    assert not image.exists()
    build_image(image, {"main.py": b"pass"})
    assert read_image(image.read_bytes()) == {"main.py": b"pass"}


def test_wear_counts_are_old_or_new(tmp_path):
    image = tmp_path / "flash.img"
    build_image(image, {})
    flash = Flash(image)
    flash.erase(3)
    flash.close()
    flash = Flash(image)
    flash.erase(3)
    with room(100), pytest.raises(OSError, match="File too large"):
        flash.close()
    again = Flash(image)
    assert again.erases[3] == 1
    again.close()
    assert json.loads((tmp_path / "flash.img.wear").read_text())["erases"][3] == 1


def test_the_network_servers_database_says_so_and_goes_on(tmp_path):
    path = tmp_path / "devnet.sqlite"
    store = Store(path)

    def fill():
        for number in range(100):
            with store.transaction() as db:
                db.execute("INSERT INTO counter VALUES (?, 0)", (f"{number:0>5000}",))

    with room(path.stat().st_size + 30_000), pytest.raises(StoreError, match=r"devnet\.sqlite: .*; make room"):
        fill()
    before = store.rows("SELECT count(*) FROM counter")[0][0]
    assert before < 100
    with store.transaction():
        store.next("after")
    assert store.rows("SELECT count(*) FROM counter")[0][0] == before + 1
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
