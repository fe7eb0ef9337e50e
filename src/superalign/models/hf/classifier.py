"""A transformer trained as a whole, or through adapters, with any loss: `tune=full` and `tune=lora`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.types import Ask, Item, Reply
from superalign.models.head import answers
from superalign.models.hf.adapters import drawn
from superalign.models.hf.batches import Reader, read_items
from superalign.models.hf.network import Bench, Weights
from superalign.models.hf.options import Options
from superalign.models.hf.plan import Plan
from superalign.models.hf.training import train
from superalign.models.hf.zero_shot import ZeroShot

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Objective, Watch


@dataclass(frozen=True)
class Parts:
    """What all copies of a classifier share. `bench()` loads the network on first use."""

    bench: Callable[[], Bench]
    plan: Plan
    reader: Reader
    choices: tuple[str, ...]
    options: Options
    frozen: Callable[[Sequence[Item]], Floats]
    zero: ZeroShot


class Classifier:
    """A Trainable. One column of logits per class, or one score per choice of an item.

    Copies share one network in memory. `weights` is None before the first `fit` or `load`.
    """

    serial = True

    def __init__(self, name: str, identity: Mapping[str, Any], parts: Parts, weights: Weights | None = None) -> None:
        self._name, self._parts, self._weights = name, parts, weights
        self.name = name if weights is None else f"{name}#{digest(dict(weights))[:8]}"
        self.identity = identity

    def variants(self) -> list[Classifier]:
        """Itself: nothing is chosen on validation labels."""
        return [self]

    def features(self, items: Sequence[Item]) -> Floats:
        """The pretrained representation, before any training: (n, d), or (n, K, d) for own choices."""
        return self._parts.frozen(items)

    def logits(self, items: Sequence[Item]) -> Floats:
        """(n, K) float64. Raises ModelError before the first `fit` or `load`."""
        weights = self._trained()
        if not items:
            return np.zeros((0, len(self._parts.choices)))
        texts, per_item = read_items(items, not self._parts.choices)
        scores = self._parts.bench().scores(weights, self._parts.reader.tokens(texts)).astype(np.float64)
        return scores if self._parts.choices else scores.reshape(len(items), per_item)

    def fit(self, items: Sequence[Item], objective: Objective, seed: int, watch: Watch | None = None) -> Classifier:
        """A copy trained from the pretrained weights. `seed` fixes the batches, and the adapters' start.

        Same seed, same items: the same bits (on a CPU with one thread). Raises ModelError for no items, for
        exhausted memory and where training diverges.
        """
        if not items:
            raise ModelError(f"{self._name} was given no items to fit; a filter may have dropped all of them")
        parts, bench = self._parts, self._parts.bench()
        texts, per_item = read_items(items, not parts.choices)
        bench.hold(drawn(bench.initial, seed) if parts.options.tune == "lora" else bench.initial)

        def seen(step: int, total: int) -> None:
            if watch is not None:
                now = bench.keep()
                watch(step, total, self._copy(now))
                bench.hold(now)  # the watcher may have used another model
                bench.touch()

        train(bench, parts.reader.tokens(texts), per_item, objective, seed, parts.options, seen)
        return self._copy(bench.keep())

    def state(self) -> dict[str, NDArray[Any]]:
        """The trained arrays: all weights for `full`, adapters and head for `lora`. Each is a copy."""
        return {name: np.array(value) for name, value in self._trained().items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> Classifier:
        """A copy with these weights. Raises ModelError where they are not a full set for this network."""
        return self._copy(self._parts.bench().fitting(state, self._name))

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over each ask's choices, as `superalign.models.head.answers`."""
        return answers(self.name, self._parts.choices, self.logits, asks)

    def zero_shot(self, items: Sequence[Item]) -> Floats | None:
        """What the pretrained model says untrained: (n, K) probabilities, or None (see `ZeroShot`)."""
        return self._parts.zero(items)

    def export(self, folder: Path) -> None:
        """Write the trained model in the Hugging Face layout; adapters are merged. Raises ModelError where
        `folder` exists."""
        from superalign.models.hf.export import export_classifier

        network = self._parts.bench().hold(self._trained())
        export_classifier(self._parts.plan, network, self._parts.choices, Path(folder))

    def _trained(self) -> Weights:
        if self._weights is None:
            raise ModelError(f"{self._name} is not trained; call fit or load first and use the model they return")
        return self._weights

    def _copy(self, weights: Weights) -> Classifier:
        return Classifier(self._name, self.identity, self._parts, weights)
