"""The enterprise metrology self-check list of 2017: declared answers, and beside them what the gateway can prove by itself.

Source: 国质检量联〔2017〕399号, attachment 1, part 三, questions shortened; the printed layout was not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway import __version__
from gateway.inventory.answers import ITEMS, SELF_CHECK
from gateway.inventory.validity import validity
from gateway.reports.sheets import Column, Sheet
from gateway.reports.tally import tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.inventory.model import Instrument
    from gateway.reports.wording import Plantbook

COLUMNS = (
    Column("类别", "Class", 18),
    Column("项目", "Item", 24),
    Column("问题", "Question", 44),
    Column("答案", "√ × —", 9),
    Column("答案来源", "Answered by", 24),
    Column("依据文件", "Document", 30),
    Column("网关证据", "What the gateway proves", 52),
    Column("键", "Key", 18),
)
MARKS = {"yes": "√", "no": "×", "not_applicable": "—"}
DECLARED = "申报 declared"
PROVED = "网关证明 proved by the gateway"
AGAINST = "申报,与证据不符 declared, against the evidence"
CLASSES = {"1": "过程计量保障", "2": "计量工作有效性", "3": "计量管理"}


class Proof(NamedTuple):
    """What the gateway can say to a question. holds: True: proved; False: proved not to be so; None: only evidence."""

    holds: bool | None
    zh: str
    en: str


def self_check(book: Plantbook, revision: int | None) -> Sheet:
    """Return the list: a declared answer as declared, else √ where the gateway proves it, else an empty one.

    revision: of the inventory in force, None if none was applied.
    """
    sheet = Sheet(
        "自查表 Self-check",
        "企业计量工作自查表(国质检量联〔2017〕399号 附件1 第三部分)",
        "Metrology self-check list of 2017",
        COLUMNS,
        (
            "版式未见原件,问题为缩写,非原文。 Layout not seen in the original; questions shortened, in our own words.",
            "√ 是,× 否,— 不适用,空白 = 未申报。 Empty: not declared. 网关只填能自行证明的 √,其余不推算。 The gateway fills √ only where it has the proof.",
        ),
        book.banners,
    )
    declared = {one.item: one for one in book.outcome.inventory.answers}
    for question in SELF_CHECK:
        answer = declared.get(question.key)
        prove = PROOFS.get(question.key)
        proof = None if prove is None else prove(book, revision)
        mark = by = document = ""
        if answer is not None:
            says = {"yes": True, "no": False}.get(answer.answer)
            is_against = proof is not None and None not in (proof.holds, says) and proof.holds != says
            mark, document = MARKS[answer.answer], answer.document
            by = AGAINST if is_against else DECLARED
        elif proof is not None and proof.holds:
            mark, by = MARKS["yes"], PROVED
        sheet.add(
            CLASSES[question.key.split(".")[1]],
            question.item,
            f"{question.zh}\n{question.en}",
            mark,
            by,
            document,
            "" if proof is None else f"{proof.zh}\n{proof.en}",
            question.key,
            kind="bad" if by == AGAINST else "body",
        )
    strange = [one for one in declared if one not in ITEMS]
    if strange:
        sheet.say("未用于任何表格的申报答案 Declared answers that no form asks for: " + ", ".join(strange))
    return sheet


def _in_use(book: Plantbook) -> list[Instrument]:
    on = book.outcome.as_of
    return [
        one
        for one in book.outcome.inventory.instruments
        if one.status != "stopped" and one.role != "spare" and one.is_installed(on)
    ]


def _own_history(book: Plantbook) -> bool:
    """Return whether the evidence is the gateway's own, not a file somebody handed in."""
    evidence = book.outcome.evidence
    return evidence is not None and evidence.origin.kind == "history"


def _from(book: Plantbook) -> str:
    evidence = book.outcome.evidence
    return "" if evidence is None else f"(来源 source: {evidence.source or '不详 unknown'})"


def _live(book: Plantbook, _: int | None) -> Proof:
    total = tally(book.outcome.rows)
    if total.connected is None:
        return Proof(None, "无历史数据", "no history to tell from")
    is_all = bool(total.fitted) and total.connected == total.fitted
    holds = True if is_all and _own_history(book) else None
    return Proof(
        holds,
        f"已配备 {total.fitted} 条流向中 {total.connected} 条在统计期内有有效数据{_from(book)}",
        f"{total.connected} of {total.fitted} fitted flows delivered in the window",
    )


def _lists(book: Plantbook, _: int | None) -> Proof:
    needs = tally(book.outcome.rows).need
    instruments = len(book.outcome.inventory.instruments)
    return Proof(
        True if needs and instruments else None,
        f"应配 {needs} 项(“1 应配”),器具 {instruments} 台(B.3)",
        f"{needs} needs, {instruments} instruments listed",
    )


def _certificates(book: Plantbook, _: int | None) -> Proof:
    done = [one for held in book.outcome.inventory.instruments for one in held.verifications]
    named = sum(1 for one in done if one.certificate)
    hashed = sum(1 for one in done if one.sha256)
    return Proof(
        None,
        f"检定/校准记录 {len(done)} 条,有证书编号 {named} 条,证书文件已校验 {hashed} 条",
        f"{len(done)} verifications, {named} with a certificate number, {hashed} with the hash of its file",
    )


def _software(book: Plantbook, _: int | None) -> Proof:
    return Proof(None, f"采集软件 Metergate {__version__}", f"collected by Metergate {__version__}")


def _confirmed(book: Plantbook, _: int | None) -> Proof:
    on, used = book.outcome.as_of, _in_use(book)
    good = [
        one
        for one in used
        if validity(one, on) == "valid"
        and one.confirmation is not None
        and one.confirmation.fit
        and one.confirmation.on <= on
    ]
    return Proof(
        len(good) == len(used) if used else None,
        f"在用 {len(used)} 台,在检定周期内且经计量确认 {len(good)} 台",
        f"{len(good)} of {len(used)} in use are inside their period and confirmed",
    )


def _ledger(book: Plantbook, revision: int | None) -> Proof:
    digest = book.outcome.inventory.digest[:16]
    if revision is None:
        return Proof(None, f"台账未经批准发布, {digest}", "the inventory is not applied")
    return Proof(True, f"台账第 {revision} 版, {digest}", f"inventory revision {revision}, approved by name")


def _planned(book: Plantbook, _: int | None) -> Proof:
    on, used = book.outcome.as_of, _in_use(book)
    planned = [
        one for one in used if (newest := one.verification(on)) is not None and newest.last_day is not None
    ]
    return Proof(
        len(planned) == len(used) if used else None,
        f"在用 {len(used)} 台,检定日历含 {len(planned)} 台(metergate calendar)",
        f"{len(planned)} of {len(used)} in use have a next date in the calendar",
    )


def _traced(book: Plantbook, _: int | None) -> Proof:
    found = [one for held in book.outcome.inventory.instruments for one in held.nonconformities]
    written = sum(1 for one in found if one.document)
    return Proof(
        True if found and written == len(found) else None,
        f"不合格记录 {len(found)} 条,有文件 {written} 条;可追溯(metergate trace)",
        f"{len(found)} nonconformities recorded, {written} with a document; traceable",
    )


def _watched(book: Plantbook, _: int | None) -> Proof:
    on, used = book.outcome.as_of, _in_use(book)
    valid = sum(1 for one in used if validity(one, on) == "valid")
    return Proof(
        None,
        f"工作器具 {valid}/{len(used)} 台在有效期内并有到期提醒;计量标准不在台账内",
        f"{valid} of {len(used)} working instruments valid and watched; measurement standards are not in the inventory",
    )


def _records(book: Plantbook, _: int | None) -> Proof:
    evidence = book.outcome.evidence
    if evidence is None:
        return Proof(None, "无历史数据", "no history to tell from")
    expected = sum(one.expected for one in evidence.instruments.values())
    good = sum(one.good for one in evidence.instruments.values())
    return Proof(
        None,
        f"统计期内应采 {expected},有效 {good}{_from(book)}",
        f"{good} good of {expected} readings due",
    )


def _managed(book: Plantbook, _: int | None) -> Proof:
    evidence = book.outcome.evidence
    good = 0 if evidence is None else sum(one.good for one in evidence.instruments.values())
    if not good:
        return Proof(None, "无有效数据可证明", "no good reading to prove it by")
    return Proof(
        True if _own_history(book) else None,
        f"统计期内 {good} 个有效读数已用于配备率、完整率计算{_from(book)}",
        f"{good} good readings of the window were evaluated",
    )


PROOFS: Mapping[str, Callable[[Plantbook, int | None], Proof]] = {
    "2017.1.3": _certificates,
    "2017.1.4.2": _live,
    "2017.1.5": _lists,
    "2017.1.6.1": _software,
    "2017.1.6.2": _software,
    "2017.2.3": _confirmed,
    "2017.3.4.1": _ledger,
    "2017.3.4.2": _planned,
    "2017.3.4.4": _traced,
    "2017.3.4.5": _watched,
    "2017.3.4.7": _ledger,
    "2017.3.5.1": _certificates,
    "2017.3.5.3": _records,
    "2017.3.7.1": _managed,
}
"""Key of a question -> what the gateway can say to it."""
