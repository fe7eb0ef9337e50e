"""What the tools of a campaign reach: its ledger, its scorer's door, workers for development problems, a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from superalign.core.errors import SpecError
from superalign.core.ports import Store
from superalign.research.ledger import Entry, Ledger, Type
from superalign.research.mcp.approval import Gate
from superalign.research.mcp.workspace import Workspace
from superalign.research.testbed import Testbed
from superalign.research.values import Code
from superalign.research.workers import Workers

Ask = Callable[..., dict[str, Any]]
"""`ask(request, **fields)` of the scorer: `scorer.wire.Line.ask`, or `Scorer.ask`."""

CARE = 672
"""Evaluations with which a baseline is tuned at least, or all there are. Who is at the other end may have searched where
the ledger does not see; the searches that beat every published default on `w2s-micro` used as many."""


@dataclass(frozen=True)
class Access:
    """One researcher's access to one campaign. The ledger is opened without the scorer's key.

    `fidelity` development problems make a whole evaluation; `most` problems may be in a claim; `evaluations` bounds the
    search, a method on a problem each; `care` is the least with which a baseline is tuned. `actor` is who the entries say it was.
    """

    ledger: Ledger
    testbed: Testbed
    ask: Ask
    workers: Workers
    gate: Gate
    workspace: Workspace | None = None
    fidelity: int = 12
    most: int = 60
    evaluations: int | None = None
    care: int = CARE
    seed: int = 0
    actor: str = "client"

    @property
    def store(self) -> Store:
        """Where the ledger is, and committed files."""
        return self.ledger.store

    def check_open(self) -> None:
        """Raises SpecError in a campaign that is closed."""
        if self.ledger.of("sign_off"):
            raise SpecError(f"{self.ledger.campaign} is closed: it was signed, and nothing is added to it")

    def write(self, kind: Type, payload: dict[str, Any], actor: str = "") -> Entry:
        """An entry of the researcher's. Raises SpecError in a campaign that is closed."""
        self.check_open()
        return self.ledger.write(kind, actor or self.actor, payload)

    def entry(self, number: int, *kinds: Type) -> Entry:
        """An entry of some kinds by its number. Raises SpecError where there is none."""
        entries = self.ledger.entries()
        if not 1 <= number <= len(entries) or (kinds and entries[number - 1].type not in kinds):
            raise SpecError(f"entry {number} of the ledger is no {' or '.join(kinds) or 'entry'}")
        return entries[number - 1]

    def committed(self) -> dict[str, Code]:
        """The method files of this campaign by their hash."""
        methods = [e.payload["method"] for e in self.ledger.of("propose", "prereg")]
        found = [Code.model_validate(m) for m in methods if m["kind"] == "code"]
        return {code.sha256: code for code in found}
