"""A meter type is found by what stands on its plate, in Chinese too."""

from __future__ import annotations

import pytest

from drivers import profiles

LIBRARY = profiles.Library([profiles.shipped_dir()])


@pytest.mark.parametrize("words", ["chint", "正泰", "DTSU666", "dtsu666 CHINT", "chint-dtsu"])
def test_what_a_plate_says_finds_the_type(words: str) -> None:
    assert "chint-dtsu666" in [profile.id for profile in profiles.search(LIBRARY, words)]


def test_every_word_must_occur() -> None:
    assert profiles.search(LIBRARY, "chint sdm630") == []
    assert len(profiles.search(LIBRARY, "")) == len(LIBRARY.ids())
