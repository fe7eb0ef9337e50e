"""Campaigns end to end, on a toy: what is found, what is killed, what is asked twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import ModelError, SpecError
from superalign.core.ports import Store
from superalign.core.spec import Record
from superalign.research.ledger import Ledger, verify
from superalign.research.scorer.client import Scorer
from superalign.research.scorer.secret import key_of
from superalign.research.values import PreRegistration, typed
from superalign.store import beside, open_store
from superalign.studies.research import Research, prepare
from tests.contract.test_store import InMemory

TOY = f"{Path(__file__).parent / 'toy.py'}:toy"


def spec(**given: Any) -> Research:
    values = {"testbed": TOY, "budget": "80", "fidelity": 4, "problems": 12, "pairs": 4, "sesoi": 0.05, **given}
    return Research(proposer=values.pop("proposer", "halving:width=12:fidelity=4"), **values)


def run(asked: Research, store: Store) -> Record:
    """In this process alone, and the scorer's."""
    return replace(prepare(asked, store), workers=1).run()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished campaign: its store's file, its spec and its record."""
    file = tmp_path_factory.mktemp("campaign") / "s.sqlite"
    with open_store(file) as store:
        return file, spec(), run(spec(), store)


def test_a_real_improvement_is_confirmed_and_an_equal_is_not(done: Any) -> None:
    """`plain` tuned is as good as anything; `stuck` cannot be tuned; so the honest word on the whole is not `improves`."""
    _, _, record = done
    published, tuned = record.condition("published"), record.condition("tuned")
    assert published.labels["verdict"] == "improves"
    assert published.numbers["effect"].value > 0.3
    assert published.labels["qualifiers"] == "exploratory"
    assert tuned.labels["decided_by"] == "plain"
    assert tuned.labels["verdict"] == "no evidence"
    words = {row[0]: row[2] for row in record.tables["comparisons"].rows if row[1] == "tuned"}
    assert words == {"plain": "no evidence", "stuck": "improves"}


def test_failures_are_kept(done: Any) -> None:
    _, _, record = done
    assert record.failures["failed"] > 0
    assert any(row[1] == "failed" for row in record.tables["tried"].rows)


def test_the_ledger_is_intact_and_whole(done: Any) -> None:
    file, asked, _ = done
    with open_store(file) as store:
        found = verify(store, asked.campaign, key_of(beside(store, "research"), asked.campaign))
        assert found.intact
        assert found.signatures >= 6
        kinds = Counter(e.type for e in Ledger(store, asked.campaign).entries())
        assert kinds["genesis"] == 1
        assert kinds["prereg"] == kinds["confirm"] == kinds["verdict"] == 2
        assert kinds["propose"] == kinds["run_end"]
        assert kinds["care"] == 2
        said = json.dumps([dict(e.payload) for e in Ledger(store, asked.campaign).of("score")])
        assert "correct" not in said


def test_a_second_run_changes_nothing(done: Any) -> None:
    file, asked, record = done
    with open_store(file) as store:
        head = Ledger(store, asked.campaign).head
        again = run(asked, store)
        assert Ledger(store, asked.campaign).head == head
        assert again.conditions == record.conditions


def test_baselines_get_as_much_care_as_the_search(done: Any) -> None:
    _, _, record = done
    for row in record.tables["care"].rows:
        baseline, _, _, spent, budget, grid = row[:6]
        assert spent >= budget or spent == grid * 4, baseline


def registration(store: Store, name: str) -> str:
    claim = PreRegistration(
        claim="skill 3 improves on skill 1", method=typed({"skill": 3, "trick": "off", "idle": 0}),
        baselines={"plain": typed({"skill": 1, "trick": "off", "idle": 0})}, families=("a", "b", "c"), tasks=3,
        sesoi=0.05, power=0.9,
    )  # fmt: skip
    Ledger(store, name).write("prereg", "campaign", {"registration": claim.id, **claim.model_dump(mode="json")})
    return claim.id


def genesis(name: str) -> dict[str, Any]:
    return {"campaign": name, "testbed": TOY, "public": ["a/0", "b/0"], "submissions": 4}


def test_the_scorer_confirms_once(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        with Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")) as scorer:
            with pytest.raises(ModelError, match="'r0' is not pre-registered"):
                scorer.ask("confirm", registration="r0")
            which = registration(store, "c1")
            first = scorer.ask("confirm", registration=which)
            assert scorer.ask("confirm", registration=which) == first
            assert first["status"] == "ok"
            words = scorer.ask("judge")["entries"]
            assert scorer.ask("judge")["entries"] == words
        assert len(Ledger(store, "c1").of("confirm")) == 1
        assert Ledger(store, "c1").of("verdict")[0].payload["word"] == "improves"


def test_a_registration_that_was_changed_is_refused(tmp_path: Path) -> None:
    with (
        open_store(tmp_path / "s.sqlite") as store,
        Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")) as scorer,
    ):
        registration(store, "c1")
        entry = dict(Ledger(store, "c1").of("prereg")[0].payload)
        Ledger(store, "c1").write("prereg", "x", {**entry, "registration": "other", "alpha": 0.4})
        with pytest.raises(ModelError, match="is not what its id says"):
            scorer.ask("confirm", registration="other")


def test_predictions_are_validated_and_submissions_run_out(tmp_path: Path) -> None:
    with (
        open_store(tmp_path / "s.sqlite") as store,
        Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")) as scorer,
    ):
        assert scorer.ask("validate", dataset="a/0", predictions=[1, 0]) == {
                "valid": False, "reason": "predictions have shape (2,); the problem has 400 test items",
            }  # fmt: skip
        assert scorer.ask("validate", dataset="a/0", predictions=[1] * 400)["valid"]
        assert scorer.ask("status")["left"] == 4
        with pytest.raises(ModelError, match="no public problem is called 'a/1'"):
            scorer.ask("submit", dataset="a/1", predictions=[1] * 400)
        for k in range(4):
            told = scorer.ask("submit", dataset="a/0", predictions=[k % 2] * 400)
            assert set(told) == {"improved", "best", "left", "entry", "pgr_of_best"}
            assert not told["improved"]
        with pytest.raises(ModelError, match="all 4 submissions of this campaign are used"):
            scorer.ask("submit", dataset="b/0", predictions=[1] * 400)


def test_alarms_are_written_down_once(tmp_path: Path) -> None:
    """A naive attacker who flips one answer at a time, after the public board's own pattern."""
    with open_store(tmp_path / "s.sqlite") as store:
        asked = {**genesis("c1"), "submissions": 40}
        with Scorer(store.url, "c1", tmp_path / "keys", asked) as scorer:
            given = [k % 2 for k in range(400)]
            for k in range(14):
                given[k] = 1 - given[k]
                scorer.ask("submit", dataset="a/0", predictions=given)
            for _ in range(12):
                scorer.ask("validate", dataset="a/0", predictions=[0.5])
        ledger = Ledger(store, "c1")
        assert sorted(e.payload["which"] for e in ledger.of("alarm")) == ["flips", "rejected"]
        assert all(e.signature for e in ledger.of("alarm"))
        assert len(ledger.of("refuse")) == 12


def test_a_scorer_that_cannot_start_says_why(tmp_path: Path) -> None:
    said = "the scorer did not start: PluginError: no testbed is named 'w2s-macro'"
    with open_store(tmp_path / "s.sqlite") as store, pytest.raises(ModelError, match=said):
        Scorer(store.url, "c1", tmp_path / "keys", {**genesis("c1"), "testbed": "w2s-macro"})


def test_a_killed_scorer_loses_nothing_and_confirms_once(tmp_path: Path) -> None:
    """Killed while it confirms: the next one confirms on the same seeds, with the same numbers, and once."""
    with open_store(tmp_path / "s.sqlite") as store:
        with Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")) as scorer:
            which = registration(store, "c1")
            os.kill(scorer.pid, signal.SIGKILL)
            with pytest.raises(ModelError, match="the scorer went away during 'confirm'"):
                scorer.ask("confirm", registration=which)
        with Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")) as scorer:
            scorer.ask("confirm", registration=which)
        with open_store(tmp_path / "other.sqlite") as other:
            (tmp_path / "twin" / "c1").mkdir(parents=True)
            (tmp_path / "twin" / "c1" / "key").touch(0o600)
            (tmp_path / "twin" / "c1" / "key").write_text((tmp_path / "keys" / "c1" / "key").read_text())
            with Scorer(other.url, "c1", tmp_path / "twin", genesis("c1")) as scorer:
                assert registration(other, "c1") == which
                scorer.ask("confirm", registration=which)
            twin = Ledger(other, "c1").of("confirm")
        mine = Ledger(store, "c1").of("confirm")
        assert len(mine) == len(twin) == 1
        assert mine[0].payload["arms"] == twin[0].payload["arms"]


RUN = """
import sys
from superalign.store import open_store
from dataclasses import replace
from superalign.studies.research import Research, prepare
with open_store(sys.argv[1]) as store:
    replace(prepare(Research.model_validate_json(sys.argv[2]), store), workers=1).run()
"""


@pytest.mark.parametrize("entries", [3, 31])
def test_a_killed_campaign_goes_on_to_the_same_end(tmp_path: Path, done: Any, entries: int) -> None:
    _, asked, _ = done
    file = tmp_path / "s.sqlite"
    script = tmp_path / "run.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), str(file), asked.model_dump_json()]
    process = subprocess.Popen(command, start_new_session=True)
    with open_store(file) as store:
        ledger = Ledger(store, asked.campaign)
        deadline = time.monotonic() + 60
        while len(ledger.entries()) < entries and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.wait()
        record = run(asked, store)
        kinds = Counter(e.type for e in ledger.entries())
        assert kinds["prereg"] == kinds["confirm"] == kinds["verdict"] == 2
        assert kinds["propose"] == kinds["run_end"]
        assert verify(store, asked.campaign, key_of(beside(store, "research"), asked.campaign)).intact
        assert record.condition("tuned").labels["decided_by"] == "plain"


def test_budgets_are_spelled() -> None:
    assert spec(budget="10m").seconds == 600
    assert spec(budget="1.5h").seconds == 5400
    assert spec(budget="40s").evaluations is None
    assert spec(budget="600").evaluations == 600
    with pytest.raises(ValueError, match="a budget is a time such as 40s, 10m or 2h, or a number of evaluations"):
        spec(budget="ten minutes")


def test_a_campaign_needs_a_store_that_others_can_open() -> None:
    with pytest.raises(SpecError, match="a campaign needs a store that other processes can open"):
        prepare(spec(), InMemory({}))
