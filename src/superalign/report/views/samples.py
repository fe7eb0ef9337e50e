"""What the policies of an RLHF record say to the same prompts, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from superalign.core.spec import Record
from superalign.report import numbers
from superalign.report.view import Link, View, fragment
from superalign.report.views.curves import Events

FACTS = ("gold", "proxy", "kl", "length")
"""Numbers of a policy that stand beside its name."""


@dataclass(frozen=True, slots=True)
class Said:
    """One response; `score` is what the reward gave it, where it is known, `prompt` what it answers, where the policies
    of a row answer different ones."""

    text: str
    score: float | None = None
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Responses in rows, one for each policy that answered. A row has a prompt, unless each of its responses has one."""

    policies: Sequence[str]
    rows: Sequence[tuple[str, Mapping[str, Said]]]

    def only(self, query: str) -> Sheet:
        """The responses whose prompt has all words of a query."""
        words = query.casefold().split()

        def fits(prompt: str) -> bool:
            return all(word in prompt.casefold() for word in words)

        rows = [(p, {name: s for name, s in said.items() if fits(p or s.prompt)}) for p, said in self.rows]
        return Sheet(self.policies, [row for row in rows if row[1]])


def samples(of: Record, told: Mapping[str, Events], query: str, iteration: int | None, link: Link) -> View:
    """The policies after training; with an `iteration`, what they said while they were trained (`told`)."""
    whole = final(of) if iteration is None else during(told, iteration)
    sheet = whole.only(query)
    marks = moments(told)
    body = fragment(
        "samples.html",
        record=of,
        sheet=sheet,
        total=len(whole.rows),
        facts={policy: _facts(of, policy) if iteration is None else [] for policy in sheet.policies},
        query=query,
        iteration=iteration,
        moments=marks,
        title=of.tables["samples"].title if "samples" in of.tables else "",
        link=link,
    )
    rows = [{"prompt": p, "said": {k: asdict(v) for k, v in said.items()}} for p, said in sheet.rows]
    data: dict[str, Any] = {"record": of.id, "policies": list(sheet.policies), "iteration": iteration, "rows": rows}
    return View(f"Samples of {of.title}", body, data, "runs", wide=True)


def final(of: Record) -> Sheet:
    """What the record shows of the trained policies and of the model that they started from."""
    table = of.tables.get("samples")
    rows: dict[str, dict[str, Said]] = {}
    for prompt, policy, text in table.rows if table is not None else ():
        rows.setdefault(str(prompt), {})[str(policy)] = Said(str(text))
    policies = dict.fromkeys(policy for said in rows.values() for policy in said)
    return Sheet(list(policies), list(rows.items()))


def during(told: Mapping[str, Events], iteration: int) -> Sheet:
    """What policies said in the iteration at hand, or the last before it that shows samples. Each draws its own prompts."""
    found: dict[str, list[Said]] = {}
    for name, events in told.items():
        shown = [e for e in events if e["kind"] == "iteration" and e.get("samples") and e["iteration"] <= iteration]
        if shown:
            newest = max(shown, key=lambda e: int(e["iteration"]))
            found[name] = [Said(str(text), score, str(prompt)) for prompt, text, score in newest["samples"]]
    longest = max(map(len, found.values()), default=0)
    rows = [("", {name: said[k] for name, said in found.items() if k < len(said)}) for k in range(longest)]
    return Sheet(list(found), rows)


def moments(told: Mapping[str, Events]) -> list[int]:
    """Iterations to look at: the first, quarters of the way, the last; none where no run shows samples."""
    shown = [
        e["iteration"] for events in told.values() for e in events if e["kind"] == "iteration" and e.get("samples")
    ]
    last = max(shown, default=0)
    return sorted({0, last // 4, last // 2, 3 * last // 4, last}) if shown else []


def _facts(of: Record, policy: str) -> list[str]:
    known = next((c.numbers for c in of.conditions if c.name == policy.partition(", seed ")[0]), {})
    return [f"{name} {numbers.format_value(known[name], 2)}" for name in FACTS if name in known]
