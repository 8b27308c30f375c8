"""What `metergate verify` prints: what was looked at, what was found, and a verdict, also in the regulator's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.feed.foreign import printable
from gateway.feed.keys import for_paper

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = {
    "bad_signature": "bad signature 签名错误",
    "unknown_key": "unknown key 密钥不明",
    "unknown_algorithm": "unknown algorithm 算法不明",
    "broken_chain": "broken chain 链断裂",
    "gap": "gap 缺失",
    "fork": "fork 分叉",
    "reordered": "reordered 乱序",
    "replayed": "replayed 重放",
    "malformed": "malformed 格式错误",
    "truncated": "truncated 截断",
    "wrong_topic": "wrong topic 主题不符",
    "wrong_schema": "wrong schema 不符合约定",
    "bad_revision": "bad revision 版本错误",
    "bad_checkpoint": "bad checkpoint 检查点错误",
    "new_chain": "new chain 新链",
    "unsigned": "unsigned 未签名",
}
SOURCES = {
    "given": "given with --key",
    "feed": "from the feed itself: compare it with the one on paper 请与纸质指纹核对",
    "rotation": "announced by the key before it",
}


def text(report: dict[str, Any], shown_max: int) -> str:
    """Return a report for people."""
    return "\n".join((*_looked_at(report), *_found(report, shown_max), _verdict(report)))


def _looked_at(report: dict[str, Any]) -> Iterator[str]:
    for chain in report["chains"]:
        yield f"{printable(chain['gateway'])}  chain {printable(chain['chain'])}"
        yield f"  messages {chain['first']}–{chain['last']}: {chain['messages']} here, {chain['authentic']} proved 已验证"
        yield f"  {_speaks_for(chain)}"
        yield f"  head {chain['head']}"
    for key in report["keys"]:
        yield f"key {printable(key['kid']) or 'without a name'}  {SOURCES[key['source']]}"
        yield f"  {for_paper(key['fingerprint'])}"
    for key in report["unused_keys"]:
        yield f"key {printable(key['kid']) or key['fingerprint'][:16]}  given, but nothing here is signed with it 未用到"
    yield (
        f"{report['intervals']} intervals, {report['revisions']} revisions, {report['repeats']} repeats, "
        f"{report['others']} messages that are none of a feed"
    )


def _speaks_for(chain: dict[str, Any]) -> str:
    """Return what part of a chain the verdict is about: nothing is said of what was before or comes after."""
    span = chain["speaks_for"]
    if span is None:
        return "retained messages alone: this says nothing of what came between them"
    issued = f", issued {span['issued_first'] or '?'} – {span['issued_last'] or '?'}"
    missing = f", {chain['missing']} missing 缺失" if chain["missing"] else ", none missing"
    return f"speaks for 所证范围 seq {span['first']}–{span['last']}{issued}{missing}"


def _found(report: dict[str, Any], shown_max: int) -> Iterator[str]:
    """Yield a line a finding, findings before notices."""
    ranked = sorted(report["findings"], key=lambda one: one["severity"] != "finding")
    for one in ranked[:shown_max]:
        where = f"line {one['line']}" + (f", seq {one['seq']}" if one["seq"] else "")
        mark = "!" if one["severity"] == "finding" else "·"
        yield f"{mark} {WORDS[one['kind']]}  {where}: {one['text']}"
    more = report["count"] + report["notices"] - min(len(ranked), shown_max)
    if more:
        yield f"… and {more} more"


def _verdict(report: dict[str, Any]) -> str:
    """Return the line that is read first."""
    count, rest = report["count"], _besides(report)
    if count:
        return f"NOT VERIFIED 验证不通过: {count} finding{'s' if count != 1 else ''}{rest}"
    if not report["batches"]:
        return "NOTHING TO VERIFY 无可验证内容: no signed message came"
    if not report["verified"]:
        return f"NOT VERIFIED 验证不通过: {report['batches'] - report['authentic']} messages are not proved{rest}"
    if any(key["source"] == "feed" for key in report["keys"]):
        return f"VERIFIED 验证通过, if the fingerprint is the one on paper 须核对纸质指纹{rest}"
    return f"VERIFIED 验证通过{rest}"


def _besides(report: dict[str, Any]) -> str:
    """Return what has to be read with the verdict."""
    missing, notices = report["missing"], report["notices"]
    told = [f"{missing} message{'s' if missing != 1 else ''} missing 缺失"] if missing else []
    told += [f"{notices} notice{'s' if notices != 1 else ''} 提示"] if notices else []
    return "; " + ", ".join(told) if told else ""
