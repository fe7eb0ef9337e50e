"""Two processes on CPUs train what one process trains: their shares, their sums, and a whole fit."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from superalign.learners.confidence import LogConf
from superalign.models.hf.ranks import Ranks
from tests.models import hf_tiny

ROOT = Path(__file__).parents[2]
CODE = """
import os, sys
import accelerate
import numpy as np
import superalign.models.hf.classifier
from superalign.models.hf.load import hf
from tests.models import hf_tiny
from tests.models.test_hf_ranks import objective
from transformers import AutoModelForCausalLM, GPT2LMHeadModel, PreTrainedTokenizerFast

def work(rank):
    os.environ.update(RANK=rank, LOCAL_RANK=rank)
    model = hf(sys.argv[1], choices=("no", "yes"), tune="full", lr=0.003, epochs=2, batch=9, device="cpu")
    logits = model.fit(hf_tiny.sentences(), objective, 0).logits(hf_tiny.sentences())
    np.save(os.path.join(sys.argv[2], rank), logits)

started = []
for rank in "01":  # forked here, and left without tidying up: to import what is above takes seconds, to let go of it too
    started.append(os.fork())
    if not started[-1]:
        work(rank)
        os._exit(0)
os._exit(max(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != 0 for process in started))
"""


def objective(logits: hf_tiny.Array, rows: hf_tiny.Array, step: int, total: int) -> tuple[hf_tiny.Array, hf_tiny.Array]:
    """The confidence loss, whose threshold is over the effective batch, on labels that waver."""
    soft = np.eye(2)[hf_tiny.kindness(hf_tiny.sentences())] * 0.6 + 0.2
    return LogConf(warmup=0)(logits, soft[rows], step, total, rows)


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    """9 items in a batch do not divide evenly, and the last batch has 6."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(hf_tiny.folder("gpt2")), str(tmp_path)], capture_output=True, text=True,
        cwd=ROOT, timeout=120, check=False, env={**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = [np.load(tmp_path / f"{rank}.npy") for rank in (0, 1)]
    assert np.array_equal(found[0], found[1])
    items = hf_tiny.sentences()
    alone = hf_tiny.model("gpt2", lr=0.003, epochs=2, batch=9).fit(items, objective, 0).logits(items)
    assert np.abs(found[0] - alone).max() < 1e-3
    assert np.ptp(alone) > 0.1


def test_shares_cover_a_batch_and_keep_groups_together() -> None:
    shares = [Ranks(rank, 3).mine(14, 4) for rank in range(3)]
    assert [share.tolist() for share in shares] == [[0, 1, 2, 3, 12, 13], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert Ranks(1, 2).mine(5).tolist() == [1, 3]


def test_alone_nothing_is_sent() -> None:
    part, weight = torch.ones(2, 3), torch.nn.Parameter(torch.ones(2))
    alone = Ranks()
    assert alone.whole(part, 2) is part
    assert (alone.any(True), alone.any(False)) == (True, False)
    alone.add([weight])
    alone.follow([weight])
    assert weight.grad is None
    assert weight.tolist() == [1, 1]


def test_what_no_process_has_a_gradient_for_keeps_none() -> None:
    """Else weight decay would move it. A group of one process stands for two, of which the other has nothing."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        held = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
        held[0].grad = torch.tensor([1.0, 2.0])
        group = Ranks(0, 2)
        group.add(held)
        assert held[0].grad.tolist() == [1, 2]
        assert held[1].grad is None
        part = torch.nn.Parameter(torch.ones(2, 1))
        full = group.whole(part, 3)
        assert full.tolist() == [[1], [0], [1]]
        (full * torch.tensor([[1.0], [2.0], [3.0]])).sum().backward()  # type: ignore[no-untyped-call]
        assert part.grad is not None
        assert part.grad.tolist() == [[1], [3]]
    finally:
        torch.distributed.destroy_process_group()
