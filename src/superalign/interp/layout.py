"""How units are put before a language model: levels for activations, one token a line, marks, prompts as token ids.

Everything here is a pure function of texts and numbers. What a model sees is a rounded activation; scores never are
computed from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from superalign.core.errors import ModelError

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

TOP = 10
"""The largest level."""

SPARSE = 0.2
"""Share of non-zero levels below which they are shown a second time without the zeros."""

BRIGHT = 0.3
"""Share of a window's largest activation from which a token is marked."""

Rounding = Literal["floor", "ceil"]

_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SHORT = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_ESCAPED = re.compile(r"\\(?:([\\ntr])|u([0-9a-f]{4}))")
_LONG = {written[1]: raw for raw, written in _SHORT.items()}

_BRACKETS = ("<>", "[]", "{}", "«»", "⟦⟧", "⟨⟩", "【】", "❮❯", "‹›", "⟪⟫", "「」")


def levels(values: Floats, peak: float, rounding: Rounding = "floor") -> Ints:
    """Activations as whole numbers 0 to 10, where `peak` is 10; all 0 where `peak` is not positive.

    `floor` is the rounding of openai/automated-interpretability, `ceil` that of EleutherAI/delphi, which shows every
    positive activation as at least 1.
    """
    if peak <= 0:
        return np.zeros(len(values), np.int64)
    scaled = TOP * np.maximum(np.asarray(values, np.float64), 0) / peak
    whole = np.floor(scaled) if rounding == "floor" else np.ceil(scaled)
    found: Ints = np.clip(whole, 0, TOP).astype(np.int64)
    return found


def escaped(text: str) -> str:
    """A text on one line: line breaks, tabs, control characters and backslashes are spelled out."""
    return _UNSAFE.sub(lambda m: _SHORT.get(m[0], f"\\u{ord(m[0]):04x}"), text)


def unescaped(text: str) -> str:
    """The inverse of `escaped`."""
    return _ESCAPED.sub(lambda m: _LONG[m[1]] if m[1] else chr(int(m[2], 16)), text)


def block(tokens: Sequence[str], shown: Sequence[int] | Ints, zeros: bool = True) -> str:
    """A record: each token on a line, a tab, its level. Without `zeros` the lines of level 0 are left out."""
    lines = [f"{escaped(t)}\t{n}" for t, n in zip(tokens, shown, strict=True) if zeros or n]
    return "\n".join(["<start>", *lines, "<end>"])


def bright(values: Floats, share: float = BRIGHT) -> Any:
    """Which tokens of a window are marked: those from `share` of its largest activation on; none in a silent one."""
    peak = values.max() if len(values) else 0.0
    return (values >= share * peak) & (values > 0)


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands before and after marked tokens."""

    before: str
    after: str


def marks_for(text: str) -> Marks:
    """The first pair of marks of which no character occurs in the text, so that marks are never part of it."""
    used = set(text)
    for one, other in _brackets():
        if one not in used and other not in used:
            return Marks(one * 2, other * 2)
    raise AssertionError("a text that holds all private characters")  # pragma: no cover


def highlighted(tokens: Sequence[str], marked: Sequence[bool] | Any, marks: Marks | None = None) -> str:
    """The running text of some tokens with marks around each run of marked ones."""
    chosen = marks or marks_for("".join(tokens))
    parts = []
    for on, run in groupby(zip(tokens, marked, strict=True), key=lambda pair: bool(pair[1])):
        text = "".join(token for token, _ in run)
        parts.append(f"{chosen.before}{text}{chosen.after}" if on else text)
    return "".join(parts)


class Spelling:
    """Pieces of text as token ids that mean the same wherever they stand.

    Tokens of a prompt that is encoded as a whole merge with the tab or line break after them, and then nothing can be
    read at their place; tokenizers that put a space before every text would put one before every piece. So each piece
    is encoded behind an anchor that it does not merge with, and the anchor's ids are taken off.
    """

    _ANCHORS = ("\t", "\n", "|", "1", "a")

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._known = tokenizer, dict[str, list[int]]()
        whole, plain = list(tokenizer("a")["input_ids"]), self._ids("a")
        bos = tokenizer.bos_token_id
        self.start = [bos] if bos is not None and whole[:1] == [bos] and plain[:1] != [bos] else []
        """What begins every prompt: the start token where this tokenizer puts one, else nothing."""

    def ids(self, piece: str) -> list[int]:
        """The ids of a piece. Where no anchor gives the text back (a tokenizer with unknown characters), the ids
        behind the first anchor that stays whole."""
        if piece not in self._known:
            self._known[piece] = self._find(piece)
        return self._known[piece]

    def text(self, ids: Sequence[int]) -> str:
        """The text of pieces joined."""
        anchor = self._ids("\t")
        return self._decoded([*anchor, *ids]).removeprefix(self._decoded(anchor))

    def one(self, piece: str) -> int | None:
        """The id of a piece that is one token."""
        ids = self.ids(piece)
        return ids[0] if len(ids) == 1 else None

    def _find(self, piece: str) -> list[int]:
        second: list[int] | None = None
        for anchor in self._ANCHORS:
            left, whole = self._ids(anchor), self._ids(anchor + piece)
            if whole[: len(left)] != left:
                continue
            rest = whole[len(left) :]
            if self._decoded(whole) == self._decoded(left) + piece:
                return rest
            second = second if second is not None else rest
        return second if second is not None else self._ids(piece)

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
        )["input_ids"]
        return found

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text


def digits_of(spelling: Spelling) -> list[int]:
    """The ids of the numbers 0 to 10, or 0 to 9 where 10 is not one token. Raises ModelError where a digit is not."""
    found = [spelling.one(str(n)) for n in range(TOP + 1)]
    missing = [str(n) for n in range(TOP) if found[n] is None]
    if missing:
        raise ModelError(
            f"the tokenizer has no single token for {', '.join(missing)}, so no value can be read from one place; take"
            " another model, or simulate token by token"
        )
    return [i for i in found if i is not None]


def _brackets() -> Iterator[tuple[str, str]]:
    yield from ((pair[0], pair[1]) for pair in _BRACKETS)
    yield from ((chr(code), chr(code + 1)) for code in range(0xE000, 0xF8FF, 2))
