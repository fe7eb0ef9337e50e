"""What a dictionary costs the model: the loss on next tokens with its reconstruction in the place of the activations.

    loss recovered = (ablated - spliced) / (ablated - clean)

1 where the model does as well as before, 0 where the reconstruction is worth no more than nothing at all (`zero`) or
the mean activation (`mean`) at every token. The start token is not data, and its activations stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from superalign.core.errors import ModelError
from superalign.core.ports import Progress, silent
from superalign.core.resample import clustering, interval, number, resample
from superalign.core.spec import Number
from superalign.interp.corpus import code_of
from superalign.interp.sites import reading, replacing, sites_of

if TYPE_CHECKING:
    from torch import Tensor

    from superalign.core.ports import Floats, Ints
    from superalign.interp.corpus import Corpus
    from superalign.interp.dictionaries.dictionary import Dictionary
    from superalign.interp.subject import Subject

Ablation = Literal["zero", "mean"]
Change = Callable[["Tensor"], "Tensor"]

_TOKENS = 8192
"""Of one forward pass; logits of 50,000 tokens then take 1.6 GB."""


@dataclass(frozen=True)
class Losses:
    """-log p of each next token in nats, (m,): of the model as it is, with the site ablated, and with the dictionary's
    reconstruction; and the document (m,) of each."""

    clean: Floats
    ablated: Floats
    spliced: Floats
    documents: Ints

    @property
    def recovered(self) -> Number:
        """The loss recovered, with its interval over documents; undefined where the ablation itself costs no more than
        its noise over documents."""
        above, gap = self.ablated - self.spliced, self.ablated - self.clean
        groups = clustering(self.documents, len(gap))
        draws = resample([above[None], gap[None]], groups)
        low = interval(draws[:, 1])[0] if groups.max() else float(gap.mean())
        if not low > 0:
            return Number(value=None, n=len(gap), reason=(
                f"undefined: ablating the site changes the loss by {gap.mean():.4f} nats a token, which may be nothing"
            ))  # fmt: skip
        return number(float(above.mean() / gap.mean()), draws[:, 0] / draws[:, 1], gap[None], groups)


def loss_recovered(
    subject: Subject,
    corpus: Corpus,
    site: str,
    dictionary: Dictionary,
    *,
    ablation: Ablation = "zero",
    split: str = "test",
    progress: Progress = silent,
) -> Number:
    """The loss recovered on a split of the corpus. `site` is what the dictionary reads; see `losses`."""
    return losses(subject, corpus, site, dictionary, ablation=ablation, split=split, progress=progress).recovered


@torch.no_grad()
def losses(
    subject: Subject,
    corpus: Corpus,
    site: str,
    dictionary: Dictionary,
    *,
    ablation: Ablation = "zero",
    split: str = "test",
    progress: Progress = silent,
) -> Losses:
    """Three passes over the documents of a split. A transcoder of `mlp_in.3` takes the place of `mlp_out.3`.

    Raises ModelError where site and dictionary do not fit.
    """
    into = _target(subject, site, dictionary)
    device = subject.device
    dictionary = dictionary.to(device)
    mean = _Mean(dictionary.d_out, device)
    contexts = _contexts(corpus, split)
    total = 3 * len(contexts)

    def run(name: str, change: Change) -> Floats:
        done = {"clean": 0, "ablated": 1, "spliced": 2}[name] * len(contexts)
        found = []
        for batch in _batches(contexts, corpus):
            found.append(_pass(subject, corpus, batch, into, change))
            done += len(batch)
            progress("loss recovered", done, total)
        return np.concatenate(found)

    clean = run("clean", mean.note)
    level = mean.value if ablation == "mean" else torch.zeros_like(mean.value)
    ablated = run("ablated", lambda x: level.to(x).expand_as(x))
    if into == site:
        spliced = run("spliced", lambda x: _reconstructed(dictionary, x))
    else:
        seen: list[Tensor] = []
        with reading(subject.model, [site], lambda _, x: seen.append(x.clone())):
            # the site is read before its target is reached, so the last that was seen is of this pass
            spliced = run("spliced", lambda _: _reconstructed(dictionary, _rows(subject, seen.pop())))
    documents = np.concatenate([_documents(subject, corpus, batch) for batch in _batches(contexts, corpus)])
    return Losses(clean, ablated, spliced, documents)


class _Mean:
    """The mean activation over all rows of a clean pass."""

    def __init__(self, width: int, device: torch.device) -> None:
        self._sum, self._rows = torch.zeros(width, dtype=torch.float64, device=device), 0

    def note(self, x: Tensor) -> Tensor:
        self._sum += x.double().sum((0, 1))
        self._rows += x.shape[0] * x.shape[1]
        return x

    @property
    def value(self) -> Tensor:
        return (self._sum / max(self._rows, 1)).float()


def _target(subject: Subject, site: str, dictionary: Dictionary) -> str:
    kind, _, layer = site.partition(".")
    if dictionary.transcode and kind != "mlp_in":
        raise ModelError(f"this transcoder reads an MLP's input, and {site} is none; give mlp_in.{layer or 0}")
    into = f"mlp_out.{layer}" if dictionary.transcode else site
    known = sites_of(subject.model)
    for name, width in ((site, dictionary.d_in), (into, dictionary.d_out)):
        if known.get(name) != width:
            there = f"{known[name]} wide" if name in known else "no site of it"
            raise ModelError(f"the dictionary takes {width} numbers at {name}, which in {subject.name} is {there}")
    return into


def _contexts(corpus: Corpus, split: str) -> Ints:
    """Contexts of a split's documents, by length, so that those that are run together are equally long."""
    lengths = np.diff(corpus.contexts)
    own = corpus.split[corpus.document_of[corpus.contexts[:-1]]] == code_of(split)
    chosen = np.flatnonzero(own & (lengths > 1))
    return chosen[np.argsort(lengths[chosen], kind="stable")]


def _batches(contexts: Ints, corpus: Corpus) -> Iterator[Ints]:
    lengths = np.diff(corpus.contexts)[contexts]
    for group in np.split(contexts, np.flatnonzero(np.diff(lengths)) + 1):
        size = max(1, _TOKENS // int(np.diff(corpus.contexts)[group[0]])) if len(group) else 1
        yield from (group[at : at + size] for at in range(0, len(group), size))


def _pass(subject: Subject, corpus: Corpus, contexts: Ints, into: str, change: Change) -> Floats:
    """Losses of the predicted rows of some contexts of one length, context after context."""
    starts, length = corpus.contexts[contexts], int(np.diff(corpus.contexts)[contexts[0]])
    ids = torch.from_numpy(corpus.tokens[starts[:, None] + np.arange(length)].astype(np.int64)).to(subject.device)
    if subject.start is not None:
        ids = torch.cat([torch.full_like(ids[:, :1], subject.start), ids], 1)

    def changed(x: Tensor) -> Tensor:
        made = change(_rows(subject, x)).to(x)
        return made if subject.start is None else torch.cat([x[:, :1], made], 1)

    with replacing(subject.model, into, changed):
        logits = subject.model(input_ids=ids, use_cache=False).logits[:, :-1]
    found = cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    return np.asarray(found.cpu().numpy(), np.float64)


def _documents(subject: Subject, corpus: Corpus, contexts: Ints) -> Ints:
    predicted = int(np.diff(corpus.contexts)[contexts[0]]) - (subject.start is None)
    return np.repeat(corpus.document_of[corpus.contexts[contexts]], predicted)


def _rows(subject: Subject, x: Tensor) -> Tensor:
    """(B, L, d) of the corpus's tokens alone."""
    return x if subject.start is None else x[:, 1:]


def _reconstructed(dictionary: Dictionary, x: Tensor) -> Tensor:
    return dictionary.reconstruct(x.flatten(0, 1)).view(*x.shape[:2], dictionary.d_out)
