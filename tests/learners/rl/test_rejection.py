"""Rejection sampling: rounds that please more, rounds that are kept, rounds that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.core.errors import Degenerate, SpecError
from superalign.learners.rl import overseers
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rejection import Rejection, rejection
from superalign.learners.rl.sft import SFT
from superalign.models.policy import Policy
from superalign.store import open_store
from tests.learners.rl.small import PROMPTS, failing, gpt, likes_c, same

OPTIONS = Rejection(rounds=3, n=6, tokens=6, least=6, tuning=SFT(lr=1e-2, steps=10, batch=32))


def test_each_round_pleases_more() -> None:
    heard: list[int] = []

    def evaluate(policy: Policy, k: int) -> dict[str, int]:
        heard.append(k)
        return {}

    watching = Watching(evaluate=evaluate, each=1)
    rejection(gpt(), PROMPTS, likes_c, OPTIONS, watching)
    scores = [e["best"] for e in watching.history()]
    assert scores[0] + 0.3 < scores[1] < scores[2]
    assert heard == [0, 1, 2, 3]


def test_it_goes_on_after_a_failure_with_the_same_weights(tmp_path: Path) -> None:
    straight = rejection(gpt(), PROMPTS, likes_c, OPTIONS, Watching(1))

    def broken(items: object) -> list[object]:
        raise ConnectionError("gone")

    with open_store(tmp_path / "runs.db") as store:
        with pytest.raises(ConnectionError):
            rejection(gpt(), PROMPTS, failing(lambda k: k == 2, broken), OPTIONS, Watching(1, store, every=5))  # type: ignore[arg-type]
        again = Watching(1, store, every=5)
        assert same(rejection(gpt(), PROMPTS, likes_c, OPTIONS, again), straight)
        assert [e["iteration"] for e in again.history()] == [0, 1, 2]
        with pytest.raises(SpecError, match="was started with other options"):
            rejection(gpt(), PROMPTS[:5], likes_c, OPTIONS, Watching(1, store))


def test_a_round_that_diverges_ends_it() -> None:
    watching = Watching()
    options = Rejection(rounds=3, n=2, tokens=6, tuning=SFT(lr=1e30, steps=5))
    rejection(gpt(), PROMPTS, likes_c, options, watching)
    assert watching.stopped is not None
    assert watching.stopped.startswith("round 0: step 1 has the loss nan")
    assert len(watching.history()) == 1


def test_nothing_scored_and_options_that_do_not_fit() -> None:
    mute = overseers.program(lambda prompts, texts: [None] * len(texts))
    with pytest.raises(Degenerate, match="scored none of"):
        rejection(gpt(), PROMPTS, mute, OPTIONS)
    with pytest.raises(SpecError, match="rounds=0 must be 1 or more and n=8 2 or more"):
        Rejection(rounds=0)
