"""`metergate check` looks into the certificate files of sinks; a gateway starts all the same."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.config.certificate_files import certificate_findings
from gateway.config.site_file import from_toml, load
from tests.fakes.certificates import Certificates, make_certificates
from tests.unit.test_config_periods import FEED, RIGHT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


def findings(folder: Path, tls: str) -> dict[str, str]:
    site = from_toml(RIGHT.replace(FEED, f"{FEED}tls = {{ {tls} }}\n"), folder / "site.toml")
    return {found.path: found.found for found in certificate_findings(site)}


def test_a_pair_that_is_one_is_no_finding(tmp_path: Path, made: Certificates) -> None:
    assert not findings(tmp_path, 'ca_file = "ca.pem", cert_file = "client.pem", key_file = "client.key"')


@pytest.mark.parametrize(
    ("tls", "key", "said"),
    [
        ('cert_file = "client.pem", key_file = "server.key"', "key_file", "which is not the key of"),
        ('cert_file = "client.key", key_file = "client.key"', "cert_file", "which is a private key"),
        ('cert_file = "client.pem", key_file = "client.pem"', "key_file", "which is no private key"),
        ('cert_file = "client.der", key_file = "client.key"', "cert_file", "no certificate in PEM"),
        ('cert_file = "cut.pem", key_file = "client.key"', "cert_file", "whose certificate is damaged"),
        ('cert_file = "client.pem", key_file = "locked.key"', "key_file", "which wants a password"),
        ('ca_file = "text"', "ca_file", "no certificate in PEM"),
        ('ca_file = "cut.pem"', "ca_file", "whose certificate is damaged"),
    ],
)
def test_what_no_connection_could_use_is_a_finding(
    tmp_path: Path, made: Certificates, tls: str, key: str, said: str
) -> None:
    pem = made.client.read_bytes()
    (tmp_path / "text").write_text("see the other folder\n")
    (tmp_path / "cut.pem").write_bytes(pem[:200] + pem[260:])
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    (tmp_path / "client.der").write_bytes(der)
    private = serialization.load_pem_private_key(made.client_key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "locked.key").write_bytes(private.private_bytes(*form, locked))
    ((path, found),) = findings(tmp_path, tls).items()
    assert path == f"sinks.regulator.tls.{key}"
    assert said in found


def test_check_refuses_it_and_the_gateway_does_not(tmp_path: Path, made: Certificates) -> None:
    site = tmp_path / "site.toml"
    tls = 'tls = { cert_file = "client.pem", key_file = "server.key" }\n'
    site.write_text(RIGHT.replace(FEED, FEED + tls))
    checked = CliRunner().invoke(app, ["check", "--config", str(site)])
    assert checked.exit_code == 78
    assert "sinks.regulator.tls.key_file" in checked.output
    assert load(site).sinks, "meters are read although a sink cannot be reached"


def test_it_needs_no_cryptography() -> None:
    code = "import sys, gateway.config.certificate_files; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
