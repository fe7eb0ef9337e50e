"""Prices, names and counts of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import ModelError
from superalign.core.types import Message
from superalign.models.api.prices import Price, find_price, read_prices, tokens_in
from superalign.models.api.wire import complaint, same_model, tokens

TABLE = """
[models."gpt-x"]
input = 2.5
output = 10

[models."gpt-x-mini"]
input = 0
output = 0.5
"""


def test_a_table_is_read_and_a_dated_name_finds_its_price(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(TABLE)
    table = read_prices(str(path))
    assert table == {"gpt-x": Price(2.5, 10.0), "gpt-x-mini": Price(0.0, 0.5)}
    assert find_price(table, "gpt-x-mini-2026-01-01") == Price(0.0, 0.5)
    assert find_price(table, "gpt-x-2026-01-01") == Price(2.5, 10.0)
    assert find_price(table, "gpt-x-large") is None
    assert Price(2.5, 10.0).usd(1_000_000, 100_000) == pytest.approx(3.5)
    assert Price(2.5, 10.0).usd(0, 0) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "prices no models; write"),
        ("models = 3", "prices no models; write"),
        ("[models", "prices.toml: Expected"),
        ('[models.a]\ninput = "2"', "'a' has input = '2'; give it in USD per million tokens, 0 or more"),
        ("[models.a]\ninput = 1", "'a' has output = None"),
        ("[models.a]\ninput = -1\noutput = 1", "'a' has input = -1"),
        ("[models.a]\ninput = inf\noutput = 1", "'a' has input = inf"),
        ("[models]\na = 3", "'a' has input = None"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=message):
        read_prices(str(path))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no price table '.*none.toml' \(No such file or directory\); write \[models"):
        read_prices(str(tmp_path / "none.toml"))


def test_the_estimate_of_tokens_counts_bytes() -> None:
    assert tokens_in(()) == 0
    assert tokens_in((Message("user", ""),)) == 8
    assert tokens_in((Message("user", "abc" * 100),)) == 108
    assert tokens_in((Message("user", "真" * 100),)) == 108


@pytest.mark.parametrize(
    ("asked", "said", "same"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4", "gpt-4-0613", True),
        ("gemini-pro", "gemini-pro-001", True),
        ("claude-x-latest", "claude-x-20260101", True),
        ("claude-x-0", "claude-x-20260101", True),
        ("./tiny", "./tiny@main", True),
        ("org/m:q4.gguf", "org/m", True),
        ("llama3", "llama3:latest", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4", "gpt-3.5-turbo", False),
        ("gpt-4o", "gpt-4", False),
        ("gpt-4o", "openai/gpt-4o", False),
    ],
)
def test_a_date_or_a_revision_is_the_same_model(asked: str, said: str, same: bool) -> None:
    assert same_model(asked, said) is same


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (None, (0, 0)),
        ([3], (0, 0)),
        ({}, (0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, (3, 4)),
        ({"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 5}, (8, 4)),
        ({"prompt_tokens": None, "completion_tokens": "4"}, (0, 0)),
        ({"prompt_tokens": -3, "completion_tokens": float("nan")}, (0, 0)),
    ],
)
def test_reported_tokens_are_numbers_or_nothing(usage: Any, counts: tuple[int, int]) -> None:
    assert tokens({"usage": usage}) == counts


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no explanation"),
        (b"<html>Bad gateway", "<html>Bad gateway"),
        (b'{"error": {"message": "too long"}}', "too long"),
        (b'{"error": "too long"}', "too long"),
        (b'{"detail": [{"msg": "x"}]}', '[{"msg": "x"}]'),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_complaint_is_found_where_servers_put_it(body: bytes, said: str) -> None:
    assert complaint(body) == said
