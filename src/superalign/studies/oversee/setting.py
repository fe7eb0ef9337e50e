"""What a study is played on: items with a sealed key, and who plays unless the spec says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from superalign.core import registry
from superalign.core.digest import digest
from superalign.core.errors import SpecError, TaskError
from superalign.core.ports import Inputs
from superalign.core.random import stream
from superalign.core.registry import Ref
from superalign.core.task import Task
from superalign.core.types import Item
from superalign.studies.oversee.cast import is_judge, speaker
from superalign.studies.oversee.spec import Oversee
from superalign.tasks.games import Game
from superalign.tasks.load import load
from superalign.tasks.pool import Pool
from superalign.tasks.source import Source

SPLIT = "test"
USUAL = ("direct", "consultancy", "debate")


@dataclass(frozen=True)
class Setting:
    """A task with its one split, the references of the players, the usual protocols, and whether it is about control."""

    task: Task
    judge: Ref
    agent: Ref
    named: dict[str, Ref]
    protocols: tuple[str, ...]
    control: bool
    inputs: Inputs | None
    notes: tuple[str, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        return self.task.items(SPLIT)

    @property
    def digest(self) -> str:
        """Identity of the items with their texts, sources and answers."""
        body = [(i.id, i.prompt, list(i.choices), dict(i.info)) for i in self.items]
        return digest(self.task.digest, body)


def prepared(spec: Oversee) -> Setting:
    """Load the task and find its players. SpecError where nobody is named to judge or to answer."""
    game = _game(spec.source)
    pool = game.pool if game is not None else load(spec.source)
    for role, given in (("judge", spec.judge), ("agent", spec.agent)):
        if given is None and game is None:
            raise SpecError(f"{spec.source.task!r} is not a game, so nobody plays it yet; name --{role} MODEL")
    items = drawn(pool, spec.items)
    task = Task(
        pool.name, {SPLIT: items}, {i.id: pool.key[i.id] for i in items}, choices=pool.choices, inputs=pool.inputs
    )
    notes = list(pool.notes)
    if len(items) < spec.items:
        notes.append(f"{pool.name} has {len(items):,} items, {spec.items:,} were asked for")
    return Setting(
        task,
        speaker(spec.judge or (game.judge if game else "")),
        speaker(spec.agent or (game.agent if game else "")),
        _named(spec, game),
        game.protocols if game is not None else USUAL,
        game is not None and game.study == "control",
        pool.inputs,
        tuple(notes),
    )


def drawn(pool: Pool, count: int) -> tuple[Item, ...]:
    """`count` items in random order, whole groups together (the last one cut); more items begin with the same.

    The rows that a task gives for its test are used where there are any. TaskError for items without choices.
    """
    fixed = set(pool.fixed.get("test", ()))
    usable = sorted((i for i in pool.items if not fixed or i.id in fixed), key=lambda i: i.id)
    for item in usable:
        if len(item.choices) < 2:
            raise TaskError(f"{pool.name}: item {item.id!r} has {len(item.choices)} choices; a judge needs two or more")
    groups: dict[str, list[Item]] = {}
    for item in usable:
        groups.setdefault(str(item.info.get("group", item.id)), []).append(item)
    names = list(groups)
    order = stream(0, "oversee/items").permutation(len(names)).tolist()
    return tuple(item for k in order for item in groups[names[k]])[:count]


def _game(source: Source) -> Game | None:
    """The game of this name or of this file, None where the task is something else."""
    name = registry.parse(source.task).name
    if name not in registry.names("games") and ".py:" not in name:
        return None
    given = [f for f in sorted(source.model_fields_set - {"task"}) if getattr(source, f) not in (None, ())]
    made = registry.build("games", source.task)
    if not isinstance(made, Game):
        return None
    if given:
        raise TaskError(f"{given[0]} is for files, not for the game {source.task!r}; write {source.task}:key=value")
    return made


def _named(spec: Oversee, game: Game | None) -> dict[str, Ref]:
    """Roles with a model of their own. Who names the judge or the agent replaces a game's players on that side."""
    named: dict[str, Ref] = {}
    for role, ref in (game.cast if game is not None else {}).items():
        if (spec.judge if is_judge(role) else spec.agent) is None:
            named[role] = speaker(ref)
    for role, ref in spec.cast.items():
        if not role or role in ("agent",):
            raise SpecError(
                f"--cast takes a chair such as critic=MODEL; the agent's chairs are named with --agent {ref}"
            )
        named[role] = speaker(ref)
    return named


def sources_of(items: Sequence[Item]) -> bool:
    """Whether every item has a source that an expert could read."""
    return all(str(i.info.get("source", "")).strip() for i in items)
