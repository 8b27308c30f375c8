"""Contract tests of the Modbus link run on both event loops: uvloop drives the gateway, asyncio is everywhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    LoopFactory = Callable[[], asyncio.AbstractEventLoop]

ASYNCIO: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
BOTH: Mapping[str, LoopFactory] = {**ASYNCIO, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Return the loops a test runs on, by name."""
    return BOTH if item.path.name.startswith("test_modbus") else ASYNCIO
