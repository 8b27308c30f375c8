"""Every kind of mistake in a site file is one finding: where, what was found, what was expected, what next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.site_file import report, to_json
from tests.unit.config_site import SITE, changed, findings

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY, SITE_TABLE, LINK = 'id = "plant-1"', "[site]\n", 'host = "10.0.0.1"'
URL, FEEDER, RATIOS = 'url = "opc.tcp://10.0.0.2:4840"', 'profile = "eastron-sdm630"', "ct = 40, pt = 1"
INFLUX_URL = 'url = "http://127.0.0.1:8086"'
MQTT, INFLUX, VARIABLE = 'host = "127.0.0.1"', 'bucket = "meters"', 'unit = "t/h"'

SUM = 'id = "sum"\nterms = [{ meter = "feeder-1", channel = "energy_active_import_total" }]'
MODBUS, LINE = 'kind = "modbus-tcp"', 'kind = "tcp-serial"\nport = 4001\n'

# (name, text, what stands there instead, key path, a word of: found, expected, suggestion)
MISTAKES = [
    # keys
    ("unknown-key", GATEWAY, GATEWAY + '\nnmae = "x"', "gateway.nmae", "unknown key", "log_level", "`name`"),
    ("key-of-a-required", LINK, 'hots = "10.0.0.1"', "links.hall-a.hots", "unknown key", "host", "`host`"),
    ("other-gateways-word", "unit = 1\n", "slave_id = 1\n", "meters.feeder-1.slave_id", "unknown", "unit", "`unit`"),
    ("kind-under-another-name", 'kind = "mqtt"', 'type = "mqtt"', "sinks.mqtt.type", "unknown", "kind", "`kind`"),
    ("nested-unknown-key", 'unit = "m3"', 'unit = "m3"\nrate_mx = 2', "meters.water.override.volume_forward.rate_mx", "unknown", "rate_max", "`rate_max`"),
    ("odd-key", GATEWAY, GATEWAY + '\n"a b.c" = 1', 'gateway."a b.c"', "unknown key", "id", ""),
    ("unknown-table", "[journal]", "[jurnal]", "jurnal", "unknown key", "journal", "`journal`"),
    ("table-not-repeated", '[[links]]\nid = "hall-a"', '[[link]]\nid = "hall-a"', "link", "unknown key", "links", ""),
    ("missing-key", FEEDER + '\nenergy_kind = "electricity"', FEEDER, "meters.feeder-1.energy_kind", "nothing", "flows", ""),
    ("missing-table", '[gateway]\nid = "plant-1"', "", "gateway", "nothing", "[gateway]", "site.example"),
    ("missing-kind", 'kind = "opcua"', "", "links.dcs.kind", "nothing", "modbus-tcp", ""),
    # values
    ("text-for-number", LINK, LINK + '\nport = "502"', "links.hall-a.port", '"502"', "an integer", ""),
    ("true-for-number", LINK, LINK + "\nport = true", "links.hall-a.port", "true", "an integer", ""),
    ("number-for-text", GATEWAY, GATEWAY + "\nname = 1", "gateway.name", "1", "text in quotes", ""),
    ("number-out-of-range", LINK, LINK + "\nport = 70000", "links.hall-a.port", "70000", "65535", ""),
    ("huge-number", LINK, LINK + f"\nport = 0x{'f' * 5000}", "links.hall-a.port", "beyond", "65535", ""),
    ("not-a-number", 'unit = "m3"', 'unit = "m3"\nlow = nan', "meters.water.override.volume_forward.low", "nan", "finite", ""),
    ("text-for-table", 'unit = "m3"', 'unit = "m3"\n[meters.labels]\na = 1', "meters.water.labels.a", "1", "text", ""),
    ("bare-duration", 'period = "10s"', "period = 10", "meters.feeder-1.period", "10", "unit", '"10s"'),
    ("ambiguous-duration", 'period = "10s"', 'period = "10m"', "meters.feeder-1.period", '"10m"', "unit", '"10min"'),
    ("odd-period", 'period = "10s"', 'period = "7s"', "meters.feeder-1.period", '"7s"', "divides a day", '"6s"'),
    ("zero-period", 'period = "10s"', 'period = "0s"', "meters.feeder-1.period", '"0s"', "50ms", ""),
    ("override-period", 'unit = "m3"', 'unit = "m3"\nperiod = 60', "meters.water.override.volume_forward.period", "60", "unit", '"60s"'),
    ("timeout-too-long", LINK, LINK + '\ntimeout = "1d"', "links.hall-a.timeout", '"1d"', "10min", ""),
    ("size-without-unit", '"1GiB"', "1000", "journal.size_max", "1000", "unit", '"1000MiB"'),
    ("size-in-GB", '"1GiB"', '"1GB"', "journal.size_max", '"1GB"', "unit", '"1GiB"'),
    ("journal-too-small", '"1GiB"', '"1B"', "journal.size_max", '"1B"', "16MiB", '"16MiB"'),
    ("bad-id", 'id = "feeder-1"', 'id = "Feeder 1"', "meters[1].id", '"Feeder 1"', "a-z", '"feeder-1"'),
    ("log-level", GATEWAY, GATEWAY + '\nlog_level = "warn"', "gateway.log_level", '"warn"', "warning", '"warning"'),
    ("timezone", "Asia/Shanghai", "Asia/Beijing", "site.timezone", "Beijing", "IANA", "Asia/Shanghai"),
    ("timezone-of-china", "Asia/Shanghai", "CST", "site.timezone", "CST", "IANA", "Asia/Shanghai"),
    ("timezone-by-offset", "Asia/Shanghai", "GMT+8", "site.timezone", "GMT+8", "IANA", "Asia/Shanghai"),
    ("timezone-in-chinese", "Asia/Shanghai", "北京", "site.timezone", "北京", "IANA", "Asia/Shanghai"),
    ("timezone-misspelt", "Asia/Shanghai", "Asia/Shangai", "site.timezone", "Shangai", "IANA", "Asia/Shanghai"),
    ("timezone-folder", "Asia/Shanghai", "Asia", "site.timezone", "Asia", "IANA", ""),
    ("timezone-path", "Asia/Shanghai", "../../etc/passwd", "site.timezone", "passwd", "IANA", ""),
    ("energy-kind", 'kind = "water"', 'kind = "watr"', "meters.water.energy_kind", "watr", "electricity", '"water"'),
    ("unknown-kind", 'kind = "modbus-tcp"', 'kind = "modbus_tcp"', "links.hall-a.kind", "modbus_tcp", "opcua", '"modbus-tcp"'),
    ("host-with-scheme", MQTT, 'host = "mqtt://broker:1883"', "sinks.mqtt.host", "mqtt://", "without scheme", '"broker"'),
    ("host-with-port", LINK, 'host = "10.0.0.1:503"', "links.hall-a.host", "10.0.0.1:503", "without", 'host = "10.0.0.1", port = 503'),
    ("name-with-port", LINK, 'host = "db:503"', "links.hall-a.host", "db:503", "without", "the port goes into `port`"),
    ("broker-with-port", MQTT, 'host = "[::1]:1883"', "sinks.mqtt.host", "[::1]:1883", "without", 'host = "::1", port = 1883'),
    ("influx-endpoint", INFLUX_URL, INFLUX_URL[:-1] + '/api/v2/write"', "sinks.influx.url", "write", "only the base address", INFLUX_URL[7:-1]),
    ("influx-endpoint-with-query", INFLUX_URL, INFLUX_URL[:-1] + '/api/v2/write?org=x"', "sinks.influx.url", "write", "only the base address", INFLUX_URL[7:-1]),
    ("serial-kind", 'kind = "modbus-tcp"', 'kind = "modbus-rtu"', "links.hall-a.kind", "rtu", '"modbus-tcp"', 'kind = "serial"'),
    ("dlt645-kind", 'kind = "modbus-tcp"', 'kind = "dlt645"\nbaud = 2400', "links.hall-a.kind", "dlt645", '"modbus-tcp"', 'kind = "tcp-serial"'),
    ("rtu-tcp-kind", MODBUS, 'kind = "rtu-tcp"\nport = 502', "links.hall-a.kind", "rtu-tcp", '"modbus-tcp"', '"tcp-serial"'),
    ("rtu-over-tcp-kind", MODBUS, 'kind = "RTU over TCP"\nport = 502', "links.hall-a.kind", "RTU", '"modbus-tcp"', '"tcp-serial"'),
    ("no-such-baud", MODBUS, LINE + "baud = 9601", "links.hall-a.baud", "9601", "300, 600, 1200", "try 9600"),
    ("baud-in-quotes", MODBUS, LINE + 'baud = "2400"', "links.hall-a.baud", '"2400"', "2400, 4800", "try 2400"),
    ("baudrate", MODBUS, LINE + "baudrate = 2400", "links.hall-a.baudrate", "unknown", "baud", "`baud`"),
    ("parity-in-words", MODBUS, LINE + 'parity = "even"', "links.hall-a.parity", "even", "N, E, O", 'try "E"'),
    ("no-parity-in-words", MODBUS, LINE + 'parity = "none"', "links.hall-a.parity", "none", "N, E, O", 'try "N"'),
    ("data-bits", MODBUS, LINE + "databits = 8", "links.hall-a.databits", "unknown", "always 8", "remove"),
    ("power-kind", 'kind = "electricity"', 'kind = "power"', "meters.feeder-1.energy_kind", "power", "electricity", '"electricity"'),
    ("short-address", "unit = 1\n", 'unit = 1\naddress = "12345678"\n', "meters.feeder-1.address", "12345678", "14 (CJ/T 188)", 'try "000012345678"'),
    ("address-without-quotes", "unit = 1\n", "unit = 1\naddress = 12345678\n", "meters.feeder-1.address", "12345678", "text", 'try "000012345678"'),
    ("chinese-id", 'id = "feeder-1"', 'id = "一号进线"', "meters[1].id", "一号进线", "a-z", "put it into `name`"),
    ("opcua-url", URL, 'url = "http://10.0.0.2:4840"', "links.dcs.url", "http", "opc.tcp://", ""),
    ("url-port", URL, 'url = "opc.tcp://10.0.0.2:99999"', "links.dcs.url", "99999", "opc.tcp://", ""),
    ("topic", MQTT, MQTT + '\nprefix = "/metergate/#"', "sinks.mqtt.prefix", "#", "topic levels", ""),
    ("variable-id", "ns=2;s=Boiler1.Flow", "Boiler1.Flow", "meters.boiler-1.variables.flow_mass.id", "Boiler1", "ns=2", ""),
    ("variable-id-number", "ns=2;s=Boiler1.Flow", "i=9999999999", "meters.boiler-1.variables.flow_mass.id", "9999999999", "4294967295", ""),
    ("variable-id-namespace", "ns=2;s=Boiler1.Flow", "ns=99999;i=1", "meters.boiler-1.variables.flow_mass.id", "99999", "65535", ""),
    ("variable-id-guid", "ns=2;s=Boiler1.Flow", "g=------------------------------------", "meters.boiler-1.variables.flow_mass.id", "---", "GUID", ""),
    ("ratio", RATIOS, "ct = 0, pt = 1", "meters.pump-2.ratios.ct", "0", "above 0", ""),
    # one thing against another
    ("same-id", 'id = "pump-2"', 'id = "feeder-1"', "meters[2].id", "feeder-1", "of its own", "meters[1]"),
    ("same-id-as-a-link", 'id = "pump-2"', 'id = "hall-a"', "meters.hall-a.id", "hall-a", "of its own", "links.hall-a"),
    ("same-unit", "unit = 2\n", "unit = 1\n", "meters.pump-2.unit", "meters.feeder-1", "of its own", ""),
    ("unknown-link", 'link = "dcs"', 'link = "dsc"', "meters.boiler-1.link", "dsc", "hall-a, dcs", '"dcs"'),
    ("unknown-profile", "eastron-sdm630", "eastron-sdm603", "meters.feeder-1.profile", "sdm603", "profiles", "eastron-sdm630"),
    ("unknown-channel", '"flow_volume"', '"flow_volum"', "meters.water.channels[1]", "flow_volum", "flow_volume", "flow_volume"),
    ("no-known-channel", '["flow_volume", "volume_forward"]', '["flow"]', "meters.water.channels[1]", "flow", "flow_volume", ""),
    ("unknown-override", 'unit = "m3"', 'unit = "m3"\n[meters.override.flow_volumes]', "meters.water.override.flow_volumes", "flow_volumes", "channels", "flow_volume"),
    ("unknown-variant", "unit = 1\n", 'unit = 1\nvariant = "v9"\n', "meters.feeder-1.variant", "v9", "variant", ""),
    ("unknown-ratio", RATIOS, RATIOS + ", vt = 2", "meters.pump-2.ratios.vt", "2", "ct", ""),
    ("missing-ratio", RATIOS, "ct = 40", "meters.pump-2.ratios.pt", "nothing", "ratio", "ratios = { pt = 1, ct = 40 }"),
    ("missing-unit-of-menu", 'unit = "m3"', "", "meters.water.override.volume_forward.unit", "nothing", "menu", "m"),
    ("unit-of-another-dimension", 'unit = "m3"', 'unit = "kWh"', "meters.water.override.volume_forward.unit", "kWh", "m3", ""),
    ("unit-the-profile-knows", 'unit = "m3"', 'unit = "m3"\n[meters.override.flow_volume]\nunit = "L/h"', "meters.water.override.flow_volume.unit", "L/h", "nothing", "remove"),
    ("limits-crossed", 'unit = "m3"', 'unit = "m3"\nlow = 2\nhigh = 1', "meters.water.override.volume_forward.low", "2", "at most high, 1", ""),
    ("energy-kind-of-another-medium", 'kind = "electricity"', 'kind = "natural_gas"', "meters.feeder-1.energy_kind", "natural_gas", "electricity", ""),
    ("unit-id-missing", "unit = 1\n", "", "meters.feeder-1.unit", "nothing", "unit id", "unit = 1"),
    ("unit-id-on-opcua", 'link = "dcs"', 'link = "dcs"\nunit = 1', "meters.boiler-1.unit", "1", "belongs to Modbus", "remove"),
    ("no-profile", FEEDER, "", "meters.feeder-1.profile", "nothing", "profile", "lists them"),
    ("quantity", 'quantity = "flow_mass"', 'quantity = "flow_mas"', "meters.boiler-1.variables.flow_mass.quantity", "flow_mas", "flow_mass", "flow_mass"),
    ("unit-in-chinese", VARIABLE, 'unit = "吨"', "meters.boiler-1.variables.flow_mass.unit", "吨", "t/h", ""),
    ("variable-unit", VARIABLE, 'unit = "m3/h"', "meters.boiler-1.variables.flow_mass.unit", "m3/h", "t/h", ""),
    ("variable-twice", VARIABLE, VARIABLE + '\n[meters.variables.flow_mass_2]\nid = "ns=2;s=Boiler1.Flow"\nquantity = "flow_mass"\nunit = "t/h"', "meters.boiler-1.variables.flow_mass_2.id", "flow_mass already", "of its own", ""),
    ("channels-of-variables", VARIABLE, VARIABLE + '\n[meters.ratios]\nct = 2', "meters.boiler-1.ratios", "a value", "profile", "remove"),
    ("unit-of-a-variable-overridden", VARIABLE, VARIABLE + '\n[meters.override.flow_mass]\nunit = "t/h"', "meters.boiler-1.override.flow_mass.unit", "a value", "variable itself", "variables.flow_mass"),
    ("profile-dir", GATEWAY, GATEWAY + '\nprofile_dirs = ["nowhere"]', "gateway.profile_dirs[1]", "nowhere", "folder", ""),
    ("aggregate-as-table", "[gateway]", f"[aggregates]\n{SUM}\n[gateway]", "aggregates", "a table", "[[aggregates]]", "write [[aggregates]]"),
    ("inventory-file", SITE_TABLE, '[inventory]\nfile = "ledger.toml"\n[site]\n', "inventory.file", "ledger.toml", "inventory", "create it"),
    ("ruleset-dir", SITE_TABLE, '[inventory]\nruleset_dirs = ["mine"]\n[site]\n', "inventory.ruleset_dirs[1]", "mine", "a folder", "create it"),
    ("inventory-key", SITE_TABLE, '[inventory]\nrule_set = "x"\n[site]\n', "inventory.rule_set", "unknown", "ruleset", "`ruleset`"),
    # files and secrets
    ("missing-ca", MQTT, MQTT + '\ntls = { enabled = true, ca_file = "ca.crt" }', "sinks.mqtt.tls.ca_file", "no file", "PEM", "create"),
    ("tls-off", MQTT, MQTT + '\ntls = { ca_file = "site.toml" }', "sinks.mqtt.tls.enabled", "this machine", "switched on", "enabled = true"),
    ("tls-refused", MQTT, MQTT + '\ntls = { enabled = false, ca_file = "site.toml" }', "sinks.mqtt.tls.enabled", "false", "switched on", "enabled = true"),
    ("tls-of-http", INFLUX, INFLUX + '\ntls = { ca_file = "site.toml" }', "sinks.influx.tls.ca_file", "http://", "fits the URL", 'url = "https://127.0.0.1:8086"'),
    ("tls-on-with-http", INFLUX, INFLUX + '\ntls = { enabled = true }', "sinks.influx.tls.enabled", "enabled = true, but url = http", "fits", "https://"),
    ("no-tls-with-https", INFLUX_URL, INFLUX_URL.replace("http", "https") + '\ntls = { enabled = false }', "sinks.influx.tls.enabled", "enabled = false", "fits", "remove"),
    ("key-without-partner", MQTT, MQTT + '\ntls = { enabled = true, cert_file = "site.toml" }', "sinks.mqtt.tls.key_file", "nothing", "cert_file", "key_file"),
    ("missing-token-file", INFLUX, INFLUX + '\ntoken_file = "no-token"', "sinks.influx.token_file", "no-token", "secret", "create"),
    ("password-without-user", MQTT, MQTT + '\npassword_file = "site.toml"', "sinks.mqtt.user", "nothing", "belongs", "user"),
    ("two-sources", INFLUX, INFLUX + '\ntoken_file = "site.toml"\ntoken_credential = "t"', "sinks.influx.token_credential", "token_file", "one source", "one of them"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "path", "found", "expected", "suggestion"),
    [pytest.param(*m[1:], id=m[0]) for m in MISTAKES],
)
def test_one_mistake_is_one_finding(
    old: str, new: str, path: str, found: str, expected: str, suggestion: str, tmp_path: Path
) -> None:
    (tmp_path / "site.toml").write_text("for the tests that need any file\n")
    (finding,) = findings(changed((old, new)), tmp_path)
    assert finding.path == path
    assert found in finding.found
    assert expected in finding.expected
    assert suggestion in finding.suggestion


@pytest.mark.parametrize("zone", ["UCX", "Shangai", "EDT", "Etc/UTC+9"])
def test_a_zone_is_not_guessed_from_an_abbreviation(zone: str, tmp_path: Path) -> None:
    (finding,) = findings(changed(("Asia/Shanghai", zone)), tmp_path)
    assert "UTC" not in finding.suggestion
    assert "Etc" not in finding.suggestion


@pytest.mark.parametrize("host", ["::1", "fe80::1", "10.0.0.9", "meter.plant.local"])
def test_addresses_and_names_are_hosts(host: str, tmp_path: Path) -> None:
    assert findings(changed((LINK, f'host = "{host}"')), tmp_path) == ()


def test_influx_may_lie_behind_a_path(tmp_path: Path) -> None:
    assert findings(changed((INFLUX_URL, INFLUX_URL[:-1] + '/influx"')), tmp_path) == ()


def test_a_meter_number_that_toml_takes_for_a_wrong_number_wants_quotes(tmp_path: Path) -> None:
    (finding,) = findings(changed(("unit = 1\n", "address = 000012345678\n")), tmp_path)
    assert 'address = "000012345678"' in finding.suggestion


def test_an_unknown_profile_says_where_it_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    text = changed((GATEWAY, GATEWAY + '\nprofile_dirs = ["own"]'), ("eastron-sdm630", "acme"))
    (finding,) = findings(text, tmp_path)
    assert finding.expected.endswith(f"; searched: {tmp_path / 'own'}, those shipped")


def test_the_site_without_mistakes_has_no_finding(tmp_path: Path) -> None:
    assert findings(SITE, tmp_path) == ()


def test_five_mistakes_are_five_findings_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = changed(
        ("Asia/Shanghai", "Asia/Shanhai"),
        ('host = "10.0.0.1"', 'hots = "10.0.0.1"'),
        ("eastron-sdm630", "eastron-sdm603"),
        ('unit = "m3"', 'unit = "kWh"'),
        ('org = "plant"', 'org = "plant"\ntoken = "abc"'),
    )
    assert [f.path for f in findings(text, tmp_path)] == [
        "site.timezone",
        "links.hall-a.hots",
        "meters.feeder-1.profile",
        "meters.water.override.volume_forward.unit",
        "sinks.influx.token",
    ]


def test_several_mistakes_in_one_meter_are_all_found(tmp_path: Path) -> None:
    text = changed(
        ('period = "10s"', "period = 10"),
        ("eastron-sdm630", "eastron-sdm603"),
        ('link = "hall-a"', 'link = "hall-b"'),
        ("unit = 1\n", "unit = 1\nlabels = 3\n"),
    )
    assert {f.path for f in findings(text, tmp_path)} == {
        f"meters.feeder-1.{key}" for key in ("period", "profile", "link", "labels")
    }


def test_a_meter_is_not_blamed_for_its_link(tmp_path: Path) -> None:
    text = changed(('kind = "modbus-tcp"', 'kind = "zigbee"'))
    assert [f.path for f in findings(text, tmp_path)] == ["links.hall-a.kind"]


def test_two_links_on_one_endpoint_name_each_other(tmp_path: Path) -> None:
    for host in ("10.0.0.1", "10.0.0.1."):
        second = f'[[links]]\nid = "hall-b"\nkind = "modbus-tcp"\nhost = "{host}"\n\n[[meters]]'
        (finding,) = findings(changed(("[[meters]]", second)), tmp_path)
        assert finding.path == "links.hall-b.host"
        assert "10.0.0.1:502" in finding.found
        assert '"hall-a"' in finding.found
        assert '"hall-b"' in finding.suggestion


def test_two_links_on_one_opcua_server_name_each_other(tmp_path: Path) -> None:
    second = '[[links]]\nid = "dcs-2"\nkind = "opcua"\nurl = "opc.tcp://10.0.0.2/"\n\n[[meters]]'
    (finding,) = findings(changed(("[[meters]]", second)), tmp_path)
    assert finding.path == "links.dcs-2.url"
    assert '"dcs"' in finding.found


def test_a_disabled_meter_may_keep_its_unit_id(tmp_path: Path) -> None:
    assert findings(changed(("unit = 2\n", "unit = 1\nenabled = false\n")), tmp_path) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('org = "plant"', 'org = "plant"\ntoken = "hunter2"'),
        ('org = "plant"', 'org = "plant"\napi_key = "hunter2"'),
        ('host = "127.0.0.1"', 'host = "127.0.0.1"\npassword = "hunter2"'),
        ('host = "127.0.0.1"', 'host = "127.0.0.1"\npasswd = "hunter2"'),
        ('host = "127.0.0.1"', 'host = "mqtt://me:hunter2@127.0.0.1"'),
        ('host = "127.0.0.1"', 'host = "127.0.0.1"\npassword_credential = "hunter2!"'),
        ("http://127.0.0.1:8086", "http://me:hunter2@127.0.0.1:8086"),
        ("http://127.0.0.1:8086", "http://127.0.0.1:8086?token=hunter2"),
        ('org = "plant"', 'org = "plant"\nmy_secret = { a = "hunter2" }'),
        ('org = "plant"', 'org = "plant"\npassword = hunter2'),
    ],
)
def test_a_secret_is_refused_and_never_repeated(old: str, new: str, tmp_path: Path) -> None:
    found = findings(changed((old, new)), tmp_path)
    assert found
    assert "hunter2" not in report(found)
    assert "hunter2" not in str(to_json(found))


def test_an_inline_secret_says_where_it_belongs(tmp_path: Path) -> None:
    (finding,) = findings(changed(('org = "plant"', 'org = "plant"\ntoken = "abc"')), tmp_path)
    assert "token_file" in finding.expected
    assert "token_credential" in finding.expected


def test_report_has_a_paragraph_and_json_an_object_for_each(tmp_path: Path) -> None:
    found = findings(changed(("10.0.0.1", ""), ("Asia/Shanghai", "x")), tmp_path)
    assert len(report(found).split("\n\n")) == len(to_json(found)) == 2
    assert set(to_json(found)[0]) == {"path", "found", "expected", "suggestion"}
    assert report(found).startswith("site.timezone\n  found     ")
