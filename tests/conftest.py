"""Shared by all tests: threads, the garbage collector, a browser, and what was left out and why."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

os.environ["OMP_NUM_THREADS"] = "1"  # sums in another order differ in their last bits
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("SUPERALIGN_STORE", None)

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from tests.browser import browser  # noqa: F401  a fixture, one for all tests: playwright runs once in a thread

threadpool_limits(1)  # a plug-in of pytest may have loaded numpy before the lines above were read

settings.register_profile("superalign", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("superalign")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes stays: to look for garbage among it took a third of its time, and a tenth of all tests'."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last words of a run: every reason for which tests were left out."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] = reasons.get(reason.removeprefix("Skipped: "), 0) + 1
    terminalreporter.section("left out")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} tests: {reason}")
    if not reasons:
        terminalreporter.write_line("nothing")
