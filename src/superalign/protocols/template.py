"""Prompt templates: one text file per protocol, with a section per prompt, overridable as a whole.

== judge ==
Text with {fields} in braces.

Other braces are left alone; what fills a field is never read for fields again. A line that is nothing but a field
filled with nothing goes, with the blank lines after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superalign.core.digest import digest
from superalign.core.errors import ProtocolError, SpecError, nearest

FOLDER = Path(__file__).parent / "templates"

_SECTION = re.compile(r"^== *([\w-]+) *==$", re.MULTILINE)
_FIELD = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """The sections of a template file."""

    name: str
    sections: Mapping[str, str]
    digest: str = field(default="")

    def fill(self, section: str, **fields: str) -> str:
        """A section with its fields filled in one pass. Raises ProtocolError where a field is given nothing to fill it."""
        body = self.sections[section]
        for name in _FIELD.findall(body):
            if name not in fields:
                raise ProtocolError(f"template {self.name}, section {section}: nothing fills {{{name}}}")
            if not fields[name]:
                body = re.sub(rf"^\{{{name}\}}\n+", "", body, flags=re.MULTILINE)
        return _FIELD.sub(lambda m: fields[m[1]], body)


def template(name: str, path: str, sections: Mapping[str, Sequence[str]]) -> Template:
    """The built-in template `name`, or the file at `path` in its place.

    `sections` names each section with the fields it may use. Raises SpecError for a file that is not there or
    not text, for a section that is missing or unknown, and for an unknown field.
    """
    where = Path(path) if path else FOLDER / f"{name}.txt"
    try:
        text = where.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"no template can be read at {str(where)!r}: {error}") from error
    parts = _SECTION.split(text)
    if len(parts) == 1 and len(sections) == 1:
        parts = ["", *sections, text]
    found = {parts[k]: parts[k + 1].strip() for k in range(1, len(parts), 2)}
    for section in sections:
        if section not in found:
            raise SpecError(f"{where} has no section `== {section} ==`; {nearest(section, found)}")
    for section, body in found.items():
        if section not in sections:
            raise SpecError(f"{where} has a section {section!r} that {name} does not use; {nearest(section, sections)}")
        for used in _FIELD.findall(body):
            if used not in sections[section]:
                raise SpecError(f"{where}, section {section}: no field {{{used}}}; {nearest(used, sections[section])}")
    return Template(name, found, digest(dict(sorted(found.items()))))
