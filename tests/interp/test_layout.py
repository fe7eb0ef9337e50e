"""How units are laid out: levels, lines, marks, and prompts as ids that mean the same wherever they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import ModelError
from superalign.interp.layout import (
    Spelling,
    block,
    bright,
    digits_of,
    escaped,
    highlighted,
    levels,
    marks_for,
    unescaped,
)


def test_levels_round_down_or_up() -> None:
    values = np.array([-1.0, 0.0, 0.05, 0.55, 1.0, 2.0])
    assert levels(values, 1.0).tolist() == [0, 0, 0, 5, 10, 10]
    assert levels(values, 1.0, "ceil").tolist() == [0, 0, 1, 6, 10, 10]
    assert levels(values, 0.0).tolist() == [0] * 6


@given(st.text())
def test_an_escaped_text_is_one_line_and_comes_back(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert len(escaped(text).splitlines()) <= 1
    assert "\t" not in escaped(text)


def test_a_record_is_a_token_a_line() -> None:
    assert block([" a", "\n", "\t"], [0, 3, 10]) == "<start>\n a\t0\n\\n\t3\n\\t\t10\n<end>"
    assert block([" a", " b"], [0, 3], zeros=False) == "<start>\n b\t3\n<end>"


@given(
    st.lists(
        st.tuples(st.text(st.sampled_from("ab <>[]{}«»⟦⟧⟨⟩【】❮❯‹›⟪⟫「」"), max_size=4), st.booleans()), max_size=12
    )
)
def test_marks_never_occur_in_the_text(parts: list[tuple[str, bool]]) -> None:
    tokens, marked = [t for t, _ in parts], [on for _, on in parts]
    text = "".join(tokens)
    marks = marks_for(text)
    shown = highlighted(tokens, marked)
    assert not set(marks.before + marks.after) & set(text)
    assert shown.replace(marks.before, "").replace(marks.after, "") == text
    runs = sum(on and not before for on, before in zip(marked, [False, *marked], strict=False))
    assert shown.count(marks.before) == shown.count(marks.after) == runs


def test_a_silent_window_has_nothing_to_mark() -> None:
    assert bright(np.zeros(4, np.float32)).tolist() == [False] * 4
    assert bright(np.array([0.0, 0.2, 0.3, 1.0])).tolist() == [False, False, True, True]


def byte_level(*, prefix: bool = False) -> Any:
    """A byte-level BPE with merges that reach over tabs and line breaks, as GPT-2's reach over line breaks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("ĉ", "Ċ"), ("Ċ", "Ċ"), ("1", "0"), ("a", "t"), ("ĉ", "u"), ("a", "ĉ"), ("Ġ", "a")]
    vocabulary = {c: i for i, c in enumerate([*letters, *("".join(m) for m in merges), "<s>"])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("<s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


PIECES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["\t", "\n", "\n\n", "\t\n", " a", "a", "at", "unknown", "10", "é", "🙂", "猫", "\u200b", " ", "\\n"]
    ),
)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "with a space before every text"])
def spelling(request: pytest.FixtureRequest) -> Spelling:
    return Spelling(byte_level(prefix=request.param))


@given(st.lists(PIECES, max_size=8))
def test_prompts_come_back_from_their_ids(spelling: Spelling, pieces: list[str]) -> None:
    """No piece merges with its neighbours, and none gains or loses a space."""
    pieces = [p.encode("utf-8", "ignore").decode() for p in pieces]
    ids = [i for piece in pieces for i in spelling.ids(piece)]
    assert spelling.text(ids) == "".join(pieces)
    assert all(spelling.text(spelling.ids(piece)) == piece for piece in pieces)


def test_a_tab_is_one_place_whatever_stands_around_it(spelling: Spelling) -> None:
    """Encoded as a whole the tab would merge with the token before it or the placeholder after it."""
    tab = spelling.one("\t")
    assert tab is not None
    merged = spelling._tokenizer("a\tunknown", add_special_tokens=False)["input_ids"]
    assert tab not in merged
    assert [*spelling.ids("a"), tab, *spelling.ids("unknown")].count(tab) == 1


def test_ten_is_left_out_where_it_is_not_one_token() -> None:
    spelling = Spelling(byte_level())
    assert len(digits_of(spelling)) == 11
    vocabulary = spelling._tokenizer.get_vocab()
    assert digits_of(spelling)[10] == vocabulary["10"]


def test_a_tokenizer_without_digits_says_so() -> None:
    class Split:
        """A tokenizer that writes every digit as two tokens."""

        bos_token_id = None

        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [b for c in text.encode() for b in (c // 16, 16 + c % 16)]}

        def decode(self, ids: list[int], **_: Any) -> str:
            pairs = zip(ids[::2], ids[1::2], strict=True)
            return bytes(16 * a + b - 16 for a, b in pairs).decode(errors="replace")

    with pytest.raises(ModelError, match=r"no single token for 0, 1, 2.*token by token"):
        digits_of(Spelling(Split()))
