"""A study with a person in it, as its user lives it: begun in the terminal, answered on the page, the server stopped and
started in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from superalign.cli.main import app
from superalign.store import open_store
from superalign.web.app import create
from superalign.web.server import announced, serving
from tests.web.conftest import Session

STUDY = ["oversee", "--task", "evidence", "--protocols", "debate", "--items", "3", "--no-swap", "--json"]


def test_a_study_by_people_outlives_its_server(tmp_path: Path, session: Any) -> None:
    place = str(tmp_path / "store.sqlite")
    words = [sys.executable, "-m", "superalign", *STUDY, "--judge", "human", "--store", place]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open_store(place) as store:
        with serving(create(store, warm=False)) as server, announced(store, server.url):
            study = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
            ada, bob = session(server.url, "Ada"), session(server.url, "Bob")
            held = begun(ada, study)
            assert ada.get("/index.json").json()["running"][0]["state"] == "waiting"
            answered(ada, held)
            left = begun(bob, study)  # shown to Bob, who answers it after the server was started again
            cookies = dict(ada.client.cookies), dict(bob.client.cookies)
        with serving(create(store, warm=False)) as server:
            again = []
            for kept in cookies:
                again.append(session(server.url))
                again[-1].client.cookies.update(kept)
            ada, bob = again
            assert answered(bob, left).status_code == 200
            while study.poll() is None:
                for someone in (ada, bob):
                    call = next_of(someone)
                    if call:
                        answered(someone, call)
                time.sleep(0.05)
        out, said = study.communicate()
        assert study.returncode == 0, said
        assert "/judge. Ctrl-C leaves it" in said
        rows = [e.body for e in store.read("people/people")]
    asked = [r["call"] for r in rows if r["kind"] == "question"]
    given = Counter(r["call"] for r in rows if r["kind"] == "answered")
    assert sorted(asked) == sorted(given)
    assert set(given.values()) == {1}
    assert {r["person"] for r in rows if r["kind"] == "answered"} == {"Ada", "Bob"}
    assert form_of(json.loads(out)) == form_of(by_a_model(place))


def begun(someone: Session, study: subprocess.Popen[str]) -> str:
    """The call of the question that a person is shown, once there is one."""
    end = time.monotonic() + 60
    while time.monotonic() < end and study.poll() is None:
        call = next_of(someone)
        if call:
            return call
        time.sleep(0.1)
    raise AssertionError(f"no question came: {study.communicate()}")


def next_of(someone: Session) -> str:
    """The call of the next question for a person; empty where nothing is left for it now."""
    where = someone.send("/judge/people/next").url.path.rsplit("/", 1)[-1]
    return where if len(where) == 64 else ""


def answered(someone: Session, call: str) -> Any:
    """A person's answer on the form: the first choice, 80 percent."""
    return someone.send(f"/judge/people/{call}/answer", choice="0", confidence="80")


def by_a_model(place: str) -> dict[str, Any]:
    """What the same study prints with the world's own judge."""
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [*STUDY, "--store", place])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def form_of(printed: dict[str, Any]) -> Any:
    """The conditions of what `--json` prints, with their numbers' names and labels."""
    assert printed["record"].startswith("oversee-")
    return [(c["name"], sorted(c["numbers"]), sorted(c["labels"])) for c in printed["conditions"]]
