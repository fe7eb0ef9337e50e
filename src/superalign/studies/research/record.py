"""The record of a campaign, read off its ledger: nothing in it comes from anywhere else."""

from __future__ import annotations

from typing import Any

from superalign.core.spec import Condition, Number, Record, Table
from superalign.core.study import circumstances
from superalign.report import charts
from superalign.research.ledger import Entry, Ledger
from superalign.research.testbed import Testbed
from superalign.studies.research.spec import Research


def record_of(spec: Research, ledger: Ledger, testbed: Testbed) -> Record:
    """A condition per claim; tables of baselines with their care and of what was tried; the ledger's head."""
    verdicts = latest(ledger)
    claims = {str(e.payload["registration"]): e for e in ledger.of("prereg")}
    conditions = tuple(_condition(e, claims[str(e.payload["registration"])]) for e in verdicts)
    same = next((e for e in ledger.of("audit") if e.payload["audit"] == "a-a"), None)
    return Record(
        id=spec.campaign,
        title=f"{spec.proposer.capitalize()} on {testbed.name}: {spec.question}",
        **circumstances(spec),
        conditions=conditions,
        charts=_charts(verdicts),
        tables={
            "comparisons": _comparisons(verdicts), "care": _care(ledger), "families": _families(verdicts),
            "audits": _audits(ledger), "tried": _tried(ledger),
        },
        artifacts={"ledger": ledger.head},
        costs=_costs(ledger),
        failures=_failures(ledger),
        notes=(*_answer(verdicts), *([_same(same)] if same is not None else []), f"ledger head {ledger.head}"),
    )  # fmt: skip


def latest(ledger: Ledger) -> list[Entry]:
    """The last verdict on each registration, in the order of registration."""
    found: dict[str, Entry] = {}
    for entry in ledger.of("verdict"):
        found[str(entry.payload["registration"])] = entry
    order = [str(e.payload["registration"]) for e in ledger.of("prereg")]
    return [found[which] for which in order if which in found]


def name_of(claim: Entry) -> str:
    """A claim in a word: `published` against published settings, `tuned` against tuned ones."""
    return "published" if claim.payload["exploratory"] else "tuned"


def _condition(verdict: Entry, claim: Entry) -> Condition:
    held = verdict.payload
    n, seeds = held.get("n"), held.get("seeds")
    numbers = {
        "effect": Number(value=held["estimate"], low=held["low"], high=held["high"], n=n, seeds=seeds,
                         reason=None if held["estimate"] is not None else "undefined: the confirmation failed"),
        "p_adjusted": Number(value=held["p_adjusted"], n=n),
    }  # fmt: skip
    for name in ("p", "wilcoxon", "mde"):
        if held.get(name) is not None:
            numbers[name] = Number(value=held[name], n=n)
    numbers["power"] = Number(value=claim.payload["power"], n=n)
    labels = {
        "verdict": held["word"], "claim": held["claim"], "decided_by": held["deciding"],
        "qualifiers": ", ".join(held["qualifiers"]) or "none",
    }  # fmt: skip
    return Condition(name=name_of(claim), numbers=numbers, labels=labels)


def _answer(verdicts: list[Entry]) -> list[str]:
    said = []
    for entry in reversed(verdicts):
        held = entry.payload
        words = "; ".join(f"{row['word']} over {name} ({_signed(row)})" for name, row in held["per_baseline"].items())
        kind = "Exploratory, against published settings" if held["exploratory"] else "Against equally tuned baselines"
        said.append(f"{kind}: {held['word']}. {words}.")
    return said


def _signed(row: dict[str, Any]) -> str:
    return f"{row['estimate']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], n={row['n']}, sees {row['mde']:.3f}"


def _same(entry: Entry) -> str:
    held = entry.payload
    return f"A/A: {held['says']} ({held['statistic']:.3f} [{held['low']:.3f}, {held['high']:.3f}])"


def _charts(verdicts: list[Entry]) -> dict[str, dict[str, Any]]:
    rows = [
        {"name": f"{name}{' (published)' if e.payload['exploratory'] else ' (tuned)'}", "value": row["estimate"],
         "low": row["low"], "high": row["high"], "n": row["n"]}
        for e in verdicts for name, row in e.payload["per_baseline"].items()
    ]  # fmt: skip
    return (
        {
            "effects": charts.bars_with_intervals(
                rows, "The method less each baseline", x="difference in PGR", references=[("no difference", 0.0)]
            )
        }
        if rows
        else {}
    )


def _comparisons(verdicts: list[Entry]) -> Table:
    columns = (
        "against",
        "settings",
        "word",
        "difference",
        "low",
        "high",
        "p",
        "p adjusted",
        "sees",
        "problems",
        "entry",
    )
    rows = tuple(
        (name, "published" if e.payload["exploratory"] else "tuned", row["word"], row["estimate"], row["low"],
         row["high"], row["p"], row["p_adjusted"], row["mde"], row["n"], e.number)
        for e in verdicts for name, row in e.payload["per_baseline"].items()
    )  # fmt: skip
    return Table(title="Comparisons on fresh problems", columns=columns, rows=rows)


def _care(ledger: Ledger) -> Table:
    columns = (
        "baseline",
        "published, dev",
        "tuned, dev",
        "evaluations",
        "of the search",
        "grid",
        "tuned settings",
        "entry",
    )
    rows = tuple(
        (e.payload["baseline"], e.payload["default_score"], e.payload["tuned_score"], e.payload["evaluations"],
         e.payload["search_evaluations"], e.payload["grid"], _settings(e.payload["tuned"]), e.number)
        for e in ledger.of("care")
    )  # fmt: skip
    note = "Scores on development problems flatter whoever was chosen by them; they are no results."
    return Table(title="Equal care", columns=columns, rows=rows, note=note)


def _audits(ledger: Ledger) -> Table:
    columns = ("audit", "status", "statistic", "low", "high", "says", "entry")
    order = {"fail": 0, "flag": 1, "pass": 2}
    entries = sorted(ledger.of("audit"), key=lambda e: (order[e.payload["status"]], e.number))
    rows = tuple(
        (e.payload["audit"], e.payload["status"], e.payload["statistic"], e.payload["low"], e.payload["high"],
         e.payload["says"], e.number)
        for e in entries
    )  # fmt: skip
    return Table(title="Audits", columns=columns, rows=rows)


def _settings(method: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in method.items() if v not in (0, 0.0, "none"))


def _families(verdicts: list[Entry]) -> Table:
    arms = list(dict.fromkeys(a for e in verdicts for f in e.payload["families"].values() for a in f))
    rows = tuple(
        ("published" if e.payload["exploratory"] else "tuned", family, *(means.get(a) for a in arms))
        for e in verdicts for family, means in e.payload["families"].items()
    )  # fmt: skip
    return Table(title="PGR by family", columns=("settings", "family", *arms), rows=rows)


def _tried(ledger: Ledger) -> Table:
    ended = {int(e.payload["proposal"]): e.payload for e in ledger.of("run_end")}
    counts: dict[tuple[str, str], int] = {}
    for entry in ledger.of("propose"):
        status = ended[entry.number]["status"] if entry.number in ended else "not run"
        key = (str(entry.payload["proposer"]), str(status))
        counts[key] = counts.get(key, 0) + 1
    rows = tuple((proposer, status, count) for (proposer, status), count in sorted(counts.items()))
    return Table(title="What was tried", columns=("proposer", "status", "methods"), rows=rows)


def _costs(ledger: Ledger) -> dict[str, float]:
    wall = sum(float(e.payload["usage"].get("wall_s", 0.0)) for e in ledger.of("run_end"))
    cpu = sum(float(e.payload["usage"].get("cpu_s", 0.0)) for e in ledger.of("run_end"))
    return {"search_seconds": round(wall, 2), "search_cpu_seconds": round(cpu, 2)}


def _failures(ledger: Ledger) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in ledger.of("run_end"):
        status = str(entry.payload["status"])
        if status != "ok":
            found[status] = found.get(status, 0) + 1
    return found
