"""Photographs that were kept: the gateway's user can read them, and a pack has them as they were recorded or says why not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import MetergateError
from tests.unit.ledger_site import make_site, run

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = "first.jpg", "second.jpg"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    made = make_site(tmp_path)
    run(made, "inspect", "draw", "--size", "15", "--seed", "s")
    for name in NAMES:
        (tmp_path / name).write_bytes(name.encode())
    return made


def _record(site: Path, name: str) -> Path:
    photo = site.parent / name
    run(site, "inspect", "record", "1", "m-in", "--serial", "ok", "--photo", str(photo), "--keep")
    digest = hashlib.sha256(name.encode()).hexdigest()
    return site.parent / "state" / "inspections" / "000001" / f"{digest}.jpg"


def _pack(site: Path) -> Any:
    made = run(site, "evidence", "pack", "--out", str(site.parent / "pack.zip"), "--unsigned")
    return [one for one in made["members"] if one.endswith(".jpg")], made["left_out"]


def test_what_root_keeps_belongs_to_the_owner_of_the_state_folder(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, tuple[int, int]] = {}

    def chown(path: Path, uid: int, gid: int) -> None:
        given[Path(path).name] = uid, gid

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", chown)
    kept = _record(site, "first.jpg")
    owner = kept.parent.parent.stat()
    assert given["000001"] == given[kept.name] == (owner.st_uid, owner.st_gid)


def test_photographs_of_a_record_that_was_replaced_are_packed_too(site: Path) -> None:
    kept = [_record(site, name) for name in NAMES]
    members, left_out = _pack(site)
    assert members == sorted(f"inspections/000001/{one.name}" for one in kept)
    assert not any("jpg" in one for one in left_out)


@pytest.mark.parametrize(
    ("harm", "said"),
    [(Path.unlink, "it is gone"), (lambda path: path.write_bytes(b"painted over"), "another SHA-256")],
)
def test_what_is_gone_or_changed_is_listed(site: Path, harm: Callable[[Path], Any], said: str) -> None:
    kept = [_record(site, name) for name in NAMES]
    harm(kept[0])
    members, left_out = _pack(site)
    assert members == [f"inspections/000001/{kept[1].name}"]
    (told,) = [one for one in left_out if "first.jpg" in one]
    assert kept[0].name in told
    assert said in told


def test_what_may_not_be_read_is_an_error_that_says_what_to_do(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = _record(site, "first.jpg")
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path == kept:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(MetergateError, match=r"Permission denied; run it as the gateway's user"):
        _pack(site)


@pytest.mark.parametrize(("package", "missing"), [("jinja2", "report: "), ("openpyxl", "workbook: ")])
def test_only_a_package_that_is_not_installed_leaves_a_report_out(
    site: Path, monkeypatch: pytest.MonkeyPatch, package: str, missing: str
) -> None:
    from gateway.reports import page

    def absent(*_: Any, **__: Any) -> Any:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    place = ("gateway.reports.page.page", "gateway.reports.forms.write_workbook")[package == "openpyxl"]
    monkeypatch.setattr(place, absent)
    out = site.parent / "pack.zip"
    made = run(site, "evidence", "pack", "--out", str(out), "--unsigned")
    assert any(one.startswith(missing + package) for one in made["left_out"])
    assert ("workbook.xlsx" in made["members"]) == (package == "jinja2")

    def broken(*_: Any, **__: Any) -> Any:
        raise MetergateError("a report that cannot be made")

    monkeypatch.setattr(page, "page", broken)
    with pytest.raises(MetergateError, match="cannot be made"):
        run(site, "evidence", "pack", "--out", str(out), "--unsigned")
