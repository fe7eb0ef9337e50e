"""Games as Parquet: one row per turn, with what its game has in common repeated on every row.

Columns of the game: id, condition, item, question, answers, info (JSON), source, seed, order, assigned, answer (JSON:
a place in `answers`, free text or null), verdict_probs, ranking, verdict_score, abstained, right, honest. Columns of
the turn: turn (from 0; null for a game without turns), role, model, text, choices, probs, score, failure, saw,
tokens_in, tokens_out, usd, seconds. Texts that repeat are stored once, by dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from superalign.core.types import Cost, Item, Seat, Verdict
from superalign.protocols.played import Archive, Played, Turn


def bytes_of(archives: Mapping[str, Archive]) -> bytes:
    """The games of all archives as one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [r for a in archives.values() for g in a.games for r in _rows(g, a.items[g.item])]
    columns = {name: [r[name] for r in rows] for name in _schema().names}
    out = BytesIO()
    pq.write_table(pa.table(columns, schema=_schema()), out, compression="zstd")
    return out.getvalue()


def read(data: bytes) -> dict[str, Archive]:
    """The archives that were written, by condition."""
    import pyarrow.parquet as pq

    items: dict[str, dict[str, Item]] = {}
    games: dict[str, dict[str, tuple[dict[str, Any], list[Turn]]]] = {}
    for row in pq.read_table(BytesIO(data)).to_pylist():
        items.setdefault(row["condition"], {}).setdefault(row["item"], _item(row))
        _, turns = games.setdefault(row["condition"], {}).setdefault(row["id"], (row, []))
        if row["turn"] is not None:
            turns.append(_turn(row))
    return {
        name: Archive(items[name], tuple(_game(row, tuple(turns)) for row, turns in found.values()))
        for name, found in games.items()
    }


def _schema() -> Any:
    import pyarrow as pa

    text, repeated, real, whole = pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.float64(), pa.int64()
    kinds = {
        "id": repeated, "condition": repeated, "item": repeated, "question": repeated, "answers": pa.list_(text),
        "info": repeated, "source": repeated, "seed": whole, "order": pa.list_(whole), "assigned": repeated,
        "answer": repeated, "verdict_probs": pa.list_(real), "ranking": pa.list_(whole), "verdict_score": real,
        "abstained": repeated, "right": real, "honest": whole,
        "turn": whole, "role": repeated, "model": repeated, "text": text, "choices": pa.list_(text),
        "probs": pa.list_(real), "score": real, "failure": text, "saw": text,
        "tokens_in": whole, "tokens_out": whole, "usd": real, "seconds": real,
    }  # fmt: skip
    return pa.schema(list(kinds.items()))


def _rows(game: Played, item: Item) -> Iterator[dict[str, Any]]:
    info = {k: v for k, v in item.info.items() if k != "source"}
    common = {
        "id": game.id, "condition": game.condition, "item": item.id, "question": item.prompt,
        "answers": item.choices, "info": json.dumps(info), "source": item.info.get("source"),
        "seed": game.seat.seed, "order": game.seat.order, "assigned": game.seat.assigned,
        "answer": json.dumps(game.verdict.answer), "verdict_probs": game.verdict.probs,
        "ranking": game.verdict.ranking, "verdict_score": game.verdict.score, "abstained": game.verdict.abstained,
        "right": game.right, "honest": game.honest,
    }  # fmt: skip
    for k, turn in enumerate(game.turns):
        yield {
            **common, "turn": k, "role": turn.role, "model": turn.model, "text": turn.text, "choices": turn.choices,
            "probs": turn.probs, "score": turn.score, "failure": turn.failure, "saw": turn.saw,
            "tokens_in": turn.cost.tokens_in, "tokens_out": turn.cost.tokens_out, "usd": turn.cost.usd,
            "seconds": turn.cost.seconds,
        }  # fmt: skip
    if not game.turns:
        yield {**dict.fromkeys(_schema().names), **common}


def _item(row: Mapping[str, Any]) -> Item:
    source = {} if row["source"] is None else {"source": row["source"]}
    return Item(row["item"], row["question"], tuple(row["answers"]), {**json.loads(row["info"]), **source})


def _turn(row: Mapping[str, Any]) -> Turn:
    cost = Cost(row["tokens_in"], row["tokens_out"], row["usd"], row["seconds"])
    decision = (tuple(row["choices"]), tuple(row["probs"]), row["score"])
    return Turn(row["role"], row["model"], row["text"], *decision, row["failure"], row["saw"], cost)


def _game(row: Mapping[str, Any], turns: tuple[Turn, ...]) -> Played:
    seat = Seat(row["seed"], tuple(row["order"]), row["assigned"])
    verdict = Verdict(
        json.loads(row["answer"]), tuple(row["verdict_probs"]), tuple(row["ranking"]), row["verdict_score"],
        row["abstained"],
    )  # fmt: skip
    return Played(row["id"], row["condition"], row["item"], seat, turns, verdict, row["right"], row["honest"])
