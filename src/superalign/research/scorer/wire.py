"""How the scorer is spoken to: one JSON object per line over a Unix socket, from the same user alone.

A reply takes at least `QUANTUM`, so that its time says nothing. A request that is no JSON, too long or unknown is
answered with an error and changes nothing.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from superalign.core.errors import ModelError, SuperalignError, nearest

QUANTUM = 0.02
"""Seconds that every reply takes at least."""
LINE = 64 << 20
"""Bytes of a request or a reply, at most: four million predictions."""

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Desk(socketserver.ThreadingUnixStreamServer):
    """A server of named requests; they are answered one at a time."""

    daemon_threads = True

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        self.answers, self.turn = dict(answers), threading.Lock()
        super().__init__(str(path), _Visit)
        os.chmod(path, 0o600)

    def reply(self, line: bytes) -> dict[str, Any]:
        """The reply to one request."""
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("do"), str):
                raise ModelError('a request is an object with a name: {"do": "status"}')
            if request["do"] not in self.answers:
                raise ModelError(f"the scorer knows no {request['do']!r}; {nearest(request['do'], self.answers)}")
            with self.turn:
                return {"ok": True, **self.answers[request["do"]](request)}
        except (SuperalignError, ValueError, KeyError, TypeError, RecursionError) as error:
            said = str(error) if isinstance(error, SuperalignError) else f"{type(error).__name__}: {error}"
            return {"ok": False, "error": said[:2000]}


class _Visit(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if peer(self.connection) not in (os.getuid(), 0):
            return
        server = self.server
        assert isinstance(server, Desk)
        while True:
            line = self.rfile.readline(LINE + 1)
            if not line.endswith(b"\n"):
                return
            begun = time.monotonic()
            said = json.dumps(server.reply(line), allow_nan=False).encode() + b"\n"
            time.sleep(max(0.0, QUANTUM - (time.monotonic() - begun)))
            try:
                self.wfile.write(said)
            except OSError:
                return


def peer(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", credentials)[1])


class Line:
    """A client's end. Raises ModelError where the scorer is not there, goes away, or refuses."""

    def __init__(self, path: Path, patience: float = 600.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(patience)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise ModelError(f"no scorer answers at {path}: {error.strerror or error}") from error
        self._file = self._socket.makefile("rb")

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """One request and its reply."""
        try:
            self._socket.sendall(json.dumps({"do": do, **fields}, allow_nan=False).encode() + b"\n")
            line = self._file.readline(LINE)
        except OSError as error:
            raise ModelError(f"the scorer went away during {do!r}: {error}") from error
        if not line.endswith(b"\n"):
            raise ModelError(f"the scorer went away during {do!r}; the same command goes on from what the ledger holds")
        reply: dict[str, Any] = json.loads(line)
        if not reply.pop("ok"):
            raise ModelError(f"the scorer refused {do!r}: {reply['error']}")
        return reply

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
