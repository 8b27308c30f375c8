"""What the service manager is told, on a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.clock import SystemClock
from gateway.notify import notify, watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's socket, named in the environment as systemd does."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield sock


def test_a_message_arrives(manager: socket.socket) -> None:
    assert notify("READY=1")
    assert manager.recv(100) == b"READY=1"


def test_an_abstract_socket_is_meant_by_an_at(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"metergate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify("STOPPING=1")
        assert sock.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "/nowhere/to/be/found"])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify("READY=1")


async def test_the_watchdog_is_fed_only_while_the_gateway_is_alive(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    alive = [True, False, True]
    done = asyncio.Event()

    def ask() -> bool:
        if not alive:
            done.set()
            return False
        return alive.pop()

    task = asyncio.create_task(watchdog(SystemClock(), ask))
    await asyncio.wait_for(done.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    manager.setblocking(False)
    assert [manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        manager.recv(100)


@pytest.mark.parametrize(("usec", "pid"), [("0", ""), ("", ""), ("2000", "1")])
async def test_without_a_watchdog_for_this_process_it_returns(
    usec: str, pid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
    await asyncio.wait_for(watchdog(SystemClock(), lambda: True), 1)
