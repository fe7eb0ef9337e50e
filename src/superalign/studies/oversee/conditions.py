"""Which conditions a spec asks for: protocols, strengths, rounds, flaws of the judge; and who plays in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from superalign.core.errors import SpecError
from superalign.core.ports import Model
from superalign.core.registry import Ref, names
from superalign.core.types import Item, Seat
from superalign.models.flawed import Flawed, flaw
from superalign.protocols.rules import Rules
from superalign.studies.oversee.cast import (
    Chairs,
    assemble,
    is_judge,
    parts_of,
    stronger,
    takes,
    written,
)
from superalign.studies.oversee.rehearsal import rehearse
from superalign.studies.oversee.setting import Setting, sources_of
from superalign.studies.oversee.spec import Oversee

MODES = ("honest", "attack")
FLOOR, CEILING, ALONE = "direct", "expert", "agent"

Build = Callable[[Ref], Model]


@dataclass(frozen=True)
class Contest:
    """One condition: a protocol, its cast, and what it is called.

    `protocol` is the full reference, `series` its name without strength and flaw. `sides` says what `Seat.assigned`
    runs over: nothing, the item's choices, or the modes of control. `roles` are those that a rehearsal met.
    """

    name: str
    series: str
    kind: str
    protocol: str
    rules: Rules
    chairs: Chairs
    roles: tuple[str, ...]
    strength: int | None = None
    rounds: int | None = None
    flaw: str = ""
    control: bool = False

    @property
    def agent_speaks(self) -> bool:
        return any(not is_judge(role) for role in self.roles)

    def sides(self, item: Item) -> tuple[str | None, ...]:
        """What is assigned in the games of an item."""
        if self.control:
            return MODES
        return item.choices if self.rules.one_sided else (None,)

    def games(self, items: Sequence[Item], seeds: Sequence[int], swap: bool) -> Iterator[tuple[Item, Seat]]:
        """Items x seeds x orders x sides."""
        for item in items:
            order = tuple(range(len(item.choices)))
            for seed in seeds:
                for shown in (order, order[::-1]) if swap and not self.control else (order,):
                    for side in self.sides(item):
                        yield item, Seat(seed, shown, side)


class Casting:
    """Builds the cast of a condition, each model once."""

    def __init__(self, setting: Setting, build: Build) -> None:
        self.setting, self.build = setting, build
        self.by_option = takes("models", setting.agent, "strength")

    def chairs(self, strength: int | None = None, flawed: str = "", seats: Mapping[str, Ref] | None = None) -> Chairs:
        """The cast, its agents of this strength where their models have the option. `seats` take chairs by name."""
        seats = seats or {}
        named = {**self.setting.named, **seats}
        agent = self.setting.agent
        if strength is not None and self.by_option:
            agent = stronger(agent, strength)
            named = {
                role: ref if is_judge(role) or role in seats else stronger(ref, strength) for role, ref in named.items()
            }
        judge = self.build(self.setting.judge)
        models = {role: self.build(ref) for role, ref in named.items()}
        if flawed:
            judge = Flawed(judge, flaw(flawed))
            models |= {"judge": Flawed(models["judge"], flaw(flawed))} if "judge" in models else {}
        return Chairs(judge, self.build(agent), models)


@dataclass(frozen=True, slots=True)
class Variant:
    """A protocol as it is called, and as it is played."""

    series: str
    parts: tuple[Ref, ...]
    rounds: int | None = None


def variants(spec: Oversee, usual: Sequence[str]) -> list[Variant]:
    """The protocols of the spec, or the usual ones. A bare name takes the options that are usual for it."""
    options = {parts[0].name: parts for parts in map(parts_of, usual)}
    found: list[Variant] = []
    for text in spec.protocols or tuple(options):
        parts = parts_of(text)
        if parts[0] == Ref(parts[0].name) and parts[0].name in options:
            parts = (*options[parts[0].name], *parts[1:])
        asked = "rounds" in parts_of(text)[0].options
        if not spec.rounds or asked or not takes("protocols", parts[0], "rounds"):
            given = parts[0].options.get("rounds")
            found.append(Variant(text, parts, given if isinstance(given, int) else None))
            continue
        for rounds in spec.rounds:
            first = replace(parts[0], options={**parts[0].options, "rounds": rounds})
            shown = parts_of(text)[0]
            called = replace(shown, options={**shown.options, "rounds": rounds})
            found.append(Variant(written((called, *parts_of(text)[1:])), (first, *parts[1:]), rounds))
    return found


def contests(spec: Oversee, setting: Setting, casting: Casting) -> list[Contest]:
    """Every condition: for each flaw the floor, the ceiling and the protocols at each strength."""
    found: list[Contest] = []
    strengths: tuple[int | None, ...] = spec.strength or (None,)
    todo = variants(spec, setting.protocols)
    listed = {v.series for v in todo}
    (floor,) = variants(spec.model_copy(update={"protocols": (FLOOR,)}), setting.protocols)
    for flawed in ("", *spec.flaws):
        first = [floor] if FLOOR not in listed else []
        if CEILING not in listed and sources_of(setting.items) and CEILING in names("protocols"):
            first.append(Variant(CEILING, (Ref(CEILING),)))
        for variant in (*first, *todo):
            found += _of(variant, strengths, flawed, setting, casting)
    if not any(c.series == CEILING for c in found):
        found.append(_alone(setting, casting, strengths[-1]))
    twice = [c.name for c in found if [d.name for d in found].count(c.name) > 1]
    if twice:
        raise SpecError(f"two conditions would be called {twice[0]!r}; name each protocol once")
    flaws = ("", *spec.flaws)
    return sorted(found, key=lambda c: (flaws.index(c.flaw), ("floor", "ceiling", "protocol").index(c.kind)))


def _of(
    variant: Variant, strengths: Sequence[int | None], flawed: str, setting: Setting, casting: Casting
) -> Iterator[Contest]:
    text = written(variant.parts)
    kind = {FLOOR: "floor", CEILING: "ceiling"}.get(variant.series, "protocol")
    bare = contest(variant.series, kind, text, casting.chairs(flawed=flawed), setting.items[0], flaw=flawed)
    bare = replace(bare, rounds=variant.rounds)
    for strength in strengths if bare.agent_speaks else (None,):
        if strength is None:
            yield bare
            continue
        full = text if casting.by_option or strength == 1 else f"{text}+best-of:n={strength}"
        made = replace(
            bare, protocol=full, chairs=casting.chairs(strength, flawed), strength=strength,
            name=f"{variant.series}@{strength}{suffix(flawed)}",
        )  # fmt: skip
        yield made if full == text else replace(made, rules=assemble(full))


def contest(
    series: str, kind: str, protocol: str, chairs: Chairs, item: Item, *, flaw: str = "", control: bool = False
) -> Contest:
    """A condition, its roles found by rehearsing it on one item. Raises PluginError for an unknown protocol."""
    rules = assemble(protocol)
    made = Contest(series + suffix(flaw), series, kind, protocol, rules, chairs, (), flaw=flaw, control=control)
    _, roles = rehearse(rules, chairs, list(made.games([item], (0,), swap=False)))
    return replace(made, roles=roles)


def _alone(setting: Setting, casting: Casting, strength: int | None) -> Contest:
    """The agent answers by itself: the ceiling where there is no source for an expert to read."""
    agent = casting.chairs(strength).agent
    made = contest(ALONE, "ceiling", FLOOR, Chairs(agent, agent, {}), setting.items[0])
    return replace(made, strength=strength if casting.by_option else None)


def suffix(flawed: str) -> str:
    """What a flaw adds to a condition's name."""
    return f"/{flawed}" if flawed else ""


def pairs(spec: Oversee, found: Sequence[Contest], setting: Setting, casting: Casting) -> dict[str, list[Contest]]:
    """The cross-play of a tournament: every two strengths in the chairs of two debaters, by protocol.

    SpecError where there is nothing to cross.
    """
    if len(spec.strength) < 2 or not casting.by_option:
        why = (
            "name two or more with --strength"
            if casting.by_option
            else f"{str(setting.agent)!r} has no option `strength`"
        )
        raise SpecError(f"a tournament is between agents of several strengths; {why}")
    out: dict[str, list[Contest]] = {}
    for one in found:
        if one.flaw or one.strength != spec.strength[0] or not {"debater/a", "debater/b"} <= set(one.roles):
            continue
        games = []
        for a in spec.strength:
            for b in (n for n in spec.strength if n != a):  # equals meet in the condition itself
                seats = {f"debater/{s}": stronger(_debater(setting), n) for s, n in (("a", a), ("b", b))}
                games.append(
                    replace(one, name=f"{one.series}@{a}:{b}", kind="tournament", chairs=casting.chairs(a, seats=seats))
                )
        out[one.series] = games
    if not out or any(len(i.choices) != 2 for i in setting.items):
        raise SpecError(
            "a tournament needs a protocol with two debaters, and items of two choices; add --protocols debate"
        )
    return out


def _debater(setting: Setting) -> Ref:
    return setting.named.get("debater", setting.agent)
