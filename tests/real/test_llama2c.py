"""The 260k TinyStories llama, converted: logits and text against a plain forward pass in numpy, tokens against
a plain BPE, both written here from the format's description."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.models.hf.llama2c import convert, read_checkpoint, read_tokenizer
from tests.datafolder import ROOT, data

FILES = ROOT / "stories260k" / "tinystories_260k"
CHECKPOINT, TOKENIZER = FILES / "checkpoint_legacy.bin", FILES / "tokenizer.bin"


@pytest.fixture(autouse=True, scope="module")
def _there() -> None:
    """Skip without the data folder, or fail where it is required."""
    data("stories260k/tinystories_260k/checkpoint_legacy.bin")


Array = np.ndarray[Any, Any]


@cache
def loaded() -> tuple[Any, dict[str, Array], list[tuple[bytes, float]]]:
    shape, arrays = read_checkpoint(CHECKPOINT)
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    return shape, wide, read_tokenizer(TOKENIZER, shape.vocabulary)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("llama") / "out"
    convert(CHECKPOINT, TOKENIZER, folder)
    network, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return network.eval(), AutoTokenizer.from_pretrained(folder)


def normed(x: Array, weight: Array) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight


def turned(x: Array) -> Array:
    """Rotary positions on neighbouring pairs, (T, heads, width)."""
    half = np.arange(x.shape[2] // 2)
    angle = np.arange(len(x))[:, None, None] * 10000.0 ** (-2 * half / x.shape[2])
    even, odd = x[..., ::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., ::2], out[..., 1::2] = (
        even * np.cos(angle) - odd * np.sin(angle),
        even * np.sin(angle) + odd * np.cos(angle),
    )
    return out


def forward(ids: list[int]) -> Array:
    """Logits (T, vocabulary) as llama2.c computes them, in float64."""
    shape, w, _ = loaded()
    x, length = w["embedding"][ids], len(ids)
    future = np.triu(np.full((length, length), -np.inf), 1)
    for layer in range(shape.layers):
        h = normed(x, w["attention_norm"][layer])
        q, k, v = (h @ w[name][layer].T for name in ("wq", "wk", "wv"))
        q = turned(q.reshape(length, shape.heads, -1))
        k, v = turned(k.reshape(length, shape.kv_heads, -1)), v.reshape(length, shape.kv_heads, -1)
        k, v = (np.repeat(a, shape.heads // shape.kv_heads, 1) for a in (k, v))
        scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(shape.head) + future
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        x = x + np.einsum("hts,shd->thd", share, v).reshape(length, -1) @ w["wo"][layer].T
        h = normed(x, w["mlp_norm"][layer])
        gate = h @ w["w1"][layer].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w["w3"][layer].T)) @ w["w2"][layer].T
    return np.asarray(normed(x, w["norm"]) @ w["embedding"].T)


def encode(text: str) -> list[int]:
    """A space, then characters or their bytes, then the best-scored pair of neighbours, leftmost first, until none."""
    pieces = loaded()[2]
    known: dict[bytes, int] = {}
    for i, (piece, _) in enumerate(pieces):
        known.setdefault(piece, i)
    ids: list[int] = []
    for character in (" " + text) if text else "":
        raw = character.encode()
        ids += [known[raw]] if raw in known else [byte + 3 for byte in raw]
    while True:
        pairs = [(known.get(pieces[a][0] + pieces[b][0]), i) for i, (a, b) in enumerate(pairwise(ids))]
        scored = [(pieces[joined][1], -i, joined) for joined, i in pairs if joined is not None]
        if not scored:
            return ids
        _, place, joined = max(scored)
        ids[-place : -place + 2] = [joined]


def decode(ids: list[int]) -> str:
    raw = b"".join(bytes([i - 3]) if 3 <= i < 259 else loaded()[2][i][0] for i in ids)
    return raw.decode("utf-8", errors="replace").removeprefix(" ")


def test_the_header_is_the_one_described() -> None:
    shape = loaded()[0]
    assert (shape.dim, shape.hidden, shape.layers, shape.heads, shape.kv_heads) == (64, 172, 5, 8, 4)
    assert (shape.vocabulary, shape.length, shape.tied) == (512, 512, True)


def test_logits_are_those_of_the_checkpoint(converted: tuple[Any, Any]) -> None:
    network, _ = converted
    rng = np.random.default_rng(0)
    sequences = [[1], encode("Once upon a time, there was a little girl."), rng.integers(0, 512, 90).tolist()]
    for ids in sequences:
        with torch.no_grad():
            found = network(torch.tensor([ids])).logits[0].numpy()
        assert np.abs(found - forward(ids)).max() < 1e-4


def test_greedy_text_is_the_same(converted: tuple[Any, Any]) -> None:
    network, tokenizer = converted
    ids = [1, *encode("Once upon a time")]
    assert tokenizer("Once upon a time")["input_ids"] == ids
    start = len(ids)
    for _ in range(40):
        ids.append(int(forward(ids)[-1].argmax()))
    with torch.no_grad():
        found = network.generate(torch.tensor([ids[:start]]), max_new_tokens=40, do_sample=False, pad_token_id=0)[
            0
        ].tolist()
    assert found == ids
    text = tokenizer.decode(found, skip_special_tokens=True)
    assert text == decode(ids[1:])
    assert text.startswith("Once upon a time, there was a")


TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(["Once", "upon", " a", "time", "the", "\n", "'s", "ing", "was", ",", "é", "🙂"]), max_size=20
    ).map("".join),
)


def test_tokens_are_those_of_a_plain_bpe(converted: tuple[Any, Any]) -> None:
    _, tokenizer = converted

    @settings(deadline=None, derandomize=True, max_examples=150)
    @given(TEXTS)
    def check(text: str) -> None:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids == encode(text)
        assert tokenizer.decode(ids) == decode(ids) == text

    check()


def test_it_trains_as_any_other_model(converted: tuple[Any, Any], tmp_path: Path) -> None:
    """The converted folder as `hf:`: features of stories and zero-shot answers that know the story's grammar."""
    from superalign.core.types import Item
    from superalign.models.hf.load import hf

    convert(CHECKPOINT, TOKENIZER, tmp_path / "out")
    items = [
        Item("a", "Once upon a", ("time, there was", "qzx vrk")),
        Item("b", "Lily was very", ("jjkx wq", "happy.")),
    ]
    made = hf(str(tmp_path / "out"), choices=())
    found = made.zero_shot(items)
    assert found.argmax(1).tolist() == [0, 1]
    assert made.features(items).shape == (2, 2, 64)
