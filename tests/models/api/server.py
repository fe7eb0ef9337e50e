"""A loopback server that misbehaves on request: what it does with each request is a function of the test.

    with Server(lambda request: chat("A")) as server:
        ... server.url, server.requests ...

It speaks HTTP/1.1 in threads of its own, with kept connections, so what a client sees is the real thing.
"""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Heard:
    """A request: its number from 0, when it came, its path, its headers with lower-case names, its JSON body."""

    number: int
    at: float
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def said(self) -> str:
        """The last message (or the state) of the request."""
        return str(self.body["messages"][-1]["content"] if "messages" in self.body else self.body["state"])


@dataclass(frozen=True)
class Answer:
    """What is sent back. `cut` sends that many bytes of the body and closes; `delay` in seconds comes before anything;
    `drip` is a pause before every byte of the body; `raw` replaces the whole of it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    drip: float = 0.0
    raw: bytes | None = None

    def later(self, seconds: float) -> Answer:
        """The same, after so many seconds."""
        return replace(self, delay=seconds)


Script = Callable[[Heard], Answer]


def told(value: Any, status: int = 200, **headers: str) -> Answer:
    """Any JSON value, with headers (`retry_after` is `retry-after`)."""
    return Answer(status, json.dumps(value).encode(), {k.replace("_", "-"): v for k, v in headers.items()})


def chat(
    text: str | None, model: str = "m", *, tops: Sequence[Mapping[str, float]] = (), reason: str = "stop", **usage: int
) -> Answer:
    """A chat completion. `tops` gives for each token the log-probabilities of its alternatives, the written one first."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    if tops:
        listed = [[{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in one.items()] for one in tops]
        choice["logprobs"] = {"content": [{**one[0], "top_logprobs": one} for one in listed]}
    usage = usage or {"prompt_tokens": 10, "completion_tokens": 5}
    return told({"id": "c", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage})


def message(*texts: str, model: str = "claude-m", reason: str = "end_turn") -> Answer:
    """A reply in Anthropic's form."""
    content = [{"type": "text", "text": text} for text in texts]
    usage = {"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 2}
    return told({"type": "message", "model": model, "content": content, "stop_reason": reason, "usage": usage})


def complaint(status: int, text: str, **headers: str) -> Answer:
    """An error in the form that most servers share."""
    return told({"error": {"message": text, "type": "error"}}, status, **headers)


def decide(heard: Heard, probabilities: Sequence[float]) -> Answer:
    """What `transformers serve` answers on /v1/systemone; refuses what it refuses."""
    if sorted(heard.body) != ["model", "questions", "state"]:
        return told({"detail": [{"loc": ["body"], "msg": "Extra inputs are not permitted"}]}, 422)
    answers = {}
    for name, question in heard.body["questions"].items():
        if question["type"] != "choice" or set(question) - {"type", "instructions", "criteria"}:
            return told({"detail": [{"loc": ["body", "questions"], "msg": "a choice question looks otherwise"}]}, 422)
        options = dict(zip(question["criteria"], probabilities, strict=True))
        best = max(options, key=options.__getitem__)
        answers[name] = {"type": "choice", "choice": best, "confidence": 0.5, "probabilities": options}
    usage = {"input_tokens": 11, "output_tokens": 0}
    return told({"model": heard.body["model"], "answers": answers, "usage": usage})


class Server(socketserver.ThreadingTCPServer):
    """The server; `requests` are all that it has heard."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Line)
        self.script = script
        self.requests: list[Heard] = []
        self.busy = self.busiest = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """The address up to /v1."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def hear(self, path: str, headers: Mapping[str, str], body: bytes) -> Heard:
        with self.lock:
            heard = Heard(len(self.requests), time.monotonic(), path, headers, json.loads(body))
            self.requests.append(heard)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        return heard

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Line(socketserver.StreamRequestHandler):
    """One kept connection."""

    server: Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            while self._one():
                pass
        except OSError:  # the client hung up
            return

    def _one(self) -> bool:
        start = self.rfile.readline()
        if not start.strip():
            return False
        headers: dict[str, str] = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        heard = self.server.hear(start.split()[1].decode(), headers, body)
        try:
            answer = self.server.script(heard)
            time.sleep(answer.delay)
        finally:
            with self.server.lock:
                self.server.busy -= 1
        return self._send(answer)

    def _send(self, answer: Answer) -> bool:
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            return False
        head = {"content-type": "application/json", "content-length": str(len(answer.body)), **answer.headers}
        top = f"HTTP/1.1 {answer.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + "\r\n"
        if answer.drip:
            self.wfile.write(top.encode())
            for k in range(len(answer.body)):
                time.sleep(answer.drip)
                self.wfile.write(answer.body[k : k + 1])
            return True
        self.wfile.write(top.encode() + answer.body[: answer.cut])
        return answer.cut is None
