"""The NYU debates (Michael et al. 2023), read and measured again from their raw files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from superalign.core.driver import play
from superalign.core.spec import Record
from superalign.core.types import Ask, Reply, Seat
from superalign.models.scripted import Scripted
from superalign.protocols.recorded import recorded
from superalign.report import transcript
from superalign.report.games import archives, jsonl, parquet, select
from superalign.report.games.script import heard, script
from superalign.store import open_store
from superalign.studies.debates import Debates, debates
from superalign.tasks.debates import Corpus
from superalign.tasks.debates.nyu import debates as pool_of
from superalign.tasks.debates.nyu import nyu
from tests.datafolder import data


@pytest.fixture(scope="module")
def folder() -> Path:
    return data("nyu_debates")


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return nyu(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_store(str(tmp_path_factory.mktemp("store") / "s.sqlite")) as opened:
        yield opened


@pytest.fixture(scope="module")
def record(folder: Path, store: Any) -> Record:
    return debates(Debates(folder=str(folder)), store)


def test_the_corpus_is_whole(corpus: Corpus) -> None:
    assert corpus.counts == {
        "debates": 428, "judge feedbacks": 1670, "sequential rounds": 1164, "simultaneous rounds": 245,
        "offline rounds": 120, "offline judgments": 152, "quotes": 5638, "quotes out of range": 1,
        "ended by a live judge": 344, "beliefs clipped": 0, "names replaced": 2,
    }  # fmt: skip
    assert "a-pail-of-air-7: a quote of the tokens 6926 to 6929 reaches beyond its story of 6,927" in corpus.notes[0]
    cut = [(p.quote, p.raw) for d in corpus.debates for s in d.speeches for p in s.parts if p.raw]
    assert cut == [((6926, 6927), (6926, 6929))]
    assert len({d.story.title for d in corpus.debates}) == 66


def test_quotes_are_characters_of_readable_stories(corpus: Corpus) -> None:
    for debate in corpus.debates:
        for quote in (q for s in debate.speeches for q in s.quotes):
            start, end = debate.story.characters(*quote.quote or (0, 0))
            assert debate.story.text[start:end] == quote.text
    air = next(d.story.text for d in corpus.debates if d.id == "a-pail-of-air-0")
    assert "[Transcriber's Note: This etext was produced from" in air
    assert "I'd never seen a live young lady before, except in the old magazines -- Sis is just a kid" in air
    for debris in ("-LRB-", "``", "''", " n't", " 's ", " ,", " . "):
        shares = [d.story.text.count(debris) / len(d.story.text) for d in corpus.debates]
        assert sorted(shares)[len(shares) // 2] < 1e-4, debris


PUBLISHED = {
    "human-debate": (116, 133, -0.666, 37),
    "human-consultancy": (49, 68, -1.195, 35),
    "gpt4-debate": (54, 66, -0.775, 35),
    "gpt4-consultancy": (65, 77, -0.854, 39),
}


@pytest.mark.parametrize("setting", PUBLISHED)
def test_the_judges_are_as_right_as_they_were(record: Record, setting: str) -> None:
    right, n, log2, stories = PUBLISHED[setting]
    numbers = record.condition(setting).numbers
    assert numbers["accuracy"].n == n
    assert numbers["accuracy"].value == pytest.approx(right / n, abs=1e-12)
    assert numbers["log2"].value == pytest.approx(log2, abs=5e-4)
    row = next(r for r in record.tables["intervals"].rows if r[0] == setting)
    assert row[2] == stories
    low, high = numbers["accuracy"].low, numbers["accuracy"].high
    assert low is not None
    assert high is not None
    assert 0.1 < high - low < 0.45


def test_consultants_and_offline_judges(record: Record) -> None:
    def value(condition: str, name: str) -> tuple[float, int | None]:
        number = record.condition(condition).numbers[name]
        return round(number.value or 0, 3), number.n

    assert value("human-consultancy", "accuracy_honest")[0] == 0.903
    assert value("human-consultancy", "accuracy_dishonest")[0] == 0.568
    assert value("gpt4-consultancy", "accuracy_honest")[0] == 0.783
    assert value("gpt4-consultancy", "accuracy_dishonest")[0] == 0.935
    assert value("human-debate-stepped", "accuracy") == (0.870, 108)
    assert value("human-debate-timed", "accuracy") == (0.844, 32)
    assert any("human-consultancy (retief-of-the-redtape-mountain-1)" in n for n in record.notes)  # the one tie


def test_rewards_are_those_that_were_paid(record: Record, folder: Path, store: Any) -> None:
    """Mean of log2 p - .05 t against the rewards that the corpus's own metadata record, debate by debate."""
    lines = (folder / "debates-metadata.jsonl").read_text(encoding="utf-8").splitlines()
    paid: dict[str, float] = {}
    for body in map(json.loads, lines):
        result = (body["status"].get("Complete") or {}).get("result") or {}
        if "JudgeDecided" in (result.get("endedBy") or {}):
            paid[body["name"]] = result["judgingInfo"]["judgeReward"]
    for setting in PUBLISHED:
        games = [g for g in archives(record, store, setting)[setting].games if g.right is not None]
        assert {g.id for g in games} <= set(paid)
        mean = sum(paid[g.id] for g in games) / len(games)
        assert record.condition(setting).numbers["reward"].value == pytest.approx(mean, abs=0.02)


def test_what_speakers_quote(record: Record) -> None:
    rows = {row[0]: row for row in record.tables["quotes"].rows}
    assert rows["all"][1:3] == (400, 5638)
    assert rows["all"][8] == pytest.approx(0.0329, abs=2e-4)  # share of the tokens that a game quotes
    assert rows["all"][7] == pytest.approx(1 - 1 / 5638, abs=1e-4)
    assert rows["all"][4] > 0.97  # by text; the rest begin inside a contraction or hold no word
    assert rows["human-debate"][9] < 0.1  # people on two sides quote different passages


def test_belief_in_the_truth_grows_with_the_first_rounds_of_debate(record: Record) -> None:
    rounds = [r for r in record.tables["rounds"].rows if r[0] == "human-debate"]
    belief = [float(r[4].split()[0]) for r in rounds[:4]]
    assert belief == sorted(belief)
    assert belief[0] == pytest.approx(0.5, abs=0.03)
    assert belief[3] > 0.7


def test_no_personal_name_leaves_the_corpus(corpus: Corpus, record: Record, store: Any) -> None:
    assert len(corpus.dropped) == 18
    games = archives(record, store)
    exported = jsonl.bytes_of(games).decode()
    assert not [name for name in corpus.dropped if name in exported]
    assert "identity guesses" not in exported
    assert jsonl.read(exported.encode()) == games
    told = {name: heard(a) for name, a in games.items()}
    assert parquet.read(parquet.bytes_of(told)) == told
    for_judges = jsonl.bytes_of(told).decode()
    assert '"source"' not in for_judges
    assert "Fizzlewick" not in for_judges
    assert 5 * len(for_judges) < len(exported)


def test_pages_of_real_debates(record: Record, store: Any) -> None:
    games = archives(record, store)
    for name in ("a-pail-of-air-3", "a-pail-of-air-7", "a-planet-named-joe-5", "a-pail-of-air-0.timed-2"):
        for archive, game in select(games, name):
            page = transcript.html(game, archive.items[game.item])
            assert page.count("<article") == sum(len(r.said) for r in script(game, archive.items[game.item]).rounds)
            assert "Verdict: " in page


def test_a_hundred_debates_are_judged_again_without_a_debater(folder: Path) -> None:
    """T28. The judge here counts verified words; it sees what people saw, round by round, and nothing else."""
    pool = pool_of(str(folder), setting="human-debate")
    games = [(item, Seat()) for item in pool.items[:100]]
    asks: list[Ask] = []

    def weigh(ask: Ask) -> Reply:
        asks.append(ask)
        words = {"A": 1.0, "B": 1.0}
        for line in ask.messages[-1].content.split("\n\nRound ")[1:]:
            verified = sum(part.partition("</verified>")[0].count(" ") for part in line.split("<verified>")[1:])
            words[line.partition("speaker for answer ")[2][:1]] += verified
        share = words["A"] / (words["A"] + words["B"])
        return Reply(probs=(share, 1 - share))

    judged = play(recorded(), {"judge": Scripted("weigh", weigh)}, games)
    assert {a.role for a in asks} == {"judge"}
    assert len(asks) == sum(1 + max(s["round"] for s in item.info["speeches"]) for item, _ in games)
    assert not any(
        item.info["source"][2000:2400] in a.messages[-1].content for (item, _), a in zip(games, asks, strict=False)
    )
    assert all(j.verdict.answer in (0, 1) and math.isclose(sum(j.verdict.probs), 1) for j in judged)
    assert len({round(j.verdict.probs[0], 3) for j in judged}) > 50  # it heard different debates
