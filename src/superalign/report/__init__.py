"""What a Record looks like: tables, charts, Markdown and a page in one file. The only place that renders."""

from superalign.report.files import file_name, write

__all__ = ["file_name", "write"]
