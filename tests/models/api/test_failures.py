"""Every way to fail, what is tried again, how long is waited, and keys that stay secret, over real HTTP."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable

import pytest

from superalign.core.types import Cost
from superalign.models.api.wire import KINDS
from tests.models.api.asking import ask, endpoint, one, reply
from tests.models.api.server import Answer, Heard, Server, chat, complaint, told

GOOD = chat("fine")
FAILURES: list[tuple[str, Answer, str, int]] = [
    ("429", complaint(429, "slow down"), "rate limit: slow down (3 tries)", 3),
    ("429 date", complaint(429, "no", retry_after="Fri, 01 May 2020 12:00:30 GMT"), "rate limit: no (3 tries)", 3),
    ("429 for long", complaint(429, "no", retry_after="3600"), "rate limit: the server asks to wait 3,600 s; run a", 1),
    ("429 no money", told({"error": {"message": "pay", "code": "insufficient_quota"}}, 429), "rate limit: pay", 1),
    ("500", complaint(500, "oops"), "server error 500: oops (3 tries)", 3),
    ("503", Answer(503, b"<html>down</html>"), "server error 503: <html>down</html> (3 tries)", 3),
    ("529", complaint(529, "overloaded"), "server error 529: overloaded (3 tries)", 3),
    ("409", complaint(409, "again"), "server error 409: again (3 tries)", 3),
    ("upstream", told({"error": {"message": "upstream"}}), "server error 200: upstream (3 tries)", 3),
    ("late", GOOD.later(0.4), "timeout: no whole reply within 0.1 s (3 tries)", 3),
    ("drip", Answer(body=GOOD.body, drip=0.02), "timeout: no whole reply within 0.1 s (3 tries)", 3),
    ("cut", Answer(body=GOOD.body, cut=30), "cut off: RemoteProtocolError: peer closed connection without sending", 3),
    ("hung up", Answer(raw=b""), "cut off: RemoteProtocolError: Server disconnected", 3),
    ("garbage", Answer(raw=b"\x00\xff\x16garbage\r\n\r\n"), "cut off: RemoteProtocolError", 3),
    ("bad gzip", Answer(body=b"xx", headers={"content-encoding": "gzip"}), "cut off: DecodingError", 3),
    ("empty", Answer(), "cut off: the body of the reply is empty (3 tries)", 3),
    ("not JSON", Answer(body=b'{"choices": [{"mess'), 'not JSON: JSONDecodeError in \'{"choices": [{"mess\'', 3),
    ("deep", Answer(body=b"[" * 100_000), "not JSON: RecursionError", 3),
    ("not UTF-8", Answer(body=b'{"\xff": 1}'), "not JSON: UnicodeDecodeError", 3),
    ("a list", told([1]), "malformed: the reply is no object but '[1]' (3 tries)", 3),
    ("no choices", told({"choices": []}), "malformed: no chat completion (IndexError", 3),
    ("odd choices", told({"choices": [{"message": "hi"}]}), "malformed: no chat completion (AttributeError", 3),
    ("wrong model", chat("hi", "n"), "wrong model: asked 'm', 'n' answered; write model=n if it is meant", 1),
    ("400", complaint(400, "bad"), "refused: status 400: bad", 1),
    ("404", told({"detail": "Not Found"}, 404), "refused: status 404: Not Found", 1),
    ("301", Answer(301, headers={"location": "http://127.0.0.1:1/"}), "refused: status 301: no explanation", 1),
    ("401", complaint(401, "who?"), "key: status 401: who? (set SUPERALIGN_API_KEY)", 1),
    ("403", complaint(403, "not you"), "key: status 403: not you (set SUPERALIGN_API_KEY)", 1),
    ("filter", chat(None, reason="content_filter"), "refused: the server's content filter withheld the answer", 1),
    ("thought", chat("", reason="length"), "cut off: all tokens went before the answer began; write a larger max", 1),
]


@pytest.mark.parametrize(("answer", "failure", "tries"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
def test_every_way_to_fail_is_recorded(answer: Answer, failure: str, tries: int) -> None:
    said, heard = one(lambda h: answer, ask(), timeout=0.1 if "timeout" in failure else 5.0)
    assert (said.failure or "")[: len(failure)] == failure
    assert (said.text, said.probs, len(heard)) == ("", (), tries)
    assert failure.startswith(KINDS)


def test_nobody_listens() -> None:
    with Server(lambda h: GOOD) as server:
        model = endpoint(server, retries=1)
    failure = reply(model, ask()).failure or ""
    assert failure.startswith(f"no connection: {server.url}: ")
    assert failure.endswith("(2 tries)")


@pytest.mark.parametrize("bad", [f[1] for f in FAILURES if f[3] > 1], ids=[f[0] for f in FAILURES if f[3] > 1])
def test_what_passes_is_tried_again(bad: Answer) -> None:
    slow = bad.delay + bad.drip > 0
    said, heard = one(lambda h: GOOD if h.number else bad, ask(), timeout=0.3 if slow else 5.0, retries=6)
    assert (said.text, said.failure) == ("fine", None)
    assert len(heard) == 2 or slow  # a machine under load may be late on its own


def test_tries_that_were_paid_for_are_counted() -> None:
    bad = told({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 1}})
    said, _ = one(lambda h: chat("fine") if h.number == 2 else bad, ask())
    assert said.cost == Cost(210, 7, 0.0, said.cost.seconds)
    said, _ = one(lambda h: chat("fine", "other"), ask())
    assert (said.cost.tokens_in, said.failure is not None) == (10, True)


@pytest.mark.parametrize(
    "first",
    [
        complaint(429, "wait", retry_after_ms="80"),
        complaint(503, "wait", retry_after="0.08"),
        complaint(429, "wait", x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="80ms"),
    ],
)
def test_a_server_that_asks_to_wait_is_waited_for(first: Answer) -> None:
    said, heard = one(lambda h: GOOD if h.number else first, ask())
    assert said.text == "fine"
    assert heard[1].at - heard[0].at >= 0.08


def test_nobody_sends_while_one_was_asked_to_wait() -> None:
    last = told(json.loads(GOOD.body), x_ratelimit_remaining="0", x_ratelimit_reset="0.08")
    with Server(lambda h: GOOD if h.number else last) as server:
        model = endpoint(server)
        reply(model, ask())
        reply(model, ask("another"))
    assert server.requests[1].at - server.requests[0].at >= 0.08


def test_requests_under_way_follow_what_the_server_bears() -> None:
    def script(heard: Heard) -> Answer:
        return complaint(429, "too many").later(0.001) if server.busy > 3 else chat(heard.said).later(0.002)

    with Server(script) as server:
        model = endpoint(server, concurrency=12, retries=20)
        asks = [ask(f"q{k}") for k in range(150)]
        replies = dict(model.answer(asks))
    assert [replies[k].text for k in range(150)] == [f"q{k}" for k in range(150)]
    assert 3 < server.busiest <= 12
    assert model.client.limit.now < 12


def test_a_parameter_that_a_model_refuses_is_left_out_and_named() -> None:
    def script(heard: Heard) -> Answer:
        wrong = [name for name in ("temperature", "seed") if name in heard.body]
        return complaint(400, f"Unsupported value: '{wrong[0]}' is not supported") if wrong else GOOD

    with Server(script) as server:
        model = endpoint(server)
        assert reply(model, ask(sample=1)).text == "fine"
        assert model.left_out == {"temperature", "seed"}
        reply(model, ask("another", sample=1))
    assert len(server.requests) == 3 + 1


def test_replies_come_in_order_of_readiness_and_a_closed_iterator_asks_no_more() -> None:
    with Server(lambda h: chat(h.said).later(1.5 if h.said == "q0" else 0.0)) as server:
        model = endpoint(server, concurrency=2)
        order = [i for i, _ in model.answer([ask(f"q{k}") for k in range(6)])]
        assert (sorted(order), order[-1]) == ([0, 1, 2, 3, 4, 5], 0)
        some = model.answer([ask(f"r{k}") for k in range(500)])
        next(some)
        del some
    assert len(server.requests) < 500


# ---- keys


KEY = "sk-secret/0123456789+abcdef"


def echo(status: int) -> Callable[[Heard], Answer]:
    """A server that repeats the key in all the ways it can think of."""

    def script(heard: Heard) -> Answer:
        said = (
            heard.headers["authorization"] + " " + base64.b64encode(KEY.encode()).decode() + " sk-secre***********def"
        )
        if status == 200:
            return chat(said)
        return Answer(status, json.dumps({"error": {"message": said}}).encode().replace(b"k-", b"\\u006b-"))

    return script


@pytest.mark.parametrize("status", [200, 400, 401, 500, 429])
def test_a_key_is_never_repeated(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SUPERALIGN_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with Server(echo(status)) as server:
        model = endpoint(server, retries=1)
        said = reply(model, ask())
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    parts = (model, model.service, model.client, model.service.form)
    shown = [repr(said), model.name, caplog.text, *(repr(part) for part in parts)]
    shown += [repr(getattr(part, "__dict__", "")) for part in parts] + [repr(dict(model.client._http.headers))]
    for text in shown:
        assert "secret" not in text
        assert base64.b64encode(KEY.encode()).decode() not in text
    assert "[key]" in (said.text or said.failure or "")


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("before", [20, 40, 265, 285])
def test_a_key_is_not_repeated_in_part(status: int, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complaints are cut, but never within a key."""
    monkeypatch.setenv("SUPERALIGN_API_KEY", KEY)
    said, _ = one(lambda h: Answer(status, ("x" * before + " " + KEY).encode()), ask(), retries=0)
    assert said.failure
    assert "secr" not in said.failure


def test_a_model_whose_name_is_the_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERALIGN_API_KEY", KEY)
    said, _ = one(lambda h: chat("x", model=KEY), ask())
    assert said.failure == "wrong model: asked 'm', '[key]' answered; write model=[key] if it is meant"


def test_a_placeholder_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERALIGN_API_KEY", "none")
    said, _ = one(lambda h: chat("none of them"), ask())
    assert said.text == "none of them"
