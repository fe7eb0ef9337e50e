"""What calls cost: a price table in a TOML file, in US dollars per million tokens.

[models."gpt-x"]
input = 2.5
output = 10
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from superalign.core.errors import ModelError
from superalign.core.types import Message
from superalign.models.api.wire import same_model

_BYTES = 3  # per token: English has about 4, other scripts fewer
_AROUND = 8  # tokens around a message


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens read and written."""

    input: float = 0.0
    output: float = 0.0

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return (self.input * tokens_in + self.output * tokens_out) / 1e6


def read_prices(path: str) -> dict[str, Price]:
    """The table of a file. Raises ModelError where there is none, or a line of it is no price."""
    form = 'write [models."name"] with input = and output = in USD per million tokens'
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"no price table {path!r} ({error.strerror}); {form}") from error
    except ValueError as error:  # of TOML or of UTF-8
        raise ModelError(f"{path}: {error}; {form}") from error
    models = table.get("models")
    if not isinstance(models, dict) or not models:
        raise ModelError(f"{path} prices no models; {form}")
    return {name: _price(path, name, entry) for name, entry in models.items()}


def _price(path: str, name: str, entry: object) -> Price:
    values = entry if isinstance(entry, dict) else {}
    for key in ("input", "output"):
        value = values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ModelError(f"{path}: {name!r} has {key} = {value!r}; give it in USD per million tokens, 0 or more")
    return Price(float(values["input"]), float(values["output"]))


def find_price(table: Mapping[str, Price], model: str) -> Price | None:
    """The price of a model: by its own name, else by the longest name of which it is a dated version."""
    if model in table:
        return table[model]
    names = [name for name in table if same_model(name, model)]
    return table[max(names, key=len)] if names else None


def tokens_in(messages: Sequence[Message]) -> int:
    """An estimate, on the high side, of the tokens of a conversation."""
    return sum(math.ceil(len(m.content.encode("utf-8", "replace")) / _BYTES) + _AROUND for m in messages)
