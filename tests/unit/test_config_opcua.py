"""What goes together in an OPC UA link, and which certificates `check` warns of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from drivers.opcua import certificates
from gateway.config.certificate_ends import certificate_warnings
from gateway.config.site_file import from_toml
from tests.unit.config_site import SITE, changed, findings

if TYPE_CHECKING:
    from pathlib import Path

URL = 'url = "opc.tcp://10.0.0.2:4840"'


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("queue = 5", "links.dcs.mode"),
        ('mode = "subscribe"\nreporting = "1s"\nsampling = "2s"', "links.dcs.sampling"),
        ('mode = "subscribe"\nqueue = 0', "links.dcs.queue"),
        ('mode = "subscribe"\ndeadband = -1.0', "links.dcs.deadband"),
        ('mode = "listen"', "links.dcs.mode"),
        ('security = "basic256"', "links.dcs.security"),
        ('security_mode = "sign"', "links.dcs.security"),
        ('security = "basic256sha256"\ncert_file = "x.pem"\nkey_file = "x.pem"', "links.dcs.cert_file"),
        ('security = "basic256sha256"\nkey_file = "site.toml"', "links.dcs.cert_file"),
        (
            'user = "x"\nsecurity = "basic256sha256"\nuser_cert_file = "site.toml"\nuser_key_file = "site.toml"',
            "links.dcs.user",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_findings(tmp_path: Path, more: str, path: str) -> None:
    (tmp_path / "site.toml").write_text("")
    assert path in {finding.path for finding in findings(changed((URL, f"{URL}\n{more}")), tmp_path)}


def test_certificates_that_end_are_warned_of(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now_ns = time.time_ns()
    days_ns = 86_400 * 10**9
    for name, begin_ns, days in (
        ("own/a", now_ns, 20),
        ("trusted/b", now_ns - 99 * days_ns, 9),
        ("trusted/c", now_ns, 90),
    ):
        made = certificates.self_signed(key, "x", "urn:x", [], begin_ns, days)
        der = made.public_bytes(serialization.Encoding.DER)
        certificates.write_certificate(tmp_path / "state" / "opcua" / f"{name}.der", der)
    (tmp_path / "state" / "opcua" / "trusted" / "d.der").write_text("nothing")
    text = changed((URL, URL + '\nsecurity = "basic256sha256"')).replace(
        'id = "plant-1"', f'id = "plant-1"\nstate_dir = "{tmp_path / "state"}"', 1
    )
    found = list(certificate_warnings(from_toml(text, tmp_path / "site.toml"), now_ns))
    assert len(found) == 3
    assert "a.der ends on" in found[0]
    assert "b.der ended on" in found[1]
    assert "d.der is no certificate" in found[2]
    assert not list(certificate_warnings(from_toml(SITE, tmp_path / "site.toml"), now_ns))
