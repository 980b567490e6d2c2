"""Real Mosquitto and InfluxDB for the gateway's tests, and the gateway itself as a process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.gateway import two_years
from tests.gateway.support import Gateway, Influx, Publisher
from tools.run import servers
from tools.setup import places

# how long an example takes says what else the machine does
hypothesis.settings.register_profile("vigie", deadline=None)
hypothesis.settings.load_profile("vigie")


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    if not places.INFLUXD.exists():
        pytest.fail("InfluxDB is not there: make setup")
    folder = tmp_path_factory.mktemp("influxdb")
    server = servers.start_influxdb(folder)
    yield Influx(server, servers.influx_setup(server.url, folder / "secrets"))
    server.stop()


@pytest.fixture(scope="session")
def make_two_years(influx: Influx, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], two_years.City]:
    """Makes a register of its own beside the two years of counts, which are planted once."""
    two_years.plant(two_years.found(tmp_path_factory.mktemp("planted"), influx))
    return lambda: two_years.found(tmp_path_factory.mktemp("city"), influx)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[servers.Mosquitto]:
    server = servers.start_mosquitto(tmp_path / "mosquitto")
    yield server
    server.stop()


@pytest.fixture
def gateway(tmp_path: Path, broker: servers.Mosquitto, influx: Influx) -> Iterator[Gateway]:
    made = Gateway(tmp_path / "gateway", broker.port, influx.server.url, influx.access)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def publisher(broker: servers.Mosquitto) -> Iterator[Publisher]:
    made = Publisher(broker.port)
    yield made
    made.close()
