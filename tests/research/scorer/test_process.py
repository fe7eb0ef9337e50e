"""The scorer's process: what it takes from a testbed that talks, and how a campaign is found that has only begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from superalign.cli.main import app
from superalign.research.ledger import campaigns
from superalign.research.scorer.client import Scorer
from superalign.store import open_store
from tests.research.test_campaign import genesis

TALKS = """
import sys
from tests.research.toy import Toy

print("ready, or so it says")


class Talks(Toy):
    def problem(self, family, seed, tier):
        print("a problem is made", "." * 100_000)
        print("a warning", "." * 100_000, file=sys.stderr)
        return super().problem(family, seed, tier)
"""


def test_a_testbed_may_print_as_much_as_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words once stood where the scorer says that it is ready, and filled a pipe that nobody read."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    (tmp_path / "talks.py").write_text(TALKS)
    first = {**genesis("c1"), "testbed": f"{tmp_path / 'talks.py'}:Talks"}
    with open_store(tmp_path / "s.sqlite") as store, Scorer(store.url, "c1", tmp_path / "keys", first) as scorer:
        assert scorer.ask("validate", dataset="a/0", predictions=[1] * 400)["valid"]
        assert scorer.ask("validate", dataset="b/0", predictions=[1] * 400)["valid"]


def test_a_campaign_is_found_as_soon_as_it_has_begun(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        for name in ("c1", "c2", "c1"):
            with Scorer(store.url, name, tmp_path / "research", genesis(name)):
                pass
        assert campaigns(store) == ["c1", "c2"]
    told = CliRunner().invoke(app, ["research", "log", "last", "--store", str(tmp_path / "s.sqlite")])
    assert told.exit_code == 0
    assert '"campaign": "c2"' in told.stdout
