"""Two processes on CPUs train what one process trains."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from superalign.learners.confidence import LogConf
from tests.models import hf_tiny

ROOT = Path(__file__).parents[2]
CODE = """
import json, sys
import numpy as np
from superalign.models.hf.load import hf
from tests.models import hf_tiny
from tests.models.test_hf_ranks import objective
model = hf(sys.argv[1], choices=("no", "yes"), tune="full", lr=0.003, epochs=2, batch=9, device="cpu")
logits = model.fit(hf_tiny.sentences(), objective, 0).logits(hf_tiny.sentences())
print("RESULT" + json.dumps(logits.tolist()))
"""


def objective(logits: hf_tiny.Array, rows: hf_tiny.Array, step: int, total: int) -> tuple[hf_tiny.Array, hf_tiny.Array]:
    """The confidence loss, whose threshold is over the effective batch, on labels that waver."""
    soft = np.eye(2)[hf_tiny.kindness(hf_tiny.sentences())] * 0.6 + 0.2
    return LogConf(warmup=0)(logits, soft[rows], step, total, rows)


def test_two_processes_give_what_one_gives() -> None:
    """9 items in a batch do not divide evenly, and the last batch has 6."""
    folder = str(hf_tiny.folder("gpt2"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        )
        for rank in range(2)
    ]  # fmt: skip
    found = []
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-2000:]
        found.append(np.array(json.loads(out.partition("RESULT")[2])))
    assert np.array_equal(found[0], found[1])
    items = hf_tiny.sentences()
    alone = hf_tiny.model("gpt2", lr=0.003, epochs=2, batch=9).fit(items, objective, 0).logits(items)
    assert np.abs(found[0] - alone).max() < 1e-3
    assert np.ptp(alone) > 0.1
