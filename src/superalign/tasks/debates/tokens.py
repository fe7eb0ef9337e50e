"""Penn-Treebank tokens as readable text, with the place of each token in it.

`-LRB-` is `(`, two backticks are `"`, and `do n't` is `don't`. Every token keeps its own characters, so a span of
tokens is a span of the text.
"""

from __future__ import annotations

from collections.abc import Sequence

_WRITTEN = {
    "-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}",
    "``": '"', "''": '"', "`": "'",
}  # fmt: skip
_CLOSES = frozenset((*".,:;?!%)]}'", "...", "''", "-RRB-", "-RSB-", "-RCB-"))
_OPENS = frozenset((*"([{$#`", "``", "-LRB-", "-LSB-", "-LCB-"))
_ENDINGS = frozenset(("'s", "n't", "'ll", "'re", "'d", "'m", "'ve"))


def join(tokens: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The tokens as text, and the start and end of each in it (an empty token has an empty place)."""
    text: list[str] = []
    places: list[tuple[int, int]] = []
    length, before = 0, ""
    for token in tokens:
        if before and token and _space(before, token):
            text.append(" ")
            length += 1
        written = _WRITTEN.get(token, token)
        text.append(written)
        places.append((length, length + len(written)))
        length += len(written)
        before = token or before
    return "".join(text), tuple(places)


def _space(before: str, token: str) -> bool:
    if before[-1].isspace() or token[0].isspace() or before in _OPENS:
        return False
    return token not in _CLOSES and token.lower() not in _ENDINGS
