"""A campaign's report, made from its ledger alone: every number of it leads to the entry that it comes from."""

from superalign.report.research.document import html, markdown
from superalign.report.research.provenance import ReportError

__all__ = ["ReportError", "html", "markdown"]
