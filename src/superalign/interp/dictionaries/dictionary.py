"""A dictionary of directions: activations as sums of a few of them (Sharkey et al. 2022; Cunningham et al. 2023).

    pre = W_enc x + b_enc,   z = pre where a latent fires, else 0,   x^ = W_dec' z + b_dec (+ W_skip x)

The kinds differ in what fires. `topk`: the k largest, where positive. `standard`: all that are positive. `jumprelu`, and
`batchtopk` once it is trained: all above their threshold. An autoencoder gives back what it reads; a transcoder reads
one site and gives another (Dunefsky et al. 2024), with a linear path beside the latents if it has a skip.

Two things that other forms keep apart are folded in, since they change no number. Subtracting b_dec from the input first
is a change of b_enc. A gated dictionary whose gate and magnitude share their weights is a JumpReLU (Rajamanoharan et
al. 2024, arXiv 2404.16014).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from superalign.core.digest import digest
from superalign.core.errors import ModelError, nearest
from superalign.interp.dictionaries.topk import chunks, largest

Kind = Literal["topk", "batchtopk", "jumprelu", "standard"]
TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "W_skip")


@dataclass(frozen=True, eq=False)
class Dictionary:
    """W_enc (F, d_in), b_enc (F,), W_dec (F, d_out), b_dec (d_out,), float32; `threshold` (F,) of the kinds that have
    one, `W_skip` (d_out, d_in) of a skip transcoder.

    `k` is exact for `topk`; elsewhere, if given, the number of latents per row that training aimed at.
    Raises ModelError where the shapes do not fit.
    """

    kind: Kind
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    k: int | None = None
    threshold: Tensor | None = None
    W_skip: Tensor | None = None
    transcode: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ModelError(f"no dictionary is of kind {self.kind!r}; {nearest(str(self.kind), get_args(Kind))}")
        _check_shapes(self)
        if self.kind == "topk" and not (self.k and 1 <= self.k <= self.width):
            raise ModelError(f"a topk dictionary of {self.width} latents needs k from 1 to {self.width}, got {self.k}")
        if (self.threshold is not None) != (self.kind in ("jumprelu", "batchtopk")):
            has = "has no" if self.threshold is None else "has a"
            raise ModelError(
                f"a dictionary of kind {self.kind!r} {has} threshold; jumprelu and batchtopk have one each"
            )

    @property
    def width(self) -> int:
        """The number of latents F."""
        return int(self.W_enc.shape[0])

    @property
    def d_in(self) -> int:
        """The width of what it reads."""
        return int(self.W_enc.shape[1])

    @property
    def d_out(self) -> int:
        """The width of what it gives."""
        return int(self.W_dec.shape[1])

    @property
    def per_row(self) -> int | None:
        """The number of latents per row, None where it varies."""
        return self.k if self.kind == "topk" else None

    @property
    def directions(self) -> Tensor:
        """(F, d_out) what one unit of each latent's activation adds. Of length 1 where this package trained it."""
        return self.W_dec

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """JSON-like; everything that encoding and decoding depend on."""
        weights = {name: t.detach().cpu().numpy() for name in TENSORS if (t := getattr(self, name)) is not None}
        return {
            "dictionary": 1,
            "kind": self.kind,
            "k": self.k,
            "transcode": self.transcode,
            "weights": digest(weights),
        }

    def to(self, device: str | torch.device) -> Dictionary:
        """The dictionary on a device."""
        return replace(self, **{n: t.to(device) for n in TENSORS if (t := getattr(self, n)) is not None})

    @torch.no_grad()
    def pre(self, x: Tensor) -> Tensor:
        """(n, F) pre-activations of rows (n, d_in), all of them in memory."""
        return torch.addmm(self.b_enc, self._read(x), self.W_enc.T)

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (n, m) >= 0 and their latents (n, m), int64, of rows (n, d_in); entries of value 0 are absent.

        m is k for `topk`, else the largest number of latents that fire in one row. A few rows at a time are held with
        all their latents. Raises ModelError for rows of another width.
        """
        x = self._read(x)
        if self.kind == "topk":
            values, index = largest(x, self.W_enc, self.b_enc, self.k or 1)
            return values.relu_(), index
        parts = [self._above(part) for part in chunks(x)]
        m = max(values.shape[1] for values, _ in parts)
        padded = [torch.nn.functional.pad(t, (0, m - t.shape[1])) for part in parts for t in part]
        return torch.cat(padded[::2]), torch.cat(padded[1::2])

    def _above(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.addmm(self.b_enc, x, self.W_enc.T).relu_()
        if self.threshold is not None:
            z[z <= self.threshold] = 0
        return z.topk(max(int((z > 0).sum(1).max()), 1) if len(z) else 1, sorted=False)

    @torch.no_grad()
    def decode(self, values: Tensor, index: Tensor) -> Tensor:
        """(n, d_out) from activations (n, m) of latents (n, m); without the skip, which needs x (`reconstruct`)."""
        return embedding_bag(index, self.W_dec, mode="sum", per_sample_weights=values).add_(self.b_dec)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """(n, d_out) what the dictionary makes of rows (n, d_in)."""
        made = self.decode(*self.encode(x))
        return made if self.W_skip is None else made.addmm_(self._read(x), self.W_skip.T)

    def state(self) -> dict[str, Any]:
        """Named arrays and JSON values, as a step of a study keeps them."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: v.detach().cpu().numpy() if isinstance(v, Tensor) else v for n, v in named.items() if v is not None}

    def _read(self, x: Tensor) -> Tensor:
        if x.dim() != 2 or x.shape[1] != self.d_in:
            raise ModelError(f"the dictionary reads rows of {self.d_in} numbers, and got a tensor of {tuple(x.shape)}; "
                             "is it of another site or model?")  # fmt: skip
        return x.to(self.W_enc)


def load(state: Mapping[str, Any]) -> Dictionary:
    """The inverse of `Dictionary.state`."""
    values: dict[str, Any] = {n: torch.tensor(v) if n in TENSORS else v for n, v in state.items()}
    return Dictionary(**values)


def _check_shapes(d: Dictionary) -> None:
    if d.W_enc.dim() != 2 or d.W_dec.dim() != 2:
        raise ModelError(f"W_enc {tuple(d.W_enc.shape)} and W_dec {tuple(d.W_dec.shape)} must be (latents, width) each")
    (latents, d_in), d_out = d.W_enc.shape, d.W_dec.shape[1]
    wanted = {"W_enc": (latents, d_in), "b_enc": (latents,), "W_dec": (latents, d_out), "b_dec": (d_out,),
              "threshold": (latents,), "W_skip": (d_out, d_in)}  # fmt: skip
    for name, shape in wanted.items():
        tensor = getattr(d, name)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            raise ModelError(
                f"{name} has shape {tuple(tensor.shape)}, and W_enc {tuple(d.W_enc.shape)} asks for {shape}"
            )
        if tensor.dtype != torch.float32 or not bool(tensor.isfinite().all()):
            raise ModelError(f"{name} is not all finite float32 numbers, so the dictionary cannot be used")
    if not d.transcode and d_in != d_out:
        raise ModelError(
            f"an autoencoder gives back what it reads, and this one reads {d_in} and gives {d_out} numbers"
        )
