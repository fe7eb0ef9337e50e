"""Batches of SAEDashboard: folders of `batch-N.json`, each with the features of one dictionary.

What a feature has beyond a dossier (neuron alignment, correlated features, the histogram of all logits) is carried
beside it, so that reading and writing loses nothing. Values have three decimals, as there. An activation of a group
`bin_min = bin_contains = -1` is one of the strongest; the others come from equal intervals of [0, peak], whose share
of all tokens is `bin_contains`.

Source of the form: files that SAEDashboard wrote for 4 features of GPT-2 small.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from superalign.core.errors import TaskError
from superalign.interp.dossier import Dossier, Excerpt
from superalign.interp.formats.names import layer_and_dictionary, unit_at
from superalign.interp.formats.reading import Fields, json_of
from superalign.interp.formats.writing import json_text, save
from superalign.interp.units import Unit

INTERVALS = 5
"""Intervals of [0, peak] that excerpts without one of their own are put into."""
_EXPECTED = "an object with model_id, layer, sae_set and features"
_BETWEEN = re.compile(r"^between (\S+) and (\S+)$")
_SHARE = "share "
_BESIDE = (
    "neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1", "correlated_neurons_indices",
    "correlated_neurons_l1", "correlated_neurons_pearson", "correlated_features_indices", "correlated_features_l1",
    "correlated_features_pearson", "logits_hist_data_bar_heights", "logits_hist_data_bar_values", "decoder_weights_dist",
)  # fmt: skip
_PER_WINDOW = ("qualifying_token_index", "dfa_values", "dfa_maxValue", "dfa_targetIndex")
_WINDOWS = ("n_prompts_total", "n_tokens_in_prompt", "dataset")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The features of one dictionary (`res-jb`) at one layer of a model. `beside` holds, by feature, the fields that
    no dossier has; `skipped` are features without one, and `log_sparsity` the bound below which they were skipped."""

    model: str
    layer: str
    dictionary: str
    dossiers: tuple[Dossier, ...]
    beside: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    skipped: tuple[int, ...] = ()
    log_sparsity: float | None = None


def read(path: str | Path) -> Dashboard:
    """A folder of batches, or one of them. Raises TaskError for files of another form or of several dictionaries."""
    place = Path(path)
    files = [place] if place.is_file() else sorted(place.glob("batch-*.json"), key=_number_of)
    if not files:
        raise TaskError(f"{str(place)!r} holds no batch of SAEDashboard; expected batch-0.json, batch-1.json, ...")
    found = [_batch(file) for file in files]
    kinds = {(d.model, d.layer, d.dictionary) for d in found}
    if len(kinds) > 1:
        raise TaskError(f"{place} mixes {' and '.join(sorted('/'.join(k) for k in kinds))}; read each folder by itself")
    skipped, sparsity = _skipped(place / "skipped_indexes.json")
    return Dashboard(
        found[0].model,
        found[0].layer,
        found[0].dictionary,
        tuple(d for part in found for d in part.dossiers),
        {k: v for part in found for k, v in part.beside.items()},
        skipped,
        sparsity,
    )


def dashboards(dossiers: Iterable[Dossier], model: str) -> list[Dashboard]:
    """Dossiers as dashboards: one for each site, and for the negative sides of neurons another."""
    groups: dict[tuple[str, str], list[Dossier]] = {}
    for dossier in dossiers:
        groups.setdefault(layer_and_dictionary(dossier.unit), []).append(dossier)
    return [Dashboard(model, layer, name, tuple(found)) for (layer, name), found in groups.items()]


def write(dashboard: Dashboard, folder: str | Path, batch: int = 64) -> list[Path]:
    """Write a dashboard as `batch-N.json` and `skipped_indexes.json`; return the paths."""
    root = Path(folder)
    layer: int | str = int(dashboard.layer) if dashboard.layer.isdecimal() else dashboard.layer
    head = {"model_id": dashboard.model, "layer": layer, "sae_set": dashboard.dictionary}
    written = []
    for number, start in enumerate(range(0, len(dashboard.dossiers), batch)):
        some = dashboard.dossiers[start : start + batch]
        features = [feature_of(d, dashboard.beside.get(d.unit.index, {})) for d in some]
        written.append(_written(root / f"batch-{number}.json", head | {"features": features}))
    tail = head | {"layer": str(dashboard.layer), "log_sparsity": dashboard.log_sparsity}
    written.append(_written(root / "skipped_indexes.json", tail | {"skipped_indexes": list(dashboard.skipped)}))
    return written


def _written(path: Path, values: Mapping[str, Any]) -> Path:
    return save(path, json_text(values, path.name).encode())


def _number_of(path: Path) -> tuple[int, str]:
    digits = path.stem.rpartition("-")[2]
    return (int(digits) if digits.isdecimal() else -1, path.stem)


def _batch(path: Path) -> Dashboard:
    head = Fields(json_of(path, _EXPECTED), path.name, _EXPECTED)
    model, layer, dictionary = head.text("model_id"), head.text("layer"), head.text("sae_set")
    dossiers, beside = [], {}
    for place, values in enumerate(head.list("features")):
        feature = Fields(values, f"{path.name}, feature {place}", "an object with feature_index and activations")
        unit = unit_at(layer, dictionary, int(feature.number("feature_index")))
        dossiers.append(dossier_of(feature, unit))
        windows = [{name: a[name] for name in _PER_WINDOW if name in a} for a in feature.list("activations")]
        kept = {name: values[name] for name in (*_BESIDE, *_WINDOWS) if name in values}
        beside[unit.index] = kept | {"activations": windows}
    if not dossiers:
        raise TaskError(f"{path.name} holds no features; expected {_EXPECTED}")
    return Dashboard(model, layer, dictionary, tuple(dossiers), beside)


def _skipped(path: Path) -> tuple[tuple[int, ...], float | None]:
    if not path.is_file():
        return (), None
    found = Fields(json_of(path, "an object with skipped_indexes"), path.name, "an object with skipped_indexes")
    sparsity = found.number("log_sparsity") if found.values.get("log_sparsity") is not None else None
    return tuple(int(v) for v in found.numbers("skipped_indexes")), sparsity


def dossier_of(feature: Fields, unit: Unit) -> Dossier:
    """What a dossier keeps of a feature. A dead feature has windows too, with nothing in them."""
    windows = [Fields(a, f"{feature.where}, activation {k}", "an object with tokens and values")
               for k, a in enumerate(feature.list("activations"))]  # fmt: skip
    excerpts = tuple(_excerpt(w, k) for k, w in enumerate(windows))
    edges, counts = _edges(feature)
    rows = int(feature.number("n_prompts_total", 0) * feature.number("n_tokens_in_prompt", 0))
    middle = (np.asarray(edges[1:]) + np.asarray(edges[:-1])) / 2 if edges else np.zeros(0)
    return Dossier(
        unit,
        rows,
        density=feature.number("frac_nonzero", 0),
        mean=float(middle @ np.asarray(counts)) / rows if rows and counts else 0.0,
        peak=max((v for e in excerpts for v in e.values), default=edges[-1] if edges else 0.0),
        histogram=(edges, counts),
        promoted=_effects(feature, "pos"),
        suppressed=_effects(feature, "neg"),
        excerpts=excerpts,
        facts=dict(filter(None, map(_share, windows))),
    )


def _edges(feature: Fields) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The edges of the bars, which the file gives by their middles."""
    middles = feature.numbers("freq_hist_data_bar_values")
    counts = tuple(int(v) for v in feature.numbers("freq_hist_data_bar_heights"))
    if len(middles) != len(counts):
        raise TaskError(f"{feature.where}: {len(middles)} bars have {len(counts)} heights")
    if len(middles) < 2:
        return (), ()
    step, first = np.polyfit(np.arange(len(middles)), middles, 1)  # of rounded middles: the line is closer than any two
    edges = first + step * (np.arange(len(middles) + 1) - 0.5)
    return tuple(np.round(edges, 6).tolist()), counts


def _effects(feature: Fields, sign: str) -> tuple[tuple[str, float], ...]:
    tokens, values = feature.texts(f"{sign}_str"), feature.numbers(f"{sign}_values")
    if len(tokens) != len(values):
        raise TaskError(f"{feature.where}: {len(tokens)} tokens in {sign}_str, {len(values)} in {sign}_values")
    return tuple(zip(tokens, values, strict=True))


def _excerpt(window: Fields, number: int) -> Excerpt:
    tokens, values = window.texts("tokens"), window.numbers("values")
    if len(tokens) != len(values):
        raise TaskError(f"{window.where}: {len(tokens)} tokens have {len(values)} values")
    low, high = _bounds(window)
    stratum = "top" if low is None else f"between {low:.12g} and {high:.12g}"
    return Excerpt(number, window.text("dataIndex", ""), "", stratum, tokens, values)


def _bounds(window: Fields) -> tuple[float | None, float]:
    """The interval that a window was drawn from; None for the lower end of the strongest."""
    low = window.number(_name(window, "bin_min"), -1.0)
    return (None if low == -1 else low), window.number(_name(window, "bin_max"), 0.0)


def _share(window: Fields) -> tuple[str, float] | None:
    low, high = _bounds(window)
    share = window.number(_name(window, "bin_contains"), -1.0)
    return None if low is None or share < 0 else (f"{_SHARE}between {low:.12g} and {high:.12g}", share)


def _name(window: Fields, name: str) -> str:
    """`bin_min` or, in records of Neuronpedia, `binMin`."""
    return name if name in window.values else re.sub(r"_(\w)", lambda m: m[1].upper(), name)


def feature_of(dossier: Dossier, beside: Mapping[str, Any]) -> dict[str, Any]:
    """A dossier as a feature; fields that no dossier has are empty unless they are `beside` it."""
    longest = max((len(e.tokens) for e in dossier.excerpts), default=1) or 1
    windows = {"n_prompts_total": dossier.rows // longest, "n_tokens_in_prompt": longest, "dataset": ""}
    edges, counts = dossier.histogram
    shares = shares_of(dossier)
    return {
        "feature_index": dossier.unit.index,
        **{name: beside.get(name, []) for name in _BESIDE},
        **logits_of(dossier),
        "frac_nonzero": dossier.density,
        "freq_hist_data_bar_values": [_rounded((a + b) / 2) for a, b in pairwise(edges)],
        "freq_hist_data_bar_heights": list(counts),
        **{name: beside.get(name, default) for name, default in windows.items()},
        "activations": [_activation(e, dossier, shares) | own for e, own in _with_own(dossier, beside)],
    }


def _with_own(dossier: Dossier, beside: Mapping[str, Any]) -> list[tuple[Excerpt, dict[str, Any]]]:
    """Each excerpt with what was read beside it; with nothing where the excerpts are others by now."""
    own = beside.get("activations", ())
    same = len(own) == len(dossier.excerpts)
    return [(e, dict(own[k]) if same else {}) for k, e in enumerate(dossier.excerpts)]


def logits_of(dossier: Dossier) -> dict[str, list[Any]]:
    """The promoted and suppressed tokens as parallel lists."""
    return {
        "pos_str": [token for token, _ in dossier.promoted],
        "pos_values": [_rounded(effect) for _, effect in dossier.promoted],
        "neg_str": [token for token, _ in dossier.suppressed],
        "neg_values": [_rounded(effect) for _, effect in dossier.suppressed],
    }


def _activation(excerpt: Excerpt, dossier: Dossier, shares: Sequence[float]) -> dict[str, Any]:
    values = [_rounded(v) for v in excerpt.values]
    low, high, share = interval_of(excerpt, dossier, shares)
    largest = max(values, default=0.0)
    return {
        "bin_min": low, "bin_max": high, "bin_contains": share, "tokens": list(excerpt.tokens), "values": values,
        "qualifying_token_index": values.index(largest) if largest > 0 else -1,
        "dfa_values": [], "dfa_maxValue": 0, "dfa_targetIndex": -1,
    }  # fmt: skip


def interval_of(excerpt: Excerpt, dossier: Dossier, shares: Sequence[float]) -> tuple[float, float, float]:
    """(low, high, share): -1, the peak and -1 for the strongest windows; the interval that an excerpt was read with;
    else the one of `INTERVALS` that holds its largest value."""
    peak = _rounded(dossier.peak)
    if excerpt.stratum == "top":
        return -1, peak, -1
    own = _BETWEEN.match(excerpt.stratum)
    if own:
        return float(own[1]), float(own[2]), dossier.facts.get(f"{_SHARE}{excerpt.stratum}", -1)
    largest = max(excerpt.values, default=0.0)
    k = min(int(INTERVALS * largest / dossier.peak), INTERVALS - 1) if dossier.peak > 0 else 0
    ends = [_rounded(dossier.peak * j / INTERVALS) for j in (k, k + 1)]
    return ends[0], ends[1], shares[k]


def shares_of(dossier: Dossier) -> list[float]:
    """The share of all tokens in each of `INTERVALS` equal intervals of [0, peak], silence in the lowest; from the
    histogram, whose counts are spread evenly over their bars. -1 where there is none."""
    edges, counts = dossier.histogram
    if not counts or dossier.rows < 1 or dossier.peak <= 0:
        return [-1.0] * INTERVALS
    below = np.interp(np.linspace(0, dossier.peak, INTERVALS + 1), edges, np.concatenate([[0], np.cumsum(counts)]))
    parts = np.diff(below) / dossier.rows
    parts[0] = 1 - parts[1:].sum()
    return [float(v) for v in parts]


def _rounded(value: float) -> float:
    return round(float(value), 3)
