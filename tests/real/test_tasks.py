"""Public data sets as they are published, loaded whole: counts, classes, and what had to be dropped."""

from __future__ import annotations

from collections import Counter

import pytest

from superalign.core.errors import TaskError
from superalign.tasks.divide import SPLITS, Sizes
from superalign.tasks.load import load
from superalign.tasks.near import near_duplicates
from superalign.tasks.pool import Pool
from superalign.tasks.source import Source
from tests.datafolder import data


def place(name: str) -> str:
    """A file of the data folder, or a member of one (`archive.zip!member`)."""
    archive, mark, member = name.partition("!")
    return f"{data(archive)}{mark}{member}"


def classes(pool: Pool, ids: set[str] | None = None) -> dict[str, int]:
    counts = Counter(pool.key[i.id] for i in pool.items if ids is None or i.id in ids)
    return {pool.choices[k]: n for k, n in sorted(counts.items())}


def test_subj() -> None:
    """10,000 lines, half of each class, sorted by class; latin-1 bytes and \\x85 inside sentences; no copies."""
    pool = load(Source(task=place("sent_conv/subj.all")))
    assert classes(pool) == {"0": 5000, "1": 5000}
    assert pool.notes == (
        "subj.all is not UTF-8 (first at line 21), read as latin-1; set encoding if that is wrong",
        "prompt from text; label from label",
    )
    task = pool.task()
    assert [len(task.items(s)) for s in SPLITS] == [1000, 1500, 500, 1500]
    for split in SPLITS:
        assert sum(pool.key[i.id] for i in task.items(split)) * 2 == len(task.items(split))
    report = near_duplicates(task)
    assert report.complete
    assert report.pairs < 10


def test_sst2() -> None:
    """6,920 training lines, of which 8 are copies and 3 are also in the development or test file."""
    parts = {"task": "train", "validation": "dev", "test": "test"}
    pool = load(Source(**{field: place(f"sent_conv/stsa.binary.{part}") for field, part in parts.items()}))
    assert len(pool.fixed["test"]) == 1821
    assert len(pool.fixed["validation"]) == 872
    assert len(pool.items) == 1821 + 872 + 6909
    assert pool.notes[1:] == (
        "8 exact copies dropped",
        "3 rows dropped because they are in a given test or validation part",
    )
    assert classes(pool, set(pool.fixed["test"])) == {"0": 912, "1": 909}


def test_trec() -> None:
    """5,452 training questions in six classes, 71 of them copies and 10 in the test file; 500 test questions."""
    pool = load(Source(task=place("sent_conv/TREC.train"), test=place("sent_conv/TREC.test")))
    assert pool.choices == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    assert len(pool.fixed["test"]) == 500
    assert len(pool.items) == 500 + 5452 - 71 - 10
    assert classes(pool, set(pool.fixed["test"])) == {
        "ABBR": 9,
        "DESC": 138,
        "ENTY": 94,
        "HUM": 65,
        "LOC": 81,
        "NUM": 113,
    }
    task = pool.task(0, Sizes(weak_train=100))
    assert len({pool.key[i.id] for i in task.items("weak-train")}) == 6


def test_sciq() -> None:
    """11,679 and 1,000 questions of four choices; those whose choices repeat are dropped."""
    pool = load(Source(task=place("sciq/SciQ.zip!train.json"), test=place("sciq/SciQ.zip!test.json")))
    assert len(pool.fixed["test"]) == 991
    assert len(pool.items) == 991 + 11679 - 33
    assert pool.choices == ()
    assert {len(item.choices) for item in pool.items} == {4}
    places = Counter(pool.key.values())
    assert all(abs(places[k] / len(pool.items) - 0.25) < 0.02 for k in range(4))
    assert pool.notes[0].startswith("prompt from support + question; answer from correct_answer, against distractor1")


def test_sciq_without_a_member_lists_them() -> None:
    with pytest.raises(
        TaskError, match=r"SciQ.zip' holds several data files: '.*test.json', '.*train.json', '.*valid.json'"
    ):
        load(Source(task=place("sciq/SciQ.zip")))


def test_creak() -> None:
    """10,176 training claims under the name .json, written as JSON lines; 1,371 for testing."""
    pool = load(Source(task=place("creak/train.json"), test=place("creak/dev.json")))
    assert pool.choices == ("false", "true")
    assert len(pool.fixed["test"]) == 1371
    assert len(pool.items) == 1371 + 10176 - 3
    assert "3 exact copies dropped" in pool.notes
    pairs = load(Source(task=place("creak/contrast_set.json"), group="pair_id"))
    assert len(pairs.items) == 498
    task = pairs.task()
    groups = [{item.info["group"] for item in task.items(split)} for split in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups))
    with pytest.raises(TaskError, match=r"'test_without_labels.json': cannot tell which column is the label"):
        load(Source(task=place("creak/test_without_labels.json")))


def test_boolq() -> None:
    """3,270 questions; many passages have several, so passages should be kept in one split."""
    source = Source(task=place("boolq_dev/dev.jsonl"))
    pool = load(source)
    assert classes(pool) == {"false": 1237, "true": 2033}
    assert pool.notes == ("prompt from passage + question; label from answer",)
    loose = near_duplicates(pool.task()).pairs
    assert loose > 200
    grouped = load(source.model_copy(update={"group": "passage"}))
    assert near_duplicates(grouped.task()).pairs < loose / 4


def test_hh_harmless() -> None:
    """2,312 pairs of dialogues; the prompt is what both share; 4 have an empty reply."""
    pool = load(Source(task=place("hh_harmless_test/test.jsonl.gz")))
    assert len(pool.items) == 2308
    assert all(item.prompt.startswith("Human:") and item.prompt.endswith("Assistant:") for item in pool.items)
    assert {len(item.choices) for item in pool.items} == {2}
    assert 0.46 < sum(pool.key.values()) / 2308 < 0.54
    assert pool.notes[1:] == ("test.jsonl: 4 rows dropped because their text or answer is empty",)


def test_llmbar() -> None:
    """100 pairs of outputs; the better one is named by 1 or 2."""
    pool = load(Source(task=place("llmbar/LLMBar/Natural/dataset.json")))
    assert len(pool.items) == 100
    assert pool.notes == ("prompt from input; label from label, against output_1, output_2",)
    with pytest.raises(TaskError, match=r"there are 100 rows; the splits would get weak-train 22"):
        pool.task()
    task = pool.task(0, Sizes(weak_train=22, transfer=33, validation=11, test=30))
    assert [len(task.items(s)) for s in SPLITS] == [22, 33, 11, 30]


def test_sms_spam() -> None:
    """5,574 messages in a tab-separated file without an extension, 414 of them copies."""
    pool = load(Source(task=place("sms_spam/SMSSpamCollection")))
    assert len(pool.items) == 5574 - 414
    assert pool.choices == ("ham", "spam")
