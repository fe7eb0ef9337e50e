"""Serving the application with uvicorn: where it listens, and how it stops."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from superalign.core.errors import UserError
from superalign.core.ports import Store
from superalign.store import beside


class Server:
    """A server that is bound: its address is known before anybody is served."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._socket = bound(host, port)
        found = self._socket.getsockname()
        self.host, self.port = host, int(found[1])
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        app.state.ending = lambda: self._server.should_exit

    @property
    def url(self) -> str:
        """Where people find the page."""
        name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname(), "::1": "[::1]"}.get(self.host, self.host)
        return f"http://{name}:{self.port}"

    def run(self) -> None:
        """Serve until a signal or `stop`."""
        sys.setswitchinterval(0.0005)  # a page waits for the thread that reads the store 20 times: 10 ms instead of 100
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `run` from another thread."""
        self._server.should_exit = True


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UserError where the port is taken or the host is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except OSError as error:
        made.close()
        why = (error.strerror or str(error)).lower()
        raise UserError(f"cannot listen on {host}:{port}: {why}; choose another with --port, or --port 0") from error
    return made


@contextlib.contextmanager
def announced(store: Store, url: str) -> Iterator[None]:
    """While it serves, a file beside the store says where, so that a run that waits can tell its user."""
    path = beside(store, "web") / "address.json"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            if json.loads(path.read_text(encoding="utf-8")).get("pid") == os.getpid():
                path.unlink()


@contextlib.contextmanager
def serving(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
    """A server in a thread, for tests and for pictures of pages; stopped at the end."""
    server = Server(app, host, port)
    thread = threading.Thread(target=server.run, daemon=True, name="page")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(5)
