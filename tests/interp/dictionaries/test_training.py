"""Training: planted directions are found, and the promises about units, seeds, streams and dead latents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from superalign.core.errors import Degenerate, ModelError, SpecError
from superalign.interp.dictionaries import rows as rows_module
from superalign.interp.dictionaries.dictionary import Dictionary
from superalign.interp.dictionaries.quality import match, quality
from superalign.interp.dictionaries.rows import batches, geometric_median, scale_of
from superalign.interp.dictionaries.training import Trained, Training, train
from superalign.interp.worlds.superposed import superposed
from tests.interp.dictionaries.planted import numbers, planted

GOLDEN = Path(__file__).parents[2] / "golden" / "dictionaries.json"
KINDS: tuple[Trained, ...] = ("topk", "batchtopk", "jumprelu")
X, BASIS = planted(6000, 16, 24, 2)


def brief(kind: Trained = "topk", **options: Any) -> Training:
    return Training(**{"latents": 32, "k": 3, "kind": kind, "steps": 60, "batch": 256, "lr": 0.005, **options})


def found(d: Dictionary, basis: Tensor) -> float:
    """The share of directions that a latent is within a cosine of 0.95 of."""
    return float(((basis @ d.directions.T).max(1).values > 0.95).float().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_finds_planted_directions(kind: Trained) -> None:
    d = train(X, brief(kind, steps=250, k=2))
    measured = quality(d, X)
    assert found(d, BASIS) > 0.5
    assert found(train(X, brief(kind, steps=1, lr=1e-9, k=2)), BASIS) < 0.1
    assert measured.fvu < 0.2
    assert measured.l0 == pytest.approx(2, rel=0.1)
    assert d.kind == kind
    torch.testing.assert_close(d.directions.norm(dim=1), torch.ones(32))


def test_superposed_predicates_leave_at_most_five_percent_unexplained() -> None:
    """Experiment S1 with less text and 600 short steps for its 1,500, which end at .03."""
    world = superposed(0, documents=600)
    d = train(torch.from_numpy(world.x), Training(latents=96, k=4, lr=5e-3, steps=600, batch=512))
    measured = quality(d, torch.from_numpy(world.x))
    assert measured.fvu < 0.05
    assert measured.dead < 0.15
    assert found(d, torch.from_numpy(world.directions)) > 0.6


def trajectory() -> dict[str, Any]:
    """What each kind says of itself over 40 steps, and where one direction ends."""
    told: dict[str, Any] = {}
    for kind in KINDS:
        seen: list[list[float]] = []

        def watch(step: int, numbers: Mapping[str, float], seen: list[list[float]] = seen) -> None:
            seen.append([step, numbers["fvu"], numbers["l0"]])

        d = train(X[:1000], brief(kind, latents=16, steps=40, batch=128), seed=7, watch=watch)
        told[kind] = {"told": seen, "direction": d.directions[0].tolist(), "bias": d.b_enc.tolist()}
    return told


def test_a_short_run_follows_its_golden_trajectory() -> None:
    golden, now = json.loads(GOLDEN.read_text(encoding="utf-8")), trajectory()
    for kind in KINDS:
        for name in ("told", "direction", "bias"):
            torch.testing.assert_close(
                torch.tensor(now[kind][name]), torch.tensor(golden[kind][name]), rtol=1e-3, atol=1e-3
            )


def test_the_same_seed_gives_the_same_dictionary_and_leaves_the_global_generator() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (train(X, brief(steps=5), seed=seed) for seed in (3, 3, 4))
    assert first.identity == again.identity != other.identity
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("kind", KINDS)
def test_shifted_and_scaled_data_give_the_shifted_and_scaled_dictionary(kind: Trained) -> None:
    """Also with dead latents, whose loss grew tenfold elsewhere when data and bias were shifted by 3."""
    options = brief(kind, dead_after=256)
    plain, moved = train(X, options), train(4 * X + 3, options)
    assert float((moved.directions * plain.directions).sum(1).mean()) > 0.99  # rounding grows: a choice here and there
    values, _ = plain.encode(X[:200])
    assert float(moved.encode(4 * X[:200] + 3)[0].sum()) == pytest.approx(4 * float(values.sum()), rel=0.02)
    assert quality(moved, 4 * X + 3).fvu == pytest.approx(quality(plain, X).fvu, rel=0.03)


def test_dead_latents_are_trained_by_auxk() -> None:
    """Latents that nothing chooses: without AuxK their encoder rows stay as they began."""
    moved = {}
    for aux in (0.0, 1 / 32):
        options = brief(latents=200, k=1, steps=40, dead_after=512, aux=aux)
        told: list[float] = []
        d = train(X, options, watch=lambda step, numbers, told=told: told.append(numbers["dead"]))  # type: ignore[misc]
        start = train(X, brief(latents=200, k=1, steps=1, lr=1e-12, aux=aux))
        silent = torch.from_numpy(quality(d, X).counts == 0)
        assert told[-1] > 0.2
        moved[aux] = float((d.W_enc - start.W_enc)[silent].norm(dim=1).median())
    assert moved[1 / 32] > 0.05
    assert moved[0.0] < 0.5 * moved[1 / 32]


def test_a_transcoder_learns_what_is_given_for_what_is_read() -> None:
    """y is a sum of rectified projections of x, and a linear part that only a skip can give cheaply."""
    x = numbers(6000, 8, seed=1)
    maps, out, line = numbers(8, 10, seed=2), numbers(10, 5, seed=3), numbers(8, 5, seed=4)
    y = (x @ maps - 2.0).relu() @ out + 3 * x @ line + 5.0
    options = Training(latents=40, k=8, steps=150, batch=256, lr=0.01)
    plain, skip = train((x, y), options), train((x, y), Training(**{**_fields(options), "skip": True}))
    assert (plain.transcode, plain.d_in, plain.d_out) == (True, 8, 5)
    assert quality(plain, (x, y)).fvu < 0.08
    assert quality(skip, (x, y)).fvu < 0.75 * quality(plain, (x, y)).fvu


def test_a_stream_trains_as_a_tensor_does() -> None:
    def stream() -> Iterator[Tensor]:
        yield from (X[at : at + 700] for at in range(0, len(X), 700))

    d, same = train(stream, brief(steps=150, k=2)), train(X, brief(steps=150, k=2))
    assert quality(d, stream).fvu == pytest.approx(quality(same, X).fvu, rel=0.3)


@pytest.mark.parametrize("pool", [1 << 10, 1 << 30])
def test_a_stream_is_mixed_and_every_row_of_a_pass_comes_once(monkeypatch: pytest.MonkeyPatch, pool: int) -> None:
    monkeypatch.setattr(rows_module, "POOL", pool)
    numbered = torch.arange(640.0)[:, None].expand(640, 2).contiguous()

    def stream() -> Iterator[Tensor]:
        yield from (numbered[at : at + 50] for at in range(0, 640, 50))

    taken = batches(stream, 32, seed=0)
    first = torch.cat([next(taken)[0][:, 0] for _ in range(20)])
    assert sorted(first.tolist()) == list(range(640))
    assert first.tolist() != sorted(first.tolist())
    again = torch.cat([next(taken)[0][:, 0] for _ in range(20)])
    assert sorted(again.tolist()) == list(range(640))
    assert first.tolist() != again.tolist()


def test_rows_of_a_tensor_come_once_an_epoch_in_another_order_each() -> None:
    numbered = torch.arange(100.0)[:, None]
    taken = batches(numbered, 50, seed=0)
    epochs = [torch.cat([next(taken)[0], next(taken)[0]])[:, 0].tolist() for _ in range(2)]
    assert [sorted(e) for e in epochs] == [list(range(100))] * 2
    assert epochs[0] != epochs[1]
    x, y = next(batches((numbered, 2 * numbered), 30, seed=0))
    assert torch.equal(2 * x, y)
    assert len(next(batches(numbered, 1000, seed=0))[0]) == 100


def test_the_geometric_median_is_not_moved_by_a_few_huge_rows() -> None:
    x = torch.cat([numbers(1000, 4) + 2, torch.full((5, 4), 1e4)])
    centre = geometric_median(x)
    assert float((centre - 2).abs().max()) < 0.2
    assert float((x.mean(0) - 2).abs().min()) > 40
    torch.testing.assert_close(geometric_median(torch.ones(5, 3)), torch.ones(3))
    scale = scale_of(x)
    assert float(scale.into(x).var(0, unbiased=False).sum()) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "gated"}, r"no dictionary of kind 'gated' is trained; there is: batchtopk, jumprelu, topk"),
        ({"k": 33}, r"k=33 of latents=32 cannot fire"),
        ({"steps": 0}, r"steps=0, batch=256, lr=0.005 and bandwidth=0.05 must be positive"),
        ({"lr": -1.0}, r"lr=-1.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        brief(**options)


def test_data_that_cannot_be_learnt_from_are_refused() -> None:
    bad = X.clone()
    bad[3, 1] = torch.inf
    with pytest.raises(ModelError, match=r"1 of 6000 rows of activations are not finite; read the model in float32"):
        train(bad, brief())
    with pytest.raises(
        ModelError, match=r"rows \(n, width\), as many to give as to read; got \(6000, 16\) and \(10, 16\)"
    ):
        train((X, X[:10]), brief())
    with pytest.raises(ModelError, match=r"got \(16,\) and \(16,\)"):
        train(X[0], brief())
    with pytest.raises(ModelError, match="the stream of activations is empty"):
        train(lambda: iter(()), brief())
    with pytest.raises(ModelError, match=r"changes its width from \(16, 16\) to \(5, 5\)"):
        train(lambda: iter((X, X[:, :5])), brief())
    with pytest.raises(Degenerate, match="all activations of the site are equal"):
        train(torch.full((50, 4), 0.1), brief())
    with pytest.raises(SpecError, match="an autoencoder would only copy"):
        train(X, brief(skip=True))
    with pytest.raises(Degenerate, match=r"training diverged by step \d+ of 60; lower lr \(now 1e\+38\)"):
        train((X, X.clone()), brief(lr=1e38))


def test_progress_and_the_watch_hear_of_a_run() -> None:
    steps, told = [], []
    train(X, brief(steps=25), progress=lambda name, done, total: steps.append((name, done, total)),
          watch=lambda step, numbers: told.append((step, set(numbers))))  # fmt: skip
    assert steps == [("dictionary", k, 25) for k in range(1, 26)]
    assert told == [(k, {"fvu", "l0", "dead"}) for k in (3, 5, 8, 10, 13, 15, 18, 20, 23, 25)]


def test_two_seeds_match_better_than_chance() -> None:
    first, second = (train(X, brief(steps=150, k=2), seed=seed) for seed in (0, 1))
    _, cosine = match(first, second)
    _, chance = match(first, train(X, brief(steps=1, lr=1e-9), seed=2))
    assert cosine.mean() > chance.mean() + 0.1


def _fields(options: Training) -> dict[str, Any]:
    return {name: getattr(options, name) for name in Training.__dataclass_fields__}
