"""A run against an endpoint is killed in the middle: nothing stored is asked again, what was in flight is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from superalign.core.driver import Transcript, ask, play
from superalign.core.types import Item, Message, Moves, Seat, Verdict
from superalign.models.api import api
from superalign.store import open_store
from tests.models.api.server import Answer, Heard, Server, chat

GAMES = [(Item(f"i{k}", f"question {k}", ("no", "yes")), Seat()) for k in range(300)]


def two_turns(item: Item, seat: Seat) -> Moves:
    """A speech, then a decision."""
    speech = yield from ask("debater", (Message("user", f"{item.prompt}: speak"),))
    reply = yield from ask("judge", (Message("user", f"{item.prompt}: {speech.text}: decide"),))
    if reply.failure is not None:
        return Verdict(None, abstained=f"failed: {reply.failure}")
    return Verdict(1)


def run(url: str, store_path: str) -> Transcript:
    """The run, the same in the process that is killed and in the one that goes on."""
    model = api(url, model="m", concurrency=8, timeout=5.0, backoff=0.001)
    with open_store(store_path) as store:
        transcript = Transcript(store, "calls")
        judgments = play(two_turns, {"debater": model, "judge": model}, GAMES, transcript)
        assert [j.verdict.answer for j in judgments] == [1] * len(GAMES)
        return transcript


def test_a_killed_run_goes_on_without_asking_twice(tmp_path: Path) -> None:
    path, enough = str(tmp_path / "s.sqlite"), threading.Event()
    calls: Counter[str] = Counter()
    lock = threading.Lock()

    def slow(heard: Heard) -> Answer:
        with lock:
            calls[heard.headers["idempotency-key"]] += 1
            if calls.total() >= 200:
                enough.set()
        return chat("because").later(0.005)

    with Server(slow) as server:
        command = [sys.executable, "-c", f"from {__name__} import run; run({server.url!r}, {path!r})"]
        child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        assert enough.wait(60)
        child.send_signal(signal.SIGKILL)
        child.wait()
        stream = api(server.url, model="m").name
        with open_store(path) as store:
            bodies = [e.body for e in store.read(f"calls/{stream}")]
        stored = {b["call"] for b in bodies if b["kind"] == "reply"}
        open_calls = {c for b in bodies if b["kind"] == "sent" for c in b["calls"]} - stored
        assert 100 <= len(stored) <= 2 * len(GAMES)
        with lock:
            before = Counter(calls)
        transcript = run(server.url, path)
    after = calls - before
    assert not stored & set(after), "a stored reply was asked again"
    assert transcript.repeated == len(open_calls) <= 8
    assert open_calls <= set(after), "what was in flight is asked again, under the same key"
    assert transcript.asked == 2 * len(GAMES) - len(stored)
    assert len(calls) == 2 * len(GAMES)
