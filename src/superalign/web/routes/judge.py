"""`/judge`: the desks, and questions to answer, skip and undo.

A GET never changes anything, and to show a person a question keeps it for that person; so questions are given out by
the form "Begin" and after each answer, and a question's own address only looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from superalign.people import forms
from superalign.people.desk import Desk, Gone, desks
from superalign.people.forms import FormError
from superalign.people.questions import Question
from superalign.people.queue import LEASE, Entry, Queue, Totals
from superalign.report.hearing import Hearing, hearing
from superalign.report.view import View, absolute
from superalign.report.views import judge as views
from superalign.report.views.feedback import Graded, feedback, score
from superalign.report.views.judge import Filled, Kind, Sitting
from superalign.web.page import Fields, NotHere, act, back, first, look, person, respond, twin
from superalign.web.routes.live import stream
from superalign.web.safety import csrf
from superalign.web.site import Site

Show = Callable[[Request], "View | Response"]
LOOKED_BACK = 20
"""How many of a person's answers are looked at for earlier rounds of the same game."""

SHOWN = 20
"""Graded judgments that are shown one by one."""

ANSWERED = "You have answered this question", "Your answer is kept."
ELSEWHERE = (
    "This question has its answer",
    "Somebody else answered it in the meantime, or the run that asked it went on without it. Nothing of yours is lost.",
)
HELD = (
    "Somebody else is at this question",
    f"Each question is kept for the person it was shown to for {LEASE / 60:.0f} minutes. There are others for you.",
)


def routes(site: Site) -> list[BaseRoute]:
    """The routes of judging. Addresses under a desk that are not questions come first."""
    room = Room(site)
    return [
        *look("/judge", room.desks),
        *_named("/judge/{desk}", room.start),
        act("/judge/{desk}/next", room.next),
        act("/judge/{desk}/undo", room.undo),
        *_named("/judge/{desk}/waiting", room.waiting),
        *_named("/judge/{desk}/feedback", room.feedback),
        Route("/events/desk/{desk}", room.follow, methods=["GET"]),
        act("/judge/{desk}/{call}/answer", room.answer),
        act("/judge/{desk}/{call}/skip", room.skip),
        *_named("/judge/{desk}/{call}", room.question),
    ]


@dataclass(frozen=True)
class Room:
    """What the routes do, for one site."""

    site: Site

    def desks(self, request: Request) -> View:
        """All desks."""
        found = {d.name: kinds(d, person(request)) for d in self.site.desks()}
        return views.desks(found, csrf(request), absolute)

    def start(self, request: Request) -> View:
        """One desk, before anything is shown."""
        desk = find(self.site, request)
        found = kinds(desk, person(request))
        return views.start(sitting(request, desk, _only(request)), found, absolute)

    def question(self, request: Request) -> View:
        """A question with its form, if this person may answer it."""
        desk, who, call = find(self.site, request), person(request), request.path_params["call"]
        at = sitting(request, desk, _only(request))
        asked = given_to(desk, who, call)
        why, before = desk.ask(lambda queue: _standing(queue, queue.entries[call], who, time.time()))
        if why:
            return views.notice(at, why, absolute)
        filled = Filled(forms.fields_of(before) if before else {})
        return views.question(at, asked, absolute, filled, earlier(desk, who, asked))

    def waiting(self, request: Request) -> View:
        """Nothing to answer now, or the next question has come."""
        desk, who, only = find(self.site, request), person(request), _only(request)
        entry, seen = desk.ask(lambda queue: (coming(queue, who, only), news(queue, who, only)))
        skipped = entry is not None and who in entry.skipped
        follow = absolute("events", "desk", desk.name, only=only, seen=seen)
        at = sitting(request, desk, only)
        return views.waiting(at, entry is not None and not skipped, skipped, follow, absolute)

    def follow(self, request: Request) -> Response:
        """The stream that a page follows which waits for the next question. It begins with what that page has seen: a
        question that came before the page listened is news, too."""
        desk, who, only = find(self.site, request), person(request), _only(request)
        seen = [request.query_params.get("seen", "")]

        def look_() -> str:
            return seen.pop() if seen else str(desk.ask(lambda queue: news(queue, who, only)))

        return stream(look_, lambda _: False)

    def feedback(self, request: Request) -> View:
        """How well this person judged, as far as the truth is known."""
        desk, who = find(self.site, request), person(request)
        mine, graded = desk.ask(lambda queue: (len(queue.last.get(who, ())), _graded(queue, who)))
        calls = tuple(call for call, _ in graded)
        of = [one for _, one in graded]
        found = self.site.library.kept(("score", desk.name, who, calls), lambda: score(of)) if of else None
        newest = [replace(one, choices=desk.question(call).choices) for call, one in graded[: -SHOWN - 1 : -1]]
        return feedback(desk.name, mine, found, newest, len(of), absolute)

    def next(self, request: Request, fields: Fields) -> Response:
        """Give out a question."""
        desk, only = find(self.site, request), first(fields, "only")
        return nameless(request) or self._onward(desk, person(request), only)

    def answer(self, request: Request, fields: Fields) -> Response:
        """Keep an answer and go on; where it cannot be read, the form again with what is wrong."""
        desk, who, call, only = *self._asked(request), first(fields, "only")
        if (to_entrance := nameless(request)) is not None:
            return to_entrance
        at = sitting(request, desk, only)
        try:
            asked = given_to(desk, who, call)
            desk.answer(who, call, forms.read(fields, asked))
        except FormError as error:
            filled = Filled(fields, str(error))
            return respond(request, views.question(at, asked, absolute, filled, earlier(desk, who, asked)), 422)
        except Gone as error:
            return respond(request, views.notice(at, ("This answer was not kept", f"{error}."), absolute), 409)
        return self._onward(desk, who, only, kept=1)

    def skip(self, request: Request, fields: Fields) -> Response:
        """Leave a question to others and go on."""
        desk, who, call, only = *self._asked(request), first(fields, "only")
        if (to_entrance := nameless(request)) is not None:
            return to_entrance
        desk.skip(who, call, first(fields, "why")[:500])
        entry = desk.ask(lambda queue: coming(queue, who, only))
        if entry is None or who in entry.skipped:
            return back(_address(desk, "waiting", only=only))
        return self._onward(desk, who, only)

    def undo(self, request: Request, fields: Fields) -> Response:
        """Take the last answer back and show its question, filled in."""
        desk, only = find(self.site, request), first(fields, "only")
        if (to_entrance := nameless(request)) is not None:
            return to_entrance
        try:
            return back(_address(desk, desk.undo(person(request)), only=only))
        except Gone as error:
            at = sitting(request, desk, only)
            return respond(request, views.notice(at, ("Nothing to undo", f"{error}."), absolute), 409)

    def _asked(self, request: Request) -> tuple[Desk, str, str]:
        return find(self.site, request), person(request), request.path_params["call"]

    def _onward(self, desk: Desk, who: str, only: str, **query: object) -> Response:
        """To the next question, kept for this person from now on; to the page that waits where there is none."""
        question = desk.next(who, only)
        return back(_address(desk, question.call if question else "waiting", only=only, **query))


def find(site: Site, request: Request) -> Desk:
    """The desk of the address. Raises NotHere where nothing was ever asked at it."""
    name = request.path_params["desk"]
    if name not in desks(site.store):
        raise NotHere(f"no desk {name!r} in this store")
    return site.desk(name)


def given_to(desk: Desk, who: str, call: str) -> Question:
    """A question of the desk, if it is for this person. Raises Gone where there is none."""
    asked = desk.question(call)
    if desk.ask(lambda queue: queue.entries[call].only) not in ("", who):
        raise Gone(f"no question {call[:12]!r} at the desk {desk.name!r}; go back to the list")
    return asked


def nameless(request: Request) -> Response | None:
    """To the entrance, for whoever has not said who they are; from there back to what was looked at, or to the desk."""
    if person(request):
        return None
    then = request.url.path if request.method == "GET" else absolute("judge", request.path_params["desk"])
    return back(f"/enter?{urlencode({'then': then})}")


def coming(queue: Queue, who: str, only: str) -> Entry | None:
    """The question that a person would be shown now. Pages that wait ask often, so nothing is searched in vain: with
    50,000 questions of other forms that took 60 ms."""
    waiting = queue.totals.get(only, Totals()).waiting
    return queue.next(who, time.time(), only) if waiting else None


def news(queue: Queue, who: str, only: str) -> str:
    """What changes when a page that waits should be shown anew."""
    entry = coming(queue, who, only)
    return f"{entry.call[:12] if entry is not None else ''}-{len(queue.waiting)}-{queue.answered}"


def sitting(request: Request, desk: Desk, only: str = "") -> Sitting:
    """How far the desk is, for this person."""
    who = person(request)

    def look_(queue: Queue) -> tuple[int, int, int, str]:
        mine, totals = queue.last.get(who, []), queue.totals.get(only, Totals())
        undo = next((queue.entries[c] for c in reversed(mine) if not queue.entries[c].taken), None)
        title = (undo.title or "your answer") if undo is not None else ""
        # quality control counts as a question once it is answered, so that nothing tells it apart
        checks = sum(1 for e in queue.checks.get(who, {}).values() if e.given and only in ("", e.form))
        return totals.questions + checks, totals.waiting, len(mine), title

    questions, waiting, mine, undo = desk.ask(look_)
    return Sitting(desk.name, csrf(request), questions, waiting, mine, undo, only)


def kinds(desk: Desk, who: str) -> list[Kind]:
    """How far each form of a desk is."""

    def look_(queue: Queue) -> list[Kind]:
        return [
            Kind(
                form,
                t.waiting,
                t.questions - t.waiting,
                t.answers,
                sum(n > 0 for n in t.people.values()),
                t.people[who],
            )
            for form in views.KINDS
            if (t := queue.totals.get(form)) is not None and t.questions
        ]

    found: list[Kind] = desk.ask(look_)
    return found


def earlier(desk: Desk, who: str, asked: Question) -> list[tuple[int, float]]:
    """What a person held of the first answer after earlier rounds of the same game: the round, and the probability."""
    heard = hearing(asked)
    if not heard.rounds:
        return []

    def look_(queue: Queue) -> list[tuple[str, Any]]:
        entries = [queue.entries[c] for c in queue.last.get(who, [])[-LOOKED_BACK:]]
        return [(e.call, e.given[who].answer) for e in entries if _before(e, asked)]

    found = []
    for call, answer in desk.ask(look_):
        then = hearing(desk.question(call))
        if then.rounds and _said(then) == _said(heard)[: len(_said(then))]:
            found.append((then.rounds[-1].number, float(answer["probs"][0])))
    return found


def _graded(queue: Queue, who: str) -> list[tuple[str, Graded]]:
    """A person's judgments whose truth is known, oldest first, by call."""
    found = []
    for call in queue.last.get(who, ()):
        entry = queue.entries[call]
        answer = entry.given[who].answer
        if entry.truth is not None and "probs" in answer:
            about = entry.item or entry.thread
            found.append((call, Graded(about, entry.title, tuple(answer["probs"]), answer["choice"], entry.truth)))
    return found


def _before(entry: Entry, asked: Question) -> bool:
    return entry.thread == asked.thread and entry.form == "belief" and entry.call != asked.call


def _said(heard: Hearing) -> list[Any]:
    return [(r.number, s) for r in heard.rounds for s in r.said]


def _standing(queue: Queue, entry: Entry, who: str, now: float) -> tuple[tuple[str, str] | None, Any]:
    """Why a person may not answer a question now, None where it may; and what that person took back."""
    if who in entry.given:
        return ANSWERED, None
    if not entry.open:
        return ELSEWHERE, None
    held = now - entry.shown.get(who, -LEASE) < LEASE
    return None if held or queue.free(entry, who, now) else HELD, entry.undone.get(who)


def _named(path: str, show: Show) -> list[BaseRoute]:
    """The routes of a view that is shown to people who have said who they are, and its JSON twin."""

    def html(request: Request) -> Response:
        found = nameless(request) or show(request)
        return found if isinstance(found, Response) else respond(request, found)

    def data(request: Request) -> Response:
        if not person(request):
            return twin({"error": "say who you are first: /enter"}, 401)
        found = show(request)
        return found if isinstance(found, Response) else twin(found.data)

    return [Route(f"{path}.json", data, methods=["GET"]), Route(path, html, methods=["GET"])]


def _only(request: Request) -> str:
    return request.query_params.get("only", "")


def _address(desk: Desk, *parts: str, **query: object) -> str:
    return absolute("judge", desk.name, *parts, **query)
