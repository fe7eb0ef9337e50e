"""The text form of programs: round trips, what is refused and where, and the English of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.interp.predicates.atoms import Inside, Look, Pair, Place, Program, Repeated, both, either, negation
from superalign.interp.predicates.english import describe, quoted
from superalign.interp.predicates.language import DEEPEST, LONGEST, parse, render
from superalign.interp.predicates.tokens import Among, Ends, Is, Like, Starts, Stem
from tests.interp.predicates.texts import programs


@given(programs)
def test_what_is_rendered_is_read_back(program: Program) -> None:
    text = render(program)
    assert text.isascii()
    assert "\n" not in text
    assert parse(text) == program
    assert render(parse(text)) == text


@given(programs)
def test_every_program_can_be_described(program: Program) -> None:
    sentence = describe(program)
    assert sentence.startswith("Active where ")
    assert sentence.endswith(".")
    assert sentence.isprintable()


@given(st.text(alphabet='token previous within before pair in place < 3 { } ( ) , " \\ inside and or not', max_size=40))
def test_any_text_is_a_program_or_a_clear_error(text: str) -> None:
    try:
        program = parse(text)
    except SpecError:
        return
    assert parse(render(program)) == program


def test_the_text_form() -> None:
    program = parse(' token in {"b" , "a"} and(previous is number or  not within 3 ends "ed")and place<4')
    assert program == both(
        Look("token", Among(("a", "b"))),
        either(Look("previous", Is("number")), negation(Look("within", Ends("ed"), 3))),
        Place(4),
    )
    assert render(program) == ('token in {"a", "b"} and place < 4 and (previous is number or not within 3 ends "ed")')
    assert parse("repeated or inside quotes and inside brackets 2") == either(
        Repeated(), both(Inside("quotes"), Inside("brackets", 2))
    )
    assert render(Pair(((" a", '"'),))) == 'pair in {" a" "\\""}'
    assert render(Look("before", Like(" [A-Z][a-z]+"))) == 'before like " [A-Z][a-z]+"'


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "at character 0 of the program it ends where token, previous, .* was expected"),
        ("token", "at character 5 of the program it ends where in, is, like, starts, ends or stem was expected"),
        ("token in {}", "at character 10 of the program '}' stands where a string was expected"),
        ('token in {"a" "b"}', "at character 14 of the program '\"b\"' stands where '}' was expected"),
        ('token in {"\\q"}', r"at character 10 of the program .* is no JSON string"),
        ("token is numeric", "no class of tokens is called 'numeric'"),
        ("token is 3", "at character 9 of the program '3' stands where the name of a class of tokens was expected"),
        ("place < x", "at character 8 of the program 'x' stands where a number was expected"),
        ("place 3", "at character 6 of the program '3' stands where '<' was expected"),
        ("repeated repeated", "at character 9 of the program 'repeated' stands where and, or, or the end was expected"),
        ("(repeated", "it ends where '\\)' was expected"),
        ("repeated; import os", "at character 8 of the program ';' stands where and, or, or the end was expected"),
        ('token like "(a+)+"', "is no pattern; write 1 to 12 of the pieces"),
        ('within 0 in {"a"}', "write within 3 in"),
        ("inside parentheses", "at character 7 of the program 'parentheses' stands where 'brackets' was expected"),
        ("(" * 40 + "repeated" + ")" * 40, f"nested more than {DEEPEST} deep; write it flatter"),
        ("not " * 5000 + "repeated", f"nested more than {DEEPEST} deep"),
        (" " * (LONGEST + 1), f"a program of {LONGEST + 1} characters; {LONGEST} are allowed"),
    ],
    ids=lambda text: text[:30],
)
def test_a_fault_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(text)


WORDS = Look("token", Among(tuple(f" w{k:02}" for k in range(20))))


@pytest.mark.parametrize(
    "program, sentence",
    [
        (Look("token", Among((" cat",))), 'the token is " cat"'),
        (negation(Look("token", Among(("a", "b")))), 'the token is not "a" or "b"'),
        (
            both(Look("token", Ends("ed")), Inside("quotes")),
            'the token ends with "ed", and it is inside quotation marks',
        ),
        (
            either(both(Look("token", Starts("re")), Place(1)), Repeated()),
            'the token has already occurred in the context, or (the token starts with "re", and it is the first token'
            " of the context)",
        ),
        (negation(either(Repeated(), Place(3))), "it is not so that (the token has already occurred in the context, or it"
         " is among the first 3 tokens of the context)"),
        (Look("within", Is("number"), 3), "one of the last 3 tokens is a number"),
        (negation(Look("within", Is("number"), 3)), "none of the last 3 tokens is a number"),
        (negation(Look("before", Stem("walk"))), 'no earlier token of the context is "walk", alone or with an ending'
         " (-s, -es, -d, -ed, -ing, -er, -ly)"),
        (negation(Look("previous", Starts("un"))), 'the previous token does not start with "un"'),
        (Look("token", Like(" [A-Z][a-z]+")), "the token is written as a space then a capital letter then small letters"),
        (Pair(((" the", " cat"),)), 'the previous token and this one are " the" " cat"'),
        (negation(Inside("brackets", 2)), "it is not inside 2 or more brackets"),
        (Look("token", Among(('"\n\u202e', "\u732b"))), 'the token is "\\"\\n\\u202e" or "\u732b"'),
        (WORDS, "the token is " + ", ".join(f'" w{k:02}"' for k in range(12)) + " or one of 8 more"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_the_english(program: Program, sentence: str) -> None:
    assert describe(program) == f"Active where {sentence}."


def test_the_heaviest_strings_are_shown_first() -> None:
    shown = describe(WORDS, lambda where, string: float(where == "token") * int(string[2:]))
    assert shown.startswith('Active where the token is " w19", " w18"')


@given(st.text())
def test_a_quoted_string_can_be_printed(text: str) -> None:
    assert quoted(text).isprintable()
