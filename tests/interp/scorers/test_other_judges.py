"""Intruder, embedding and surprisal; and that each prompt names its own task."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Reply
from superalign.interp.scorers.detection import Detection
from superalign.interp.scorers.embedding import Embedding, embedded
from superalign.interp.scorers.fuzzing import Fuzzing
from superalign.interp.scorers.intruder import Intruder, trials
from superalign.interp.scorers.judged import Sampling
from superalign.interp.scorers.surprisal import Surprisal
from superalign.interp.units import Explanation
from superalign.models.scripted import Scripted
from tests.interp.spoken import WORDS, certain, corpus, evidence, named

SMALL = Sampling(bins=5, each=4, silent=30)
CATS = Explanation("the word cat")
Array = np.ndarray


def odd_one(ask: Ask) -> Reply:
    """The letter of the first text without a cat."""
    return Reply("ABCDE"[next(k for k, text in enumerate(ask.choices) if " cat" not in text)])


def test_the_text_without_the_units_word_is_the_intruder() -> None:
    found = Intruder(Scripted("judge", odd_one)).score([(CATS, evidence())])[0][0]
    assert (found.number.value, found.n, found.controls["chance"].value) == (1.0, 20, 0.2)
    assert found.number.low is not None
    assert found.number.low < 1


def test_a_judge_that_always_says_a_finds_one_in_q() -> None:
    score = Intruder(Scripted("judge", lambda ask: Reply("A")), trials=200)
    values = [row[0].number.value for row in score.score([(CATS, evidence(t, index=t)) for t in range(8)])]
    assert np.mean(values) == pytest.approx(0.2, abs=0.04)


def test_trials_have_one_silent_window_and_no_intruder_twice() -> None:
    e = evidence()
    made = trials(e, 5, 30)
    intruders = [int(t.windows.index[t.place]) for t in made]
    assert len(set(intruders)) == len(made) == 30
    for trial in made:
        active = e.maxima[trial.windows.index] > 0
        assert np.flatnonzero(~active).tolist() == [trial.place]
        assert (corpus().window_split[trial.windows.index] == 3).all()


def test_intruder_without_answers_or_windows_is_undefined() -> None:
    dead = Intruder(Scripted("dead", lambda ask: Reply(failure="down"))).score(
        [(CATS, evidence()), (CATS, evidence(every=True))]
    )
    assert [row[0].status for row in dead] == ["undefined", "undefined"]
    assert (dead[0][0].failed, dead[1][0].failed) == (20, 0)
    with pytest.raises(SpecError, match="among 2 texts"):
        Intruder(Scripted("judge", odd_one), among=2)


def bag(texts: Sequence[str]) -> Array:
    """Counts of words, square-rooted."""
    words = [w.strip() for w in WORDS if w.strip().isalpha()]
    return np.sqrt([[1e-6 + text.split().count(w) for w in words] for text in texts])


def test_embedding_ranks_windows_by_nearness_to_the_explanation() -> None:
    asked: list[Sequence[str]] = []

    def embed(texts: Sequence[str]) -> Array:
        asked.append(texts)
        return bag(texts)

    right, wrong = Embedding(embed, sampling=SMALL).score(
        [(Explanation("cat"), evidence()), (Explanation("girl"), evidence())]
    )
    assert named(right)["embedding:auc"].number.value > 0.95
    assert abs(named(wrong)["embedding:auc"].number.value - 0.5) < 0.25
    assert set(named(right)) == {"embedding:auc", "embedding:auprc"}
    assert len(asked) == 1
    assert len(set(asked[0])) == len(asked[0])
    assert named(right)["embedding:auc"].controls["yes to all"].value == 0.5


def test_surprisal_is_what_the_explanation_explains() -> None:
    def likelihoods(pairs: Sequence[tuple[str, str]]) -> Array:
        """Words that were spoken of before cost 1 nat, others 3."""
        assert len(set(pairs)) == len(pairs)
        return np.array([-sum(1.0 if w in before.split() else 3.0 for w in text.split()) for before, text in pairs])

    right, wrong = Surprisal(likelihoods, sampling=SMALL).score(
        [(Explanation("cat"), evidence()), (Explanation("girl"), evidence())]
    )
    assert named(right)["surprisal:auc"].number.value == 1.0
    assert abs(named(wrong)["surprisal:auc"].number.value - 0.5) < 0.25
    assert Surprisal(likelihoods).score([]) == []


def test_a_models_features_are_kept_by_text() -> None:
    """Named by number, the texts of a second call would get the vectors of the first."""

    class Kept:
        """Keeps rows by the item's id, as the models here do."""

        def __init__(self) -> None:
            self.rows: dict[str, Array] = {}

        def features(self, items: Sequence[Item]) -> Array:
            for item in items:
                self.rows.setdefault(item.id, bag([item.prompt])[0])
            return np.stack([self.rows[item.id] for item in items])

    embed = embedded(Kept())  # type: ignore[arg-type]
    assert (embed(["cat", "dog"]) == embed(["dog", "cat"])[::-1]).all()
    assert (embed(["dog"]) == bag(["dog"])).all()


def test_embedding_of_a_dense_unit_is_undefined() -> None:
    found = Embedding(bag).score([(CATS, evidence(every=True))])[0]
    assert (found[0].name, found[0].status) == ("embedding:auc", "undefined")


def test_each_prompt_names_its_own_task() -> None:
    """Public code asks detection about mislabelled tokens, in words copied from fuzzing."""
    said: dict[str, str] = {}

    def note(name: str):
        def reply(ask: Ask) -> Reply:
            said[name] = "\n".join(m.content for m in ask.messages)
            return Reply("A") if name == "intruder" else certain(True)

        return Scripted(name, reply)

    for scorer in (Detection(note("detection")), Fuzzing(note("fuzzing")), Intruder(note("intruder"))):
        scorer.score([(CATS, evidence())])
    assert not re.search(r"\bmark|label", said["detection"] + said["intruder"])
    assert "marked" in said["fuzzing"]
    assert "odd one" in said["intruder"]
    assert "the word cat" not in said["intruder"]
    assert len({text.split("\n")[0] for text in said.values()}) == 3
