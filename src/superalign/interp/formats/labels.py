"""What people wrote about units, one JSON object a line, and how far explanations agree.

The files of Marks et al. (2024, feature circuits): `Component`, `Layer`, `Feature`, `Name`, `Annotation`, `Notes` or
`notes`, any of them missing; headings of the spreadsheet stand among the lines, features come back with the same or
another label, and "0" is what is left of an empty cell. A `Name` may also be that of a unit here, `mlp.0/17`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import SpecError, TaskError
from superalign.core.resample import mean
from superalign.core.spec import Number
from superalign.interp.formats.reading import Fields, lines_of
from superalign.interp.units import Explanation, Unit, unit_named

if TYPE_CHECKING:
    from superalign.core.ports import Floats

_EXPECTED = "an object with Name (resid_5/3036, mlp.0/17) and Annotation"
_NAME = re.compile(r"^(?P<place>embed|attn|mlp|resid)(?:_(?P<layer>\d+))?/(?P<index>\d+)$")
_SITES = {"embed": "embed", "attn": "attn", "mlp": "mlp_out", "resid": "resid"}
_EMPTY = ("", "0")
_WORD = re.compile(r"\w+")

Similarity = Callable[[Sequence[str], Sequence[str]], "Floats"]
"""`similarity(n texts, m texts) -> (n, m)`, larger for closer ones."""


@dataclass(frozen=True, slots=True)
class Labels:
    """People's explanations by unit (several where people differ), their notes, and what the lines were: `lines`,
    `headings`, `without a label`, `said before` (the same label again), `units`, `units with several labels`."""

    of: Mapping[Unit, tuple[Explanation, ...]]
    notes: Mapping[Unit, tuple[str, ...]]
    counts: Mapping[str, int]


def read(path: str | Path, dictionary: str = "") -> Labels:
    """The labels of a file; `dictionary` is the name that the sites of its units carry (`resid.5+NAME`).

    Their `mlp` is what the whole MLP adds to the residual stream, our `mlp_out`. Raises TaskError with the line.
    """
    place = Path(path)
    texts: dict[Unit, list[str]] = {}
    notes: dict[Unit, list[str]] = {}
    counts: Counter[str] = Counter()
    for number, values in lines_of(place, _EXPECTED):
        fields = Fields(values, f"{place.name}, line {number}", _EXPECTED)
        counts["lines"] += 1
        name, label = fields.text("Name"), fields.text("Annotation", "").strip()
        if name == "Name" and label in ("", "Annotation"):
            counts["headings"] += 1
            continue
        unit = _unit(name, dictionary, fields.where)
        known = texts.setdefault(unit, [])
        counts["without a label"] += label in _EMPTY
        counts["said before"] += label in known
        if label not in (*_EMPTY, *known):
            known.append(label)
        note = fields.text("Notes", fields.text("notes", "")).strip()
        if note:
            notes.setdefault(unit, []).append(note)
    labelled = {u: tuple(Explanation(t, source="person") for t in found) for u, found in texts.items() if found}
    counts.update({"units": len(texts), "units with several labels": sum(len(t) > 1 for t in labelled.values())})
    return Labels(labelled, {u: tuple(found) for u, found in notes.items()}, dict(counts))


def _unit(name: str, dictionary: str, where: str) -> Unit:
    match = _NAME.match(name)
    if match is None and "." in name:
        try:
            return unit_named(name, "latent")
        except SpecError as error:
            raise TaskError(f"{where}: {error}") from error
    if match is None:
        raise TaskError(f"{where}: {name!r} names no feature; expected one such as resid_5/3036 or embed/293")
    layer = f".{match['layer']}" if match["layer"] else ""
    site = f"{_SITES[match['place']]}{layer}" + (f"+{dictionary}" if dictionary else "")
    return Unit(site, int(match["index"]), "latent")


def placed(labels: Mapping[Unit, Sequence[Explanation]], units: Sequence[Unit]) -> dict[Unit, tuple[Explanation, ...]]:
    """The labels of those `units` that have some. A label that names no dictionary (`resid.5`) is of whichever the
    unit is from (`resid.5+topk`)."""
    known = {(u.site, u.index, u.sign): tuple(said) for u, said in labels.items()}
    found = {}
    for unit in units:
        exact = known.get((unit.site, unit.index, unit.sign))
        said = exact or known.get((unit.site.partition("+")[0], unit.index, unit.sign))
        if said:
            found[unit] = said
    return found


@dataclass(frozen=True, slots=True)
class Agreement:
    """How close explanations are to what people wrote of the same units.

    `similarity` is the mean over units, `shuffled` the same with the labels of all other units, `gap` their difference
    and `rank` the share of the other units' labels that are less close than the unit's own (ties count half; chance is
    0.5). `by_unit` is the similarity of each unit, to be compared with its scores. Units without a label or without an
    explanation are left out: `unmatched` counts them.
    """

    similarity: Number
    shuffled: Number
    gap: Number
    rank: Number
    by_unit: Mapping[Unit, float]
    unmatched: int


def agreement(
    labels: Mapping[Unit, Sequence[Explanation]],
    explanations: Mapping[Unit, Explanation],
    similarity: Similarity | None = None,
) -> Agreement:
    """Compare people's labels with explanations of the same units, by `overlap` or by another `similarity`.

    Of several labels the closest counts, for a unit's own and for the others' alike. Intervals are over units, the
    labels of the others held fixed. Undefined for fewer than two units, since then there is nothing to confuse with.
    """
    common = [u for u in explanations if labels.get(u)]
    unmatched = len(explanations.keys() | labels.keys()) - len(common)
    if len(common) < 2:
        none = Number(value=None, n=len(common), reason="fewer than two units have both a label and an explanation")
        return Agreement(none, none, none, none, {}, unmatched)
    owner = np.concatenate([np.full(len(labels[u]), k) for k, u in enumerate(common)])
    said = [e.text for u in common for e in labels[u]]
    table = (similarity or overlap)([explanations[u].text for u in common], said)
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    close = np.maximum.reduceat(np.asarray(table, np.float64), starts, axis=1)  # (units, units)
    own, count = np.diag(close).copy(), len(common)
    others = (close.sum(1) - own) / (count - 1)
    below = (close < own[:, None]).sum(1) + ((close == own[:, None]).sum(1) - 1) / 2
    return Agreement(
        similarity=mean(own[None, :]),
        shuffled=mean(others[None, :]),
        gap=mean((own - others)[None, :]),
        rank=mean((below / (count - 1))[None, :]),
        by_unit=dict(zip(common, own.tolist(), strict=True)),
        unmatched=unmatched,
    )


def overlap(texts: Sequence[str], others: Sequence[str]) -> Floats:
    """(n, m) the share of words that two texts have in common (Dice coefficient of their sets of words, without
    case and plural endings)."""
    vocabulary: dict[str, int] = {}
    first, second = (_table(group, vocabulary) for group in (texts, others))
    shared = np.pad(first, ((0, 0), (0, len(vocabulary) - first.shape[1]))) @ second.T
    sizes = first.sum(1)[:, None] + second.sum(1)[None, :]
    return np.where(sizes > 0, 2 * shared / np.maximum(sizes, 1), 0.0)


def _table(texts: Sequence[str], vocabulary: dict[str, int]) -> Floats:
    """(n, words) 1 where a text has a word; new words are added to the vocabulary."""
    sets = [{_stem(w) for w in _WORD.findall(text.lower())} for text in texts]
    places = [[vocabulary.setdefault(word, len(vocabulary)) for word in sorted(words)] for words in sets]
    table = np.zeros((len(texts), len(vocabulary)))
    for row, columns in zip(table, places, strict=True):
        row[columns] = 1.0
    return table


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def by_embedding(embed: Callable[[Sequence[str]], Floats]) -> Similarity:
    """A similarity from an encoder `texts -> (n, d)`: the cosine of two texts."""

    def cosine(texts: Sequence[str], others: Sequence[str]) -> Floats:
        first, second = (np.asarray(embed(group), np.float64) for group in (texts, others))
        lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)[None, :]
        return np.asarray(first @ second.T / np.maximum(lengths, 1e-12))

    return cosine
