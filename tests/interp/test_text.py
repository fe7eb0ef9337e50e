"""Files, folders and samples as corpora."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from superalign.core.errors import ModelError, SpecError, TaskError
from superalign.interp.subject import Subject, subject
from superalign.interp.text import corpus
from tests.interp import tiny
from tests.models import hf_tiny


def words(n: int, seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(hf_tiny.WORDS[4:], n))


@pytest.fixture(scope="module")
def model() -> Subject:
    return subject(str(hf_tiny.folder("llama")))


def test_lines_of_json_are_documents(tmp_path: Path, model: Subject) -> None:
    texts = [words(20 + k % 9, k) for k in range(60)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    made = corpus(str(tmp_path / "a.jsonl"), model, width=8, context=16)
    assert len(made.documents) == 61
    assert made.names[:2] == ("a.jsonl, line 1", "a.jsonl, line 2")
    first = made.tokens[: made.documents[1]]
    assert "".join(made.strings[t] for t in first).split() == texts[0].split()
    assert (made.width, made.context, made.strings) == (8, 16, model.strings)


def test_plain_texts_are_cut_into_passages_at_blank_lines(tmp_path: Path, model: Subject) -> None:
    paragraphs = [words(12, k) for k in range(120)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs))
    made = corpus(str(tmp_path / "book.txt"), model, width=8, context=32)
    assert 30 < len(made.names) <= 60  # two or three paragraphs of about 60 letters to reach 128
    assert made.names[0] == "book.txt, passage 1"
    assert len(made) == 120 * 12
    (tmp_path / "stories.txt").write_text("<|endoftext|>".join(paragraphs))
    made = corpus(str(tmp_path), model, width=8, context=32)
    assert sum(name.startswith("stories.txt, text") for name in made.names) == 120


def test_a_limit_draws_documents_by_seed(tmp_path: Path, model: Subject) -> None:
    (tmp_path / "a.txt").write_text("<|endoftext|>".join(words(24, k) for k in range(200)))
    source = str(tmp_path / "a.txt")
    few, same, other = (corpus(source, model, width=8, context=32, tokens=2000, seed=s) for s in (0, 0, 1))
    assert len(few) == 2000
    assert few.identity == same.identity != other.identity
    assert len(corpus(source, model, width=8, context=32, tokens=10**6)) == 24 * 200
    numbers = [int(name.rsplit(" ", 1)[1]) for name in few.names]
    assert numbers == sorted(numbers)
    assert max(numbers) > 120


def test_samples_are_the_model_s_own_and_fixed_by_the_seed(model: Subject) -> None:
    made, same = (corpus("sample:30x16", model, width=8, context=32, seed=5) for _ in range(2))
    assert len(made) == 480
    assert made.identity == same.identity
    with pytest.raises(SpecError, match=r"'sample:30x99': .* takes 32 tokens at most"):
        corpus("sample:30x99", model, width=8, context=32)
    for wrong in ("sample:30", "sample:0x16", "sample"):
        with pytest.raises(SpecError, match=f"'{wrong}' asks for no samples; write sample:<documents>x<tokens>"):
            corpus(wrong, model, width=8, context=32)


@pytest.fixture(scope="module", autouse=True)
def _begun(model: Subject) -> None:
    model.tokenizer.eos_token = "!"  # what a model without a start token samples after


def test_samples_follow_the_distribution_of_the_model(model: Subject) -> None:
    import torch

    made = corpus("sample:400x8", model, width=8, context=8)
    begin = model.tokenizer.eos_token_id
    with torch.no_grad():
        p = model.model(input_ids=torch.tensor([[begin]])).logits[0, -1].softmax(-1).numpy()
    found = np.bincount(made.tokens[made.documents[:-1]], minlength=len(p)) / 400
    assert np.abs(found - p).max() < 0.1
    assert np.abs(p - 1 / len(p)).max() > 0.15  # uniform draws would fail


def test_a_model_without_a_start_token_or_room_is_told(tmp_path: Path, model: Subject) -> None:
    bare = Subject("bare", {}, model.model, model.strings, None, 32)
    with pytest.raises(ModelError, match="bare has no start token to sample after"):
        corpus("sample:30x16", bare, width=8, context=16)
    with pytest.raises(ModelError, match=r"a context of 64 tokens does not fit .*, which takes 32; give --context 32"):
        corpus("sample:30x16", model, width=8, context=64)
    (tmp_path / "a.txt").write_text("a text")
    with pytest.raises(ModelError, match="tiny 0 has no tokenizer"):
        corpus(str(tmp_path / "a.txt"), tiny.subject(), context=64)


def test_texts_that_are_none_are_told(tmp_path: Path, model: Subject) -> None:
    def made(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    with pytest.raises(TaskError, match=r"there is no text .*nowhere.txt; give a .txt or .jsonl file"):
        corpus(str(tmp_path / "nowhere.txt"), model, width=8, context=32)
    with pytest.raises(TaskError, match=r"holds no .txt or .jsonl file"):
        corpus(str(tmp_path), model, width=8, context=32)
    with pytest.raises(TaskError, match=r"'a.txt' is not UTF-8 at byte 2"):
        corpus(made("a.txt", b"ab\xff"), model, width=8, context=32)
    with pytest.raises(TaskError, match=r"'a.jsonl', line 1: there is no text in the column `text`; there is: txt"):
        corpus(made("a.jsonl", b'{"txt": "a"}\n'), model, width=8, context=32)
    with pytest.raises(TaskError, match=r"line 2: broken JSON"):
        corpus(made("b.jsonl", b'{"text": "a"}\n{"text'), model, width=8, context=32)
    with pytest.raises(TaskError, match=r"the longest document has 2 tokens, a window needs 8"):
        corpus(made("c.txt", b"the meal"), model, width=8, context=32)
