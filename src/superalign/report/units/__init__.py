"""Units of a model as pages: what makes each fire, what is claimed of it, and what the claim is worth."""

from superalign.report.units.folder import single, write

__all__ = ["single", "write"]
