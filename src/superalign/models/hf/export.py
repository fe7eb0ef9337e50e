"""A trained model as a folder that transformers reads, with no trace of this package in it.

A decoder read at its last token, without an intercept, is a sequence classifier of transformers and is
written as one, after its logits were compared. Anything else is written as the transformer itself with
the head beside it and a README that shows the six lines that use it. A folder is whole or not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from superalign.models.hf.batches import collate
from superalign.models.hf.folder import whole
from superalign.models.hf.plan import Plan, tokenizer_of, told

if TYPE_CHECKING:
    from superalign.models.hf.network import Network

HEAD = "superalign_head.safetensors"

_README = """# Exported by superalign

A transformer (`AutoModel`) and a linear head in `{head}`: `weight` (K, d), `bias` (K,). {columns}

```python
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = "."  # where this file is
tokenizer, model, head = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder), load_file(folder + "/{head}")
tokenizer.truncation_side = "{side}"


@torch.inference_mode()
def logits(text):
    ids = tokenizer(text, truncation=True, max_length={tokens}, return_tensors="pt").input_ids
    states = model(input_ids=ids, output_hidden_states=True).{states}
    return {pooled} @ head["weight"].T + head["bias"]
```
"""

_CLASSIFIER = """# Exported by superalign

A sequence classifier of transformers: `AutoModelForSequenceClassification.from_pretrained(folder)`. {columns}
Texts are cut to {tokens} tokens from the {side}. transformers finds the end of a padded text by the id of the
padding token ({pad}), so pad on the right and keep that token out of texts.
"""


def export_classifier(plan: Plan, network: Network, choices: tuple[str, ...], folder: Path) -> None:
    """Write a finetuned network; adapters are merged into the weights. Raises ModelError where `folder` exists."""
    from superalign.models.hf.adapters import merged

    state = {name: value.detach().cpu() for name, value in merged(network.backbone.network).items()}
    weight = network.head.weight.detach().float().cpu()

    def write(into: Path) -> None:
        if plan.causal and plan.pool == "last":
            made = _sequence_classifier(plan, state, weight, choices)
            if made is not None and _agrees(made, network):
                made.save_pretrained(into)
                _readme(plan, choices, into, pad=_padding(plan)[1])
                return
        from transformers import AutoModel

        with told(plan.source):
            bare = AutoModel.from_config(plan.config)
        bare.load_state_dict(state, strict=False)  # BERT's pooler stays as drawn: nothing reads it
        bare.save_pretrained(into)
        tokenizer_of(plan.source).save_pretrained(into)
        _beside(plan, choices, weight.numpy(), np.zeros(len(weight), np.float32), into)

    whole(folder, write)


def export_head(plan: Plan, choices: tuple[str, ...], weights: NDArray[Any], bias: NDArray[Any], folder: Path) -> None:
    """Write a frozen transformer (a copy of its files) and its head, `Head.weights` (d, outputs) and `Head.bias`."""
    weight: NDArray[Any] = np.asarray(weights.T, np.float32)
    offset: NDArray[Any] = np.asarray(bias, np.float32)
    if len(choices) == 2:  # one output is the difference of two logits, split evenly
        weight, offset = np.concatenate([-weight, weight]) / 2, np.concatenate([-offset, offset]) / 2
    if offset.size == 0:
        offset = np.zeros(len(weight), np.float32)

    def write(into: Path) -> None:
        for file in plan.source.folder.iterdir():
            if file.is_file() and file.suffix in (".json", ".safetensors", ".txt", ".model"):
                shutil.copyfile(file, into / file.name)
        _beside(plan, choices, weight, offset, into)

    whole(folder, write)


def _sequence_classifier(
    plan: Plan, state: dict[str, torch.Tensor], weight: torch.Tensor, choices: Sequence[str]
) -> Any:
    """The transformers classifier with these weights; None where the architecture has none of the same form."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    labels = dict(enumerate(choices)) if choices else {0: "score"}
    config = AutoConfig.from_pretrained(
        plan.source.folder, local_files_only=True, id2label=labels, label2id={v: k for k, v in labels.items()}
    )
    config.pad_token_id = _padding(plan)[0].pad_token_id
    try:
        made = AutoModelForSequenceClassification.from_config(config).eval()
    except ValueError:
        return None
    if tuple(getattr(getattr(made, "score", None), "weight", torch.zeros(0)).shape) != tuple(weight.shape):
        return None
    made.base_model.load_state_dict(state)
    made.score.weight.data.copy_(weight)
    return made


def _agrees(made: Any, network: Network) -> bool:
    """Whether the classifier gives the network's scores for three texts in one padded batch."""
    pad = made.config.pad_token_id
    rng = np.random.default_rng(0)
    rows = [rng.permutation([i for i in range(min(99, made.config.vocab_size)) if i != pad])[:n] for n in (6, 4, 2)]
    device = network.backbone.device
    batch = collate(rows, torch.device("cpu"))
    inside = torch.arange(batch.ids.shape[1]) < batch.lengths[:, None]
    with torch.inference_mode():
        theirs = made(input_ids=batch.ids.masked_fill(~inside, pad), attention_mask=inside.long()).logits
        ours = network(collate(rows, device)).cpu()
    return bool(torch.allclose(theirs, ours, atol=1e-3 if network.backbone.dtype == torch.float32 else 0.1))


def _padding(plan: Plan) -> tuple[Any, str]:
    """A tokenizer that has a padding token, and that token."""
    tokenizer = tokenizer_of(plan.source)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer, str(tokenizer.pad_token)


def _readme(plan: Plan, choices: Sequence[str], into: Path, pad: str) -> None:
    _padding(plan)[0].save_pretrained(into)
    text = _CLASSIFIER.format(columns=_columns(choices), tokens=plan.limit, side=_side(choices), pad=pad)
    (into / "README.md").write_text(text, encoding="utf-8")


def _beside(plan: Plan, choices: Sequence[str], weight: NDArray[Any], bias: NDArray[Any], into: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weight": np.ascontiguousarray(weight), "bias": np.ascontiguousarray(bias)}, into / HEAD)
    pooled = {"last": "states[0, -1]", "cls": "states[0, 0]", "mean": "states[0].mean(0)"}[plan.pool]
    states = "last_hidden_state" if plan.layer is None else f"hidden_states[{plan.layer}]"
    settings = {"pool": plan.pool, "layer": plan.layer, "tokens": plan.limit, "choices": list(choices)}
    (into / "superalign_head.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    text = _README.format(head=HEAD, columns=_columns(choices), side=_side(choices), tokens=plan.limit,
                          states=states, pooled=pooled)  # fmt: skip
    (into / "README.md").write_text(text, encoding="utf-8")


def _columns(choices: Sequence[str]) -> str:
    if choices:
        return "The columns are " + ", ".join(choices) + "."
    return "The one score is of a prompt, a newline and one of its choices; take the softmax over the choices."


def _side(choices: Sequence[str]) -> str:
    return "right" if choices else "left"
