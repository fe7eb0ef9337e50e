"""Where a task comes from and how its columns are read; a frozen value that becomes part of a Spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from superalign.core.spec import Value

Format = Literal["csv", "tsv", "json", "jsonl", "lines", "trec", "parquet"]


class Source(Value):
    """What to load. Only `task` is needed; what is not given is found by the names of the columns.

    `task`: a file (`reviews.csv`, `data.jsonl.gz`, `SciQ.zip!train.json`), `hf:owner/name[/config]`, or a built-in
    world with its options (`reviews:contrastive=.2`, `./mine.py:world`).
    `validation`, `test`: files of the same form, or the names of splits of the hub's data set.
    `format`, `encoding`: by default found from the name and the content; UTF-8, else latin-1.
    `prompt`: a column, several joined by commas, or a template such as `{passage}\\n\\n{question}`.
    `label` and `choices`: the column of the class, and the classes in order. Labels that are the numbers 0..K-1 may
    be given names this way (`choices = ["objective", "subjective"]`).
    `answer` and `distractors`: the columns of the right answer and of the wrong ones (multiple choice).
    `chosen` and `rejected`: the columns of a pairwise preference.
    `id`, `group`: the column that names a row, and the one whose equal values stay in one split.
    `passage`: the column of a text that speakers of an oversight protocol may read and quote, and the judge may not.
    `limit`: keep so many rows, drawn at random (never the first ones, since files are often sorted by class).
    """

    task: str = Field(min_length=1)
    validation: str | None = None
    test: str | None = None
    format: Format | None = None
    encoding: str | None = None
    prompt: str | None = None
    label: str | None = None
    choices: tuple[str, ...] = ()
    answer: str | None = None
    distractors: tuple[str, ...] = ()
    chosen: str | None = None
    rejected: str | None = None
    id: str | None = None
    group: str | None = None
    passage: str | None = None
    limit: int | None = Field(default=None, ge=1)
