"""The journal's one writer thread; none under virtual time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class WriterThread:
    """Runs what blocks, one call after another."""

    def __init__(self, *, inline: bool) -> None:
        """inline: run it at once and block, for virtual time."""
        self._executor = None if inline else ThreadPoolExecutor(1, thread_name_prefix="journal")

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns."""
        if self._executor is None:
            return function()
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def close(self, *, wait: bool = False) -> None:
        """Take no more calls."""
        if self._executor is not None:
            self._executor.shutdown(wait=wait)
