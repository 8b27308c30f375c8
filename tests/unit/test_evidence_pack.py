"""The evidence pack: the same content makes the same file, and whatever is changed in one is told."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.errors import MetergateError
from gateway.feed import jws
from gateway.feed.keys import Key, KeyRing
from gateway.reports.pack import MANIFEST, SIGNATURE, Checked, check, make, zipped
from tests.unit.ledger_site import ledger, make_site, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = Key.make("plant-1")
OTHER = Key.make("plant-1")
MEMBERS = {"result.json": b'{"rate":100}', "certificates/a.pdf": b"%PDF" * 999, "台账.json": b"{}"}
ABOUT = {"as_of": "2026-09-01"}


def _unzipped(pack: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _checked(tmp_path: Path, pack: bytes, *keys: Key) -> Checked:
    path = tmp_path / "pack.zip"
    path.write_bytes(pack)
    return check(path, [key.known for key in keys])


def test_a_pack_is_the_same_for_the_same_content(tmp_path: Path) -> None:
    pack = make(MEMBERS, ABOUT, KEY)
    assert pack == make(dict(reversed(MEMBERS.items())), ABOUT, KEY)
    found = _checked(tmp_path, pack, KEY)
    assert (found.findings, found.members, found.is_trusted) == ((), 3, True)
    own = _checked(tmp_path, pack)
    assert own.signer is not None
    assert (own.signer.fingerprint, own.is_trusted) == (KEY.fingerprint, False)


def _manifest_for(members: dict[str, bytes]) -> bytes:
    manifest = orjson.loads(members[MANIFEST])
    for one in manifest["members"]:
        one["sha256"] = hashlib.sha256(members[one["name"]]).hexdigest()
    return orjson.dumps(manifest)


def _changed(members: dict[str, bytes]) -> None:
    members["result.json"] = b'{"rate":200}'


def _changed_with_its_hash(members: dict[str, bytes]) -> None:
    _changed(members)
    members[MANIFEST] = _manifest_for(members)


def _signed_by_another(members: dict[str, bytes]) -> None:
    """Change everything consistently, as only who has a key can; it is not the gateway's."""
    _changed_with_its_hash(members)
    manifest = orjson.loads(members[MANIFEST]) | {"key": OTHER.body}
    members[MANIFEST] = orjson.dumps(manifest)
    statement = {
        "format": manifest["format"],
        "manifest_sha256": hashlib.sha256(members[MANIFEST]).hexdigest(),
    }
    members[SIGNATURE] = jws.sign(OTHER.private, OTHER.kid, orjson.dumps(statement), "metergate-pack+jws")


def _signed_as_a_message(members: dict[str, bytes]) -> None:
    statement = jws.parse(members[SIGNATURE], "metergate-pack+jws").payload
    members[SIGNATURE] = jws.sign(KEY.private, KEY.kid, statement)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_changed, "result.json was changed"),
        (_changed_with_its_hash, "manifest.json was changed"),
        (_signed_by_another, "by none of the keys given"),
        (_signed_as_a_message, "the signature cannot be read: typ is"),
        (lambda members: members.pop("result.json"), "result.json is missing"),
        (lambda members: members.update({"extra.txt": b"x"}), "extra.txt is not in the manifest"),
        (lambda members: members.pop(SIGNATURE), "it is not signed"),
        (lambda members: members.update({SIGNATURE: b"x.y.z"}), "the signature cannot be read"),
    ],
)
def test_every_change_is_told(tmp_path: Path, change: Callable[[dict[str, bytes]], Any], said: str) -> None:
    members = _unzipped(make(MEMBERS, ABOUT, KEY))
    change(members)
    found = _checked(tmp_path, zipped(members), KEY)
    assert any(said in one for one in found.findings), found.findings


def test_one_byte_of_a_member_is_told(tmp_path: Path) -> None:
    pack = make(MEMBERS, ABOUT, KEY)
    start = pack.index(b"certificates/a.pdf") + len("certificates/a.pdf")  # of what is compressed: 28 bytes
    for at in range(start, start + 24):
        broken = pack[:at] + bytes([pack[at] ^ 0x41]) + pack[at + 1 :]
        try:
            assert not _checked(tmp_path, broken, KEY).is_whole
        except MetergateError:
            continue


def test_what_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(MetergateError, match="is no zip"):
        _checked(tmp_path, b"x")
    with pytest.raises(MetergateError, match="is no evidence pack"):
        _checked(tmp_path, zipped({"a": b""}))
    with pytest.raises(MetergateError, match="not of the format"):
        _checked(tmp_path, zipped({MANIFEST: b"[]"}))


def _evidence(folder: Path) -> Path:
    rows = {one["id"]: {"expected": 10, "good": 10, "amount": "100 kWh"} for one in ledger()["instruments"]}
    path = folder / "evidence.json"
    path.write_text(json.dumps({"from": "2026-08-01", "to": "2026-08-31", "instruments": rows}))
    return path


def test_a_site_is_packed_and_checked(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    body = ledger()
    (tmp_path / "a.pdf").write_bytes(b"certificate")
    body["instruments"][0]["verifications"][0] |= {"file": "a.pdf", "certificate": "C-1"}
    (tmp_path / "inventory.json").write_text(json.dumps(body))
    given = "--evidence", str(_evidence(tmp_path)), "--as-of", "2026-09-15"
    out = tmp_path / "pack.zip"
    with pytest.raises(MetergateError, match="there is no key"):
        run(site, "evidence", "pack", "--out", str(out), *given)
    ring = KeyRing(tmp_path / "state", "plant-1")
    bill = (
        "--energy-kind",
        "electricity",
        "--from",
        "2026-08-01",
        "--to",
        "2026-08-31",
        "--amount",
        "100 kWh",
    )
    run(site, "bill", "enter", *bill, "--supplier", "S", "--number", "8", "--flow", "in")
    run(site, "inspect", "draw", "--size", "2", "--seed", "s")
    made = run(site, "evidence", "pack", "--out", str(out), *given)
    assert made["kid"] == ring.current.kid
    members = _unzipped(out.read_bytes())
    expected = {"result.json", "balance.json", "evidence.json", "inventory/inventory.json", "rulesets/GB17167-2006.json",
                "report.zh.html", "report.en.html", "workbook.xlsx", "diagrams/electricity.zh.svg", "bills.jsonl",
                "bills-compared.json", "inspections/000001.jsonl", "certificates.json"}  # fmt: skip
    assert expected <= set(members), expected - set(members)
    (stated, *others) = json.loads(members["certificates.json"])
    assert members[stated["member"]] == b"certificate"
    assert others[0]["why"] == "no file is named"

    pem = tmp_path / "key.pem"
    pem.write_text(ring.current.known.pem)
    good = CliRunner().invoke(app, ["evidence", "check", str(out), "--key", str(pem), "--json"])
    assert (good.exit_code, json.loads(good.stdout)["ok"]) == (0, True)
    members["bills.jsonl"] = members["bills.jsonl"].replace(b"100 kWh", b"900 kWh")
    out.write_bytes(zipped(members))
    bad = CliRunner().invoke(app, ["evidence", "check", str(out), "--key", str(pem)])
    assert bad.exit_code == 1
    assert "bills.jsonl was changed" in bad.output


def test_an_unsigned_pack_is_accepted_only_if_that_is_said(tmp_path: Path) -> None:
    out = tmp_path / "pack.zip"
    out.write_bytes(make(MEMBERS, ABOUT, None))
    assert CliRunner().invoke(app, ["evidence", "check", str(out)]).exit_code == 1
    assert CliRunner().invoke(app, ["evidence", "check", str(out), "--unsigned"]).exit_code == 0
