"""Revisions are numbered, chained, immutable; damage is told; what is in force."""

from __future__ import annotations

import hashlib
import os
import threading
import tomllib
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.config.site_file import from_toml
from gateway.errors import ConfigError, StorageError
from gateway.inventory.changes import changes
from gateway.inventory.in_force import in_force
from gateway.inventory.reading import from_body
from gateway.inventory.revisions import Revisions
from tests.unit.config_site import SITE
from tests.unit.inventory_plant import PLANT, changed, plant

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.inventory.model import Inventory

NOW_NS = 1_795_000_000_000_000_000


def other(*edits: tuple[str, str]) -> Inventory:
    return from_body(tomllib.loads(changed(*edits)), "x")


CLASS = ('accuracy_class = "0.5S"', 'accuracy_class = "0.2S"')


@pytest.fixture
def kept(tmp_path: Path) -> Revisions:
    """Return a folder with two revisions."""
    made = Revisions(tmp_path / "inventory")
    made.add(plant(), "Li Wei", "first", NOW_NS)
    made.add(other(CLASS), "Li Wei", "certificate", NOW_NS + 1)
    return made


def test_nothing_applied(tmp_path: Path) -> None:
    kept = Revisions(tmp_path / "inventory")
    assert kept.newest() is None
    assert kept.heads() == []


def test_revisions_are_kept_and_chained(kept: Revisions, tmp_path: Path) -> None:
    first, second = kept.heads()
    assert (first.number, first.by, first.why, first.applied_ns, first.previous) == (
        1,
        "Li Wei",
        "first",
        NOW_NS,
        "",
    )
    assert second.previous == first.digest == plant().digest
    assert kept.at(1).inventory == plant()
    newest = kept.newest()
    assert newest is not None
    assert newest.head == second
    assert newest.inventory == other(CLASS)
    assert second.changes == (
        {"what": "changed", "path": "instruments.em-101.accuracy_class", "before": "0.5S", "after": "0.2S"},
    )
    assert sorted(os.listdir(tmp_path / "inventory")) == ["000001.json", "000002.json", "lock"]
    assert (tmp_path / "inventory" / "000001.json").stat().st_mode & 0o222 == 0


def test_what_is_refused(kept: Revisions) -> None:
    with pytest.raises(ValueError, match="nothing changed"):
        kept.add(other(CLASS), "Li Wei", "again", NOW_NS)
    for by, why in ((" ", "x"), ("x", "\n")):
        with pytest.raises(ValueError, match="who approved"):
            kept.add(plant(), by, why, NOW_NS)
    assert len(kept.heads()) == 2


def test_a_half_written_file_of_one_who_was_cut_off_is_no_revision(kept: Revisions, tmp_path: Path) -> None:
    (tmp_path / "inventory" / "000003.new").write_bytes(b"{")
    (tmp_path / "inventory" / "000003.new").chmod(0o440)
    assert kept.add(plant(), "a", "b", NOW_NS).number == 3
    assert len(kept.heads()) == 3


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda raw: raw[: len(raw) // 2], "truncated or broken"),
        (lambda raw: b"", "truncated or broken"),
        (lambda raw: raw.replace(b'"Li Wei"', b'"Wu Wei"'), "changed after it was written"),
        (lambda raw: raw.replace(b"0.2S", b"0.5S"), "changed after it was written"),
        (lambda raw: b'{"format": 7}', "format 1"),
        (lambda raw: b"[]", "format 1"),
    ],
    ids=["cut", "empty", "who", "what", "format", "list"],
)
def test_damage_is_told(damage: object, told: str, kept: Revisions, tmp_path: Path) -> None:
    assert callable(damage)
    path = tmp_path / "inventory" / "000002.json"
    path.chmod(0o600)
    path.write_bytes(damage(path.read_bytes()))
    for asked in (kept.newest, kept.heads, lambda: kept.add(plant(), "a", "b", NOW_NS)):
        with pytest.raises(StorageError, match=told):
            asked()
    assert kept.at(1).inventory == plant()


def test_a_gap_is_told(kept: Revisions, tmp_path: Path) -> None:
    (tmp_path / "inventory" / "000001.json").unlink()
    for asked in (kept.newest, kept.heads):
        with pytest.raises(StorageError, match=r"000001\.json .* missing"):
            asked()


def test_a_revision_put_in_another_s_place_is_told(kept: Revisions, tmp_path: Path) -> None:
    folder = tmp_path / "inventory"
    (folder / "000003.json").write_bytes((folder / "000002.json").read_bytes())
    with pytest.raises(StorageError, match="is revision 2"):
        kept.newest()
    stranger = Revisions(tmp_path / "other")
    for inventory in (other(('name = "风机"', 'name = "fan"')), other(CLASS), plant()):
        stranger.add(inventory, "a", "b", NOW_NS)
    (folder / "000003.json").unlink()
    (folder / "000003.json").write_bytes((tmp_path / "other" / "000002.json").read_bytes())
    (folder / "000003.json").unlink()
    (tmp_path / "inventory" / "000002.json").unlink()
    (folder / "000002.json").write_bytes((tmp_path / "other" / "000002.json").read_bytes())
    with pytest.raises(StorageError, match="does not follow"):
        kept.newest()


def test_two_who_apply_at_once_make_two_revisions(tmp_path: Path) -> None:
    def add(number: int) -> None:
        inventory = other(('own_number = "E-002"', f'own_number = "N-{number}"'))
        Revisions(tmp_path / "inventory").add(inventory, "a", "b", NOW_NS)

    threads = [threading.Thread(target=add, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heads = Revisions(tmp_path / "inventory").heads()
    assert [head.number for head in heads] == list(range(1, 9))


def test_changes_are_told_by_id_and_field() -> None:
    after = other(
        ('id = "gas-in"', 'id = "gas-main"'),
        ("until = 2028-02-19", "until = 2027-02-19"),
        ('name = "示例陶瓷有限公司"', 'name = "新公司"'),
        ("phases = 3", "phases = 1"),
    )
    told = [(one["what"], one["path"]) for one in changes(plant(), after)]
    assert told == [
        ("changed", "organization.name"),
        ("changed", "organization.electricity.phases"),
        ("removed", "flows.gas-in"),
        ("added", "flows.gas-main"),
        ("removed", "instruments.em-101.verifications"),
        ("added", "instruments.em-101.verifications"),
    ]
    assert changes(plant(), plant()) == []
    (first,) = changes(None, plant())
    assert "flows 4" in first["after"]


def test_in_force(tmp_path: Path) -> None:
    text = SITE.replace("[gateway]", '[gateway]\nstate_dir = "state"')
    with pytest.raises(ConfigError, match="no inventory"):
        in_force(from_toml(text, tmp_path / "site.toml"), None)
    (tmp_path / "inventory.toml").write_text(PLANT, encoding="utf-8")
    site = from_toml(text, tmp_path / "site.toml")
    drafted = in_force(site, None)
    assert (drafted.revision, drafted.path) == (None, tmp_path / "inventory.toml")
    assert "not applied" in drafted.text
    Revisions(site.gateway.state_dir / "inventory").add(other(CLASS), "a", "b", NOW_NS)
    applied = in_force(site, None)
    assert (applied.revision, applied.path, applied.inventory) == (1, None, other(CLASS))
    assert in_force(site, tmp_path / "inventory.toml").inventory == plant()


def test_a_file_holds_what_the_specification_says(kept: Revisions, tmp_path: Path) -> None:
    body = orjson.loads((tmp_path / "inventory" / "000002.json").read_bytes())
    assert set(body) == {
        "format", "number", "applied_ns", "by", "why", "digest", "previous", "changes", "inventory", "seal",
    }  # fmt: skip
    assert from_body(body["inventory"], "x").digest == body["digest"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("changes", 5), ("changes", [5]), ("changes", [{"what": "x"}]), ("by", 7), ("why", None), ("digest", []),
        ("previous", {}), ("applied_ns", "soon"), ("applied_ns", 1e30), ("applied_ns", -1), ("number", True),
    ],
)  # fmt: skip
def test_a_head_edited_with_a_seal_that_fits_is_damage(
    kept: Revisions, tmp_path: Path, key: str, value: object
) -> None:
    path = tmp_path / "inventory" / "000001.json"
    body = orjson.loads(path.read_bytes())
    body.pop("seal")
    body[key] = value
    body["seal"] = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
    path.chmod(0o640)
    path.write_bytes(orjson.dumps(body))
    for look in (kept.heads, lambda: kept.at(1), kept.newest):
        with pytest.raises(StorageError, match=f"no usable {key}"):
            look()
