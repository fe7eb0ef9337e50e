"""AuxK: what is left over is explained once more, by latents that are dead (Gao et al. 2024, arXiv 2406.04093, A.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from superalign.interp.dictionaries.activity import Weights
from superalign.interp.dictionaries.sparse import decode


def auxk(x: Tensor, error: Tensor, weights: Weights, dead: Tensor) -> Tensor:
    """The share of the error's variance that the dead latents leave, times how many there are of the wanted d / 2.

    `x` (n, d_in), `error` (n, d_out) = target - reconstruction, `dead` (dead,) the latents' indices. In each row the
    d / 2 largest dead pre-activations, then relu, are decoded without the decoder's bias: the error has none of it left.
    (With the bias in, the loss of a batch rose from .845 to 9.81 when data and bias were shifted by 3.) Gradients reach
    the dead latents' rows of the encoder and decoder, and nothing else. 0 where nothing is dead or to be explained.
    """
    target = error.detach()
    spread = (target - target.mean(0)).square().sum()
    wanted = target.shape[1] // 2
    used = min(wanted, len(dead))
    if not used or not spread > 0:
        return error.new_zeros(())
    values, latents = torch.addmm(weights.b_enc[dead], x, weights.W_enc[dead].T).topk(used, sorted=False)
    rows = torch.arange(len(x), device=x.device).repeat_interleave(used)
    guess = decode(values.relu().flatten(), rows, latents.flatten(), weights.W_dec[dead], len(x))
    return (target - guess).square().sum() / spread * (used / wanted)
