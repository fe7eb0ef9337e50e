"""Detection and what all judged scores share: samples, weights, failures, answerers that know nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from superalign.core.errors import Degenerate, SpecError
from superalign.core.transcript import Transcript
from superalign.core.types import Ask, Reply, Settings
from superalign.interp.negatives import near_misses, negatives, peaks
from superalign.interp.scorers.detection import Detection
from superalign.interp.scorers.judged import Sampling, numbers, sample
from superalign.interp.units import Explanation
from superalign.models.scripted import Scripted
from tests.interp.spoken import CAT, WORDS, certain, corpus, described, evidence, named

SMALL = Sampling(bins=5, each=4, silent=40)
CATS = Explanation("the word cat")


def reader(ask: Ask) -> Reply:
    """Says yes where a word of the description stands in the text."""
    description, text = described(ask)
    return certain(any(f" {word}" in text for word in description.split()[2:]))


def test_a_true_explanation_scores_high_and_another_units_at_chance() -> None:
    right, wrong = Detection(Scripted("reader", reader), sampling=SMALL).score(
        [(CATS, evidence()), (Explanation("the word bird"), evidence())]
    )
    found = named(right)
    assert found["detection:balanced-accuracy"].number.value == 1.0
    assert found["detection:f1"].number.value == 1.0
    assert found["detection:auprc"].number.value == 1.0
    assert found["detection:auc"].n == 60
    assert abs(named(wrong)["detection:auc"].number.value - 0.5) < 0.2


def test_over_breadth_shows_at_the_prevalence_of_the_text() -> None:
    """Half of the windows judged hold the unit's token, a tenth of the text's do: a broad explanation is caught there."""
    rare = evidence(CAT, after=WORDS.index(" old"))
    broad = Detection(Scripted("reader", reader), sampling=SMALL).score([(CATS, rare)])[0]
    found = named(broad)
    rate = found["detection:f1"].base_rate
    assert rate < 0.15
    tpr, fpr = 1.0, found["detection:false-positive-rate"].number.value
    assert found["detection:precision"].number.value == pytest.approx(rate * tpr / (rate * tpr + (1 - rate) * fpr))
    assert found["detection:balanced-accuracy"].number.value > found["detection:f1"].number.value + 0.15


def test_constant_answers_are_at_chance() -> None:
    for yes in (True, False):
        scores = named(
            Detection(Scripted("same", lambda ask, y=yes: certain(y)), sampling=SMALL).score([(CATS, evidence())])[0]
        )
        assert scores["detection:balanced-accuracy"].number.value == 0.5
        assert scores["detection:auc"].number.value == 0.5
        rate = scores["detection:auprc"].base_rate
        assert scores["detection:auprc"].number.value == pytest.approx(rate)
        assert scores["detection:f1"].number.value == pytest.approx(2 * rate / (1 + rate) if yes else 0.0)
        same = scores["detection:balanced-accuracy"].controls
        assert {name: n.value for name, n in same.items()} == {"yes to all": 0.5, "no to all": 0.5}


def test_failed_calls_are_counted_and_are_no_answers() -> None:
    """Replies that cannot be read, twice, are missing: not no, not a zero, and not hidden."""

    def poor(ask: Ask) -> Reply:
        _, text = described(ask)
        if len(text) % 3 == 0:
            return Reply("it is hard to say") if len(text) % 2 else Reply(failure="timeout")
        return reader(ask)

    scores = Detection(Scripted("poor", poor), sampling=SMALL).score([(CATS, evidence())])[0]
    found = named(scores)["detection:balanced-accuracy"]
    texts = ["".join(t) for t in sample(evidence(), "uniform", SMALL).windows.texts()]
    missing = sum(len(t) % 3 == 0 for t in texts)
    assert missing > 5
    assert (found.failed, found.n) == (missing, 60 - missing)
    assert found.number.value == 1.0


def test_no_answer_at_all_is_undefined() -> None:
    scores = Detection(Scripted("dead", lambda ask: Reply(failure="down")), sampling=SMALL).score([(CATS, evidence())])[
        0
    ]
    assert {s.status for s in scores} == {"undefined"}
    assert scores[0].failed == 60
    assert "60 of 60 failed" in str(scores[0].number.reason)


def test_a_unit_that_is_always_active_is_undefined_and_the_run_goes_on() -> None:
    dense, silent, normal = evidence(every=True, index=1), evidence(token=-1, index=2), evidence()
    found = Detection(Scripted("reader", reader), sampling=SMALL).score([(CATS, dense), (CATS, silent), (CATS, normal)])
    assert [row[0].status for row in found] == ["undefined", "undefined", "ok"]
    assert "active in all" in str(found[0][0].number.reason)
    assert "silent in all" in str(found[1][0].number.reason)


def test_no_false_positive_only_bounds_their_rate() -> None:
    """0 of n is at most 3/n, and precision's lower end allows for it."""
    few = Sampling(bins=5, each=4, silent=10)
    found = named(Detection(Scripted("reader", reader), sampling=few).score([(CATS, evidence())])[0])
    rate = found["detection:false-positive-rate"].number
    assert (rate.value, rate.high, rate.n) == (0.0, 3 / 10, 10)
    gamma = found["detection:precision"].base_rate
    bound = gamma / (gamma + (1 - gamma) * 3 / 10)
    assert found["detection:precision"].number.low == pytest.approx(bound)
    assert found["detection:f1"].number.low == pytest.approx(2 * bound / (1 + bound))
    assert found["detection:precision"].number.value == 1.0


def test_weights_undo_the_sampling() -> None:
    """The numbers of a sample are near those of all windows, for an answerer with errors of both kinds."""
    e = evidence()
    whole = sample(e, "uniform", Sampling(bins=1, each=10**6, silent=10**6))
    rng = np.random.default_rng(0)
    noise = {int(k): float(v) for k, v in zip(whole.index, rng.uniform(size=len(whole.index)), strict=True)}

    def likely(chosen):
        return np.array([0.35 * p + 0.8 * noise[int(k)] for k, p in zip(chosen.index, chosen.positive, strict=True)])

    truth = numbers(whole, likely(whole), decided=True)
    part = sample(e, "uniform", Sampling(bins=5, each=12, silent=60))
    found = numbers(part, likely(part), decided=True)
    assert part.positive.mean() == pytest.approx(0.5)
    for name in ("precision", "f1", "auprc"):
        assert found[name].value == pytest.approx(truth[name].value, abs=0.15), name
        assert found[name].low < truth[name].value < found[name].high


def test_negatives_are_silent_distinct_and_reported_by_source() -> None:
    e = evidence(CAT, after=WORDS.index(" old"))
    for source in ("uniform", "near-miss"):
        drawn, size = negatives(e, "test", source, 60)
        assert len(set(drawn.tolist())) == len(drawn) <= size
        assert (e.maxima[drawn] == 0).all()
        assert (corpus().window_split[drawn] == 3).all()
    text = corpus()
    for window in near_misses(e, "test")[:20]:
        assert CAT in text.tokens[text.windows[window] : text.windows[window + 1]]
    scores = Detection(Scripted("reader", reader), sampling=SMALL, sources=("uniform", "near-miss")).score([(CATS, e)])[
        0
    ]
    found = named(scores)
    assert found["detection:balanced-accuracy:near-miss"].number.value == pytest.approx(0.5)
    assert found["detection:balanced-accuracy"].number.value > 0.7
    assert "detection:f1:near-miss" not in found
    with pytest.raises(SpecError, match=r"no negatives come from 'neighbours'.*near-miss"):
        negatives(e, "test", "neighbours", 3)


def test_peaks_are_the_strongest_first() -> None:
    e = evidence()
    values = e.at(peaks(e, "explain", 8))
    assert (np.diff(values) <= 0).all()
    assert values[0] == e.maxima[e.active("explain")].max()
    assert (corpus().tokens[peaks(e, "explain", 8)] == CAT).all()


def test_each_request_keeps_its_settings_and_the_global_generator_is_left_alone() -> None:
    """Two scorers of one model at the same time: neither sees the other's settings, and nothing reseeds numpy."""
    seen: dict[float, int] = {}
    lock = threading.Lock()

    def note(ask: Ask) -> Reply:
        with lock:
            seen[ask.settings.temperature] = seen.get(ask.settings.temperature, 0) + 1
        return reader(ask)

    model = Scripted("noted", note, serial=False)
    before = np.random.get_state()[1].tolist()
    threads = [
        threading.Thread(
            target=Detection(model, settings=Settings(t), sampling=SMALL).score, args=([(CATS, evidence())],)
        )
        for t in (0.3, 0.7)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {0.3: 60, 0.7: 60}
    assert np.random.get_state()[1].tolist() == before


def test_a_second_run_asks_nothing() -> None:
    transcript = Transcript()
    first = Detection(Scripted("reader", reader), transcript, sampling=SMALL).score([(CATS, evidence())])
    asked = transcript.asked
    second = Detection(Scripted("reader", {}), transcript, sampling=SMALL).score([(CATS, evidence())])
    assert asked == transcript.asked == 60
    assert first == second


def test_a_sample_without_silent_windows_says_so() -> None:
    with pytest.raises(Degenerate, match="active in all"):
        sample(evidence(every=True), "uniform", SMALL)
