"""The tools of a campaign, and what a researcher is told of them.

Names follow AAR (2026), whose server gave away more: here nobody learns a count of right answers, chooses the split,
reports a number of their own, or asks without end.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from superalign.core.errors import SpecError, nearest
from superalign.core.spec import Value
from superalign.core.steps import decode
from superalign.core.study import versions
from superalign.research.claiming import used
from superalign.research.mcp.access import Access
from superalign.research.mcp.claims import Claims, Confirm, Propose, Register, standing
from superalign.research.mcp.server import Server, Tool
from superalign.research.mcp.workspace import ITEMS
from superalign.research.running import source
from superalign.research.sandbox.process import pack
from superalign.research.values import Finding
from superalign.research.verdicts import WORDS

Number = Annotated[float, Field(allow_inf_nan=False)]


class Evaluate(Value):
    """Predictions on a public problem: a list, or a file of the workspace."""

    run_id: str = Field(min_length=1, max_length=100)
    dataset: str = Field(min_length=1, max_length=200)
    predictions: list[int | Number] | None = Field(None, min_length=1, max_length=ITEMS)
    file: str | None = Field(None, max_length=500, description=".npy of one dimension or .json, inside the workspace")

    @model_validator(mode="after")
    def _one(self) -> Evaluate:
        if (self.predictions is None) == (self.file is None):
            raise ValueError("give either predictions or a file")
        return self


class Share(Finding):
    """A finding; `evidence` are numbers of ledger entries."""

    evidence: tuple[int, ...] = Field((), max_length=100)

    @field_validator("type", mode="before")
    @classmethod
    def _no_result(cls, value: Any) -> Any:
        if value == "result":
            raise ValueError("results are written by the scorer alone; share a hypothesis, an insight or an error")
        return value


class Board(Value):
    """A campaign by name; this one by default."""

    campaign: str = Field("", max_length=200)


class Download(Value):
    """A committed method file by its SHA-256, or the public arrays of a dataset."""

    hash: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    dataset: str | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def _one(self) -> Download:
        if (self.hash is None) == (self.dataset is None):
            raise ValueError("give either hash or dataset")
        return self


@dataclass(frozen=True)
class Desk:
    """The tools that only ask, and findings."""

    access: Access

    def evaluate(self, asked: Evaluate) -> dict[str, Any]:
        """Submit predictions; what does not fit is told before it costs a submission."""
        access = self.access
        given: list[Any] = asked.predictions or self._file(asked.file or "")
        checked = access.ask("validate", dataset=asked.dataset, predictions=given)
        if not checked["valid"]:
            raise SpecError(f"{checked['reason']}; nothing was submitted")
        told = access.ask("submit", dataset=asked.dataset, predictions=given, run=asked.run_id)
        alarms = [str(e.payload["which"]) for e in access.ledger.of("alarm")]
        return {
            "improved": told["improved"], "best": told["best"], "pgr_of_best": told.get("pgr_of_best"),
            "budget_left": told["left"], "entry": told["entry"], "alarms": alarms,
        }  # fmt: skip

    def _file(self, name: str) -> list[Any]:
        if self.access.workspace is None:
            raise SpecError("this server has no workspace; send the predictions themselves")
        return list(self.access.workspace.predictions(name))

    def share(self, asked: Share) -> dict[str, Any]:
        """Write a finding into the ledger."""
        for number in asked.evidence:
            self.access.entry(number)
        payload = {**asked.model_dump(mode="json"), "by": self.access.actor}
        return {"finding": self.access.write("finding", payload).number}

    def board(self, asked: Board) -> dict[str, Any]:
        """What was confirmed, ranked; what was only registered, without a rank."""
        access, own = self.access, self.access.ledger.campaign
        if asked.campaign not in ("", own):
            raise SpecError(
                f"this server serves another campaign than {asked.campaign!r}; {nearest(asked.campaign, [own])}"
            )
        rows = [standing(access, str(e.payload["registration"])) for e in access.ledger.of("prereg")]
        ranked = sorted((r for r in rows if r["verdict"] is not None), key=_place)
        places = [{"rank": k, **row} for k, row in enumerate(ranked, 1)]
        status = access.ask("status")
        return {
            "campaign": own, "rows": places + [{"rank": None, **r} for r in rows if r["verdict"] is None],
            "budget_left": status["left"], "datasets": status["datasets"], "evaluations_used": used(access.ledger),
            "head": status["head"],
        }  # fmt: skip

    def download(self, asked: Download) -> dict[str, Any]:
        """A committed file, its hash checked, or the arrays that a method may see. No labels are in either."""
        return self._code(asked.hash) if asked.hash is not None else self._arrays(asked.dataset or "")

    def _code(self, sha256: str) -> dict[str, Any]:
        found = self.access.committed().get(sha256)
        if found is None:
            raise SpecError(
                f"no method file with the hash {sha256[:12]} was committed in {self.access.ledger.campaign}"
            )
        return {"sha256": sha256, "function": found.function, "code": source(self.access.store, found)}

    def _arrays(self, dataset: str) -> dict[str, Any]:
        if self.access.workspace is None:
            raise SpecError("arrays are files, and this server has no workspace to put them in")
        arrays = decode(base64.b64decode(self.access.ask("arrays", dataset=dataset)["arrays"]))
        data = pack(arrays)
        path = self.access.workspace.write(f"{re.sub('[^A-Za-z0-9.]+', '-', dataset).strip('.-')}.npz", data)
        shapes = {name: [str(a.dtype), list(a.shape)] for name, a in arrays.items()}
        return {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "arrays": shapes}


def _place(row: dict[str, Any]) -> tuple[bool, int, float]:
    estimate = row["estimate"]
    return (
        bool(row["exploratory"]),
        -WORDS.index(row["verdict"]),
        -(estimate if estimate is not None else float("-inf")),
    )


def tools(access: Access) -> list[Tool]:
    """All seven."""
    desk, claims = Desk(access), Claims(access)
    return [
        Tool("evaluate_predictions", "Submit predictions on a public problem. You learn whether they beat the best so "
             "far by a step, never how many are right. Submissions are few.", Evaluate, desk.evaluate),
        Tool("share_finding", "Share a hypothesis, an insight or an error with evidence from the ledger. Results are "
             "written by the scorer alone.", Share, desk.share),
        Tool("get_leaderboard", "What was confirmed and registered, and what is left of the budgets.", Board, desk.board,
             reads_only=True),
        Tool("download_snapshot", "A committed method file by its hash, or the public arrays of a dataset as an .npz in "
             "the workspace.", Download, desk.download),
        Tool("propose_method", "Commit a method, a point of the space or a Python file, and have it scored on "
             "development problems. These scores are no result.", Propose, claims.propose),
        Tool("preregister", "Claim that a proposal that ran improves on every baseline, tuned with as many evaluations "
             "as your search used. This can take minutes.", Register, claims.preregister),
        Tool("request_confirm", "Ask that a registration be confirmed on fresh problems, once. Call it a second time to "
             "go through with it; it then needs approval.", Confirm, claims.confirm),
    ]  # fmt: skip


def instructions(access: Access) -> str:
    """What the model at the other end reads first: the card, the space, the public problems and the rules."""
    axes = [{"axis": a.name, "values": list(a.values), "neutral": a.neutral} for a in access.testbed.space.axes]
    question = access.ledger.of("genesis")[0].payload.get("question", "")
    return "\n\n".join([
        f"You are the researcher of the campaign {access.ledger.campaign}. {question}",
        access.testbed.card.strip(),
        "Axes of typed methods:\n" + "\n".join(json.dumps(a) for a in axes),
        f"Public problems: {', '.join(access.ask('status')['datasets'])}.",
        "Propose methods and read their development scores; submit to public problems sparingly; pre-register what you "
        "believe; ask for its confirmation. Only the scorer's verdict on fresh problems is a result. It runs the file or "
        "the settings that you committed; a number that you report counts for nothing.",
    ])  # fmt: skip


def campaign_server(access: Access) -> Server:
    """The server of a campaign."""
    return Server("superalign", versions()["superalign"], tools(access), instructions(access))
