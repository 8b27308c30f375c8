"""Secrets come from files and systemd credentials, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.site_file import from_toml
from gateway.config.summary import summary
from gateway.errors import ConfigError
from gateway.secret_files import SECRET_BYTES_MAX, read_secret, readable_by_all
from tests.unit.config_site import changed, findings

if TYPE_CHECKING:
    from pathlib import Path


def test_none_is_configured() -> None:
    assert read_secret(None, "") is None


@pytest.mark.parametrize(
    ("written", "secret"),
    [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), (" p w ", " p w "), ("密码\n", "密码")],
)
def test_one_line_end_is_left_out(written: str, secret: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(written.encode())
    assert read_secret(file, "") == secret


def test_a_credential_is_read_from_systemds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mqtt").write_text("pw\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(None, "mqtt") == "pw"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"a\0b", b"x" * (SECRET_BYTES_MAX + 1)]
)
def test_what_is_no_secret_is_refused_without_being_shown(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_secret(file, "")
    assert str(file) in str(caught.value)
    assert "lines" not in str(caught.value)


def test_a_missing_file_and_a_missing_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_secret(tmp_path / "none", "")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="LoadCredential=mqtt"):
        read_secret(None, "mqtt")


def test_check_looks_for_the_credential_only_under_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = changed(('org = "plant"', 'org = "plant"\ntoken_credential = "influx"'))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert findings(text, tmp_path) == ()
    warnings = summary(from_toml(text, tmp_path / "site.toml"))["warnings"]
    assert any("credential influx not looked for" in warning for warning in warnings)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (finding,) = findings(text, tmp_path)
    assert finding.path == "sinks.influx.token_credential"
    (tmp_path / "influx").write_text("t")
    assert findings(text, tmp_path) == ()


def test_readable_by_all(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("pw")
    file.chmod(0o640)
    assert not readable_by_all(file)
    file.chmod(0o644)
    assert readable_by_all(file)
    assert not readable_by_all(tmp_path / "none")
