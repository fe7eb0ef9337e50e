"""A campaign's ledger with everything in it: failures, alarms, findings, spending, a signature, and strangers' text."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from superalign.core.random import stream
from superalign.core.spec import Table
from superalign.research.ledger import Entry, Ledger, Verified, commitment, seed_of, verify
from superalign.research.scorer.judging import judge
from superalign.research.space import Axis, Space
from superalign.research.values import PreRegistration, typed
from tests.contract.test_store import InMemory

KEY = bytes(range(32))
NAME = "research-0badcafe"
FAMILIES = ("0", "1", "unseen")
SPACE = Space((
    Axis("label", ("hard", "soft"), "hard", "label"), Axis("l2", (1.0, 10.0, 100.0, 1000.0), 1.0, "regulariser", True),
    Axis("aux", (0.0, 0.25, 0.5, 0.75), 0.0, "loss", True), Axis("rounds", (0, 1, 2, 4), 0, "self-training", True),
))  # fmt: skip

HOSTILE = (
    'PGR 0.97 (p<1e-9)!</td><script>alert(1)</script>\n## Verdicts\n| **0.97** | [0.97](#entry-1) | <img src=x onerror="x()">'
    " forty percent better, ٩٧٪, ½, x², \u202eetirw\u202c \ue000 `code` {{ 7*7 }} {% raw %} &lt;b&gt; ]( javascript:alert(2) "
)
"""What a proposer may say: results nobody measured, markup, and direction overrides."""


@cache
def campaign(hostile: bool = False, signed: bool = True) -> tuple[tuple[Entry, ...], Verified]:
    """A whole campaign, verified with its key once it is published."""
    store = InMemory({})
    scorer, others = Ledger(store, NAME, KEY), Ledger(store, NAME)
    said = HOSTILE if hostile else "more l2, since the weak labels are wrong on 26 of 100"
    _begin(scorer)
    proposals = _search(others, said)
    _public(scorer, others, said)
    method = proposals[0]
    published = {"vanilla": {}, "aux-conf": {"label": "soft", "aux": 0.5, "rounds": 2}, "v1.5 filter": {"rounds": 1}}
    tuned = {"vanilla": {"l2": 1000.0}, "aux-conf": {"label": "soft", "aux": 0.75, "l2": 100.0, "rounds": 4},
             "v1.5 filter": {"rounds": 1, "l2": 100.0}}  # fmt: skip
    _claim(scorer, others, method, published, 0.14, exploratory=True, said=said)
    for name in published:
        others.write("care", "campaign", {
            "baseline": name, "source": "", "default": SPACE.method(**published[name]), "tuned": SPACE.method(**tuned[name]),
            "default_score": 0.0661234, "tuned_score": 0.2061234, "evaluations": 250, "grid": 16, "tried": 16,
            "search_evaluations": 240, "equal": True,
        })  # fmt: skip
    _claim(scorer, others, method, tuned, 0.0, exploratory=False, said=said)
    _audit(scorer, said)
    _judge(scorer)
    if signed:
        decision = "accept: no improvement on tuned baselines" if not hostile else HOSTILE
        scorer.write(
            "sign_off", "scorer", {"name": "A. Person", "decision": decision, "head": scorer.head, "key": KEY.hex()}
        )
    return tuple(scorer.entries()), verify(store, NAME)


def _begin(scorer: Ledger) -> None:
    scorer.write("genesis", "scorer", {
        "campaign": NAME, "question": "Does any of 128 methods improve on equally tuned baselines?", "testbed": "w2s-micro",
        "card": "A method sees arrays.", "proposer": "language:api:some-model-4.1", "budget": "10m", "alpha": 0.05,
        "sesoi": 0.02, "seed": 0, "public": ["0/0"], "submissions": 50, "commitment": commitment(KEY),
    })  # fmt: skip


def _search(others: Ledger, said: str) -> list[dict[str, Any]]:
    """Thirty proposals by two proposers; one in seven fails."""
    rng = stream(0, "report/search")
    methods = [SPACE.draw(rng) for _ in range(30)]
    for k, method in enumerate(methods):
        who = "evolve" if k % 3 else "language:api:some-model-4.1"
        rationale = said if k % 3 == 0 else f"mutated from the top, {k} tried"
        number = others.write("propose", who, {
            "id": f"p{k}", "proposer": who, "method": typed(method).model_dump(mode="json"), "rationale": rationale,
            "parent": None, "fidelity": 3 if k < 20 else 6,
        }).number  # fmt: skip
        failed = k % 7 == 6
        scores = [] if failed else [round(0.9311 + 0.0001 * j, 4) for j in range(3 if k < 20 else 6)]
        others.write("run_end", "worker", {
            "proposal": number, "status": "memory" if failed else "ok", "scores": scores, "problems": [["0", 0]],
            "said": f"it wanted {900 + k} MB; {said}" if failed else "", "usage": {"wall_s": 0.5, "cpu_s": 0.25},
        })  # fmt: skip
        others.write("spend", who, {"what": "proposal", "tokens_in": 1000, "tokens_out": 200, "usd": 0.015})
    return methods


def _public(scorer: Ledger, others: Ledger, said: str) -> None:
    told = {
        "dataset": "0/0",
        "run": "best",
        "predictions": "a" * 64,
        "n": 3000,
        "improved": True,
        "best": 0.79,
        "left": 49,
    }
    scorer.write("score", "scorer", told)
    others.write("refuse", "agent", {"what": "share_finding", "why": f"results are the scorer's; {said}"})
    for kind, title in (("hypothesis", "Aux beats l2"), ("error", "The third run was wrong")):
        others.write(
            "finding", "agent", {"type": kind, "title": title, "text": said, "evidence": [2, 3], "by": "agent 7"}
        )
    scorer.write("alarm", "scorer", {"which": "flips", "says": "8 strikes in the last 20 submissions", "after": 40})


def _claim(
    scorer: Ledger, others: Ledger, method: Any, baselines: Any, effect: float, *, exploratory: bool, said: str
) -> None:
    claim = PreRegistration(
        claim=f"the method improves: {said}"[:2000], method=typed(method),
        baselines={n: typed(SPACE.method(**m)) for n, m in baselines.items()}, families=FAMILIES, tasks=6, sesoi=0.02,
        power=0.4123, override="more is too much", exploratory=exploratory, head=others.head,
    )  # fmt: skip
    others.write("prereg", "campaign", {"registration": claim.id, **claim.model_dump(mode="json")})
    rng = stream(1, "report/confirm", exploratory)
    level = rng.normal(0.2, 0.08, (18, 1))
    arms = {"method": level + rng.normal(0, 0.01, (18, 1))}
    for k, name in enumerate(baselines):
        arms[name] = level - effect + 0.012 * (k - 1) + rng.normal(0, 0.02, (18, 1))
    seeds = [seed_of(KEY, claim.id, k) for k in range(18)]
    scorer.write("confirm", "scorer", {
        "registration": claim.id, "status": "ok", "said": "", "seeds": seeds, "training": [7],
        "problems": [[FAMILIES[k // 6], s] for k, s in enumerate(seeds)],
        "arms": {n: np.asarray(a).tolist() for n, a in arms.items()},
    })  # fmt: skip


def _audit(scorer: Ledger, said: str) -> None:
    scorer.write("audit", "scorer", {
        "audit": "a-a", "registration": None, "status": "pass", "statistic": 0.025, "low": 0.0006, "high": 0.1316,
        "pairs": 40, "problems": 20, "found": 1, "sd": 0.03, "says": "a difference in 1 of 40 comparisons at p < 0.05",
        "evidence": [],
    })  # fmt: skip
    scorer.write("audit", "scorer", {
        "audit": "placebo", "registration": None, "status": "flag", "qualifier": "teacher-independent", "statistic": 0.11,
        "low": 0.02, "high": 0.2, "says": f"permuted labels still recover 0.11; {said}", "evidence": [2, 4],
    })  # fmt: skip


def _judge(scorer: Ledger) -> None:
    registered = {e.payload["registration"]: e for e in scorer.of("prereg")}
    pairs = [
        (PreRegistration.model_validate({k: v for k, v in registered[e.payload["registration"]].payload.items() if k != "registration"}), e)
        for e in scorer.of("confirm")
    ]  # fmt: skip
    for payload in judge(pairs, scorer.of("audit")):
        scorer.write("verdict", "scorer", payload)


RELEASED = Table(
    title="Released results", columns=("set", "method", "mean", "sd", "seeds", "visible at 5 seeds"),
    rows=(("chat", "vanilla", 0.204, 0.102, 5, 0.18), ("math", "UE zero-shot", 0.586, 0.055, 5, None)),
    note="5 seeds see a difference of 0.18 in 80 of 100 studies.",
)  # fmt: skip
PROMISE = tuple(
    {"step": day, "value": amount, "series": series}
    for series, amounts in (("promised", (0.0, 20.0, 40.0, 60.0)), ("delivered", (0.0, 5.0, 21.0, 30.0)))
    for day, amount in zip((0, 30, 60, 90), amounts, strict=True)
)
