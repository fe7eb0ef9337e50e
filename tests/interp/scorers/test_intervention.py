"""The intervention score: pushing features of a compiled transformer, whose effect on the next token is known."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import ModelError
from superalign.interp.evidence import Evidence
from superalign.interp.scorers.effects import begun, logits
from superalign.interp.scorers.intervention import Intervention, Prompts, continued
from superalign.interp.units import Explanation, Score
from superalign.interp.worlds.compiled import Compiled, compiled
from tests.models import hf_tiny

Values = np.ndarray[Any, Any]
WORLD = compiled(0, documents=300)
PROMPTS = Prompts(tuple(WORLD.corpus.tokens[a : a + n] for a, n in ((0, 3), (24, 9), (48, 5))), np.arange(3))


def counting(pairs: Sequence[tuple[str, str]]) -> Values:
    """log p of an explanation that lists characters: each as likely as it is frequent in the continuation."""
    found = []
    for before, explanation in pairs:
        text = before.split("like this:\n")[2].split("\n")[0]
        share = [(text.count(sign) + 0.5) / (len(text) + 8) for sign in explanation]
        found.append(float(np.mean(np.log(share))))
    return np.array(found)


def effect(found: Compiled, feature: int) -> str:
    """The two tokens that a feature promotes most: what is true of its effect."""
    weights = found.subject.model.lm_head.weight @ torch.from_numpy(found.directions[feature])
    return "".join(found.corpus.strings[k] for k in weights.topk(2).indices.tolist())


def scored(found: Compiled, features: Sequence[int], texts: Sequence[str] = (), **settings: Any) -> list[Score]:
    told = texts or [effect(found, k) for k in features]
    pairs = [(Explanation(text), found.evidence(k)) for text, k in zip(told, features, strict=True)]
    scorer = Intervention(found.subject, counting, found.written_to(), **settings)
    return [score for (score,) in scorer.score(pairs)]


@pytest.mark.parametrize("basis", ["aligned", "rotated"])
def test_the_true_effect_is_told_from_its_controls(basis: Any) -> None:
    found = WORLD if basis == "aligned" else compiled(0, basis=basis, documents=300)
    scores = scored(found, range(0, 10, 2))
    for score in scores:
        assert (score.name, score.status, score.n) == ("intervention", "ok", 40)
        assert set(score.controls) == {"shuffled", "random direction", "another unit"}
        assert score.number.low is not None
        assert score.number.low > 0
    own = np.mean([score.number.value for score in scores])
    for control in ("shuffled", "random direction", "another unit"):
        values = [score.controls[control].value for score in scores]
        assert own - np.mean([v for v in values if v is not None]) > 0.3, control


def test_a_description_of_the_inputs_is_not_one_of_the_effect() -> None:
    (right,), (wrong,) = scored(WORLD, [2]), scored(WORLD, [2], ["c"])
    assert (right.number.value or 0) > (wrong.number.value or 0) + 0.3


def test_a_push_is_tuned_to_the_same_disturbance() -> None:
    scorer = Intervention(WORLD.subject, counting, target=0.5)
    for feature in (0, 5, 11, 13):
        evidence = WORLD.evidence(feature)
        site, index = evidence.unit.site, evidence.unit.index
        direction = torch.eye(WORLD.x.shape[1])[index]
        prompts = scorer.cut(evidence, "calibrate", 10)
        push = scorer.tuned(prompts, site, direction)
        assert push.strength is not None
        assert push.divergence == pytest.approx(0.5, rel=0.1)
        longer = scorer.tuned(prompts, site, direction / 50)
        assert longer.strength == pytest.approx(50 * push.strength, rel=0.15)


def test_prompts_end_with_the_first_token_where_the_unit_fires() -> None:
    scorer, evidence = Intervention(WORLD.subject, counting), WORLD.evidence(8)
    prompts = scorer.cut(evidence, "test", 15)
    a = WORLD.corpus.strings.index("A")
    for tokens in prompts.tokens:
        assert tokens[-2] == a  # the feature fires after an A
        assert (tokens[:-2] != a).all()
    assert len(prompts) == 15
    assert len(set(prompts.documents.tolist())) == 15
    assert (WORLD.corpus.split[prompts.documents] == 3).all()


def test_promoted_tokens_are_those_that_the_unit_writes() -> None:
    found = Intervention(WORLD.subject, counting).promoted(WORLD.evidence(4), 4)
    assert found[0][0] in effect(WORLD, 4)
    rises = [rise for _, rise in found]
    assert rises == sorted(rises, reverse=True)
    assert rises[0] > 0.05


def test_continuations_are_samples_of_the_model_and_do_not_depend_on_the_batch() -> None:
    draws = np.random.default_rng(0).random((3, 6))
    together = continued(WORLD.subject, PROMPTS, draws)
    for k in range(3):
        alone = Prompts(PROMPTS.tokens[k : k + 1], PROMPTS.documents[k : k + 1])
        assert np.array_equal(continued(WORLD.subject, alone, draws[k : k + 1])[0], together[k])
    assert np.array_equal(together, continued(WORLD.subject, PROMPTS, draws))
    many = Prompts(PROMPTS.tokens[:1] * 4000, np.zeros(4000, int))
    first = continued(WORLD.subject, many, np.random.default_rng(1).random((4000, 1)))[:, 0]
    ids = begun(WORLD.subject, [PROMPTS.tokens[0]])
    expected = logits(WORLD.subject, ids)[0, -1].softmax(-1).numpy()
    assert np.bincount(first, minlength=16) / 4000 == pytest.approx(expected, abs=0.03)


def test_scoring_leaves_the_global_random_state_alone() -> None:
    """Defect 23."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    scored(WORLD, [1], prompts=4)
    assert torch.equal(before, torch.get_rng_state())


def test_a_unit_that_cannot_be_pushed_or_never_fires_is_undefined() -> None:
    model = copy.deepcopy(WORLD.subject.model)
    model.lm_head.weight[:, WORLD.evidence(3).unit.index] = 0
    found = replace(WORLD, subject=replace(WORLD.subject, model=model))
    idle, busy = scored(found, [3, 4], ["x", effect(WORLD, 4)])
    assert idle.status == "undefined"
    assert "no strength from 0.001 to 10000 moves the next token by 0.5 nats" in (idle.number.reason or "")
    assert busy.controls["another unit"].value is None
    assert (busy.number.value or 0) > 0
    assert Intervention(found.subject, counting).promoted(WORLD.evidence(3)) == ()
    silent = Evidence(WORLD.evidence(0).unit, WORLD.corpus, np.zeros(0, int), np.zeros(0, np.float32))
    ((score,),) = Intervention(WORLD.subject, counting).score([(Explanation("x"), silent)])
    assert score.number.reason == "undefined: it fires in no new window of the split 'calibrate'"


def test_it_runs_on_a_transformer_of_transformers() -> None:
    """And refuses the text of another model."""
    model = hf_tiny.network("llama").eval().requires_grad_(False)
    subject = replace(WORLD.subject, name="llama", model=model, strings=WORLD.subject.strings)
    own = continued(subject, PROMPTS, np.random.default_rng(0).random((3, 4)))
    assert own.shape == (3, 4)
    scorer = Intervention(replace(subject, strings=("a",)), counting)
    with pytest.raises(ModelError, match="the text does not fit llama: 17 kinds of token"):
        scorer.score([(Explanation("x"), WORLD.evidence(0))])
