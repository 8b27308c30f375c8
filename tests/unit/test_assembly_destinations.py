"""From `[[sinks]]` of the feed to its destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from gateway.assembly import DESTINATIONS, SINKS, destination
from gateway.clock import SystemClock
from gateway.config.sinks import FEED_KINDS, SinkConfig
from gateway.config.site_file import from_toml
from gateway.sinks.feed_influx import FeedInflux
from gateway.sinks.feed_mqtt import FeedMqtt
from gateway.sinks.tls import TlsFiles

if TYPE_CHECKING:
    from pathlib import Path

SITE = """
    gateway = { id = "plant-1", state_dir = "state" }
    feed = { prefix = "emc/v2" }
    [site]
    timezone = "Asia/Shanghai"
    region = "330100"
    enterprise = "91330000MA27XXXX0A"
    [[sinks]]
    kind = "feed"
    id = "reg"
    host = "127.0.0.1"
    port = 8884
    protocol = "3.1.1"
    user = "gate"
    password_file = "password"
    tls = { enabled = true, ca_file = "ca.pem" }
    [[sinks]]
    kind = "feed-influx"
    id = "db"
    url = "http://127.0.0.1:8086"
    org = "o"
    bucket = "b"
    token_file = "token"
    timeout = "3s"
"""


def test_every_kind_of_sink_is_served_once() -> None:
    assert set(DESTINATIONS) == set(FEED_KINDS)
    assert set(DESTINATIONS) | set(SINKS) == set(get_args(SinkConfig))
    assert not set(DESTINATIONS) & set(SINKS)


def test_what_the_site_file_says_reaches_the_destination(tmp_path: Path) -> None:
    for name in ("password", "ca.pem", "token"):
        (tmp_path / name).write_text("s3cret\n")
        (tmp_path / name).chmod(0o600)
    site = from_toml(SITE, tmp_path / "site.toml")
    mqtt, influx = (destination(config, site, SystemClock()) for config in site.sinks)  # type: ignore[arg-type]
    assert isinstance(mqtt, FeedMqtt)
    login = mqtt._broker.login
    assert (login.host, login.port, login.protocol, login.user, login.password) == (
        "127.0.0.1", 8884, "3.1.1", "gate", "s3cret",
    )  # fmt: skip
    assert login.root == "emc/v2/330100/91330000MA27XXXX0A/plant-1"
    assert login.client_id == "metergate-plant-1-reg"
    assert login.tls == TlsFiles(tmp_path / "ca.pem")
    assert isinstance(influx, FeedInflux)
    lines = influx._lines
    assert (lines._url, lines._org, lines._bucket, lines._token) == (
        "http://127.0.0.1:8086",
        "o",
        "b",
        "s3cret",
    )
    assert lines._timeout_s == 3
