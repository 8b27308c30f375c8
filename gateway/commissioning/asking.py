"""Questions to the person at the meter: asked again, saying why, until the answer can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Prompt = Callable[[str], Awaitable[str]]

T = TypeVar("T")


async def ask_until(prompt: Prompt, question: str, parse: Callable[[str], T]) -> T | None:
    """Return what a person answers, None for nothing; asks again, saying why, until it can be used."""
    said = ""
    while text := await prompt(said + question):
        try:
            return parse(text)
        except MetergateError as error:
            said = f"{error}\n"
    return None


def yes_or_no(text: str) -> bool:
    """Return whether a person says yes. Raises MetergateError."""
    if (word := text.strip().lower()) in {"y", "yes", "是", "n", "no", "否"}:
        return word in {"y", "yes", "是"}
    raise MetergateError(f'"{text}": yes or no')
