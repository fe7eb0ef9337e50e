"""From labels to a record: a condition for each rater, agreement, the labels themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from superalign.core.digest import digest
from superalign.core.errors import StoreError
from superalign.core.ports import Store
from superalign.core.spec import Condition, Number, Record, Table
from superalign.core.study import circumstances
from superalign.studies.label.work import Parts, Result, Row

if TYPE_CHECKING:
    from superalign.studies.label.study import Labelling

SHOWN = 60
"""Labels in the table of a record; the artifacts hold all."""
LONGEST = 120


def record_of(labelling: Labelling, results: Sequence[Result], seconds: float) -> Record:
    """The record of a study. While anybody is waited for it counts labels and compares nothing: numbers that change
    with each answer are nobody's."""
    waits = any(r.waiting for r in results)
    rows = {} if waits else {r.rater: labelling.work.rows(r) for r in results}
    parts = Parts() if waits else labelling.work.parts(results)
    counts = {r.rater: _counts(r) for r in results}
    conditions = [
        c.model_copy(update={"numbers": {**c.numbers, **counts.get(c.name, {})}}) for c in parts.conditions
    ] or [Condition(name=name, numbers=numbers, labels={"kind": "rater"}) for name, numbers in counts.items()]
    failures: Counter[str] = Counter()
    for result in results:
        failures.update(result.waiting)
        failures.update(result.faults)
    return Record(
        id=labelling.id,
        title=f"Labels of {labelling.work.name} ({labelling.spec.what})",
        **circumstances(labelling.spec),
        conditions=tuple(conditions),
        artifacts={f"{name}/labels": _kept(labelling.store, given) for name, given in rows.items() if given},
        charts=parts.charts,
        tables={**parts.tables, **({"labels": _table(rows)} if rows else {})},
        audit=parts.audit,
        costs={
            "seconds": round(seconds, 2),
            "usd": round(sum(reply.cost.usd for r in results for j in r.judgments for _, reply in j.calls), 4),
            "calls_now": float(labelling.transcript.asked),
        },
        failures=dict(failures.most_common()),
        notes=(*(parts.notes or _waiting(results)), *labelling.work.notes),
    )


def _counts(result: Result) -> dict[str, Number]:
    return {
        "labels": Number(value=len(result.given)),
        "faults": Number(value=sum(result.faults.values())),
        **({"waiting": Number(value=sum(result.waiting.values()))} if result.waiting else {}),
    }


def _waiting(results: Sequence[Result]) -> list[str]:
    told = [f"{r.rater} ({sum(r.waiting.values()):,} of {len(r.judgments):,})" for r in results if r.waiting]
    return [f"Labels are waited for: {', '.join(told)}. The same command goes on, and compares when all are in."]


def _kept(store: Store, rows: Sequence[Row]) -> str:
    """Keep labels as JSON lines; the key of the artifact."""
    data = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
    key = f"labels/{digest(data)[:32]}"
    store.put(key, data, {"labels": len(rows)})
    return key


def labels_of(record: Record, store: Store) -> list[Row]:
    """All labels of a record, rater by rater. Raises StoreError for a record without labels, or a damaged one."""
    keys = [key for name, key in record.artifacts.items() if name.endswith("/labels")]
    if not keys:
        waits = any(why.startswith("waiting") for why in record.failures)
        why = (
            "labels are waited for; type the same command again"
            if waits
            else "`superalign label` makes records that do"
        )
        raise StoreError(f"{record.id} holds no labels: {why}")
    rows: list[Row] = []
    for key in keys:
        artifact = store.get(key)
        if artifact is None:
            raise StoreError(f"the labels of {record.id} are damaged in the store; run its spec again to mend it")
        rows += [json.loads(line) for line in artifact.data.decode().split("\n") if line]
    return rows


def _table(rows: dict[str, list[Row]]) -> Table:
    """The first labels of each rater."""
    total, each = sum(map(len, rows.values())), max(1, SHOWN // max(len(rows), 1))
    shown = [
        (row["item"], name, _line(row.get("explanation") or row.get("critique") or row["prompt"]), row["label"])
        for name, given in rows.items()
        for row in given[:each]
    ]
    note = f"The first {len(shown):,} of {total:,}; the artifacts hold all." if len(shown) < total else ""
    return Table(title="Labels", columns=("item", "rater", "what", "label"), rows=tuple(shown), note=note)


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 2].rstrip() + " …"
