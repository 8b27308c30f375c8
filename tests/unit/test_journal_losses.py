"""The preallocated file that counts what the disk did not take."""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageError
from gateway.journal.losses import LossFile, Numbers

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


def test_numbers_survive_beside_the_losses_and_a_torn_rest_leaves_these(tmp_path: Path) -> None:
    path = tmp_path / "loss"
    file = LossFile(path)
    numbers = Numbers(*range(1, 10))
    file.lose(10, 100, 200)
    file.lose_file(5, 3, numbers)
    file.save()
    file.close()
    again = reopened(path)
    assert (again.numbers, again.losses.undelivered, again.gap.readings) == (numbers, 3, 15)
    for cut in (100, 145):  # inside the numbers, inside their checksum
        whole = path.read_bytes()
        with path.open("r+b") as raw:
            raw.seek(512 + cut)
            raw.write(b"\xff")
        torn = reopened(path)
        assert (torn.numbers, torn.losses.unstored, torn.gap.readings) == (None, 10, 15)
        path.write_bytes(whole)


def test_a_slot_written_by_a_version_without_numbers_has_its_losses(tmp_path: Path) -> None:
    path = tmp_path / "loss"
    file = LossFile(path)
    file.lose(1, 1, 1)
    for following in (5, 6):
        file.keep(Numbers(following=following), float("inf"))
        file.save()
    file.close()
    body = struct.pack("<8sQQQqq", b"mgloss01", 3, 7, 7, 1, 2)
    with path.open("r+b") as raw:  # over the slot of turn 1, whose numbers stay behind it
        raw.seek(512)
        raw.write(body + struct.pack("<I", zlib.crc32(body)))
    again = reopened(path)
    assert (again.losses.unstored, again.numbers) == (7, None)


def test_numbers_are_due_once_a_second_after_many_groups_and_for_a_new_epoch(tmp_path: Path) -> None:
    file = LossFile(tmp_path / "loss")

    def due(numbers: Numbers, now_s: float) -> bool:
        file.keep(numbers, now_s)
        was = not file.saved
        if was:
            file.save()
        return was

    assert due(Numbers(following=1), 0.0)
    assert not due(Numbers(following=1), 5.0)  # nothing has changed
    assert due(Numbers(following=2), 5.0)
    assert not due(Numbers(following=3), 5.9)
    assert due(Numbers(following=1002), 5.9)
    assert due(Numbers(following=1002, epoch=1), 5.9)
    assert due(Numbers(following=1003, epoch=1), 6.9)
    file.close()
