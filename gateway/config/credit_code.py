"""The unified social credit code of an enterprise: 18 characters, the last of which checks the others.

Source: GB 32100-2015, characters and weights 3^(i-1) mod 31; its own example is 91350100M000100Y43.
"""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""Digits and capitals but I, O, S, V and Z; the place of a character is its value."""
LENGTH = 18


def check_character(first: str) -> str:
    """Return the last character of the code that begins with these 17. Raises ValueError for a character it never has."""
    total = sum(ALPHABET.index(character) * pow(3, i, 31) for i, character in enumerate(first))
    return ALPHABET[-total % 31]
