"""Numbers that know where they come from: a path into an entry, or a named function of such numbers.

A report is handed a `Book` and can print nothing of a ledger but through it. `ref("12.estimate", ".3f")` is a value of
entry 12; `derived("count", [...])` a function of values that were referred to, registered with its inputs. Both become
links; the check of a finished report (`literals`) refuses any other number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from superalign.core.errors import UserError, nearest
from superalign.report import numbers
from superalign.report.research import functions
from superalign.report.text import cell, one_line
from superalign.research.ledger import Entry, Verified

LONGEST = 120
"""Characters of a value in running text; the appendix has the whole."""
_META = ("number", "time", "actor", "type", "hash")

VERIFICATION = "ledger-and-verification"
"""The anchor of the section that says what the check of the ledger found."""


class ReportError(UserError):
    """A report that would print a number nobody can trace; it is not written."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A value as it is printed. `anchor` is where its link leads, `origin` the path or the derivation it comes from."""

    text: str
    value: Any
    anchor: str
    origin: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Derivation:
    """A derived number: which function of which values, and what it gave."""

    name: str
    says: str
    inputs: tuple[Ref, ...]
    value: Any


class Book:
    """What a report may cite: a ledger's entries, what checking it found, and tables from elsewhere, each by name.

    `functions` adds to those of `functions.REGISTERED`; `neutral` holds the values that a method's settings leave out.
    `section` is the part of the report that is being written, for errors; `printed` holds the text and the anchor of
    everything that was referred to, which the check of the finished report compares with what it finds.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        verified: Verified,
        tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        extra: Mapping[str, Callable[..., Any]] | None = None,
        neutral: Mapping[str, Any] | None = None,
    ) -> None:
        self.entries = {str(e.number): e for e in entries}
        self.tables = {name: list(rows) for name, rows in (tables or {}).items()}
        self.derivations: list[Derivation] = []
        self.section = "the report"
        self.printed: set[tuple[str, str]] = set()
        self._verified = asdict(verified)
        self._functions = {**functions.REGISTERED, **(extra or {})}
        self._neutral = dict(neutral or {})
        self._known: dict[tuple[str, tuple[str, ...]], int] = {}

    def ref(self, path: str, form: str = "", style: str = "") -> Ref:
        """The value at a dotted path, as `form` prints it.

        A path begins with an entry's number, with `verified`, or with a table's name and a row (`released.0`).
        `12.@time` is of the entry itself: its time, actor, type, hash or number. `form` is a format of numbers, `method`
        for the settings of a method, `hash` for its beginning, `whole` for a text that is not cut. Raises ReportError.
        """
        value, _, anchor = self._find(path)
        return self._said(Ref(self._text(path, value, form), value, anchor, path, style))

    def key(self, path: str, style: str = "") -> Ref:
        """The last key of a path itself, such as a baseline's name. Raises ReportError where the path leads nowhere."""
        _, last, anchor = self._find(path)
        return self._said(Ref(_cut(last), last, anchor, path, style))

    def entry(self, entry: Entry | int) -> Ref:
        """An entry as a whole, printed as its number."""
        number = entry if isinstance(entry, int) else entry.number
        return self.ref(f"{number}.@number")

    def derived(self, name: str, inputs: Sequence[Ref], form: str = "") -> Ref:
        """A registered function of values, as `form` prints it; linked to its inputs. Raises ReportError."""
        if name not in self._functions:
            raise ReportError(f"{self._where()}no function is called {name!r}; {nearest(name, self._functions)}")
        which = (name, tuple(r.origin for r in inputs))
        if which not in self._known:
            function = self._functions[name]
            try:
                value = function(*(r.value for r in inputs))
            except (TypeError, ValueError, ArithmeticError, LookupError) as error:
                said = ", ".join(r.origin for r in inputs[:4])
                raise ReportError(f"{self._where()}the {name} of {said} cannot be computed: {error}") from error
            says = " ".join((function.__doc__ or name).split()).partition(". ")[0].rstrip(".")
            self.derivations.append(Derivation(name, says, tuple(inputs), value))
            self._known[which] = len(self.derivations)
        number = self._known[which]
        found = self.derivations[number - 1].value
        origin = f"derived {number}"
        return self._said(Ref(self._text(origin, found, form), found, f"derived-{number}", origin))

    def _said(self, ref: Ref) -> Ref:
        self.printed.add((ref.text, ref.anchor))
        return ref

    def _where(self) -> str:
        return f"in the section {self.section!r}: "

    def _find(self, path: str) -> tuple[Any, str, str]:
        """The value at a path, the last key of it, and the anchor of what holds it."""
        head, _, rest = path.partition(".")
        if head in self.tables:
            row, _, rest = rest.partition(".")
            rows = self.tables[head]
            if not row.isdecimal() or int(row) >= len(rows):
                raise ReportError(f"{self._where()}{path!r} asks for row {row!r} of the {len(rows)} in {head!r}")
            return *self._walked(rows[int(row)], rest, path), f"{head}-{int(row) + 1}"
        if head == "verified":
            return *self._walked(self._verified, rest, path), VERIFICATION
        if head not in self.entries:
            what = f"there are {len(self.entries)} entries" + "".join(f", and {name}" for name in self.tables)
            raise ReportError(f"{self._where()}{path!r} leads nowhere: {what}")
        entry = self.entries[head]
        if rest.startswith("@") and rest[1:] in _META:
            return getattr(entry, rest[1:]), rest[1:], f"entry-{entry.number}"
        return *self._walked(entry.payload, rest, path), f"entry-{entry.number}"

    def _walked(self, found: Any, rest: str, path: str) -> tuple[Any, str]:
        """Follow the parts of a path; a key may hold dots itself, so the shortest key that is there is taken."""
        parts, last = rest.split("."), ""
        while parts:
            taken = next((k for k in range(1, len(parts) + 1) if _has(found, ".".join(parts[:k]))), 0)
            if not taken:
                known = [str(k) for k in found] if isinstance(found, Mapping) else []
                why = nearest(parts[0], known) if known else f"there is {type(found).__name__} instead"
                raise ReportError(f"{self._where()}{path!r} leads nowhere: nothing is called {parts[0]!r}; {why}")
            last, parts = ".".join(parts[:taken]), parts[taken:]
            found = found[int(last)] if isinstance(found, list | tuple) else found[last]
        return found, last

    def _text(self, origin: str, value: Any, form: str) -> str:
        if value is None:
            return "none"
        if form == "method":
            return _cut(self._settings(value))
        if form == "hash":
            return one_line(str(value))[:12]
        if form == "whole":
            return one_line(str(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            if form:
                raise ReportError(f"{self._where()}{origin!r} is {value!r}, which {form!r} cannot print: no number")
            return _cut(cell(value))
        if not math.isfinite(value):
            return str(value)
        if not form:
            return cell(value)
        return _formatted(value, form)

    def _settings(self, method: Any) -> str:
        """A point of a space without its neutral values; a file by its hash."""
        if isinstance(method, Mapping) and method.get("kind") == "code":
            return f"file {str(method.get('sha256', ''))[:12]}, function {method.get('function', '')}"
        values = method.get("values", method) if isinstance(method, Mapping) else {"method": method}
        on = {k: v for k, v in values.items() if k not in self._neutral or self._neutral[k] != v}
        return ", ".join(f"{k} {cell(v)}" for k, v in on.items()) or "every operator off"


def _formatted(value: float, form: str) -> str:
    """A number by a format, but never 0.000 for what is not 0: on which side of 0 an interval ends is the finding."""
    text = format(value, form)
    if text.strip("+-0.,"):
        return text
    if value:
        return format(value, "+.1g" if form.startswith("+") else ".1g")
    return numbers.plain(0.0, len(text.partition(".")[2]))


def _has(found: Any, key: str) -> bool:
    if isinstance(found, Mapping):
        return key in found
    return isinstance(found, list | tuple) and key.isdecimal() and int(key) < len(found)


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rstrip()}…"
