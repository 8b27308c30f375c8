"""Words of inspections on site in the reports, Chinese and English side by side. Pure."""

from __future__ import annotations

from gateway.inspection.model import ITEMS

ON_SITE_TEXTS: dict[str, tuple[str, str]] = {
    "o_seen": ("现场检查记录", "Found on site"),
    "o_noted": ("现场检查问题及整改", "Findings of inspections on site, and their closure"),
    "o_inspection": ("检查编号", "Inspection"),
    "o_instrument": ("计量器具", "Instrument"),
    "o_ok": ("符合项", "As in the ledger"),
    "o_wrong": ("不符项", "Wrong"),
    "o_not_seen": ("未见项", "Not seen"),
    "o_display": ("表码：现场 / 网关 / 差", "Display: on site / gateway / difference"),
    "o_by": ("检查人", "By"),
    "o_at": ("时间", "When"),
    "o_note": ("备注", "Note"),
    "o_nobody": ("尚未检查", "not inspected yet"),
    "o_finding": ("问题编号", "Finding"),
    "o_items": ("项目", "Items"),
    "o_text": ("问题", "What does not conform"),
    "o_owner": ("责任人", "Owner"),
    "o_due": ("整改期限", "Due"),
    "o_closure": ("整改关闭", "Closure"),
    "o_closed": ("{on} {how}（{by}）{document}", "{on} {how} ({by}) {document}"),
    "o_open": ("未关闭", "open"),
    "o_overdue": ("未关闭，已逾期", "open, overdue"),
    "o_unnoted": ("不符，尚未立问题", "wrong, no finding opened yet"),
    **{f"item_{key}": words for key, words in ITEMS.items()},
}
