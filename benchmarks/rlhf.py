"""Steps of RLHF: TRL beside superalign, on the same weights and the same work, one thread each.

    python benchmarks/rlhf.py [--shapes tiny medium] [--methods sft ppo ...] [--rounds 5]

Three sides: TRL's trainers (1.16.0; for PPO 1.12.0, as later releases have none), superalign with the same network from
transformers (`models/hf/policy.py`), and superalign with its native transformer (`models/native/gpt.py`). All three start
from one GPT-2-shaped model with random weights, made here, and must give the same log-probabilities before anything
is timed. Each version of TRL lives in an environment of its own below the user's cache folder, which the command makes
when it is missing (`python -m venv`, then pip; this needs a network once) and says so. Nothing else is downloaded.

Every side is a process. A block is so many steps of one method on one side; blocks of the sides alternate, the first
block of each is not counted, and medians are taken over all steps of the others. A step lasts from one call of a
trainer's callback to the next, so whatever the training loop does is in it, logging too. Milliseconds are those of
the processor: other work on the machine lengthens the clock's by its share and these by a little.

`medium` is 4 layers, width 128, 512 words, batches of 32, prompts of 8 tokens; `tiny` is 2 layers, width 64, 64 words,
batches of 64, prompts of 4. Responses have 16 tokens: 15 words and EOS where they are given, at most 16 where they are
sampled. float32, AdamW, no dropout, no gradient checkpointing, texts tokenised before. What a step is, on every side:

    sft      collate B prompts with responses, loss on the responses, backward, clip, update
    reward   collate B pairs, 2B forwards, pairwise loss, backward, clip, update
    dpo      collate B pairs, 2B forwards of the policy and 2B of the reference, loss, backward, clip, update
    dpo-once the same without the reference, which has read the pairs before the first step
    grpo     sample 4 responses to each of B / 4 prompts, decode, reward by a Python function, reference, loss with
             0.05 k3, backward, clip, update: one update per batch
    rloo     the same with the KL in the reward
    ppo      sample B responses, reference, values, a reward model of the policy's size, 4 epochs of one minibatch
             with policy and value network (clipped both), and the statistics that each side reports
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf_sides import SHAPES, native

METHODS = ("sft", "reward", "dpo", "dpo-once", "grpo", "rloo", "ppo")
SIDES = ("trl", "hf", "native")
TRL = {method: "1.12.0" if method == "ppo" else "1.16.0" for method in METHODS}
PINNED = ("torch==2.13.0", "transformers==5.23.0", "accelerate", "datasets")
CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"


def environment(version: str, cache: Path) -> Path:
    """The Python of an environment that holds this version of TRL; made when it is missing."""
    place = cache / f"trl-{version}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    whole = place / "whole.json"
    wanted = [f"trl=={version}", *PINNED]
    if whole.exists() and json.loads(whole.read_text(encoding="utf-8")) == wanted:
        return python
    print(f"making {place} with {', '.join(wanted)} (some minutes, 1.5 GB)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    limits = ["--constraint", str(CONSTRAINTS)] if CONSTRAINTS.exists() else []
    install = [str(python), "-m", "pip", "install", "--quiet", *wanted, *limits]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["nothing"]
        raise SystemExit(
            f"TRL {version} could not be installed; pip said: {said[-1]}\nIt needs a network once. Without one, "
            "time superalign alone: --sides hf native"
        )
    whole.write_text(json.dumps(wanted), encoding="utf-8")
    return python


class Side:
    """A process of one side."""

    def __init__(self, name: str, python: Path, folder: Path) -> None:
        self.name, self.log = name, folder / f"{python.parent.parent.name}-{name}.log"
        command = [str(python), str(Path(__file__).with_name("rlhf_sides.py")), name.partition("-")[0], str(folder)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "HF_HOME": str(folder)},
            )  # fmt: skip

    def ask(self, line: str) -> Any:
        """Send a line and read the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        return self.heard()

    def heard(self) -> Any:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} failed:\n" + "\n".join(self.log.read_text().splitlines()[-30:]))
        return json.loads(answer)


Times = dict[str, list[list[tuple[float, float]]]]
"""Of each side, blocks of steps of (processor, clock) seconds."""


def measure(sides: dict[str, Side], shape: str, method: str, steps: int, rounds: int) -> Times:
    """Alternate blocks of the sides; the first of each is left out. All must start from the same log-probabilities."""
    started = {name: side.ask(f"{shape} {method} {steps}")["likelihood"] for name, side in sides.items()}
    if max(started.values()) - min(started.values()) > 1e-4:
        raise SystemExit(f"the sides start from different models; mean log-probabilities: {started}")
    for side in sides.values():
        side.heard()
    times: Times = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            times[name].append(sides[name].ask("go"))
    for side in sides.values():
        assert side.process.stdin is not None
        print("stop", file=side.process.stdin, flush=True)
    return {name: blocks[1:] for name, blocks in times.items()}


def middle(blocks: list[list[tuple[float, float]]], clock: int = 0) -> float:
    """Median milliseconds of a step."""
    return 1000 * statistics.median(step[clock] for block in blocks for step in block)


def show(shape: str, method: str, times: Times) -> None:
    """One line: milliseconds, then how many of each own side's steps fit into one of TRL's, with its range by round."""
    cells = [f"{shape:7s} {method:9s}", *(f"{middle(times[side]):8.1f}" for side in times)]
    for side in (s for s in times if s != "trl" and "trl" in times):
        by_round = [middle([a]) / middle([b]) for a, b in zip(times["trl"], times[side], strict=True)]
        whole, clock = (middle(times["trl"], c) / middle(times[side], c) for c in (0, 1))
        cells.append(f"{whole:6.2f} ({min(by_round):4.2f}-{max(by_round):4.2f}), {clock:4.2f}")
    print("".join(f"{cell:<26s}" if "(" in cell else cell for cell in cells), flush=True)


def start(shapes: list[str], sides: list[str], versions: list[str], cache: Path, folder: Path) -> Iterator[Side]:
    """Make the models and start the processes: one for each version of TRL, one for each own side."""
    for name in shapes:
        native(SHAPES[name]).save(folder / name)
    for version in versions if "trl" in sides else []:
        yield Side(f"trl-{version}", environment(version, cache), folder)
    for name in (s for s in sides if s != "trl"):
        yield Side(name, Path(sys.executable), folder)


def main() -> None:
    """Run the sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="default: both")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="timed blocks of each side")
    parser.add_argument("--steps", type=int, default=4, help="steps in a block")
    parser.add_argument("--cache", type=Path, help="folder of TRL's environments; default: the user's cache folder")
    given = parser.parse_args()
    import platformdirs

    cache = given.cache or Path(platformdirs.user_cache_dir("superalign")) / "benchmarks"
    versions = sorted({TRL[m] for m in given.methods})
    with tempfile.TemporaryDirectory() as place:
        running = {s.name: s for s in start(given.shapes, given.sides, versions, cache.absolute(), Path(place))}
        chosen = [side for side in SIDES if side in given.sides]
        print("ms of the processor per step; TRL's over the side's (range by round), the same by the clock")
        heads = [f"TRL / {side}" for side in chosen if side != "trl" and "trl" in chosen]
        print(f"{'':17s}{''.join(f'{side:>8s}' for side in chosen)}  {''.join(f'{head:<26s}' for head in heads)}")
        for shape in given.shapes:
            for method in given.methods:
                sides = {s: running[f"trl-{TRL[method]}" if s == "trl" else s] for s in chosen}
                show(shape, method, measure(sides, shape, method, given.steps, given.rounds))
        for side in running.values():
            side.process.communicate()


if __name__ == "__main__":
    main()
