"""Whom a denied message tells the operator to give the permission to."""

from __future__ import annotations

from pathlib import Path

from gateway.sinks.tls import TlsFiles, acl_name


def test_a_user_a_certificate_or_nobody() -> None:
    files = TlsFiles(cert=Path("/etc/metergate/plant-1.crt"))
    assert acl_name("plant-1", files) == "user plant-1"
    assert acl_name("", files) == "the user the broker makes of plant-1.crt (mosquitto: its common name)"
    assert acl_name("", TlsFiles()) == acl_name("", None) == "anonymous clients"
