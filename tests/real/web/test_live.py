"""Runs that go on, watched: progress, learning curves, and how they end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from superalign.compute.runs import INDEX, announce, live
from superalign.store.sql import SqlStore


def told(iteration: int, reward: float) -> dict[str, Any]:
    """An event as a training run tells it."""
    samples = [["a <b>prompt</b>", f"response of iteration {iteration}", reward]]
    return {"kind": "iteration", "iteration": iteration, "score": reward, "kl": 0.1 * iteration, "samples": samples}


def test_steps_and_curves_follow_the_run(store: SqlStore, serve: Any, visit: Any, session: Any) -> None:
    url = serve(store)
    with live(store, "rlhf", "rlhf: sentiment-markov", {"study": "rlhf"}) as run:
        progress = run.progress()
        page = visit(f"{url}/live/{run.id}")
        assert "It has not said anything yet" in page.inner_text("#live")
        progress("arms", 0, 2)
        run.flush()
        page.wait_for_selector("table.steps >> text=0 of 2")
        announce("ppo, seed 0", "rlhf-arm/1")
        store.append("rlhf-arm/1", [told(0, 0.5), told(1, 0.7), {"kind": "checkpoint", "iteration": 1, "key": "x"}])
        page.wait_for_selector(".plot >> text=Reward of the samples")
        assert page.locator(".plot polyline").count() == 2
        assert "<b>prompt</b> response of iteration 1" in page.inner_text(".sample")
        store.append("rlhf-arm/1", [told(2, 0.9), {"kind": "alarm", "iteration": 2, "about": "explained variance"}])
        page.wait_for_selector(".sample >> text=response of iteration 2")
        assert "explained variance" in page.inner_text(".fault")
        data = session(url).get(f"/live/{run.id}.json").json()
        assert data["told"]["ppo, seed 0"]["score"] == [[0, 0.5], [1, 0.7], [2, 0.9]]
        run.say("waiting", "3 answers wanted at the desk people")
        page.wait_for_selector("text=Answer its questions")
        assert page.locator(".state.waiting").count() == 1
        run.say("running")
        page.wait_for_selector(".state.running")
    page.wait_for_selector(".state.finished")
    assert session(url).get("/live/none").status_code == 404


def test_the_list_and_home_follow_what_runs(store: SqlStore, serve: Any, visit: Any) -> None:
    url = serve(store)
    runs, home = visit(f"{url}/runs"), visit(url)
    assert "First steps" in home.inner_text("main")
    with live(store, "w2s", "w2s: digits", {}) as run:
        for page in (runs, home):
            page.wait_for_selector(".now .state.running")
        progress = run.progress()
        progress("students", 1, 4)
        run.flush()
        runs.wait_for_selector(".now progress[value='1']")
    for page in (runs, home):
        page.wait_for_selector(".now .state.finished")


def test_a_run_whose_process_is_gone_is_not_running(store: SqlStore, serve: Any, session: Any) -> None:
    with live(store, "w2s", "w2s: digits", {"study": "w2s"}) as run:
        run.progress()("students", 1, 4)
    begun = dict(next(iter(store.read(INDEX))).body)
    store.append(INDEX, [begun | {"run": "run-lost", "started": "another boot/1", "pid": 2**22 + 1}])
    someone = session(serve(store))
    assert [r["id"] for r in someone.get("/runs.json").json()["running"]] == []
    page = someone.get("/live/run-lost").text
    assert "its process is gone" in page
    assert "data-follow" not in page
    assert "superalign run w2s.toml" in page


def test_followers_hear_of_changes_and_of_the_end(store: SqlStore, serve: Any, session: Any) -> None:
    someone = session(serve(store))
    with live(store, "w2s", "w2s: digits", {}) as run:
        with someone.client.stream("GET", f"/events/run/{run.id}") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 1000"
            run.progress()("students", 4, 4)
            assert next(line for line in lines if line.startswith("event")) == "event: changed"
        ended = run.id
    began = time.monotonic()
    assert "event: over" in someone.get(f"/events/run/{ended}").text
    assert time.monotonic() - began < 5
    assert someone.get("/events/run/none").status_code == 404


def test_ctrl_c_ends_the_server_while_somebody_follows(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "superalign", "serve", "--port", "0", "--store", str(tmp_path / "s.sqlite")]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None
        with httpx.stream("GET", f"{found[0]}/events/runs", timeout=30) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("retry")
            server.send_signal(signal.SIGINT)
            assert "event: over" not in list(lines)  # a page asks again, and finds the next server
        _, said = server.communicate(timeout=30)
    finally:
        server.kill()
    assert (server.returncode, said) == (130, "")
