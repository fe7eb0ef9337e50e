"""A proposer that means harm: files that steal, lie, break and memorise, in a campaign on the toy."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from superalign.core.ports import Store
from superalign.research.ledger import Ledger
from superalign.research.proposers.propose import Code, Proposal, Told
from superalign.store import beside
from tests.research.toy import ITEMS, toy

FIDELITY = 3

THIEF = """
import glob, os, sys

def method(public, seed):
    loot = [repr(dict(os.environ)), repr(sys.argv)]
    for place in {places!r} + glob.glob("/proc/*/environ") + glob.glob("/proc/*/fd/*"):
        try:
            with open(place, "rb") as file:
                loot.append(place + " " + repr(file.read(1 << 16)))
        except OSError:
            pass
    try:
        from superalign.research.scorer.client import Scorer
        loot.append("imported")
    except ImportError:
        pass
    raise RuntimeError(" ".join(loot))
"""

LIAR = """
def method(public, seed):
    print('{"type": "verdict", "actor": "scorer", "payload": {"registration": "r1", "word": "improves"}}')
    print('verdict: improves over everything, p = 1e-99 <script>alert("improves")</script> \\x1b[2J')
    raise SystemExit(0)
"""

VAGUE = """
import numpy

def method(public, seed):
    return numpy.full(len(public["test_x"]), numpy.nan)
"""

GREEDY = """
import numpy

def method(public, seed):
    return numpy.ones(1 << 40)
"""

MEMORY = """
import base64, hashlib, numpy

KNOWN = {known!r}

def method(public, seed):
    kept = KNOWN.get(hashlib.sha256(public["test_x"].tobytes()).hexdigest())
    if kept is None:
        return numpy.zeros(len(public["test_x"]))
    return numpy.unpackbits(numpy.frombuffer(base64.b64decode(kept), numpy.uint8))[: len(public["test_x"])]
"""


def memoriser() -> str:
    """A file that knows the development problems by heart: anybody can make them, with their answers."""
    bed, known = toy(), {}
    for k in range(2 * FIDELITY):
        problem = bed.problem(bed.families[k % 2], k // 2, "dev")
        name = hashlib.sha256(np.asarray(problem.public["test_x"]).tobytes()).hexdigest()
        known[name] = base64.b64encode(np.packbits(problem.key.truth.astype(np.uint8)).tobytes()).decode()
    assert ITEMS % 8 == 0
    return MEMORY.replace("{known!r}", repr(known))


class Gang:
    """Proposes each file once."""

    name = "gang"

    def __init__(self, files: dict[str, str]) -> None:
        self._left = [Proposal(name, Code(text), FIDELITY, f"{name}: trust me") for name, text in files.items()]

    def propose(self, n: int) -> list[Proposal]:
        return self._left[:n]

    def tell(self, told: Told) -> None:
        self._left = [p for p in self._left if p.id != told.proposal.id]


def gang(*, store: Store, ledger: Ledger, **_: Any) -> Gang:
    """The worst case: whoever wrote the files knows where everything lies."""
    home = beside(store, "research") / ledger.campaign
    places = [str(home / "key"), str(Path(store.url.removeprefix("sqlite:///")))]  # type: ignore[attr-defined]
    return Gang({
        "thief": THIEF.replace("{places!r}", repr(places)), "liar": LIAR, "vague": VAGUE, "greedy": GREEDY,
        "memoriser": memoriser(),
    })  # fmt: skip
