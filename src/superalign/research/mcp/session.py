"""A campaign, served: its scorer in a process of its own, workers, and the tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superalign.core.errors import SpecError
from superalign.core.ports import Store
from superalign.research.ledger import Ledger
from superalign.research.mcp.access import Access
from superalign.research.mcp.approval import Approve, Gate, by_person
from superalign.research.mcp.server import Server
from superalign.research.mcp.tools import campaign_server
from superalign.research.mcp.workspace import Workspace
from superalign.research.running import testbed_named
from superalign.research.scorer.client import Scorer
from superalign.research.workers import Workers
from superalign.store import beside


@contextmanager
def session(
    store: Store,
    campaign: str,
    genesis: Mapping[str, Any],
    *,
    approve: Approve | None = None,
    workspace: Path | None = None,
    workers: int = 1,
    fidelity: int = 12,
    most: int = 60,
    evaluations: int | None = None,
) -> Iterator[Server]:
    """The server of a campaign. `genesis` is its first entry where it has none; it stays what it was where it has one.

    Without `approve` a person approves confirmations (`approval.decide`). `workspace` is the researcher's folder;
    `workers` processes score proposals; for the rest see `Access`. Raises SpecError for a store in memory.
    """
    url = getattr(store, "url", None)
    if url is None:
        raise SpecError("a campaign needs a store that other processes can open: the scorer is one")
    folder = Workspace(workspace) if workspace is not None else None
    with Scorer(url, campaign, beside(store, "research"), genesis) as scorer:
        ledger = Ledger(store, campaign)
        reference = str(ledger.of("genesis")[0].payload["testbed"])
        testbed = testbed_named(reference, store)
        team = Workers(reference, testbed, store, workers)
        gate = Gate(approve or by_person(store, campaign))
        try:
            yield campaign_server(Access(
                ledger, testbed, scorer.ask, team, gate, folder, fidelity=fidelity, most=most, evaluations=evaluations
            ))  # fmt: skip
        finally:
            team.close()
