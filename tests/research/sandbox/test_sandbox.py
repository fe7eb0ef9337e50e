"""The sandbox as its users see it: what honest methods get, what callers' mistakes say, what an end leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.research.sandbox import process
from superalign.research.sandbox.limits import MIB, SMALLEST, Limits
from superalign.research.sandbox.process import job, perform, shown
from superalign.research.sandbox.runner import Sandbox
from tests.research.sandbox.test_hostile import running

HERE = Path(__file__).parent
RIDGE = """
import numpy as np

def method(public, seed):
    x, p = public["train_x"], public["train_p"]
    rng = np.random.default_rng(seed)
    w = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (p - 0.5))
    print("trained", len({"a", "b", "c"}))
    return 1 / (1 + np.exp(-public["test_x"] @ w)) + 0 * rng.normal()
"""


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    return {"train_x": x, "train_p": (x[:, 0] > 0).astype(float), "test_x": x[:50]}


def test_an_honest_method_predicts(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "ridge.py"
    file.write_text(RIDGE)
    outcome = sandbox.run(file, "method", arrays(), 3, items=50)
    assert outcome.status == "ok", outcome
    assert outcome.predictions is not None
    assert ((outcome.predictions > 0.5) == (arrays()["test_x"][:, 0] > 0)).mean() > 0.9
    assert (outcome.said, outcome.denials, outcome.hardened) == ("trained 3\n", (), True)
    assert 0 < outcome.usage.cpu_s < 10
    assert 20 * MIB < outcome.usage.peak_memory < 2048 * MIB


def test_the_same_inputs_give_the_same_outcome(sandbox: Sandbox) -> None:
    """Also where a method orders words by their hash, which Python draws anew for every process by default."""
    code = "import numpy as np\ndef method(public, seed):\n    return np.array([hash('weak'), hash('strong')])\n"
    first, second = (sandbox.run(code, "method", {}, 0).predictions for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)


def test_arrays_arrive_as_they_were(sandbox: Sandbox) -> None:
    """Also under names that numpy's own functions take as options."""
    public: dict[str, Any] = {
        "file": np.arange(6).reshape(2, 3),
        "allow_pickle": np.array(["weak", "strong"]),
        "empty": np.zeros((0, 4), np.float32),
        "flag": True,
    }
    code = """
import numpy as np
def method(public, seed):
    assert list(public) == ["file", "allow_pickle", "empty", "flag"], list(public)
    assert list(public["allow_pickle"]) == ["weak", "strong"] and public["flag"] and type(seed) is int
    assert public["empty"].shape == (0, 4) and public["empty"].dtype == np.float32
    return public["file"]
"""
    outcome = sandbox.run(code, "method", public, 0)
    assert outcome.predictions is not None, outcome.said
    assert np.array_equal(outcome.predictions, public["file"])


def test_a_method_that_raises_shows_where(sandbox: Sandbox) -> None:
    outcome = sandbox.run("def method(public, seed):\n    return 1 / seed\n", "method", {}, 0)
    assert (outcome.status, outcome.reason) == ("failed", "it ended with code 1")
    assert 'File "/input/method.py", line 2, in method' in outcome.said
    assert "ZeroDivisionError" in outcome.said


@pytest.mark.parametrize(("code", "said"), [("def method(", "SyntaxError"), ("x = 1", "no attribute 'method'")])
def test_code_that_is_none_fails_inside(sandbox: Sandbox, code: str, said: str) -> None:
    outcome = sandbox.run(code, "method", {}, 0)
    assert outcome.status == "failed"
    assert said in outcome.said


def test_runs_may_go_side_by_side(sandbox: Sandbox) -> None:
    code = "import numpy as np\ndef method(public, seed):\n    return np.array([seed])\n"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: sandbox.run(code, "method", {}, seed).predictions, range(4)))
    assert [None if f is None else int(f[0]) for f in found] == [0, 1, 2, 3]


def test_it_leaves_no_file_behind(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sandbox.run("def method(public, seed):\n    return open('here', 'w').write('x')\n", "method", {}, 0)
    assert not list(tmp_path.iterdir())


def test_a_caller_that_is_killed_takes_the_method_along(sandbox: Sandbox) -> None:
    mark = int.from_bytes(os.urandom(6), "big")
    paths = os.pathsep.join((str(HERE.parents[2] / "src"), str(HERE.parents[2])))
    command = [sys.executable, str(HERE / "program.py"), "sleeps", str(mark)]
    caller = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths})
    try:
        assert until(lambda: bool(running(mark))), "the method did not start"
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.communicate()
    assert until(lambda: not running(mark)), "the method lives on"


def until(true: Any) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_a_sandbox_that_cannot_be_built_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    run = job("def method(public, seed): ...", "method", {}, 0, Limits())
    monkeypatch.setattr(process, "_SOURCE", Path("/nowhere"))
    outcome = perform(run)
    assert (outcome.status, outcome.predictions) == ("refused", None)
    assert "the launching process failed" in outcome.reason
    assert "superalign" in outcome.reason


def test_unsafe_runs_are_stamped(tmp_path: Path) -> None:
    sandbox = Sandbox.open(unsafe=True)
    assert (sandbox.hardened, sandbox.capabilities.net, sandbox.capabilities.label_isolation) == (False, "host", "none")
    outcome = sandbox.run(RIDGE, "method", arrays(), 0, items=50)
    assert (outcome.status, outcome.hardened, outcome.said) == ("ok", False, "trained 3\n"), outcome
    code = f"import time\ndef method(public, seed):\n    open({str(tmp_path / 'x')!r}, 'w')\n    time.sleep(60)\n"
    late = sandbox.run(code, "method", {}, 0, Limits(wall=0.5))
    assert (late.status, late.hardened) == ("timeout", False)
    loud = sandbox.run("def method(public, seed):\n    print('x' * 100_000)\n", "method", {}, 0)
    assert (loud.status, loud.hardened, len(loud.said)) == ("output", False, Limits().output)
    assert sandbox.run("import os\nos.abort()", "method", {}, 0).status == "failed"
    assert sandbox.run("import os\nos._exit(0)", "method", {}, 0).status == "invalid"


def test_the_view_is_small() -> None:
    """The interpreter, its libraries and nothing of a home or of the system's settings."""
    assert not {"/", "/etc", "/usr", "/home", "/root", "/tmp", "/proc", "/sys", "/var", "/usr/bin"} & set(shown())
    assert not any(str(Path.cwd()) == path for path in shown())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("x", "no name", {}, 0), "'no name' is no name of a function"),
        (("x" * ((1 << 20) + 1), "method", {}, 0), "1048577 bytes; 1048576 are allowed"),
        ((Path("/nowhere/idea.py"), "method", {}, 0), "cannot be read: .*No such file"),
        (("\ud800", "method", {}, 0), "cannot be read: .*surrogates"),
        (("x", "method", {"../x": 1}, 0), "cannot be called '../x'; use a word"),
        (("x", "method", {"x": [object()]}, 0), "'x' holds Python objects; give numbers"),
    ],
)
def test_a_callers_mistakes_are_said(call: tuple[Any, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Sandbox.open(unsafe=True).run(*call)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"wall": 0}, "wall=0; give a number above 0"),
        ({"wall": float("inf")}, "wall=inf; give a number above 0"),
        ({"cpu": 1.5}, "cpu=1.5; give a whole number"),
        ({"files": True}, "files=True; give a number"),
        ({"memory": 300 * MIB, "processes": 2}, f"2 processes, and one needs {SMALLEST}; give memory={64 * MIB + 2 * SMALLEST}"),
    ],
)  # fmt: skip
def test_limits_that_are_none_are_said(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Limits(**limits)
