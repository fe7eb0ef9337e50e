"""Caching sparse activations and selecting from them: beside the same forward passes without a cache, and beside the
plain dense way (every row as a dense vector, its non-zero entries listed, all kept in memory, one file at the end).

    python benchmarks/interp.py [--rounds 5] [--latents 4096] [--full]

A GPT-NeoX of two layers and width 128 with random weights reads Zipf tokens (2,048 types, contexts of 256); a random
TopK coder keeps 32 latents of each row. One thread, one process per part, seconds of the processor.

1. Caching: forward + encode alone, forward + encode + cache on disk (synced, indexed), and the dense way; medians, the
   three in turn within each round (the dense way in two of them). 65,536 tokens; 16,384 with 16,384 latents, unless `--full`.
2. Selection: 40 top, 50 random and 50 quiet windows of 32 tokens for each of 200 latents, laid out with their values;
   beside, a scan of all entries per latent.
3. Disk: bytes per non-zero entry.
4. Memory: the largest resident set while 65,536, 262,144 and 1,048,576 tokens are cached, each in a fresh process, with
   64 MiB given to the cache. One layer and 512 latents, because a million tokens take long.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch

from superalign.interp.cache import Cache, write
from superalign.interp.collect import activations
from superalign.interp.corpus import Corpus, build
from superalign.interp.subject import Subject
from superalign.interp.units import Unit

VOCABULARY, CONTEXT, WIDTH, K = 2048, 256, 128, 32
SITE = "resid.1"


class Coder:
    """A random TopK dictionary. Rows go in chunks, so that no (n, latents) table is kept."""

    chunk = 128

    def __init__(self, latents: int) -> None:
        self.width, self.per_row = latents, K
        self.identity: Mapping[str, Any] = {"coder": "random", "latents": latents}
        weight = np.random.default_rng(1).normal(size=(WIDTH, latents)) / WIDTH**0.5
        self.weight = torch.from_numpy(weight.astype(np.float32))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [(part @ self.weight).topk(K, dim=1, sorted=False) for part in x.split(self.chunk)]
        return torch.cat([p.values.relu() for p in parts]), torch.cat([p.indices for p in parts])


def subject() -> Subject:
    import transformers

    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=4 * WIDTH, max_position_embeddings=CONTEXT,
    )  # fmt: skip
    model = transformers.GPTNeoXForCausalLM(config).eval().requires_grad_(False)
    strings = tuple(f" w{k}" for k in range(VOCABULARY))
    return Subject("random neox", {"model": "random neox"}, model, strings, None, CONTEXT)


def corpus(tokens: int) -> Corpus:
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, VOCABULARY + 1)
    drawn = rng.choice(VOCABULARY, tokens, p=share / share.sum())
    return build(drawn.reshape(-1, CONTEXT).tolist(), [f" w{k}" for k in range(VOCABULARY)], width=32, context=CONTEXT)


def alone(model: Subject, text: Corpus, coder: Coder, folder: str) -> None:
    """Forward and encode; nothing is kept."""
    for block in activations(model, text, [SITE]):
        coder.encode(block.values[SITE])


def cached(model: Subject, text: Corpus, coder: Coder, folder: str) -> Cache:
    """Forward, encode, cache and index."""
    return write(Path(folder), model, text, SITE, coder)


def dense(model: Subject, text: Corpus, coder: Coder, folder: str) -> None:
    """Every row as a dense vector, then its non-zero entries."""
    where, what, fired = [], [], torch.zeros(coder.width, dtype=torch.int64)
    for block in activations(model, text, [SITE]):
        values, index = coder.encode(block.values[SITE])
        for rows, v, i in zip(
            torch.from_numpy(block.rows).split(2048), values.split(2048), index.split(2048), strict=True
        ):
            whole = torch.zeros(len(v), coder.width).scatter_(1, i, v)
            found = (whole.abs() > 1e-5).nonzero()
            where.append(torch.stack([rows[found[:, 0]], found[:, 1]], 1))
            what.append(whole[found[:, 0], found[:, 1]])
            fired += (whole > 1e-5).sum(0)
    np.savez(Path(folder) / "dense.npz", where=torch.cat(where).numpy(), what=torch.cat(what).half().numpy())


WAYS = {"forward + encode": alone, "ours": cached, "dense": dense}


def caching(latents: int, rounds: int, tokens: int) -> dict[str, Any]:
    model, text, coder = subject(), corpus(tokens), Coder(latents)
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    wall: dict[str, list[float]] = {name: [] for name in WAYS}
    for k in range(rounds + 1):
        for name, way in WAYS.items():
            if way is dense and k > 2:  # it takes twice as long, and its ratio is no near thing
                continue
            with tempfile.TemporaryDirectory() as folder:
                start, clock = time.process_time(), time.perf_counter()
                way(model, text, coder, folder)
                if k:  # the first round warms up
                    taken[name].append(time.process_time() - start)
                    wall[name].append(time.perf_counter() - clock)
    return {"cpu": taken, "wall": wall}


def selection(latents: int, tokens: int) -> dict[str, Any]:
    model, text, coder = subject(), corpus(tokens), Coder(latents)
    with tempfile.TemporaryDirectory() as folder:
        cache = cached(model, text, coder, folder)
        size = (
            sum(f.stat().st_size for f in cache.folder.glob("segment-*/*"))
            + (cache.folder / "cache.json").stat().st_size
        )
        index = sum(f.stat().st_size for f in cache.folder.glob("index-*/*"))
        counts = cache.counts()
        nnz = int(counts.sum())
        chosen = np.random.default_rng(2).choice(np.flatnonzero(counts >= 40), 200, replace=False).tolist()
        text.new, text.window_of, text.window_split  # noqa: B018  of the corpus, worked out once for all latents
        cpu = time.process_time()
        for latent in chosen:
            found = cache.evidence(Unit(f"{SITE}+random", latent, "latent"), text)
            for windows in (found.top("explain", 40), found.random("test", 50), found.quiet("test", 50)):
                found.on(windows)
        ours = (time.process_time() - cpu) / len(chosen)
        start = time.process_time()
        reopened = Cache(cache.folder)
        reopened.evidence(Unit(SITE, chosen[0]), text).top("explain", 1).texts()
        first = time.process_time() - start
        rows, units, values = (np.concatenate(part) for part in zip(*cache.entries(), strict=True))
        start = time.process_time()
        for latent in chosen[:20]:
            scanned(rows, units, values, latent, text)
        plain = (time.process_time() - start) / 20
    return {"ms": 1e3 * ours, "plain ms": 1e3 * plain, "reopen ms": 1e3 * first, "bytes": size / nnz,
            "index bytes": index / nnz, "nnz per latent": nnz / latents}  # fmt: skip


def scanned(rows: Any, units: Any, values: Any, latent: int, text: Corpus) -> None:
    """All entries of a latent by a scan, then each of its windows laid out, the strongest first."""
    mine = units == latent
    own, strength = rows[mine], values[mine]
    laid: dict[int, Any] = {}
    for window, row, value in zip((own // 32).tolist(), own.tolist(), strength.tolist(), strict=True):
        laid.setdefault(window, np.zeros(32, np.float32))[row % 32] = value
    sorted(laid.values(), key=lambda v: -float(v.max()))


def memory(tokens: int) -> dict[str, Any]:
    model, text, coder = subject(), corpus(tokens), Coder(512)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), model, text, "resid.0", coder, memory=64 << 20)
    return {"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "seconds": time.process_time() - start}


def part(name: str, *numbers: int) -> dict[str, Any]:
    """One part in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--part", name, *map(str, numbers)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


PARTS = {"caching": caching, "selection": selection, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latents", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--full", action="store_true", help="65,536 tokens whatever the number of latents")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        torch.set_num_threads(1)
        print(json.dumps(PARTS[options.part[0]](*map(int, options.part[1:]))))
        return
    for latents in options.latents:
        report(latents, options.rounds, 65536 if options.full or latents <= 8192 else 16384)
    print("largest resident set while caching, 64 MiB given")
    for tokens in (65536, 262144, 1048576):
        found = part("memory", tokens)
        print(f"  {tokens:>9,} tokens  {found['rss']:7.0f} MiB   {found['seconds']:5.1f} s", flush=True)


def report(latents: int, rounds: int, tokens: int) -> None:
    found = part("caching", latents, rounds, tokens)
    print(f"{latents:,} latents, {tokens:,} tokens; seconds of the processor, of the clock, beside forward + encode")
    medians = {name: statistics.median(taken) for name, taken in found["cpu"].items()}
    for name, seconds in medians.items():
        walls = statistics.median(found["wall"][name])
        ratio = statistics.median(
            a / b for a, b in zip(found["cpu"][name], found["cpu"]["forward + encode"], strict=False)
        )
        print(f"  {name:<18}{seconds:7.2f}{walls:7.2f}{ratio:7.2f}x  {tokens / seconds:8,.0f} tokens/s", flush=True)
    chosen = part("selection", latents, tokens)
    print(f"  selection, 200 latents of {chosen['nnz per latent']:.0f} entries: {chosen['ms']:.3f} ms a latent;"
          f" by a scan {chosen['plain ms']:.2f} ms: {chosen['plain ms'] / chosen['ms']:.0f}x")  # fmt: skip
    print(f"  first window after reopening: {chosen['reopen ms']:.1f} ms; on disk {chosen['bytes']:.3f} bytes per"
          f" non-zero, and {chosen['index bytes']:.2f} for the index")  # fmt: skip


if __name__ == "__main__":
    main()
