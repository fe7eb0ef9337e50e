"""Reading a verdict from words, by fixed rules that never guess.

The question showed its answers as (A), (B), ... and asked for a letter. A reply is read thus:

1. Hidden reasoning and quotations are not the judge's own word and are set aside: `<thinking>` and the engine's tags
   with what they hold, lines that begin with `>`, words in double quotation marks, what follows `wrote:`.
2. The rest falls into clauses. A *bare* clause is a verdict and nothing else: a letter, `(B)`, `**B**`, `Answer: B`,
   `I choose B`, the text of a choice, or a letter with its text. A *statement* has a verdict in it: `so the answer
   must be B`, `Debater B is more convincing`. Clauses that deny, doubt or report state nothing.
3. A bare last clause decides, unless the clause right before it, in the same paragraph, names another choice.
4. Otherwise all clauses that name a choice must name the same one.

What follows is one grammar: a verdict is [label `is` | I `choose`] [noun] letter or choice, in whatever typography.
"""

from __future__ import annotations

import re

_LABEL = (
    r"(?:answer|verdict|choice|decision|judge?ment|conclusion|winner|pick|antwort|respuesta|réponse|risposta|resposta"
    r"|ответ|答案|回答|正解|정답)"
)
_IS = r"(?:\s*(?:[:：=]|\b(?:is|must be|should be|would be|has to be|ist|est|es|è|é)\b|是|为|は)\s*)"
_CHOOSE = (
    r"(?:\b(?:I|we)(?:['’](?:d|ll|m)|\s+(?:would|will|must|therefore|thus|have\s+to|am))*\s+(?:choose|pick|select|judge|think"
    r"|say|answer|believe|conclude|prefer|favou?r|choosing|picking|(?:go|going|side|siding)\s+with|vote\s+for|find\s+for"
    r"|decide\s+(?:on|for))(?:\s+(?:that|it\s+is|it['’]s))*)"
)
_NOUN = r"(?:(?:option|answer|choice|debater|consultant)\s+)?"
_DRESS = r"[\s'\"“”‘’()（）\[\]{}<>–—-]{0,8}+"  # at most, and never given back: no reply is slow to read

_LEAD = re.compile(
    rf"^{_DRESS}(?:(?:so|but|and|then|thus|hence|therefore|my|our|the|final|correct|right|best)\b[\s,]{{0,4}}+)*"
    rf"(?:{_LABEL}{_DRESS}{_IS}|{_CHOOSE}\s+){_DRESS}(?:(?:the\s+)?{_LABEL}{_DRESS}{_IS})?{_DRESS}",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    rf"(?i:(?:{_LABEL}{_DRESS}{_IS}|{_CHOOSE}\s+){_DRESS}{_NOUN}){_DRESS}([A-Z]){_DRESS}(?=$|[.,:;!?])"
    rf"|(?:^|[\s,(]){_DRESS}(?i:{_NOUN}){_DRESS}\b([A-Z])\b{_DRESS}(?i:(?:wins|won|is|was|has)\b(?:\s+(?:the|a|clearly|much|more|most"
    r"|very|probably|made|best|better|correct|right|true|convincing|persuasive|supported|winner|answer|case|one|won))*)"
    rf"{_DRESS}(?=$|[.,:;!?])"
)
_OTHERS = re.compile(
    r"\b(?:not|never|cannot|neither|nor|hardly|wrong|incorrect|unless|if|could|might|may|whether|between|says|said|claims?"
    r"|claimed|argues|argued|writes|wrote|states|stated|insists|asserts|contends|maintains|tells|told|suggests"
    r"|concludes|according|suppos\w+|assum\w+)\b|n['’]t\b|\b(?:debater|consultant) [a-z]['’]s\b",
    re.IGNORECASE,
)
_PAIR = re.compile(rf"^{_DRESS}(?:[Bb]oth\s+)?([A-Z]){_DRESS}(?:(?:and|or)\b|[/&,+]){_DRESS}([A-Z]){_DRESS}[.!]?$")
_CLAUSE = re.compile(
    r"[\n;]+|(?<=[.!?])\s+|(?<=[。！？])|\s[–—-]+\s|\s+(?=(?:but|because|since|as|rather\s+than|instead\s+of|over)\b)",
    re.IGNORECASE,
)

_HIDDEN = re.compile(r"<(think|thinking|reasoning|scratchpad)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_HEAD = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<(quote|verified|near|unverified|speech)\b[^<>]*>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_QUOTED_LINE = re.compile(r"^[ \t]*(?:>|&gt;).*$", re.MULTILINE)
_REPORTED = re.compile(r"\b(?:says|said|writes|wrote|claims|states)\s?[:：]")
_TYPOGRAPHY = re.compile(r"[*_`#]+")
_BLANKS = re.compile(r"[^\S\n]+")
_SAID = re.compile(r"[\"“„«]([^\"“”„«»\n]*)[\"”“»]")
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?([^{}]*)\}+")
_REFUSAL = re.compile(
    r"\b(?:can(?:no|['’])t|can not|unable to|won['’]t|will not|refuse|not able to|sorry|as an ai|not comfortable|decline"
    r"|neither|impossible to (?:say|decide|tell)|kann nicht|no puedo|ne peux pas|не могу)\b|申し訳|抱歉|无法",
    re.IGNORECASE,
)
_TRIM = " \t\n*_`'\"“”‘’()（）[]{}<>#.,:：;!?。！、–—-"


def visible(text: str) -> str:
    """A reply without its hidden reasoning; nothing is left of reasoning that does not end."""
    return _HEAD.sub("", _HIDDEN.sub(" ", text))


def named(text: str, shown: tuple[str, ...]) -> set[int]:
    """The places of the choices that a reply decides for: one for a verdict, none, or several that disagree."""
    own = _own(visible(text))
    place = _bare(own, shown)
    if place is not None:
        return {place}
    last: set[int] = set()
    every: set[int] = set()
    ends_bare = False
    for paragraph in re.split(r"\n\s*\n", own):
        before: set[int] = set()
        for clause in filter(None, (c.strip() for c in _CLAUSE.split(paragraph))):
            place = _bare(clause, shown)
            names = {place} if place is not None else _stated(clause, len(shown))
            ends_bare, last, before = place is not None, names | before, names
            every |= names
    return last if ends_bare else every


def refuses(text: str) -> bool:
    """Whether a reply without a verdict reads as a refusal."""
    return _REFUSAL.search(visible(text)) is not None


def bare(text: str, shown: tuple[str, ...]) -> int | None:
    """The choice that a text names and nothing else."""
    return _bare(text, shown)


def _own(text: str) -> str:
    """The judge's own words, plain: no quotations, no markdown, single blanks."""
    text = _QUOTED_LINE.sub(" ", _TAGGED.sub(" ", text))
    text = _BLANKS.sub(" ", _TYPOGRAPHY.sub("", _BOXED.sub(r"\nAnswer: \1\n", text)))
    text = "\n".join(map(_unreported, text.split("\n"))).strip()
    return _SAID.sub(lambda m: m[1] if len(m[1].split()) < 2 or len(m[0]) == len(text) else " ", text)


def _unreported(line: str) -> str:
    """A line up to the sentence that reports what somebody says."""
    found = _REPORTED.search(line)
    return line if found is None else line[: max(line.rfind(end, 0, found.start()) for end in ".!?") + 1]


def _bare(clause: str, shown: tuple[str, ...]) -> int | None:
    for said in (clause, _LEAD.sub("", clause, count=1)):
        places = _exactly(said.strip(_TRIM), shown)
        if len(places) == 1:
            return places.pop()
    return None


def _exactly(said: str, shown: tuple[str, ...]) -> set[int]:
    places = {k for k, choice in enumerate(shown) if said and said.casefold() == choice.strip(_TRIM).casefold()}
    match = re.fullmatch(rf"(?i:{_NOUN}){_DRESS}([A-Za-z])(?:[).:,\]\s*_–—-]+(.+))?", said, re.DOTALL)
    if match:
        place = ord(match[1].upper()) - 65
        if place < len(shown) and (
            not match[2] or match[2].strip(_TRIM).casefold() == shown[place].strip(_TRIM).casefold()
        ):
            places.add(place)
    return places


def _stated(clause: str, count: int) -> set[int]:
    """What a clause that is not bare says: each of its parts by itself, so that a denial denies its own part alone."""
    pair = _PAIR.match(_LEAD.sub("", clause, count=1))
    letters = [*pair.groups()] if pair else []
    parts = clause.split(",") if not pair else []
    for part in parts:
        alone = part.strip(_TRIM)
        if len(parts) > 1 and len(alone) == 1 and alone.isupper():
            letters.append(alone)
        elif not _OTHERS.search(part):
            letters += [m[1] or m[2] for m in _STATEMENT.finditer(part)]
    return {ord(c) - 65 for c in letters if 0 <= ord(c) - 65 < count}
