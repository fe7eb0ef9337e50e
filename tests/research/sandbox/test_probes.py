"""Whether the sandbox keeps what it says it keeps, as root and as an ordinary user, and says so where it does not."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import UserError
from superalign.research.sandbox.attempts import NAMES
from superalign.research.sandbox.capabilities import Capabilities, Needs, SandboxRefused
from superalign.research.sandbox.probes import _STRIKES, declared, struck
from superalign.research.sandbox.runner import Sandbox
from superalign.research.sandbox.wire import LAYERS

HERE = Path(__file__).parent
FULL = Capabilities("none", "landlock", "landlock", True, True, True, True, True)
WAYS = ["--user", "--root"] if os.geteuid() == 0 else ["--self"]
"""As root, each test runs once as an ordinary user and once as root; otherwise as whoever runs the tests."""


def program(way: str, *words: str) -> Any:
    """What a program of `program.py` prints."""
    before = {"--user": [str(HERE / "ordinary.py")], "--root": [str(HERE / "ordinary.py"), "--root"], "--self": []}[way]
    paths = os.pathsep.join((str(HERE.parents[2] / "src"), str(HERE.parents[2])))
    command = [sys.executable, *before, str(HERE / "program.py"), *words]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


CHOICES = ("none", "net", "landlock", "view", "view+landlock", "seccomp", "environment")


@pytest.fixture(scope="module", params=WAYS)
def found(request: pytest.FixtureRequest, sandbox: Sandbox) -> dict[str, Any]:
    """What gets through without some layers."""
    result: dict[str, Any] = program(request.param, "attempts", *CHOICES)
    return result


class TestLayers:
    """Each layer is left out once: the attempts must notice."""

    def test_nothing_gets_through_when_all_are_there(self, found: dict[str, Any]) -> None:
        result = found["none"]
        assert result["through"] == []
        assert result["left"]["net"] == "none"
        assert result["left"]["label_isolation"] == ("landlock" if result["user"] else "uid")
        assert all(result["left"][name] for name in ("tree_memory", "tree_processes", "cpu", "wall"))

    def test_without_a_network_namespace_a_datagram_leaves(self, found: dict[str, Any]) -> None:
        """Landlock refuses TCP (ABI 4) and abstract sockets (ABI 6), but does not know of UDP."""
        result = found["net"]
        assert "udp" in result["through"]
        assert set(result["through"]) <= {"udp", "tcp", "abstract"}
        assert result["left"]["net"] == "host"

    def test_without_landlock_the_view_is_all_there_is(self, found: dict[str, Any]) -> None:
        result = found["landlock"]
        assert result["through"] == ["sealed"]
        assert result["left"]["files"] == "mount"

    def test_without_a_view_landlock_still_hides_the_rest(self, found: dict[str, Any]) -> None:
        result = found["view"]
        assert result["through"] == []
        assert result["left"]["files"] == "landlock"

    def test_without_either_files_lie_open(self, found: dict[str, Any]) -> None:
        """An ordinary user's labels are read; root's are not, because the method is another user."""
        result = found["view+landlock"]
        assert ("label" in result["through"]) == bool(result["user"])
        assert "processes" in result["through"]
        assert result["left"]["label_isolation"] == "none"

    def test_without_a_filter_memory_can_be_hidden(self, found: dict[str, Any]) -> None:
        result = found["seccomp"]
        assert result["through"] == ["shared_memory"]
        assert not result["left"]["tree_memory"]

    def test_without_a_clean_environment_secrets_are_read(self, found: dict[str, Any]) -> None:
        result = found["environment"]
        assert result["through"] == ["environment"]
        assert not result["left"]["clean_environment"]


@pytest.mark.usefixtures("sandbox")
@pytest.mark.skipif(os.geteuid() != 0, reason="not root: the other tests have run as an ordinary user")
def test_the_red_team_as_an_ordinary_user() -> None:
    names = ["absolute_path", "environments", "memory_files", "debugger", "escapes", "fork_bomb", "link_as_result"]
    found = program("--user", "hostile", f"/tmp/superalign-key-{os.getpid()}", *names)
    zeros = [0.0, 0.0, 0.0]
    assert found["fork_bomb"][1][0] in (2.0, 3.0)  # its own children, or a grandchild too
    assert found["link_as_result"] == ["invalid", None, False]
    for name in names[:5]:
        assert found[name] == ["ok", zeros, False], name


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("way", WAYS)
def test_where_namespaces_are_not_allowed_it_refuses(way: str) -> None:
    found = program(way, "without_namespaces")
    assert found["refused"].startswith("no sandbox could be made: the sandbox could not be set up: ")
    assert "unshare: Operation not permitted" in found["refused"]
    assert "sysctl user.max_user_namespaces" in found["refused"]
    assert found["unsafe"] == ["ok", False, [2.0, 2.0]]


def test_every_attempt_strikes_something() -> None:
    assert {name for names in _STRIKES.values() for name in names} == set(NAMES)


@pytest.mark.parametrize("name", [*NAMES, "wall"])
def test_an_attempt_that_gets_through_leaves_a_need_uncovered(name: str) -> None:
    left = struck(FULL, frozenset({name}))
    assert left != FULL
    if name == "sealed":  # the view still hides what Landlock does not
        assert left == dataclasses.replace(FULL, files="mount")
    else:
        assert list(Needs().missing(left))


def test_needs_are_said_in_words() -> None:
    lacking = list(Needs().missing(Capabilities()))
    assert len(lacking) == 8
    assert lacking[0] == "the network is host, not none"
    assert not list(Needs().missing(FULL))
    assert not list(Needs(net="loopback").missing(FULL))
    assert list(Needs(net="loopback").missing(dataclasses.replace(FULL, net="host")))
    nothing = Needs("host", *[False] * 7)
    assert not list(nothing.missing(Capabilities()))


def test_a_layer_that_is_off_is_not_declared() -> None:
    bare = declared(LAYERS)
    assert (bare.net, bare.files, bare.tree_memory, bare.clean_environment) == ("host", "none", False, False)


def test_needs_that_are_not_covered_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that proves less than it should: a system on which the network attempt got through."""
    import superalign.research.sandbox.probes as probes

    monkeypatch.setattr(probes, "proven", lambda: struck(FULL, frozenset({"udp", "fork"})))
    with pytest.raises(SandboxRefused, match=r"network is host, not none; the number of its processes is not bounded"):
        Sandbox.open()
    with pytest.raises(UserError, match=r"needs=Needs\(\.\.\.\), or unsafe=True"):
        Sandbox.open(Needs(tree_processes=False))
    assert Sandbox.open(Needs(net="host", tree_processes=False)).capabilities.net == "host"


def test_elsewhere_than_on_linux_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxRefused, match=r"Linux alone, and this is darwin; .* unsafe=True"):
        Sandbox.open()
