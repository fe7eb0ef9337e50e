"""A server of tools: the Model Context Protocol over JSON-RPC 2.0, a message a line (modelcontextprotocol.io,
revisions 2024-11-05 to 2025-11-25).

It answers `initialize`, `ping`, `tools/list` and `tools/call`, and takes notifications. What a tool refuses is its result
with `isError`, so that a model reads the reason and can mend it; a message that is no request is a JSON-RPC error. The
other end is not trusted: whatever it sends is answered or let go, and the next message is read.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

from pydantic import BaseModel, ValidationError

from superalign.core.errors import SuperalignError, nearest

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Revisions that are spoken, newest first. They are one protocol as far as tools go."""
LINE = 64 << 20
"""Bytes of a message, at most: what the scorer reads, too."""
BATCH = 100
"""Messages in a batch, which revision 2025-03-26 knows, at most."""
WAITING = 16
"""Calls that may wait; then nothing is read until one is answered."""

PARSE, INVALID, UNKNOWN, PARAMS = -32700, -32600, -32601, -32602
"""Codes of JSON-RPC."""

Message = dict[str, Any]


@dataclass(frozen=True)
class Tool:
    """A tool: its arguments are a pydantic model, whose JSON Schema the client sees; what it returns is JSON."""

    name: str
    description: str
    arguments: type[BaseModel]
    call: Callable[[Any], Mapping[str, Any]]
    reads_only: bool = False

    def listed(self) -> Message:
        """The tool as `tools/list` tells it."""
        schema = self.arguments.model_json_schema()
        hints = {"readOnlyHint": self.reads_only, "openWorldHint": False}
        return {"name": self.name, "description": self.description, "inputSchema": schema, "annotations": hints}


class Fault(Exception):
    """A request that cannot be answered, with its JSON-RPC code."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class Server:
    """Answers messages. `instructions` tell the model at the other end what the tools are for; `log` gets what goes
    wrong inside."""

    def __init__(
        self,
        name: str,
        version: str,
        tools: Sequence[Tool],
        instructions: str = "",
        log: Callable[[str], None] = lambda said: print(said, file=sys.stderr, flush=True),
    ) -> None:
        self._info, self._instructions, self._log = {"name": name, "version": version}, instructions, log
        self._tools = {tool.name: tool for tool in tools}
        self._begun = False
        self._methods: dict[str, Callable[[Mapping[str, Any]], Message]] = {
            "initialize": self._initialize, "ping": lambda _: {}, "tools/list": self._list, "tools/call": self._call,
        }  # fmt: skip

    def answer(self, message: object) -> Message | list[Message] | None:
        """The answer to what a line held: None for notifications, a list for a batch. Raises nothing."""
        if not isinstance(message, list):
            return self._one(message)
        if not 0 < len(message) <= BATCH:
            return _error(None, INVALID, f"a batch has 1 to {BATCH} messages, this one {len(message)}")
        return [a for a in map(self._one, message) if a is not None] or None

    def _one(self, message: object) -> Message | None:
        if not isinstance(message, dict):
            return _error(None, INVALID, "a message is a JSON object")
        number = message.get("id")
        known = isinstance(number, str | int) and not isinstance(number, bool)
        if "method" not in message and ("result" in message or "error" in message):
            return None  # an answer, and nothing was asked
        if "id" in message and not known:
            return _error(None, INVALID, "the id of a request is a string or a whole number")
        try:
            result = self._result(message)
        except Fault as fault:
            return _error(number, fault.code, str(fault)) if known else None
        return {"jsonrpc": "2.0", "id": number, "result": result} if known else None

    def _result(self, message: Message) -> Message:
        method, params = message.get("method"), message.get("params", {})
        if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
            raise Fault(INVALID, 'a request is {"jsonrpc": "2.0", "id": 1, "method": "ping"}')
        if "id" not in message:  # a notification: none of them changes what is answered
            return {}
        if method not in self._methods:
            raise Fault(UNKNOWN, f"no method {method[:80]!r}; {nearest(method[:80], self._methods)}")
        if not isinstance(params, dict):
            raise Fault(PARAMS, "the params of a request are an object")
        if not self._begun and method.startswith("tools/"):
            raise Fault(INVALID, "send initialize first")
        return self._methods[method](params)

    def _initialize(self, params: Mapping[str, Any]) -> Message:
        """The revision that the client asks for where it is spoken, else our newest, which the client may decline."""
        wanted = params.get("protocolVersion")
        if not isinstance(wanted, str):
            raise Fault(PARAMS, f"initialize needs a protocolVersion, such as {VERSIONS[0]!r}")
        self._begun = True
        return {
            "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0], "capabilities": {"tools": {}},
            "serverInfo": self._info, "instructions": self._instructions,
        }  # fmt: skip

    def _list(self, params: Mapping[str, Any]) -> Message:
        if params.get("cursor") is not None:
            raise Fault(PARAMS, "there is one page of tools; leave out the cursor")
        return {"tools": [tool.listed() for tool in self._tools.values()]}

    def _call(self, params: Mapping[str, Any]) -> Message:
        name = params.get("name")
        if not isinstance(name, str) or name not in self._tools:
            raise Fault(PARAMS, f"no tool {str(name)[:80]!r}; {nearest(str(name)[:80], self._tools)}")
        try:
            arguments = self._tools[name].arguments.model_validate(params.get("arguments") or {})
            found = dict(self._tools[name].call(arguments))
            return _told(json.dumps(found, allow_nan=False), found)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()[:5])
            return _told("; ".join(faults)[:2000])
        except SuperalignError as error:
            return _told(str(error)[:4000])
        except Exception as error:  # a tool may fail in any way; the client is not told more than that
            self._log(f"{name} failed: {type(error).__name__}: {error}")
            return _told(f"{name} failed inside: {type(error).__name__}")


def _told(text: str, found: Message | None = None) -> Message:
    """The result of a call: as text, and as JSON for clients that read it; without `found` an error."""
    result: Message = {"content": [{"type": "text", "text": text}], "isError": found is None}
    return result if found is None else {**result, "structuredContent": found}


def _error(number: Any, code: int, said: str) -> Message:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": said}}


def serve(server: Server, source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer the lines of `source` on `sink` until it ends, or nobody reads.

    Calls are made in turn in a thread of their own, so that a ping is answered during a long one. What was called when
    the source ends is still done.
    """
    turn, waiting, gone = threading.Lock(), threading.BoundedSemaphore(WAITING), threading.Event()

    def write(answer: Message | list[Message] | None) -> None:
        if answer is None or gone.is_set():
            return
        with turn:
            try:
                sink.write(json.dumps(answer).encode() + b"\n")
                sink.flush()
            except (OSError, ValueError):  # closed at the other end, or at ours
                gone.set()

    def work(message: object) -> None:
        try:
            write(server.answer(message))
        finally:
            waiting.release()

    with ThreadPoolExecutor(1, thread_name_prefix="tools") as tools:
        for line in _lines(source):
            message = _parsed(line)
            if isinstance(message, Fault):
                write(_error(None, message.code, str(message)))
            elif isinstance(message, list) or (isinstance(message, dict) and message.get("method") == "tools/call"):
                waiting.acquire()
                tools.submit(work, message)
            else:
                write(server.answer(message))
            if gone.is_set():
                return


def _lines(source: IO[bytes]) -> Iterator[bytes | None]:
    """Lines; None for one that is too long, of which the rest is let go. Blank ones are left out."""
    while line := source.readline(LINE + 1):
        if len(line) <= LINE:
            if line.strip():
                yield line
            continue
        while not line.endswith(b"\n") and (line := source.readline(LINE)):
            pass
        yield None


def _parsed(line: bytes | None) -> object:
    if line is None:
        return Fault(INVALID, f"a message has at most {LINE:,} bytes")
    try:
        return json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return Fault(PARSE, f"a line that is no JSON: {type(error).__name__}")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
