"""A pack made to hurt: it is refused or told what is wrong with it, soon and within bounds."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.errors import MetergateError
from gateway.feed import jws
from gateway.feed.keys import Key
from gateway.reports import pack
from gateway.reports.pack import FORMAT, MANIFEST, SIGNATURE, TYP, Checked, check, zipped

if TYPE_CHECKING:
    from pathlib import Path

KEY = Key.make("plant-1")


def manifest(members: dict[str, bytes]) -> bytes:
    rows = [
        {"name": name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        for name, body in members.items()
    ]
    return orjson.dumps({"format": FORMAT, "key": KEY.body, "members": rows})


def signed(members: dict[str, bytes], payload: bytes | None = None) -> dict[str, bytes]:
    text = manifest(members)
    said = payload or orjson.dumps({"format": FORMAT, "manifest_sha256": hashlib.sha256(text).hexdigest()})
    return {**members, MANIFEST: text, SIGNATURE: jws.sign(KEY.private, KEY.kid, said, TYP)}


def checked(tmp_path: Path, content: bytes) -> Checked:
    path = tmp_path / "pack.zip"
    path.write_bytes(content)
    return check(path, [KEY.known])


def test_a_statement_that_is_no_json_is_told(tmp_path: Path) -> None:
    found = checked(tmp_path, zipped(signed({"a": b"x"}, b"not json")))
    assert found.findings == (f"{MANIFEST} was changed: it is not the one that was signed",)


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x", "/abs", "a/../../b", "C:\\x", "a\\..\\b", "..", "./a"]
)
def test_a_name_that_leads_out_is_told_though_it_is_signed(tmp_path: Path, name: str) -> None:
    found = checked(tmp_path, zipped(signed({name: b"x", "reports/a..b.html": b"y"})))
    assert found.findings == (f"{name} leads out of the pack: do not unpack it",)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_told_whatever_packed_it(tmp_path: Path, method: int) -> None:
    made, content = io.BytesIO(), b'{"a":1}' * 99
    with zipfile.ZipFile(made, "w") as archive:
        for name, body in signed({"result.json": content}).items():
            archive.writestr(
                name, body, compress_type=method if name == "result.json" else zipfile.ZIP_STORED
            )
        size = archive.getinfo("result.json").compress_size
    raw = made.getvalue()
    start = raw.index(b"result.json") + len(b"result.json")
    for at in range(start, start + size):
        try:
            found = checked(tmp_path, raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :])
        except MetergateError:
            continue
        if not found.findings:  # the last bytes of some methods say nothing
            with zipfile.ZipFile(tmp_path / "pack.zip") as archive:
                assert archive.read("result.json") == content


def test_thousands_of_members_cost_no_minutes(tmp_path: Path) -> None:
    made = io.BytesIO()
    rows = [{"name": f"gone-{n}", "sha256": ""} for n in range(20_000)]
    with zipfile.ZipFile(made, "w") as archive:
        for n in range(20_000):
            archive.writestr(f"member-with-a-long-common-prefix-{n:06d}", b"")
        archive.writestr(MANIFEST, orjson.dumps({"format": FORMAT, "members": rows, "key": None}))
    path = tmp_path / "pack.zip"
    path.write_bytes(made.getvalue())
    begun = time.process_time()
    assert len(check(path).findings) == 40_000
    assert time.process_time() - begun < 5


def test_what_a_pack_unpacks_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = zipped(signed({f"m{n}": bytes(1000) for n in range(10)}))
    assert checked(tmp_path, whole).is_whole
    monkeypatch.setattr(pack, "UNPACKED_BYTES_MAX", 9_500)
    with pytest.raises(MetergateError, match="unpacks to more than 9500 bytes"):
        checked(tmp_path, whole)


def test_a_manifest_that_lists_a_member_twice_is_told(tmp_path: Path) -> None:
    body = orjson.loads(manifest({"a": b"x"}))
    body["members"] = [{"name": "a", "sha256": "0" * 64}, *body["members"]]
    path = tmp_path / "pack.zip"
    path.write_bytes(zipped({"a": b"x", MANIFEST: orjson.dumps(body | {"key": None})}))
    assert check(path).findings == (f"{MANIFEST} lists a member twice",)
