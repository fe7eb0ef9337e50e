"""Debates with scripted models: the driver beside Inspect, and beside the limits that it cannot beat.

    python benchmarks/oversight.py [--rounds 3] [--debates 200]

1. 200 sequential debates of three rounds and a judge (1,400 calls), transcripts stored: superalign's driver and
   SQLite store; the same calls as an Inspect task (one sample per debate, `generate` for each call, its log
   written), and Inspect without sample logs. Each side is a process of its own with one thread; seconds start
   after the imports. Inspect's own mock model answers, told what to say, so that nothing is downloaded.
2. The same debates replayed from the store: no call is made.
3. 4,000 two-round debates against a local model: how many batched calls they cost.
4. An endpoint with heavy-tailed latency (log-normal, sigma 1.2) and 32 calls at once: calls per second, as a
   share of 32 over the mean latency, which is what the limit allows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

from superalign.core.types import Ask, Item, Pending, Reply, Seat

ROUNDS, WORDS = 3, 60
SPEECH = " ".join(f"reason{k}" for k in range(WORDS))
STORY = " ".join(f"word{k}" for k in range(250))


def items(n: int) -> list[Item]:
    return [
        Item(f"item-{k}", f"Question {k}: who is right?", ("the first", "the second"), {"source": STORY})
        for k in range(n)
    ]


def say(ask: Ask) -> Reply:
    return Reply("A", (0.6, 0.4)) if ask.choices else Reply(SPEECH)


def ours(debates: int, folder: str) -> dict[str, float]:
    """Play and replay; seconds of the clock and of the processor."""
    from superalign.core.driver import Transcript, play
    from superalign.models.scripted import Scripted
    from superalign.protocols.debate import debate
    from superalign.store import open_store

    games = [(item, Seat()) for item in items(debates)]
    cast = {"debater": Scripted("debater", say), "judge": Scripted("judge", say)}
    found: dict[str, float] = {}
    with open_store(str(Path(folder) / "store.sqlite")) as store:
        store.append("warm", [{"kind": "warm"}])  # the tables are made before the clock starts
        for name in ("play", "replay"):
            wall, cpu = time.perf_counter(), time.process_time()
            transcript = Transcript(store, "calls")
            judgments = play(debate(kind="sequential", rounds=ROUNDS), cast, games, transcript)
            found[name], found[f"{name}_cpu"] = time.perf_counter() - wall, time.process_time() - cpu
            assert sum(len(j.calls) for j in judgments) == debates * (2 * ROUNDS + 1)
            assert transcript.asked == (debates * (2 * ROUNDS + 1) if name == "play" else 0)
    return found


def inspects(debates: int, folder: str, samples: bool) -> dict[str, float]:
    """The same debates as an Inspect task."""
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageUser, ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import Generate, Solver, TaskState, solver

    def output(text: str) -> ModelOutput:
        made = ModelOutput.from_content("mockllm/model", text)
        made.usage = ModelUsage(input_tokens=500, output_tokens=80, total_tokens=580)
        return made

    model = get_model("mockllm/model", custom_outputs=lambda *_: output(SPEECH))

    @solver
    def debate() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            said = ""
            for _ in range(ROUNDS):
                for side in "AB":
                    prompt = f"You are Debater {side}. {STORY} {state.input_text} {said}"
                    reply = await model.generate([ChatMessageUser(content=prompt)])
                    said += f"\nDebater {side}: {reply.completion}"
            state.output = await model.generate([ChatMessageUser(content=f"{state.input_text} {said}")])
            return state

        return solve

    dataset = [Sample(input=i.prompt, target="A", id=i.id) for i in items(debates)]
    task = Task(dataset=dataset, solver=debate(), scorer=match())
    wall, cpu = time.perf_counter(), time.process_time()
    logs = evaluate(task, model=model, log_dir=folder, display="none", log_samples=samples)
    seconds = {"play": time.perf_counter() - wall, "play_cpu": time.process_time() - cpu}
    assert logs[0].status == "success"
    return seconds


class Counted:
    """A local model that counts its batches."""

    name, serial, batches = "counted", True, 0

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        self.batches += 1
        for k, ask in enumerate(asks):
            yield k, say(ask)


class Endpoint:
    """An endpoint whose latency has a heavy tail: each ask sleeps its own time."""

    serial = False

    def __init__(self, latencies: Sequence[float], concurrency: int) -> None:
        self.name, self.concurrency, self.latencies = "endpoint", concurrency, latencies
        self.slept: list[float] = []

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        for k, ask in enumerate(asks):
            seconds = self.latencies[hash(ask.messages) % len(self.latencies)]
            self.slept.append(seconds)
            time.sleep(seconds)
            yield k, say(ask)


def batches() -> dict[str, float]:
    from superalign.core.driver import play
    from superalign.protocols.debate import debate

    model = Counted()
    start = time.perf_counter()
    play(debate(rounds=2), {"debater": model, "judge": model}, [(i, Seat()) for i in items(4000)])
    return {"batches": model.batches, "seconds": time.perf_counter() - start}


def throughput() -> dict[str, float]:
    import numpy as np

    from superalign.core.driver import play
    from superalign.protocols.debate import debate

    width = 32
    tail = np.random.default_rng(0).lognormal(np.log(0.02), 1.2, 4096).clip(max=1.5)
    model = Endpoint(tail.tolist(), width)
    start = time.perf_counter()
    play(debate(kind="sequential", rounds=1), {"debater": model, "judge": model}, [(i, Seat()) for i in items(1500)])
    seconds = time.perf_counter() - start
    reached, allowed = len(model.slept) / seconds, width * len(model.slept) / sum(model.slept)
    return {"calls": len(model.slept), "per_second": reached, "allowed": allowed, "share": reached / allowed}


SIDES = {
    "superalign": lambda n, folder: ours(n, folder),
    "inspect": lambda n, folder: inspects(n, folder, True),
    "inspect, no sample logs": lambda n, folder: inspects(n, folder, False),
}


def side(name: str, debates: int) -> dict[str, float]:
    """One side in a process of its own."""
    command = [sys.executable, __file__, "--side", name, "--debates", str(debates)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; medians are printed")
    parser.add_argument("--debates", type=int, default=200)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(SIDES[options.side](options.debates, folder)))
        return
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    for _ in range(options.rounds):
        for name in SIDES:
            taken[name].append(side(name, options.debates))
    medians = {n: {k: statistics.median(t[k] for t in runs) for k in runs[0]} for n, runs in taken.items()}
    report(medians, options.debates)


def report(medians: dict[str, dict[str, Any]], debates: int) -> None:
    calls = debates * (2 * ROUNDS + 1)
    own = medians["superalign"]
    print(f"{debates} debates, {calls} calls; seconds of the clock, of the processor, and beside superalign")
    for name, m in medians.items():
        ratio = m["play_cpu"] / own["play_cpu"]
        print(f"  {name:<26}{m['play']:8.3f}{m['play_cpu']:8.3f}{ratio:8.1f}x   {calls / m['play']:8.0f} calls/s")
    print(
        f"  {'superalign, replayed':<26}{own['replay']:8.3f}{own['replay_cpu']:8.3f}{'':9}   {calls / own['replay']:8.0f} calls/s"
    )
    b = batches()
    print(f"4,000 two-round debates: {b['batches']:.0f} batched calls, {b['seconds']:.2f} s")
    t = throughput()
    print(
        f"heavy-tailed endpoint: {t['calls']:.0f} calls, {t['per_second']:.0f}/s of {t['allowed']:.0f}/s"
        f" that 32 at once allow: {t['share']:.0%}"
    )


if __name__ == "__main__":
    main()
