"""devnet with its API, an API key's token in a file, and the command as a person types it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from chirpstack_api import api

from tools.devnet.devnet import Devnet
from tools.devnet.grpc_server import Server
from tools.technician import cli
from tools.technician.chirpstack import Api

sys.path.insert(0, str(Path(__file__).parent))  # with importlib mode a test's folder is not on it


@pytest.fixture
def network(tmp_path):
    """`address`, `token` (a file), `registry`, and `connection` of an admin."""
    devnet = Devnet(tmp_path / "devnet.sqlite", "seed")
    server = Server(devnet)
    connection = Api(f"127.0.0.1:{server.port}")
    connection.login("admin", "admin")
    key = {"name": "technician", "is_admin": True}
    made = connection.call(
        api.InternalServiceStub(connection.channel).CreateApiKey, api.CreateApiKeyRequest(api_key=key)
    )
    token = tmp_path / "token"
    token.write_text(made.token + "\n")
    yield SimpleNamespace(
        address=f"127.0.0.1:{server.port}",
        token=token,
        devnet=devnet,
        registry=devnet.registry,
        connection=connection,
        server=server,
    )
    connection.close()
    server.stop(0)
    devnet.close()


@pytest.fixture
def vigie_node(monkeypatch, capfd):
    """`vigie_node(*words)` -> (exit code, what it printed, what it said on standard error); `env`: variables, None: unset."""

    def run(*words, env=None):
        for name, value in ({cli.TOKEN: None} | (env or {})).items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["vigie-node", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.app()
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    return run
