"""What every test gets: no task left behind, ports of its own, the same examples every run."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

# The same examples everywhere and every time; a slow shared machine is no failure.
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# New examples every run, many of them: HYPOTHESIS_PROFILE=deep .venv/bin/python -m pytest tests/property
settings.register_profile("deep", settings.get_profile("ci"), derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell starts what it puts into the background with Ctrl-C ignored, and children inherit that: then none would end at a test's SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

FIRST_S = 1000  # a test that asks for this much patience starts first, else the others' end would wait for it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first; xdist deals tests out in this order."""
    items.sort(key=lambda item: _patience_s(item) < FIRST_S)


def _patience_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None and marker.args else 0.0


# Below the kernel's range for outgoing connections (32768…), which would take a port between asking and binding.
_PORT_LOW, _PORTS_PER_WORKER, _WORKERS_MAX = 20_000, 1_000, 12


@pytest.fixture
async def _loop_without_leftovers() -> AsyncIterator[None]:
    """Fail if a task is pending on the test's loop after the test and its other fixtures."""
    before = asyncio.all_tasks()
    yield
    for _ in range(3):  # a cancelled task needs a turn or two to end
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=1)
        places = Counter(_where(task) for task in left)
        listed = "; ".join(f"{count} × {place}" for place, count in places.most_common(10))
        pytest.fail(f"tasks left behind: {listed}", pytrace=False)


def _where(task: asyncio.Task[object]) -> str:
    """Return the coroutine of a task and the line that defines it."""
    coroutine = task.get_coro()
    code = getattr(coroutine, "cr_code", None)
    return (
        repr(coroutine) if code is None else f"{code.co_qualname} ({code.co_filename}:{code.co_firstlineno})"
    )


@pytest.fixture(autouse=True)
def no_task_left_behind(request: pytest.FixtureRequest) -> None:
    """Guard every async test; a plain test has no loop to guard."""
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("_loop_without_leftovers")


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Undo what a command that ran in this process has set up for its own log: the next test looks at its lines."""
    before, was_configured = structlog.get_config(), structlog.is_configured()
    yield
    if structlog.is_configured() and not was_configured:
        structlog.reset_defaults()
    elif was_configured:
        structlog.configure(**before)


@pytest.fixture(scope="session")
def _port_numbers() -> Iterator[int]:
    """Return the port numbers of this worker, round and round, none twice until all were used."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS_MAX
    low = _PORT_LOW + worker * _PORTS_PER_WORKER
    start = os.getpid() % _PORTS_PER_WORKER  # two test runs on one machine begin at different ports
    return itertools.cycle(low + (start + i) % _PORTS_PER_WORKER for i in range(_PORTS_PER_WORKER))


@pytest.fixture
def free_port(_port_numbers: Iterator[int]) -> Callable[[], int]:
    """Return a function that returns a loopback TCP port nobody listens on, another one at each call."""

    def take() -> int:
        for port in itertools.islice(_port_numbers, _PORTS_PER_WORKER):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        raise AssertionError("no free port in this worker's range")

    return take
