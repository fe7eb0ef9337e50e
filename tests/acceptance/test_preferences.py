"""Reward models on real preferences: counted words, frozen MiniLM with a head, and a small transformer, fine-tuned, on
all of hh-rlhf harmless (test part) and on best-of-n samples, beside majority and "the longer one".

Run with `make acceptance`; prints a table for docs/log.md. Needs the data folder and MiniLM. About ten minutes of one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.random import stream
from superalign.core.spec import Number
from superalign.core.types import Item
from superalign.learners.rl.comparisons import Comparisons, from_scores
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.reward import Reward, reward_model
from superalign.models.hf.llama2c import convert
from superalign.models.hf.load import minilm
from superalign.models.hf.policy import hf_policy
from superalign.tasks.preferences.pairs import pool
from tests.datafolder import data
from tests.real.test_rlhf import clustered, counted, harmless, held_out, items_of, longer, samples

Array = Any
FOLDS = 5


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["hh-rlhf", "best-of-n"])
def test_reward_models_on_real_preferences(name: str, tmp_path: Path) -> None:
    """Accuracy on held-out prompts, five folds, with intervals over prompts. Honest if weak: nothing is asserted of who wins."""
    items, key = items_of(pool(harmless(), "hh") if name == "hh-rlhf" else samples())
    vectors = minilm(choices=(), tokens=128).features([replace(i, prompt="") for i in items])
    found = {
        "majority (one side)": clustered(key == int(np.mean(key) > 0.5), items),
        "the longer one": longer(items, key),
        "words and pairs of words": held_out(counted(items), items, key, 0.01),
        "frozen MiniLM, a head": held_out((vectors[:, 0], vectors[:, 1]), items, key, 0.1),
        "story llama, fine-tuned": fine_tuned(items, key, tmp_path),
    }
    print(f"\n| {name}, {len(items):,} pairs | accuracy |\n|---|---|")
    for who, number in found.items():
        print(f"| {who} | {number.value:.3f} [{number.low:.3f}, {number.high:.3f}] |")
    assert all(number.value is not None and 0.3 < number.value < 0.9 for number in found.values())


def fine_tuned(items: Sequence[Item], key: Array, folder: Path) -> Number:
    """A reward model on the 260k-parameter story writer's body, two passes, the first 200 characters of each reply."""
    files = data("stories260k/tinystories_260k/checkpoint_legacy.bin").parent
    body = folder / "llama"
    convert(files / "checkpoint_legacy.bin", files / "tokenizer.bin", body)
    groups = sorted({i.info["group"] for i in items})
    fold = dict(zip(groups, stream(0, "folds").permutation(len(groups)) % FOLDS, strict=True))
    mine, right = np.array([fold[i.info["group"]] for i in items]), np.zeros(len(items))
    for k in range(FOLDS):
        train = taken([items[j] for j in np.flatnonzero(mine != k)], key[mine != k])
        asked = taken([items[j] for j in np.flatnonzero(mine == k)], key[mine == k])
        options = Reward(epochs=2, lr=2e-3, batch=16, normalise="off")
        model = reward_model(hf_policy(str(body)), train, options, Watching(seed=k))
        scores = np.asarray(model.scores(asked.asked, asked.answered)).reshape(-1, 2)
        right[mine == k] = scores.argmax(1) == key[mine == k]
    return clustered(right, items)


def taken(items: Sequence[Item], key: Array) -> Comparisons:
    """Pairs in their order, the preferred one with the higher score."""
    texts = [[reply[:200] or "-" for reply in i.choices] for i in items]
    scores = [float(side == right) for right in key for side in (0, 1)]
    return from_scores(scores, [""] * len(items), texts)
