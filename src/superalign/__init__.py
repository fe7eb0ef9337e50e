"""superalign: the workbench for supervising models that know more than their supervisor."""

__version__ = "0.1.0"
