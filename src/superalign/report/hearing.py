"""What a judge reads, laid out: a message made from a template, cut into question, answers, rounds of speeches, the rest.

Only the tags that the engine alone writes are read (`protocols.speech`): a speech that types one has it escaped. The
item's own text, its question and its answers, is cut out first and word for word, so tags in it mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from superalign.people.questions import Question
from superalign.protocols.floor import SPEECHES
from superalign.protocols.room import listed
from superalign.report.games.script import Piece

_QUOTE = re.compile(r"<(verified|near|unverified)>(.*?)</\1>", re.DOTALL)
_SOURCE = re.compile(r"<text>\n(.*?)\n</text>", re.DOTALL)
_RUN = re.compile(r"<executed>\n(.*?)\n</executed>", re.DOTALL)
_SIDE = re.compile(r" ([A-Z])$")
_REPLY = re.compile(r" *\b(?:Reply|Answer) with (?:its|the|one) letter(?: only| and nothing else)?\.")
_LABEL = 40
"""Characters of a line that only names what follows it, such as `Answers:`."""
_ASKED = 300


@dataclass(frozen=True, slots=True)
class Said:
    """A speech, or a judge's own question. `side` is the place of the answer argued for, None where there is none."""

    by: str
    side: int | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """What was said in one round."""

    number: int
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """Text between the parts. `kind` is `text`, `source` (a text that the reader is given) or `executed`."""

    kind: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Hearing:
    """A message as it is laid out: instructions, question, answers, passages before the first speech, rounds, passages
    after the last, and what is asked in the end. `whole` is the message as it was sent."""

    instructions: str
    prompt: str
    answers: tuple[str, ...]
    before: tuple[Passage, ...]
    rounds: tuple[Round, ...]
    after: tuple[Passage, ...]
    asked: str
    whole: str

    @property
    def paired(self) -> bool:
        """Whether exactly two sides speak, so that they stand side by side."""
        return {s.side for r in self.rounds for s in r.said if s.side is not None} == {0, 1}

    @property
    def statuses(self) -> tuple[str, ...]:
        """How the quotes that stand in it were found, each once."""
        spoken = [p for r in self.rounds for s in r.said for p in s.pieces]
        found = {p.status for p in (*spoken, *(p for part in (*self.before, *self.after) for p in part.pieces))}
        return tuple(s for s in ("verified", "near", "unverified") if s in found)


def hearing(question: Question) -> Hearing:
    """The first user's message of a question, laid out."""
    whole = next((m.content for m in question.messages if m.role == "user"), "")
    start, end = _place(whole, question.prompt)
    head, answers, tail = _cut(whole[end:], question.answers)
    spoken = list(SPEECHES.finditer(tail))
    first, last = (spoken[0].start(), spoken[-1].end()) if spoken else (len(tail), len(tail))
    opening, closing = tail[:first], tail[last:]
    if question.choices != question.answers:
        ending = closing if spoken else opening
        above, _, below = _cut(ending, question.choices)
        opening, closing = (opening, above + below) if spoken else (above + below, closing)
    asked, before = _asked([*_passages(head), *_passages(opening)], ends=not spoken)
    said, after = _asked(list(_passages(closing)), ends=True)
    return Hearing(
        _unlabelled(whole[:start]),
        whole[start:end],
        question.answers if answers else (),
        tuple(before),
        tuple(_rounds(spoken, len(question.answers))),
        tuple(after),
        " ".join(filter(None, (asked, said))),
        whole,
    )


def pieces(text: str) -> tuple[Piece, ...]:
    """A text with its quotes apart."""
    found, place = [], 0
    for match in _QUOTE.finditer(text):
        if match[2].strip(".… "):  # instructions speak of <verified>...</verified>, which quotes nothing
            found += [Piece(text[place : match.start()]), Piece(match[2], match[1])]
            place = match.end()
    return tuple(p for p in (*found, Piece(text[place:])) if p.text)


def _place(text: str, prompt: str) -> tuple[int, int]:
    """Where the question stands, on lines of its own; at the very beginning, and empty, where it does not."""
    found = re.search(rf"(?:^|(?<=\n)|(?<=: )){re.escape(prompt)}(?=\n|$)", text) if prompt else None
    return found.span() if found else (0, 0)


def _cut(text: str, answers: Sequence[str]) -> tuple[str, str, str]:
    """What stands before a list of answers, the list, and what stands after it; all after where it is not there, or
    only in somebody's speech."""
    before, found, after = text.partition(listed(answers)) if answers else (text, "", "")
    return (before, found, after) if found and not SPEECHES.search(before) else ("", "", text)


def _rounds(spoken: Sequence[re.Match[str]], answers: int) -> Iterator[Round]:
    for number, group in groupby(sorted(spoken, key=lambda m: int(m[2])), key=lambda m: int(m[2])):
        yield Round(number, tuple(Said(m[1], _side(m[1], answers), pieces(m[3])) for m in group))


def _side(name: str, answers: int) -> int | None:
    found = _SIDE.search(name)
    side = ord(found[1]) - ord("A") if found else answers
    return side if side < answers else None


def _passages(text: str) -> Iterator[Passage]:
    """The passages of a text that is neither question, nor answers, nor speeches."""
    place = 0
    found = sorted([*_SOURCE.finditer(text), *_RUN.finditer(text)], key=lambda m: m.start())
    for match in found:
        if match.start() < place:
            continue
        yield from _plain(text[place : match.start()])
        kind = "source" if match.re is _SOURCE else "executed"
        yield Passage(kind, (Piece(match[1]),))
        place = match.end()
    yield from _plain(text[place:])


def _plain(text: str) -> Iterator[Passage]:
    kept = _unlabelled(text)
    if kept:
        yield Passage("text", pieces(kept))


def _unlabelled(text: str) -> str:
    """A text without the line at its end that only names what follows."""
    text = text.strip()
    body, _, line = text.rpartition("\n")
    named = line.endswith(":") and len(line) <= _LABEL and (not body or body.endswith("\n"))
    return body.strip() if named else text


def _asked(passages: list[Passage], ends: bool) -> tuple[str, list[Passage]]:
    """What is asked: short lines at the end, without how to reply to it; and the passages that are something else."""
    asked, kept = [], []
    for passage in passages:
        line = "".join(p.text for p in passage.pieces)
        bare = "\n".join(filter(None, map(str.strip, _REPLY.sub("", line).split("\n"))))
        short = passage.kind == "text" and "\n" not in bare and len(bare) <= _ASKED and len(passage.pieces) <= 1
        if short and (not bare or bare.endswith("?") or (ends and passage is passages[-1])):
            asked.append(bare)
        else:
            kept.append(passage)
    return " ".join(filter(None, asked)), kept
