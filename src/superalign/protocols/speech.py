"""Speeches enter a transcript here only: cleaned, cut to length, their quotes checked.

The engine alone writes the tags that say what a quote is worth and who said what. A player who types one sees it
escaped, so a transcript cannot be forged from inside a speech.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from superalign.protocols.quotes import QUOTED, check

ENGINE = frozenset({"verified", "near", "unverified", "thinking", "speech"})
"""Tags that only the engine writes."""

EMPTY = "[no argument given]"
CUT = " [cut]"
LIMIT = 2000
"""Characters of a speech, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A speech as it enters the transcript. `faults` are among `empty`, `over-long`, `tags`, `control characters`."""

    text: str
    faults: tuple[str, ...] = ()


def hear(text: str, source: str, *, limit: int = LIMIT, quotes: str = "checked") -> Heard:
    """What the others hear of a speech of at most `limit` characters.

    `<quote>...</quote>` becomes `<verified>`, `<near>` or `<unverified>`. `quotes="trusted"` marks every quote
    verified without looking: the control that shows what checking is worth.
    """
    heard = clean(text, limit)
    return Heard(_marked(heard.text, source, quotes == "trusted"), heard.faults)


def clean(text: str, limit: int = LIMIT) -> Heard:
    """A speech without control characters and forged tags, cut to length; whole quotes stay, to be checked."""
    faults = []
    text = re.sub("\r\n?", "\n", text)
    seen = _UNSEEN.sub("", text)
    if seen != text:
        faults.append("control characters")
    seen = seen.strip()
    if not seen:
        return Heard(EMPTY, (*faults, "empty"))
    if len(seen) > limit:
        faults.append("over-long")
        seen = _cut(seen, limit)
    seen = _paired(seen)
    escaped = _TAG.sub(_escape, seen)
    if escaped != seen:
        faults.append("tags")
    return Heard(escaped, tuple(faults))


def aloud(text: str) -> str | None:
    """What a reply says aloud: all but its thinking. None where the thinking does not end.

    A closing tag alone ends thinking that began with the reply.
    """
    said = _THOUGHT_END.sub("", _THOUGHT.sub("", text))
    return None if _THOUGHT_START.search(said) else said.strip()


_THOUGHT = re.compile(r"<thinking>.*?</thinking>", re.DOTALL | re.IGNORECASE)
_THOUGHT_START = re.compile(r"<thinking>", re.IGNORECASE)
_THOUGHT_END = re.compile(r"\A.*</thinking>", re.DOTALL | re.IGNORECASE)

# zero-width, bidirectional and tag characters, and control characters but tab and line feed
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_TAG = re.compile(r"[<＜﹤‹〈⟨](?:[/／]?(\w+)|\s*[/／]?\s*(\w+)(?=[^<>＞]*[>＞﹥›〉⟩]))")
_QUOTE = re.compile(r"<\s*(/?)\s*quote\b[^<>]*>", re.IGNORECASE)
_PAIR = re.compile(r"<quote>((?:(?!</?quote>).)*)</quote>", re.DOTALL)


def _paired(text: str) -> str:
    """Only quotes that open and close are quotes; tags without a partner go, until none is left (nor newly joined)."""
    text = _QUOTE.sub(r"<\1quote>", text)
    while "quote>" in text:
        pieces = _PAIR.split(text)  # outside, inside, outside, ...
        plain = [_QUOTE.sub("", piece) for piece in pieces]
        if plain == pieces:
            break
        text = "".join(f"<quote>{piece}</quote>" if k % 2 else piece for k, piece in enumerate(plain))
    return text


def _escape(match: re.Match[str]) -> str:
    name = unicodedata.normalize("NFKC", match[1] or match[2]).casefold()
    return f"&lt;{match[0][1:]}" if name in ENGINE else match[0]


def _cut(text: str, limit: int) -> str:
    head = text[: limit + 1]
    words = head.rsplit(None, 1)[0] if re.search(r"\s", head) else head[:limit]
    return words[:limit].rstrip() + CUT


def _marked(text: str, source: str, trusted: bool) -> str:
    def mark(match: re.Match[str]) -> str:
        status = "verified" if trusted else check(match[2], source).status
        return f"<{status}>{match[2].strip()}</{status}>"

    return QUOTED.sub(mark, text) if "<quote>" in text else text
