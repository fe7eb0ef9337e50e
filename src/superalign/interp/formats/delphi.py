"""Results of Delphi: explanations, the answers of its classifying scorers, and cached activations.

    RESULTS/explanations/{hookpoint}_latent{i}.txt        one JSON string
    RESULTS/scores/{scorer}/{hookpoint}_latent{i}.txt     a JSON list, one object for each window that was judged
    RESULTS/latents/{hookpoint}/{start}_{end}.safetensors non-zero activations of the latents from start to end

A window whose `prediction` is null is a call that failed: it is counted, and it is no answer. In names of score files
"--" stands for "/".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import TaskError
from superalign.core.random import stream
from superalign.core.resample import interval
from superalign.core.spec import Number
from superalign.interp.corpus import Corpus, build
from superalign.interp.dossier import Dossier, Excerpt
from superalign.interp.evidence import Evidence
from superalign.interp.formats.reading import Fields, json_of
from superalign.interp.units import Explanation, Score, Unit, undefined

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

DRAWS = 4000
_FILE = re.compile(r"^(?P<hookpoint>.+)_latent(?P<index>\d+)$")
_SHARD = re.compile(r"^(?P<start>\d+)_(?P<end>\d+)$")
_LAYER = re.compile(r"(?:^|[./-])(\d+)(?:[./-]|$)")
_PARTS = {"mlp": "mlp_out", "attn": "attn", "attention": "attn", "self_attn": "attn"}


def unit_of(hookpoint: str, index: int) -> Unit:
    """The unit of a latent: `layers.5.mlp` reads the output of the MLP, `layers.5` that of the block."""
    words = re.split(r"[./]|--", hookpoint)
    place = next((_PARTS[w] for w in reversed(words) if w in _PARTS), "resid")
    layer = _LAYER.search(hookpoint)
    return Unit(f"{place}.{layer[1]}" if layer else place, index, "latent")


def read(folder: str | Path) -> list[Dossier]:
    """The latents of a folder of results, with their explanations and scores.

    What Delphi keeps of a latent is its judged windows: of these its peak is known, its density and histogram are not
    (`evidence` has them, from the cache). Raises TaskError for files of another form.
    """
    root = Path(folder)
    explained = explanations(root / "explanations") if (root / "explanations").is_dir() else {}
    judged: dict[Unit, list[tuple[str, list[Fields]]]] = {}
    for scorer in sorted(p for p in (root / "scores").glob("*") if p.is_dir()):
        for unit, path in _files(scorer):
            judged.setdefault(unit, []).append((scorer.name, _windows(path)))
    if not explained and not judged:
        raise TaskError(f"{str(root)!r} holds no results of Delphi; expected the folders explanations and scores")
    units = dict.fromkeys([*explained, *judged])
    return [_dossier(u, explained.get(u), judged.get(u, [])) for u in sorted(units)]


def explanations(folder: str | Path) -> dict[Unit, Explanation]:
    """The explanations of a folder, by unit. Raises TaskError for a file that is not one JSON string."""
    found = {}
    for unit, path in _files(Path(folder)):
        text = json_of(path, "one JSON string")
        if not isinstance(text, str):
            raise TaskError(f"{path.name}: expected one JSON string, the explanation")
        found[unit] = Explanation(text, source="delphi")
    return found


def _files(folder: Path) -> Iterator[tuple[Unit, Path]]:
    for path in sorted(folder.glob("*.txt")):
        match = _FILE.match(path.stem)
        if match is None:
            raise TaskError(f"{path.name} names no latent; expected a name such as layers.5.mlp_latent17.txt")
        yield unit_of(match["hookpoint"], int(match["index"])), path


def _windows(path: Path) -> list[Fields]:
    expected = "a list of objects with str_tokens, activating and prediction"
    found = json_of(path, expected)
    if not isinstance(found, list):
        raise TaskError(f"{path.name}: expected {expected}")
    return [Fields(values, f"{path.parent.name}/{path.name}, window {k}", expected) for k, values in enumerate(found)]


def _dossier(unit: Unit, claimed: Explanation | None, judged: Sequence[tuple[str, list[Fields]]]) -> Dossier:
    windows = list(judged[0][1]) if judged else []
    excerpts = tuple(_excerpt(w, k) for k, w in enumerate(windows))
    return Dossier(
        unit,
        rows=0,
        density=0.0,
        mean=0.0,
        peak=max((v for e in excerpts for v in e.values), default=0.0),
        excerpts=excerpts,
        explanations=(claimed,) if claimed else (),
        scores=tuple(s for name, found in judged for s in scores(name, found)),
        notes=("Delphi's results do not say how often it fires.",),
    )


def _excerpt(window: Fields, number: int) -> Excerpt:
    tokens = window.texts("str_tokens")
    values = window.numbers("activations") or (0.0,) * len(tokens)
    if len(tokens) != len(values):
        raise TaskError(f"{window.where}: {len(tokens)} tokens have {len(values)} activations")
    active = window.values.get("activating")
    stratum = f"judged, distance {window.number('distance', -1):g}" if active else "judged, silent"
    return Excerpt(number, "", "", stratum, tokens, values)


def scores(scorer: str, windows: Sequence[Fields]) -> list[Score]:
    """Balanced accuracy, precision and recall of a classifying scorer's answers, with failures counted.

    Intervals are from Jeffreys posteriors of the two rates. Windows were drawn half and half, so none of these sees an
    explanation that is too broad.
    """
    answered = [w for w in windows if w.values.get("prediction") is not None]
    failed = len(windows) - len(answered)
    truth = np.array([bool(w.values.get("activating")) for w in answered], bool)
    said = np.array([_said_yes(w) for w in answered], bool)
    hits, positives = int((said & truth).sum()), int(truth.sum())
    alarms, negatives = int((said & ~truth).sum()), int((~truth).sum())
    if not positives or not negatives:
        reason = f"{positives} active and {negatives} silent windows were answered; both are needed"
        return [undefined(f"{scorer}:balanced-accuracy", reason, n=len(answered), failed=failed, split="unknown")]
    rng = stream(0, "delphi", scorer, hits, positives, alarms, negatives)
    hit = rng.beta(hits + 0.5, positives - hits + 0.5, DRAWS)
    alarm = rng.beta(alarms + 0.5, negatives - alarms + 0.5, DRAWS)
    found = {"balanced-accuracy": ((hits / positives + 1 - alarms / negatives) / 2, (hit + 1 - alarm) / 2)}
    found["recall"] = (hits / positives, hit)
    if hits + alarms:
        chance = positives * hit / (positives * hit + negatives * alarm)
        found["precision"] = (hits / (hits + alarms), chance)
    rate = positives / len(answered)
    return [
        Score(f"{scorer}:{name}", _number(value, draws, len(answered)), "ok", len(answered), failed, "unknown", rate)
        for name, (value, draws) in found.items()
    ]


def _said_yes(window: Fields) -> bool:
    answer = window.values["prediction"]
    return answer if isinstance(answer, bool) else window.number("prediction") >= 0.5


def _number(value: float, draws: Floats, n: int) -> Number:
    low, high = interval(np.asarray(draws, np.float64))
    return Number(value=value, low=min(low, value), high=max(high, value), n=n)


@dataclass(frozen=True)
class Shard:
    """Non-zero activations of the latents from `start` on: `rows` (nnz,) of the flattened tokens, `latent` (nnz,),
    `values` (nnz,) float32, and `tokens` (sequences, length)."""

    start: int
    rows: Ints
    latent: Ints
    values: Floats
    tokens: Ints


def shard(path: str | Path) -> Shard:
    """One `{start}_{end}.safetensors` of a cache that holds its tokens. Raises TaskError for another form."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = Path(path)
    match = _SHARD.match(file.stem)
    if match is None:
        raise TaskError(f"{file.name} is no shard of a cache; expected a name such as 0_4095.safetensors")
    try:
        held: Mapping[str, Any] = load_file(file)
        places, values, tokens = (held[name] for name in ("locations", "activations", "tokens"))
    except (OSError, SafetensorError, KeyError) as error:
        raise TaskError(f"{file.name} does not hold locations, activations and tokens: {error}") from error
    places, shape = places.astype(np.int64), tokens.shape
    start, end = int(match["start"]), int(match["end"])
    fits = tokens.ndim == 2 and places.shape == (len(values), 3)
    if not fits or not (places.max(0, initial=-1) < (*shape, end - start + 1)).all():
        raise TaskError(
            f"{file.name}: locations {places.shape} do not lie in tokens {shape} and latents {start} to {end}"
        )
    return Shard(start, places[:, 0] * shape[1] + places[:, 1], places[:, 2] + start, values.astype(np.float32), tokens)


def evidence(folder: str | Path, strings: Sequence[str], width: int = 32, seed: int = 0) -> Iterator[Evidence]:
    """When each latent of a cached hookpoint fires, for every latent that does: `folder` is RESULTS/latents/HOOKPOINT,
    `strings` are the texts of the tokenizer's tokens. Each cached sequence is a document.

    Raises TaskError for a folder without shards, and for a vocabulary that does not hold its tokens.
    """
    root = Path(folder)
    files = sorted(root.glob("*.safetensors"), key=lambda p: (len(p.stem.partition("_")[0]), p.stem))
    if not files:
        raise TaskError(f"{str(root)!r} holds no shard; expected files such as 0_4095.safetensors")
    corpus: Corpus | None = None
    for file in files:
        held = shard(file)
        if corpus is None:
            context = -(-held.tokens.shape[1] // width) * width
            corpus = build(list(held.tokens), strings, width=width, context=context)
        fires = np.flatnonzero(held.values > 0)  # their cache keeps both signs
        order = fires[np.lexsort((held.rows[fires], held.latent[fires]))]
        latents, starts = np.unique(held.latent[order], return_index=True)
        for latent, part in zip(latents.tolist(), np.split(order, starts[1:]), strict=False):  # no latent: one part
            yield Evidence(unit_of(root.name, latent), corpus, held.rows[part], held.values[part], seed)
