"""Texts as tokens for a policy: which ids begin, end and pad, and texts that go on from others.

Three things go wrong silently here. Padding with EOS hides EOS from the loss, and the policy never stops. A start token
between prompt and response was never seen in pretraining. And tokenizers that put a space before every text put one
inside the sentence that a response goes on with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from superalign.core.errors import ModelError

_SPACES = ("Ġ", "▁", " ")
_ANCHOR = "a"
_NUL = ("Ā", "<0x00>", "\x00")
"""How vocabularies of bytes write the byte 0, which no text holds."""
_GOES_ON = re.compile(r"[\s.,;:!?)\]}…]")


class Tokens:
    """A tokenizer as a policy needs it. `vocabulary` is the number of the network's outputs, `ends` the ids that its
    generation config ends texts with.

    `prefix` are the ids that begin every text (BOS; none for GPT-2); `eos` is the tokenizer's own, else the first of
    `ends`; `pad` never equals it. Raises ModelError where nothing ends a text, and where no id is free to pad with.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int] = ()) -> None:
        self.tokenizer, self.vocabulary = tokenizer, vocabulary
        plain, whole = self._ids(_ANCHOR), list(tokenizer(_ANCHOR)["input_ids"])
        at = next((k for k in range(len(whole)) if whole[k : k + len(plain)] == plain), 0)
        self.prefix = tuple(whole[:at])
        self.eos = _end(tokenizer, ends)
        self.pad = _padding(tokenizer, vocabulary, self.eos)
        spelled = str(tokenizer.convert_ids_to_tokens(plain)[0])
        self._anchor = plain if spelled.startswith(_SPACES) else None
        self._anchored = "" if self._anchor is None else self._text(self._anchor)

    def encode(self, text: str) -> list[int]:
        """The ids of a text without `prefix` and EOS.

        Tokenizers that put a space before every text put none before one that goes on: one that begins with a space, a
        line break or closing punctuation. A response that begins inside a word still gets one.
        """
        if self._anchor is not None and _GOES_ON.match(text):
            whole, length = self._ids(_ANCHOR + text), len(self._anchor)
            if whole[:length] == self._anchor:
                return whole[length:]
        ids = self._ids(text)
        begun = ids[: len(self.prefix)] == list(self.prefix)  # a text from a chat template brings its own
        return ids[len(self.prefix) :] if begun else ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a row without padding and special tokens. A space before its first word is kept where it goes on
        from a prompt, so prompt + response is the whole text; a row that begins with `prefix` has none."""
        row = [i for i in ids if i not in (self.pad, self.eos)]
        if self._anchor is None or tuple(row[: len(self.prefix)]) == self.prefix != ():
            return self._text(row)
        return self._text([*self._anchor, *row]).removeprefix(self._anchored)

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False, return_attention_mask=False, verbose=False)[
            "input_ids"
        ]
        return found

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _end(tokenizer: Any, ends: Sequence[int]) -> int:
    known = [tokenizer.eos_token_id, *ends]
    found = next((i for i in known if i is not None), None)
    if found is None:
        raise ModelError(
            "nothing ends a text of this model: neither its tokenizer nor its generation config has an EOS token; set"
            " one with tokenizer.eos_token = '...' and save it"
        )
    return int(found)


def _padding(tokenizer: Any, vocabulary: int, eos: int) -> int:
    """The tokenizer's padding token, else another special one, else an output that is no token, else the byte 0."""
    special = [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, *tokenizer.all_special_ids]
    known = tokenizer.get_vocab()
    free = sorted(set(range(vocabulary)) - set(known.values()), reverse=True)
    for i in (*special, *free, *(known.get(name) for name in _NUL)):
        if i is not None and i != eos and i < vocabulary:
            return int(i)
    raise ModelError(
        f"no id of this model can pad: all {vocabulary} are tokens of text, or EOS ({eos}); give its tokenizer a pad"
        " token that is not EOS (tokenizer.pad_token = '...') and save it"
    )
