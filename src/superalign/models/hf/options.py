"""The options of `hf:` and `minilm`, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from superalign.core.errors import PluginError, nearest

_CHOICES = {
    "tune": ("head", "full", "lora", "none"),
    "pool": ("auto", "mean", "last", "cls"),
    "schedule": ("cosine", "constant"),
    "dtype": ("auto", "float32", "bfloat16"),
    "probs": ("letters", "typed"),
}
_POSITIVE = ("tokens", "epochs", "lr", "batch", "micro", "rank", "alpha", "clip", "C", "max_tokens")


@dataclass(frozen=True, slots=True)
class Options:
    """How a transformer is read and trained. What stays None is decided by the model or by `tune`."""

    tune: str = "head"
    """`head`: frozen features and a linear head. `full`: all weights. `lora`: adapters and the head.
    `none`: nothing is trained, the model reads messages and speaks."""
    pool: str = "auto"
    """Which state stands for a text: `mean` of its tokens, its `last` token, or its first (`cls`). `auto` takes
    the last token of a decoder, what an encoder's sentence-transformers settings say, and else the mean."""
    layer: int | None = None
    """Read this layer instead of the last: 1 is the first block, negative counts from the end. For `head` alone."""
    tokens: int | None = None
    """Longer texts are cut (never dropped). 128, or what the model can take if that is less; for `none`, all that
    it can take, prompt and reply together."""
    max_tokens: int = 128
    """The longest reply, where an ask does not say. For `none` alone."""
    probs: str = "letters"
    """What choices are read from: the `letters` that name them, or a `typed` decision, asked as `/v1/systemone` of
    `transformers serve` asks it. For `none` alone."""
    epochs: int = 2
    lr: float | None = None
    """Peak learning rate: 5e-5 for `full`, 2e-4 for `lora`."""
    batch: int = 32
    """Items of one optimiser step; the loss sees all of them at once."""
    micro: int | None = None
    """Items in memory at once, at most `batch`; gradients do not depend on it, memory and time do."""
    schedule: str = "cosine"
    decay: float = 0.0
    """AdamW's weight decay."""
    clip: float = 1.0
    """Largest norm of the gradient of one step."""
    rank: int = 8
    alpha: float = 16.0
    targets: str | None = None
    """Module names that get adapters, joined by commas, or `all-linear`; else what peft knows for the architecture."""
    dtype: str = "auto"
    """`auto` is bfloat16 on a CUDA device and float32 elsewhere."""
    device: str = "auto"
    C: float | None = None
    """Strength of the head for `tune=head`; without it, a grid is chosen from on validation labels."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Options as they were typed. Raises PluginError that names the option and what it may be."""
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise PluginError(f"a transformer has no option {name!r}; {nearest(name, known)}")
        options = cls(**given)
        for name, allowed in _CHOICES.items():
            if getattr(options, name) not in allowed:
                raise PluginError(f"{name}={getattr(options, name)!r}: it is one of {', '.join(allowed)}")
        for name in _POSITIVE:
            value = getattr(options, name)
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise PluginError(f"{name}={value!r}: it is a number above 0")
        for name in ("tokens", "epochs", "batch", "micro", "rank", "max_tokens"):
            value = getattr(options, name)
            if value is not None and not isinstance(value, int):
                raise PluginError(f"{name}={value!r}: it is a whole number")
        if options.layer is not None and options.tune != "head":
            raise PluginError(f"layer={options.layer} reads a middle layer, which is for tune=head, not {options.tune}")
        return options

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        return self.lr if self.lr is not None else {"full": 5e-5, "lora": 2e-4}.get(self.tune, 0.0)

    def training(self) -> dict[str, Any]:
        """What the trained weights depend on; `micro` and `device` are not among it."""
        names = ["tune", "epochs", "batch", "schedule", "decay", "clip"]
        names += ["rank", "alpha", "targets"] if self.tune == "lora" else []
        return {**{name: asdict(self)[name] for name in names}, "lr": self.rate}
