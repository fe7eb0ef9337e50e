"""A sandbox for the tests, and bait for what runs in it."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.research.sandbox.capabilities import SandboxRefused
from superalign.research.sandbox.outcome import Outcome
from superalign.research.sandbox.runner import Sandbox

HOSTILE = Path(__file__).parent / "hostile"
ITEMS = 8


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """Skips where none can be made; fails there if SUPERALIGN_REQUIRE names `sandbox`."""
    try:
        return Sandbox.open()
    except SandboxRefused as refused:
        reason = f"no sandbox: {str(refused).splitlines()[0][:200]}"
        if "sandbox" in os.environ.get("SUPERALIGN_REQUIRE", "").replace(",", " ").split():
            pytest.fail(f"SUPERALIGN_REQUIRE asks for a sandbox: {reason}")
        pytest.skip(reason)


@dataclass
class Bait:
    """A key that the caller can read, servers that give it away, and a place where stolen code would leave a mark."""

    canary: str
    public: dict[str, Any]
    marker: Path
    visitors: list[str] = field(default_factory=list)

    def safe(self, outcome: Outcome) -> None:
        """Nothing of the key came back, nobody called, nothing was run outside."""
        everything = repr(outcome) + outcome.said + outcome.reason
        if outcome.predictions is not None:
            everything += outcome.predictions.tobytes().decode("latin-1")
        assert self.canary not in everything
        assert not self.visitors
        assert not self.marker.exists()


def _bytes(text: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(text.encode(), np.uint8)


@pytest.fixture
def bait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bait]:
    canary = f"CANARY-{secrets.token_hex(8)}"
    key = tmp_path / "labels.txt"
    key.write_text(canary)
    key.chmod(0o600)
    monkeypatch.setenv("SUPERALIGN_TEST_SECRET", canary)
    unix = f"superalign-test-{secrets.token_hex(6)}"
    servers = [socket.socket(socket.AF_INET), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    here = f"/tmp/{unix}"
    addresses: tuple[Any, ...] = (("127.0.0.1", 0), here, f"\0{here}")
    for server, address in zip(servers, addresses, strict=True):
        server.bind(address)
        server.listen()
    udp.bind(("127.0.0.1", 0))
    public = {
        "x": np.arange(ITEMS, dtype=float),
        "key": _bytes(str(key)),
        "tcp": servers[0].getsockname()[1],
        "udp": udp.getsockname()[1],
        "unix": _bytes(here),
        "caller": os.getpid(),
        "marker": _bytes(str(tmp_path / "marker")),
    }
    bait = Bait(canary, public, tmp_path / "marker")
    threads = [threading.Thread(target=_serve, args=(s, bait), daemon=True) for s in servers]
    threads.append(threading.Thread(target=_receive, args=(udp, bait), daemon=True))
    for thread in threads:
        thread.start()
    yield bait
    for server in (*servers, udp):
        server.shutdown(socket.SHUT_RDWR) if server is not udp else udp.sendto(b"end", udp.getsockname())
    for thread in threads:
        thread.join(5)
    for server in (*servers, udp):
        server.close()
    os.unlink(here)


def _serve(server: socket.socket, bait: Bait) -> None:
    """Give the key to whoever connects, until the server is shut down."""
    while True:
        try:
            line, _ = server.accept()
        except OSError:
            return
        bait.visitors.append("tcp or unix")
        with line:
            line.sendall(bait.canary.encode())


def _receive(server: socket.socket, bait: Bait) -> None:
    while (data := server.recv(100)) != b"end":
        bait.visitors.append(data.decode())
