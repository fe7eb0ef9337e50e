"""The prompts of explainers, simulators and judges: one text file each, overridable as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from superalign.protocols.template import Template, template


def sheet(name: str, path: str, sections: Mapping[str, Sequence[str]]) -> Template:
    """The built-in prompt `name`, or the file at `path` in its place. Raises SpecError as `protocols.template` does."""
    return template(name, path or str(Path(__file__).parent / f"{name}.txt"), sections)
