"""What ratings of critiques and of explanations share: each thing is shown once, and rated from 1 to 7."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from superalign.core.types import Item, Judgment, Seat
from superalign.protocols import rating
from superalign.protocols.rules import Rules
from superalign.studies.label.work import Result, Row


@dataclass(frozen=True)
class Rated:
    """Things to be rated. `groups` says, by item, what is resampled together."""

    name: str
    rules: Rules
    role: str
    items: tuple[Item, ...]
    groups: Mapping[str, Hashable] = field(repr=False)
    notes: tuple[str, ...] = ()
    seed: int = 0

    def seats(self, item: Item, rater: str, person: bool) -> Sequence[Seat]:
        """One: there is no order to draw."""
        return (Seat(self.seed),)

    def faults(self, judgment: Judgment) -> Counter[str]:
        """Replies that could not be read, by kind."""
        return rating.faults(judgment)

    def rows(self, result: Result) -> list[Row]:
        """A line for each opinion: several people behind one rater give several."""
        by_id = {item.id: item for item in self.items}
        return [
            {
                "rater": result.rater,
                "item": judgment.item,
                "prompt": by_id[judgment.item].prompt,
                **by_id[judgment.item].info,
                **{k: v for k, v in asdict(opinion).items() if k != "better" or v},
                "label": f"{opinion.rating:g}{', right: ' + opinion.claims if opinion.claims else ''}",
            }
            for judgment in result.given
            for opinion in rating.opinions(judgment)
        ]

    def scores(self, result: Result) -> dict[str, float]:
        """The rating of each item, the mean of its opinions."""
        return {j.item: j.verdict.score for j in result.given if j.verdict.score is not None}

    def ratings(self, results: Sequence[Result]) -> dict[str, list[tuple[Hashable, float]]]:
        """Every rater's ratings as `agreement` takes them, once for each person behind a rater."""
        return {r.rater: [(j.item, opinion.rating) for j in r.given for opinion in rating.opinions(j)] for r in results}
