"""The red team: methods that steal, lie, flood and linger. Each is a file under hostile/, and its first line says what it tries."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superalign.research.sandbox.limits import MIB, Limits
from superalign.research.sandbox.outcome import Outcome
from superalign.research.sandbox.runner import Sandbox
from tests.research.sandbox.conftest import HOSTILE, ITEMS, Bait

LIMITS = Limits(wall=15.0, cpu=10, memory=288 * MIB, disk=16 * MIB, result=MIB)
SHORT = Limits(wall=0.5, cpu=10, memory=288 * MIB, disk=16 * MIB, result=MIB)
THREE = Limits(wall=15.0, cpu=10, memory=3 * 256 * MIB + 16 * MIB, disk=16 * MIB, processes=3)

Run = Callable[..., Outcome]


@pytest.fixture
def run(sandbox: Sandbox, bait: Bait) -> Run:
    """`run(name, limits)`: the outcome, after nothing leaked; the parent is as it was."""

    def go(name: str, limits: Limits = LIMITS, seed: int = 0) -> Outcome:
        handles = len(os.listdir("/proc/self/fd"))
        outcome = sandbox.run(HOSTILE / f"{name}.py", "method", bait.public, seed, limits, ITEMS)
        bait.safe(outcome)
        assert outcome.status != "refused", outcome.reason
        assert outcome.hardened
        assert len(os.listdir("/proc/self/fd")) == handles
        assert not list(Path("/scratch").glob("*")) if os.path.exists("/scratch") else True
        return outcome

    return go


@pytest.mark.parametrize("name", ["absolute_path", "open_descriptors", "environments", "memory_files", "connects"])
def test_looking_around_finds_nothing(run: Run, name: str) -> None:
    outcome = run(name)
    assert outcome.status == "ok", outcome
    assert outcome.predictions is not None
    assert not outcome.predictions.any()


def test_attempts_are_told(run: Run, bait: Bait) -> None:
    key = bytes(bait.public["key"]).decode()
    assert f"open {key}" in run("absolute_path").denials
    assert any(line.startswith("socket.connect") for line in run("connects").denials)


@pytest.mark.parametrize("name", ["debugger", "escapes", "hidden_memory", "loads_a_library"])
def test_what_is_not_permitted_never_succeeds(run: Run, name: str) -> None:
    outcome = run(name)
    assert outcome.status == "ok", outcome
    assert outcome.predictions is not None
    assert not outcome.predictions.any(), f"{outcome.predictions[0]:.0f} attempts succeeded"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("link_as_result", "no predictions can be read: Too many levels of symbolic links"),
        ("hardlink_as_result", "no predictions can be read: No such file"),
        ("pipe_as_result", "not a regular file"),
        ("pickled_result", "not a plain array of numbers"),
        ("huge_result", "4194432 bytes; 1048576 are allowed"),
        ("sparse_result", "bytes; 1048576 are allowed"),
        ("lying_header", "shape (1000000000000,) but 64 bytes"),
        ("not_a_number", "8 predictions are not finite"),
        ("wrong_shape", "shape (9,); there are 8 items"),
        ("words", "no array of numbers"),
        ("nothing", "no array of numbers"),
    ],
)
def test_a_result_that_is_none_is_invalid(run: Run, name: str, reason: str) -> None:
    outcome = run(name)
    assert (outcome.status, outcome.predictions) == ("invalid", None), outcome
    assert reason in outcome.reason


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("crashes", ""),
        ("leaves_early", "SystemExit"),
        ("rebuilds_the_problem", "ModuleNotFoundError"),
        ("disk_flood", "OSError"),
    ],
)
def test_a_method_that_fails_comes_back_as_data(run: Run, name: str, said: str) -> None:
    outcome = run(name)
    assert (outcome.status, outcome.predictions) == ("failed", None), outcome
    assert said in outcome.said


def test_a_recursion_without_end_ends(run: Run) -> None:
    """The interpreter may take long to unwind a million calls without memory: its time runs out, too."""
    assert run("recurses", Limits(wall=1.0, memory=512 * MIB)).status in ("failed", "memory", "timeout")


def test_the_disk_is_bounded(run: Run) -> None:
    written = int(run("disk_flood").said.splitlines()[0])
    assert LIMITS.disk * 0.5 < written <= LIMITS.disk


def test_patches_of_its_own_process_come_too_late(run: Run) -> None:
    outcome = run("patched_saving")
    assert outcome.status == "ok", outcome
    assert outcome.predictions is not None
    assert np.array_equal(outcome.predictions, np.zeros(ITEMS))


def test_a_plant_does_not_live_to_the_next_run(run: Run) -> None:
    for _ in range(2):
        outcome = run("plants_imports")
        assert outcome.predictions is not None
        assert not outcome.predictions.any()
        assert set(outcome.said.splitlines()) == {"wrote /scratch"}


def test_a_memory_flood_is_told_apart(run: Run) -> None:
    outcome = run("memory_flood")
    assert outcome.status == "memory", outcome
    assert outcome.usage.peak_memory <= LIMITS.memory


def test_memory_is_bounded_for_all_processes_together(run: Run) -> None:
    outcome = run("memory_tree", THREE)
    assert outcome.predictions is not None, outcome
    megabytes = outcome.predictions[0]
    assert 100 < megabytes <= THREE.memory / MIB


def test_processes_are_bounded_and_may_be_used(run: Run) -> None:
    outcome = run("fork_bomb", THREE)
    assert outcome.predictions is not None, outcome
    assert 2 <= outcome.predictions[0] <= 3
    alone = run("fork_bomb", LIMITS)
    assert alone.predictions is not None
    assert alone.predictions[0] == 1


@pytest.mark.parametrize("name", ["never_ends", "closed_output"])
def test_time_runs_out(run: Run, name: str) -> None:
    begun = time.monotonic()
    outcome = run(name, SHORT)
    assert outcome.status == "timeout", outcome
    assert outcome.usage.wall_s >= SHORT.wall
    assert time.monotonic() - begun < 10


def test_processor_time_runs_out(run: Run) -> None:
    outcome = run("burns", Limits(wall=30.0, cpu=1))
    assert outcome.status == "timeout", outcome
    assert "processor time" in outcome.reason
    assert 0.9 <= outcome.usage.cpu_s <= 3.0


@pytest.mark.parametrize("name", ["daemon", "lingers"])
def test_nothing_outlives_a_run(run: Run, name: str) -> None:
    mark = int.from_bytes(os.urandom(6), "big")
    outcome = run(name, THREE, mark)
    assert outcome.status == "ok", outcome
    assert outcome.usage.wall_s < 10
    assert not running(mark)


def running(mark: int) -> list[str]:
    """Processes with this number on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(mark).encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:  # it ended meanwhile
            continue
    return found


@pytest.mark.parametrize("name", ["output_flood", "errors_flood"])
def test_a_flood_of_output_ends_the_run(run: Run, name: str) -> None:
    outcome = run(name)
    assert outcome.status == "output", outcome
    assert len(outcome.said) == LIMITS.output
    assert outcome.usage.wall_s < 10


def test_what_is_printed_is_not_believed(run: Run) -> None:
    outcome = run("imitates")
    assert (outcome.status, outcome.predictions) == ("failed", None), outcome
    assert '"code": 0' in outcome.said


def test_what_is_printed_cannot_play_with_a_terminal(run: Run) -> None:
    outcome = run("terminal_tricks")
    assert outcome.status == "ok", outcome
    assert "all is well" in outcome.said
    assert r"\x1b[2J" in outcome.said
    assert not set(outcome.said) & set(map(chr, [0x1B, 0x0D, 0x07, 0, 0x202E, 0x2066, 0xFEFF, 0x200B, 0x9B, 0xE0041]))


def test_killing_everything_kills_nobody_else(run: Run) -> None:
    outcome = run("kills", THREE)
    assert outcome.status in ("ok", "failed"), outcome
    assert np.array_equal(np.arange(3), [0, 1, 2]), "the parent is still here"


def test_every_hostile_file_is_used() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for path in HOSTILE.glob("[a-z]*.py"):
        assert f'"{path.stem}"' in text, path
