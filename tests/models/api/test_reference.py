"""References to endpoints: names, options, keys and prices, as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import ModelError, PluginError
from superalign.core.ports import Model
from superalign.models.api import api
from tests.models.api.asking import ask, one
from tests.models.api.server import chat


@pytest.mark.parametrize(("reference", "variable"), [("gpt-x", "OPENAI_API_KEY"), ("claude-x", "ANTHROPIC_API_KEY")])
def test_a_missing_key_is_named_before_anything_is_sent(
    reference: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=rf"/v1 needs a key; type: export {variable}=\.\.\."):
        list(api(reference).answer([ask()]))
    monkeypatch.setenv(variable, "sk-typed-with-an-ellipsis…")
    with pytest.raises(ModelError, match=f"{variable} holds characters that are in no key") as caught:
        list(api(reference).answer([ask()]))
    assert "ellipsis" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "options", "name"),
    [
        ("http://127.0.0.1:8000/v1/", {"model": "x"}, "api:http://127.0.0.1:8000/v1:model=x"),
        ("http://[::1]:8000/v1", {"model": "llama3%3A8b"}, "api:http://[::1]:8000/v1:model=llama3:8b"),
        ("openai", {"model": "gpt-x"}, "api:openai:model=gpt-x"),
        ("https://api.openai.com/v1", {"model": "gpt-x"}, "api:openai:model=gpt-x"),
        ("gpt-x", {}, "api:openai:model=gpt-x"),
        ("o3-mini", {}, "api:openai:model=o3-mini"),
        ("claude-x", {"draws": 4, "timeout": 5, "concurrency": 2}, "api:anthropic:model=claude-x:draws=4"),
        ("claude-x", {"probs": "sample", "max_tokens": 9}, "api:anthropic:model=claude-x:probs=sample:max_tokens=9"),
    ],
)
def test_a_name_holds_what_replies_depend_on(argument: str, options: dict[str, Any], name: str) -> None:
    model = api(argument, **options)
    assert (model.name, model.serial) == (name, False)
    assert model.concurrency == options.get("concurrency", 32)
    assert isinstance(model, Model)


@pytest.mark.parametrize(
    ("argument", "options", "message"),
    [
        ("", {}, "'' is no endpoint; write api:http://127.0.0.1:8000/v1:model=NAME, api:openai:model=NAME or"),
        ("mistral", {}, "'mistral' is no endpoint; write"),
        ("openai", {}, "api:openai does not say which model; write api:openai:model=NAME"),
        ("http://h/v1", {}, "api:http://h/v1 does not say which model"),
        ("http:///v1", {"model": "m"}, "'http:///v1' names no host; write http://HOST:PORT/v1"),
        ("http://h:port/v1", {"model": "m"}, "the address of the endpoint is malformed"),
        ("http://u:p@h/v1", {"model": "m"}, "the address of h holds a user, a query or a fragment; keys come from"),
        ("https://h/v1?key=1", {"model": "m"}, "the address of h holds a user, a query"),
        ("gpt-x", {"probs": "logprob"}, "probs=logprob is not known; did you mean 'logprobs'"),
        ("gpt-x", {"probs": "typed"}, "openai has no probs=typed; write probs=auto"),
        ("claude-x", {"probs": "logprobs"}, "anthropic has no probs=logprobs; write probs=auto"),
        ("gpt-x", {"draws": 0}, "draws=0 does not fit; write a whole number of 1 or more"),
        ("gpt-x", {"max_tokens": 0.5}, "max_tokens=0.5 does not fit"),
        ("gpt-x", {"retries": -1}, "retries=-1 does not fit; write a whole number of 0 or more"),
        ("gpt-x", {"timeout": 0}, "timeout=0 and backoff=0.5 do not fit; write seconds"),
        ("gpt-x", {"concurrency": 0}, "concurrency=0 lets nothing through"),
    ],
)
def test_a_wrong_reference_is_named(argument: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        api(argument, **options)
    assert str(caught.value).startswith(message)
    assert "u:p" not in str(caught.value)


def test_a_reference_as_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    from superalign.core import registry

    monkeypatch.setattr(registry, "find", lambda kind, name: api)
    fixed = {"inputs": None, "steps": None, "choices": ()}
    model = registry.build("models", "api:http://127.0.0.1:9/v1:model=org/m:probs=sample:draws=4", **fixed)
    assert model.name == "api:http://127.0.0.1:9/v1:model=org/m:probs=sample:draws=4"
    with pytest.raises(PluginError, match="'api' has no option 'modle'; did you mean 'model'"):
        registry.build("models", "api:openai:modle=m", **fixed)


def test_prices_are_counted(tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text('[models.m]\ninput = 2\noutput = 10\n[models."gpt-x"]\ninput = 1\noutput = 1\n')
    said, _ = one(lambda h: chat("hi", prompt_tokens=1000, completion_tokens=100), ask(), prices=str(table))
    assert said.cost.usd == pytest.approx(0.003)
    assert api("gpt-x-2026-01-01", prices=str(table)).unpriced == ""
    model = api("gpt-y", prices=str(table))
    assert model.unpriced.startswith("no price is known for 'gpt-y', so its calls count as 0 USD; write prices=FILE")
    assert api("http://localhost:8000/v1", model="any").unpriced == "", "a server on this machine bills nothing"
