"""What the scorer does: it validates, answers in steps, confirms each pre-registration once, and gives the verdicts.

It re-executes committed methods itself, on problems and training seeds that its key draws; it takes no number from
anybody. Everything it decides is a signed entry, written at the head at which it was decided, so a scorer that is
killed goes on from the ledger: a confirmation that was not written is run again on the same seeds, with the same
result, and one that was written is never run again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import SpecError, nearest
from superalign.core.ports import Store
from superalign.core.steps import encode
from superalign.research import alarms
from superalign.research.ladder import Ladder, standard_error
from superalign.research.ledger import Entry, Ledger, seed_of
from superalign.research.running import TRAINING, Bench, source
from superalign.research.scorer import confirmation, judging
from superalign.research.scorer.wire import Answer
from superalign.research.testbed import Problem, answers
from superalign.research.values import Code, method_of, registered

BALANCED = 0.6
"""A problem whose largest class has less than this share is balanced: one class for all is no honest answer."""
PUBLIC = 3 << 20
"""Where the numbers of the public problems' seeds begin."""


_COMPLETE: Mapping[str, Any] = {
    "audit": "complete", "status": "pass", "statistic": None, "low": None, "high": None, "evidence": [],
    "says": "every audit that applies was run", "qualifier": None,
}  # fmt: skip


class ScorerDesk:
    """The scorer of one campaign; it alone holds the key. `datasets` are its public problems, `budget` counts submissions."""

    def __init__(
        self, store: Store, campaign: str, key: bytes, bench: Bench, public: Sequence[str], budget: int
    ) -> None:
        self.ledger, self.bench, self._key, self._budget = Ledger(store, campaign, key), bench, key, budget
        self._public = {
            name: (name.partition("/")[0], seed_of(key, "public", PUBLIC + k)) for k, name in enumerate(public)
        }

    def answers(self) -> dict[str, Answer]:
        """The requests that are answered."""
        return {
            "status": self.status, "arrays": self.arrays, "validate": self.validate, "submit": self.submit,
            "evaluate": self.evaluate, "confirm": self.confirm, "same": self.same, "audit": self.audit,
            "attack": self.attack, "judge": self.judge,
        }  # fmt: skip

    def status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """How far the campaign has come: head, submissions left, public problems by name, entries by type."""
        counts = {e.type: 0 for e in self.ledger.entries()}
        for entry in self.ledger.entries():
            counts[entry.type] += 1
        left = self._budget - len(self.ledger.of("score"))
        return {"head": self.ledger.head, "left": left, "datasets": list(self._public), "entries": counts}

    def problem(self, dataset: str) -> Problem:
        """A public problem by name. Raises SpecError with near names."""
        if dataset not in self._public:
            raise SpecError(f"no public problem is called {dataset!r}; {nearest(dataset, self._public)}")
        family, seed = self._public[dataset]
        return self.bench.problem(family, seed, "public")

    def arrays(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What a method may see of a public problem, as safetensors in base64. Its seed stays here: with our code
        it makes the answers."""
        public = self.problem(str(request["dataset"])).public
        data = encode({name: np.asarray(value) for name, value in public.items()})
        return {"arrays": base64.b64encode(data).decode()}

    def validate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Whether predictions have the right form; says nothing of how right they are."""
        problem = self.problem(str(request["dataset"]))
        try:
            answers(np.asarray(request["predictions"]), len(problem.key.truth))
        except (SpecError, ValueError, TypeError) as error:
            self.ledger.write("refuse", "scorer", {"what": "predictions", "why": str(error)[:500]})
            count = sum(e.payload["what"] == "predictions" for e in self.ledger.of("refuse"))
            self._alarm(alarms.rejections(count), "")
            return {"valid": False, "reason": str(error)}
        return {"valid": True, "reason": ""}

    def evaluate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run a committed method on a public problem and submit its predictions."""
        dataset = str(request["dataset"])
        problem = self.problem(dataset)
        method = method_of(request["method"])
        ran = self.bench.run(method, problem.public, len(problem.key.truth), TRAINING)
        if ran.answers is None:
            raise SpecError(f"the method did not run on {dataset}: {ran.status}: {ran.said}")
        return self._submitted(dataset, problem, ran.answers, str(request.get("run", "")))

    def submit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One submission on a public problem: whether it beats the best by a step, and the best."""
        problem = self.problem(str(request["dataset"]))
        given = answers(np.asarray(request["predictions"]), len(problem.key.truth))
        return self._submitted(str(request["dataset"]), problem, given, str(request.get("run", "")))

    def _submitted(self, dataset: str, problem: Problem, given: Any, run: str) -> dict[str, Any]:
        self._watch(dataset, problem, given)
        said = {"dataset": dataset, "run": run[:100], "predictions": digest(given.astype(np.int8)), "n": len(given)}

        def told() -> dict[str, Any]:
            _, answer = self._ladder(dataset, problem).submit(given == problem.key.truth)
            return {**said, "improved": answer.improved, "best": answer.best, "left": answer.left}

        entry = self.ledger.decide("score", "scorer", told)
        best, gap = entry.payload["best"], problem.key.ceiling - problem.key.weak
        return {"improved": entry.payload["improved"], "best": best, "left": entry.payload["left"], "entry": entry.number,
                "pgr_of_best": round((best - problem.key.weak) / gap, 3) if gap > 0 else None}  # fmt: skip

    def _watch(self, dataset: str, problem: Problem, given: Any) -> None:
        """Keep the answers, and write down each alarm once. Kept answers are the scorer's own: nobody is told them."""
        answers = given.astype(np.int8)
        history = [self._kept(e) for e in self.ledger.of("score")]
        self.ledger.store.put(self._place(digest(answers)), answers.tobytes(), {"dataset": dataset})
        shares = np.bincount(problem.key.truth) / len(problem.key.truth)
        new = alarms.Submission(dataset, answers)
        told = alarms.watch([h for h in history if h is not None], new, balanced=bool(shares.max() < BALANCED))
        self._alarm(told, dataset)

    def _alarm(self, told: Sequence[alarms.Alarm], dataset: str) -> None:
        known = {(e.payload["which"], e.payload["dataset"]) for e in self.ledger.of("alarm")}
        for alarm in told:
            if (alarm.which, dataset) not in known:
                self.ledger.write("alarm", "scorer", {"which": alarm.which, "says": alarm.says, "dataset": dataset})

    def _kept(self, entry: Entry) -> alarms.Submission | None:
        artifact = self.ledger.store.get(self._place(str(entry.payload["predictions"])))
        if artifact is None:
            return None
        return alarms.Submission(str(entry.payload["dataset"]), np.frombuffer(artifact.data, np.int8))

    def _place(self, of: str) -> str:
        return f"research/{self.ledger.campaign}/answers/{of}"

    def _ladder(self, dataset: str, problem: Problem) -> Ladder:
        """The state of one dataset's board, from the ledger; all datasets share the budget."""
        rows = self.ledger.of("score")
        mine = [e for e in rows if e.payload["dataset"] == dataset]
        best = float(mine[-1].payload["best"]) if mine else problem.key.weak
        step = standard_error(problem.key.weak, len(problem.key.truth))
        return Ladder(best, step, self._budget, len(rows))

    def confirm(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Re-execute a pre-registration on fresh problems, once; a second request gets what was written.

        Raises SpecError for what was not registered, or was changed since.
        """
        which = str(request["registration"])
        found = self._confirmed(which)
        if found is None:
            payload = confirmation.confirm(registered(self.ledger, which), self.bench, self._key)
            # between two looks another scorer may have written it
            found = self.ledger.decide("confirm", "scorer", lambda: self._confirmed(which) or payload)
        return {"entry": found.number, "status": found.payload["status"]}

    def _confirmed(self, which: str) -> Entry | None:
        return next((e for e in self.ledger.of("confirm") if e.payload["registration"] == which), None)

    def same(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Compare the baselines of a registration with themselves: how often a difference is seen where there is none."""
        done = [e for e in self.ledger.of("audit") if e.payload["audit"] == "a-a"]
        if done:
            return {"entry": done[0].number}
        claim = registered(self.ledger, str(request["registration"]))
        pairs, problems = int(request.get("pairs", 40)), int(request.get("problems", 20))
        payload = confirmation.same(claim, self.bench, self._key, pairs, problems)
        return {"entry": self.ledger.write("audit", "scorer", payload).number}

    def audit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Every audit of a confirmed registration, an entry each; once, unless killed in the middle."""
        from superalign.research.audits.suite import audit

        which = str(request["registration"])
        claim, confirmed = registered(self.ledger, which), self._confirmed(which)
        if confirmed is None:
            raise SpecError(f"{which!r} is not confirmed; there is nothing to audit yet")
        done = self._audited(which)
        if "complete" not in done:
            store = self.bench.store
            codes = [m for m in (claim.method, *claim.baselines.values()) if isinstance(m, Code)]
            results = audit(
                claim, confirmed, self.ledger.entries(), self.bench, {c.sha256: source(store, c) for c in codes}
            )
            for result in results:
                if result.audit not in done:
                    self.ledger.write("audit", "scorer", result.payload(which))
            self.ledger.write("audit", "scorer", {**_COMPLETE, "registration": which})
        return {"entries": sorted(self._audited(which).values())}

    def attack(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Flips and adaptive queries against a scorer like this one, in throw-away campaigns; once."""
        from superalign.research.audits.suite import attack_scorer

        done = self._audited(None)
        if "complete" not in done:
            dataset = str(request.get("dataset") or next(iter(self._public)))
            for result in attack_scorer(self.bench, dataset, self._budget):
                if result.audit not in done:
                    self.ledger.write("audit", "scorer", result.payload(None))
            self.ledger.write("audit", "scorer", {**_COMPLETE, "registration": None})
        return {"entries": sorted(self._audited(None).values())}

    def _audited(self, registration: str | None) -> dict[str, int]:
        rows = [e for e in self.ledger.of("audit") if e.payload["registration"] == registration]
        return {str(e.payload["audit"]): e.number for e in rows}

    def judge(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Verdicts on everything that was confirmed, corrected together; written again when more was confirmed or audited since."""
        confirmed, given = self.ledger.of("confirm"), self.ledger.of("verdict")
        last = max((e.number for e in [*confirmed, *self.ledger.of("audit")]), default=0)
        if not any(e.number > last for e in given):
            claims = [(registered(self.ledger, str(e.payload["registration"])), e) for e in confirmed]
            for payload in judging.judge(claims, self.ledger.of("audit")):
                self.ledger.write("verdict", "scorer", payload)
        return {"entries": [e.number for e in self.ledger.of("verdict") if e.number > last]}
