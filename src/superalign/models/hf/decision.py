"""Choices as typed decisions: the prompt and the labels that `transformers serve` uses at `/v1/systemone`.

`hf:FOLDER:tune=none:probs=typed` and `api:http://.../v1:model=FOLDER:probs=typed` then give one and the same model
the same question, and get the same probabilities.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.types import Message
from superalign.models.api import typed


class Decisions:
    """The form in which a model's folder wants typed decisions. Raises ModelError where it has no chat template."""

    def __init__(self, tokenizer: Any, folder: Path) -> None:
        try:
            from transformers.decision import DecisionConfig
        except ImportError as error:
            raise ModelError("this transformers has no typed decisions; type: pip install -U transformers") from error
        if not tokenizer.chat_template:
            raise ModelError(f"{folder} has no chat template, which typed decisions need; leave out probs=typed")
        self._tokenizer = copy.deepcopy(tokenizer)  # marks are added to its vocabulary
        self._config = DecisionConfig.from_pretrained(folder, local_files_only=True)
        self.temperature = float(self._config.temperature.get("choice", 1.0))
        self.identity = digest(vars(self._config), typed.body("", (), ("yes", "no")))

    def ids(self, messages: Sequence[Message], choices: Sequence[str]) -> list[int]:
        """The prompt's ids, up to where the answer is read."""
        request = typed.body("", messages, choices)
        ((inputs, _),) = self._config.prepare_inputs(
            {"state": request["state"], "questions": request["questions"]}, self._tokenizer
        )
        found: list[int] = inputs["input_ids"][0, : int(inputs["marks"][-1])].tolist()
        return found

    def labels(self, count: int) -> list[int]:
        """The ids of the first `count` labels. Raises ModelError where a label is not one token."""
        from transformers.decision import label_token_ids

        names = self._config.labels.get("choice") or [chr(65 + k) for k in range(26)]
        try:
            found: list[int] = label_token_ids(self._tokenizer, tuple(names[:count]))
        except ValueError as error:
            raise ModelError(f"typed decisions: {error} Leave out probs=typed") from error
        return found
