"""Attacks on a whole campaign: hostile files that are proposed, and hands on the ledger and the scorer.

What single files try inside the sandbox is in tests/research/sandbox; attacks by questions are in audits and alarms.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from superalign.cli.main import app
from superalign.core.errors import ModelError, StoreError
from superalign.core.ports import Store
from superalign.core.spec import Record
from superalign.report import research as pages
from superalign.research.audits.suite import attack_scorer
from superalign.research.ledger import Ledger, Verified, sign, verify
from superalign.research.running import Bench
from superalign.research.sandbox.runner import Sandbox
from superalign.research.scorer.client import Scorer
from superalign.research.scorer.secret import key_of
from superalign.research.testbed import Key, Problem, Tier
from superalign.store import beside, open_store
from superalign.store.chain import link
from superalign.studies.research import Research, prepare
from tests.research.sandbox.conftest import sandbox  # noqa: F401
from tests.research.test_campaign import TOY, genesis, registration
from tests.research.toy import Toy

GANG = f"{Path(__file__).parent / 'villains.py'}:gang"


@dataclass(frozen=True)
class Done:
    """A campaign in which only villains proposed, and everything that anybody may read of it."""

    file: Path
    spec: Research
    record: Record
    canary: str
    key: str

    def ledger(self, store: Store) -> Ledger:
        return Ledger(store, self.spec.campaign)

    def verified(self, file: Path, key: bytes | None = None) -> Verified:
        with open_store(file) as store:
            return verify(store, self.spec.campaign, key)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Done:  # noqa: F811
    file = tmp_path_factory.mktemp("red") / "s.sqlite"
    canary = "CANARY-5f0c1d"
    spec = Research(
        testbed=TOY, proposer=GANG, budget="60", fidelity=3, problems=9, pairs=2, submissions=12, sesoi=0.05
    )
    with pytest.MonkeyPatch.context() as patch, open_store(file) as store:
        patch.setenv("SUPERALIGN_API_KEY", canary)
        record = replace(prepare(spec, store), workers=1).run()
        key = key_of(beside(store, "research"), spec.campaign).hex()
    return Done(file, spec, record, canary, key)


def test_files_that_steal_lie_and_break_are_entries_like_any_other(done: Done) -> None:
    with open_store(done.file) as store:
        ledger = done.ledger(store)
        who = {e.number: e.payload["proposer"] for e in ledger.of("propose")}
        ended = {who[e.payload["proposal"]]: e.payload for e in ledger.of("run_end")}
    told = {name: payload["status"] for name, payload in ended.items()}
    assert told == {"thief": "failed", "liar": "failed", "vague": "invalid", "greedy": "memory", "memoriser": "ok"}
    assert all(payload["scores"] == [] for name, payload in ended.items() if name != "memoriser")
    assert "imported" not in ended["thief"]["said"]
    assert any("key" in line for line in ended["thief"]["denials"])


def test_nothing_of_the_key_or_the_environment_comes_out(done: Done) -> None:
    told = CliRunner().invoke(app, ["research", "log", done.spec.campaign, "--store", str(done.file), "--json"])
    assert told.exit_code == 0
    with open_store(done.file) as store:
        entries = done.ledger(store).entries()
        found = verify(store, done.spec.campaign)
        said = [told.stdout, json.dumps([dict(e.payload) for e in entries]), pages.html(entries, found),
                pages.markdown(entries, found), done.record.model_dump_json()]  # fmt: skip
    for text in said:
        assert "thief" in text
        assert done.canary not in text
        assert done.key not in text


def test_a_printed_verdict_is_words_in_the_log(done: Done) -> None:
    with open_store(done.file) as store:
        ledger = done.ledger(store)
        entries = ledger.entries()
        verdicts = ledger.of("verdict")
        page = pages.html(entries, verify(store, done.spec.campaign))
        liar = next(e for e in ledger.of("run_end") if "1e-99" in e.payload["said"])
    assert liar.payload["status"] == "failed"
    assert "\x1b" not in liar.payload["said"]
    assert len(verdicts) == 2
    assert all(v.signature and v.payload["registration"] != "r1" for v in verdicts)
    assert '<script>alert("improves")' not in page


def test_who_knows_the_development_problems_by_heart_is_found_out(done: Done) -> None:
    """All of PGR where the answers can be known, and a claim that is worse than every baseline on fresh problems."""
    with open_store(done.file) as store:
        best = [e.payload["scores"] for e in done.ledger(store).of("run_end") if e.payload["status"] == "ok"]
    assert best == [[1.0, 1.0, 1.0]]
    for claim in ("published", "tuned"):
        condition = done.record.condition(claim)
        assert condition.labels["verdict"] == "worse"
        high = condition.numbers["effect"].high
        assert high is not None
        assert high < -0.3


def edited(done: Done, tmp_path: Path, change: Callable[[dict[str, Any]], None], *, kind: str, chain: bool) -> Path:
    """A copy of the store in which an entry was changed by hand; with `chain` every later hash is made to fit."""
    file = tmp_path / "edited.sqlite"
    shutil.copy(done.file, file)
    with closing(sqlite3.connect(file)) as raw, raw:
        for (name,) in raw.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            raw.execute(f'drop trigger "{name}"')
        stream, head = f"research/{done.spec.campaign}", ""
        ((number,),) = raw.execute("select id from superalign_streams where name = ?", (stream,)).fetchall()
        rows = raw.execute(
            "select position, body, hash from superalign_events where stream = ? order by position", (number,)
        )
        for position, text, held in rows.fetchall():
            body = json.loads(text)
            if body["type"] == kind:
                change(body["payload"])
                text = json.dumps(body, sort_keys=True, separators=(",", ":"))
            head = link(head, stream, position, text) if chain else held
            raw.execute("update superalign_events set body = ?, hash = ? where stream = ? and position = ?",
                        (text, head, number, position))  # fmt: skip
        raw.execute("update superalign_streams set head = ? where id = ?", (head, number))
    return file


def improves(payload: dict[str, Any]) -> None:
    payload["word"] = "improves"


def test_an_edited_verdict_breaks_the_chain(done: Done, tmp_path: Path) -> None:
    assert done.verified(done.file, bytes.fromhex(done.key)).intact
    file = edited(done, tmp_path, improves, kind="verdict", chain=False)
    assert not done.verified(file).intact
    (tmp_path / "research").mkdir(exist_ok=True)
    told = CliRunner().invoke(app, ["research", "verify", done.spec.campaign, "--store", str(file)])
    assert told.exit_code != 0


@pytest.mark.parametrize("kind", ["verdict", "confirm", "audit", "score"])
def test_who_mends_the_chain_still_lacks_the_key(done: Done, tmp_path: Path, kind: str) -> None:
    def change(payload: dict[str, Any]) -> None:
        payload["edited"] = True

    found = done.verified(edited(done, tmp_path, change, kind=kind, chain=True), bytes.fromhex(done.key))
    assert any(f"({kind}) does not fit" in fault for fault in found.faults)


def test_an_edit_of_what_nobody_signs_is_seen_by_the_next_signature(done: Done, tmp_path: Path) -> None:
    """A claim that is made modest afterwards, in a ledger whose hashes all fit."""

    def change(payload: dict[str, Any]) -> None:
        payload["claim"] = "the method is worse"

    found = done.verified(edited(done, tmp_path, change, kind="prereg", chain=True), bytes.fromhex(done.key))
    assert any("(confirm) does not fit" in fault for fault in found.faults)


def forged(which: str) -> dict[str, Any]:
    """A confirmation in which everything went well."""
    arms = {"method": [[0.9]] * 9, "plain": [[0.1]] * 9}
    problems = [[family, k] for family in "abc" for k in range(3)]
    return {"registration": which, "status": "ok", "said": "", "seeds": list(range(9)), "training": [1],
            "problems": problems, "arms": arms, "usage": {}}  # fmt: skip


@pytest.mark.parametrize("signature", ["", "00" * 32])
def test_a_forged_confirmation_gets_no_verdict(tmp_path: Path, signature: str) -> None:
    """A worker writes what only the scorer writes: through the ledger it may not, and past it it helps nobody."""
    with open_store(tmp_path / "s.sqlite") as store:
        with Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")) as scorer:
            which, ledger = registration(store, "c1"), Ledger(store, "c1")
            for kind in ("score", "confirm", "verdict"):
                with pytest.raises(StoreError, match=f"an entry '{kind}' is written by the scorer, not by 'worker'"):
                    ledger.write(kind, "worker", forged(which))
            body = {"time": "", "actor": "scorer", "type": "confirm", "payload": forged(which), "signature": signature}
            store.append(ledger.stream, [body], expect=ledger.head)
            for request in ("judge", "confirm"):
                with pytest.raises(ModelError, match=r"entry 3 \(confirm\) is not signed by this campaign's scorer"):
                    scorer.ask(request, registration=which)
        assert not ledger.of("verdict")
        assert not verify(store, "c1", key_of(tmp_path / "keys", "c1")).intact


def test_a_signature_of_one_campaign_is_none_in_another() -> None:
    key, payload = bytes(32), forged("r1")
    assert sign(key, "c1", "", "confirm", payload) != sign(key, "c2", "", "confirm", payload)


def test_a_scorer_with_another_key_is_not_taken(tmp_path: Path) -> None:
    """Whoever starts a scorer of their own on somebody's ledger."""
    with open_store(tmp_path / "s.sqlite") as store:
        with Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")):
            pass
        with pytest.raises(ModelError, match="the key here is not the one that c1 commits to in its first entry"):
            Scorer(store.url, "c1", tmp_path / "others", genesis("c1"))
        assert len(Ledger(store, "c1").entries()) == 1


def test_two_scorers_at_once_confirm_once(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        first = Scorer(store.url, "c1", tmp_path / "keys", genesis("c1"))
        second = Scorer(store.url, "c1", tmp_path / "keys", genesis("c1"))
        with first, second:
            which = registration(store, "c1")
            told: list[Any] = []
            threads = [
                threading.Thread(target=lambda s=s: told.append(s.ask("confirm", registration=which)))
                for s in (first, second)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(told) == 2
            assert told[0] == told[1]
            second.ask("judge")
        kinds = Counter(e.type for e in Ledger(store, "c1").entries())
        assert kinds["confirm"] == kinds["verdict"] == 1
        assert verify(store, "c1", key_of(tmp_path / "keys", "c1")).intact


def test_a_scorer_killed_before_the_verdict_gives_it_later(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        with Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")) as scorer:
            which = registration(store, "c1")
            first = scorer.ask("confirm", registration=which)
            os.kill(scorer.pid, signal.SIGKILL)
            with pytest.raises(ModelError, match="the scorer went away during 'judge'"):
                scorer.ask("judge")
        with Scorer(store.url, "c1", tmp_path / "keys", genesis("c1")) as scorer:
            assert scorer.ask("confirm", registration=which) == first
            scorer.ask("judge")
        kinds = Counter(e.type for e in Ledger(store, "c1").entries())
        assert kinds["confirm"] == kinds["verdict"] == 1
        assert Ledger(store, "c1").of("verdict")[0].payload["word"] == "improves"
        assert verify(store, "c1", key_of(tmp_path / "keys", "c1")).intact


class Few(Toy):
    """The toy with 160 items: too few for an alarm over flips."""

    def problem(self, family: str, seed: int, tier: Tier) -> Problem:
        found = super().problem(family, seed, tier)
        key = Key(found.key.truth[:160], found.key.weak, found.key.ceiling)
        return replace(found, public={**found.public, "test_x": found.public["test_x"][:160]}, key=key)


def test_an_attack_on_a_small_board_gains_nothing_and_needs_no_alarm(tmp_path: Path) -> None:
    """Flips raise no alarm on so few items, because honest methods differ by as few; the step alone must hold there."""
    with open_store(tmp_path / "s.sqlite") as store:
        small, large = (attack_scorer(Bench(bed, store), "a/0", 12, queries=12)[0] for bed in (Few(), Toy()))
    assert (small.status, large.status) == ("pass", "pass")
    assert "alarm" not in small.says
    assert "an alarm was raised" in large.says
