"""Serial ports on pseudo terminals and raw TCP: opening, what an engineer is told, hang-up."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import tty
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from drivers.lines.line import HalfDuplexLine, LineSettings
from drivers.lines.link import LineLink
from drivers.lines.port import SerialPort, TcpPort
from drivers.lines.timing import Timing
from drivers.modbus.line import line_reader
from gateway.clock import SystemClock
from gateway.errors import DeviceError, LinkDown
from tests.unit.lines.fake_port import FakePort, own, refuse
from tests.unit.modbus.polls import holding, make_poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TIMING = Timing(115_200)


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """Return the master of a pseudo terminal and the name of its other end."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    yield master, name
    with suppress(OSError):  # the test may have unplugged it
        os.close(master)


class Seen:
    """What a port hands over."""

    def __init__(self) -> None:
        self.raw = b""
        self.came, self.lost = asyncio.Event(), asyncio.Event()

    def bytes(self, data: bytes) -> None:
        self.raw += data
        self.came.set()


async def test_bytes_go_both_ways(terminal: tuple[int, str]) -> None:
    master, name = terminal
    port, seen = SerialPort(name, TIMING), Seen()
    await port.open(seen.bytes, seen.lost.set)
    port.write(b"\x01\x11\x13\x0a\x0d\x00\xff")  # none of which a terminal may change
    assert os.read(master, 100) == b"\x01\x11\x13\x0a\x0d\x00\xff"
    os.write(master, b"\x03\x04\x11\x13\x0a\x0d\xff")
    await asyncio.wait_for(seen.came.wait(), 5)
    assert seen.raw == b"\x03\x04\x11\x13\x0a\x0d\xff"
    await port.close()
    await port.close()


async def test_a_look_hands_over_what_the_loop_has_not_read(terminal: tuple[int, str]) -> None:
    master, name = terminal
    port, seen = SerialPort(name, TIMING), Seen()
    await port.open(seen.bytes, seen.lost.set)
    port.check()
    assert seen.raw == b""
    os.write(master, b"\x01\x02\x03")
    assert select.select([port._fd], [], [], 5)[0]  # without a turn of the loop
    port.check()
    assert seen.raw == b"\x01\x02\x03"
    await asyncio.sleep(0)
    assert seen.raw == b"\x01\x02\x03"
    await port.close()


async def test_a_second_master_is_kept_out(terminal: tuple[int, str]) -> None:
    _, name = terminal
    first, second, seen = SerialPort(name, TIMING), SerialPort(name, TIMING), Seen()
    await first.open(seen.bytes, seen.lost.set)
    with pytest.raises(LinkDown, match=r"another program uses it: `fuser"):
        await second.open(seen.bytes, seen.lost.set)
    await first.close()
    await second.open(seen.bytes, seen.lost.set)
    await second.close()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda folder: folder / "ttyUSB9", r"No such file.*ls -l /dev/serial/by-id"),
        (lambda folder: folder, r"Is a directory.*no serial port"),
        (lambda folder: _file(folder), r"no serial port"),
    ],
)
async def test_a_port_that_is_none_says_what_to_do(
    make: Callable[[Path], Path], text: str, tmp_path: Path
) -> None:
    name = make(tmp_path)
    with pytest.raises(LinkDown, match=rf"cannot open .*{text}"):
        await SerialPort(str(name), TIMING).open(lambda _: None, lambda: None)


def _file(folder: Path) -> Path:
    (folder / "note.txt").write_text("hello")
    return folder / "note.txt"


async def test_a_missing_permission_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("serial.Serial", refused)
    with pytest.raises(LinkDown, match=r"Permission denied \(errno 13\).*dialout"):
        await SerialPort("/dev/ttyUSB0", TIMING).open(lambda _: None, lambda: None)


async def test_unplugging_is_noticed_at_the_next_look(terminal: tuple[int, str]) -> None:
    master, name = terminal
    port, seen = SerialPort(name, TIMING), Seen()
    await port.open(seen.bytes, seen.lost.set)
    os.close(master)
    with pytest.raises(LinkDown, match=r"the port is gone.*opened again by itself"):
        port.check()
    with pytest.raises(LinkDown):
        port.write(b"\x01")
    await port.close()


async def test_a_request_on_an_unplugged_port_ends_soon(terminal: tuple[int, str]) -> None:
    master, name = terminal
    line = HalfDuplexLine(SerialPort(name, TIMING), LineSettings(TIMING), SystemClock(), "line-1")
    link = LineLink(line, SystemClock(), "line-1", {"modbus": line_reader})
    await link.open()
    asking = asyncio.ensure_future(link.read(make_poll([holding(0)], timeout_s=1)))
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(master, asked.set)
    await asked.wait()
    loop.remove_reader(master)
    os.close(master)
    with pytest.raises(LinkDown, match="the port is gone"):
        await asyncio.wait_for(asking, 5)
    await link.close()


async def test_a_closed_tcp_port_says_what_to_do(free_port: Callable[[], int]) -> None:
    with pytest.raises(LinkDown, match=r"errno 111.*check the port and that the serial device server is on"):
        await TcpPort("127.0.0.1", free_port()).open(lambda _: None, lambda: None)


async def test_a_server_that_closes_is_noticed() -> None:
    def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port, seen = TcpPort("127.0.0.1", server.sockets[0].getsockname()[1]), Seen()
    await port.open(seen.bytes, seen.lost.set)
    await asyncio.wait_for(seen.lost.wait(), 5)
    with pytest.raises(LinkDown, match="closed by the peer"):
        port.write(b"\x01")
    await port.close()
    server.close()
    await server.wait_closed()


def _link(port: FakePort) -> LineLink:
    line = HalfDuplexLine(port, LineSettings(TIMING, timeout_min_s=0.01), SystemClock(), "line-1")
    return LineLink(line, SystemClock(), "line-1", {"modbus": line_reader})


async def test_a_protocol_the_line_does_not_read_is_refused() -> None:
    link = _link(FakePort())
    await link.open()
    with pytest.raises(DeviceError, match="this line reads modbus, not dlt645") as caught:
        await link.read(make_poll([holding(0)], unit="202611220001", protocol="dlt645"))
    assert caught.value.reason == "refused"
    await link.close()


async def test_unit_0_is_refused_for_nobody_answers_it() -> None:
    link = _link(FakePort())
    await link.open()
    with pytest.raises(DeviceError, match="nobody answers unit 0"):
        await link.read(make_poll([holding(0)], unit=0))
    await link.close()


async def test_a_meter_that_was_silent_once_is_read_at_the_next_poll() -> None:
    """Its late answer may come, so it is first asked for something of another size."""
    port = FakePort()
    link = _link(port)
    await link.open()
    poll = make_poll([holding(7), holding(8)], timeout_s=0.02)
    port.script = lambda _: None
    with pytest.raises(DeviceError) as caught:
        await link.read(poll)
    assert caught.value.reason == "timeout"
    port.script = own
    (sample,) = await link.read(poll)
    assert sample.raw == bytes.fromhex("0007 0008")
    assert [request[5] for request in port.requests] == [2, 1, 2]
    await link.close()


async def test_a_meter_that_was_silent_several_times_is_read_as_soon_as_it_answers_r24() -> None:
    port = FakePort(lambda _: None)
    link = _link(port)
    await link.open()
    poll = make_poll([holding(7)], timeout_s=0.02)
    for silent in range(4):
        with pytest.raises(DeviceError) as caught:
            await link.read(poll)
        assert caught.value.reason == "timeout"
        assert len(port.requests) == 1 + silent
    port.script = own
    (sample,) = await link.read(poll)
    assert sample.raw == bytes.fromhex("0007")
    await link.close()


async def test_requests_in_doubt_are_bounded() -> None:
    port = FakePort(lambda _: None)
    link = _link(port)
    await link.open()
    poll = make_poll([holding(7)], timeout_s=0.01)
    for _ in range(12):
        with pytest.raises(DeviceError) as caught:
            await link.read(poll)
        assert caught.value.reason == "timeout"
    assert len({request[1:] for request in port.requests}) == len(port.requests) == 6
    assert "not asked: the late answer" in str(caught.value)
    await link.close()


async def test_a_meter_that_refuses_all_else_is_read_again_at_once() -> None:
    """Its refusals name their function and only it can have given them, so the late answer cannot come any more."""
    port = FakePort(lambda _: None)
    link = _link(port)
    await link.open()
    poll = make_poll([holding(7)], timeout_s=0.02)
    with pytest.raises(DeviceError):
        await link.read(poll)
    port.script = lambda r: own(r) if r[1:6] == bytes((3, 0, 7, 0, 1)) else refuse(r, 2)
    (sample,) = await link.read(poll)
    assert sample.raw == bytes.fromhex("0007")
    assert [request[1] for request in port.requests] == [3, 4, 3]
    await link.close()


async def test_a_meter_whose_refusals_may_be_a_converters_stays_in_doubt() -> None:
    port = FakePort(lambda _: None)
    link = _link(port)
    await link.open()
    poll = make_poll([holding(7)], timeout_s=0.02)
    with pytest.raises(DeviceError):
        await link.read(poll)
    port.script = lambda r: refuse(r, 11)
    with pytest.raises(DeviceError) as caught:
        await link.read(poll)
    assert caught.value.reason != "exception"
    await link.close()


async def test_notices_reach_whoever_owns_the_link_now() -> None:
    port = FakePort(lambda r: refuse(r, 2) if r[3] == 10 else own(r))
    link = _link(port)
    await link.open()
    told: list[str] = []
    poll = make_poll([holding(0), holding(10)], timeout_s=0.02)
    await link.read(poll)
    link.notice = lambda kind, _subject, /, **_: told.append(kind)
    await link.read(poll)
    assert told == ["channel_absent"]
    await link.close()
