"""The command `superalign research`: campaigns, their ledger, and a coding agent's client at the door."""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

TOY = f"{Path(__file__).parent.parent / 'research' / 'toy.py'}:toy"
SMALL = ("--testbed", TOY, "--budget", "60", "--fidelity", "4", "--problems", "9", "--pairs", "4", "--sesoi", ".05",
         "--proposer", "halving:width=8:fidelity=4")  # fmt: skip


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUPERALIGN_STORE", str(tmp_path / "own.sqlite"))


def said(ran: tuple[int, str, str], code: int = 0) -> str:
    """What a command printed; what it complained of where it failed."""
    assert ran[0] == code, ran[2]
    return ran[1] if code == 0 else ran[2]


def test_a_campaign_from_the_terminal(superalign: Any) -> None:
    found = json.loads(said(superalign("research", *SMALL, "--json")))
    assert found["study"] == "research"
    conditions = {c["name"]: c for c in found["conditions"]}
    assert set(conditions) == {"published", "tuned"}
    for condition in conditions.values():
        assert {"effect", "p_adjusted"} <= set(condition["numbers"])
        assert condition["labels"]["verdict"] in ("improves", "worse", "no evidence", "underpowered")
    told = json.loads(said(superalign("research", "verify", "last", "--json")))
    assert told["intact"]
    assert told["signatures"] > 4
    lines = said(superalign("research", "log", "last", "--json")).splitlines()
    assert json.loads(lines[0])["type"] == "genesis"
    assert len(lines) == told["entries"]
    for name in ("findings.html", "findings.md"):
        said(superalign("research", "report", "last", name))
        assert "no evidence" in Path(name).read_text()
    said(superalign("research", "sign", "last", "--name", "A. Person", "--decision", "kept as it is"))
    assert "is closed already" in said(superalign("research", "sign", "last", "--name", "B", "--decision", "no"), 2)
    assert json.loads(said(superalign("research", "verify", "last", "--json")))["intact"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name a testbed: --testbed"),
        (("--testbed", "w2s-macro"), "no testbed is named 'w2s-macro'"),
        (("--testbed", TOY, "--budget", "soon"), "a budget is a time such as 40s, 10m or 2h"),
        (("--testbed", TOY, "--proposer", "evolv"), "no proposer is named 'evolv'"),
        (("verify", "nothing"), "no campaign is called 'nothing'"),
        (("serve",), "the one way to serve a campaign is MCP"),
        (("serve", "--mcp"), "name a testbed to begin on, or a campaign to go on with"),
    ],
)
def test_mistakes_say_what_to_type(superalign: Any, arguments: tuple[str, ...], complaint: str) -> None:
    assert complaint in said(superalign("research", *arguments), 2)


def test_a_dry_run_runs_nothing(superalign: Any) -> None:
    plan = json.loads(said(superalign("research", *SMALL, "--dry-run", "--json")))
    assert "searches 24 methods on toy with 60 evaluations" in plan["remarks"][0]
    assert "no campaign" in said(superalign("research", "verify", "last"), 2)


def ran(talk: Any) -> Any:
    """On a loop of its own, which is closed; `asyncio.run` is another's after a library has patched it for notebooks."""
    with asyncio.Runner() as runner:
        return runner.run(talk())


def test_a_real_client_over_stdio(tmp_path: Path) -> None:
    """The official client of the Model Context Protocol, against the command that a coding agent would start."""
    mcp = pytest.importorskip("mcp", reason="the package mcp is not installed; type: pip install mcp")
    command = [
        "-m",
        "superalign",
        "research",
        "serve",
        "--mcp",
        "--testbed",
        TOY,
        "--store",
        str(tmp_path / "s.sqlite"),
    ]
    server = mcp.StdioServerParameters(command=sys.executable, args=[*command, "--auto-approve"])

    async def talk() -> dict[str, Any]:
        async with mcp.Client(server) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            board = await client.call_tool("get_leaderboard", {})
            finding = {"title": "skill matters", "text": "more is better", "evidence": []}
            shared = await client.call_tool("share_finding", {"type": "insight", **finding})
            refused = await client.call_tool("share_finding", {"type": "result", **finding})
            return {"tools": tools, "board": board, "shared": shared, "refused": refused}

    with ThreadPoolExecutor(1) as pool:  # a browser of other tests may have left an event loop running in this thread
        told = pool.submit(ran, talk).result()
    assert {"evaluate_predictions", "share_finding", "get_leaderboard", "download_snapshot"} <= told["tools"]
    assert not told["board"].is_error
    assert not told["shared"].is_error
    assert told["refused"].is_error
