"""A gateway as a process: its lock, its signals, its memory."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import TYPE_CHECKING, Any

from gateway.app import Gateway
from gateway.state_folder import state_lock

if TYPE_CHECKING:
    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.interfaces import Clock

GC_YOUNG = 10_000  # objects made since that start a round of the garbage collector; CPython's default is 700


def spare_collector() -> None:
    """Take what lasts as long as the process out of the garbage collector's sight, and start its rounds less often.

    A full round looked at every object of site file, profiles and libraries: 43 ms of 500 meters, in the midst of a
    burst of polls. What comes later goes by reference count; cycles are few.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 10, 10)


async def serve(site: Site, library: Library, clock: Clock) -> dict[str, Any]:
    """Run the gateway until SIGTERM or SIGINT; return its final figures. Raises ConfigError, StorageError."""
    os.umask(0o077)  # journal and socket are the gateway's own
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with state_lock(site.gateway.state_dir):
        return await Gateway(site, library, clock).run(stop, spare_collector)
