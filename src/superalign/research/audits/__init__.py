"""Audits as code: each is a function of values that looks for one way in which a good number is not a good method.

One audit per file; `suite` runs those that make sense for a confirmed claim, `saboteurs` measures what they catch.
"""

from superalign.research.audits.result import AuditResult, Status

__all__ = ["AuditResult", "Status"]
