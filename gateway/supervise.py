"""The one place that catches what nobody foresaw: a bug in one link or sink must not stop the others.

The task is restarted after a growing pause, counted in health and logged with its traceback. Tests run with
`reraise`, so there a bug is a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.backoff import Backoff
from gateway.clock import sleep_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.health import Health
    from gateway.interfaces import Clock

PAUSE_MAX_S = 300.0

log = structlog.get_logger("supervise")


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    clock: Clock,
    health: Health,
    *,
    crashed: Callable[[str, str], None] = lambda name, error: None,
    reraise: bool = False,
) -> None:
    """Run `run` until it returns or is cancelled, starting it again after every bug.

    crashed: told the name and the error of each bug before the pause; a bug of its own is one more.
    """
    backoff, started_s = Backoff(1.0, PAUSE_MAX_S), clock.monotonic()
    bug, is_told = "", True
    while True:
        try:
            if not is_told:
                is_told = True  # whatever comes of it
                crashed(name, bug)
            if bug:
                if clock.monotonic() - started_s > PAUSE_MAX_S:
                    backoff.reset()
                await sleep_for(clock, backoff.next_s())
                bug = ""
            started_s = clock.monotonic()
            await run()
            return
        except Exception as error:
            if reraise:
                raise
            health.crashes[name] += 1
            bug, is_told = repr(error), bool(bug)
            log.exception("bug: task restarted", task=name, times=health.crashes[name], error=bug)
