"""Caching: one pass of the model for all that is wanted of it, each segment on disk before the next is gathered.

A process that is killed loses the segment it was at; the same call goes on after the last whole one and leaves the same
bytes. Memory does not grow with the text.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from superalign.core.digest import digest
from superalign.core.errors import ModelError, StoreError
from superalign.core.ports import Progress, silent
from superalign.interp.cache.arrays import publish, read_json, sync_folder, write_json
from superalign.interp.cache.reading import CACHE, Cache, index_segment, open_cache, segment_folder, segments_of
from superalign.interp.cache.segments import Segment

if TYPE_CHECKING:
    from torch import Tensor

    from superalign.interp.collect import Block
    from superalign.interp.corpus import Corpus
    from superalign.interp.subject import Subject

MEMORY = 256 << 20
_BLOCK = 8
"""The share of memory for a block of activations is one in so many."""


class Encoder(Interface):
    """Turns activations into a few latents per row: a sparse autoencoder, a transcoder.

    `width` is the number of latents, `per_row` how many each row has (None where it varies); `identity` is JSON-like
    and says everything that its output depends on.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...
    @property
    def width(self) -> int: ...
    @property
    def per_row(self) -> int | None: ...

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (n, k) >= 0 and their latents (n, k) of rows (n, d); entries of value 0 are absent."""
        ...


def write(
    folder: Path,
    subject: Subject,
    corpus: Corpus,
    site: str,
    encoder: Encoder | None = None,
    *,
    progress: Progress = silent,
    memory: int = MEMORY,
) -> Cache:
    """Cache one site; see `write_all`."""
    return write_all(folder, subject, corpus, [(site, encoder)], progress=progress, memory=memory)[0]


def write_all(
    folder: Path,
    subject: Subject,
    corpus: Corpus,
    wanted: Sequence[tuple[str, Encoder | None]],
    *,
    progress: Progress = silent,
    memory: int = MEMORY,
) -> list[Cache]:
    """Cache what encoders make of sites, or the sites' own coordinates with both signs (None), in one pass.

    Each goes to `folder/<digest>`; what is there already is not computed again, and what was begun is finished. A
    segment takes about a million rows, fewer where `memory` (bytes, in all, beside the model) asks for it. Resuming
    with other memory, device or threads than before is right, and not to the last bit the same.
    Raises ModelError for a site, text or encoder that does not fit, StoreError where the folder cannot be written.
    """
    import torch

    from superalign.interp.collect import TOKENS, activations
    from superalign.interp.sites import expand, sites_of

    widths = sites_of(subject.model)
    sites = expand([site for site, _ in wanted], widths)
    for site, _ in wanted:
        if site not in sites:
            raise ModelError(f"{site!r} is a site of every layer; name one, such as '{site}.0'")
    writers = [
        _Writer(folder, subject, corpus, site, encoder, memory // len(wanted), widths) for site, encoder in wanted
    ]
    start, total = min(writer.done for writer in writers), len(corpus)
    if start < total:
        room = memory // (_BLOCK * 4 * sum(widths[site] for site in sites))
        batch = max(corpus.context, min(TOKENS.get(subject.device.type, 32768), room))
        needed = [writer.site for writer in writers if writer.done < total]
        for block in activations(subject, corpus, needed, batch=batch, start=start):
            with torch.no_grad():
                for writer in writers:
                    writer.add(block)
            progress("activations", int(block.rows[-1]) + 1, total)
    for writer in writers:
        writer.finish()
    return [open_cache(writer.folder) for writer in writers]


def identity_of(subject: Subject, corpus: Corpus, site: str, encoder: Encoder | None) -> dict[str, Any]:
    """Everything that the contents of a cache depend on."""
    return {
        "subject": dict(subject.identity), "start": subject.start, "corpus": corpus.identity, "site": site,
        "encoder": dict(encoder.identity) if encoder is not None else None,
    }  # fmt: skip


class _Writer:
    """One cache that is being written: `done` rows are on disk or wait in the segment."""

    def __init__(
        self, folder: Path, subject: Subject, corpus: Corpus, site: str, encoder: Encoder | None, memory: int,
        widths: Mapping[str, int],
    ) -> None:  # fmt: skip
        identity = identity_of(subject, corpus, site, encoder)
        self.folder, self.site, self._encoder = Path(folder) / digest(identity)[:32], site, encoder
        units = encoder.width if encoder is not None else widths[site]
        form = "dense" if encoder is None else "variable" if encoder.per_row is None else "fixed"
        self._segment = Segment(form, units, memory)
        facts = {"identity": identity, "rows": len(corpus), "units": units, "form": form, "subject": subject.name}
        self._begin(facts)
        self._written = segments_of(self.folder)
        if encoder is not None:
            for number in range(len(self._written)):
                index_segment(self.folder, number, units)
        self.done = self._start = self._written[-1][1] if self._written else 0

    def add(self, block: Block) -> None:
        """Take what of a block is not on disk yet."""
        first, last = int(block.rows[0]), int(block.rows[-1]) + 1
        if last <= self.done:
            return
        x = block.values[self.site][max(0, self.done - first) :]
        if self._encoder is None:
            self._segment.add(x.float().cpu().numpy(), None, self.site)
        else:
            values, index = self._encoder.encode(x)
            if self._encoder.per_row not in (None, values.shape[1]):
                raise ModelError(f"the encoder at {self.site} gives {values.shape[1]} latents a row and says that it"
                                 f" gives {self._encoder.per_row}")  # fmt: skip
            self._segment.add(values.float().cpu().numpy(), index.cpu().numpy(), f"the encoder at {self.site}")
        self.done = last
        if self._segment.full:
            self.flush()

    def flush(self) -> None:
        """Put the segment that waits on disk, and then its index."""
        if self.done == self._start:
            return
        number = len(self._written)
        arrays, scale = self._segment.close()
        facts = {"rows": [self._start, self.done], "scale": scale}
        publish(segment_folder(self.folder, number), arrays, facts)
        if self._encoder is not None:
            index_segment(self.folder, number, self._segment.units)
        self._written.append((self._start, self.done))
        self._start = self.done

    def finish(self) -> None:
        """Write what is left, and remove what killed processes left."""
        self.flush()
        for stale in self.folder.glob(".*-*"):
            shutil.rmtree(stale, ignore_errors=True)

    def _begin(self, facts: Mapping[str, Any]) -> None:
        """Make the folder, or check that what is there is the same."""
        path = self.folder / CACHE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                waiting = self.folder / f".{os.getpid()}.{CACHE}"
                write_json(waiting, facts)
                waiting.rename(path)
                sync_folder(self.folder)
        except OSError as error:
            raise StoreError(f"cannot write the cache {self.folder}: {error.strerror or error}") from error
        there = read_json(path)
        if digest(there.get("identity")) != digest(facts["identity"]) or there.get("units") != facts["units"]:
            raise StoreError(f"{self.folder} holds another cache under the same name; remove it")
