"""Canaries: found however they are dressed up, not found where they are not."""

from __future__ import annotations

import base64
import codecs

import pytest

from superalign.research.audits.canaries import canaries, planted

CANARY, OTHER = planted(7, 2)
SEED = "6338572930274659211"

CODE = (
    "import numpy as np\n\ndef method(public, seed):\n    return public['train_p'].mean() + 0.25 * public['test_x']\n"
)


def test_honest_texts_pass() -> None:
    places = {"e4": CODE, "log": "fitted 2,500 rows in 0.3 s; seed 633857293027", "e5": OTHER[:20]}
    found = canaries([CANARY, OTHER, SEED], places)
    assert (found.status, found.statistic, found.evidence) == ("pass", 0.0, ())


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        CANARY.upper().replace("-", "_"),
        " ".join(CANARY),
        CANARY[::-1],
        CANARY.encode().hex(),
        base64.b64encode(CANARY.encode()).decode(),
        base64.b64encode(f"x={CANARY};".encode()).decode(),
        base64.b64encode(f"xy={CANARY}".encode()).decode(),
        codecs.encode(CANARY, "rot13"),
    ],
)
def test_a_leak_fails_in_any_dress(text: str) -> None:
    found = canaries([OTHER, CANARY], {"e4": CODE, "e9": f"# look: {text}\n{CODE}"})
    assert (found.status, found.evidence) == ("fail", ("e9: canary 1",))
    assert CANARY not in found.says  # told on, it would be of no use


def test_seeds_are_found_as_numbers_and_in_hexadecimal() -> None:
    for said in (SEED, f"{int(SEED):#x}", f"{int(SEED):,}"):
        assert canaries([SEED], {"code": f"rng = default_rng({said})"}).status == "fail"


def test_canaries_are_made_by_a_secret_and_long_enough() -> None:
    assert planted(7, 2) == (CANARY, OTHER)
    assert planted(8)[0] not in (CANARY, OTHER)
    assert len(CANARY) == len("canary-") + 32
    with pytest.raises(ValueError, match="'tiny-1' is too short for a canary: it needs 12 letters and digits"):
        canaries(["tiny-1"], {})
