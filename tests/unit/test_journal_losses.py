"""The preallocated file that counts what the disk did not take."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageError
from gateway.journal_losses import LossFile

if TYPE_CHECKING:
    from pathlib import Path


def reopened(path: Path) -> LossFile:
    file = LossFile(path)
    file.close()
    return file


def test_counts_survive_and_the_file_never_grows(tmp_path: Path) -> None:
    path = tmp_path / "loss"
    file = LossFile(path)
    size = path.stat().st_size
    for _ in range(5):
        file.lose(10, 100, 200)
        file.save()
    file.close()
    again = reopened(path)
    assert (again.losses.unstored, again.gap.readings, again.gap.first_ns, again.gap.last_ns) == (
        50,
        50,
        100,
        200,
    )
    assert path.stat().st_size == size


def test_a_recorded_gap_is_taken_off_and_the_total_stays(tmp_path: Path) -> None:
    file = LossFile(tmp_path / "loss")
    file.lose(10, 100, 200)
    gap = file.gap
    file.lose(7, 150, 300)
    file.recorded(gap)
    assert (file.gap.readings, file.losses.unstored, file.saved) == (7, 17, False)
    file.save()
    assert file.saved
    file.close()


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_slot_leaves_the_other(tmp_path: Path, slot: int) -> None:
    path = tmp_path / "loss"
    file = LossFile(path)
    for total in (1, 2):
        file.lose(1, 1, 1)
        file.save()
        assert file.losses.unstored == total
    file.close()
    with path.open("r+b") as raw:
        raw.seek(slot * 512 + 20)
        raw.write(b"\xff")
    # two saves: turn 1 lies in slot 1, turn 2 in slot 0
    assert reopened(path).losses.unstored == (1 if slot == 0 else 2)


def test_a_file_of_nonsense_counts_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "loss"
    path.write_bytes(os.urandom(1024))
    assert reopened(path).losses.unstored == 0


def test_a_path_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="loss"):
        LossFile(tmp_path / "missing" / "loss")


def test_closing_twice_is_fine_and_saving_then_is_a_storage_error(tmp_path: Path) -> None:
    file = LossFile(tmp_path / "loss")
    file.close()
    file.close()
    with pytest.raises(StorageError):
        file.save()
    assert not file.saved
