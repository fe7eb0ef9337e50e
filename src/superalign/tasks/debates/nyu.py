"""The NYU human debates: 428 debates and consultancies on QuALITY stories by people and GPT-4, judged by people.

Michael et al. 2023, "Debate Helps Supervise Unreliable Experts" (arXiv 2311.08702); data CC-BY 4.0. One JSON file
per debate, with `setup` (rules, source as Penn-Treebank tokens, question, answers, roles) and `rounds`. Debater A
argues for the first answer; a game with one debater is a consultancy for that debater's answer.

Surveys and scratchpads are not kept: although the corpus is pseudonymous, its surveys hold guesses of real names,
and where such a name occurs in a speech or comment it is replaced by `[name]`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from superalign.core.errors import TaskError
from superalign.core.task import Task
from superalign.core.types import Item, Judgment
from superalign.tasks.debates import SETTINGS, Belief, Corpus, Debate, Offline, Part, Round, Speech, Story
from superalign.tasks.debates.tokens import join
from superalign.tasks.pool import Pool

LOWEST = 0.01
"""Beliefs are clipped to [.01, .99], the limits of the judges' own slider: at 0 a log score has no bound."""

_KINDS = {"SimultaneousSpeeches": "simultaneous", "SequentialSpeeches": "sequential"}
_MACHINE = re.compile(r"gpt", re.IGNORECASE)


def nyu(folder: str | Path) -> Corpus:
    """Read the corpus from its folder: the one with `official/`, or `official/` itself.

    Raises TaskError where there are no debates, and for a file that is not one.
    """
    files = _files(Path(folder))
    bodies = {path.stem: _json(path) for path in files}
    reading = _Reading(_names(bodies.values()))
    debates: list[Debate] = []
    key: dict[str, int] = {}
    for path in files:
        try:
            debates.append(reading.debate(path.stem, bodies[path.stem]))
            key[path.stem] = int(bodies[path.stem]["setup"]["correctAnswerIndex"])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise TaskError(f"{path} is not a debate of the NYU corpus: {type(error).__name__}: {error}") from error
    items = {s: [item(d) for d in debates if d.setting == s] for s in SETTINGS}
    task = Task("nyu-debates", {s: found for s, found in items.items() if found}, key)
    return Corpus("nyu-debates", tuple(debates), task, reading.counted(debates), tuple(reading.notes()), reading.names)


def item(debate: Debate) -> Item:
    """The question of a debate as an item: the story is its source, debates on one story are a group."""
    info = {"source": debate.story.text, "group": debate.story.title, "title": debate.story.title}
    return Item(debate.id, debate.question, debate.answers, info)


def _files(folder: Path) -> list[Path]:
    place = folder / "official" if (folder / "official").is_dir() else folder
    files = sorted(place.glob("*.json"))
    if not files:
        raise TaskError(
            f"no debates in {str(folder)!r}; name the folder that holds official/*.json of the NYU corpus "
            "(github.com/julianmichael/debate, save/official)"
        )
    return files


def _json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TaskError(f"{path} is not JSON: {error}") from error
    if not isinstance(body, dict) or "setup" not in body or "rounds" not in body:
        raise TaskError(f"{path} is not a debate of the NYU corpus: it needs `setup` and `rounds`")
    return body


def _names(bodies: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The real names that the surveys guess, longest first."""
    found: set[str] = set()
    for body in bodies:
        for survey in (body.get("feedback") or {}).values():
            for filled in survey.values():
                found |= {str(n).strip() for n in (filled["answers"].get("identity guesses") or {}).values()}
    people = {n for n in found if n and not _MACHINE.search(n)}
    return tuple(sorted(people, key=lambda n: (-len(n), n)))


@dataclass
class _Reading:
    """What is shared and counted while debates are read."""

    names: tuple[str, ...]
    counts: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    stories: dict[tuple[str, ...], Story] = field(default_factory=dict)

    def debate(self, name: str, body: Mapping[str, Any]) -> Debate:
        setup = body["setup"]
        sides = tuple(k for k, role in enumerate(("Debater A", "Debater B")) if role in setup["roles"])
        speakers = [setup["roles"][f"Debater {'AB'[k]}"] for k in sides]
        who = "gpt4" if any(_MACHINE.search(s) for s in speakers) else "human"
        story = self._story(setup["sourceMaterial"])
        return Debate(
            name,
            f"{who}-{'debate' if len(sides) == 2 else 'consultancy'}",
            story,
            setup["question"].strip(),
            tuple(a.strip() for a in setup["answers"]),
            sides,
            tuple(self._rounds(name, body["rounds"], story)),
            tuple(self._offline(body["rounds"], story)),
        )

    def _story(self, material: Mapping[str, Any]) -> Story:
        (body,) = material.values()
        tokens = tuple(body["contents"])
        if tokens not in self.stories:  # debates share stories, and a story takes 30,000 characters
            self.stories[tokens] = Story(body["title"], *join(tokens))
        return self.stories[tokens]

    def _rounds(self, name: str, rounds: Sequence[Mapping[str, Any]], story: Story) -> Iterator[Round]:
        for entry in rounds:
            ((kind, body),) = entry.items()
            self.counts[kind] += 1
            if kind == "JudgeFeedback":
                yield Round("belief", belief=self._belief(body, story))
            elif kind in _KINDS:
                said = [self._speech(name, int(k), s, story) for k, s in sorted(body["speeches"].items())]
                yield Round(_KINDS[kind], tuple(said))  # type: ignore[arg-type]

    def _speech(self, name: str, side: int, body: Mapping[str, Any], story: Story) -> Speech:
        return Speech(side, body["speaker"], tuple(self._part(name, p, story) for p in body["content"]))

    def _part(self, name: str, body: Mapping[str, Any], story: Story) -> Part:
        if "Text" in body:
            return Part(self._masked(body["Text"]["text"], story))
        raw, last = tuple(body["Quote"]["span"]), len(story.tokens)
        start, end = max(0, min(raw[0], last - 1)), min(raw[1], last)
        self.counts["quotes"] += 1
        if (start, end) != raw:
            self.counts["quotes out of range"] += 1
            self.remarks.append(
                f"{name}: a quote of the tokens {raw[0]} to {raw[1]} reaches beyond its story of {last:,} and was cut to it"
            )
        first, after = story.characters(start, max(end, start + 1))
        return Part(story.text[first:after], (start, max(end, start + 1)), raw if (start, end) != raw else None)

    def _belief(self, body: Mapping[str, Any], story: Story) -> Belief:
        given = [float(p) for p in body["distribution"]]
        if not all(0 <= p <= 1 for p in given) or abs(sum(given) - 1) > 1e-6:
            raise ValueError(f"the belief {given} is not a distribution")
        probs = tuple(min(1 - LOWEST, max(LOWEST, p)) for p in given)
        self.counts["beliefs clipped"] += any(abs(a - b) > 1e-9 for a, b in zip(probs, given, strict=True))
        words = "".join(p["Text"]["text"] for p in body["feedback"]["content"] if "Text" in p)
        return Belief(body["feedback"]["speaker"], probs, self._masked(words, story).strip(), body["endDebate"])

    def _offline(self, rounds: Sequence[Mapping[str, Any]], story: Story) -> Iterator[Offline]:
        for entry in rounds:
            for judge, body in (entry.get("OfflineJudgments") or {"judgments": {}})["judgments"].items():
                self.counts["offline judgments"] += 1
                yield Offline(judge, body["mode"], tuple(self._belief(b, story) for b in body["judgments"]))

    def _masked(self, text: str, story: Story) -> str:
        """The text without people's names; a part of a name stays where it is also a word of the story."""
        for name in self.names:
            for part in (name, *re.findall(r"\w{3,}", name)):
                pattern = re.compile(rf"\b{re.escape(part)}\b")
                if part in text and pattern.search(text) and (part == name or not pattern.search(story.text)):
                    text, found = pattern.subn("[name]", text)
                    self.counts["names replaced"] += found
        return text

    def counted(self, debates: Sequence[Debate]) -> dict[str, int]:
        """How many there are of each thing."""
        return {
            "debates": len(debates),
            "judge feedbacks": self.counts["JudgeFeedback"],
            "sequential rounds": self.counts["SequentialSpeeches"],
            "simultaneous rounds": self.counts["SimultaneousSpeeches"],
            "offline rounds": self.counts["OfflineJudgments"],
            "offline judgments": self.counts["offline judgments"],
            "quotes": self.counts["quotes"],
            "quotes out of range": self.counts["quotes out of range"],
            "ended by a live judge": sum(d.final is not None for d in debates),
            "beliefs clipped": self.counts["beliefs clipped"],
            "names replaced": self.counts["names replaced"],
        }

    def notes(self) -> Iterator[str]:
        """What was done to the corpus, in sentences."""
        yield from self.remarks
        clipped = self.counts["beliefs clipped"]
        yield (
            f"Beliefs are clipped to [{LOWEST:g}, {1 - LOWEST:g}], so that no log score is infinite: {clipped} were beyond."
        )
        yield (
            f"Surveys and scratchpads are left out, since they name {len(self.names)} persons; {self.counts['names replaced']} "
            "mentions of such names in speeches and comments were replaced by [name]."
        )


def debates(argument: str = "", *, setting: str = "") -> Pool:
    """Recorded debates to be judged again: `nyu:FOLDER`, or `nyu:FOLDER:setting=human-debate`.

    The speeches are in `info["speeches"]`, for the protocol `recorded`. Debates without a speech are left out.
    """
    corpus = nyu(argument)
    if setting and setting not in SETTINGS:
        raise TaskError(f"nyu has no setting {setting!r}; type setting={', setting='.join(SETTINGS)}")
    kept = [d for d in corpus.debates if d.speeches and setting in ("", d.setting)]
    items = tuple(replace(item(d), info={**item(d).info, "speeches": _listed(d)}) for d in kept)
    splits = {d.setting for d in kept}
    key = {j.item: int(j.verdict.answer or 0) for s in splits for j in _truth(corpus, s, kept)}
    left = len(corpus.debates) - len(kept)
    return Pool(
        corpus.name, items, key, notes=(*corpus.notes, f"{left} debates left out: no speech, or another setting.")
    )


def _truth(corpus: Corpus, setting: str, kept: Sequence[Debate]) -> list[Judgment]:
    items = [i for i in corpus.task.items(setting) if i.id in {d.id for d in kept}]
    return corpus.task.truth(setting, "the answers move into the pool's key")(items)


def _listed(debate: Debate) -> list[dict[str, Any]]:
    rounds = [r for r in debate.rounds if r.speeches]
    return [
        {
            "round": number,
            "side": speech.side,
            "text": speech.text,
            "alone": len(debate.sides) == 1 or spoken.kind == "simultaneous",
        }
        for number, spoken in enumerate(rounds, start=1)
        for speech in spoken.speeches
    ]
