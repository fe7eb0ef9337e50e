"""Explanations by a language model: what it is shown, what is read, which draw is kept, what fails."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.core.transcript import Transcript
from superalign.core.types import Ask, Cost, Reply
from superalign.interp.evidence import Evidence
from superalign.interp.explainers.language import Language, finished, tagged
from superalign.interp.explainers.shown import Shown, single_token
from superalign.interp.explainers.validation import validate
from superalign.interp.units import Explanation, Failed
from superalign.models.scripted import Scripted
from tests.interp.spoken import CAT, WORDS, Word, corpus, evidence


class Recorder:
    """A script that keeps the asks it gets."""

    def __init__(self, *said: str | Reply) -> None:
        self.said, self.asks = said, list[Ask]()

    def __call__(self, ask: Ask) -> str | Reply:
        self.asks.append(ask)
        return self.said[min(len(self.asks), len(self.said)) - 1]


def one(explainer: Language, e: Evidence | None = None) -> Explanation | Failed:
    return explainer.explain([e or evidence()])[0]


def test_an_explanation_says_where_it_comes_from() -> None:
    script = Recorder(Reply(" the word cat.\nIt also", cost=Cost(100, 5)))
    found = one(Language(Scripted("model", script)))
    assert isinstance(found, Explanation)
    assert (found.text, found.source, found.parent, found.cost) == (
        "the word cat.",
        "language:model",
        None,
        Cost(100, 5),
    )
    assert found.evidence == tuple(evidence().top("explain", 10).index.tolist())
    assert len(str(found.prompt)) == 64
    assert script.asks[0].role == "explainer"


def test_token_style_shows_every_token_with_its_level_and_sparse_ones_again() -> None:
    script = Recorder("cats")
    e = evidence(CAT, after=WORDS.index(" old"))
    one(Language(Scripted("model", script), shown=Shown(top=2)), e)
    said = script.asks[0].messages[1].content
    windows = e.top("explain", 2)
    levels = np.floor(10 * e.on(windows) / e.on(windows).max()).astype(int)
    first = windows.texts()[0]
    lines = [f"{t}\t{n}".replace("\n", "\\n") for t, n in zip(first, levels[: len(first)], strict=True)]
    assert "<start>\n" + "\n".join(lines) + "\n<end>" in said
    again = said.split("without the tokens at which it is silent")[1]
    assert again.count("\t") == (levels > 0).sum()
    assert said.endswith("This unit responds to")


def test_levels_that_are_not_sparse_are_shown_once() -> None:
    script = Recorder("words")
    one(Language(Scripted("model", script)), evidence(every=True))
    assert "without the tokens" not in script.asks[0].messages[1].content


def test_highlight_style_marks_and_wants_a_tag() -> None:
    script = Recorder("Cats everywhere.\n**EXPLANATION: the word cat**")
    found = one(Language(Scripted("model", script), shown=Shown(style="highlights", top=3)))
    assert isinstance(found, Explanation)
    assert found.text == "the word cat"
    said = script.asks[0].messages[1].content
    assert "<< cat>>" in said
    assert '(" cat", 10)' in said


def test_more_evidence_is_from_the_same_split() -> None:
    script = Recorder("cats")
    e = evidence(CAT, after=WORDS.index(" old"))
    shown = Shown(top=4, quiet=3, near=2)
    found = one(Language(Scripted("model", script), shown=shown, promoted=lambda unit: [" sat", "\n"]), e)
    assert isinstance(found, Explanation)
    said = script.asks[0].messages[1].content
    assert '" sat", "\\n"' in said
    assert "silent throughout" in said
    assert "stays silent" in said
    assert len(found.evidence) == 9
    assert (corpus().window_split[list(found.evidence)] == 0).all()
    assert (e.maxima[list(found.evidence)[4:]] == 0).all()


def test_the_draw_that_simulates_best_is_kept() -> None:
    """Five draws of one request; the one that is right on held-out text wins, wherever it comes."""

    def say(ask: Ask) -> Reply:
        assert ask.settings.temperature == 1.0
        words = ["dog", "bird", "cat", "tree", "dog"]
        return Reply(words[ask.sample], cost=Cost(10, 1))

    found = Language(Scripted("model", say, shuffle=3), samples=5, simulator=Word()).explain(
        [evidence(), evidence(index=1)]
    )
    assert [getattr(f, "text", f) for f in found] == ["cat", "cat"]
    assert isinstance(found[0], Explanation)
    assert found[0].cost == Cost(50, 5)
    with pytest.raises(SpecError, match="5 samples need a simulator"):
        Language(Scripted("model", say), samples=5)


def test_a_draw_that_fails_leaves_the_others() -> None:
    def say(ask: Ask) -> Reply:
        return Reply(failure="timeout") if ask.sample == 0 else Reply("cat" if ask.sample == 2 else "dog")

    found = one(Language(Scripted("model", say), samples=3, simulator=Word()))
    assert getattr(found, "text", found) == "cat"


def test_validation_reads_only_its_split_and_is_unbiased() -> None:
    """The estimate from few windows is near the correlation on all windows of the split, not the one of top windows."""
    e = evidence(CAT, after=WORDS.index(" old"))
    broad = Explanation("cat")
    estimate = validate(Word(), [(broad, e)], each=40)[0]
    rows = corpus().rows("validate")
    truth = np.corrcoef(e.at(rows), corpus().tokens[rows] == CAT)[0, 1]
    assert estimate == pytest.approx(truth, abs=0.12)
    assert validate(Word(), [(Explanation("cat"), evidence(token=-1))]) == [None]
    assert validate(Word(), [(Explanation("nothing at all"), e)]) == [None]


def test_a_reply_that_cannot_be_read_is_asked_once_more_and_then_a_failure() -> None:
    script = Recorder("cats, I think", "EXPLANATION: the word cat")
    style = Shown(style="highlights")
    second = one(Language(Scripted("model", script), shown=style))
    assert getattr(second, "text", second) == "the word cat"
    assert "begins with EXPLANATION:" in script.asks[1].messages[-1].content
    failing = Recorder("cats")
    found = one(Language(Scripted("model", failing), shown=style))
    assert isinstance(found, Failed)
    assert found.status == "parse_failed"
    assert len(failing.asks) == 2


@pytest.mark.parametrize("style", ["tokens", "highlights"])
def test_refusals_and_failed_calls_are_no_explanations(style: str) -> None:
    shown = Shown(style=style)  # type: ignore[arg-type]
    refused = one(Language(Scripted("model", Recorder("I'm sorry, but I can't help with that.")), shown=shown))
    assert isinstance(refused, Failed)
    assert refused.status == "refused"
    down = one(Language(Scripted("model", Recorder(Reply(failure="no route"))), shown=shown))
    assert isinstance(down, Failed)
    assert (down.status, "no route" in down.reason) == ("undefined", True)


def test_words_of_refusal_may_be_explained() -> None:
    assert finished('"sorry" and other words of apology') == '"sorry" and other words of apology'
    assert finished("This unit responds to: cannot, won't and neither") == "cannot, won't and neither"
    assert tagged("I can't be sure.\nEXPLANATION: negations") == "negations"


def test_a_unit_that_never_fires_is_said_to() -> None:
    script = Recorder("cats")
    found = Language(Scripted("model", script)).explain([evidence(token=-1, index=5), evidence()])
    assert isinstance(found[0], Failed)
    assert found[0] == Failed("undefined", "mlp.0/5 fires in no window of the explain split")
    assert isinstance(found[1], Explanation)
    assert len(script.asks) == 1


def halves(strong: int, weak: int) -> Evidence:
    """Fires at one word in its strong half, at others in its weak half."""
    text, rng = corpus(), np.random.default_rng(0)
    here = np.isin(text.tokens, [strong, weak])
    rows = np.flatnonzero(here)
    values = np.where(text.tokens[rows] == strong, rng.uniform(2, 3, len(rows)), rng.uniform(0.1, 1, len(rows)))
    return Evidence(evidence().unit, text, rows, values.astype(np.float32))


def test_one_token_needs_no_model_if_it_rules_the_strong_half() -> None:
    """Public code sorts ascending here and looks at the weak half."""
    script = Recorder("something else")
    found = one(Language(Scripted("model", script), shortcut=True), evidence())
    assert isinstance(found, Explanation)
    assert (found.text, found.source, len(script.asks)) == ('the token " cat"', "single-token", 0)
    assert single_token(halves(CAT, WORDS.index(" dog"))) is not None
    mixed = np.random.default_rng(0)
    e = halves(CAT, CAT)
    text = corpus()
    strong = np.isin(text.tokens, [WORDS.index(" dog"), WORDS.index(" bird")])
    rows = np.flatnonzero(strong | (text.tokens == CAT))
    values = np.where(strong[rows], mixed.uniform(2, 3, len(rows)), mixed.uniform(0.1, 1, len(rows)))
    assert single_token(Evidence(e.unit, text, rows, values.astype(np.float32))) is None
    one(Language(Scripted("model", script)), evidence())
    assert len(script.asks) == 1


def test_evidence_is_of_the_split_explain_and_a_second_run_asks_nothing() -> None:
    script = Recorder("cat")
    transcript = Transcript()
    units = [evidence(t, index=t) for t in range(6)]
    first = Language(Scripted("model", script), transcript, shown=Shown(quiet=3, near=3)).explain(units)
    text = corpus()
    shown = {k for f in first if isinstance(f, Explanation) for k in f.evidence}
    assert {int(s) for s in text.window_split[list(shown)]} == {0}
    second = Language(Scripted("model", {}), transcript, shown=Shown(quiet=3, near=3)).explain(units)
    assert first == second
