"""Weak-to-strong on tiny transformers: a plain loop over transformers' own GPT-2 beside `Trainable.fit`.

    python benchmarks/w2s.py [--rounds 5] [--warm 1]

Four stages, each with its evaluations: the weak model on the truth of half 1 (it then labels half 2), the
strong ceiling on the truth of half 2, the naive student and the auxiliary-confidence student on the weak
labels. Both sides start from the same files, train the same batches in the same order for the same number
of steps with the same optimiser, and evaluate the same texts; so they end at the same logits up to
rounding, which is checked. Each side has a process with one thread; rounds alternate and medians count.
Seconds are those of the processor: other work on the machine lengthens the clock's seconds by its share and
these by a little. The clock's ratio is printed below the table. Loading and tokenising are in the first
round, which is reported apart.

The plain loop is what one would write: transformers' GPT2ForSequenceClassification, texts tokenised once,
batches sorted by length and padded, an attention mask, AdamW, clipping, a cosine, evaluation without
gradients in batches sorted by length.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import numpy as np
import torch

from superalign.core.types import Item

STAGES = ("weak", "ceiling", "naive", "logconf")
SHAPES = {"weak": (1, 32, 2), "strong": (4, 128, 4)}
VOCABULARY, HALF, TEST, BATCH, EPOCHS = 203, 500, 300, 32, 2
RATES = {"weak": 1.5e-3, "strong": 7e-4}
SIGNS = 30
"""Words 2 to 31 speak for class 1, words 32 to 61 for class 0, the rest for nothing."""


def documents() -> tuple[list[Item], np.ndarray[Any, Any]]:
    """1300 documents of 16 to 40 words drawn uniformly, and their classes. 40 % of a document's words
    are signs, 85 % of them of its class."""
    rng = np.random.default_rng(7)
    items, truth = [], rng.integers(0, 2, 2 * HALF + TEST)
    for i, label in enumerate(truth):
        length = int(rng.integers(16, 41))
        words = rng.integers(2 + 2 * SIGNS, VOCABULARY, length)
        sign = rng.random(length) < 0.4
        right = rng.random(length) < 0.85
        side = np.where(right, 1 - label, label)
        words[sign] = (2 + side * SIGNS + rng.integers(0, SIGNS, length))[sign]
        items.append(Item(f"d{i}", " ".join(f"w{w}" for w in words), ("no", "yes")))
    return items, truth


def make_models(folder: Path) -> None:
    """The two models, from their configs with random weights, and a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    words = {"[PAD]": 0, "[UNK]": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    reader = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    reader.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    for name, (layers, width, heads) in SHAPES.items():
        torch.manual_seed(11)
        config = GPT2Config(
            vocab_size=VOCABULARY, n_positions=64, n_embd=width, n_layer=layers, n_head=heads, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        GPT2Model(config).save_pretrained(folder / name)
        PreTrainedTokenizerFast(
            tokenizer_object=reader, unk_token="[UNK]", pad_token="[PAD]", model_max_length=64
        ).save_pretrained(folder / name)


Fit = Callable[[str, "range", "np.ndarray[Any, Any]", bool], Any]
"""`fit(model name, rows of documents, soft labels, confidence loss)` -> a predictor: rows -> logits (n, 2)."""


def four_stages(fit: Fit, truth: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Seconds of the processor and of the clock, test accuracy and test logits of each stage."""
    first, second, test = range(HALF), range(HALF, 2 * HALF), range(2 * HALF, 2 * HALF + TEST)
    known = np.eye(2)[truth]
    seconds, clock, accuracy, logits = {}, {}, {}, {}
    weak_labels = np.zeros((HALF, 2))
    for stage in STAGES:
        start, began = time.process_time(), time.perf_counter()
        if stage == "weak":
            predict = fit("weak", first, known[first], False)
            z = np.asarray(predict(second), np.float64)
            weak_labels = np.exp(z - np.logaddexp(z[:, :1], z[:, 1:]))
        else:
            labels = known[second] if stage == "ceiling" else weak_labels
            predict = fit("strong", second, labels, stage == "logconf")
        z = np.asarray(predict(test), np.float64)
        seconds[stage], clock[stage] = time.process_time() - start, time.perf_counter() - began
        accuracy[stage] = float((z.argmax(1) == truth[test]).mean())
        logits[stage] = z[:20].tolist()
    return {"seconds": seconds, "clock": clock, "accuracy": accuracy, "logits": logits}


def plain(folder: Path, items: list[Item]) -> Fit:
    """The side that uses transformers and torch alone (but for the order of batches, which is shared)."""
    from torch.nn.functional import log_softmax
    from transformers import AutoTokenizer, GPT2ForSequenceClassification
    from transformers.utils import logging

    from superalign.models.hf.batches import schedule

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(folder / "weak")
    tokens = [torch.tensor(ids) for ids in tokenizer([item.prompt for item in items])["input_ids"]]
    networks = {}
    for name in SHAPES:
        networks[name] = GPT2ForSequenceClassification.from_pretrained(folder / name, num_labels=2)
        torch.nn.init.zeros_(networks[name].score.weight)
    fresh = {name: {k: v.clone() for k, v in net.state_dict().items()} for name, net in networks.items()}

    def collate(rows: Any) -> dict[str, torch.Tensor]:
        ids = torch.nn.utils.rnn.pad_sequence([tokens[r] for r in rows], batch_first=True, padding_value=0)
        lengths = torch.tensor([len(tokens[r]) for r in rows])
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}

    def target(z: torch.Tensor, y: torch.Tensor, step: int, total: int) -> torch.Tensor:
        alpha = 0.5 * min(1.0, step / (0.2 * total))
        hard = torch.zeros_like(y)
        top = (z[:, 1] - z[:, 0]).argsort(descending=True)[: int(y[:, 1].sum() + 0.5)]
        hard[:, 0] = 1
        hard[top] = torch.tensor([0.0, 1.0])
        return (1 - alpha) * y + alpha * hard

    def fit(name: str, rows: range, soft: np.ndarray[Any, Any], confident: bool) -> Any:
        network = networks[name]
        network.load_state_dict(fresh[name])
        labels = torch.tensor(soft, dtype=torch.float32)
        steps = schedule(np.array([len(tokens[r]) for r in rows]), BATCH, EPOCHS, seed=0)
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATES[name], weight_decay=0.0)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(steps))
        network.train()
        for step, chosen in enumerate(steps):
            z = network(**collate([rows[i] for i in chosen])).logits
            y = labels[torch.from_numpy(chosen)]
            wanted = target(z.detach(), y, step, len(steps)) if confident else y
            loss = -(wanted * log_softmax(z, -1)).sum(-1).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            cosine.step()

        @torch.no_grad()
        def predict(wanted: range) -> np.ndarray[Any, Any]:
            network.eval()
            order = sorted(range(len(wanted)), key=lambda i: len(tokens[wanted[i]]))
            out = np.zeros((len(wanted), 2))
            for i in range(0, len(order), BATCH):
                piece = order[i : i + BATCH]
                out[piece] = network(**collate([wanted[j] for j in piece])).logits.numpy()
            return out

        return predict

    return fit


def ours(folder: Path, items: list[Item]) -> Fit:
    """The side of this package, through its public names."""
    from superalign.core.steps import Steps
    from superalign.learners.confidence import LogConf
    from superalign.learners.losses import Xent
    from superalign.models.hf.load import hf

    settings: dict[str, Any] = {"tune": "full", "batch": BATCH, "epochs": EPOCHS, "device": "cpu"}
    models = {
        name: hf(str(folder / name), steps=Steps(), choices=("no", "yes"), lr=RATES[name], **settings)
        for name in SHAPES
    }

    def fit(name: str, rows: range, soft: np.ndarray[Any, Any], confident: bool) -> Any:
        loss = LogConf() if confident else Xent()

        def objective(z: Any, chosen: Any, step: int, total: int) -> Any:
            return loss(z, soft[chosen], step, total, chosen)

        trained = models[name].fit([items[r] for r in rows], objective, 0)
        return lambda wanted: trained.logits([items[r] for r in wanted])

    return fit


def worker(side: str, folder: Path) -> None:
    """Answer each line of standard input with the four stages, as a line of JSON."""
    torch.set_num_threads(1)
    items, truth = documents()
    start = time.process_time()
    fit = {"plain": plain, "ours": ours}[side](folder, items)
    loaded = time.process_time() - start
    for _ in sys.stdin:
        print(json.dumps({**four_stages(fit, truth), "loaded": loaded}), flush=True)


def flops() -> dict[str, float]:
    """Floating-point operations of each stage's matrix products: 2 per weight and token forward and twice that
    backward, and 4 T d per token for attention. Padding is not counted; nor what a side leaves out."""
    items, _ = documents()
    lengths = np.array([len(item.prompt.split()) for item in items], float)

    def forward(name: str, rows: slice) -> float:
        layers, width, _ = SHAPES[name]
        return float((layers * (24 * width**2 * lengths[rows] + 4 * width * lengths[rows] ** 2)).sum())

    first, second, test = slice(0, HALF), slice(HALF, 2 * HALF), slice(2 * HALF, None)
    strong = 3 * EPOCHS * forward("strong", second) + forward("strong", test)
    weak = 3 * EPOCHS * forward("weak", first) + forward("weak", second) + forward("weak", test)
    return {"weak": weak, "ceiling": strong, "naive": strong, "logconf": strong}


def matmul_rate() -> float:
    """Float32 operations per second of one thread on the strong model's products (900 tokens), best of 5."""
    torch.set_num_threads(1)
    best = 0.0
    for _ in range(5):
        done, spent = 0, 0.0
        for k, n in ((128, 384), (128, 128), (128, 512), (512, 128)):
            a, b = torch.randn(900, k), torch.randn(k, n)
            a @ b
            start = time.process_time()
            for _ in range(20):
                a @ b
            spent += time.process_time() - start
            done += 20 * 2 * 900 * k * n
        best = max(best, done / spent)
    return best


def main() -> None:
    """Run both sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of each side")
    parser.add_argument("--worker", choices=["plain", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return worker(given.worker, given.folder)
    with tempfile.TemporaryDirectory() as place:
        make_models(Path(place))
        command = [sys.executable, __file__, "--folder", place, "--worker"]
        sides = {
            side: subprocess.Popen([*command, side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for side in ("plain", "ours")
        }
        results: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for turn in range(given.rounds + 1):
            for side in list(sides) if turn % 2 else list(sides)[::-1]:
                process = sides[side]
                assert process.stdin is not None
                assert process.stdout is not None
                print("run", file=process.stdin, flush=True)
                results[side].append(json.loads(process.stdout.readline()))
        for process in sides.values():
            process.communicate()
    show(results, matmul_rate())
    return None


def show(results: dict[str, list[dict[str, Any]]], rate: float) -> None:
    """Medians per stage, their ratio, and the share of the machine's rate of matrix products."""
    timed = {side: runs[1:] for side, runs in results.items()}
    work = flops()
    print(f"torch {torch.__version__}, 1 thread, {len(timed['ours'])} rounds, matrix products {rate / 1e9:.0f} GFLOP/s")
    print(f"{'stage':9s} {'plain s':>8s} {'ours s':>8s} {'ratio':>6s}   share of rate   accuracy plain / ours")
    sums = {"plain": 0.0, "ours": 0.0}
    for stage in STAGES:
        spent = {side: statistics.median(run["seconds"][stage] for run in runs) for side, runs in timed.items()}
        sums = {side: sums[side] + spent[side] for side in sums}
        share = {side: work[stage] / spent[side] / rate for side in spent}
        right = {side: runs[0]["accuracy"][stage] for side, runs in timed.items()}
        print(
            f"{stage:9s} {spent['plain']:8.3f} {spent['ours']:8.3f} {spent['ours'] / spent['plain']:6.2f}"
            f"   {share['plain']:5.2f} {share['ours']:5.2f}     {right['plain']:.3f} / {right['ours']:.3f}"
        )
    share = {side: sum(work.values()) / sums[side] / rate for side in sums}
    print(
        f"{'all':9s} {sums['plain']:8.3f} {sums['ours']:8.3f} {sums['ours'] / sums['plain']:6.2f}"
        f"   {share['plain']:5.2f} {share['ours']:5.2f}"
    )
    for kind in ("seconds", "clock"):
        totals = {side: [sum(run[kind].values()) for run in runs] for side, runs in timed.items()}
        pairs = ", ".join(f"{o / p:.2f}" for p, o in zip(totals["plain"], totals["ours"], strict=True))
        medians = " / ".join(f"{statistics.median(totals[side]):.2f} s" for side in ("plain", "ours"))
        print(f"{'processor' if kind == 'seconds' else 'clock'}: {medians}, ratio by round {pairs}")
    runs = zip(timed["plain"], timed["ours"], strict=True)
    apart = max(float(np.abs(np.subtract(p["logits"][s], o["logits"][s])).max()) for p, o in runs for s in STAGES)
    print(f"largest difference of test logits: {apart:.1e}")
    first = {side: sum(runs[0]["seconds"].values()) + runs[0]["loaded"] for side, runs in results.items()}
    print(f"first round with loading and tokenising: plain {first['plain']:.2f} s, ours {first['ours']:.2f} s")


if __name__ == "__main__":
    main()
