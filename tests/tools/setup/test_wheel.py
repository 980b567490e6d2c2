"""What a wheel and an sdist of the project hold: the gateway with its payload, the tools, nothing under a generic name."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

from tools.setup import nodejs, places

PAYLOAD = {path.name for path in (places.ROOT / "firmware" / "payload").glob("*.py")}

# The page's own files, and the chart library that set-up copied there though git ignores it.
WEB = {"static/vigie.css", "static/vigie.js", "static/icon.svg", "templates/nodes.html"} | {
    f"static/vendor/{name}" for name in nodejs.CHART_FILES
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both archives, built without the network."""
    out = tmp_path_factory.mktemp("dist")
    code = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1])); print(b.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, out], cwd=places.ROOT, check=True, capture_output=True)
    return out


def test_the_wheel_installs_two_names_and_the_payload(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vigie", "vigie_tools"}
    assert {name.removeprefix("vigie/payload/") for name in names if name.startswith("vigie/payload/")} == PAYLOAD
    assert "vigie_tools/setup/influxd/go.sum" in names
    assert {f"vigie/web/{name}" for name in WEB} <= set(names)


def test_the_sdist_holds_the_payload_where_the_gateway_looks(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    assert {f"gateway/vigie/payload/{name}" for name in PAYLOAD} <= names
    assert {f"firmware/payload/{name}" for name in PAYLOAD} <= names
    assert "LICENSE" in names
    assert {f"gateway/vigie/web/{name}" for name in WEB} <= names


def test_the_wheel_has_the_technicians_command_and_the_firmware_for_it(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            archive.extract(name, tmp_path)
    (scripts,) = tmp_path.glob("*.dist-info/entry_points.txt")
    assert "vigie-node = vigie_tools.technician.cli:app" in scripts.read_text()
    code = (
        "import json; from vigie_tools.technician import cli, flash;"
        "print(json.dumps([flash.__file__, sorted(flash.compiled()), cli.chirpstack.CODEC.is_file()]))"
    )
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=variables | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where, files, codec = json.loads(done.stdout)
    sources = places.ROOT / "firmware"
    names = {path.relative_to(sources).as_posix() for path in sources.rglob("*.py")} - {"main.py"}
    assert where.startswith(str(tmp_path)) and codec
    assert set(files) == {"/main.py"} | {f"/{name[:-3]}.mpy" for name in names}
