"""Text for a subject to read: files, folders, or the subject's own samples, as a Corpus.

What is one document matters, because splits go by document: a line of a `.jsonl` file; in a `.txt` file what lies between
`<|endoftext|>`, and where there is none, a passage of whole paragraphs of about one context. Neighbouring passages of
one book fall into different splits, so held-out there means the same author and new sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from superalign.core.errors import ModelError, SpecError, TaskError
from superalign.core.random import derive, stream
from superalign.interp.corpus import Corpus, build
from superalign.interp.sites import blocks, sites_of
from superalign.interp.subject import Subject
from superalign.models.hf.generate import Decoder, Draw
from superalign.tasks.fetch import Blob
from superalign.tasks.read import read

_SAMPLE = re.compile(r"sample:(\d+)x(\d+)")
_END = "<|endoftext|>"
_LETTERS = 4
"""Letters of English in a token, for passages of about one context; nothing depends on it but their length."""
_CHUNK = 256
_MEMORY = 512 << 20
"""Bytes of keys and values while sampling."""


class _Text(NamedTuple):
    name: str
    text: str


def corpus(
    source: str, subject: Subject, *, width: int = 32, context: int = 256, tokens: int | None = None, seed: int = 0
) -> Corpus:
    """The corpus of a file or folder (`.txt`, `.jsonl` with `text`), or `sample:600x192`: the subject's own samples at
    temperature 1, 600 of 192 tokens each.

    Of a text with more than `tokens` tokens, documents are drawn with `seed` until there are as many, the last one cut.
    Raises TaskError for a text that cannot be read or is too short, SpecError and ModelError where the two do not fit.
    """
    if context > subject.context:
        raise ModelError(
            f"a context of {context} tokens does not fit {subject.name}, which takes {subject.context};"
            f" give --context {subject.context // width * width}"
        )
    if source.startswith("sample"):
        rows, names = _samples(source, subject, seed)
    else:
        rows, names = _encoded(list(_documents(source, context * _LETTERS)), subject, tokens, seed)
    return build(rows, subject.strings, names=names, width=width, context=context)


def _encoded(texts: list[_Text], subject: Subject, tokens: int | None, seed: int) -> tuple[list[list[int]], list[str]]:
    """Token ids and names of the documents, in the order of the text."""
    order = np.arange(len(texts)) if tokens is None else stream(seed, "documents", len(texts)).permutation(len(texts))
    room = tokens if tokens is not None else np.inf
    found: dict[int, list[int]] = {}
    for first in range(0, len(order), _CHUNK):
        chosen = order[first : first + _CHUNK].tolist()
        for k, ids in zip(chosen, subject.encode([texts[k].text for k in chosen]), strict=True):
            if room > 0:
                found[k] = ids if len(ids) <= room else ids[: int(room)]
                room -= len(found[k])
        if room <= 0:
            break
    return [found[k] for k in sorted(found)], [texts[k].name for k in sorted(found)]


def _documents(source: str, letters: int) -> Iterator[_Text]:
    path = Path(source).expanduser()
    if not path.exists():
        raise TaskError(f"there is no text {source}; give a .txt or .jsonl file, a folder of them, or sample:600x192")
    files = sorted(f for f in path.rglob("*") if f.suffix in (".txt", ".jsonl") and f.is_file())
    if path.is_dir() and not files:
        raise TaskError(f"the folder {source} holds no .txt or .jsonl file")
    for file in files or [path]:
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        yield from _lines(file, name) if file.suffix == ".jsonl" else _passages(file, name, letters)


def _lines(file: Path, name: str) -> Iterator[_Text]:
    """The `text` of each line of JSON."""
    for row in read(Blob(name, file.read_bytes()), "jsonl").rows:
        text = row.cells.get("text")
        if not isinstance(text, str):
            there = ", ".join(row.cells) or "nothing"
            raise TaskError(f"{name!r}, {row.where}: there is no text in the column `text`; there is: {there}")
        yield _Text(f"{name}, {row.where}", text)


def _passages(file: Path, name: str, letters: int) -> Iterator[_Text]:
    """The documents of a plain text."""
    try:
        whole = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TaskError(f"{name!r} is not UTF-8 at byte {error.start}; convert it, or give another file") from error
    if _END in whole:
        yield from (_Text(f"{name}, text {k + 1}", part.strip()) for k, part in enumerate(whole.split(_END)))
        return
    passages, held = 0, ""
    for paragraph in (*re.split(r"\n\s*\n", whole), None):
        if held and (paragraph is None or len(held) >= letters):
            passages += 1
            yield _Text(f"{name}, passage {passages}", held)
            held = ""
        held += f"\n\n{paragraph}" if held else paragraph or ""


def _samples(source: str, subject: Subject, seed: int) -> tuple[list[list[int]], list[str]]:
    """What the subject writes by itself: the distribution that it was trained to match, where no text is at hand."""
    match = _SAMPLE.fullmatch(source)
    if match is None or not int(match[1]) or not int(match[2]):
        raise SpecError(f"{source!r} asks for no samples; write sample:<documents>x<tokens>, such as sample:600x192")
    count, length = int(match[1]), int(match[2])
    if length > subject.context:
        raise SpecError(f"{source!r}: {subject.name} takes {subject.context} tokens at most")
    begin = (_begin(subject),)
    decoder = Decoder(subject.model, lambda ids: "", frozenset())
    held = 8 * length * len(blocks(subject.model)) * max(w for s, w in sites_of(subject.model).items() if "resid" in s)
    batch = max(1, _MEMORY // held)
    rows: list[list[int]] = [[] for _ in range(count)]
    for first in range(0, count, batch):
        chosen = range(first, min(first + batch, count))
        draws = [Draw(begin, length, 1.0, derive(seed, "sample", k)) for k in chosen]
        for part in decoder.write(draws):
            for k, ids in part:
                rows[first + k] = ids
    return rows, [f"sample {k}" for k in range(count)]


def _begin(subject: Subject) -> int:
    """The token that a text begins after. GPT-2 reads texts without one, and was trained to write after its EOS."""
    ids = (subject.start, *(getattr(subject.tokenizer, f"{name}_token_id", None) for name in ("bos", "eos")))
    found = next((i for i in ids if i is not None), None)
    if found is None:
        raise ModelError(f"{subject.name} has no start token to sample after; give it a text to read")
    return int(found)
