"""`metergate opcua trust` against a real server: shown, accepted, pinned, and taken by the link at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import orjson
import pytest
from typer.testing import CliRunner

from drivers.opcua import certificates
from gateway import assembly
from gateway.clock import SystemClock
from gateway.commands.cli import app
from gateway.config.site_file import load
from gateway.errors import LinkDown, MetergateError
from tests.contract.opcua_server import PlantServer, Secure
from tests.contract.test_opcua_security import OFFERED, make_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

SITE = """
[gateway]
id = "g"
state_dir = "{state}"
[site]
name = "Plant"
timezone = "Asia/Shanghai"
[[links]]
id = "dcs"
kind = "opcua"
url = "{url}"
security = "aes256_sha256_rsapss"
mode = "subscribe"
reporting = "500ms"
[[meters]]
id = "boiler-1"
link = "dcs"
energy_kind = "steam"
period = "1s"
[meters.variables.flow_mass]
id = "ns=2;s=Flow"
quantity = "flow_mass"
unit = "t/h"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantServer]:
    pair = make_pair(tmp_path_factory.mktemp("pki"), "server", begin_ns=time.time_ns())
    with PlantServer(secure=Secure(*pair, OFFERED)) as made:
        yield made


@pytest.fixture
def site(server: PlantServer, tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(SITE.format(state=tmp_path / "state", url=server.url))
    return path


def call(site: Path, *words: str, said: str = "") -> Result:
    return CliRunner().invoke(app, ["opcua", "trust", *words, "--config", str(site)], input=said)


def opens(site: Path) -> str:
    """Open the link the site describes as the gateway would; return why it did not."""
    found = load(site)
    link = assembly.link(found.links[0], SystemClock(), found.gateway.state_dir)

    async def once() -> str:
        try:
            await link.open()
        except LinkDown as error:
            return str(error)
        finally:
            await link.close()
        return ""

    return asyncio.run(once())


def test_accept_asks_and_the_link_then_opens(site: Path) -> None:
    assert "metergate opcua trust accept dcs" in opens(site)
    no = call(site, "accept", "dcs", said="n\n")
    assert no.exit_code == 1
    assert "fingerprint" in no.output
    assert "Nothing was accepted" in no.output
    assert opens(site)
    assert call(site, "accept", "dcs", said="y\n").exit_code == 0
    assert opens(site) == ""
    listed = orjson.loads(call(site, "list", "--json").output)
    assert len(listed["trusted"]) == 1
    assert listed["own"]["uri"].startswith("urn:metergate:")


def test_pin_takes_the_one_with_the_fingerprint_only(site: Path, server: PlantServer) -> None:
    wrong = call(site, "pin", "dcs", "ab" * 32)
    assert isinstance(wrong.exception, MetergateError)
    assert "another fingerprint" in str(wrong.exception)
    assert opens(site)
    assert server.secure is not None
    right = certificates.fingerprint(server.secure.certificate.read_bytes())
    assert call(site, "accept", "dcs", "--json").exit_code == 2, "JSON asks nothing"
    pinned = call(site, "pin", "dcs", right.upper(), "--json")
    assert pinned.exit_code == 0
    assert (
        orjson.loads(pinned.output)["fingerprint"].replace(":", "").upper() == right.replace(":", "").upper()
    )
    again = orjson.loads(call(site, "accept", "dcs", "--yes", "--json").output)
    assert again["file"] == orjson.loads(pinned.output)["file"]
    assert opens(site) == ""
    assert call(site, "pin", "dcs", "1234").exit_code == 2


def test_a_link_that_is_none_is_named(site: Path) -> None:
    wrong = call(site, "accept", "plc", "--yes")
    assert "there are: dcs" in str(wrong.exception)
    assert "none" in call(site, "list").output
