"""What is sent to servers of each form, what is read, and probabilities over choices, over real HTTP."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from superalign.core.driver import play
from superalign.core.ports import Model
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Item, Message, Seat, Settings
from superalign.models.api.anthropic import Anthropic
from superalign.models.api.client import Client
from superalign.models.api.endpoint import Endpoint
from superalign.models.api.service import Service
from superalign.protocols.direct import direct
from superalign.testing.model import ModelContract
from tests.models.api.asking import AB, ask, endpoint, logs, one, reply
from tests.models.api.server import Answer, Heard, Script, Server, chat, complaint, decide, message, told


def test_a_request_in_the_form_of_openai() -> None:
    settings = Settings(0.7, 50, ("END",))
    messages = (Message("system", "be brief"), Message("user", "hello"))
    request = Ask("judge", messages, sample=3, settings=settings)
    said, [heard] = one(lambda h: chat("hi", prompt_tokens=12, completion_tokens=2), request)
    assert (said.text, said.probs, said.failure) == ("hi", (), None)
    assert (said.cost.tokens_in, said.cost.tokens_out, said.cost.usd) == (12, 2, 0.0)
    assert said.cost.seconds > 0
    seed = heard.body["seed"]
    assert heard.path == "/v1/chat/completions"
    assert heard.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
        "max_tokens": 50,
        "temperature": 0.7,
        "stop": ["END"],
        "seed": seed,
    }
    assert 0 <= seed < 2**31
    assert "authorization" not in heard.headers


def test_a_greedy_request_has_no_seed_and_the_models_own_bound() -> None:
    _, [heard] = one(lambda h: chat("hi"), ask(), max_tokens=77)
    assert set(heard.body) == {"model", "messages", "max_tokens", "temperature"}
    assert (heard.body["max_tokens"], heard.body["temperature"]) == (77, 0.0)


def claude(server: Server, **options: Any) -> Endpoint:
    service = Service(Anthropic(), server.url, "ANTHROPIC_API_KEY", True)
    client = Client(service, most=4, timeout=5, retries=1, backoff=0.001)
    return Endpoint(service, "claude-m", client, name="api:anthropic:model=claude-m", **options)


def test_a_request_in_the_form_of_anthropic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    messages = (Message("system", "be brief"), Message("user", "hello"), Message("assistant", "yes?"))
    request = Ask("judge", (*messages, Message("system", "be kind")), sample=1, settings=Settings(0.5, None, ("END",)))
    with Server(lambda h: message("well", ", hi")) as server:
        said = reply(claude(server), request)
        alone = reply(claude(server), Ask("judge", (Message("system", "go"),)))
    assert (said.text, said.cost.tokens_in, said.cost.tokens_out) == ("well, hi", 9, 3)
    first, second = server.requests
    assert first.path == "/v1/messages"
    assert (first.headers["x-api-key"], first.headers["anthropic-version"]) == ("sk-ant-0123456789", "2023-06-01")
    assert first.body == {
        "model": "claude-m",
        "max_tokens": 1024,
        "system": "be brief\n\nbe kind",
        "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes?"}],
        "temperature": 0.5,
        "stop_sequences": ["END"],
    }
    assert alone.failure is None
    assert second.body["messages"] == [{"role": "user", "content": "go"}]
    assert "system" not in second.body


def test_anthropic_estimates_choices_from_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    with Server(lambda h: message("A" if h.number else "(B)")) as server:
        said = reply(claude(server, draws=3), ask(choices=AB))
    assert (said.text, said.probs) == ("A", (3 / 5, 2 / 5))
    assert [h.body["temperature"] for h in server.requests] == [1.0] * 3


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (message(reason="max_tokens"), "cut off: all tokens went before the answer began"),
        (message(reason="refusal"), "refused: the server withheld the answer"),
        (told({"content": "text"}), "malformed: no message"),
    ],
)
def test_anthropic_replies_without_text(monkeypatch: pytest.MonkeyPatch, answer: Answer, failure: str) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    with Server(lambda h: answer) as server:
        said = reply(claude(server), ask())
    assert (said.failure or "").startswith(failure)


def test_content_in_parts_and_a_refusal_are_what_was_said() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    said, _ = one(lambda h: told({"choices": [{"message": {"content": parts}}]}), ask())
    assert (said.text, said.cost.tokens_in) == ("one two", 0)
    said, _ = one(lambda h: told({"choices": [{"message": {"content": None, "refusal": "No."}}]}), ask())
    assert (said.text, said.failure) == ("No.", None)
    said, _ = one(lambda h: Answer(body=b'{"choices": [{"message": {"content": "lone \\ud800"}}]}'), ask())
    assert said.text == "lone ?"


def test_the_key_of_the_call_goes_with_every_try() -> None:
    with Server(lambda h: chat("hi") if h.number >= 2 else complaint(500, "busy")) as server:
        model = endpoint(server)
        said = reply(model, ask())
        assert said.text == "hi"
        assert [h.headers["idempotency-key"] for h in server.requests] == [key_of(model.name, ask())] * 3
        list(endpoint(server, probs="sample", draws=3).answer([ask(choices=AB)]))
    keys = {h.headers["idempotency-key"] for h in server.requests[3:]}
    assert len(keys) == 3, "draws are different requests"


# ---- probabilities over choices


def test_log_probabilities_of_the_letters() -> None:
    tops = [logs(B=0.6, A=0.15, a=0.05, The=0.2)]
    said, [heard] = one(lambda h: chat("B", tops=tops), ask(choices=AB))
    assert (heard.body["logprobs"], heard.body["top_logprobs"]) == (True, 20)
    assert said.text == "B"
    assert said.probs == pytest.approx((0.25, 0.75))


def test_without_mass_on_letters_the_reply_is_text() -> None:
    said, heard = one(
        lambda h: chat("I", tops=[logs(I=0.9999)]) if "logprobs" in h.body else chat("I say (B)", completion_tokens=4),
        ask(choices=AB),
        probs="logprobs",
    )
    assert (said.text, said.probs, said.failure) == ("I say (B)", (), None)
    assert said.cost.tokens_out == 5 + 4
    assert [h.headers["idempotency-key"][64:] for h in heard] == ["", "-text"]


def drawn(heard: Heard) -> Answer:
    return chat("ABBBBBBA"[int(heard.headers["idempotency-key"].rpartition("-")[2])])


THINKING = chat("", reason="length")


@pytest.mark.parametrize(
    "refusal",
    [complaint(400, "no logprobs"), complaint(422, "what is this?"), chat("A"), THINKING],
    ids=["400", "422", "ignored", "thought instead"],
)
def test_a_server_without_log_probabilities_is_remembered(refusal: Answer) -> None:
    with Server(lambda h: refusal if "logprobs" in h.body else drawn(h)) as server:
        model = endpoint(server)
        replies = [reply(model, ask(choices=AB, sample=k)) for k in range(2)]
    assert [r.probs for r in replies] == [(3 / 10, 7 / 10)] * 2
    assert [r.text for r in replies] == ["B", "B"]
    assert ["logprobs" in h.body for h in server.requests] == [True] + [False] * 16
    assert {h.body["temperature"] for h in server.requests[1:]} == {1.0}
    assert len({h.body["seed"] for h in server.requests[1:]}) == 16, "every draw of every sample has its own seed"


def test_a_refusal_of_everything_is_not_blamed_on_log_probabilities() -> None:
    with Server(lambda h: complaint(400, "prompt too long")) as server:
        model = endpoint(server)
        for _ in range(2):
            assert reply(model, ask(choices=AB)).failure == "refused: status 400: prompt too long"
    assert ["logprobs" in h.body for h in server.requests] == [True, False] * 2


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (chat("A"), "refused: the server gives no log-probabilities; write probs=sample or probs=auto"),
        (complaint(400, "no logprobs"), "refused: status 400: no logprobs"),
    ],
)
def test_log_probabilities_that_were_insisted_on(answer: Answer, failure: str) -> None:
    said, _ = one(lambda h: answer, ask(choices=AB), probs="logprobs")
    assert said.failure == failure


def test_draws_without_a_letter_give_text_alone() -> None:
    said, heard = one(lambda h: chat("hard to say"), ask(choices=AB), probs="sample", draws=3)
    assert (said.text, said.probs, said.failure, len(heard)) == ("hard to say", (), None, 3)
    assert (said.cost.tokens_in, said.cost.tokens_out) == (30, 15)


def test_a_draw_that_fails_fails_the_call_and_is_paid_for() -> None:
    said, _ = one(
        lambda h: complaint(400, "enough") if h.number == 2 else chat("A"), ask(choices=AB), probs="sample", draws=4
    )
    assert (said.failure, said.text, said.cost.tokens_in) == ("refused: status 400: enough", "", 20)


@pytest.mark.parametrize(
    "request_",
    [ask(choices=AB), ask(choices=tuple(str(k) for k in range(27)))],
    ids=["none", "too many for letters"],
)
def test_text_alone_where_there_is_nothing_to_choose(request_: Ask) -> None:
    said, [heard] = one(lambda h: chat("B"), request_, probs="none" if len(request_.choices) == 2 else "auto")
    assert (said.text, said.probs) == ("B", ())
    assert "logprobs" not in heard.body


def test_typed_decisions() -> None:
    messages = (Message("system", "Judge."), Message("user", "Paris or Rome?"))
    said, [heard] = one(lambda h: decide(h, (0.2, 0.6)), Ask("judge", messages, AB), probs="typed")
    assert heard.path == "/v1/systemone"
    assert heard.body["state"] == "Judge.\n\nParis or Rome?"
    [question] = heard.body["questions"].values()
    assert (question["type"], question["criteria"]) == ("choice", {"Paris": None, "Rome": None})
    assert (said.text, said.cost.tokens_in, said.cost.tokens_out) == ("B", 11, 0)
    assert said.probs == pytest.approx((0.25, 0.75))


def test_typed_decisions_between_choices_that_are_alike() -> None:
    messages = (Message("user", "one"), Message("assistant", "two"), Message("user", "three"))
    said, [heard] = one(lambda h: decide(h, (0.1, 0.2, 0.7)), Ask("judge", messages, ("x", "x", "")), probs="typed")
    assert said.probs == pytest.approx((0.1, 0.2, 0.7))
    assert heard.body["state"] == "user: one\n\nassistant: two\n\nuser: three"
    [question] = heard.body["questions"].values()
    assert question["criteria"] == {"A": "x", "B": "x", "C": ""}


def probabilities(**found: Any) -> Answer:
    return told({"model": "m", "answers": {"answer": {"probabilities": found}}})


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (told({"model": "m", "answers": {}}), "malformed: no typed answer"),
        (told({"answers": []}), "malformed: no typed answer"),
        (probabilities(Paris=1.0), "malformed: no typed answer (ValueError: 1 probabilities for 2 choices"),
        (probabilities(Paris=None, Rome=1), "malformed: no typed answer"),
        (probabilities(Paris=-1, Rome=2), "malformed: probabilities [-1.0, 2.0]"),
        (probabilities(Paris=0, Rome=0), "malformed: probabilities"),
        (probabilities(Paris=math.nan, Rome=0), "malformed: probabilities"),
        (told({"detail": "Not Found"}, 404), "refused: status 404: Not Found"),
    ],
)
def test_typed_answers_that_are_none(answer: Answer, failure: str) -> None:
    said, _ = one(lambda h: answer, ask(choices=AB), probs="typed", retries=0)
    assert (said.failure or "").startswith(failure)


def test_a_typed_server_that_cleans_its_options_is_read_in_order() -> None:
    said, _ = one(lambda h: probabilities(x=0.9, y=0.1), ask(choices=("<|mark|>x", "y")), probs="typed")
    assert said.probs == pytest.approx((0.9, 0.1))


def test_a_game_is_played() -> None:
    items = [Item(f"i{k}", f"question {k}", AB) for k in range(12)]
    games = [(item, Seat(order=order)) for item in items for order in ((0, 1), (1, 0))]
    with Server(lambda h: chat("A", tops=[logs(A=0.8, B=0.2)])) as server:
        judgments = play(direct(), {"judge": endpoint(server, concurrency=4)}, games)
    assert [j.verdict.answer for j in judgments] == [0, 1] * 12
    assert len(server.requests) == 24


# ---- the contract of models


class LoopbackContract(ModelContract):
    script: Script
    options: dict[str, Any] = {}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def _serve(self) -> Iterator[None]:
        with Server(type(self).script) as self.server:
            yield

    def make_model(self) -> Model:
        return endpoint(self.server, **self.options)


def number(heard: Heard) -> int:
    return int(heard.said.split()[1])


class TestLogprobsContract(LoopbackContract):
    script = staticmethod(lambda h: chat("A", tops=[logs(A=0.1 + 0.1 * number(h), B=0.2)]))


class TestSampleContract(LoopbackContract):
    script = staticmethod(lambda h: chat("AB"[(number(h) + h.body["seed"]) % 2]))
    options = {"probs": "sample"}  # noqa: RUF012


class TestTypedContract(LoopbackContract):
    script = staticmethod(lambda h: decide(h, (0.1 + 0.1 * number(h), 0.2)))
    options = {"probs": "typed"}  # noqa: RUF012


class TestTextContract(LoopbackContract):
    script = staticmethod(lambda h: chat(f"re {h.said}"))
    options = {"probs": "none"}  # noqa: RUF012
