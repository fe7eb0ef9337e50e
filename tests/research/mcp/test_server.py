"""The protocol: what is answered to what, whatever comes, and nothing else on the output."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from superalign.core.errors import SpecError
from superalign.core.spec import Value
from superalign.research.mcp import server as serving
from superalign.research.mcp.server import BATCH, VERSIONS, Server, Tool, serve


class Sum(Value):
    """Numbers."""

    numbers: list[float] = Field(max_length=5)


def add(asked: Sum) -> Mapping[str, Any]:
    if not asked.numbers:
        raise SpecError("give at least one number")
    return {"sum": sum(asked.numbers)}


def fails(_: Sum) -> Mapping[str, Any]:
    raise ZeroDivisionError("a path: /home/somebody/secret")


def server(*more: Tool, log: list[str] | None = None) -> Server:
    tools = [Tool("add", "Adds.", Sum, add, reads_only=True), Tool("fails", "Fails.", Sum, fails), *more]
    return Server("test", "1", tools, "Be kind.", log=(log if log is not None else []).append)


HELLO = {
    "jsonrpc": "2.0", "id": 0, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def request(number: Any, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    return request(number, "tools/call", name=name, arguments=arguments)


def talk(made: Server, *messages: Any) -> list[Any]:
    """What comes back for lines in; raw bytes are sent as they are."""
    lines = [m if isinstance(m, bytes) else json.dumps(m).encode() + b"\n" for m in messages]
    sink = io.BytesIO()
    serve(made, io.BytesIO(b"".join(lines)), sink)
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_a_session() -> None:
    hello, listed, ping, told = talk(
        server(), HELLO, READY, request("a", "tools/list"), request(1, "ping"), call(2, "add", numbers=[1, 2.5])
    )
    assert hello["result"]["protocolVersion"] == "2025-06-18"
    assert hello["result"]["serverInfo"] == {"name": "test", "version": "1"}
    assert hello["result"]["capabilities"] == {"tools": {}}
    assert hello["result"]["instructions"] == "Be kind."
    assert listed["id"] == "a"
    first = listed["result"]["tools"][0]
    assert (first["name"], first["description"], first["annotations"]["readOnlyHint"]) == ("add", "Adds.", True)
    assert first["inputSchema"]["required"] == ["numbers"]
    assert first["inputSchema"]["additionalProperties"] is False
    assert ping == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert told["result"]["structuredContent"] == {"sum": 3.5}
    assert json.loads(told["result"]["content"][0]["text"]) == {"sum": 3.5}
    assert told["result"]["isError"] is False


@pytest.mark.parametrize("wanted", [*VERSIONS, "2024-01-01", "2026-07-28", "x"])
def test_versions_are_negotiated(wanted: str) -> None:
    """Theirs where it is spoken, else our newest."""
    (hello,) = talk(server(), request(0, "initialize", protocolVersion=wanted))
    assert hello["result"]["protocolVersion"] == (wanted if wanted in VERSIONS else VERSIONS[0])


def test_what_a_tool_refuses_is_its_result() -> None:
    log: list[str] = []
    _, refused, invalid, unknown, broken = talk(
        server(log=log), HELLO, call(1, "add", numbers=[]), call(2, "add", numbers=["x"]), call(3, "add", n=[1]),
        call(4, "fails", numbers=[1]),
    )  # fmt: skip
    said = [r["result"]["content"][0]["text"] for r in (refused, invalid, unknown, broken)]
    assert all(r["result"]["isError"] for r in (refused, invalid, unknown, broken))
    assert said[0] == "give at least one number"
    assert said[1].startswith("numbers.0: Input should be a valid number")
    assert "numbers: Field required" in said[2]
    assert "n: Extra inputs are not permitted" in said[2]
    assert said[3] == "fails failed inside: ZeroDivisionError"  # the rest is for the log alone
    assert log == ["fails failed: ZeroDivisionError: a path: /home/somebody/secret"]


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (b"{\n", -32700, "a line that is no JSON"),
        (b"\xff\xfe\n", -32700, "a line that is no JSON"),
        (b"[" * 100_000 + b"\n", -32700, "a line that is no JSON: RecursionError"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": NaN}}\n', -32700, "a line that is no JSON"),
        (b"9" * 5000 + b"\n", -32700, "a line that is no JSON"),
        ("hello", -32600, "a message is a JSON object"),
        ([], -32600, "a batch has 1 to 100 messages, this one 0"),
        ([HELLO] * (BATCH + 1), -32600, "this one 101"),
        (request(None, "ping"), -32600, "the id of a request is a string or a whole number"),
        (request(1.5, "ping"), -32600, "the id of a request"),
        (request(True, "ping"), -32600, "the id of a request"),
        (request([1], "ping"), -32600, "the id of a request"),
        ({"id": 1, "method": "ping"}, -32600, "a request is"),
        ({"jsonrpc": "2.0", "id": 1, "method": 3}, -32600, "a request is"),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}, -32602, "the params of a request are an object"),
        (request(1, "pong"), -32601, "no method 'pong'; did you mean 'ping'"),
        (request(1, "server/discover"), -32601, "no method"),
        (request(1, "initialize"), -32602, "initialize needs a protocolVersion"),
        (request(1, "tools/list", cursor="x"), -32602, "there is one page of tools"),
        (request(1, "tools/call", name="ad"), -32602, "no tool 'ad'; did you mean 'add'"),
        (request(1, "tools/call", name=[3]), -32602, "no tool"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_told_and_the_next_is_answered(sent: Any, code: int, said: str) -> None:
    _, told, ping = talk(server(), HELLO, sent, request(9, "ping"))
    if told.get("id") == 9:  # a call is answered by another thread
        told, ping = ping, told
    assert told["error"]["code"] == code
    assert said in told["error"]["message"]
    assert ping == {"jsonrpc": "2.0", "id": 9, "result": {}}


def test_tools_wait_for_initialize() -> None:
    told, ping = talk(server(), request(1, "tools/list"), request(2, "ping"))
    assert told["error"] == {"code": -32600, "message": "send initialize first"}
    assert ping["result"] == {}


def test_notifications_and_answers_are_let_go() -> None:
    told = talk(
        server(), HELLO, READY, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}},
        {"jsonrpc": "2.0", "method": "no/such"}, {"method": "x"}, {"jsonrpc": "2.0", "id": 4, "result": {}},
        {"jsonrpc": "2.0", "id": 4, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "add", "arguments": {"numbers": [1]}}}, b"\n", b"  \n",
    )  # fmt: skip
    assert [t["id"] for t in told] == [0]


def test_batches_are_answered_together() -> None:
    _, told = talk(server(), HELLO, [request(1, "ping"), READY, 3, call(2, "add", numbers=[1])])
    assert [(t["id"], "error" in t) for t in told] == [(1, False), (None, True), (2, False)]
    assert talk(server(), [READY, READY]) == []


def test_a_line_that_is_too_long_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LINE", 500)
    long = json.dumps(request(1, "ping", x="y" * 5000)).encode() + b"\n"
    _, told, ping = talk(server(), HELLO, long, request(2, "ping"))
    assert told["error"]["message"] == "a message has at most 500 bytes"
    assert told["id"] is None
    assert ping["id"] == 2
    assert talk(server(), HELLO, long.rstrip())[-1]["error"]["code"] == -32600


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["jsonrpc", "id", "method", "params", "name", "arguments", "numbers", "result"]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
SHAPED = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | JSON, "method": st.sampled_from(["tools/call", "tools/list", "initialize", "ping"]) | JSON},
    optional={"id": st.integers() | JSON, "params": st.fixed_dictionaries(
        {"name": st.sampled_from(["add", "fails"]) | JSON}, optional={"arguments": JSON, "protocolVersion": JSON}) | JSON},
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(JSON | SHAPED, max_size=4))
def test_whatever_comes_it_goes_on(messages: list[Any]) -> None:
    told = talk(server(), HELLO, *messages, request("last", "ping"))
    assert {"jsonrpc": "2.0", "id": "last", "result": {}} in told
    flat = [t for one in told for t in (one if isinstance(one, list) else [one])]
    assert all(t["jsonrpc"] == "2.0" and ("result" in t) != ("error" in t) for t in flat)


def test_a_ping_is_answered_during_a_long_call() -> None:
    """The call ends only when the ping was answered."""
    pinged, order = threading.Event(), []

    class Sink(io.BytesIO):
        def write(self, data: Any) -> int:
            order.append(json.loads(data)["id"])
            if order[-1] == 2:
                pinged.set()
            return len(data)

    slow = Tool("slow", "Slow.", Sum, lambda _: {"pinged": pinged.wait(20)})
    lines = b"".join(json.dumps(m).encode() + b"\n" for m in (HELLO, call(1, "slow", numbers=[]), request(2, "ping")))
    serve(server(slow), io.BytesIO(lines), Sink())
    assert order == [0, 2, 1]


def test_a_flood_of_calls_waits_outside() -> None:
    """No more than WAITING are read ahead of the one that is answered."""
    begun, free, read = threading.Event(), threading.Event(), []

    class Source(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            read.append(1)
            return super().readline(size)

    def slow(_: Sum) -> Mapping[str, Any]:
        begun.set()
        return {"free": free.wait(20)}

    lines = [HELLO, *(call(k, "slow", numbers=[]) for k in range(1, 60))]
    source = Source(b"".join(json.dumps(m).encode() + b"\n" for m in lines))
    sink = io.BytesIO()
    thread = threading.Thread(target=serve, args=(server(Tool("slow", "Slow.", Sum, slow)), source, sink))
    thread.start()
    assert begun.wait(20)
    deadline = time.monotonic() + 20
    while len(read) < serving.WAITING + 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert len(read) == serving.WAITING + 2  # the greeting, those that wait, and the one held in hand
    free.set()
    thread.join(20)
    assert [json.loads(line)["id"] for line in sink.getvalue().splitlines()] == list(range(60))


def test_nobody_reads_any_more() -> None:
    class Closed(io.BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    read = io.BytesIO(b"".join(json.dumps(request(k, "ping")).encode() + b"\n" for k in range(100)))
    serve(server(), read, Closed())
    assert read.tell() < 1000


STRAY = """
import subprocess, sys
from superalign.core.spec import Value
from superalign.research.mcp.server import Server, Tool, serve
from superalign.research.mcp.stdio import protocol_alone

class Nothing(Value): "No arguments."

def chatty(_):
    print("stray from Python")
    subprocess.run(["echo", "stray from a child"], check=True)
    left = subprocess.run(["cat"], capture_output=True, check=True).stdout
    return {"input": len(left) + len(sys.stdin.read())}

with protocol_alone() as (source, sink):
    serve(Server("t", "1", [Tool("chatty", "Talks.", Nothing, chatty)]), source, sink)
print("after")
"""


def test_only_the_protocol_is_on_the_output() -> None:
    """What tools and their children print goes to stderr, and they find no input."""
    sent = "".join(json.dumps(m) + "\n" for m in (HELLO, call(1, "chatty")))
    done = subprocess.run(
        [sys.executable, "-c", STRAY], input=sent, capture_output=True, text=True, check=True, timeout=60
    )
    *told, after = done.stdout.splitlines()
    assert [json.loads(t)["id"] for t in told] == [0, 1]
    assert json.loads(told[1])["result"]["structuredContent"] == {"input": 0}
    assert after == "after"
    assert "stray from Python" in done.stderr
    assert "stray from a child" in done.stderr
