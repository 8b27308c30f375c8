from __future__ import annotations

import asyncio
import json
import os
import random
import struct
import subprocess
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest

from drivers import profiles
from gateway.config.site_file import load
from tests.bench import meters, plant, serial, serial_meters
from tests.bench.processes import cpu_s, rss_peak_mb
from tests.bench.report import BUDGETS, FIGURES, Budget, judged, table
from tests.bench.run import WORKLOADS, chosen, next_window
from tests.bench.subscriber import Arrivals, percentile

if TYPE_CHECKING:
    from pathlib import Path


def message(meter: str, time_ms: int, clock_ms: float, **more: object) -> bytes:
    values = [clock_ms % plant.CLOCK_MODULUS_MS] + [1.5] * (len(plant.CHANNELS) - 1)
    frame = {"m": meter, "l": "0", "e": 0, "t": time_ms, "x": values} | more
    return orjson.dumps({"v": 1, "gateway": plant.GATEWAY, "frames": [frame]})


class TestPlant:
    def test_the_site_file_is_one_the_gateway_takes(self, tmp_path: Path) -> None:
        plan = plant.SitePlan(450, 75, 15020, 1883, "meter", "http://127.0.0.1:8428")
        site = load(plant.write_site(plan, tmp_path))
        assert len({link.endpoint() for link in site.links}) == 450
        assert {meter.period_s for meter in site.meters} == {0.075}
        assert [sink.id for sink in site.sinks] == [plant.MQTT_SINK, plant.INFLUX_SINK]

    def test_the_meter_type_is_30_floats_in_60_registers(self, tmp_path: Path) -> None:
        plant.write_site(plant.SitePlan(1, 1000, 1, 1), tmp_path)
        profile = profiles.Library([tmp_path / "profiles"]).get(plant.PROFILE)
        assert (len(profile.keys()), plant.REGISTERS) == (30, 60)
        assert profile.keys()[0] == plant.CLOCK_KEY
        decoded = profiles.decode_golden(profile, profile.golden[0])
        assert decoded["voltage_ln_l1"].exact == Decimal("1.5")


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return False


class TestMeters:
    def ask(self, request: bytes) -> bytes:
        connection = meters.MeterConnection(meters.images(0), (0.0, 0.0), random.Random(0))
        transport = FakeTransport()
        connection.connection_made(transport)
        for piece in (request[:5], request[5:]):
            connection.get_buffer(-1)[: len(piece)] = piece
            connection.buffer_updated(len(piece))
        return transport.sent

    def test_an_answer_carries_the_machine_s_clock_and_fractions(self) -> None:
        before_ms = time.monotonic_ns() // 1_000_000
        answer = self.ask(bytes.fromhex("abcd 0000 0006 01 03 0000 003c"))
        assert answer[:9] == bytes.fromhex("abcd 0000 007b 01 03 78")
        clock_ms, *values = struct.unpack(">30f", answer[9:])
        assert 0 <= clock_ms - before_ms % plant.CLOCK_MODULUS_MS < 5_000
        assert all(value % 1 for value in values)

    def test_part_of_the_registers_is_cut_from_the_same_image(self) -> None:
        both = self.ask(bytes.fromhex("0001 0000 0006 01 03 0000 003c 0002 0000 0006 01 03 0002 0004"))
        whole, part = both[:129], both[129:]
        assert part[:9] == bytes.fromhex("0002 0000 000b 01 03 08")
        assert len(part) == 17
        values, first = struct.unpack(">2f", part[9:]), struct.unpack(">2f", whole[13:21])
        assert values == pytest.approx(first, rel=0.05)

    @pytest.mark.parametrize(("ask", "error"), [("04 0000 003c", "84 01"), ("03 0000 003d", "83 02")])
    def test_what_it_does_not_have_it_refuses(self, ask: str, error: str) -> None:
        assert self.ask(bytes.fromhex("0001 0000 0006 01" + ask)) == bytes.fromhex(
            "0001 0000 0003 01" + error
        )

    def test_every_meter_listens_on_its_own_address(self) -> None:
        port, socks = meters.listeners(3)
        try:
            assert [sock.getsockname() for sock in socks] == [(plant.host(n), port) for n in range(3)]
            assert len({plant.host(n) for n in range(3000)}) == 3000
        finally:
            for sock in socks:
                sock.close()


class TestArrivals:
    def test_latency_survives_the_turn_of_the_meter_s_clock(self) -> None:
        arrivals = Arrivals()
        turn_ms = float(5 * plant.CLOCK_MODULUS_MS)
        for n, age_ms in enumerate((10.0, 20.0, 4000.0)):
            arrivals.take(message("a", 1000 * n, turn_ms - 5), turn_ms - 5 + age_ms)
        report = arrivals.report(0, 3000, 1000)
        assert (report["latency_p50_ms"], report["latency_p99_ms"]) == (20.0, 4000.0)
        assert (report["frames"], report["frames_in_time"]) == (3, 2)

    def test_a_repeat_counts_once_and_a_hole_is_seen(self) -> None:
        arrivals = Arrivals()
        for time_ms in (1010, 2010, 2010, 4010, 9000):
            arrivals.take(message("a", time_ms, 0), 50)
        report = arrivals.report(600, 4600, 1000)
        assert (report["frames"], report["frames_all"], report["repeats"]) == (3, 4, 1)
        assert report["missed_slots"] == 1
        assert (report["cadence_p50_s"], report["cadence_p99_s"]) == (1.0, 2.0)

    def test_absent_values_are_no_readings(self) -> None:
        arrivals = Arrivals()
        arrivals.take(message("a", 1000, 0, x=[1.0, None]), 50)
        arrivals.take(message("a", 2000, 0, f=[512] * 30), 50)
        report = arrivals.report(0, 10_000, 1000)
        assert (report["frames"], report["wrong"], report["flagged"]) == (1, 1, 1)

    def test_percentiles_are_values_that_occurred(self) -> None:
        assert [percentile(range(1, 101), p) for p in (0.5, 0.99, 1.0)] == [50, 99, 100]


class TestReport:
    def test_every_workload_has_budgets_and_every_budget_a_figure(self) -> None:
        assert set(BUDGETS) == {workload.name for workload in WORKLOADS}
        shown = {key for key, *_ in FIGURES}
        assert all(set(budgets) <= shown for budgets in BUDGETS.values())

    def test_a_missed_budget_is_said(self) -> None:
        figures = dict.fromkeys((key for key, *_ in FIGURES), 1.0)
        result = judged(figures | {"workload": "tcp-mqtt", "lost": 30, "cpu_s_per_million": None})
        assert (result["meets"]["lost"], result["meets"]["cadence_p99_s"]) == (False, True)
        assert result["meets"]["cpu_s_per_million"] is False
        assert result["budget"]["rss_peak_mb"] == {"max": 80.0}
        assert table([result]).row_count == len(FIGURES)
        json.dumps(result)

    def test_a_limit_itself_is_kept(self) -> None:
        assert Budget(3.0, "max").met(3.0)
        assert Budget(0.99, "min").met(0.99)
        assert not Budget(0.99, "min").met(0.98)


def test_a_window_holds_whole_periods_and_begins_between_two_bursts() -> None:
    window = next_window(1000.25, 8, 75)
    assert window.periods == round((window.to_ms - window.from_ms) / 75) == 107
    assert window.from_ms >= 1000_250
    assert 0.5 < window.from_ms / 75 % 1 < 0.7


def test_processes_are_watched_through_proc() -> None:
    burn = "import time\nx = bytearray(60_000_000)\nwhile time.process_time() < 0.1: pass\nprint(1, flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0.08 <= cpu_s(process.pid) < 2
        assert 60 <= rss_peak_mb(process.pid) < 200
        process.kill()
    assert cpu_s(os.getpid()) > 0


def exchange(unit: int, start_s: float, lawful_s: float, took_s: float) -> serial_meters.Exchange:
    return serial_meters.Exchange(unit, start_s, start_s + took_s, lawful_s)


class TestSerial:
    GAP_S = 0.004

    def test_the_share_of_the_wire_counts_every_late_request_and_no_rest_between_rounds(self) -> None:
        exchanges = [exchange(9, 0.0, 0.1, 0.096)]  # cut by the window
        for start_s in (10.0, 20.0):
            exchanges += [exchange(1, start_s, 0.1, 0.096), exchange(2, start_s + 0.11, 0.1, 0.096)]
        exchanges += [exchange(1, 30.0, 0.1, 0.096)]  # cut by the window
        lawful_s, busy_s = serial_meters.busy(exchanges[1:], 2, self.GAP_S)
        assert lawful_s == pytest.approx(0.196)  # one round: the first and the last are left out
        assert busy_s == pytest.approx(0.206)

    def test_a_rest_within_a_round_counts_against_the_line(self) -> None:
        starts_s = {1: 10.0, 2: 10.11, 3: 20.0, 4: 20.11}
        inner = [exchange(unit, start_s, 0.1, 0.096) for unit, start_s in starts_s.items()]
        exchanges = [exchange(1, 0.0, 0.1, 0.096), *inner, exchange(1, 30.0, 0.1, 0.096)]
        lawful_s, busy_s = serial_meters.busy(exchanges, 4, self.GAP_S)
        assert lawful_s / busy_s == pytest.approx(0.396 / 10.206)

    def test_without_a_delay_of_its_own_the_whole_line_is_used(self) -> None:
        exchanges = [exchange(n % 4, 0.1 * n, 0.1, 0.096) for n in range(16)]
        lawful_s, busy_s = serial_meters.busy(exchanges, 4, self.GAP_S)
        assert lawful_s / busy_s == pytest.approx(1.0)

    def test_the_dead_meter_is_none_of_the_others(self) -> None:
        live = {"seconds": 10.0, "answers": {str(unit): 10 for unit in range(1, 33)}}
        dead = {"seconds": 20.0, "answers": {str(unit): 19 for unit in range(1, 33)} | {str(serial.DEAD): 0}}
        assert serial.fraction(dead, live) == pytest.approx(0.95)

    def test_the_period_fills_the_line_and_no_more(self, tmp_path: Path) -> None:
        path, period_ms = serial.write_site(tmp_path / "line", 9600, tmp_path)
        plan = serial.planned(path)
        assert (plan["requests"], plan["bytes"]) == (32, 32 * (8 + 45))
        assert 0.97 < plan["occupancy"] <= 1.0
        assert load(path).meters[0].period_s == period_ms / 1000

    def test_a_meter_answers_what_the_bench_asks_for(self) -> None:
        station = serial_meters.RegisterStation(7, 0.005)
        request = bytes.fromhex("070300020014")
        reply = station.hear(request + serial_meters.crc16(request))
        assert reply is not None
        assert (reply.frame[:3], len(reply.frame), reply.delay_s) == (b"\x07\x03\x28", 45, 0.005)
        assert serial_meters.crc16(reply.frame) == b"\0\0"
        assert station.hear(request + b"\0\0") is None
        station.alive = False
        assert station.hear(request + serial_meters.crc16(request)) is None

    async def test_sleepers_of_the_punctual_clock_never_wake_early(self) -> None:
        clock = serial_meters.PunctualClock()
        woken_s: list[float] = []

        async def sleeper(after_s: float) -> None:
            until_s = clock.monotonic() + after_s
            await clock.sleep_until(until_s)
            woken_s.append(clock.monotonic() - until_s)

        cut_short = asyncio.ensure_future(sleeper(0.002))
        await asyncio.sleep(0)
        cut_short.cancel()
        await asyncio.gather(*(sleeper(after_s) for after_s in (0.004, 0.001, 0.0)))
        assert len(woken_s) == 3
        assert min(woken_s) >= 0

    def test_a_group_names_its_workloads(self) -> None:
        assert [workload.name for workload in chosen(["serial"])] == ["serial-9600", "serial-19200"]
        assert chosen(None) == list(WORKLOADS)
