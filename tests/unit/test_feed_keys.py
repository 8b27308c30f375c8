"""The gateway's key: made once, never lost by a rotation that is interrupted anywhere; public keys in every form."""

from __future__ import annotations

import errno
import stat
import subprocess
from typing import TYPE_CHECKING

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from gateway.errors import StorageError
from gateway.feed import contract, keys
from gateway.feed.keys import Key, KeyRefused, KeyRing, load_public
from gateway.state_folder import replace_file
from tests.fakes.signed_feed import GATEWAY, key_of

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_first_start_makes_a_key_and_the_next_finds_it(tmp_path: Path) -> None:
    first = KeyRing(tmp_path, "plant-1")
    assert first.is_new
    assert stat.S_IMODE((tmp_path / "feed.key").stat().st_mode) == 0o600
    assert first.current.kid == f"plant-1-{first.current.fingerprint[:16]}"
    again = KeyRing(tmp_path, "plant-1")
    assert (again.is_new, again.current.kid) == (True, first.current.kid), "killed before a chain began"
    again.began()
    assert not again.is_new
    again = KeyRing(tmp_path, "plant-1")
    assert (again.is_new, again.current.kid) == (False, first.current.kid)
    assert names(tmp_path) == {"feed.key"}
    assert contract.Key.model_validate(again.current.body, strict=True).kid == first.current.kid


def test_a_rotation_in_two_steps(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, "plant-1")
    old, new = ring.rotate()
    assert ring.rotate() == (old, new), "asked again it is the same one"
    assert ring.current is old
    ring.adopt()
    assert (ring.current, ring.next) == (new, None)
    again = KeyRing(tmp_path, "plant-1")
    assert again.current.kid == new.kid
    assert [key.kid for key in again.retired] == [old.kid]
    assert names(tmp_path) == {"feed.key", "feed.key.made", "feed.retired.json"}
    assert b"PRIVATE" not in (tmp_path / "feed.retired.json").read_bytes()


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_kill_after_the_first_step(tmp_path: Path, is_committed: bool) -> None:
    """What the committed chain goes on with decides."""
    old, new = KeyRing(tmp_path, "plant-1").rotate()
    ring = KeyRing(tmp_path, "plant-1")
    assert ring.next is not None
    ring.settle(new.kid if is_committed else old.kid)
    assert KeyRing(tmp_path, "plant-1").current.kid == (new if is_committed else old).kid
    assert "feed.key.next" not in names(tmp_path)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_kill_in_the_second_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old key is on record before the new one takes its place; announced, the new one signs whatever the disk says."""
    ring = KeyRing(tmp_path, "plant-1")
    old, new = ring.rotate()
    with monkeypatch.context() as patch:
        patch.setattr(keys, "_sync", full)
        patch.setattr(type(tmp_path), "replace", full)
        ring.adopt()
        assert ring.current is new
        assert "No space" in ring.error
        with pytest.raises(StorageError, match="No space"):
            ring.rotate()  # its file would take the place of the only copy of the key in force
    again = KeyRing(tmp_path, "plant-1")
    assert again.current.kid == old.kid
    again.settle(new.kid)
    assert again.current.kid == new.kid
    assert [key.kid for key in again.retired] == [old.kid]
    assert names(tmp_path) == {"feed.key", "feed.key.made", "feed.retired.json"}


def test_the_file_work_is_tried_again_until_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = KeyRing(tmp_path, "plant-1")
    _, new = ring.rotate()
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "replace", full)
        ring.adopt()
        assert not ring.finish()
    (tmp_path / "feed.key.next").unlink()  # somebody tidied up
    assert ring.finish()
    assert ring.error == ""
    assert KeyRing(tmp_path, "plant-1").current.kid == new.kid


@pytest.mark.parametrize("refused", ["feed.retired.json", "feed.key.next"])
def test_a_full_disk_in_the_first_step_changes_nothing(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = KeyRing(tmp_path, "plant-1")
    whole = replace_file

    def some(path: Path, body: bytes) -> None:
        if path.name == refused:
            full()
        whole(path, body)

    with monkeypatch.context() as patch:
        patch.setattr(keys, "replace_file", some)
        with pytest.raises(StorageError, match="No space"):
            ring.rotate()
    again = KeyRing(tmp_path, "plant-1")
    assert (again.current.kid, again.next, again.retired) == (ring.current.kid, None, [])
    ring.rotate()


def test_an_announced_key_is_never_withdrawn(tmp_path: Path) -> None:
    """The event may say so where the newest message does not; where nothing is known it waits for the next rotation."""
    old, new = KeyRing(tmp_path, "plant-1").rotate()
    ring = KeyRing(tmp_path, "plant-1")
    ring.settle("")
    assert (ring.current.kid, ring.rotate()[1].kid) == (old.kid, new.kid)
    ring = KeyRing(tmp_path, "plant-1")
    ring.settle(old.kid, [new.kid])
    assert ring.current.kid == new.kid


def test_every_key_that_was_in_force_stays_known(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, "plant-1")
    kids = []
    for _ in range(3):
        kids.append(ring.current.kid)
        ring.rotate()
        ring.adopt()
    assert [key.kid for key in KeyRing(tmp_path, "plant-1").retired] == kids


def test_retired_keys_keep_the_name_they_had(tmp_path: Path) -> None:
    """The gateway was renamed after a rotation: it starts, and a recording of before still names its key."""
    ring = KeyRing(tmp_path, "plant-1")
    old, _ = ring.rotate()
    ring.adopt()
    again = KeyRing(tmp_path, "plant-2")
    assert [key.kid for key in again.retired] == [old.kid]
    second = again.current.kid
    again.rotate()
    again.adopt()
    assert [key.kid for key in KeyRing(tmp_path, "plant-3").retired] == [old.kid, second]


@pytest.mark.parametrize("body", [[1], [{}], [{"kid": "x"}], {}, 5])
def test_a_damaged_list_of_retired_keys_is_told(tmp_path: Path, body: object) -> None:
    KeyRing(tmp_path, "plant-1")
    (tmp_path / "feed.retired.json").write_bytes(orjson.dumps(body))
    if body != {}:
        with pytest.raises(StorageError, match=r"feed\.retired\.json"):
            KeyRing(tmp_path, "plant-1")


@pytest.mark.parametrize("text", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_never_replaced(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "feed.key").write_bytes(text)
    with pytest.raises(StorageError, match="move it away"):
        KeyRing(tmp_path, "plant-1")
    assert (tmp_path / "feed.key").read_bytes() == text


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "feed.key").write_bytes(generate_private_key(SECP256R1()).private_bytes(*form))
    with pytest.raises(StorageError, match="no Ed25519 key"):
        KeyRing(tmp_path, "plant-1")


def test_public_keys_in_every_form() -> None:
    known = key_of().known
    forms = [
        known.pem.encode(),
        orjson.dumps(known.jwk),
        orjson.dumps({"keys": [known.jwk, key_of("two").known.jwk]}),
        orjson.dumps({"kid": known.kid, "fingerprint": known.fingerprint, "jwk": known.jwk}),
        orjson.dumps(known.body),
    ]
    for form in forms:
        found = load_public(form)
        assert found[0].fingerprint == known.fingerprint
        assert found[0].is_named(known.kid)
        assert not found[0].is_named(key_of("two").kid)
    assert len(load_public(forms[2])) == 2


def test_openssl_reads_the_public_key(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(key_of().known.pem)
    command = ["openssl", "pkey", "-pubin", "-in", str(file), "-noout", "-text"]
    assert "ED25519 Public-Key" in subprocess.run(command, capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"hello", "neither PEM nor JWK"),
        (b"[]", "neither PEM nor JWK"),
        (b"{}", "no JWK"),
        (b'{"keys":[]}', "no key"),
        (b'{"kty":"OKP","crv":"Ed25519","x":"AAAA"}', "3 bytes instead of 32"),
        (b'{"kty":"OKP","crv":"Ed25519","x":"*"}', "base64url"),
        (b'{"kty":"EC","crv":"P-256","x":"AAAA"}', "no Ed25519 key"),
        (b'{"kty":"OKP","crv":"Ed25519","x":"AAAA","d":"AAAA"}', "private"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "never the private one"),
    ],
)
def test_what_is_no_public_key_says_why(text: bytes, why: str) -> None:
    with pytest.raises(KeyRefused, match=why):
        load_public(text)


@pytest.mark.parametrize("field", ["kid", "x", "fingerprint", "alg"])
def test_a_key_in_a_message_must_fit_its_name_and_fingerprint(field: str) -> None:
    body = key_of().known.body
    assert keys.from_body(body, GATEWAY).fingerprint == key_of().fingerprint
    wrong = "RS256" if field == "alg" else key_of("two").known.body[field]
    with pytest.raises(KeyRefused):
        keys.from_body(body | {field: wrong}, GATEWAY)
    with pytest.raises(KeyRefused, match="gateway"):
        keys.from_body(body, "plant-2")


def test_keys_of_two_gateways_differ() -> None:
    assert Key.make("plant-1").kid != Key.make("plant-1").kid
