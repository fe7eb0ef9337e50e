"""What whoever decides believed, from round to round, as a small SVG of a line for each answer."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from superalign.report.games.script import Script
from superalign.report.palette import DASHES, SERIES
from superalign.report.text import visible

WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 560, 150, 34, 62, 8, 24
APART = 13.0
"""Pixels between two labels at the ends of lines."""
MOST = 6
"""Answers with a line, at most: those that were likeliest at the end."""

Course = list[tuple[float, tuple[float, ...]]]
"""Places on the axis of rounds, with the probabilities of the answers in the item's own order."""


def courses(shown: Script) -> dict[str, Course]:
    """For each role that stated more than one belief: when, and what. Of several in a round the later ones stand a
    little to its right."""
    found: dict[str, Course] = {}
    for spoken in shown.rounds:
        held = [h for h in spoken.held if h.answers and h.probs]
        for h in held:
            before = sum(1 for x, _ in found.get(h.name, ()) if int(x) == spoken.number)
            same = sum(1 for other in held if other.name == h.name)
            found.setdefault(h.name, []).append((spoken.number + before / max(same, 1), h.probs))
    return {name: course for name, course in found.items() if len(course) > 1}


def chart(shown: Script) -> Markup:
    """The chart; nothing where nobody stated two beliefs."""
    found = courses(shown)
    if not found:
        return Markup("")
    last = next(iter(found.values()))[-1][1]
    sides = sorted(sorted(shown.order, key=lambda k: -last[k])[:MOST], key=shown.order.index)
    start, end = min(c[0][0] for c in found.values()), max(c[-1][0] for c in found.values())
    place = Place(start, max(end, start + 1))
    parts = place.frame(shown.rounds_are.lower())
    for number, (name, course) in enumerate(found.items()):
        dash = "" if number == 0 else " ".join(map(str, DASHES[number % len(DASHES)]))
        for side in sides:
            parts += _line(shown, name, course, side, place, dash)
    parts += _ends(shown, last, sides, place.across(next(iter(found.values()))[-1][0]))
    frame = Markup('<svg class="course" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return frame.format(WIDTH, TOP + HEIGHT + FOOT, visible(_said(shown, found)), parts)


class Place:
    """Where rounds and probabilities stand."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def across(self, at: float) -> float:
        """Of a round, in pixels."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - self.start) / (self.end - self.start)

    def down(self, p: float) -> float:
        """Of a probability, in pixels."""
        return TOP + HEIGHT * (1 - p)

    def frame(self, word: str) -> Markup:
        """Rules at 0, a half and 1, and the rounds below."""
        parts = Markup("")
        rule = Markup('<path d="M{} {:.1f}H{}" class="{}"/><text x="{}" y="{:.1f}" text-anchor="end">{}</text>')
        for p, text in ((0.0, "0"), (0.5, "½"), (1.0, "1")):
            y = self.down(p)
            parts += rule.format(LEFT, y, WIDTH - RIGHT, "rule", LEFT - 6, y + 4, text)
        step = max(1, round((self.end - self.start) / 10))
        for k in range(int(self.start), int(self.end) + 1, step):
            text = "before" if k == 0 else f"{word} {k}" if k == max(1, int(self.start)) else str(k)
            label = Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>')
            parts += label.format(self.across(k), TOP + HEIGHT + 17, "start" if k == self.start else "middle", text)
        return parts


def _line(shown: Script, name: str, course: Course, side: int, place: Place, dash: str) -> Markup:
    colour = side % len(SERIES) + 1
    points = " ".join(f"{place.across(x):.1f},{place.down(p[side]):.1f}" for x, p in course)
    dashed = Markup(' stroke-dasharray="{}"').format(dash) if dash else Markup("")
    line = Markup('<polyline points="{}" fill="none" stroke="var(--series-{})" stroke-width="2"{}/>')
    dots = Markup("")
    for x, p in course:
        said = visible(f"{name}: {shown.letter(side)} {p[side]:.2f}")
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="var(--series-{})"><title>{}</title></circle>')
        dots += dot.format(place.across(x), place.down(p[side]), colour, said)
    return line.format(points, colour, dashed) + dots


def _ends(shown: Script, last: Sequence[float], sides: Sequence[int], x: float) -> Markup:
    """Names of the lines at their ends, moved apart where they would lie on each other."""
    parts, ranked = Markup(""), sorted(sides, key=lambda k: -last[k])
    y = -APART
    for side in ranked:
        y = max(TOP + HEIGHT * (1 - last[side]) + 4, y + APART)
        label = Markup('<text x="{:.1f}" y="{:.1f}" class="end" fill="var(--series-{})">{} {:.2f}</text>')
        parts += label.format(x + 9, min(y, TOP + HEIGHT + 4), side % len(SERIES) + 1, shown.letter(side), last[side])
    return parts


def _said(shown: Script, found: dict[str, Course]) -> str:
    """The chart in words, for who cannot see it."""
    parts = []
    for name, course in found.items():
        first, last = course[0][1], course[-1][1]
        turns = ", ".join(f"{shown.letter(k)} from {first[k]:.2f} to {last[k]:.2f}" for k in shown.order[:MOST])
        parts.append(f"{name}: {turns}")
    return "; ".join(parts)
