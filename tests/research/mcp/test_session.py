"""A campaign served over pipes, with its scorer in a process of its own: our client, and the protocol's own."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.research.ledger import Ledger, verify
from superalign.research.mcp.server import VERSIONS
from superalign.research.mcp.session import session
from superalign.research.scorer.secret import key_of
from superalign.store import beside, open_store
from tests.contract.test_store import InMemory
from tests.research.mcp.test_tools import GENESIS

SERVE = """
import json, sys
from pathlib import Path
from superalign.research.mcp.approval import Decision
from superalign.research.mcp.server import serve
from superalign.research.mcp.session import session
from superalign.research.mcp.stdio import protocol_alone
from superalign.store import open_store

file, genesis, workspace = sys.argv[1:]
with protocol_alone() as (source, sink), open_store(file) as store, session(
    store, "c1", json.loads(genesis), approve=lambda _: Decision("approved"), workspace=Path(workspace), fidelity=2, most=6
) as server:
    print("ready")
    serve(server, source, sink)
"""


class Client:
    """The other end of the pipes."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.number = 0

    def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}).encode())
        answer = self.read()
        assert answer["id"] == self.number
        return dict(answer["result"])

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        result = self.ask("tools/call", name=name, arguments=arguments)
        assert not result["isError"], result
        return dict(result["structuredContent"])

    def close(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said.decode()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """How the server of a new campaign is started."""
    (tmp_path / "room").mkdir()
    return [sys.executable, "-c", SERVE, str(tmp_path / "s.sqlite"), json.dumps(GENESIS), str(tmp_path / "room")]


def test_a_campaign_over_pipes(command: list[str], tmp_path: Path) -> None:
    client = Client(command)
    hello = client.ask(
        "initialize", protocolVersion=VERSIONS[0], capabilities={}, clientInfo={"name": "t", "version": "1"}
    )
    assert "toy: train_x and test_x" in hello["instructions"]
    client.send(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}')
    client.send(b"\xff{{{")
    assert client.read()["error"]["code"] == -32700
    assert len(client.ask("tools/list")["tools"]) == 7
    arrays = client.call("download_snapshot", dataset="b/0")
    with np.load(tmp_path / "room" / arrays["file"]) as found:
        np.save(tmp_path / "room" / "p.npy", found["test_x"][:, 3])
    told = client.call("evaluate_predictions", run_id="r1", dataset="b/0", file="p.npy")
    assert told["improved"]
    assert told["budget_left"] == 49
    proposal = client.call("propose_method", values={"skill": 3})["proposal"]
    words = {"claim": "hint 3 is best", "proposal": proposal, "exploratory": True, "override": "a toy"}
    which = client.call("preregister", **words)["registration"]
    assert client.call("request_confirm", registration=which)["status"] == "requested"
    assert client.call("request_confirm", registration=which)["row"]["verdict"] == "improves"
    code, said = client.close()
    assert (code, said) == (0, "ready\n")
    with open_store(tmp_path / "s.sqlite") as store:
        found_ = verify(store, "c1", key_of(beside(store, "research"), "c1"))
        assert found_.intact, found_.faults
        assert found_.signatures == 4  # the first entry, the score, the confirmation, the verdict
        assert "commitment" in Ledger(store, "c1").of("genesis")[0].payload

    again = Client(command)
    again.ask("initialize", protocolVersion="2024-11-05", capabilities={}, clientInfo={"name": "t", "version": "1"})
    board = again.call("get_leaderboard")
    assert [(r["rank"], r["registration"], r["verdict"]) for r in board["rows"]] == [(1, which, "improves")]
    assert board["budget_left"] == 49
    assert again.close()[0] == 0


def test_the_protocols_own_client(command: list[str]) -> None:
    """The published client of the protocol, which probes for newer revisions first and checks what it is sent."""
    mcp = pytest.importorskip("mcp", reason="the package mcp is not installed; type: pip install mcp")
    import anyio

    async def talk() -> None:
        server = mcp.StdioServerParameters(command=command[0], args=command[1:])
        async with mcp.Client(server) as client:
            assert client.protocol_version == VERSIONS[0]
            assert "toy: train_x and test_x" in client.instructions
            listed = await client.list_tools()
            assert [t.name for t in listed.tools][:2] == ["evaluate_predictions", "share_finding"]
            await client.session.send_ping()
            found = await client.call_tool("propose_method", {"values": {"skill": 2}})
            assert found.structured_content["status"] == "ok"
            refused = await client.call_tool("share_finding", {"type": "result", "title": "T", "text": "PGR .97"})
            assert refused.is_error
            assert "results are written by the scorer alone" in refused.content[0].text
            with pytest.raises(mcp.MCPError, match="no tool 'nothing'"):
                await client.call_tool("nothing", {})

    with ThreadPoolExecutor(1) as pool:  # a browser of other tests may have left an event loop running in this thread
        pool.submit(anyio.run, talk).result()


def test_a_session_needs_a_store_that_others_can_open() -> None:
    with (
        pytest.raises(SpecError, match="a campaign needs a store that other processes can open"),
        session(InMemory({}), "c1", GENESIS),
    ):
        pass
