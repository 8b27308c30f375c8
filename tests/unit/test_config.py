"""A site file becomes one frozen Site; what cannot even be read is a finding too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.config import site_file as config
from gateway.config.meters import channel_overrides, profile_library, protocol_of, variable_specs
from gateway.config.site_file import load
from gateway.config.summary import summary
from gateway.errors import ConfigError, Finding
from tests.unit.config_site import SITE, changed

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "site.example.toml"


@pytest.fixture
def site(tmp_path: Path) -> config.Site:
    return config.from_toml(SITE, tmp_path / "site.toml")


def refused(path: Path) -> Finding:
    with pytest.raises(ConfigError) as caught:
        load(path)
    (finding,) = caught.value.findings
    return finding


def test_the_example_loads_and_has_every_kind_of_link_and_sink() -> None:
    example = load(EXAMPLE)
    assert {type(link) for link in example.links} == {config.ModbusTcpConfig, config.OpcuaConfig}
    assert {type(sink) for sink in example.sinks} == {config.MqttConfig, config.InfluxConfig}
    (warning,) = summary(example)["warnings"]
    assert "acrel-adl3000 (meters compressor-1): only one source speaks for voltage_ll_l12" in warning


def test_what_the_example_has_as_comments_can_be_used_too(tmp_path: Path) -> None:
    blocks = EXAMPLE.read_text(encoding="utf-8").split("\n\n")
    used = [block.replace("\n# ", "\n")[2:] if block.startswith("# [") else block for block in blocks]
    text = "\n\n".join(used).replace('enterprise = ""', 'enterprise = "91350100M000100Y43"')
    text = re.sub(r'"(/etc/metergate/[\w.-]+)"', f'"{EXAMPLE}"', text)
    site = config.from_toml(text, tmp_path / "site.toml")
    assert {sink.kind for sink in site.sinks} == {"mqtt", "influx", "feed", "feed-influx"}
    assert len(site.intervals.shifts) == 2
    assert len(site.intervals.tariffs) == 3
    assert [len(sums.terms) for sums in site.aggregates] == [2]
    assert {link.kind for link in site.links} >= {"serial", "tcp-serial"}
    assert [meter.address for meter in site.meters if meter.address] == ["000012345678"]


def test_durations_and_sizes_carry_their_unit_in_the_attribute(site: config.Site) -> None:
    assert site.journal.size_max_bytes == 1 << 30
    assert site.journal.free_min_bytes == 512 << 20
    assert site.journal.group_s == 0.05
    assert [link.timeout_s for link in site.links] == [1.0, 4.0]
    assert site.links[0].retry_max_s == 60.0
    assert site.meters[0].period_s == 10.0


def test_defaults(site: config.Site) -> None:
    assert site.gateway.state_dir == Path("/var/lib/metergate")
    assert site.gateway.socket_path == Path("/var/lib/metergate/control.sock")
    mqtt = site.sinks[0]
    assert isinstance(mqtt, config.MqttConfig)
    assert (mqtt.port, mqtt.protocol, mqtt.group, mqtt.prefix) == (1883, "5", "commit", "metergate/v1")
    assert mqtt.tls.enabled is None
    assert not mqtt.uses_tls


def test_paths_are_relative_to_the_site_file(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "token").write_text("t")
    more = 'id = "plant-1"\nstate_dir = "state"\nprofile_dirs = ["own"]'
    text = changed(('id = "plant-1"', more), ('org = "plant"', 'org = "plant"\ntoken_file = "token"'))
    site = config.from_toml(text, tmp_path / "site.toml")
    assert site.gateway.state_dir == tmp_path / "state"
    assert site.gateway.socket_path == tmp_path / "state" / "control.sock"
    assert site.gateway.profile_dirs == (tmp_path / "own",)
    influx = site.sinks[1]
    assert isinstance(influx, config.InfluxConfig)
    assert influx.token_file == tmp_path / "token"


def test_nothing_can_be_changed_later(site: config.Site) -> None:
    with pytest.raises(ValidationError):
        site.meters[0].period_s = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError):
        site.links = ()  # type: ignore[misc]


def test_ratios_keep_every_digit(tmp_path: Path) -> None:
    text = changed(("ct = 40, pt = 1", 'ct = "0.10000000000000000001", pt = 1.1'))
    assert config.from_toml(text, tmp_path / "s").meters[1].ratios == {
        "ct": "0.10000000000000000001",
        "pt": "1.1",
    }


def test_all_channels_with_or_without_brackets(tmp_path: Path) -> None:
    for stars in ('"*"', '["*"]'):
        text = changed(("unit = 1\n", f"unit = 1\nchannels = {stars}\n"))
        assert config.from_toml(text, tmp_path / "s").meters[0].channels == ("*",)


def test_the_digest_stands_for_content_not_for_spelling(tmp_path: Path, site: config.Site) -> None:
    assert len(site.digest) == 64
    same = config.from_toml("# a comment\n" + SITE.replace(" = ", "  =  "), tmp_path / "elsewhere.toml")
    assert same.digest == site.digest
    other = config.from_toml(changed(("10s", "20s")), tmp_path / "site.toml")
    assert other.digest != site.digest


def test_link_by_id(site: config.Site) -> None:
    assert site.link("dcs") is site.links[1]
    with pytest.raises(KeyError):
        site.link("none")


def test_overrides_and_variables_reach_the_compiler(tmp_path: Path) -> None:
    more = 'unit = "t/h"\nfactor = "0.1"\n[meters.override.flow_mass]\nhigh = 9\nreport = true'
    site = config.from_toml(changed(('unit = "t/h"', more)), tmp_path / "s")
    spec = variable_specs(site.meters[3])["flow_mass"]
    assert (spec.id, spec.unit, spec.factor, spec.high, spec.report) == (
        "ns=2;s=Boiler1.Flow",
        "t/h",
        "0.1",
        9.0,
        True,
    )
    assert channel_overrides(site.meters[2])["volume_forward"].unit == "m3"


def test_tables_may_stand_empty(tmp_path: Path, site: config.Site) -> None:
    empty = config.from_toml("aggregates = []\n" + SITE + "\n[inventory]\n[feed]\n", tmp_path / "s")
    assert empty.aggregates == site.aggregates == ()
    assert empty.inventory == site.inventory


def test_the_usual_inventory_is_taken_if_it_is_there(tmp_path: Path) -> None:
    assert config.from_toml(SITE, tmp_path / "s").inventory.file is None
    (tmp_path / "inventory.toml").touch()
    found = config.from_toml(SITE, tmp_path / "s").inventory
    assert found.file == tmp_path / "inventory.toml"
    assert (found.ruleset, found.remind_days) == ("GB17167-2006", (90, 30, 7))


def test_on_a_link_of_several_protocols_the_profile_says_how_a_meter_is_read(site: config.Site) -> None:
    library = profile_library(())
    feeder, boiler = site.meters[0], site.meters[3]
    both = frozenset({"modbus", "opcua"})
    assert [protocol_of(meter, both, library) for meter in (feeder, boiler)] == ["modbus", "opcua"]
    assert protocol_of(feeder, frozenset({"opcua", "dlt645"}), library) == "", "not one of this link"
    assert protocol_of(feeder, frozenset({"opcua"}), library) == "opcua", "the link has no other"
    assert protocol_of(feeder, frozenset(), library) == "", "the link itself is wrong"


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SITE.encode())
    assert load(path).gateway.id == "plant-1"


def test_no_such_file(tmp_path: Path) -> None:
    finding = refused(tmp_path / "site.toml")
    assert finding.path.endswith("site.toml")
    assert "--config" in finding.suggestion


def test_a_folder_is_no_site_file(tmp_path: Path) -> None:
    assert refused(tmp_path).expected == "a file that can be read"


def test_gbk_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_bytes('[gateway]\nname = "一号厂"\n'.encode("gbk"))
    finding = refused(path)
    assert "line 2" in finding.found
    assert "UTF-8" in finding.suggestion


@pytest.mark.parametrize(
    ("text", "found", "suggestion"),
    [
        ("[gateway]\nid = plant", "line 2", "quotes"),
        ("[gateway]\n[gateway]", "line 2", "[[links]]"),
        ("a = 1\na = 2\n", "line 2", "twice"),
        ('a = "C:\\x"', "line 1", "single quotes"),
        ("[gateway]\nid = “my-plant”", "line 2", "full-width"),
        ('id = "my-plant”\n', "line 1", "full-width"),
        ('id = "my-plant”', "end of document", "full-width"),
        ("id = plant # “x”", "line 1", "written in quotes"),
        ("a = " + "9" * 5000, "4300", ""),
        ("a = " + "[" * 100_000, "nested", ""),
        ("[gateway]\n" + "a." * 900 + "a = 1", "nested", ""),
    ],
)
def test_toml_syntax(text: str, found: str, suggestion: str, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text)
    finding = refused(path)
    assert found in finding.found
    assert suggestion in finding.suggestion
    assert finding.expected == "valid TOML"


def test_a_bad_profile_of_the_users_is_reported_once_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "acme-1.toml").write_text('schema = 1\nid = "acme-1"\nmakr = "Acme"\n')
    text = changed(
        ('id = "plant-1"', 'id = "plant-1"\nprofile_dirs = ["."]'),
        ("eastron-sdm630", "acme-1"),
        ("acrel-adl3000", "acme-1"),
    )
    with pytest.raises(ConfigError) as caught:
        config.from_toml(text, tmp_path / "site.toml")
    paths = [finding.path for finding in caught.value.findings]
    assert "acme-1.toml: makr" in paths
    assert len(paths) == len(set(paths))
    assert all(path.startswith("acme-1.toml: ") for path in paths)


def test_summary_counts_and_warns(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("t")
    secret.chmod(0o644)
    text = changed(
        ('org = "plant"', 'org = "plant"\ntoken_file = "token"'),
        ("acrel-adl3000", "acrel-adw300"),
        ("ratios = { ct = 40, pt = 1 }", "channels = []"),
        ('link = "dcs"', 'link = "dcs"\nenabled = false'),
    )
    found = summary(config.from_toml(text, tmp_path / "site.toml"))
    assert (found["links"], found["meters"], found["disabled"], found["sinks"]) == (2, 3, 1, 2)
    assert found["channels"] > found["meters"]
    assert found["readings_per_s"] == pytest.approx(found["channels"] / 10)
    warnings = "\n".join(found["warnings"])
    assert "acrel-adw300 (meters pump-2) rests on one source" in warnings
    assert "links.dcs" in warnings
    assert "chmod 600" in warnings
    assert len(found["warnings"]) == 3
