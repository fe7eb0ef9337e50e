"""Revision: counterexamples from the subject itself, kept only where the validate score rises."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.types import Ask, Reply
from superalign.interp.evidence import Evidence
from superalign.interp.explainers.language import Language
from superalign.interp.explainers.revision import Revision, Trace, read_sentences
from superalign.interp.units import Explanation, Failed, Unit
from superalign.models.scripted import Scripted
from tests.interp.spoken import CAT, RED, WORDS, Word, corpus, evidence, prompts

SENTENCES = "+ the dog runs\n2. + a dog sits\n- the old cat sees a tree\n- the girl said\nGood luck!"


def both() -> Evidence:
    """Fires at cats and dogs."""
    text = corpus()
    rows = np.flatnonzero(np.isin(text.tokens, [CAT, WORDS.index(" dog")]))
    return Evidence(Unit("mlp.0", 0), text, rows, np.full(len(rows), 2.0, np.float32))


def subject(asked: Sequence[tuple[Unit, str]]) -> list[Trace]:
    """The unit of `both`, run on sentences."""
    found = []
    for _, text in asked:
        tokens = tuple(f" {word}" for word in text.split())
        found.append(Trace(tokens, np.array([2.0 * (t in (" cat", " dog")) for t in tokens])))
    return found


class Writer:
    """Writes the sentences above, and one revision."""

    def __init__(self, revised: str, sentences: str = SENTENCES) -> None:
        self.revised, self.sentences, self.asks = revised, sentences, list[Ask]()

    def __call__(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        content = ask.messages[-1].content
        if "responds to instead" in content:
            return Reply(f"EXPLANATION: {self.revised}")
        return Reply(self.sentences if "put the claim" in content else "dog")


def revision(writer: Writer, **options: object) -> Revision:
    model = Scripted("writer", writer)
    return Revision(model, subject, Word(), first=Language(model), **options)  # type: ignore[arg-type]


def test_a_better_explanation_is_kept_with_its_lineage() -> None:
    writer = Writer("dog or cat")
    made = revision(writer)
    lineage = made.revise([(Explanation("dog", evidence=(3, 5)), both())])[0]
    first, second = lineage.kept
    assert (second.text, second.source, second.parent) == ("dog or cat", "revision:writer", digest(first))
    assert second.evidence == first.evidence
    step = lineage.steps[0]
    assert step.kept
    assert step.before is not None
    assert step.after is not None
    assert step.after > step.before
    assert [(t.expected, t.fired) for t in step.tried] == [(True, True), (True, True), (False, True), (False, False)]
    shown = writer.asks[-1].messages[-1].content
    assert "<< cat>> sees" in shown
    assert "girl" not in shown


def test_a_worse_one_is_not_kept_and_is_logged() -> None:
    lineage = revision(Writer("house"), rounds=3).revise([(Explanation("dog"), both())])[0]
    assert [x.text for x in lineage.kept] == ["dog"]
    assert len(lineage.steps) == 1
    step = lineage.steps[0]
    assert isinstance(step.proposal, Explanation)
    assert (step.proposal.text, step.kept) == ("house", False)
    same = revision(Writer("the dog")).revise([(Explanation("dog"), evidence(WORDS.index(" dog")))])[0]
    assert not same.steps[0].kept  # a tie does not rise


def test_what_nothing_contradicts_is_left_alone() -> None:
    writer = Writer("never asked")
    lineage = revision(writer).revise([(Explanation("dog or cat"), both())])
    assert lineage[0].steps[0].proposal is not None  # by its sentences cats should be silent
    quiet = Writer("never asked", "+ a cat\n+ the dog\n- a tree")
    done = revision(quiet, rounds=5).revise([(Explanation("dog or cat"), both())])[0]
    assert (len(done.kept), len(done.steps), done.steps[0].proposal) == (1, 1, None)
    assert len(quiet.asks) == 1


def test_sentences_that_cannot_be_read_leave_the_explanation() -> None:
    writer = Writer("x", "no lines here")
    lineage = revision(writer).revise([(Explanation("dog"), both())])[0]
    assert lineage.steps[0].tried == ()
    assert len(writer.asks) == 2
    assert lineage.kept[-1].text == "dog"


def test_as_an_explainer_it_revises_what_the_first_one_said() -> None:
    writer = Writer("cat, dog")
    found = revision(writer).explain([both(), evidence(token=-1, index=1)])
    assert isinstance(found[0], Explanation)
    assert found[0].text == "cat, dog"
    assert isinstance(found[1], Failed)
    assert found[0].parent is not None


def test_no_window_of_the_test_split_is_in_any_prompt() -> None:
    """The whole chain: first explanations, sentences and revisions of units over the corpus."""
    writer = Writer("dog or cat")
    units = [both(), *(evidence(t, index=t) for t in (CAT, RED))]
    found = revision(writer, rounds=2).explain(units)
    said = prompts(writer.asks)
    flat = said.replace("\\n", "\n")
    text = corpus()
    held = 0
    for window in np.flatnonzero(text.new).tolist():
        tokens = [WORDS[t] for t in text.tokens[text.windows[window] : text.windows[window + 1]]]
        whole = "".join(tokens) in flat or (all(f"{t}\t" in flat for t in tokens) and _in_lines(tokens, flat))
        if text.window_split[window] == 0:
            held += whole
        else:
            assert not whole, window
    assert held >= 10
    for x in found:
        assert isinstance(x, Explanation)
        assert (text.window_split[list(x.evidence)] == 0).all()


def _in_lines(tokens: list[str], said: str) -> bool:
    """Whether these tokens stand one a line with levels."""
    return re.search("\n".join(re.escape(t) + r"\t\d+" for t in tokens), said) is not None


def test_sentences_are_read_once_each() -> None:
    assert read_sentences(SENTENCES) == [(True, "the dog runs"), (True, "a dog sits"), (False, "the old cat sees a tree"),
                                         (False, "the girl said")]  # fmt: skip
    assert read_sentences("+ a\n- a\n  + b") == [(True, "a"), (True, "b")]


def test_a_subject_that_loses_texts_is_an_error() -> None:
    model = Scripted("writer", Writer("x"))
    broken = Revision(model, lambda asked: [], Word(), first=Language(model))
    with pytest.raises(ModelError, match="0 traces of 4 texts"):
        broken.revise([(Explanation("dog"), both())])
