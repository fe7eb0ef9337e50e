"""The ablation score: on a model whose every feature is known, and on small transformers of all layouts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import ModelError
from superalign.interp.controls import controlled
from superalign.interp.corpus import Corpus, Windows, build
from superalign.interp.evidence import Evidence
from superalign.interp.scorers.ablation import Ablation
from superalign.interp.scorers.correlation import SimulationScores
from superalign.interp.scorers.effects import begun, divergence, logits, written
from superalign.interp.sites import reading
from superalign.interp.subject import Subject
from superalign.interp.units import Explanation, Score, Simulation, Unit
from superalign.interp.worlds.compiled import TEXTS, Compiled, Oracle, compiled
from tests.models import hf_tiny

Values = np.ndarray[Any, Any]
WORLDS: dict[int, Compiled] = {}


def world(seed: int = 0) -> Compiled:
    if seed not in WORLDS:
        WORLDS[seed] = compiled(seed, documents=600)
    return WORLDS[seed]


def columns(found: Compiled) -> dict[str, Values]:
    """The true labels, labels that miss a quarter of the firings, and three that are too broad."""
    kept = np.random.default_rng(0).random(len(found.corpus)) > 0.25
    true = {text: found.acts[:, k] for k, text in enumerate(TEXTS)}
    broad = {"B": found.corpus.tokens == 9, "late": found.corpus.place >= 8, "open": found.acts[:, 11] >= 1}
    return true | {f"mostly {text}": a * kept for text, a in true.items()} | broad


def scores(scorer: Any, found: Compiled, texts: Sequence[str], features: Sequence[int] = range(14)) -> list[Score]:
    pairs = [(Explanation(text), found.evidence(k)) for text, k in zip(texts, features, strict=True)]
    return [each[0] for each in scorer.score(pairs)]


def value(score: Score) -> float:
    assert score.number.value is not None, score
    return score.number.value


@pytest.mark.parametrize("seed", [0, 1])
def test_true_labels_do_for_the_unit_and_false_ones_are_worth_its_mean(seed: int) -> None:
    found = world(seed)
    scorer = Ablation(found.subject, Oracle(columns(found)), contexts=120)
    true = scores(scorer, found, TEXTS)
    assert min(value(score) for score in true) >= 0.99
    assert all((score.status, score.n) == ("ok", 120 * 24) for score in true)

    swapped = [TEXTS[(k + 5) % 14] for k in range(14)]
    shuffled = np.array([value(score) for score in scores(scorer, found, swapped)])
    rho = np.array([np.corrcoef(found.acts[:, k], found.acts[:, (k + 5) % 14])[0, 1] for k in range(14)])
    assert np.abs(shuffled - rho**2).max() <= 0.06  # the depth does tell something of the token after "("
    assert np.abs(shuffled).mean() <= 0.03
    raw = scores(replace(scorer, calibration="identity", contexts=20), found, swapped)
    assert np.mean([value(score) for score in raw]) < -1  # why it is calibrated: wrong does more harm than the mean


def test_a_label_that_misses_a_quarter_scores_about_its_squared_correlation() -> None:
    found = world()
    oracle = Oracle(columns(found))
    mostly = [f"mostly {text}" for text in TEXTS]
    ablated = scores(Ablation(found.subject, oracle, contexts=None), found, mostly)
    rho = scores(SimulationScores(oracle, bootstrap=10), found, mostly)
    for score, simulated in zip(ablated, rho, strict=True):
        assert value(score) == pytest.approx(value(simulated) ** 2, abs=0.1)
        assert score.number.low is not None
        assert score.number.high is not None
        assert score.number.low < value(score) < score.number.high


def test_a_label_that_is_too_broad_correlates_and_does_not_do_for_the_unit() -> None:
    found = world()
    oracle = Oracle(columns(found))
    names, features = ["B", "late", "open"], [12, 10, 11]
    ablated = [value(s) for s in scores(Ablation(found.subject, oracle, contexts=None), found, names, features)]
    rho = [value(s) for s in scores(SimulationScores(oracle, bootstrap=10), found, names, features)]
    assert rho[0] > 0.5
    assert ablated[0] < 0.6
    assert ablated[1] < 0.3
    assert ablated[2] < rho[2]


def test_a_unit_without_effect_is_undefined() -> None:
    found = world()
    model = copy.deepcopy(found.subject.model)
    model.lm_head.weight[:, found.evidence(3).unit.index] = 0  # and nothing in the second block reads it
    scorer = Ablation(replace(found.subject, model=model), Oracle(columns(found)))
    idle, busy = scores(scorer, found, TEXTS[3:5], [3, 4])
    assert (idle.status, idle.number.value) == ("undefined", None)
    assert "nats, less than 0.0001: it has no effect downstream" in (idle.number.reason or "")
    assert value(busy) >= 0.99


def test_controls_of_ablation_are_about_nothing() -> None:
    found = world()
    pairs = [(Explanation(text), found.evidence(k)) for k, text in enumerate(TEXTS)]
    for (score,) in controlled(Ablation(found.subject, Oracle(columns(found)), contexts=40), pairs):
        assert value(score) >= 0.99
        assert abs(score.controls["shuffled"].value or 0) < 0.3  # single labels are correlated; their mean is not
    assert {"shuffled"} == set(score.controls)


def test_directions_are_ablated_as_neurons_are() -> None:
    """The same features in a rotated basis: the same scores."""
    plain, turned = compiled(3, documents=200), compiled(3, basis="rotated", documents=200)
    mostly = [f"mostly {text}" for text in TEXTS[8:]]
    both = [
        scores(Ablation(each.subject, Oracle(columns(each)), each.written_to()), each, mostly, range(8, 14))
        for each in (plain, turned)
    ]
    for neuron, direction in zip(*both, strict=True):
        assert value(direction) == pytest.approx(value(neuron), abs=0.01)
    assert turned.evidence(8).unit.kind == "direction"
    _, coordinate = written(Unit("resid.0", 2, sign=-1), turned.subject, turned.written_to())
    assert coordinate.nonzero().tolist() == [[2]]
    assert coordinate[2] == -1


def tiny(kind: str) -> tuple[Subject, Corpus]:
    """A random transformer and documents of different lengths; "!" is its start token."""
    model = hf_tiny.network(kind).eval().requires_grad_(False)
    strings = tuple(hf_tiny.WORDS)
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, len(strings), int(n)).tolist() for n in rng.integers(9, 60, 80)]
    return Subject(kind, {"kind": kind}, model, strings, 0, 31), build(documents, strings, width=8, context=24)


def activations(subject: Subject, corpus: Corpus, site: str) -> Values:
    """(T, width), one context after the other."""
    found: list[torch.Tensor] = []
    with reading(subject.model, [site], lambda _, x: found.append(x[0, 1:].clone())):
        for a, b in zip(corpus.contexts[:-1], corpus.contexts[1:], strict=True):
            logits(subject, begun(subject, [corpus.tokens[a:b]]))
    return torch.cat(found).numpy()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neox"])
def test_neurons_of_both_signs_on_layouts_of_transformers(kind: str) -> None:
    """A simulation that is right leaves the model as it is, whatever the other sign does, and whatever is padded."""
    subject, corpus = tiny(kind)
    a = activations(subject, corpus, "mlp.0")
    rows = np.arange(len(corpus))
    pairs, told = [], {}
    for sign in (1, -1):
        for index in range(4):
            side = np.maximum(sign * a[:, index], 0)
            kept = rows[side > 0]
            unit = Unit("mlp.0", index, sign=sign)
            pairs.append((Explanation(unit.name), Evidence(unit, corpus, kept, side[kept])))
            noise = np.random.default_rng(index).normal(size=len(side))
            told |= {unit.name: side, f"noisy {unit.name}": side + side.std() * noise}
    scorer = Ablation(subject, Oracle(told), floor=0.0, contexts=12)
    right = [score for (score,) in scorer.score(pairs)]
    assert [value(score) for score in right] == pytest.approx([1] * 8, abs=1e-4)
    noisy = [(Explanation(f"noisy {e.text}"), evidence) for e, evidence in pairs]
    blurred = [value(score) for (score,) in scorer.score(noisy)]
    assert 0.2 < np.median(blurred) < 0.8
    one_by_one = [value(scorer.score([pair])[0][0]) for pair in noisy]
    assert one_by_one == pytest.approx(blurred, abs=1e-4)


class Unreliable:
    """Answers every other position, or nothing."""

    name = "unreliable"

    def __init__(self, values: Values) -> None:
        self.values = values

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]:
        found = []
        for explanation, windows in asked:
            failed = windows.rows % 2 == 1
            values = np.where(failed, 1e9, self.values[windows.rows])
            broken = Simulation(np.zeros(0), np.zeros(0, bool), "parse_failed", "no digits")
            found.append(broken if explanation.text == "broken" else Simulation(values, failed))
        return found


def test_failed_positions_keep_their_activation_and_a_failed_simulation_has_no_score() -> None:
    found = world()
    scorer = Ablation(found.subject, Unreliable(found.acts[:, 10]), contexts=30)
    good, broken = scores(scorer, found, ["good", "broken"], [10, 10])
    assert value(good) >= 0.99
    assert (good.failed, good.n) == (360, 720)
    assert (broken.status, broken.number.reason, broken.failed) == ("parse_failed", "parse_failed: no digits", 720)


def test_a_unit_that_is_silent_where_it_was_run_is_undefined() -> None:
    found = world()
    silent = Evidence(found.evidence(0).unit, found.corpus, np.zeros(0, int), np.zeros(0, np.float32))
    ((score,),) = Ablation(found.subject, Oracle(columns(found)), contexts=5).score([(Explanation(TEXTS[0]), silent)])
    assert score.number.reason == "undefined: it fires at none of the 120 positions that were run"


def test_a_unit_or_text_of_another_model_is_refused() -> None:
    found = world()
    with pytest.raises(ModelError, match=r"compiled, aligned has no unit mlp\.7/0: there is no mlp\.7"):
        written(Unit("mlp.7", 0), found.subject, {})
    with pytest.raises(ModelError, match=r"no unit mlp\.0/99: mlp\.0 has 27 neurons"):
        written(Unit("mlp.0", 99), found.subject, {})
    with pytest.raises(ModelError, match=r"mlp\.0\+topk/3 is a latent: pass its rows"):
        written(Unit("mlp.0+topk", 3, "latent"), found.subject, {})
    with pytest.raises(ModelError, match=r"mlp\.0\+topk/3 does not exist: mlp\.0\+topk has 2 directions"):
        written(Unit("mlp.0+topk", 3, "latent"), found.subject, {"mlp.0+topk": ("mlp.0", torch.zeros(2, 27))})
    subject, _ = tiny("gpt2")
    with pytest.raises(ModelError, match="the text does not fit gpt2: 17 kinds of token in contexts of 24"):
        Ablation(subject, Oracle({})).score([(Explanation("x"), found.evidence(0))])


def test_divergence_is_that_of_its_definition_and_exact_for_a_small_effect() -> None:
    rng = np.random.default_rng(0)
    p, q = torch.from_numpy(rng.normal(size=(2, 50, 9)))
    a, b = p.softmax(-1).numpy(), q.softmax(-1).numpy()
    m = (a + b) / 2
    expected = ((a * np.log(a / m)).sum(1) + (b * np.log(b / m)).sum(1)) / 2
    assert divergence(p, q) == pytest.approx(expected)
    assert divergence(p, p) == pytest.approx(np.zeros(50), abs=1e-15)
    far = divergence(torch.tensor([[99.0, 0]]), torch.tensor([[0, 99.0]]))
    assert far == pytest.approx([np.log(2)])
    step = 1e-4
    moved = divergence(torch.zeros(1, 2).float(), torch.tensor([[step, 0.0]]))
    assert moved == pytest.approx([step**2 / 32], rel=1e-3)  # a quarter of p (1 - p) step^2 / 2
