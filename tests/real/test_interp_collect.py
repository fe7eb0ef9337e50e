"""The 260k TinyStories llama: its tokens, samples and neurons against the figures published for the set-up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from superalign.interp.cache import write_all
from superalign.interp.collect import activations
from superalign.interp.corpus import Corpus
from superalign.interp.subject import Subject, subject
from superalign.interp.text import corpus
from superalign.interp.units import Unit
from tests.datafolder import data

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def llama() -> Subject:
    return subject(str(data("stories260k/tinystories_260k/checkpoint_legacy.bin").parent))


@pytest.fixture(scope="module")
def samples(llama: Subject) -> Corpus:
    return corpus("sample:120x192", llama)


def test_tokens_read_as_the_text_was_written(llama: Subject) -> None:
    text = "Once upon a time,\nthere was a little girl named Lily.\tShe said: “é” 😀."
    (ids,) = llama.encode([text])
    shown = "".join(llama.strings[i] for i in ids)
    assert shown == f" {text}".replace("😀", "<0xF0><0x9F><0x98><0x80>")
    assert (llama.start, llama.context) == (1, 511)
    assert llama.strings[llama.encode(["he was"])[0][-1]] == " was"


def test_samples_are_as_likely_as_measured(llama: Subject, samples: Corpus) -> None:
    """1.269 nats a token at temperature 1 from BOS; within 0.05 for 120 of 600 documents."""
    assert len(samples) == 120 * 192
    rows = torch.from_numpy(samples.tokens.reshape(120, 192).astype(np.int64))
    given = torch.cat([torch.full((120, 1), llama.start), rows[:, :-1]], 1)
    with torch.no_grad():
        logits = llama.model(input_ids=given).logits.flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, rows.flatten())
    assert abs(float(loss) - 1.269) < 0.05


def test_all_neurons_are_cached_in_one_pass(llama: Subject, samples: Corpus, tmp_path: Path) -> None:
    caches = write_all(tmp_path, llama, samples, [(f"mlp.{k}", None) for k in range(5)])
    assert [cache.units for cache in caches] == [172] * 5
    direct = torch.cat([block.values["mlp.3"] for block in activations(llama, samples, ["mlp.3"])]).numpy()
    for sign in (1, -1):
        raw = np.maximum(sign * direct, 0)
        np.testing.assert_allclose(caches[3].counts(sign), (raw > 1e-5).sum(0), atol=2)  # some lie on the edge
        evidence = caches[3].evidence(Unit("mlp.3", 17, sign=sign), samples)
        np.testing.assert_allclose(evidence.at(np.arange(len(samples))), raw[:, 17], rtol=5e-4, atol=1e-5)


def test_books_become_passages(llama: Subject) -> None:
    made = corpus(str(data("ml5_books")), llama, tokens=60_000)
    assert len(made) == 60_000
    assert {name.partition(",")[0] for name in made.names} == {"bronte.txt", "darwin.txt"}
    assert (np.bincount(made.split) / len(made.split))[0] == pytest.approx(0.5, abs=0.15)
