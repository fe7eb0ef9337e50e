"""A small study of units: a random llama of two blocks in a folder, words for it to read, and models that speak of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from superalign.core.spec import Record, validate
from superalign.store import open_store
from superalign.studies.interp import Interp, interp
from tests.models import hf_tiny

SPEAKER = '''
import re

from superalign.core.types import Reply
from superalign.models.scripted import Scripted

CALLS = []


def speaker(argument, *, inputs, steps, choices):
    """Names the strongest token that it was shown; then says 10 where the last token is that, and yes where it stands."""

    def say(ask):
        CALLS.append(ask.role)
        text = ask.messages[-1].content
        if ask.role == "explainer":
            if argument == "silent" or (argument == "half" and len(CALLS) % 2):
                return Reply("I'm sorry, I can't help with that.")
            shown = re.findall(r"^ ?(\\S+)\\t(\\d+)$", text, re.MULTILINE)
            return Reply(" the word " + max(shown, key=lambda pair: int(pair[1]))[0])
        if ask.role == "simulator":
            word = re.search(r"responds to: the word (\\S+)", text)[1]
            lines = re.findall(r"^(.*)\\t\\?$", text, re.MULTILINE)
            if lines:
                return Reply("\\n".join(f"{token}\\t{10 * (word in token)}" for token in lines))
            last = re.search(r"Text: (.*)\\n\\nHow strongly", text, re.DOTALL)[1].split()[-1]
            level = 10 if word in last else 0
            return Reply(str(level), tuple(float(k == level) for k in range(11)))
        word = re.search(r"Description: the word (\\S+)", text)[1]
        yes = word in re.search(r"Text: (.*)\\n\\n", text, re.DOTALL)[1].split()
        return Reply("yes" if yes else "no", (0.9, 0.1) if yes else (0.1, 0.9))

    return Scripted(f"speaker:{argument}", say)
'''


def words(path: Path, documents: int = 240, length: int = 32) -> str:
    """A file of documents whose words come in uneven shares; returns its path."""
    rng = np.random.default_rng(0)
    known = [w for w in hf_tiny.WORDS if not w.startswith("[")]
    lines = []
    for _ in range(documents):
        share = rng.gamma(0.5, size=len(known)) + 0.02
        lines.append(json.dumps({"text": " ".join(rng.choice(known, length, p=share / share.sum()))}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def spec(folder: Path, **changes: Any) -> Interp:
    """Six neurons of the first layer without controls, unless `changes` say otherwise."""
    text = folder / "words.jsonl"
    if not text.exists():
        words(text)
    values = {"model": str(hf_tiny.folder("llama")), "text": str(text), "site": ("mlp.0",), "units": "0-5",
              "controls": (), "width": 8, "context": 32, **changes}  # fmt: skip
    return validate(Interp, {name: value for name, value in values.items() if value is not None})


def run(folder: Path, **changes: Any) -> Record:
    """The record of such a study, with the store and activations in `folder`."""
    with open_store(folder / "s.sqlite") as store:
        return interp(spec(folder, **changes), store)


def number(record: Record, condition: str, name: str) -> float:
    """A number that must be defined."""
    value = next(c for c in record.conditions if c.name == condition).numbers[name].value
    assert value is not None, f"{condition} {name}"
    return value
