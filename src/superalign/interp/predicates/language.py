"""The text form of programs: `parse` reads what `render` writes, and gives the same program.

    program  = and-part {"or" and-part}          and-part = factor {"and" factor}
    factor   = "not" factor | "(" program ")" | atom
    atom     = ("token" | "previous" | "within" n | "before") test | "pair in {" {string string ","} "}"
             | "place <" n | "inside quotes" | "inside brackets" [n] | "repeated"
    test     = "in {" string {"," string} "}" | ("starts" | "ends" | "stem" | "like") string | "is" class

Strings are JSON strings in ASCII, so a program survives every file and terminal. A program may come from a model or a
stranger: its length and depth are bounded, and nothing in it is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from superalign.core.errors import SpecError
from superalign.interp.predicates.atoms import (
    And,
    Inside,
    Look,
    Not,
    Or,
    Pair,
    Place,
    Program,
    Repeated,
    Where,
    both,
    either,
    negation,
)
from superalign.interp.predicates.tokens import Among, Ends, Is, Like, Starts, Stem, Test

LONGEST = 1_000_000
"""The most characters of a program."""
DEEPEST = 16
"""The most levels of parentheses and denials."""

_LEXEME = re.compile(r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>[a-z]+)|(?P<number>\d{1,9})|(?P<mark>[(){},<]))')
_LETTERS: Mapping[str, type[Starts] | type[Ends] | type[Stem]] = {"starts": Starts, "ends": Ends, "stem": Stem}


def render(program: Program) -> str:
    """The canonical text of a program."""
    match program:
        case Look(where, test, n):
            return f"{where} {n} {_test(test)}" if n else f"{where} {_test(test)}"
        case Pair(pairs):
            return "pair in {" + ", ".join(f"{json.dumps(a)} {json.dumps(b)}" for a, b in pairs) + "}"
        case Place(below):
            return f"place < {below}"
        case Inside(what, depth):
            return f"inside {what}" if depth == 1 else f"inside {what} {depth}"
        case Repeated():
            return "repeated"
        case Not(part):
            return f"not {_nested(part)}"
        case And(parts):
            return " and ".join(map(_nested, parts))
        case Or(parts):
            return " or ".join(f"({render(p)})" if isinstance(p, And) else render(p) for p in parts)
    raise SpecError(f"{program!r} is no program of the language")


def _nested(part: Program) -> str:
    return f"({render(part)})" if isinstance(part, And | Or) else render(part)


def _test(test: Test) -> str:
    match test:
        case Among(strings):
            return "in {" + ", ".join(map(json.dumps, strings)) + "}"
        case Is(name):
            return f"is {name}"
        case Like(pattern):
            return f"like {json.dumps(pattern)}"
    name = next(name for name, kind in _LETTERS.items() if isinstance(test, kind))
    return f"{name} {json.dumps(test.letters)}"


def parse(text: str) -> Program:
    """The program of a text. Raises SpecError that says where it does not fit and what would."""
    if len(text) > LONGEST:
        raise SpecError(f"a program of {len(text)} characters; {LONGEST} are allowed")
    return _Parser(text).whole()


class _Parser:
    """Reads from left to right, one lexeme ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = self.start = 0
        self.kind, self.value = "", ""
        self._step()

    def whole(self) -> Program:
        program = self._either(0)
        if self.kind != "end":
            raise self._wrong("and, or, or the end")
        return program

    def _step(self) -> None:
        found = _LEXEME.match(self.text, self.at)
        if found is not None:
            self.kind, self.value = str(found.lastgroup), found[str(found.lastgroup)]
            self.start, self.at = found.end() - len(self.value), found.end()
        else:
            self.start = len(self.text) - len(self.text[self.at :].lstrip())
            self.kind, self.value = ("unknown", self.text[self.start]) if self.start < len(self.text) else ("end", "")

    def _wrong(self, wanted: str) -> SpecError:
        there = f"{self.value[:40]!r} stands" if self.kind != "end" else "it ends"
        return SpecError(f"at character {self.start} of the program {there} where {wanted} was expected")

    def _take(self, kind: str, wanted: str = "") -> str:
        if self.kind != kind or (kind in ("word", "mark") and self.value != wanted):
            raise self._wrong(repr(wanted) if kind in ("word", "mark") else f"a {kind}")
        value = self.value
        self._step()
        return value

    def _is(self, value: str) -> bool:
        if self.kind in ("word", "mark") and self.value == value:
            self._step()
            return True
        return False

    def _either(self, depth: int) -> Program:
        parts = [self._both(depth)]
        while self._is("or"):
            parts.append(self._both(depth))
        return either(*parts)

    def _both(self, depth: int) -> Program:
        parts = [self._factor(depth)]
        while self._is("and"):
            parts.append(self._factor(depth))
        return both(*parts)

    def _factor(self, depth: int) -> Program:
        if depth > DEEPEST:
            raise SpecError(f"the program is nested more than {DEEPEST} deep; write it flatter")
        if self._is("not"):
            return negation(self._factor(depth + 1))
        if self._is("("):
            program = self._either(depth + 1)
            self._take("mark", ")")
            return program
        return self._atom()

    def _atom(self) -> Program:
        wheres: dict[str, Where] = {"token": "token", "previous": "previous", "before": "before"}
        if self.kind == "word" and self.value in wheres:
            where = wheres[self._take("word", self.value)]
            return Look(where, self._test())
        if self._is("within"):
            n = self._number()
            return Look("within", self._test(), n)
        if self._is("pair"):
            return self._pair()
        if self._is("place"):
            self._take("mark", "<")
            return Place(self._number())
        if self._is("inside"):
            return self._inside()
        if self._is("repeated"):
            return Repeated()
        raise self._wrong("token, previous, within, before, pair, place, inside, repeated, not or (")

    def _number(self) -> int:
        return int(self._take("number"))

    def _string(self) -> str:
        start, found = self.start, self._take("string")
        try:
            return str(json.loads(found))
        except ValueError as error:
            raise SpecError(f"at character {start} of the program {found[:40]} is no JSON string: {error}") from error

    def _pair(self) -> Program:
        self._take("word", "in")
        self._take("mark", "{")
        pairs = [(self._string(), self._string())]
        while self._is(","):
            pairs.append((self._string(), self._string()))
        self._take("mark", "}")
        return Pair(tuple(pairs))

    def _inside(self) -> Program:
        if self._is("quotes"):
            return Inside("quotes")
        self._take("word", "brackets")
        return Inside("brackets", self._number() if self.kind == "number" else 1)

    def _test(self) -> Test:
        if self._is("in"):
            self._take("mark", "{")
            strings = [self._string()]
            while self._is(","):
                strings.append(self._string())
            self._take("mark", "}")
            return Among(tuple(strings))
        if self._is("is"):
            if self.kind != "word":
                raise self._wrong("the name of a class of tokens")
            name = self.value
            self._step()
            return Is(name)
        if self._is("like"):
            return Like(self._string())
        for name, kind in _LETTERS.items():
            if self._is(name):
                return kind(self._string())
        raise self._wrong("in, is, like, starts, ends or stem")
