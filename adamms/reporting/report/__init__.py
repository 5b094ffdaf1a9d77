"""The report of a search: one file that a person can open or mail."""

from adamms.reporting.report.write import write_report
from adamms.reporting.story import Story

__all__ = ["Story", "write_report"]
