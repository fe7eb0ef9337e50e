"""Canaries: strings that exist in one hidden place only; whoever repeats one has been there.

Planted in files of labels, hidden prompts and solutions; searched for in code, output, logs and findings, as they are and
as they look after an easy disguise. The seeds of a confirmation are canaries by nature: 63 bits that the scorer's key
draws and that nobody can know before the confirmation is written.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Mapping, Sequence

from superalign.core.random import derive
from superalign.research.audits.result import AuditResult

_OTHER = re.compile(r"[^0-9a-z]+")
SHORTEST = 12
"""Letters and digits that a canary has at least: shorter ones come up by chance."""


def planted(secret: int, count: int = 1) -> tuple[str, ...]:
    """Strings of 126 bits to plant; `secret` and their number make them, so that they need not be kept."""
    return tuple(
        f"canary-{derive(secret, 'research/canary', k, 0):016x}{derive(secret, 'research/canary', k, 1):016x}"
        for k in range(count)
    )


def canaries(hidden: Sequence[str], places: Mapping[str, str]) -> AuditResult:
    """`fail` where a canary is in some place (its name to its text): plain, in other spacing or case, backwards, in
    hexadecimal, base64 or rot13. The statistic counts the pairs of canary and place. Raises ValueError for short ones."""
    short = [c for c in hidden if len(_plain(c)) < SHORTEST]
    if short:
        raise ValueError(f"{short[0]!r} is too short for a canary: it needs {SHORTEST} letters and digits")
    disguises = {c: _disguises(c) for c in hidden}
    found = []
    for place, text in places.items():
        plain, exact = _plain(text), "".join(text.split())
        for number, looks in enumerate(disguises.values()):
            if any(look in plain for look in looks[0]) or any(look in exact for look in looks[1]):
                found.append(f"{place}: canary {number}")
    said = f"{len(hidden)} canaries, {len(places)} texts: {f'{len(found)} leaks' if found else 'none leaked'}"
    return AuditResult(
        "canaries", "fail" if found else "pass", float(len(found)), None, None, said, tuple(found[:20])
    )  # the canaries themselves are not told: they stay of use


def _plain(text: str) -> str:
    return _OTHER.sub("", text.lower())


def _disguises(canary: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How a canary looks where case and spacing do not matter, and where they do (base64 at its three phases)."""
    plain = _plain(canary)
    loose = {plain, plain[::-1], canary.encode().hex(), codecs.encode(plain, "rot13")}
    if canary.isdigit():
        loose.add(f"{int(canary):x}")
    tight = set()
    for phase in range(3):
        coded = base64.b64encode(b"\0" * phase + canary.encode()).decode().rstrip("=")
        tight.add(coded[(0, 2, 3)[phase] : -1])  # without what its neighbours share
    return tuple(loose), tuple(tight)
