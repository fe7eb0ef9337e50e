"""The spec of an interpretability study."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from superalign.core.errors import nearest
from superalign.core.spec import Seeds, Spec, distinct

SCORES = ("simulation", "ablation", "detection", "fuzzing", "intruder", "embedding", "surprisal", "intervention")
CONTROLS = ("shuffled", "random-directions", "random-weights")


class Interp(Spec):
    """Which units of which model are explained from which text, by whom, and how the explanations are scored.

    Either a `world` whose truth is planted (`planted`: predicates in superposition; `compiled`: a transformer set by
    hand), or a `model` (folder or hub name) with a `text` (file, folder, or `sample:600x192`: the model's own).
    `site`: `mlp`, `resid`, `attn` for all layers, `mlp.3` for one. `units`: `all`, a number to draw from each site, or
    indices such as `0-99,120`; `signs` also explains the negative side of neurons. `dictionary`: a folder, or
    `train:topk:latents=512:k=16`; its latents are then the units. `explainer` and `simulator` are `predicates` and
    `programs`, or models that speak (`hf:...`, `api:...`; as simulator asked token by token, as `rewriting:api:...` window
    by window, `all-at-once:FOLDER` in one pass a window); `revise` rounds of counterexamples follow what a model explains; `judge` and `embedder` are models for the scores that need one. `controls` are what the scores are held against. `tokens` caps the text, a world's too; `width` is a window,
    `context` what the model reads at once. `folder` is where activations are kept; beside the store unless given.
    """

    study: Literal["interp"] = "interp"
    world: Literal["planted", "compiled"] | None = None
    model: str | None = None
    text: str | None = None
    site: tuple[str, ...] = ("mlp",)
    units: str = Field(default="all", pattern=r"^(all|\d+|\d+(-\d+)?(,\d+(-\d+)?)+|\d+-\d+)$")
    signs: bool = False
    dictionary: str | None = None
    explainer: str = "predicates"
    simulator: str = "programs"
    revise: int = Field(default=0, ge=0)
    judge: str | None = None
    embedder: str | None = None
    scores: tuple[str, ...] = ("simulation",)
    controls: tuple[str, ...] = CONTROLS
    tokens: int | None = Field(default=None, ge=1)
    width: int = Field(default=32, ge=4)
    context: int = Field(default=256, ge=8)
    seeds: Seeds = (0,)
    folder: str | None = None

    @field_validator("scores", "controls", "site")
    @classmethod
    def _known(cls, value: tuple[str, ...], info: object) -> tuple[str, ...]:
        known = {"scores": SCORES, "controls": CONTROLS}.get(getattr(info, "field_name", ""), value)
        for name in distinct(value):
            if name not in known:
                raise ValueError(f"{name!r} is not known; {nearest(name, known)}")
        return value

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.world is None) == (self.model is None):
            raise ValueError("give either a world (planted, compiled) or a model with a text")
        if self.world is not None:
            for name in type(self).model_fields.keys() - {"world", "tokens", "seeds", "study"}:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"a world brings its own text, units and controls, and takes no {name!r}; leave it "
                                     "out, or give a model")  # fmt: skip
        if self.model is not None and self.text is None:
            raise ValueError(
                "a model needs a text: --text FILE, --text FOLDER, or --text sample:600x192 (its own samples)"
            )
        if self.revise and self.explainer == "predicates":
            raise ValueError("predicates are not revised by counterexamples; name a model: --explainer api:NAME")
        if self.model is not None and len(self.seeds) > 1:
            raise ValueError("a model is studied with one seed; several seeds are for worlds")
        for score, needs in (
            ("detection", "judge"),
            ("fuzzing", "judge"),
            ("intruder", "judge"),
            ("embedding", "embedder"),
        ):
            if score in self.scores and getattr(self, needs) is None:
                raise ValueError(f"the score {score!r} needs a model: --{needs} hf:FOLDER (or api:..., minilm)")
        return self
