"""The whole gateway with real destinations under fire: readings and feed side by side, one destination hurt, all others unmoved."""

from __future__ import annotations

import os
import re
import signal
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.certificates import make_certificates
from tests.fakes.influx import Answer, FakeInflux, influx_error
from tests.integration.fire_site import METERS, PERIOD_S, Kept, caught_up, listening, running, seconds, until
from tests.servers import Mosquitto
from tests.unit import journal_rig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.app import Gateway

    Port = Callable[[], int]


def mqtt(port: int, id_: str, more: str = "") -> str:
    """Return two sinks of one broker: readings and feed."""
    return "".join(
        f'[[sinks]]\nid = "{id_}-{kind}"\nkind = "{kind}"\nhost = "127.0.0.1"\nport = {port}\n{more}\n'
        for kind in ("mqtt", "feed")
    )


def influx(url: str) -> str:
    """Return two sinks of one database: readings, and what the feed says."""
    text = f'url = "{url}"\norg = "o"\nbucket = "b"\n'
    return (
        f'[[sinks]]\nid = "db-influx"\nkind = "influx"\nflush = "100ms"\n{text}'
        f'[[sinks]]\nid = "db-feed"\nkind = "feed-influx"\n{text}'
    )


def figures(gateway: Gateway, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = gateway.figures()["sinks"][id_]
    return found


async def down(gateway: Gateway, id_: str) -> dict[str, Any]:
    """Return a destination's figures once it is down."""
    await until(lambda: figures(gateway, id_)["state"] == "down", f"{id_} is down")
    return figures(gateway, id_)


async def is_current(gateway: Gateway) -> None:
    """Return once the broker that is well has what there is: whoever else is hurt, in no time."""

    def has_all() -> bool:
        feed, readings = figures(gateway, "good-feed"), figures(gateway, "good-mqtt")
        return bool(feed["pending"] <= 1 and readings["pending"] < 30 and feed["delivered"])

    await until(has_all, "the broker that is well has all", 8)


async def test_an_expired_certificate_stops_its_broker_alone_until_it_is_renewed(
    tmp_path: Path, free_port: Port
) -> None:
    expired = make_certificates(tmp_path / "old", days={"server": (-3, -2)})
    renewed = make_certificates(tmp_path / "new")
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(expired.ca.read_bytes() + renewed.ca.read_bytes())
    port, plain = free_port(), free_port()
    settings = [f"listener {plain} 127.0.0.1"]
    files = {one: (bundle, one.server, one.server_key) for one in (expired, renewed)}
    tls = f'tls = {{ enabled = true, ca_file = "{bundle}", cert_file = "{expired.client}", key_file = "{expired.client_key}" }}'
    home = tmp_path / "home"
    with Mosquitto(tmp_path / "good", free_port()) as good:
        hurt = Mosquitto(tmp_path / "hurt", port, tls=files[expired], settings=settings)
        hurt.start()
        here, there = await listening(good.port), await listening(plain)
        try:
            async with running(home, mqtt(good.port, "good") + mqtt(port, "hurt", tls)) as gateway:
                await seconds(gateway, 3)
                ended = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
                for id_ in ("hurt-mqtt", "hurt-feed"):
                    told = await down(gateway, id_)
                    assert told["pending"] > 0
                    assert re.search(f"certificate has expired.* ended on {ended}", told["error"])
                await is_current(gateway)
                hurt.stop()
                hurt = Mosquitto(tmp_path / "hurt", port, tls=files[renewed], settings=settings)
                hurt.start()
                await caught_up(gateway)
            kept = Kept(home)
            for listener in (here, there):
                await kept.check_feed(listener)
                await kept.check_telemetry(listener)
        finally:
            here.close()
            there.close()
            hurt.stop()


async def test_a_broker_that_refuses_the_feeds_topics_gets_its_readings_and_others_their_feed(
    tmp_path: Path, free_port: Port
) -> None:
    acl = ["topic read #", "user gate", "topic write metergate/v1/#"]
    home = tmp_path / "home"
    with (
        Mosquitto(tmp_path / "good", free_port()) as good,
        Mosquitto(tmp_path / "strict", free_port(), acl=acl) as strict,
    ):
        here, there = await listening(good.port), await listening(strict.port)
        try:
            sinks = mqtt(good.port, "good") + mqtt(strict.port, "strict", 'user = "gate"')
            async with running(home, sinks) as gateway:
                await seconds(gateway, 3)
                told = await down(gateway, "strict-feed")
                assert (told["delivered"], told["refused"]) == (0, 0)
                assert "0x87 Not authorized" in told["error"]
                assert "give user gate write permission on emc/v1/" in told["error"]
                assert figures(gateway, "strict-mqtt")["state"] == "up"
                await is_current(gateway)
                (tmp_path / "strict" / "acl").write_text("\n".join([*acl, "topic write emc/v1/#"]) + "\n")
                read_permissions(strict)
                await caught_up(gateway)
            kept = Kept(home)
            for listener in (here, there):
                await kept.check_feed(listener)
                await kept.check_telemetry(listener)
        finally:
            here.close()
            there.close()


def read_permissions(broker: Mosquitto) -> None:
    """Have a broker read its permissions anew."""
    os.kill(broker.pid, signal.SIGHUP)


async def test_a_slow_broker_costs_neither_polls_nor_other_destinations_anything(
    tmp_path: Path, free_port: Port
) -> None:
    home = tmp_path / "home"
    with (
        Mosquitto(tmp_path / "good", free_port()) as good,
        Mosquitto(tmp_path / "slow", free_port()) as slow,
    ):
        here, there = await listening(good.port), await listening(slow.port)
        try:
            async with running(home, mqtt(good.port, "good") + mqtt(slow.port, "slow")) as gateway:
                await seconds(gateway, 2)
                slow.pause()  # connections stay open, acknowledgements do not come
                await seconds(gateway, 4)
                await is_current(gateway)
                assert figures(gateway, "slow-feed")["pending"] >= 3
                assert figures(gateway, "slow-mqtt")["pending"] >= 30
                assert figures(gateway, "slow-feed")["state"] == "up", "slow is not down"
                slow.resume()
                await caught_up(gateway)
            kept = Kept(home)
            for listener in (here, there):
                await kept.check_feed(listener)
                await kept.check_telemetry(listener)
            times: dict[str, list[int]] = {}
            for meter, _, time_ms in sorted(kept.frames):
                times.setdefault(meter, []).append(round(time_ms / 1000 // PERIOD_S))
            for due in times.values():
                assert max(b - a for a, b in pairwise(due)) <= 2, "the polls waited for a broker"
            assert len(times) == METERS
        finally:
            here.close()
            there.close()


async def test_a_database_that_asks_for_time_takes_less_and_refuses_rows_gets_all_it_takes(
    tmp_path: Path, free_port: Port
) -> None:
    """429 with Retry-After, 503, a cut, then 413 and rows it refuses: those are counted with the reason, all others are stored."""

    def why(line: bytes) -> str:
        return "field type conflict" if b",meter=m-002," in line else ""

    script = [
        influx_error(429, "too many requests", "slow down", ("Retry-After", "1")),
        influx_error(503, "unavailable", "overloaded", ("Retry-After", "1")),
        Answer(trouble="cut"),
        influx_error(429, "too many requests", "slow down"),
    ]
    home = tmp_path / "home"
    with Mosquitto(tmp_path / "good", free_port()) as good:
        here = await listening(good.port)
        try:
            async with FakeInflux(script=script, refuse=why, bytes_max=1500) as server:
                async with running(home, mqtt(good.port, "good") + influx(server.url)) as gateway:
                    await until(lambda: len(server.requests) >= 4, "what is scripted was answered")
                    await seconds(gateway, 5)
                    await caught_up(gateway)
                    feed, readings = figures(gateway, "db-feed"), figures(gateway, "db-influx")
                answers = {request.status for request in server.requests}
                assert {429, 503, 413, 422, 204} <= answers
                kept = Kept(home)
                kept.check_lines(server.stored, lambda line: bool(why(line)))
                await kept.check_feed(here)
                await kept.check_telemetry(here)
                stored = {line for line in server.stored if line.startswith(b"meter,")}
                assert len(stored) == len([key for key in kept.frames if key[0] != "m-002"])
        finally:
            here.close()
    assert feed["refused"] > 0
    assert all("field type conflict" in one["reason"] for one in feed["refusals"])
    assert feed["missed"] == readings["missed"] == 0
    assert readings["refused"] > 0
    assert readings["refused"] % 3 == 0, "whole frames of one meter"
    told = [one for one in journal_rig.notes(home) if getattr(one, "kind", "") == "message_refused"]
    assert [one.subject for one in told] == ["db-feed"], "told once an hour, with a count"


@pytest.mark.parametrize("status", [400, 401])
async def test_a_database_that_blames_no_row_holds_what_it_gets_and_nobody_else(
    tmp_path: Path, free_port: Port, status: int
) -> None:
    page = Answer(status, b"<html>not here</html>")
    home = tmp_path / "home"
    with Mosquitto(tmp_path / "good", free_port()) as good:
        here = await listening(good.port)
        try:
            async with FakeInflux(script=[page] * 100_000) as server:
                async with running(home, mqtt(good.port, "good") + influx(server.url)) as gateway:
                    await seconds(gateway, 3)
                    await until(lambda: len(server.requests) >= 4, "it was asked")
                    for id_ in ("db-feed", "db-influx"):
                        told = await down(gateway, id_)
                        assert told["refused"] == 0
                        assert told["pending"] > 0
                        assert str(status) in told["error"]
                    await is_current(gateway)
                    assert server.stored == []
                    server.script.clear()
                    await caught_up(gateway)
                kept = Kept(home)
                kept.check_lines(server.stored)
                await kept.check_feed(here)
                assert len({line for line in server.stored if line.startswith(b"meter,")}) == len(kept.frames)
        finally:
            here.close()
