"""What labelling studies are tested on: files of preferences, records with critiques and with units, people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from superalign.core import records
from superalign.core.digest import digest
from superalign.core.ports import Store
from superalign.core.spec import Record
from superalign.core.types import Item, Seat, Verdict
from superalign.interp.dossier import Dossier, Excerpt
from superalign.interp.units import Explanation, Unit
from superalign.people import forms
from superalign.people.desk import Desk
from superalign.people.questions import Question
from superalign.protocols.played import Archive, Played, Turn, pack
from superalign.studies.interp.dossiers import keep


def pairs(folder: Path, count: int = 24) -> str:
    """Pairs of which the chosen response is longer in two of three; the last line repeats the first."""
    rows = []
    for k in range(count):
        long, short = f"{k} long response", f"{k} short"
        chosen, rejected = (short, long) if k % 3 == 0 else (long, short)
        rows.append({"prompt": f"question {k}", "chosen": chosen, "rejected": rejected})
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]), encoding="utf-8")
    return str(path)


def rankings(folder: Path, count: int = 10) -> str:
    """Four responses to each prompt, the longer the better, and two of them equally good."""
    rows = [
        {"prompt": f"q{k}", "responses": [f"{k}" + "x" * n for n in (1, 2, 3, 4)], "scores": [0, 1, 2, 2]}
        for k in range(count)
    ]
    path = folder / "rankings.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def _record(store: Store, study: str, artifacts: dict[str, str]) -> str:
    record = Record(
        id=f"{study}-{digest(artifacts)[:8]}", study=study, title="Found", spec={}, spec_hash="0" * 64,
        created="2026-01-01T00:00:00+00:00", versions={}, machine={}, conditions=(), artifacts=artifacts,
    )  # fmt: skip
    records.save(store, record)
    return record.id


def criticised(store: Store) -> str:
    """A record of six games with critiques under two conditions, each game in both orders; its id."""
    made = {}
    for condition, extra in (("critique", ""), ("critique:refine=true", " and this is why at length")):
        items = {
            f"i{k}": Item(f"i{k}", f"Is {k} even?", ("no", "yes"), {"source": "The book says so."}) for k in range(3)
        }
        games = []
        for k, item in enumerate(items.values()):
            author = (Turn("author", "m", f"It is {k}, as <quote>The book says</quote>."),) if extra else ()
            said = Turn("critic", "m", f"Claim {k} is wrong{extra}.")
            for order in ((0, 1), (1, 0)):
                name = f"g{k}{order[0]}"
                games.append(
                    Played(
                        name, condition, item.id, Seat(0, order), (*author, said, Turn("judge", "j", "A")), Verdict(0)
                    )
                )
        data = pack(Archive(items, tuple(games)))
        store.put(f"games/{digest(data)[:32]}", data)
        made[f"games/{condition}"] = f"games/{digest(data)[:32]}"
    return _record(store, "oversee", made)


WORDS = ("walk", "talk", "jump", "sing", "read", "play")


def explained(store: Store) -> str:
    """A record of six units that each fire at one word, as their explanations say; its id."""
    shown = []
    for k, word in enumerate(WORDS):
        excerpts = [
            Excerpt(n, "d", "test", stratum, ("the", f" {word}" if hot else " bird", f" {n}"), (0.0, float(hot), 0.0))
            for n, (stratum, hot) in enumerate([("top", 3), ("top", 2), ("random", 0), ("quantile 1/3", 1)])
        ]
        excerpts.append(Excerpt(9, "d", "explain", "top", ("seen",), (5.0,)))
        said = (Explanation(f"{word} in any place"),)
        shown.append(Dossier(Unit("mlp.0", k), 100, 0.1, 0.1, 3.0, excerpts=tuple(excerpts), explanations=said))
    return _record(store, "interp", keep(store, "mlp.0", shown))


def answer_all(store: Store, person: str, say: Callable[[Question], dict[str, list[str]]], desk: str = "people") -> int:
    """Answer everything at a desk as a person does, through the form; how many questions that were."""
    place, count = Desk(store, desk), 0
    while (question := place.next(person)) is not None:
        place.answer(person, question.call, forms.read(say(question), question))
        count += 1
    return count


def longer(question: Question) -> dict[str, list[str]]:
    """A form on which the longer response is ranked higher, and the worse one flagged."""
    sizes = [-len(c) for c in question.choices]
    ranks = [sorted(set(sizes)).index(s) + 1 for s in sizes]
    fields = {f"rank-{k}": [str(r)] for k, r in enumerate(ranks)}
    fields |= {f"rating-{k}": [str(8 - r)] for k, r in enumerate(ranks)}
    return fields | {f"flag-{ranks.index(max(ranks))}": ["opinion"]}
