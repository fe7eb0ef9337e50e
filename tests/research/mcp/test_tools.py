"""The tools on a toy campaign, through the protocol; a real scorer's desk answers over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.core.ports import Store
from superalign.research.ledger import Ledger, verify
from superalign.research.mcp.access import Access
from superalign.research.mcp.approval import Decision, Gate, by_person, decide
from superalign.research.mcp.tools import campaign_server
from superalign.research.mcp.workspace import Workspace
from superalign.research.running import Bench
from superalign.research.scorer.desk import ScorerDesk
from superalign.research.scorer.wire import Desk, Line
from superalign.research.values import PreRegistration, typed
from superalign.research.workers import Workers
from superalign.store import open_store
from tests.research.toy import ITEMS, Toy

TOY = f"{Path(__file__).parents[1] / 'toy.py'}:toy"
KEY = b"k" * 32
GENESIS = {
    "campaign": "c1", "question": "Which hint is best?", "testbed": TOY, "sesoi": 0.05, "commitment": "x", "public": ["a/0", "b/0"],
    "submissions": 50,
}  # fmt: skip


class Room:
    """A campaign, its desk behind a socket, and a client of the tools."""

    def __init__(self, store: Store, folder: Path, **options: Any) -> None:
        self.ledger = Ledger(store, "c1")
        Ledger(store, "c1", KEY).write("genesis", "scorer", GENESIS)
        desk = ScorerDesk(store, "c1", KEY, Bench(Toy(), store), GENESIS["public"], 4)  # type: ignore[arg-type]
        self.door = Desk(folder / "door", desk.answers())
        threading.Thread(target=self.door.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.line = Line(folder / "door")
        (folder / "workspace").mkdir()
        self.workspace = folder / "workspace"
        self.approved = Decision("approved")
        self.access = Access(
            self.ledger, Toy(), self.line.ask, Workers(TOY, Toy(), store), Gate(lambda _: self.approved),
            **{"workspace": Workspace(self.workspace), "fidelity": 4, "most": 12, **options},
        )  # fmt: skip
        self.server = campaign_server(self.access)
        self.hello: Any = self.server.answer(
            {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
        )

    def raw(self, name: str, **arguments: Any) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        answer: Any = self.server.answer(json.loads(json.dumps(request)))
        return dict(answer["result"])

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        result = self.raw(name, **arguments)
        assert not result["isError"], result["content"][0]["text"]
        return dict(result["structuredContent"])

    def refused(self, name: str, **arguments: Any) -> str:
        result = self.raw(name, **arguments)
        assert result["isError"], result
        return str(result["content"][0]["text"])

    def close(self) -> None:
        self.line.close()
        self.door.shutdown()
        self.door.server_close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with open_store(tmp_path / "s.sqlite") as store:
        made = Room(store, tmp_path)
        yield made
        made.close()


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A campaign for requests that are refused: its ledger stays as it is."""
    folder = tmp_path_factory.mktemp("still")
    with open_store(folder / "s.sqlite") as store:
        made = Room(store, folder)
        head = made.ledger.head
        yield made
        assert made.ledger.head == head, made.ledger.entries()
        made.close()


def test_the_tools_and_what_is_said_of_them(still: Room) -> None:
    listed: Any = still.server.answer({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert [t["name"] for t in listed["result"]["tools"]] == [
        "evaluate_predictions", "share_finding", "get_leaderboard", "download_snapshot", "propose_method", "preregister",
        "request_confirm",
    ]  # fmt: skip
    kinds = listed["result"]["tools"][1]["inputSchema"]["properties"]["type"]["enum"]
    assert kinds == ["hypothesis", "insight", "error"]
    said = still.hello["result"]["instructions"]
    assert "Which hint is best?" in said
    assert Toy.card in said
    assert '{"axis": "skill", "values": [0, 1, 2, 3], "neutral": 0}' in said
    assert "Public problems: a/0, b/0." in said


def test_predictions_are_answered_in_steps(room: Room) -> None:
    (room.workspace / "good.json").write_text(json.dumps(best_answers(room)))
    found = room.call("evaluate_predictions", run_id="r1", dataset="a/0", file="good.json")
    assert set(found) == {"improved", "best", "pgr_of_best", "budget_left", "entry", "alarms"}
    assert found["improved"]
    assert found["pgr_of_best"] > 0.5
    assert found["budget_left"] == 3
    assert found["alarms"] == []
    again = room.call("evaluate_predictions", run_id="r2", dataset="a/0", predictions=[0.5] * ITEMS)
    assert not again["improved"]
    assert again["best"] == found["best"]
    (first, _) = room.ledger.of("score")
    assert first.payload["run"] == "r1"
    said = room.refused("evaluate_predictions", run_id="r", dataset="a/0", predictions=[1, 0])
    assert "predictions have shape (2,); the problem has 400 test items; nothing was submitted" in said
    assert "no public problem is called 'a/1'" in room.refused(
        "evaluate_predictions", run_id="r", dataset="a/1", predictions=[1]
    )
    assert len(room.ledger.of("score")) == 2
    for _ in range(2):
        room.call("evaluate_predictions", run_id="r", dataset="b/0", predictions=[1] * ITEMS)
    said = room.refused("evaluate_predictions", run_id="r", dataset="b/0", predictions=[1] * ITEMS)
    assert "all 4 submissions of this campaign are used" in said


def test_alarms_are_told(room: Room) -> None:
    for k in range(12):
        assert "nothing was submitted" in room.refused(
            "evaluate_predictions", run_id="r", dataset="a/0", predictions=[10**4000] if k else [1, 0]
        )
    found = room.call("evaluate_predictions", run_id="r", dataset="a/0", predictions=[1] * ITEMS)
    assert found["alarms"] == ["rejected"]


def best_answers(room: Room) -> list[int]:
    """What the best method answers, from the arrays that everybody may see."""
    told = room.call("download_snapshot", dataset="a/0")
    assert told["arrays"]["test_x"] == ["float32", [ITEMS, 4]]
    with np.load(room.workspace / told["file"]) as arrays:
        assert set(arrays) == {"train_x", "test_x"}
        return [int(v) for v in arrays["test_x"][:, 3]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"predictions": [1], "file": "x"}, "give either predictions or a file"),
        ({}, "give either predictions or a file"),
        ({"predictions": []}, "at least 1 item"),
        ({"predictions": ["1e400", 1]}, "finite"),
        ({"predictions": "1"}, "valid list"),
        ({"predictions": [{"a": 1}]}, "predictions.0"),
        ({"file": "../s.sqlite"}, "is no path inside the workspace"),
        ({"file": "none.json"}, "No such file"),
        ({"predictions": [1], "split": "test"}, "split: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_evaluated_is_told(still: Room, arguments: dict[str, Any], said: str) -> None:
    assert said in still.refused("evaluate_predictions", run_id="r", dataset="a/0", **arguments)
    assert not still.ledger.of("score")


def test_findings_and_no_results(room: Room) -> None:
    found = room.call("share_finding", type="insight", title="T", text="Text \ud83d\ude00", evidence=[1])
    entry = room.ledger.of("finding")[0]
    assert entry.number == found["finding"]
    assert entry.payload == {
        "type": "insight",
        "title": "T",
        "text": "Text \U0001f600",
        "evidence": [1],
        "by": "client",
    }
    said = room.refused("share_finding", type="result", title="T", text="PGR .97")
    assert "results are written by the scorer alone; share a hypothesis, an insight or an error" in said
    assert "entry 99 of the ledger is no entry" in room.refused(
        "share_finding", type="error", title="T", text="", evidence=[99]
    )
    assert "at most 5000 characters" in room.refused("share_finding", type="error", title="T", text="x" * 5001)
    assert "score" in room.refused("share_finding", type="error", title="T", text="", score=1)
    assert "unicode" in room.refused("share_finding", type="error", title="\ud800", text="x")
    assert len(room.ledger.of("finding")) == 1


CODE = "def method(public, seed):\n    return public['test_x'][:, 3]\n"


def test_proposals_are_scored_once_and_code_in_the_sandbox(room: Room) -> None:
    first = room.call("propose_method", values={"skill": 2}, rationale="a better hint")
    assert first["status"] == "ok"
    assert len(first["dev_scores"]) == 4
    assert 0.2 < first["dev_score"] < 0.7
    code = room.call("propose_method", code=CODE, parent=first["proposal"])
    assert code["dev_score"] > first["dev_score"]
    assert code["evaluations_used"] == 8
    failed = room.call("propose_method", values={"trick": "on"})
    assert failed["status"] == "failed"
    assert "the trick does not work" in failed["said"]
    assert room.call("propose_method", values={"skill": 2, "trick": "off"})["proposal"] == first["proposal"]
    assert len(room.ledger.of("propose")) == len(room.ledger.of("run_end")) == 3
    parent = room.ledger.of("propose")[0].payload["id"]
    assert room.ledger.of("propose")[1].payload["parent"] == parent
    sha = room.ledger.of("propose")[1].payload["method"]["sha256"]
    assert room.call("download_snapshot", hash=sha) == {"sha256": sha, "function": "method", "code": CODE}


def test_what_a_killed_server_had_begun_is_ended(room: Room) -> None:
    room.call("propose_method", values={"skill": 2})
    begun = {
        **room.ledger.of("propose")[0].payload,
        "method": {"kind": "typed", "values": {**Toy.space.neutral, "skill": 3}},
    }
    number = room.ledger.write("propose", "client", begun).number
    assert room.call("propose_method", values={"skill": 3})["proposal"] == number
    assert len(room.ledger.of("propose")) == len(room.ledger.of("run_end")) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give either values or code"),
        ({"values": {}, "code": "x"}, "give either values or code"),
        ({"values": {"skill": 7}}, "skill=7 is not in the space"),
        ({"values": {"skil": 1}}, "no axis is called 'skil'; did you mean 'skill'"),
        ({"values": {"skill": [1]}}, "values.skill"),
        ({"code": "def other(public, seed): ..."}, "the code defines no function 'method' at its top level"),
        ({"code": "def method("}, "the code is no Python"),
        ({"code": CODE, "function": "__import__('os')"}, "should match pattern"),
        ({"values": {}, "parent": 1}, "entry 1 of the ledger is no propose"),
    ],
)  # fmt: skip
def test_what_cannot_be_proposed_is_told(still: Room, arguments: dict[str, Any], said: str) -> None:
    assert said in still.refused("propose_method", **arguments)
    assert not still.ledger.of("propose", "run_end")


def test_the_search_has_a_budget(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        room = Room(store, tmp_path, evaluations=4)
        room.call("propose_method", values={"skill": 1})
        assert "4 of 4 evaluations are used" in room.refused("propose_method", values={"skill": 2})
        assert room.call("propose_method", values={"skill": 1})["evaluations_used"] == 4  # known, so free
        assert [e.payload["what"] for e in room.ledger.of("refuse")] == ["a proposal"]
        room.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give either hash or dataset"),
        ({"hash": "0" * 64}, "no method file with the hash 000000000000 was committed in c1"),
        ({"hash": "../../key"}, "should match pattern"),
        ({"dataset": "../keys"}, "no public problem is called '../keys'"),
    ],
)
def test_nothing_else_can_be_downloaded(still: Room, arguments: dict[str, Any], said: str) -> None:
    still.ledger.store.put(f"research/code/{'0' * 64}", b"of another campaign")
    assert said in still.refused("download_snapshot", **arguments)


def test_a_committed_file_that_was_changed_is_not_given_out(room: Room) -> None:
    sha = "1" * 64
    room.ledger.store.put(f"research/code/{sha}", CODE.encode())
    room.ledger.write("propose", "x", {"method": {"kind": "code", "sha256": sha, "function": "method"}})
    assert "the method file 111111111111 is not the one that was committed" in room.refused(
        "download_snapshot", hash=sha
    )


def registered(room: Room, **more: Any) -> dict[str, Any]:
    found = room.call("propose_method", values={"skill": 3})
    asked = {"claim": "hint 3 is best", "proposal": found["proposal"], "override": "a toy", **more}
    return room.call("preregister", **asked)


def test_a_claim_from_idea_to_verdict(room: Room) -> None:
    """Exploratory it improves on both baselines; tuned with equal care `plain` is as good, and the word is honest."""
    naive = registered(room, exploratory=True)
    assert naive["baselines"]["plain"]["values"]["skill"] == 1
    assert not room.ledger.of("care")
    claim = registered(room)
    assert claim["baselines"]["plain"]["values"]["skill"] == 3
    assert (claim["families"], claim["tasks"], claim["sesoi"]) == (["a", "b", "c"], 4, 0.05)
    assert {e.payload["baseline"]: e.payload["equal"] for e in room.ledger.of("care")} == {"plain": True, "stuck": True}
    for which in (naive["registration"], claim["registration"]):
        first = room.call("request_confirm", registration=which)
        assert first["status"] == "requested"
        assert not any(e.payload["registration"] == which for e in room.ledger.of("confirm"))
        assert room.call("request_confirm", registration=which)["status"] == "confirmed"
    board = room.call("get_leaderboard", campaign="c1")
    tuned, published = board["rows"]
    assert (tuned["rank"], tuned["exploratory"], tuned["verdict"], tuned["deciding"]) == (
        1,
        False,
        "no evidence",
        "plain",
    )
    assert (published["rank"], published["exploratory"], published["verdict"]) == (2, True, "improves")
    assert tuned["method"] == {"skill": 3}
    assert published["low"] > 0.3
    assert published["n"] == 12
    assert "exploratory" in published["qualifiers"]
    assert (board["budget_left"], board["datasets"]) == (4, ["a/0", "b/0"])
    head = room.ledger.head
    assert room.call("request_confirm", registration=claim["registration"])["row"]["verdict"] == "no evidence"
    assert room.ledger.head == head  # a second time nothing happens
    found = verify(room.ledger.store, "c1", None)
    assert found.intact, found.faults


def test_baselines_are_tuned_anew_where_the_search_went_on(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        room = Room(store, tmp_path, care=4)
        tuned_anew(room)
        room.close()


def tuned_anew(room: Room) -> None:
    registered(room)
    before = {e.payload["baseline"]: e.payload["evaluations"] for e in room.ledger.of("care")}
    for skill in (0, 1, 2):
        for idle in (0, 1, 2):
            room.call("propose_method", values={"skill": skill, "idle": idle})
    registered(room)
    after = {e.payload["baseline"]: e.payload["evaluations"] for e in room.ledger.of("care")}
    assert after["plain"] >= 16 > before["plain"]
    assert after["stuck"] == 12  # all there is
    count = len(room.ledger.of("care"))
    registered(room)
    assert len(room.ledger.of("care")) == count


def test_claims_that_cannot_be_made_are_told(room: Room) -> None:
    failed = room.call("propose_method", values={"trick": "on"})["proposal"]
    good = room.call("propose_method", values={"skill": 3})["proposal"]
    words = {"claim": "x", "exploratory": True}
    assert "did not run; register one that did" in room.refused("preregister", proposal=failed, **words)
    assert "entry 1 of the ledger is no propose" in room.refused("preregister", proposal=1, **words)
    said = room.refused("preregister", proposal=good, tasks=500, **words)
    assert "500 problems of 3 families are more than 12; ask for fewer tasks" in said
    said = room.refused("preregister", proposal=good, tasks=2, **words)
    assert "2 problems of 3 families are fewer than 8" in said
    assert "ask for 3 tasks or more" in said
    weak = room.refused("preregister", proposal=good, tasks=3, claim="x")
    assert "is seen with power 0." in weak
    assert "Say in `override` why it is registered all the same" in weak
    assert "baselines: Extra inputs" in room.refused("preregister", proposal=good, baselines={}, **words)
    assert not room.ledger.of("prereg")


def test_an_unconfirmed_claim_has_no_rank(room: Room) -> None:
    registered(room, exploratory=True)
    (row,) = room.call("get_leaderboard")["rows"]
    assert (row["rank"], row["verdict"]) == (None, None)
    assert "estimate" not in row
    assert "serves another campaign than 'c2'" in room.refused("get_leaderboard", campaign="c2")


def test_confirmations_wait_for_approval(room: Room) -> None:
    which = registered(room, exploratory=True)["registration"]
    room.access.gate._approve = by_person(room.ledger.store, "c1")
    assert room.call("request_confirm", registration=which)["status"] == "requested"
    assert room.call("request_confirm", registration=which) == {
        "status": "waiting",
        "says": "a person has to approve it",
    }
    decide(room.ledger.store, "c1", which, False, "A. Person", "too early")
    assert room.call("request_confirm", registration=which) == {"status": "refused", "says": "A. Person: too early"}
    assert not room.ledger.of("confirm")
    with pytest.raises(SpecError, match="a decision needs the name of who made it"):
        decide(room.ledger.store, "c1", which, True, " ")
    assert "is not pre-registered" in room.refused("request_confirm", registration="0" * 24)
    assert "should match pattern" in room.refused("request_confirm", registration="x")


def test_requests_are_limited_in_time() -> None:
    now = [0.0]
    gate = Gate(lambda _: Decision("waiting"), most=3, seconds=60, clock=lambda: now[0])
    claim = PreRegistration(
        claim="x",
        method=typed({"skill": 1}),
        baselines={"b": typed({"skill": 0})},
        families=("a",),
        tasks=2,
        sesoi=0.1,
        power=1,
    )
    assert gate.request(claim) is None
    assert gate.request(claim) == gate.request(claim) == Decision("waiting")
    now[0] = 20
    with pytest.raises(SpecError, match="3 requests in 60 s are enough; ask again in 40 s"):
        gate.request(claim)
    now[0] = 60
    assert gate.request(claim) == Decision("waiting")


def test_a_registration_that_was_changed_is_not_confirmed(room: Room) -> None:
    which = registered(room, exploratory=True)["registration"]
    changed = {**room.ledger.of("prereg")[0].payload, "registration": "0" * 24, "alpha": 0.4}
    room.ledger.write("prereg", "x", changed)
    assert "is not what its id says" in room.refused("request_confirm", registration="0" * 24)
    assert which != "0" * 24


def test_a_closed_campaign_takes_nothing_more(room: Room) -> None:
    which = registered(room, exploratory=True)["registration"]
    room.ledger.write("sign_off", "x", {"name": "A", "decision": "done", "head": room.ledger.head})
    head = room.ledger.head
    for name, arguments in {
        "share_finding": {"type": "error", "title": "T", "text": ""}, "propose_method": {"values": {"skill": 1}},
        "request_confirm": {"registration": which},
    }.items():  # fmt: skip
        assert "c1 is closed: it was signed" in room.refused(name, **arguments)
    assert room.ledger.head == head


def test_a_scorer_that_goes_away_is_told(room: Room) -> None:
    room.line.close()
    assert "the scorer went away during 'validate'" in room.refused(
        "evaluate_predictions", run_id="r", dataset="a/0", predictions=[1]
    )


def test_without_a_workspace_there_are_no_files(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        room = Room(store, tmp_path, workspace=None)
        said = room.refused("evaluate_predictions", run_id="r", dataset="a/0", file="x")
        assert "this server has no workspace; send the predictions themselves" in said
        assert "no workspace to put them in" in room.refused("download_snapshot", dataset="a/0")
        room.close()
