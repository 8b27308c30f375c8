"""Items of forms and check lists that the management answers: the keys `[[answers]]` of an inventory may name. Pure.

Source: the eight yes/no items of yearly form 1-8-1 (their wording was not seen); 国质检量联〔2017〕399号, attachment 1, part 三,
questions shortened.
"""

from __future__ import annotations

from typing import NamedTuple

MANAGEMENT = tuple(f"1-8-1.{number}" for number in range(1, 9))
"""Keys of the eight items of form 1-8-1, in its order."""


class Question(NamedTuple):
    """One question of the self-check list of 2017. key: class, item and number; item: its heading."""

    key: str
    item: str
    zh: str
    en: str


SELF_CHECK = (
    Question("2017.1.1", "1 计量保证大纲", "有产品计量保证大纲", "metrology assurance outline for products"),
    Question("2017.1.2", "2 研制阶段计量控制", "设计和定型有计量方案", "metrology plan in design and type approval"),
    Question("2017.1.3", "3 试验阶段计量控制", "试验设备经确认和检查", "equipment confirmed and checked during tests"),
    Question("2017.1.4.1", "4 生产阶段计量控制", "工艺文件规定参数、要求和方法", "parameters, requirements and methods in process documents"),
    Question("2017.1.4.2", "4 生产阶段计量控制", "实施在线计量控制", "on-line metrological control in place"),
    Question("2017.1.5", "5 产品质量管理计量控制", "有测量需求清单和测量设备清单", "list of measurement needs and of measuring equipment"),
    Question("2017.1.6.1", "6 校准和测试软件控制", "自编软件经验证和评审", "own software verified and reviewed"),
    Question("2017.1.6.2", "6 校准和测试软件控制", "外购软件经确认", "bought software confirmed"),
    Question("2017.2.1", "管理和测量过程控制", "建立测量过程管理体系", "measurement process management system"),
    Question("2017.2.2", "管理和测量过程控制", "定期内部和外部审核", "regular internal and external audit"),
    Question("2017.2.3", "管理和测量过程控制", "在用设备经计量确认", "equipment in use confirmed"),
    Question("2017.3.1.1", "1 组织管理", "有负责领导", "responsible leader"),
    Question("2017.3.1.2", "1 组织管理", "有负责部门", "responsible department"),
    Question("2017.3.1.3", "1 组织管理", "列入年度计划", "in the yearly plan"),
    Question("2017.3.2.1", "2 制度建设", "ISO 9000 质量体系", "ISO 9000"),
    Question("2017.3.2.2", "2 制度建设", "ISO 17025 实验室体系", "ISO 17025"),
    Question("2017.3.2.3", "2 制度建设", "测量管理体系认证", "measurement management system certificate"),
    Question("2017.3.3.1", "3 人员管理", "人员经培训", "trained staff"),
    Question("2017.3.3.2", "3 人员管理", "有年度培训计划", "yearly training plan"),
    Question("2017.3.4.1", "4 设备管理", "统一台账和档案", "unified ledger and files"),
    Question("2017.3.4.2", "4 设备管理", "检定/校准计划覆盖全部设备", "verification and calibration plan covering all"),
    Question("2017.3.4.3", "4 设备管理", "分类和标识管理", "classification and labels"),
    Question("2017.3.4.4", "4 设备管理", "不合格设备追溯", "tracing of non-conforming equipment"),
    Question("2017.3.4.5", "4 设备管理", "监控计量标准证书有效期", "validity of standards' certificates monitored"),
    Question("2017.3.4.6", "4 设备管理", "稳定性和重复性考核", "stability and repeatability checks"),
    Question("2017.3.4.7", "4 设备管理", "更换、停用、启用经批准", "replacement, suspension, resumption with approval"),
    Question("2017.3.5.1", "5 证书记录管理", "证书和报告管理", "certificate and report management"),
    Question("2017.3.5.2", "5 证书记录管理", "印章管理", "seal management"),
    Question("2017.3.5.3", "5 证书记录管理", "原始记录完整可追溯", "original records complete and traceable"),
    Question("2017.3.6.1", "6 文件管理", "技术规范现行有效", "technical specifications kept current"),
    Question("2017.3.6.2", "6 文件管理", "自编规范经评审批准", "own specifications reviewed and approved"),
    Question("2017.3.7.1", "7 数据管理", "测量数据分析和动态管理", "measured data analysed and managed dynamically"),
    Question("2017.3.7.2", "7 数据管理", "定期评审数据用于产品改进", "regular review of data for product improvement"),
)  # fmt: skip
"""Keys: 2017.<class>.<item>[.<question>]."""
ITEMS = (*MANAGEMENT, *(question.key for question in SELF_CHECK))
"""Every key an answer may have."""
