"""The ledger: chained, signed, in order; any change is found."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from superalign.core.errors import StoreError
from superalign.research.ledger import Ledger, commitment, seed_of, verify
from superalign.store import open_store

KEY = bytes(range(32))


def begun(store: object, key: bytes | None = None) -> Ledger:
    ledger = Ledger(store, "c1", key)  # type: ignore[arg-type]
    ledger.write("genesis", "campaign", {"question": "?", "commitment": commitment(KEY)})
    return ledger


def whole(store: object) -> Ledger:
    """A campaign in short: registered, confirmed, judged, closed."""
    begun(store)
    scorer = Ledger(store, "c1", KEY)  # type: ignore[arg-type]
    Ledger(store, "c1").write("prereg", "campaign", {"registration": "r1"})  # type: ignore[arg-type]
    seeds = [seed_of(KEY, "r1", k) for k in range(3)]
    scorer.write("confirm", "scorer", {"registration": "r1", "seeds": seeds})
    scorer.write("verdict", "scorer", {"registration": "r1", "word": "no evidence"})
    scorer.write("sign_off", "campaign", {"key": KEY.hex()})
    return scorer


def test_a_whole_campaign_is_intact(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        whole(store)
        found = verify(store, "c1")
        assert found.intact
        assert found.entries == 5
        assert found.signatures == 3
        assert found.head == Ledger(store, "c1").head


def test_only_the_scorer_writes_scores(tmp_path: Path) -> None:
    said = "an entry 'score' is written by the scorer, not by 'campaign'"
    with open_store(tmp_path / "s.sqlite") as store, pytest.raises(StoreError, match=said):
        begun(store).write("score", "campaign", {"value": 0.9})


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_changed_byte_in_any_entry_is_found(tmp_path: Path, number: int) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        whole(store)
    with sqlite3.connect(tmp_path / "s.sqlite") as raw:
        triggers = raw.execute("select name from sqlite_master where type = 'trigger'").fetchall()
        for (name,) in triggers:
            raw.execute(f'drop trigger "{name}"')
        (body,) = raw.execute("select body from superalign_events where position = ?", (number,)).fetchone()
        changed = body.replace('"time":"2', '"time":"3')
        assert changed != body
        raw.execute("update superalign_events set body = ? where position = ?", (changed, number))
    with open_store(tmp_path / "s.sqlite") as store:
        assert not verify(store, "c1").intact


def test_a_ledger_that_was_written_anew_does_not_fit_its_signatures(tmp_path: Path) -> None:
    """Who can rewrite the whole chain still lacks the key."""
    with open_store(tmp_path / "a.sqlite") as store, open_store(tmp_path / "b.sqlite") as forged:
        for entry in whole(store).entries():
            payload = {**entry.payload, **({"word": "improves"} if entry.type == "verdict" else {})}
            body = {"time": entry.time, "actor": entry.actor, "type": entry.type, "payload": payload}
            forged.append("research/c1", [{**body, **({"signature": entry.signature} if entry.signature else {})}])
        faults = verify(forged, "c1").faults
        assert any("the signature of entry 4 (verdict) does not fit" in f for f in faults)


def test_order_is_checked(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        begun(store)
        scorer = Ledger(store, "c1", KEY)
        scorer.write("verdict", "scorer", {"registration": "r9", "word": "improves"})
        scorer.write("confirm", "scorer", {"registration": "r9"})
        scorer.write("prereg", "scorer", {"registration": "r8"})
        scorer.write("confirm", "scorer", {"registration": "r8", "seeds": [1, 2]})
        scorer.write("confirm", "scorer", {"registration": "r8"})
        faults = "\n".join(verify(store, "c1", KEY).faults)
        assert "entry 2 gives a verdict on 'r9', which was not confirmed before" in faults
        assert "entry 3 confirms 'r9', which was not registered before" in faults
        assert "entry 6 confirms 'r8' a second time" in faults
        assert "entry 5 was confirmed on other seeds than the key gives" in faults


def test_a_decision_at_a_head_that_has_passed_is_made_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        ledger, seen = begun(store, KEY), []

        def choose() -> dict[str, int]:
            seen.append(len(ledger.entries()))
            if len(seen) == 1:
                Ledger(store, "c1").write("finding", "another", {"title": "meanwhile"})
            return {"after": seen[-1]}

        assert ledger.decide("score", "scorer", choose).payload == {"after": 2}
        assert seen == [1, 2]
        assert [e.type for e in ledger.entries()] == ["genesis", "finding", "score"]
        assert verify(store, "c1", KEY).intact, "it was signed at the head where it was decided"


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        ledger = begun(store)
        (first,) = ledger.entries()
        assert ledger.decide("genesis", "campaign", lambda: ledger.entries()[0]) is first
        assert ledger.head == first.hash


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        begun(store)

        def work(name: str) -> None:
            own = Ledger(store, "c1", KEY)
            for k in range(12):
                own.write("score", name, {"k": k})

        threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        entries = Ledger(store, "c1").of("score")
        assert {(e.actor, e.payload["k"]) for e in entries} == {(f"w{i}", k) for i in range(4) for k in range(12)}
        assert verify(store, "c1", KEY).intact


def test_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        assert verify(store, "nothing").faults == ("there is no ledger of 'nothing'",)


def test_foreign_entries_are_told(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        store.append("research/c1", [{"hello": 1}])
        assert "was not written by superalign" in verify(store, "c1").faults[0]


def test_a_key_that_is_none_is_told(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        begun(store)
        for forged in ("not hexadecimal", 7):
            Ledger(store, "c1").write("sign_off", "eve", {"key": forged})
        faults = verify(store, "c1", KEY).faults
        assert sum("publishes a key that is not in hexadecimal digits" in f for f in faults) == 2
