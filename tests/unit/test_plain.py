"""Foreign text on a terminal: shown, never obeyed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.plain import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plant-1 ✓ 站点", "plant-1 ✓ 站点"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\x9b31mb", "a\\x9b31mb"),
        ("one\ntwo\r", "one\\x0atwo\\x0d"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028\ud800", "\\u2028\\ud800"),
    ],
)
def test_what_steers_a_terminal_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_nothing_of_the_control_characters_is_left(text: str) -> None:
    shown = plain(text)
    assert not any(unicodedata.category(char).startswith("C") for char in shown)
    shown.encode()  # lone surrogates, too, can be written


def test_what_is_to_be_kept_is() -> None:
    assert plain("one\ntwo\x1b", keep="\n") == "one\ntwo\\x1b"
