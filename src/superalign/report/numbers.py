"""Numbers with their doubt and their origin: `PGR 0.43 [0.31, 0.55], 5 seeds, n=1,000, spec 7f3a`.

The formatting that HTML, Markdown and the terminal share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from superalign.core.spec import Condition, Number, Record

NO_REASON = "no reason was recorded"
MAX_DIGITS = 5


def finite(number: Number) -> float | None:
    """The value, or None where it is undefined or not finite."""
    return number.value if number.value is not None and math.isfinite(number.value) else None


def is_defined(number: Number) -> bool:
    """Whether there is a finite value to print."""
    return finite(number) is not None


def reason(number: Number) -> str:
    """Why the number is undefined, in words; empty where it is defined."""
    if is_defined(number):
        return ""
    if number.reason:
        return number.reason.removeprefix("undefined").lstrip(":, ") or NO_REASON
    return NO_REASON if number.value is None else f"the computation gave {number.value}"


def interval(number: Number) -> tuple[float, float] | None:
    """The bounds, where both are there and finite."""
    if number.low is None or number.high is None or not (math.isfinite(number.low) and math.isfinite(number.high)):
        return None
    return number.low, number.high


def digits(number: Number) -> int:
    """Decimals worth printing: the half-width of the interval to two significant digits, between 0 and 5.

    Without an interval: three significant digits, and none for a whole number.
    """
    value = finite(number)
    if value is None:
        return 0
    bounds = interval(number)
    half = (bounds[1] - bounds[0]) / 2 if bounds else 0.0
    if half > 0:
        wanted = 1 - math.floor(math.log10(half))
    elif value.is_integer():
        return 0
    else:
        wanted = 2 - math.floor(math.log10(abs(value)))
    return max(2 if abs(value) < 100 else 0, min(MAX_DIGITS, wanted))


def column_digits(numbers: Iterable[Number]) -> int | None:
    """One count of decimals for a column, so that its points line up: the median of `digits`.

    Whole numbers without doubt (an accuracy of exactly 1) need none and have no say where others do.
    None if all are undefined.
    """
    known = [n for n in numbers if is_defined(n)]
    fractions = [n for n in known if not all(v is None or float(v).is_integer() for v in (n.value, n.low, n.high))]
    if known and not fractions:
        return 0  # counts and ranks
    wanted = sorted(digits(n) for n in fractions)
    return wanted[(len(wanted) - 1) // 2] if wanted else None


def plain(value: float, decimals: int) -> str:
    """A float with thousands separators and no negative zero."""
    text = f"{value:,.{decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.,") else text


def format_value(number: Number, decimals: int | None = None) -> str:
    """`0.43`, or `undefined`."""
    value = finite(number)
    if value is None:
        return "undefined"
    return plain(value, digits(number) if decimals is None else decimals)


def format_interval(number: Number, decimals: int | None = None) -> str:
    """`[0.31, 0.55]`, or nothing where no interval was recorded."""
    bounds = interval(number)
    if bounds is None or not is_defined(number):
        return ""
    shown = digits(number) if decimals is None else decimals
    return f"[{plain(bounds[0], shown)}, {plain(bounds[1], shown)}]"


def format_number(number: Number, name: str = "", decimals: int | None = None) -> str:
    """`PGR 0.43 [0.31, 0.55]`, or `PGR undefined: <reason>`."""
    words = [name, format_value(number, decimals), format_interval(number, decimals)]
    text = " ".join(w for w in words if w)
    return text if is_defined(number) else f"{text}: {reason(number)}"


def format_support(number: Number) -> str:
    """What the number rests on: `5 seeds, n=1,000`."""
    parts = []
    if number.seeds is not None:
        parts.append(counted(number.seeds, "seed"))
    if number.n is not None:
        parts.append(f"n={number.n:,}")
    return ", ".join(parts)


def house(number: Number, name: str = "", spec_hash: str = "") -> str:
    """The whole form: `PGR 0.43 [0.31, 0.55], 5 seeds, n=1,000, spec 7f3a`."""
    origin = f"spec {short(spec_hash)}" if spec_hash else ""
    return ", ".join(p for p in (format_number(number, name), format_support(number), origin) if p)


def counted(count: int, thing: str) -> str:
    """`1 failure`, `2 failures`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def short(hash_: str, length: int = 4) -> str:
    """The first characters of a hash, as they are shown in a line of text."""
    return hash_.partition(":")[2][:length] if hash_.startswith("sha256:") else hash_[:length]


def label(name: str) -> str:
    """A key as a heading: `gold_n` reads `gold n`."""
    return name.replace("_", " ")


def columns(record: Record) -> list[str]:
    """The names of all numbers: in the order of the condition that has most of them, then the others'."""
    fullest_first = sorted(record.conditions, key=lambda c: -len(c.numbers))
    return list(dict.fromkeys(name for c in fullest_first for name in c.numbers))


def column(record: Record, name: str) -> list[Number]:
    """The numbers of one column, where they are."""
    return [c.numbers[name] for c in record.conditions if name in c.numbers]


def usual_support(numbers: Sequence[Number]) -> str:
    """The support that most numbers of a column have, for its heading; the others carry their own."""
    found = [format_support(n) for n in numbers]
    return max(dict.fromkeys(found), key=found.count) if found else ""


def rows(record: Record) -> list[tuple[str, list[str]]]:
    """`(condition, cells)`, one cell per name in `columns(record)`; an absent number is an empty cell."""
    names = columns(record)
    decimals = {name: column_digits(column(record, name)) for name in names}
    return [
        (c.name, [format_number(c.numbers[n], decimals=decimals[n]) if n in c.numbers else "" for n in names])
        for c in record.conditions
    ]


BESIDE = ("kind", "chosen", "verdict")


def labels(condition: Condition) -> dict[str, str]:
    """The labels that belong beside a condition's name: all but the study's answer, or of many the first that matter.

    The others stand where the numbers' origin is told.
    """
    found = {k: v for k, v in condition.labels.items() if k != "answer"}
    return found if len(found) <= 3 else {k: v for k, v in found.items() if k in BESIDE}


def answer(record: Record) -> str:
    """The study's answer in one sentence: the label `answer` of the first condition that has one, else
    the first note, else nothing."""
    for condition in record.conditions:
        if condition.labels.get("answer"):
            return condition.labels["answer"]
    return record.notes[0] if record.notes else ""


def remarks(record: Record) -> tuple[str, ...]:
    """The notes, without the one that already serves as the answer."""
    return record.notes[1:] if record.notes and answer(record) == record.notes[0] else record.notes


KEYLESS = ("rate", "interp", "research", "released", "preferences")
"""Studies whose numbers rest on no task's key: votes, activations, or the rows of a scorer."""


def leaks(record: Record) -> list[str]:
    """Uses of the truth that a legal method may not make: purposes that start with `oracle` or `leak`.

    Grading, training the weak supervisor and training the ceiling are what truth is for; choosing an
    epoch, a setting or a method by it is not (Burns et al. 2023, section 5.1).
    """
    marked = [a for a in record.audit if a.purpose.lower().startswith(("oracle", "leak"))]
    return [f"{a.purpose} ({a.split}, {a.n:,} items)" for a in marked]


def audit_sentence(record: Record) -> str:
    """The verdict of the oracle audit, in one sentence."""
    if record.study in KEYLESS:
        return "No task with a hidden key has part in this study."
    if not record.audit:
        return "No use of the truth was logged: this record cannot say whether it is oracle-free."
    found = leaks(record)
    if not found:
        listed = (
            "The one use of it is listed." if len(record.audit) == 1 else f"All {len(record.audit)} uses are listed."
        )
        return f"Oracle-free: no logged use of the truth informed a method's choice. {listed}"
    return f"{counted(len(found), 'leak')}: truth informed a choice. " + "; ".join(found) + "."


def artifacts_of(record: Record) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Artifacts by condition, and those that conditions share.

    An artifact belongs to a condition if its name is the condition's, or starts with it and a separator.
    The longest fitting name wins, so `xent` does not take what `xent hard` made.
    """
    by_condition: dict[str, dict[str, str]] = {c.name: {} for c in record.conditions}
    shared: dict[str, str] = {}
    for name, key in record.artifacts.items():
        owners = [c for c in by_condition if name == c or (name.startswith(c) and name[len(c)] in "/:.= ")]
        target = by_condition[max(owners, key=len)] if owners else shared
        target[name] = key
    return by_condition, shared
