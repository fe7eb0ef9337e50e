"""Runs that are watched: events, checkpoints, going on to the same numbers, streams that do not disturb each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import ModelError, SpecError
from superalign.learners.rl.grpo import GRPO, grpo
from superalign.learners.rl.ppo import PPO, Value, ppo
from superalign.learners.rl.progress import Watching, named, under
from superalign.learners.rl.rollouts import collect
from superalign.models.policy import Policy, Sampling
from superalign.store import open_store
from superalign.store.sql import SqlStore
from tests.learners.rl.small import PROMPTS, TINY, failing, gpt, likes_c, same

OPTIONS = PPO(**TINY, iterations=5, epochs=1, average=0.9, kl_target=1.0, kl_horizon=500, schedule="cosine")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with open_store(tmp_path / "runs.db") as opened:
        yield opened


def run(watching: Watching, overseer: Any = likes_c, options: PPO = OPTIONS) -> Policy:
    policy = gpt()
    return ppo(policy, policy, PROMPTS, overseer, options, watching, value=Value.from_zero(policy))


def test_events_reach_the_listener_and_the_store(store: SqlStore) -> None:
    heard: list[Mapping[str, Any]] = []
    steps: list[tuple[str, int, int]] = []
    watching = Watching(3, store, "a run", listen=heard.append, progress=lambda *done: steps.append(done))
    watching.emit(
        "alarm", 2, value=float("nan"), many=torch.tensor([1.0, torch.inf]), name="x", kept={"n": np.int64(3)}
    )
    assert heard == [
        {"kind": "alarm", "iteration": 2, "value": None, "many": [1.0, None], "name": "x", "kept": {"n": 3}}
    ]
    run(watching, options=PPO(**TINY, iterations=2))
    assert [dict(e.body) for e in store.read("a run")] == watching.events
    assert steps == [("iterations", 1, 2), ("iterations", 2, 2)]


def test_what_an_iteration_tells() -> None:
    watching = Watching()
    run(watching)
    first, *_, last = watching.history()
    wanted = """score kl reward beta lr entropy length ended empty abstained loss policy_loss value_loss update_entropy
    approx_kl clip_fraction ratio_mean ratio_variance gradient explained_variance samples"""
    assert set(wanted.split()) <= set(first)
    assert all(np.isfinite(v) for v in last.values() if isinstance(v, float))
    assert first["kl"] == 0
    assert first["beta"] == 0.1
    assert first["entropy"] == pytest.approx(np.log(12), abs=0.02)  # a fresh policy is nearly uniform over 12 words
    assert [len(s) for s in first["samples"]] == [3, 3]
    assert [e["iteration"] for e in watching.history()] == list(range(5))


class Stop(Exception):
    pass


def test_an_interrupted_run_goes_on_to_the_same_numbers(store: SqlStore) -> None:
    whole = Watching(1, store, "whole", every=2)
    expected = run(whole)

    def stop_in_the_fourth(event: Mapping[str, Any]) -> None:
        if event["kind"] == "iteration" and event["iteration"] == 3:
            raise Stop

    with pytest.raises(Stop):
        run(Watching(1, store, "parts", every=2, listen=stop_in_the_fourth))
    resumed = Watching(1, store, "parts", every=2)
    assert same(run(resumed), expected)
    assert resumed.history() == whole.history()
    assert [e["iteration"] for e in resumed.events if e["kind"] == "iteration"] == [0, 1, 2, 3, 2, 3, 4]
    finished = Watching(1, store, "parts", every=2)
    assert same(run(finished, failing(lambda k: True, lambda items: 1 / 0)), expected)  # nothing is left to do
    assert finished.history() == whole.history()


def test_an_overseer_that_fails_midway_costs_nothing(store: SqlStore) -> None:
    broken = failing(lambda k: k == 3, lambda items: [][0])
    with pytest.raises(
        ModelError,
        match=r"failed in iteration 4 of 5: IndexError.*kept as one/checkpoint/3/[0-9a-f]+; make the same call again",
    ):
        run(Watching(1, store, "one"), broken)
    assert same(run(Watching(1, store, "one")), run(Watching(1)))
    with pytest.raises(ModelError, match="nothing is kept; give Watching a store"):
        run(Watching(1), failing(lambda k: k == 3, lambda items: [][0]))


def test_a_damaged_checkpoint_is_passed_over(store: SqlStore) -> None:
    expected = run(Watching(1, store, "r", every=2))
    watching = Watching(1, store, "r", every=2)
    watching.emit("checkpoint", 6, key="r/checkpoint/lost")
    assert same(run(watching), expected)


def test_other_options_need_another_name(store: SqlStore) -> None:
    run(Watching(1, store, "r"), options=PPO(**TINY, iterations=1))
    with pytest.raises(SpecError, match="the run 'r' was started with other options"):
        run(Watching(1, store, "r"), options=PPO(**TINY, iterations=2))
    with pytest.raises(SpecError, match="give this run another name"):
        run(Watching(2, store, "r"), options=PPO(**TINY, iterations=1))


@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_evaluating_more_often_changes_no_weight(method: str) -> None:
    """One extra draw for an evaluation once moved a run's peak gold from 1.48 to 1.15."""
    found, looks = [], []
    for each in (1, 3, 0):
        watching = Watching(5, each=each or 1)

        def evaluate(policy: Policy, iteration: int, watching: Watching = watching) -> dict[str, float]:
            draws = watching.generator("evaluation", iteration)
            batch = collect(policy, policy, PROMPTS[:4], likes_c, Sampling(8), draws)
            torch.rand(iteration + 1)
            return {"gold": float(batch.scores.mean())}

        watching.evaluate = evaluate if each else None
        policy = gpt()
        if method == "ppo":
            found.append(ppo(policy, policy, PROMPTS, likes_c, PPO(**TINY, iterations=4, epochs=1), watching))
        else:
            found.append(grpo(policy, policy, PROMPTS, likes_c, GRPO(**TINY, iterations=4), watching))
        looks.append([e["iteration"] for e in watching.history("evaluation")])
    assert looks == [[0, 1, 2, 3, 4], [0, 3, 4], []]
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_states_by_name() -> None:
    assert under("a/", named("a/", {"b": 1}) | {"c": 2}) == {"b": 1}


def test_streams_differ_by_purpose_iteration_and_seed() -> None:
    one, two = Watching(1), Watching(2)
    streams = [
        one.generator("rollout", 0),
        one.generator("rollout", 1),
        one.generator("data", 0),
        two.generator("rollout", 0),
    ]
    draws = [torch.rand(4, generator=g).tolist() for g in streams]
    assert len({tuple(d) for d in draws}) == 4
    assert torch.rand(4, generator=one.generator("rollout", 0)).tolist() == draws[0]
