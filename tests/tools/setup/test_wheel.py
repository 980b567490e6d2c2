"""What a wheel and an sdist of the project hold: the gateway with its payload, the tools, nothing under a generic name."""

import subprocess
import sys
import tarfile
import zipfile

import pytest

from tools.setup import places

PAYLOAD = {path.name for path in (places.ROOT / "firmware" / "payload").glob("*.py")}


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


def test_the_sdist_holds_the_payload_where_the_gateway_looks(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    assert {f"gateway/vigie/payload/{name}" for name in PAYLOAD} <= names
    assert {f"firmware/payload/{name}" for name in PAYLOAD} <= names
    assert "LICENSE" in names
