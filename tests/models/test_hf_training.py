"""The training loop: gradients do not depend on the micro-batch, errors say what to do, memory is shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import Degenerate, ModelError
from superalign.core.steps import Steps
from superalign.learners.confidence import LogConf
from superalign.models.hf.ranks import Ranks
from superalign.models.hf.training import backward
from tests.models import hf_tiny
from tests.models.hf_tiny import Array


def gradients(micro: int, per_item: int = 1) -> dict[str, Array]:
    """The gradient of one step of the confidence loss, whose threshold is over the effective batch."""
    choices = ("no", "yes") if per_item == 1 else ()
    model = hf_tiny.model("gpt2", choices=choices)
    bench, reader = model._parts.bench(), model._parts.reader
    rng = np.random.default_rng(1)
    bench.hold({name: rng.normal(0, 0.3, a.shape).astype(np.float32) for name, a in bench.initial.items()})
    items = hf_tiny.sentences()[:12]
    texts = [i.prompt if per_item == 1 else f"{i.prompt}\n{c}" for i in items for c in i.choices[:per_item]]
    soft = np.linspace(0.1, 0.9, 12)[:, None] * [1, -1] + [0, 1]
    calls = []

    def slopes(z: Array) -> Array:
        calls.append(z.shape)
        return LogConf(alpha=0.7, warmup=0)(z, soft, 5, 10)[1]

    for p in bench.trained.values():
        p.grad = None
    backward(bench.network, reader.tokens(texts), per_item, np.arange(12), slopes, micro, Ranks())
    assert calls == [(12, 2)]  # once, with the whole effective batch
    return {name: p.grad.numpy().copy() for name, p in bench.trained.items() if p.grad is not None}


@pytest.mark.parametrize("per_item", [1, 2])
def test_gradients_are_equal_for_every_micro_batch(per_item: int) -> None:
    whole = gradients(12, per_item)
    assert max(np.abs(g).max() for g in whole.values()) > 1e-3
    for micro in (1, 4):
        parts = gradients(micro, per_item)
        assert parts.keys() == whole.keys()
        for name, gradient in whole.items():
            assert np.allclose(parts[name], gradient, atol=1e-6, rtol=1e-4), name


def test_the_gradient_is_that_of_the_mean_loss() -> None:
    """Against autograd through torch's own cross-entropy."""
    model = hf_tiny.model("gpt2")
    bench, items = model._parts.bench(), hf_tiny.sentences()[:7]
    rng = np.random.default_rng(1)
    bench.hold({name: rng.normal(0, 0.3, a.shape).astype(np.float32) for name, a in bench.initial.items()})
    truth = hf_tiny.kindness(items)
    rows = model._parts.reader.tokens([item.prompt for item in items])
    goal = hf_tiny.cross_entropy(truth)
    backward(bench.network, rows, 1, np.arange(7), lambda z: goal(z, np.arange(7), 0, 1)[1], 7, Ranks())
    ours = {name: p.grad.clone() for name, p in bench.trained.items() if p.grad is not None}
    for p in bench.trained.values():
        p.grad = None
    from superalign.models.hf.batches import collate

    z = bench.network(collate(rows, torch.device("cpu")))
    torch.nn.functional.cross_entropy(z, torch.from_numpy(truth)).backward()
    for name, gradient in ours.items():
        assert torch.allclose(gradient, bench.trained[name].grad, atol=1e-6), name


def test_training_does_not_depend_on_micro_or_on_the_objective_s_history() -> None:
    items = hf_tiny.sentences()
    goal = hf_tiny.cross_entropy(hf_tiny.kindness(items))
    one, two = (hf_tiny.model("gpt2", micro=m, lr=0.003).fit(items, goal, 0).logits(items) for m in (None, 3))
    assert np.allclose(one, two, atol=1e-3)
    assert hf_tiny.model("gpt2", micro=3).identity == hf_tiny.model("gpt2").identity


def test_students_share_one_network_and_keep_their_own_weights() -> None:
    items = hf_tiny.sentences()
    truth = hf_tiny.kindness(items)
    base = hf_tiny.model("gpt2")
    features = base.features(items)
    one = base.fit(items, hf_tiny.cross_entropy(truth), 0)
    before = one.logits(items)
    two = base.fit(items, hf_tiny.cross_entropy(1 - truth), 0)
    assert (two.logits(items).argmax(1) != truth).mean() > 0.7
    assert np.array_equal(one.logits(items), before)
    assert np.array_equal(one.features(items), features)  # the pretrained ones
    assert one.name != two.name


def test_tied_weights_are_one_array() -> None:
    """ALBERT uses one block for all layers; its weights must stand once in the state and load back."""
    import tempfile

    import transformers as t

    torch.manual_seed(0)
    config = t.AlbertConfig(vocab_size=len(hf_tiny.WORDS), embedding_size=8, hidden_size=16, num_hidden_layers=3,
                            num_attention_heads=2, intermediate_size=32, max_position_embeddings=32)  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        t.AlbertModel(config).save_pretrained(place)
        hf_tiny.tokenizer().save_pretrained(place)
        made = hf_tiny.hf(place, choices=("no", "yes"), tune="full", lr=0.003, batch=8)
        items = hf_tiny.sentences()
        fitted = made.fit(items, hf_tiny.cross_entropy(hf_tiny.kindness(items)), 0)
        assert sum("query.weight" in name for name in fitted.state()) == 1
        again = hf_tiny.hf(place, choices=("no", "yes"), tune="full").load(fitted.state())
        assert np.array_equal(again.logits(items), fitted.logits(items))


def test_an_untrained_model_says_so() -> None:
    with pytest.raises(ModelError, match="is not trained; call fit or load first"):
        hf_tiny.model("gpt2").logits(hf_tiny.sentences())
    with pytest.raises(ModelError, match="given no items to fit"):
        hf_tiny.model("gpt2").fit([], hf_tiny.cross_entropy(np.zeros(0, int)), 0)


def test_weights_of_another_model_are_refused() -> None:
    model = hf_tiny.model("gpt2")
    with pytest.raises(ModelError, match=r"29 of 29 arrays are missing .* 1 are unknown \(weights\)"):
        model.load({"weights": np.zeros(3)})


def test_a_loss_that_is_not_finite_stops_the_fit() -> None:
    def broken(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        return logits[:, 0] * (np.nan if step == 2 else 1), logits

    with pytest.raises(Degenerate, match="at step 2 of 12 the loss or its gradient is not finite"):
        hf_tiny.model("gpt2").fit(hf_tiny.sentences(), broken, 0)


def test_divergence_is_named() -> None:
    items = hf_tiny.sentences()
    with pytest.raises(Degenerate, match=r"training diverged at step \d+ of 12: logits are not finite; lower lr="):
        hf_tiny.model("gpt2", lr=1e38).fit(items, hf_tiny.cross_entropy(hf_tiny.kindness(items)), 0)


def test_exhausted_memory_says_what_to_lower() -> None:
    for kind in (torch.OutOfMemoryError, MemoryError):

        def full(logits: Array, rows: Array, step: int, total: int, kind: Any = kind) -> tuple[Array, Array]:
            raise kind("no room")

        with pytest.raises(ModelError, match=r"out of memory; lower micro= .* tune=lora"):
            hf_tiny.model("gpt2").fit(hf_tiny.sentences(), full, 0)


def test_features_are_kept_by_content() -> None:
    items, steps = hf_tiny.sentences(), Steps()
    first = hf_tiny.model("bert", tune="head", steps=steps)
    features = first.features(items)
    again = hf_tiny.model("bert", tune="head", steps=steps)
    assert np.array_equal(again.features(items[::-1]), features[::-1])
    assert [done.cached for done in steps.done] == [False, True]
    other = hf_tiny.model("bert", tune="head", steps=steps, pool="cls")
    assert not np.allclose(other.features(items), features)
    assert not steps.done[-1].cached
    assert features.shape == (24, 16)


def test_a_middle_layer_is_what_transformers_calls_it() -> None:
    from transformers import AutoModel

    items = hf_tiny.sentences()[:3]
    network = AutoModel.from_pretrained(hf_tiny.folder("gpt2")).eval()
    ids = torch.tensor([hf_tiny.WORDS.index(word) for word in items[2].prompt.split()])[None]
    with torch.no_grad():
        expected = network(ids, output_hidden_states=True)
    middle = hf_tiny.model("gpt2", tune="head", layer=1).features(items)[2]
    last = hf_tiny.model("gpt2", tune="head", layer=2).features(items)[2]
    assert np.allclose(middle, expected.hidden_states[1][0, -1], atol=1e-5)
    assert np.allclose(last, expected.last_hidden_state[0, -1], atol=1e-5)
    assert np.allclose(hf_tiny.model("gpt2", tune="head", layer=-1).features(items)[2], middle, atol=1e-6)
    with pytest.raises(ModelError, match="layer=5: this model has layers 1 to 2"):
        hf_tiny.model("gpt2", tune="head", layer=5).features(items)
