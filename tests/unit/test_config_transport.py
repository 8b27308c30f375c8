"""TLS is spoken to every host but this machine, and what goes in the clear is said by `metergate check`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.config.certificate_ends import certificate_warnings
from gateway.config.site_file import from_toml
from gateway.config.summary import summary
from gateway.config.urls import is_this_machine
from gateway.model import NS
from tests.unit.config_site import changed
from tests.unit.test_config_periods import DATABASE, FEED, RIGHT

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.models import Site

MQTT, INFLUX_URL = 'host = "127.0.0.1"', 'url = "http://127.0.0.1:8086"'


def site_of(text: str, folder: Path) -> Site:
    return from_toml(text, folder / "site.toml")


def transport(site: Site) -> list[str]:
    """Return the warnings about sinks alone."""
    return [text for text in summary(site)["warnings"] if text.startswith("sinks.")]


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("broker.localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1", False),
        ("localhost.example.org", False),
        ("mylocalhost", False),
        ("127.0.0.1.example.org", False),
        ("1", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, here: bool) -> None:
    assert is_this_machine(host) is here


@pytest.mark.parametrize(
    ("host", "tls", "spoken"),
    [
        ("127.0.0.1", "", False),
        ("localhost", "", False),
        ("localhost", "tls = { enabled = true }", True),
        ("10.0.0.7", "", True),
        ("broker.plant.local", "tls = {}", True),
        ("10.0.0.7", "tls = { enabled = false }", False),
    ],
)
def test_when_tls_is_spoken(host: str, tls: str, spoken: bool, tmp_path: Path) -> None:
    site = site_of(changed((MQTT, f'host = "{host}"\nport = 2883\n{tls}')), tmp_path)
    assert site.sinks[0].uses_tls is spoken
    assert bool(transport(site)) is (not spoken and host == "10.0.0.7")
    feed = site_of(RIGHT.replace('host = "feed.example.org"', f'host = "{host}"\n{tls}'), tmp_path).sinks[2]
    assert feed.uses_tls is spoken


def test_an_influx_url_decides(tmp_path: Path) -> None:
    for url, spoken, warned in (
        ("http://127.0.0.1:8086", False, False),
        ("http://10.0.0.7:8086", False, True),
        ("https://10.0.0.7:8086", True, False),
        ("https://localhost:8086", True, False),
    ):
        site = site_of(changed((INFLUX_URL, f'url = "{url}"')), tmp_path)
        assert site.sinks[1].uses_tls is spoken
        assert bool(transport(site)) is warned, url


def test_the_gateway_opens_sinks_as_the_table_says(tmp_path: Path) -> None:
    from gateway.assembly import _tls

    clear, secure = (
        site_of(changed((MQTT, f'host = "{host}"')), tmp_path).sinks[0] for host in ("::1", "10.0.0.7")
    )
    assert _tls(clear) is None
    assert _tls(secure) is not None


def test_what_is_warned_of_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "secret").chmod(0o600)
    clear = 'user = "u"\npassword_file = "secret"\ntls = { enabled = false }\n'
    text = RIGHT.replace(FEED, FEED + clear).replace(DATABASE, DATABASE.replace("https", "http"))
    plain, wrong_port, database = transport(site_of(text, tmp_path))
    assert "sinks.regulator.tls: off to another machine: the password and every message" in plain
    assert "signatures" in plain
    assert wrong_port == "sinks.regulator.port: 8883, but 1883 is usual without TLS"
    assert database.startswith("sinks.regulator-db.url: http to another machine: everything written")


def test_tls_at_the_plain_port_is_warned_of(tmp_path: Path) -> None:
    (warning,) = transport(site_of(changed((MQTT, 'host = "10.0.0.7"')), tmp_path))
    assert warning == "sinks.mqtt.port: 1883, but 8883 is usual with TLS"


def pem(days: float) -> bytes:
    """Return a certificate that ends in so many days."""
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - timedelta(days=400)).not_valid_after(now + timedelta(days=days))
    return built.sign(key, None).public_bytes(Encoding.PEM)


def test_certificates_of_sinks_that_end_soon_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "old.crt").write_bytes(pem(-1))
    (tmp_path / "soon.crt").write_bytes(pem(20) + pem(3000))
    (tmp_path / "cas.crt").write_bytes(pem(-1) + pem(500))
    (tmp_path / "key").write_text("not read here")
    now_ns = round(datetime.now(UTC).timestamp()) * NS

    def warnings(tls: str) -> list[str]:
        text = RIGHT.replace(FEED, f"{FEED}tls = {{ {tls} }}\n").replace(
            DATABASE, f"{DATABASE}tls = {{ {tls} }}\n"
        )
        return list(certificate_warnings(site_of(text, tmp_path), now_ns))

    ending = warnings('cert_file = "soon.crt", key_file = "key", ca_file = "cas.crt"')
    assert [text.partition(":")[0] for text in ending] == [
        "sinks.regulator.tls.cert_file",
        "sinks.regulator-db.tls.cert_file",
    ]
    assert "soon.crt ends on" in ending[0]
    assert all("old.crt ended on" in text and ".ca_file" in text for text in warnings('ca_file = "old.crt"'))
    assert "is no certificate" in warnings('ca_file = "key"')[0]
