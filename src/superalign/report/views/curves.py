"""Curves of a training run while it goes on, from the events that it has told so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.report.numbers import plain

Events = Sequence[Mapping[str, Any]]

CURVES = (
    ("gold", "True reward (gold)", "standard deviations"),
    ("proxy", "Reward that is optimised", "standard deviations, held-out prompts"),
    ("score", "Reward of the samples", "before the penalty for KL"),
    ("kl", "KL to the start model", "nats"),
    ("length", "Length of responses", "words or tokens"),
    ("entropy", "Entropy", "nats per token"),
    ("loss", "Loss", ""),
)
"""What is drawn, where it is told: the name of the number, a title, its unit."""
LINES = 6
"""Lines of a plot that can be told apart."""
POINTS = 200
"""Points of a line; of more, evenly spaced ones are drawn."""
WIDTH, HEIGHT = 300.0, 100.0


@dataclass(frozen=True, slots=True)
class Line:
    """One run in a plot: `points` as an SVG polyline takes them, its newest value in words."""

    name: str
    place: int
    points: str
    newest: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One quantity of several runs over training, in a box of WIDTH by HEIGHT."""

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    low: str
    high: str
    last: int


def plots(told: Mapping[str, Events]) -> list[Plot]:
    """A plot for every quantity that any of these runs has told at two points."""
    courses = {name: {key: course(events, key) for key, _, _ in CURVES} for name, events in told.items()}
    for known in courses.values():
        if known["score"]:
            known["loss"] = []  # the loss of a policy gradient says nothing about progress
    found = []
    for key, title, unit in CURVES:
        series = [(name, place, known[key]) for place, (name, known) in enumerate(courses.items(), start=1)]
        drawn = [(name, place, pairs) for name, place, pairs in series if len(pairs) > 1]
        if drawn:
            found.append(_plot(key, title, unit, drawn))
    return found


def course(events: Events, key: str) -> list[tuple[int, float]]:
    """A number over iterations: as iterations tell it, else as evaluations do; of one told twice, the last."""
    for kind in ("iteration", "evaluation"):
        pairs = {
            e["iteration"]: float(e[key])
            for e in events
            if e["kind"] == kind and isinstance(e.get(key), int | float) and not isinstance(e.get(key), bool)
        }
        if pairs:
            return sorted(pairs.items())
    return []


def _plot(key: str, title: str, unit: str, drawn: Sequence[tuple[str, int, list[tuple[int, float]]]]) -> Plot:
    values = [value for _, _, pairs in drawn for _, value in pairs]
    low, high, last = min(values), max(values), max(pairs[-1][0] for _, _, pairs in drawn)
    span, foot = (high - low, low) if high > low else (1.0, low - 0.5)
    lines = tuple(
        Line(
            name,
            (place - 1) % LINES + 1,
            " ".join(
                f"{WIDTH * at / max(1, last):.1f},{HEIGHT - HEIGHT * (value - foot) / span:.1f}"
                for at, value in thinned(pairs)
            ),
            _few(pairs[-1][1]),
        )
        for name, place, pairs in drawn
    )
    return Plot(key, title, unit, lines, _few(low), _few(high), last)


def thinned(pairs: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most POINTS of them and the last."""
    step = max(1, -(-len(pairs) // POINTS))
    return [*pairs[:-1:step], *pairs[-1:]]


def samples(events: Events) -> tuple[int, list[tuple[str, str, float | None]]]:
    """The newest responses that a run has shown, with the iteration: prompt, response, score."""
    for event in reversed(events):
        if event["kind"] == "iteration" and event.get("samples"):
            return int(event["iteration"]), [(str(p), str(c), s) for p, c, s in event["samples"]]
    return 0, []


def _few(value: float) -> str:
    if abs(value) < 5e-4:
        return "0"
    return plain(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3)
