"""The sides of `rlhf.py`, each a process that does steps when told to: TRL's trainers and superalign's learners.

    python benchmarks/rlhf_sides.py SIDE FOLDER

SIDE is `trl` (any version that has the method; superalign need not be installed beside it), `hf` or `native`; FOLDER has
a model for each shape. Lines of standard input ask for `shape method steps`, then `go` for each block of steps; answers
are lines of JSON, one pair of seconds (processor, clock) for each step of a block.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(
    OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1",
    TRL_EXPERIMENTAL_SILENCE="1", CUDA_VISIBLE_DEVICES="",
)  # fmt: skip

RESPONSE, GROUP, BETA, BATCHES, RATE = 16, 4, 0.05, 16, 1e-5
FOREVER = 1_000_000


@dataclass(frozen=True)
class Shape:
    """The model and the batch of one configuration."""

    layers: int
    width: int
    words: int
    batch: int
    prompt: int

    @property
    def vocabulary(self) -> list[str]:
        return ["<pad>", "<eos>", *(f"w{k}" for k in range(2, self.words))]

    def texts(self, count: int, words: int, seed: int) -> list[str]:
        """Random texts of so many words."""
        draw = random.Random(seed)
        return [" ".join(draw.choices(self.vocabulary[2:], k=words)) for _ in range(count)]

    @property
    def data(self) -> tuple[list[str], list[str], list[str]]:
        """Prompts, responses and other responses (one word short of the limit, for EOS), 16 batches."""
        count = BATCHES * self.batch
        return (
            self.texts(count, self.prompt, 1), self.texts(count, RESPONSE - 1, 2), self.texts(count, RESPONSE - 1, 3)
        )  # fmt: skip


SHAPES = {"medium": Shape(4, 128, 512, 32, 8), "tiny": Shape(2, 64, 64, 64, 4)}


class Enough(BaseException):
    """The block that was asked for last is done: leave the training loop."""


class Pace:
    """Called between steps. Times them in blocks, each of which begins when a line comes in on standard input."""

    def __init__(self, steps: int, out: Any) -> None:
        self.steps, self.out, self.taken, self.began = steps, out, list[tuple[float, float]](), (0.0, 0.0)

    def __call__(self) -> None:
        cpu, clock = time.process_time(), time.perf_counter()
        if self.began != (0.0, 0.0):
            self.taken.append((cpu - self.began[0], clock - self.began[1]))
        if self.began == (0.0, 0.0) or len(self.taken) == self.steps:
            print(json.dumps(self.taken), file=self.out, flush=True)
            self.taken.clear()
            if sys.stdin.readline().strip() != "go":
                raise Enough
        self.began = time.process_time(), time.perf_counter()


def distinct(prompts: Sequence[str], completions: Sequence[str], **columns: Any) -> list[float]:
    """The reward of GRPO and RLOO on every side: different words in the response."""
    return [float(len(set(text.split()))) for text in completions]


def of_trl(method: str, shape: Shape, folder: Path, pace: Pace) -> None:
    """One of TRL's trainers until `pace` has enough."""
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback

    class Between(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: Any, **more: Any) -> None:
            pace()

    prompts, chosen, rejected = shape.data
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    common = {
        "output_dir": str(folder / "out"), "per_device_train_batch_size": shape.batch, "max_steps": FOREVER,
        "learning_rate": RATE, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False,
    }  # fmt: skip
    columns = {"prompt": [f"{text} " for text in prompts]}
    ends = {name: [f"{text} <eos>" for text in texts] for name, texts in (("chosen", chosen), ("rejected", rejected))}
    if method == "sft":
        data = Dataset.from_dict(columns | {"completion": ends["chosen"]})
    else:
        data = Dataset.from_dict(columns | (ends if method in ("reward", "dpo", "dpo-once") else {}))
    trained = {"train_dataset": data, "processing_class": tokenizer, "callbacks": [Between()]}
    make = {
        "sft": _sft, "reward": _reward, "dpo": _dpo, "dpo-once": _dpo_once, "grpo": _grpo, "rloo": _rloo, "ppo": _ppo,
    }  # fmt: skip
    make[method](str(folder), common, trained).train()


EXACT = {"model_init_kwargs": {"dtype": "float32"}}
SAMPLED = {
    "num_generations": GROUP, "max_completion_length": RESPONSE, "beta": BETA, "num_iterations": 1,
    "steps_per_generation": 1, "temperature": 1.0, **EXACT,
}  # fmt: skip


def _sft(folder: str, common: dict[str, Any], trained: dict[str, Any]) -> Any:
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(folder, args=SFTConfig(**common, **EXACT, completion_only_loss=True), **trained)


def _reward(folder: str, common: dict[str, Any], trained: dict[str, Any]) -> Any:
    from trl import RewardConfig, RewardTrainer

    return RewardTrainer(folder, args=RewardConfig(**common, **EXACT), **trained)


def _dpo(folder: str, common: dict[str, Any], trained: dict[str, Any]) -> Any:
    from trl import DPOConfig, DPOTrainer

    return DPOTrainer(folder, args=DPOConfig(**common, **EXACT, beta=0.1), **trained)


def _dpo_once(folder: str, common: dict[str, Any], trained: dict[str, Any]) -> Any:
    return _dpo(folder, {**common, "precompute_ref_log_probs": True}, trained)


def _grpo(folder: str, common: dict[str, Any], trained: dict[str, Any]) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    return GRPOTrainer(folder, distinct, args=GRPOConfig(**common, **SAMPLED, loss_type="grpo"), **trained)


def _rloo(folder: str, common: dict[str, Any], trained: dict[str, Any]) -> Any:
    from trl import RLOOConfig, RLOOTrainer

    return RLOOTrainer(folder, distinct, args=RLOOConfig(**common, **SAMPLED), **trained)


def _ppo(folder: str, common: dict[str, Any], trained: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    data, tokenizer = trained.pop("train_dataset"), trained["processing_class"]
    data = data.map(lambda row: {"input_ids": tokenizer(row["prompt"])["input_ids"]}, remove_columns=["prompt"])
    scorers = [AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1) for _ in range(2)]
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder) for _ in range(2))
    options = PPOConfig(
        **common, total_episodes=FOREVER, response_length=RESPONSE, stop_token="eos", temperature=1.0, kl_coef=BETA,
        num_ppo_epochs=4, num_mini_batches=1, num_sample_generations=0,
    )  # fmt: skip
    return PPOTrainer(
        options, model=policy, ref_model=reference, reward_model=scorers[0], value_model=scorers[1],
        train_dataset=data, eval_dataset=data, **trained,
    )  # fmt: skip


def likelihood_trl(shape: Shape, folder: Path) -> float:
    """Mean log-probability of the tokens of the first responses."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prompts, chosen, _ = shape.data
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [f"{p} {c} <eos>" for p, c in zip(prompts[: shape.batch], chosen, strict=False)]
    tokens = tokenizer(rows, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logp = AutoModelForCausalLM.from_pretrained(folder)(tokens).logits[:, :-1].log_softmax(-1)
    return float(logp.gather(-1, tokens[:, 1:, None])[:, shape.prompt - 1 :].mean())


def policy_of(side: str, shape: Shape, folder: Path) -> Any:
    """The policy with the weights of `folder`."""
    if side == "hf":
        from superalign.models.hf.policy import hf_policy

        return hf_policy(str(folder), device="cpu", dtype="float32")
    return native(shape)


def native(shape: Shape) -> Any:
    """The native transformer that all sides start from."""
    from superalign.models.native import gpt

    sizes = gpt.Shape(shape.words, shape.layers, shape.width, heads=4, context=32)
    return gpt.GPT(sizes, shape.vocabulary, pad=0, eos=1, seed=7)


def likelihood_ours(side: str, shape: Shape, folder: Path) -> float:
    """Mean log-probability of the tokens of the first responses."""
    import torch

    from superalign.learners.rl.rollouts import logprobs, packed
    from superalign.models.policy import Sampling

    prompts, chosen, _ = (texts[: shape.batch] for texts in shape.data)
    policy = policy_of(side, shape, folder)
    with torch.no_grad():
        return float(logprobs(policy, packed(policy, prompts, chosen), Sampling()).mean())


def of_superalign(side: str, method: str, shape: Shape, folder: Path, pace: Pace) -> None:
    """One of superalign's learners until `pace` has enough."""
    policy = policy_of(side, shape, folder)
    if method in ("sft", "reward", "dpo", "dpo-once"):
        return supervised(policy, method, shape, pace)
    return on_policy(policy, method, shape, pace)


def supervised(policy: Any, method: str, shape: Shape, pace: Pace) -> None:
    import torch

    from superalign.learners.rl.comparisons import from_scores
    from superalign.learners.rl.dpo import DPO, dpo, sequence_logprobs
    from superalign.learners.rl.progress import Watching
    from superalign.learners.rl.reward import Reward, reward_model
    from superalign.learners.rl.rollouts import packed, take
    from superalign.learners.rl.sft import SFT, sft

    prompts, chosen, rejected = shape.data
    common: dict[str, Any] = {"batch": shape.batch, "lr": RATE, "clip_gradient": 1.0, "weight_decay": 0.0}
    run = Watching(progress=lambda *place: pace())
    if method == "sft":
        sft(policy, packed(policy, prompts, chosen), SFT(**common, steps=FOREVER), run)
        return
    pairs = from_scores([1.0, 0.0] * len(prompts), prompts, list(zip(chosen, rejected, strict=True)))
    if method == "reward":
        reward_model(policy, pairs, Reward(**common, epochs=FOREVER), run)
        return
    rows, twice, reference = packed(policy, pairs.asked, pairs.answered), 2 * shape.batch, policy.copy()

    def with_reference(what: str, step: int, steps: int) -> None:
        """The learner reads the reference once, before its steps; here is what a step's share of that costs."""
        first = step % BATCHES * twice
        with torch.no_grad():
            sequence_logprobs(reference, take(rows, torch.arange(first, first + twice)))
        pace()

    if method == "dpo":
        run = Watching(progress=with_reference)
    dpo(policy, pairs, DPO(**common, steps=FOREVER), run)


def on_policy(policy: Any, method: str, shape: Shape, pace: Pace) -> None:
    from superalign.learners.rl.grpo import GRPO, grpo
    from superalign.learners.rl.overseers import program
    from superalign.learners.rl.ppo import PPO, Value, ppo
    from superalign.learners.rl.progress import Watching
    from superalign.learners.rl.reward import RewardModel, overseer
    from superalign.learners.rl.rloo import RLOO, rloo

    common: dict[str, Any] = {
        "iterations": FOREVER, "batch": shape.batch, "tokens": RESPONSE, "beta": BETA, "lr": RATE,
    }  # fmt: skip
    prompts, run = shape.data[0], Watching(progress=lambda *place: pace())
    reference = policy.copy()
    if method == "grpo":
        grpo(policy, reference, prompts, program(distinct), GRPO(**common, group=GROUP), run)
    elif method == "rloo":
        rloo(policy, reference, prompts, program(distinct), RLOO(**common, group=GROUP), run)
    else:
        model = RewardModel(policy)
        options = PPO(**common, minibatches=1)
        ppo(policy, reference, prompts, overseer(model), options, run, value=Value.from_reward(model))


def worker(side: str, folder: Path) -> None:
    """Answer standard input. What libraries print goes to standard error."""
    import torch

    torch.set_num_threads(1)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    ours = side in ("hf", "native")
    for line in iter(sys.stdin.readline, ""):
        name, method, steps = line.split()
        shape, place = SHAPES[name], folder / name
        found = likelihood_ours(side, shape, place) if ours else likelihood_trl(shape, place)
        print(json.dumps({"likelihood": found}), file=out, flush=True)
        pace = Pace(int(steps), out)
        try:
            if ours:
                of_superalign(side, method, shape, place, pace)
            else:
                of_trl(method, shape, place, pace)
        except Enough:
            continue
        raise SystemExit(f"{side}: {method} ended by itself")


if __name__ == "__main__":
    worker(sys.argv[1], Path(sys.argv[2]))
