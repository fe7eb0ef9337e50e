"""A frozen transformer with a linear head: `tune=head`. The head and its fit are `superalign.models.head`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.models.head import HeadModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from superalign.core.ports import Floats, Objective, Watch
    from superalign.core.types import Ask, Item, Reply
    from superalign.models.hf.zero_shot import ZeroShot

Export = Callable[["NDArray[Any]", "NDArray[Any]", Path], None]
"""`export(weights, bias, folder)` of a trained head."""


class Frozen:
    """A `HeadModel` that also has the encoder's zero-shot answers and an export."""

    serial = True

    def __init__(self, head: HeadModel, zero: ZeroShot, export: Export) -> None:
        self._head, self._zero, self._export = head, zero, export
        self.name, self.identity = head.name, head.identity

    def variants(self) -> list[Frozen]:
        """One model per C of the grid, strongest regularisation first; itself where C was given."""
        return [self._with(head) for head in self._head.variants()]

    def features(self, items: Sequence[Item]) -> Floats:
        """The frozen features, (n, d) or (n, K, d)."""
        return self._head.features(items)

    def logits(self, items: Sequence[Item]) -> Floats:
        """(n, K) float64. Raises ModelError before the first `fit` or `load`."""
        return self._head.logits(items)

    def fit(self, items: Sequence[Item], objective: Objective, seed: int, watch: Watch | None = None) -> Frozen:
        """A copy with a trained head (see `HeadModel.fit`)."""

        def seen(step: int, total: int, head: Any) -> None:
            if watch is not None:
                watch(step, total, self._with(head))

        return self._with(self._head.fit(items, objective, seed, seen))

    def state(self) -> dict[str, NDArray[Any]]:
        """`weights` and `bias` of the head."""
        return self._head.state()

    def load(self, state: Mapping[str, NDArray[Any]]) -> Frozen:
        """A copy with this head."""
        return self._with(self._head.load(state))

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over each ask's choices."""
        return self._head.answer(asks)

    def zero_shot(self, items: Sequence[Item]) -> Floats | None:
        """What the pretrained model says untrained: (n, K) probabilities, or None (see `ZeroShot`)."""
        return self._zero(items)

    def export(self, folder: Path) -> None:
        """Write the encoder and the trained head to a new folder. Raises ModelError where it exists."""
        state = self._head.state()
        self._export(state["weights"], state["bias"], Path(folder))

    def _with(self, head: HeadModel) -> Frozen:
        return Frozen(head, self._zero, self._export)
