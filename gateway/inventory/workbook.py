"""The inventory as an Excel workbook that audit teams can fill in; needs openpyxl (extra `report`)."""

from __future__ import annotations

from gateway.inventory.workbook_reading import Sheets, read_workbook
from gateway.inventory.workbook_writing import write_workbook

__all__ = ["Sheets", "read_workbook", "write_workbook"]
