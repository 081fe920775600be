"""A comparison as one page that opens offline, a table for programs, and plots."""

from densenets.analysis.report.page import write_report

__all__ = ["write_report"]
