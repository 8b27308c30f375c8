"""Messages to the service manager (sd_notify): ready, stopping, still alive.

Source: systemd, sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from gateway.clock import sleep_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.interfaces import Clock


def notify(message: str) -> bool:
    """Send `message` to the service manager; return False if there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(message.encode(), address)
    except OSError:
        return False
    return True


async def watchdog(clock: Clock, alive: Callable[[], bool]) -> None:
    """Tell the manager twice per watchdog period that the gateway is alive; return if it does not ask."""
    interval_us = int(os.environ.get("WATCHDOG_USEC", "0") or 0)
    if not interval_us or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        if alive():
            notify("WATCHDOG=1")
        await sleep_for(clock, interval_us / 2e6)
