"""Judging: the desks, a desk before one begins, a question with its form, and waiting for the next one.

A question page shows the fields of the question and nothing else: no source beyond what the message holds, no name of
a model, nothing of what others answered, nor of the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from superalign.people import forms
from superalign.people.questions import Question, to_row
from superalign.protocols.room import letter
from superalign.report.hearing import Hearing, hearing
from superalign.report.view import Link, View, fragment
from superalign.report.views import label

OWN_BUTTONS = ("choice",)
"""Forms whose fields are the buttons that send them."""
HEARD = ("belief", "choice", "text")
"""Forms under a message that is laid out here; the others lay their question out themselves."""
SHOWN = ("call", "form", "role", "prompt", "messages", "choices", "answers", "parts")
"""What the JSON twin tells of a question: what its page shows."""
SCRIPTS = ("judge.js", "label.js")

KINDS: Mapping[str, str] = {
    "belief": "which answer is right",
    "choice": "a decision, such as to hear more or to end",
    "text": "something to write, such as a question",
    "rank": "which response is better",
    "critique": "whether a critique is right",
    "explanation": "how well an explanation fits",
}
"""What each form asks for, in words."""

DECIDED = {
    "arguments": "the arguments",
    "quotes": "the quotes",
    "knowledge": "what I knew before",
    "guess": "nothing, I guessed",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about the debate, kept with the answer as `survey`: its name, its words, what can be said."""

    name: str
    words: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One form at a desk: questions that wait and that have all their answers, answers and people, answers of mine."""

    form: str
    waiting: int
    done: int
    answers: int
    people: int
    mine: int


@dataclass(frozen=True, slots=True)
class Sitting:
    """A person at a desk: how many questions there are, how many wait, how many the person answered, the first line of
    the answer that can be taken back. `only` is the form to which the person keeps, empty for all."""

    desk: str
    csrf: str
    questions: int
    waiting: int
    mine: int
    undo: str = ""
    only: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {"desk": self.desk, "questions": self.questions, "waiting": self.waiting, "mine": self.mine}


@dataclass(frozen=True, slots=True)
class Filled:
    """How a form is filled in: the fields as they were, and what was wrong with them."""

    given: Mapping[str, Sequence[str]]
    fault: str = ""


def survey(heard: Hearing) -> list[Ask]:
    """The questions at the end of a debate, none where nobody spoke. Their names, in `survey` of an answer: `decided`,
    `clear-a` and so on by side (`clear` for one speaker; 1 is not at all, 5 very), `misled`, `knew`. All are optional.
    """
    sides = sorted({(s.side, s.by) for r in heard.rounds for s in r.said if s.side is not None})
    speakers = {letter(side).lower(): by for side, by in sides}
    alone = next((s.by for r in heard.rounds for s in r.said if s.side is None), "")
    if not speakers and not alone:
        return []
    steps = {str(k): {1: "1, not at all", 5: "5, very"}.get(k, str(k)) for k in range(1, 6)}
    clear = [Ask(f"clear-{k}", f"How clear was {by}?", steps) for k, by in speakers.items()]
    misled = {**speakers, "both": "both", "nobody": "nobody"} if len(speakers) == 2 else {"yes": "yes", "no": "no"}
    return [
        Ask("decided", "What decided it?", DECIDED),
        *(clear or [Ask("clear", f"How clear was the {alone.lower()}?", steps)]),
        Ask("misled", "Did anyone mislead you?", misled),
        Ask("knew", "Did you know the answer before?", {"yes": "yes", "no": "no"}),
    ]


def keys(choices: Sequence[str]) -> list[str]:
    """A key for each choice: its first letter where that tells them apart and is free, else its number."""
    first = [c[:1].lower() for c in choices]
    plain = len(set(first)) == len(first) and all(c.isascii() and c.isalpha() and c not in "stu" for c in first)
    return first if plain else [str(k + 1) for k in range(len(choices))]


def desks(found: Mapping[str, Sequence[Kind]], csrf: str, link: Link) -> View:
    """All desks at which anything was asked."""
    body = fragment("judge_desks.html", desks=found, kinds=KINDS, csrf=csrf, link=link)
    return View("Judge", body, {"desks": {name: list(map(asdict, of)) for name, of in found.items()}}, "judge")


def start(at: Sitting, found: Sequence[Kind], link: Link) -> View:
    """A desk before one begins: what waits, what is kept, the keys."""
    body = fragment("judge_start.html", at=at, kinds=KINDS, found=found, link=link)
    return View(f"Desk {at.desk}", body, {**at.data, "forms": list(map(asdict, found))}, "judge")


def question(
    at: Sitting, asked: Question, link: Link, filled: Filled, beliefs: Sequence[tuple[int, float]] = ()
) -> View:
    """A question and its form. `beliefs` are what the person held of the first answer before, by round."""
    heard = hearing(asked) if asked.form in HEARD else None
    asks = survey(heard) if heard and asked.form == "belief" else []
    title, rest = _headed(heard.prompt or asked.first_line if heard else asked.first_line)
    context = {
        "at": at, "question": asked, "hearing": heard, "title": title, "rest": rest, "link": link,
        "beliefs": beliefs, "survey": asks, "told": any(f"survey-{a.name}" in filled.given for a in asks),
        "others": [m for m in asked.messages if heard is None or m.content != heard.whole],
        "own_buttons": asked.form in OWN_BUTTONS, "keys": keys(asked.choices), "before": _before(asked, filled),
        **_fields(asked, filled),
    }  # fmt: skip
    data = {**at.data, "question": {name: value for name, value in to_row(asked).items() if name in SHOWN}}
    return View(title, fragment("judge.html", **context), data, "judge", SCRIPTS)


def waiting(at: Sitting, ready: bool, skipped: bool, follow: str, link: Link) -> View:
    """What a person sees for whom there is no question now; `ready` where the next one has come, `skipped` where only
    questions are left that the person skipped. `follow` is the address of the stream that tells of the next one."""
    body = fragment("judge_wait.html", at=at, ready=ready, skipped=skipped, follow=follow, link=link)
    title = "The next question is here" if ready else "Nothing waits for you now"
    return View(title, body, {**at.data, "ready": ready, "skipped": skipped}, "judge", SCRIPTS)


def notice(at: Sitting, why: tuple[str, str], link: Link) -> View:
    """A question that is not there for this person any more: a title and a sentence that say why, and the way on."""
    title, message = why
    body = fragment("judge_notice.html", at=at, title=title, message=message, link=link)
    return View(title, body, {**at.data, "message": message}, "judge", SCRIPTS)


def _before(asked: Question, filled: Filled) -> str:
    """The choice that the fields hold."""
    place = next(iter(filled.given.get("choice", ())), "")
    return asked.choices[int(place)] if place.isdecimal() and int(place) < len(asked.choices) else ""


def _headed(text: str) -> tuple[str, str]:
    """A question's first line as a heading, and the rest of it."""
    first, _, rest = text.strip().partition("\n")
    return first or "A question", rest.strip()


def _fields(asked: Question, filled: Filled) -> dict[str, Any]:
    """What every form sees; `site/judge.html` says what it is."""
    given = filled.given
    return {
        "given": given,
        "fault": filled.fault,
        "was": lambda name: next(iter(given.get(name, ())), ""),
        "had": lambda name, value: str(value) in given.get(name, ()),
        "letter": letter,
        "flags": forms.FLAGS,
        "scale": range(forms.WORST, forms.BEST + 1),
        "severities": forms.SEVERITIES,
        "claims": forms.CLAIMS,
        "longest": forms.LONGEST,
        **label.context(asked),
    }
