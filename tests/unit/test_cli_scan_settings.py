"""Which settings of a port `metergate scan` tries, what `read --watch` does about an error, and `read` about Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import re
import signal

import pytest

from gateway.commands.bus_work import _again
from gateway.commands.loop import run
from gateway.commands.scan import ScanOptions, _settings
from gateway.config.links import SerialConfig
from gateway.errors import LinkDown

LINE = {"id": "line-1", "kind": "serial", "port": "/dev/ttyUSB0"}


def tried(bauds: tuple[int, ...], parities: tuple[str, ...], **own: object) -> list[tuple[int, str, int]]:
    options = ScanOptions("line-1", "", False, "", 1, 1, 0.1, bauds, parities, False)
    found = _settings(SerialConfig.model_validate(LINE | own), options)
    return [(one.baud, one.parity, one.stop) for one in found if isinstance(one, SerialConfig)]


def test_one_stop_bit_is_tried_unless_the_link_says_two() -> None:
    assert tried((), ("N",)) == [(9600, "N", 1)]
    assert tried((2400,), ("N", "E"), parity="N", stop=2) == [(2400, "N", 2), (2400, "E", 1)]
    assert tried((2400,), ()) == [(2400, "E", 1)]


async def test_an_error_while_watching_is_shown_and_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    reads = 0

    async def read() -> bool:
        nonlocal reads
        reads += 1
        if reads == 1:
            raise LinkDown("unplugged")
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        return True

    assert await _again(read, 0.01, "Asia/Shanghai")
    assert reads >= 2
    assert re.search(r"^20\d\d-.*\+08:00 metergate: .*unplugged", capsys.readouterr().err)
    reads = 0
    with pytest.raises(LinkDown):
        await _again(read, None, "Asia/Shanghai")


def test_the_first_ctrl_c_ends_a_single_read_that_waits() -> None:
    async def read() -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(5):
            await asyncio.Event().wait()
        return True

    with pytest.raises(KeyboardInterrupt):
        run(_again(read, None, "Asia/Shanghai"))
