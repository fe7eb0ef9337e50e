"""The study end to end, small: stages shared and kept, stops survived, records that say what they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core import records
from superalign.core.errors import ModelError, SpecError, TaskError
from superalign.core.ports import Store
from superalign.core.spec import Record
from superalign.core.steps import decode
from superalign.core.study import read_spec
from superalign.report.markdown import markdown
from superalign.report.page import html
from superalign.report.toml import toml
from superalign.store import open_store
from superalign.studies.rlhf import prepare, rlhf
from superalign.studies.rlhf.ground import demonstrations_in, prompts_in
from superalign.studies.rlhf.trials import Trial
from tests.studies.rlhf.tiny import SETTINGS, spec

ALL = ["ppo", "grpo", "rloo", "dpo", "rejection", "best-of-n"]
REWARD = """
def reward(prompts, completions, word="good"):
    return [float(c.split().count(word)) for c in completions]

def broken(prompts, completions):
    raise RuntimeError("the line is dead")

def silent(prompts, completions):
    return [None for c in completions]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rlhf")
    (made / "mine.py").write_text(REWARD, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    with open_store(str(folder / "s.sqlite")) as opened:
        yield opened


@pytest.fixture(scope="module")
def record(store: Store) -> Record:
    return rlhf(spec(algorithms=ALL, seeds=[0, 1]), store)


def numbers(record: Record) -> dict[str, dict[str, float | None]]:
    left_out = ("seconds", "cpu_seconds")
    return {c.name: {k: n.value for k, n in c.numbers.items() if k not in left_out} for c in record.conditions}


def test_every_arm_has_its_numbers_with_their_doubt(record: Record) -> None:
    assert [c.name for c in record.conditions] == ["sft", *ALL]
    shared = {"gold", "gold_peak", "gold_at_peak_fresh", "proxy", "kl", "win_rate", "length", "repetition",
              "rm_accuracy", "label_accuracy", "seconds"}  # fmt: skip
    for condition in record.conditions[1:]:
        assert shared <= set(condition.numbers), condition.name
        gold = condition.numbers["gold"]
        assert gold.seeds == 2
        assert gold.low is not None
        assert gold.high is not None
        assert gold.value is not None
        assert gold.low < gold.value < gold.high
        win = condition.numbers["win_rate"].value
        assert win is not None
        assert 0 <= win <= 1
    assert "explained_variance" in record.condition("ppo").numbers
    assert "explained_variance" not in record.condition("grpo").numbers
    n = SETTINGS["best-of-n.n"]
    assert record.condition("best-of-n").numbers["kl"].value == pytest.approx(math.log(n) - (n - 1) / n)
    start = record.condition("sft").numbers
    assert start["gold"].value == pytest.approx(0, abs=0.8)  # another sample of the same policy
    assert record.condition("ppo").labels["rm"] == "8"


def test_the_record_reads(record: Record) -> None:
    one = record.model_copy(update={"charts": {k: v for k, v in record.charts.items() if k == "frontier ppo"}})
    page, text = html(one), markdown(one)
    for name in ("Gates", "Laws of over-optimisation", "Samples side by side"):
        assert name in page
        assert name in text
    assert "frontier ppo" in record.charts
    assert {"gold over training, ppo, grpo, rloo", "gold over training, dpo"} <= set(record.charts)
    assert "explained_variance over training, ppo, grpo, rloo" in record.charts
    assert len(record.tables["gates"].rows) == 8
    assert {row[2] for row in record.tables["gates"].rows if row[0] in ("G1", "G5")} == {"not run"}
    assert "biased upwards" in " ".join(record.notes)
    assert json.loads(json.dumps(record.summary()))["study"] == "rlhf"
    assert {a.door for a in record.audit} == {"truth", "score"}


def test_what_the_store_holds_is_not_computed_again(record: Record, store: Store) -> None:
    sweep = prepare(spec(algorithms=ALL, seeds=[0, 1]), store)
    plan = sweep.plan()
    assert all(step.known for step in plan.steps)
    assert len({step.key for step in plan.steps}) == len(plan.steps) == 2 * (5 + len(ALL))
    assert plan.remarks[0].startswith(f"All {len(plan.steps)} steps are in the store")
    again = sweep.run()
    assert all(done.cached for done in sweep.steps.done)
    assert numbers(again) == numbers(record)
    assert records.load(store, record.id).id == record.id
    more = prepare(spec(algorithms=ALL, seeds=[0, 1], beta=0.5), store).plan()
    assert {s.name.partition(" (")[0] for s in more.steps if not s.known} == {"ppo", "grpo", "rloo"}


def test_stages_are_shared_and_seeds_differ(record: Record) -> None:
    keys = list(record.artifacts.values())
    assert len(set(keys)) == len(keys) == 2 * len(ALL)
    with pytest.raises(SpecError, match="did you mean"):
        record.condition("pppo")


class Stop(Exception):
    """Somebody pulls the plug."""


class Unplugged:
    """A store that fails after so many checkpoints were kept."""

    def __init__(self, store: Store, after: int) -> None:
        self.store, self.left = store, after

    def append(self, stream: str, events: Any, expect: str | None = None) -> str:
        if any(e.get("kind") == "checkpoint" for e in events):
            self.left -= 1
        head = self.store.append(stream, events, expect)
        if self.left == 0:
            raise Stop
        return head

    def read(self, stream: str, after: int = 0) -> Any:
        return self.store.read(stream, after)

    def put(self, key: str, data: bytes, meta: Mapping[str, Any] | None = None) -> str:
        return self.store.put(key, data, meta)

    def get(self, key: str) -> Any:
        return self.store.get(key)


@pytest.mark.parametrize("algorithm", ["ppo", "dpo"])
def test_an_arm_that_is_stopped_goes_on_and_comes_to_the_same(
    algorithm: str, record: Record, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("superalign.studies.rlhf.trials.KEEP", 2)
    with open_store(str(tmp_path / "s.sqlite")) as opened:
        with pytest.raises(Stop):
            rlhf(spec(algorithms=[algorithm]), Unplugged(opened, 1))  # type: ignore[arg-type]
        sweep = prepare(spec(algorithms=[algorithm]), opened)
        assert [s.name for s in sweep.plan().steps if not s.known] == [f"{algorithm} (seed 0)"]
        stage = Trial(sweep.arms[0], sweep.labs[0]).stage()
        resumed = stage.run(sweep.steps)
    assert stage.key(sweep.steps) == record.artifacts[f"{algorithm}/seed 0"]
    artifact = store.get(stage.key(sweep.steps))
    assert artifact is not None
    whole = decode(artifact.data)
    assert whole.keys() == resumed.keys()
    for name in whole.keys() - {"seconds", "cpu"}:
        assert np.array_equal(whole[name], resumed[name]), name


def test_overseers_are_compared_in_one_record() -> None:
    overseers = ["gold", "gold:noise=.4", "weak:n=4:width=8", "judge:protocol=debate:rounds=1"]
    found = rlhf(spec(algorithms=["best-of-n"], overseers=overseers))
    assert [c.name for c in found.conditions[1:]] == [f"best-of-n@overseer={o}" for o in overseers]
    right = [found.condition(f"best-of-n@overseer={o}").numbers["label_accuracy"].value for o in overseers]
    assert right[0] is not None
    assert right[1] is not None
    assert right[0] > right[1]
    assert "best-of-n by overseer: gold: labels" in " ".join(found.notes)


def test_an_overseer_may_be_the_reward_itself() -> None:
    found = rlhf(spec(algorithms=["best-of-n"], overseers=["gold", "weak:n=4"], reward="overseer"))
    direct = found.condition("best-of-n@overseer=gold").numbers
    assert direct["proxy"].value == pytest.approx(direct["gold"].value)
    assert "rm_accuracy" not in direct
    judged = rlhf(spec(overseers=["judge:protocol=debate:rounds=1"], reward="overseer"))
    assert {"win_rate", "proxy", "kl"} <= judged.condition("ppo").numbers.keys()


def test_settings_reach_the_algorithm_and_the_world_keeps_its_length() -> None:
    sweep = prepare(spec(algorithms=["ppo", "dpo"], beta=0.3, ptx=2.0, settings={**SETTINGS, "ppo.lam": 0.5}))
    ppo, dpo = (Trial(arm, sweep.labs[0]).options() for arm in sweep.arms)
    assert (ppo.beta, ppo.pretrain, ppo.lam, ppo.tokens, ppo.least) == (0.3, 2.0, 0.5, 16, 16)
    assert dpo.eos is False


def test_a_degenerate_overseer_is_reported_and_the_rest_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = rlhf(spec(algorithms=["dpo", "best-of-n"], overseers=["./mine.py:silent", "gold"]))
    lost = found.condition("dpo@overseer=./mine.py:silent").numbers["gold"]
    assert lost.value is None
    assert lost.reason is not None
    assert "./mine.py:silent abstained on all 32 samples of the start model" in lost.reason
    assert found.condition("dpo@overseer=gold").numbers["gold"].value is not None
    assert found.failures


def test_an_overseer_that_fails_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(
        ModelError, match=r"mine.py:broken failed on 32 responses: RuntimeError: the line is dead; mend it"
    ):
        rlhf(spec(algorithms=["grpo"], overseers=["./mine.py:broken"], reward="overseer"))


@pytest.mark.parametrize(
    "values, words",
    [
        ({"world": "sentiment"}, "no world is named 'sentiment'"),
        ({"overseers": ["golden"]}, "did you mean 'gold'"),
        ({"settings": {"ppo.rl": 1.0}}, "ppo has no option 'rl'"),
    ],
)
def test_what_cannot_be_prepared(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        prepare(spec(**values))


def test_a_spec_survives_toml(folder: Path, record: Record) -> None:
    (folder / "s.toml").write_text(toml(record.spec), encoding="utf-8")
    assert read_spec(folder / "s.toml").digest == record.spec_hash


def test_files_of_prompts_and_demonstrations(tmp_path: Path) -> None:
    lines = tmp_path / "p.txt"
    lines.write_text("\n".join(f"say {k}" for k in range(6)) + "\nsay 5\n\n", encoding="utf-8")
    assert prompts_in(str(lines)) == [f"say {k}" for k in range(6)]  # each once
    rows = tmp_path / "d.jsonl"
    rows.write_text(
        "\n".join(json.dumps({"prompt": f"p{k}", "completion": f"c{k}"}) for k in range(5)), encoding="utf-8"
    )
    assert prompts_in(str(rows))[0] == "p0"
    assert demonstrations_in(str(rows))[4] == ("p4", "c4")
    few = tmp_path / "few.txt"
    few.write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(TaskError, match="holds 2 prompts; 5 or more are needed"):
        prompts_in(str(few))
    other = tmp_path / "o.csv"
    other.write_text("promt,b\n" + "x,y\n" * 6, encoding="utf-8")
    with pytest.raises(TaskError, match="has no column 'prompt'; did you mean 'promt'"):
        prompts_in(str(other))
    half = tmp_path / "half.csv"
    half.write_text("prompt,b\n" + "x,y\n" * 6, encoding="utf-8")
    with pytest.raises(TaskError, match="has no column 'completion'"):
        demonstrations_in(str(half))
