"""What each kind of event means, in plain words, with its Chinese name (kinds: docs/specs/journal.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.clock import local

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Kind(NamedTuple):
    """One kind: its Chinese name, and a sentence for somebody who has not read the specification."""

    name: str
    sentence: str


KINDS = {
    "start": Kind("启动", "the gateway started"),
    "stop": Kind("停止", "the gateway was stopped in good order"),
    "config": Kind("配置变更", "the site file is another one than at the last start"),
    "link_up": Kind("链路接通", "the connection is there"),
    "link_down": Kind("链路中断", "the connection is lost, or none of its meters answers"),
    "link_cut": Kind("链路闪断", "the connection broke and was opened again at once"),
    "link_rebuilt": Kind(
        "链路重建", "nothing was completed for too long: the link was closed and opened anew"
    ),
    "meter_on": Kind("仪表在线", "the meter answers"),
    "meter_off": Kind("仪表离线", "the meter does not answer any more"),
    "channels_on": Kind("部分量恢复", "these channels are read again"),
    "channels_off": Kind("部分量中断", "these channels are not answered, others of the meter are"),
    "channel_absent": Kind("量缺失", "the meter has no such value; it is asked for again once a day"),
    "channel_found": Kind("量出现", "the meter has this value after all"),
    "plan": Kind("采集计划", "what the meter is read for"),
    "overrun": Kind("采集来不及", "readings were skipped because the link was busy"),
    "subscription_overflow": Kind(
        "订阅溢出", "the server reported changes faster than they were taken; some are lost"
    ),
    "certificate_expires": Kind("证书将到期", "a certificate of a link or a sink ends soon"),
    "clock_step": Kind("时钟跳变", "the gateway's clock was set; a new epoch begins"),
    "layout": Kind("变比生效", "the meter's ratios are others now, as the gateway uses them"),
    "journal_damaged": Kind(
        "日志损坏", "the journal's file was damaged or gone; a new one goes on with its numbers"
    ),
    "gap": Kind("数据丢失", "readings are gone from the journal"),
    "crash": Kind("程序故障", "a part of the gateway failed and was started again: report this"),
    "counter_rollover": Kind("计数翻转", "a counter reached its end and began again at zero"),
    "counter_reset": Kind("计数归零", "a counter fell: reset, exchanged or set"),
    "counter_jump": Kind("计数突变", "a counter rose by more than it can"),
    "counter_sentinel": Kind("无效值", 'a counter shows its mark for "no value", or a value again'),
    "counter_stuck": Kind("计数停走", "a counter stands still although it should move"),
    "counter_moves": Kind("计数复走", "a counter that stood still moves again"),
    "counter_resolution": Kind("分辨率下降", "a counter is so large for its format that it moves in steps"),
    "meter_clock": Kind("表钟偏差", "the meter's own clock, compared with the gateway's"),
    "frozen": Kind("日冻结", "the meter's own total at midnight, read after an outage"),
    "maintenance_begin": Kind("检修开始", "maintenance was declared"),
    "maintenance_end": Kind("检修结束", "maintenance is over"),
    "meter_swap": Kind("换表", "another meter hangs there"),
    "ratio_change": Kind("变比变更", "a ratio was declared to be another one"),
    "replay": Kind("重新解码", "journaled readings were decoded again after a correction"),
    "commissioned": Kind("抄表比对", "the meter was compared with its display"),
    "manual_reading": Kind("人工抄表", "a reading was entered by hand"),
    "history_dropped": Kind("历史清理", "the history was full: its oldest entries went before their time"),
    "intervals_skipped": Kind(
        "区间略过",
        "the gateway was away, or its clock wrong, for longer than the history is kept: intervals of that time were not made",
    ),
    "destination_removed": Kind(
        "目的地移除", "a destination is not in the site file any more; messages were still to go to it"
    ),
    "feed_paused": Kind("上报中断", "no feed was configured for a time: its intervals were not told"),
    "inventory_applied": Kind("台账生效", "a revision of the inventory was applied and is in force"),
    "inventory_missing": Kind(
        "台账缺失", "the newest revision of the inventory that was told of is gone; an older one is in force"
    ),
    "instrument_nonconforming": Kind(
        "器具不合格", "the instrument did not conform in this span of days: what it measured then is in doubt"
    ),
    "instrument_expired": Kind(
        "器具超期",
        "no verification of the instrument was valid in this span of days: what it measured then is in doubt",
    ),
    "instrument_valid_again": Kind(
        "器具恢复有效", "the verification of an instrument that was in doubt is valid again"
    ),
    "verification_due": Kind("检定到期提醒", "the verification of the instrument ends soon, or has ended"),
    "fitting_failed": Kind(
        "配备率未算出", "the fitting rates could not be worked out for the feed; it is tried again"
    ),
    "message_refused": Kind("上报被拒", "a destination of the feed refused messages for good"),
}
AWAY = {
    "maintenance_begin": "the meter was declared away for verification 送检",
    "maintenance_end": "the meter is no longer away for verification 送检",
}
OFTEN = ("plan",)
"""One for each meter and period at every start: shown only if asked for by name."""


def line(event: Mapping[str, Any], zone: str) -> str:
    """Return an event as one line for people. zone: the site's."""
    kind, detail = event["kind"], event["detail"]
    known = KINDS.get(kind)
    what = f"{kind} {known.name}: {sentence(kind, detail)}" if known else kind
    pairs = " ".join(f"{key}={value}" for key, value in _flat("", detail, zone))
    return "  ".join(filter(None, (local(event["time_ns"], zone), event["subject"], what, pairs)))


def sentence(kind: str, detail: Mapping[str, Any]) -> str:
    """Return what a known kind means."""
    if kind == "meter_swap" and "undoes" in detail:
        return "a swap is taken back: it was recorded wrongly"
    if kind == "history_dropped" and detail.get("kind") == "chain":
        return "a new chain began: messages of the old one are not kept any more"
    if kind in AWAY and detail.get("removed") is True:
        return AWAY[kind]
    return KINDS[kind].sentence


def _flat(prefix: str, detail: Mapping[str, Any], zone: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of a detail, tables with dots; times in the site's zone, and what is nothing left out."""
    for key, value in detail.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and "reading" in value:
            where = f", {value['from']}" if "from" in value else ""
            yield (
                name,
                f'"{value["reading"]} {value.get("unit", "")} at {local(value["time_ns"], zone)}{where}"',
            )
        elif key == "layout" and isinstance(value, dict):  # a whole layout, for programs
            continue
        elif isinstance(value, dict):
            yield from _flat(f"{name}.", value, zone)
        elif key == "changes" and isinstance(value, list):
            yield name, "; ".join(f"{one['path']}: {one['before']} → {one['after']}" for one in value)
        elif key.endswith("_ns") and isinstance(value, int) and not isinstance(value, bool):
            yield name.removesuffix("_ns"), f'"{local(value, zone)}"'
        elif value is None:
            yield name, "unknown" if prefix else "none"
        elif value not in ("", []):
            yield name, _value(value)


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    text = ("no", "yes")[value] if isinstance(value, bool) else str(value)
    return f'"{text}"' if not text or " " in text else text
