"""Where a study stands: the policy it starts from, prompts, demonstrations, and what its responses are graded by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from superalign.core.digest import digest
from superalign.core.driver import Cast
from superalign.core.errors import SpecError, TaskError, nearest
from superalign.core.ports import Model
from superalign.core.random import stream
from superalign.core.registry import parse
from superalign.core.types import Item, Overseer
from superalign.learners.rl.overseers import program
from superalign.models.native.gpt import GPT, Shape
from superalign.models.players.sentiment import SentimentJudge, SentimentPlayer, sources
from superalign.models.policy import Policy
from superalign.studies.rlhf.settings import Body
from superalign.studies.rlhf.sycophancy import Stance, of_words
from superalign.tasks.fetch import fetch
from superalign.tasks.read import read
from superalign.tasks.worlds.sentiment_markov import EOS, PAD, PROMPT, RESPONSE, sentiment_markov

Texts = tuple[str, ...]
TAUGHT = ("train", "labels")
"""Parts that something is learnt from; all others are for evaluation."""
EVALUATION = "evaluation"
HELD_OUT = 0.2
"""Share of a file's prompts that only evaluations see."""


@dataclass(frozen=True)
class Ground:
    """What one seed of a study is about.

    `start(body)` makes the untrained policy. `prompts(n, part)` gives n prompts; parts that something is learnt from
    share none with the others. `demonstrations(n, part)` are prompts and responses, None where there are none. `gold`
    scores responses, None where the truth is not known; `stance` tells which side a text takes, if that is known. Responses have at most `tokens` tokens and no end before
    `least`. `sources(item)` is what debaters may quote about a pair, and `cast` who debates and judges unless the spec
    says otherwise.
    """

    name: str
    identity: Mapping[str, Any]
    start: Callable[[Body], Policy]
    prompts: Callable[[int, str], Texts]
    demonstrations: Callable[[int, str], tuple[Texts, Texts]] | None
    gold: Overseer | None
    tokens: int
    least: int
    sources: Callable[[Item], str] | None = None
    cast: Cast = field(default_factory=dict)
    stance: Stance | None = None

    @property
    def ends(self) -> bool:
        """Whether responses end by themselves; else no text is read with an end."""
        return self.least < self.tokens


def world(name: str, seed: int) -> Ground:
    """A world whose truth is known. Each seed is another language."""
    ref = parse(name)
    if ref.name != "sentiment-markov" or ref.argument or ref.options:
        raise SpecError(f"no world is named {name!r}; {nearest(ref.name, ['sentiment-markov'])} (it takes no options)")
    language = sentiment_markov(seed=seed)

    def start(body: Body) -> Policy:
        shape = Shape(len(language.words), body.layers, body.width, body.heads, PROMPT + RESPONSE)
        return GPT(shape, language.words, pad=PAD, eos=EOS, seed=seed)

    def demonstrations(n: int, part: str) -> tuple[Texts, Texts]:
        tokens = language.corpus(n, part)
        return language.texts(tokens[:, :PROMPT]), language.texts(tokens[:, PROMPT:])

    gold = program(lambda prompts, completions: list(map(float, language.gold(completions))), "gold")
    cast: dict[str, Model] = {"judge": SentimentJudge(6), "agent": SentimentPlayer(3)}
    identity = {"world": name, "version": 1, "seed": seed}
    stance = of_words(dict(zip(language.words, map(float, language.signs), strict=True)))
    return Ground(
        name, identity, start, language.prompts, demonstrations, gold, RESPONSE, RESPONSE, sources, cast, stance,
    )  # fmt: skip


def given(model: str, prompts: str, demonstrations: str | None, tokens: int) -> Callable[[int], Ground]:
    """The ground of each seed for a policy of one's own, `hf:FOLDER[:option=value]`, with a file of prompts.

    Raises SpecError, TaskError or ModelError for what cannot be used. The model is loaded once.
    """
    ref = parse(model)
    if ref.name != "hf" or not ref.argument:
        raise SpecError(f"--model takes hf:FOLDER (a causal transformer), got {model!r}")
    texts = prompts_in(prompts)
    pairs = demonstrations_in(demonstrations) if demonstrations else None

    @cache
    def start(body: Body) -> Policy:
        from superalign.models.hf.policy import hf_policy

        try:
            policy: Any = hf_policy(ref.argument, **ref.options)
        except TypeError as error:
            raise SpecError(f"{model!r}: {error}") from error
        assert isinstance(policy, Policy)
        return policy

    def ground(seed: int) -> Ground:
        asked = divided(texts, seed)
        shown = None if pairs is None else divided(pairs, seed)

        def some(n: int, part: str) -> Texts:
            return tuple(cycled(asked["train" if part in TAUGHT else EVALUATION], n))

        def demonstrated(n: int, part: str) -> tuple[Texts, Texts]:
            rows = cycled((shown or {})["train" if part in TAUGHT else EVALUATION], n)
            return tuple(p for p, _ in rows), tuple(r for _, r in rows)

        identity = {"prompts": digest(asked), "demonstrations": digest(shown)}
        return Ground(model, identity, start, some, demonstrated if shown else None, None, tokens, 0)

    return ground


def prompts_in(place: str) -> list[str]:
    """The prompts of a file: a column `prompt` (jsonl, json, csv, tsv, parquet), or the lines of a text."""
    blob = fetch(place)
    if Path(blob.name).suffix.lower() in (".txt", ".prompts", ""):
        found = [line.strip() for line in blob.data.decode("utf-8", "replace").split("\n")]
    else:
        table = read(blob)
        if "prompt" not in table.columns:
            raise TaskError(f"{place!r} has no column 'prompt'; {nearest('prompt', table.columns)}")
        found = [str(row.cells.get("prompt") or "").strip() for row in table.rows]
    return _several([text for text in dict.fromkeys(found) if text], place, "prompts")


def demonstrations_in(place: str) -> list[tuple[str, str]]:
    """Prompts with the responses to imitate: the columns `prompt` and `completion` of a file."""
    table = read(fetch(place))
    for column in ("prompt", "completion"):
        if column not in table.columns:
            raise TaskError(f"{place!r} has no column {column!r}; {nearest(column, table.columns)}")
    rows = [(str(r.cells["prompt"]), str(r.cells["completion"])) for r in table.rows if r.cells.get("completion")]
    return _several(rows, place, "demonstrations")


def _several(found: list[Any], place: str, what: str) -> list[Any]:
    if len(found) < 5:
        raise TaskError(f"{place!r} holds {len(found)} {what}; 5 or more are needed, a fifth is kept for evaluation")
    return found


def divided(rows: Sequence[Any], seed: int) -> dict[str, list[Any]]:
    """Rows to train on and rows held out; other ones for every seed."""
    order = stream(seed, "rlhf/held out", len(rows)).permutation(len(rows))
    cut = max(1, round(HELD_OUT * len(rows)))
    return {EVALUATION: [rows[k] for k in order[:cut]], "train": [rows[k] for k in order[cut:]]}


def cycled(rows: Sequence[Any], n: int) -> list[Any]:
    """n rows: the first ones, or all of them again and again."""
    return [rows[k % len(rows)] for k in range(n)]
