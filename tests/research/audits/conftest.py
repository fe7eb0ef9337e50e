"""Problems, a bench, and a ledger's entries for the audits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from superalign.research.audits.suite import runner
from superalign.research.ledger import Entry
from superalign.research.running import Bench
from superalign.research.testbed import Problem
from superalign.research.testbeds.w2s_micro import w2s_micro
from tests.contract.test_store import InMemory
from tests.research.audits.small import Small


@pytest.fixture(scope="session")
def micro() -> list[Problem]:
    """Four problems of w2s-micro."""
    bed = w2s_micro()
    return [bed.problem(family, seed, "confirm") for family, seed in (("0", 1), ("1", 2), ("3", 3), ("4", 4))]


@pytest.fixture(scope="session")
def bench() -> Bench:
    """w2s-micro, without a store that anything is kept in."""
    return Bench(w2s_micro(), InMemory({}))


@pytest.fixture(scope="session")
def run(bench: Bench) -> Any:
    return runner(bench)


@pytest.fixture
def small() -> Bench:
    return Bench(Small(), InMemory({}))


def entry(number: int, kind: str, payload: Mapping[str, Any]) -> Entry:
    """A line of a ledger."""
    return Entry(number, "2026-01-01T00:00:00+00:00", "test", kind, payload, f"{number:064x}")
