"""`superalign compute` as a user meets it."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from superalign.cli.compute import EPILOG
from superalign.compute.pool import Pool
from superalign.compute.usage import Usage
from superalign.store import open_store

PROMISE = ["promise", "lab", "--share", "0.2", "--unit", "gpu-hours", "--start", "2026-01-01", "--end", "2026-04-11",
           "--source", "a press release"]  # fmt: skip


@pytest.fixture
def compute(superalign: Any) -> Any:
    """`compute(*arguments) -> (exit code, stdout, stderr)`, on a store in the test's folder."""

    def run(*words: str) -> tuple[int, str, str]:
        answer: tuple[int, str, str] = superalign("compute", words[0], "--store", "s.sqlite", *words[1:])
        return answer

    return run


@pytest.fixture
def lab(compute: Any, tmp_path: Path) -> Any:
    """The same, where a pool has a promise, its capacity, two requests and some use."""
    with open_store(tmp_path / "s.sqlite") as store:
        pool = Pool(store, "lab")
        pool.promise(0.2, "gpu-hours", "2026-01-01", "2026-04-11", "a press release")
        pool.capacity(100, "2026-01-01")
        pool.request(20000, "debates", at="2026-01-02")
        pool.decide("r1", "partial", 5000, "launch", "2026-01-09")
        pool.request(500, "probes", at="2026-03-01")
        pool.use("debates", Usage(gpu_s=6000 * 3600), "2026-01-26")
    return compute


def test_a_promise_and_what_came_of_it(compute: Any) -> None:
    for words, said in (
        (PROMISE, "0.2 of lab in gpu-hours, 2026-01-01T00:00:00+00:00 to 2026-04-11T00:00:00+00:00"),
        (["capacity", "lab", "100", "--at", "2026-01-01"], "lab has 100 gpu-hours an hour from 2026-01-01"),
        (["capacity", "lab", "200", "--at", "2026-02-20"], "lab has 200 gpu-hours an hour"),
        (["request", "lab", "20000", "--purpose", "debates", "--at", "2026-01-02"], "r1: 20000 gpu-hours asked for"),
        (["decide", "lab", "r1", "partial", "--amount", "5000", "--at", "2026-01-09"], "r1: partial on 2026-01-09"),
        (["request", "lab", "500", "--purpose", "probes", "--at", "2026-03-01"], "r2: 500 gpu-hours"),
        (
            ["use", "lab", "--experiment", "debates", "--gpu-hours", "6000", "--at", "2026-01-26"],
            "6000 gpu-hours of lab",
        ),
        (["use", "lab", "--experiment", "probes", "--gpu-hours", "12000", "--at", "2026-03-17"], "probes: 12000"),
    ):
        code, out, err = compute(*words)
        assert code == 0, err
        assert said in out
    code, out, _ = compute("report", "lab", "--as-of", "2026-04-11")
    assert code == 0
    rows = dict(re.findall(r"^ (\S.*?)  +(\S.*?) *$", out, re.MULTILINE))
    assert (rows["promised"], rows["delivered"], rows["deficit"]) == ("72,000", "18,000", "54,000")
    assert rows["deficit of what was asked for"] == "2,500"
    assert (rows["delivered share"], rows["deficit, of what was promised, mean over time"]) == ("5.0%", "79.4%")
    assert (rows["refused, of requests"], rows["refused, of amounts"]) == ("75.0%", "75.0%")
    assert (rows["half are answered after"], rows["95% are answered after"]) == ("7.0 days", "not reached")
    assert (rows["debates"], rows["probes"]) == ("6,000", "12,000")
    assert "unanswered for more than 14 days: r2" in out
    assert "promised: a press release" in out
    assert "no capacity is recorded" not in out


def test_json_for_machines(lab: Any) -> None:
    told = json.loads(lab("report", "lab", "--as-of", "2026-02-20", "--patience", "30", "--json")[1])
    assert told["promised"] == pytest.approx(24_000)
    assert told["refusal_rate"] == told["refusal_rate_by_amount"] == 0.75
    assert told["unanswered"] == []
    assert {row["series"] for row in told["curve"]} == {"promised", "delivered", "deficit"}
    row = json.loads(lab("request", "lab", "7", "--purpose", "x", "--by", "us", "--json")[1])
    assert (row["type"], row["request"], row["amount"], row["by"]) == ("request", "r3", 7, "us")


def test_a_command_is_run_and_measured(lab: Any, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("date = 2026-01-15\n[usd]\ngpu_hour = 3600\ncpu_hour = 0\n")
    nap = "import sys, time; time.sleep(0.1); sys.exit(int(sys.argv[1]))"
    words = ["use", "lab", "--experiment", "nap", "--gpus", "2", "--prices", "prices.toml", "--json", "--"]
    code, out, _ = lab(*words, sys.executable, "-c", nap, "3")
    assert code == 3, "the command's own"
    told = json.loads(out)
    assert 0.2 <= told["usage"]["gpu_s"] < 60
    assert told["usage"]["usd"] == pytest.approx(told["usage"]["gpu_s"])
    assert told["prices"] == "2026-01-15"


def test_a_command_that_could_not_be_recorded_is_not_run(lab: Any, tmp_path: Path) -> None:
    code, _, err = lab("use", "lab", "--experiment", "x", "--", "touch", "ran")
    assert code == 2
    assert "this use has no gpu-hours" in err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "lob"], "no pool is called 'lob'; did you mean 'lab'?"),
        (["decide", "lab", "r1", "granted"], "'r1' was answered (partial)"),
        (["decide", "lab", "r2", "grant"], "did you mean 'granted'?"),
        (["use", "lab", "--experiment", "x", "--cpu-hours", "3"], "this use has no gpu-hours"),
        (["use", "lab", "--experiment", "x", "--gpus", "1", "--", "no-such"], "'no-such' cannot be run"),
        (["use", "lab", "--experiment", "x", "--prices", "none.toml"], "no price table 'none.toml'"),
        (["request", "lab", "0", "--purpose", "x"], "give a number above 0"),
        (["report", "lab", "--as-of", "soon"], "'soon' is no time"),
        ([*PROMISE[:3], "0.9", *PROMISE[4:]], "1.1 of the pool 'lab' would be promised"),
        ([*PROMISE, "--schedule", "2026-02-01"], "write TIME=SHARE"),
    ],
)
def test_mistakes_are_told(lab: Any, words: list[str], message: str) -> None:
    code, _, err = lab(*words)
    assert code == 2
    assert message in err


def test_unknown_capacity_is_told(compute: Any) -> None:
    compute(*PROMISE, "--schedule", "2026-02-01=0.3")
    compute("capacity", "lab", "100", "--at", "2026-01-11")
    out = compute("report", "lab", "--as-of", "2026-01-21")[1]
    assert "for 240 hours of the promise no capacity is recorded" in out
    assert "superalign compute capacity lab AMOUNT --at 2026-01-01" in out


def test_the_examples_of_the_help_run(superalign: Any) -> None:
    for line in EPILOG.splitlines():
        words = shlex.split(re.split(r"\s{5,}", line.strip())[0]) if "superalign compute" in line else []
        if words and "--" not in words:
            code, _, err = superalign(*words[1:], "--store", "s.sqlite")
            assert code == 0, (line, err)
