"""Small multilayer perceptrons on a task's vectors: exact backpropagation in numpy, trained with Adam.

ReLU layers and a head that starts at zero, so an untrained student is uniform and every loss starts from
the same place. Two classes have one output s and logits (-s/2, s/2). All weights are one float32 vector,
which makes an Adam step (Kingma and Ba 2015, algorithm 1) a handful of passes over it. The learning rate
falls to zero along a cosine. `manifold-mlp` is the pretrained strong model of the hidden-manifold world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.ports import Inputs, Objective, Watch
from superalign.core.random import stream
from superalign.core.types import Ask, Item, Reply
from superalign.models.head import answers, columns, folded

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.core.steps import Steps

Single = NDArray[np.float32]
Layer = tuple[Single, Single]

WATCHED = 10
"""How often a fit is watched: at every tenth of its steps, where over-fitting to the labels shows."""


def layers(flat: Single, sizes: Sequence[int]) -> list[Layer]:
    """Views of a flat vector as weights (in, out) and biases (out,) of each layer."""
    views, start = [], 0
    for wide, narrow in pairwise(sizes):
        end = start + wide * narrow
        views.append((flat[start:end].reshape(wide, narrow), flat[end : end + narrow]))
        start = end + narrow
    return views


def count(sizes: Sequence[int]) -> int:
    """The number of weights and biases."""
    return sum((wide + 1) * narrow for wide, narrow in pairwise(sizes))


def initial(sizes: Sequence[int], rng: np.random.Generator) -> Single:
    """Hidden weights ~ N(0, 2 / fan-in) (He et al. 2015, section 2.2), biases and the last layer zero."""
    flat = np.zeros(count(sizes), np.float32)
    for weights, _ in layers(flat, sizes)[:-1]:
        weights[:] = rng.standard_normal(weights.shape) * np.sqrt(2 / weights.shape[0])
    return flat


def forward(network: Sequence[Layer], x: Floats) -> list[Single]:
    """The input, every hidden layer and the output, each (B, width)."""
    values = [np.asarray(x, np.float32)]
    for i, (weights, bias) in enumerate(network):
        out = values[-1] @ weights + bias
        values.append(np.maximum(out, 0, out=out) if i + 1 < len(network) else out)
    return values


def backward(network: Sequence[Layer], values: Sequence[Single], slope: Single, into: Sequence[Layer]) -> None:
    """Write the gradient of the weights into `into`, given the gradient (B, outputs) of the output."""
    for i in range(len(network) - 1, -1, -1):
        np.matmul(values[i].T, slope, out=into[i][0])
        slope.sum(0, out=into[i][1])
        if i:
            slope = (slope @ network[i][0].T) * (values[i] > 0)


def descend(
    flat: Single,
    sizes: Sequence[int],
    total: int,
    rate: float,
    batch: Callable[[int], Floats],
    loss: Callable[[int, Single], Floats],
    watch: Callable[[int, Single], None] | None = None,
) -> None:
    """Train `flat` in place: `total` Adam steps from `rate` down to zero along a cosine.

    `batch(step)` gives the inputs (B, d), `loss(step, outputs)` the gradient (B, outputs) of the mean loss.
    """
    first, second, slope = np.zeros_like(flat), np.zeros_like(flat), np.zeros_like(flat)
    room = np.empty_like(flat)
    network, slopes = layers(flat, sizes), layers(slope, sizes)
    for step in range(total):
        values = forward(network, batch(step))
        backward(network, values, np.asarray(loss(step, values[-1]), np.float32), slopes)
        first *= 0.9
        first += np.multiply(slope, 0.1, out=room)
        second *= 0.999
        np.multiply(slope, slope, out=room)
        second += np.multiply(room, 0.001, out=room)
        np.sqrt(second, out=room)
        room *= 1 / np.sqrt(1 - 0.999 ** (step + 1))
        room += 1e-8
        now = rate * 0.5 * (1 + np.cos(np.pi * step / total)) / (1 - 0.9 ** (step + 1))
        np.divide(first, room, out=room)
        flat -= np.multiply(room, now, out=room)
        if watch is not None:
            watch(step + 1, flat)


class Mlp:
    """A Trainable: a perceptron with `hidden` layers on `inputs`, all of it trained by `fit`.

    `body()` gives pretrained hidden weights (the flat vector without the head, from which every fit starts
    and whose last layer are the `features`); without it the hidden layers are drawn from the fit's seed and
    `features` are the inputs. `fit` makes epochs * ceil(n / batch) steps; the seed fixes initialisation and
    batch order. Names of trained models end in a hash of their weights, because a name is part of the key
    of a recorded call.
    """

    serial = True

    def __init__(
        self,
        name: str,
        identity: Mapping[str, Any],
        inputs: Inputs,
        choices: tuple[str, ...],
        *,
        hidden: Sequence[int],
        training: tuple[int, float, int],
        body: Callable[[], Single] | None = None,
        flat: tuple[Single, tuple[int, ...]] | None = None,
    ) -> None:
        epochs, rate, batch = training
        if min(epochs, batch, *hidden) < 1 or rate <= 0:
            raise ModelError(f"{name}: epochs, batch and width must be at least 1 and lr above 0, got epochs={epochs},"
                             f" batch={batch}, widths {tuple(hidden)}, lr={rate:g}")  # fmt: skip
        self._name, self._inputs, self._choices, self._hidden = name, inputs, choices, tuple(hidden)
        self._training, self._body, self._flat, self._given = training, body, flat, dict(identity)
        self._outputs = 1 if len(choices) == 2 else len(choices)
        self.name = name if flat is None else f"{name}#{digest(flat[0])[:8]}"
        self.identity: Mapping[str, Any] = {
            **identity, "mlp": 1, "hidden": list(hidden), "epochs": epochs, "lr": rate, "batch": batch,
            "choices": list(choices),
        }  # fmt: skip

    def variants(self) -> list[Mlp]:
        """Itself: there is nothing to choose among."""
        return [self]

    def features(self, items: Sequence[Item]) -> Floats:
        """(n, width) of the pretrained body's last layer, whatever was trained since; else the inputs (n, d)."""
        x = self._vectors(items)
        if self._body is None:
            return x
        sizes = (x.shape[1], *self._hidden)
        return np.maximum(forward(layers(self._pretrained(self._body, sizes), sizes), x)[-1], 0)

    def logits(self, items: Sequence[Item]) -> Floats:
        """(n, K) float64. Raises ModelError before the first `fit` or `load`."""
        flat, sizes = self._trained()
        if not items:
            return np.zeros((0, len(self._choices)))
        x = self._vectors(items)
        if x.shape[1] != sizes[0]:
            raise ModelError(f"{self._name} reads {sizes[0]} numbers per item, and these items have {x.shape[1]}")
        return columns(forward(layers(flat, sizes), x)[-1].astype(np.float64))

    def fit(self, items: Sequence[Item], objective: Objective, seed: int, watch: Watch | None = None) -> Mlp:
        """A copy trained on `items`; the objective sees one minibatch at a time. Raises ModelError for no items."""
        if not items:
            raise ModelError(f"{self._name} was given no items to fit; a filter may have dropped all of them")
        x = np.asarray(self._vectors(items), np.float32)
        sizes = (x.shape[1], *self._hidden, self._outputs)
        flat = self._start(sizes, seed)
        order = list(_batches(len(x), self._training, stream(seed, "mlp/order", self.identity)))
        total = len(order)

        def slope(step: int, outputs: Single) -> Floats:
            pull = np.asarray(objective(columns(outputs.astype(np.float64)), order[step], step, total)[1])
            if not np.isfinite(pull).all():
                raise ModelError(f"at step {step} of {total} the loss has a gradient that is not finite")
            return folded(pull) / len(pull)

        marks = {-(-total * k // WATCHED) for k in range(1, WATCHED + 1)}

        def seen(step: int, now: Single) -> None:
            if watch is not None and step in marks:
                watch(step, total, self._copy(now.copy(), sizes))

        descend(flat, sizes, total, self._training[1], lambda step: x[order[step]], slope, seen)
        return self._copy(flat, sizes)

    def state(self) -> dict[str, NDArray[Any]]:
        """`weights0`, `bias0`, ... in float32, layer by layer."""
        flat, sizes = self._trained()
        pairs = enumerate(layers(flat, sizes))
        return {f"{part}{i}": array for i, pair in pairs for part, array in zip(("weights", "bias"), pair, strict=True)}

    def load(self, state: Mapping[str, NDArray[Any]]) -> Mlp:
        """A copy with these weights. Raises ModelError where the shapes are of another network."""
        arrays = [state.get(f"{part}{i}", np.zeros(0)) for i in range(len(self._hidden) + 1)
                  for part in ("weights", "bias")]  # fmt: skip
        sizes = (arrays[0].shape[0], *self._hidden, self._outputs)
        wanted = [view.shape for pair in layers(np.zeros(count(sizes), np.float32), sizes) for view in pair]
        if [a.shape for a in arrays] != wanted or len(state) != len(arrays):
            raise ModelError(
                f"{self._name} cannot load { {k: v.shape for k, v in state.items()} }: it has layers {sizes}"
            )
        return self._copy(np.concatenate([a.astype(np.float32).ravel() for a in arrays]), sizes)

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over each ask's choices (see `head.answers`)."""
        return answers(self.name, self._choices, self.logits, asks)

    def _start(self, sizes: tuple[int, ...], seed: int) -> Single:
        flat = initial(sizes, stream(seed, "mlp/start", self.identity))
        if self._body is not None:
            body = self._pretrained(self._body, sizes[:-1])
            flat[: body.size] = body
        return flat

    def _pretrained(self, body: Callable[[], Single], sizes: tuple[int, ...]) -> Single:
        found = body()
        if found.size != count(sizes):
            raise ModelError(f"{self._name} was pretrained on other inputs than these of {sizes[0]} numbers")
        return found

    def _vectors(self, items: Sequence[Item]) -> Floats:
        return self._inputs([item.id for item in items])

    def _trained(self) -> tuple[Single, tuple[int, ...]]:
        if self._flat is None:
            raise ModelError(f"{self._name} is not trained; call fit or load first and use the model they return")
        return self._flat

    def _copy(self, flat: Single, sizes: tuple[int, ...]) -> Mlp:
        return Mlp(self._name, self._given, self._inputs, self._choices, hidden=self._hidden, training=self._training,
                   body=self._body, flat=(flat, sizes))  # fmt: skip


def _batches(n: int, training: tuple[int, float, int], rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    epochs, _, size = training
    for _ in range(epochs):
        shuffled = rng.permutation(n)
        yield from (shuffled[at : at + size] for at in range(0, n, size))


def from_inputs(name: str, inputs: Inputs | None, choices: tuple[str, ...]) -> Inputs:
    """The inputs of a model that reads vectors. Raises ModelError for a task of texts, or without classes."""
    if inputs is None:
        raise ModelError(f"{name} reads vectors, and this task holds texts; choose bow, ngram, minilm or hf:...")
    if len(choices) < 2:
        raise ModelError(f"{name} needs a task whose items share their classes, got the choices {choices}")
    return inputs


def mlp(
    *,
    inputs: Inputs | None,
    steps: Steps,
    choices: tuple[str, ...],
    width: int = 32,
    depth: int = 1,
    epochs: int = 60,
    lr: float = 3e-3,
    batch: int = 32,
) -> Mlp:
    """A perceptron of `depth` layers of `width`, trained from random weights.

    The defaults are a weak supervisor for some 150 labels: 300 Adam steps of 32 rows.
    """
    if depth < 1:
        raise ModelError(f"mlp: depth must be at least 1, got {depth}; a model without hidden layers is `linear`")
    read = from_inputs("mlp", inputs, choices)
    return Mlp("mlp", {"model": "mlp"}, read, choices, hidden=(width,) * depth, training=(epochs, lr, batch))


MANIFOLD = (256, 256, 128)
"""The hidden layers of `manifold-mlp`."""


def manifold_mlp(
    *,
    inputs: Inputs | None,
    steps: Steps,
    choices: tuple[str, ...],
    world: int = 0,
    epochs: int = 2,
    lr: float = 1e-3,
    batch: int = 32,
) -> Mlp:
    """A strong model for the hidden-manifold world: pretrained on 64 of its other concepts, then trained whole.

    `world` must be the `seed` of the task, or what was learned before is about another world. Pretraining (600
    Adam steps of 256 fresh observations) is one step, done once per store; the head starts at zero.
    """
    read = from_inputs("manifold-mlp", inputs, choices)

    def body() -> Single:
        made = steps.run("manifold-mlp", 1, {"world": world, "hidden": list(MANIFOLD)}, lambda: _pretrain(world))
        return np.asarray(made["weights"], np.float32)

    identity = {"model": "manifold-mlp", "version": 1, "world": world}
    return Mlp("manifold-mlp", identity, read, choices, hidden=MANIFOLD, training=(epochs, lr, batch), body=body)


def _pretrain(world: int) -> dict[str, Single]:
    """24 draws of 25 batches of 256; the mean over rows of the summed cross-entropies of 64 concepts; 1e-3."""
    from superalign.tasks.worlds.hidden_manifold import concepts

    size, per_draw, draws = 256, 25, 24
    now: dict[int, tuple[Floats, Ints]] = {}

    def drawn(step: int) -> tuple[Floats, Ints]:
        draw, place = divmod(step, per_draw)
        if draw not in now:
            now.clear()
            now[draw] = concepts(world, per_draw * size, draw)
        points, truth = now[draw]
        return points[place * size : (place + 1) * size], truth[place * size : (place + 1) * size]

    def slope(step: int, outputs: Single) -> Floats:
        chances: Floats = (0.5 * (1 + np.tanh(outputs / 2)) - drawn(step)[1]) / size
        return chances

    points, truth = drawn(0)
    sizes = (points.shape[1], *MANIFOLD, truth.shape[1])
    flat = initial(sizes, stream(world, "manifold-mlp/start"))
    descend(flat, sizes, draws * per_draw, 1e-3, lambda step: drawn(step)[0], slope)
    return {"weights": flat[: count(sizes[:-1])].copy()}
