"""Specs that are taken, and specs that are refused with a word on what to type."""

from __future__ import annotations

from typing import Any

import pytest

from superalign.core.errors import PluginError, SpecError, TaskError, UserError
from superalign.core.spec import validate
from superalign.studies.oversee import Oversee, prepare
from superalign.studies.oversee.cast import assemble, parts_of, speaker, written


def spec(**changes: Any) -> Oversee:
    return validate(Oversee, {"source": {"task": "evidence"}, "items": 4} | changes)


def test_counts_single_values_and_order_are_made_alike() -> None:
    made = spec(seeds=3, strength=[16, 1, 4], rounds=2, protocols="debate", flaws="noise=1.0", audits=0.05)
    assert made.seeds == (0, 1, 2)
    assert made.strength == (1, 4, 16)
    assert made.rounds == (2,)
    assert made.protocols == ("debate",)
    assert made.flaws == ("noise=1",)
    assert made.audits == (0.05,)
    assert validate(Oversee, made.model_dump(mode="json")) == made
    assert made.digest != spec().digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": [1, 0]}, "0 is below 1"),
        ({"strength": [4, 4]}, "4 is given twice"),
        ({"seeds": []}, "seeds"),
        ({"protocols": ["debate", "debate "]}, "'debate' is given twice"),
        ({"flaws": ["nosie=1"]}, "did you mean 'noise'"),
        ({"flaws": ["noise=-1"]}, "a flaw is noise=1"),
        ({"audits": [5]}, "shares above 0 and up to 1"),
        ({"unparsed": "drop"}, "uniform"),
        ({"protocol": "debate"}, "did you mean 'protocols'"),
        ({"items": 0}, "items"),
    ],
)
def test_fields_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(**changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"protocols": ["debat"]}, PluginError, "did you mean 'debate'"),
        ({"protocols": ["debate:round=2"]}, PluginError, "did you mean 'rounds'"),
        (
            {"protocols": ["debate+majorty"]},
            PluginError,
            "no protocol wrapper is named 'majorty'; did you mean 'majority'",
        ),
        ({"protocols": ["debate+"]}, PluginError, "no protocol is named 'debate\\+'"),
        (
            {"protocols": ["debate:rounds=1", "debate"], "rounds": [1, 2]},
            SpecError,
            "would be called 'debate:rounds=1'",
        ),
        ({"judge": "evidence-jugde"}, PluginError, "did you mean 'evidence-judge'"),
        ({"agent": "evidence-player:strength=4", "strength": [1]}, SpecError, "leave it out and write --strength 1"),
        ({"cast": {"agent": "evidence-player"}}, SpecError, "named with --agent"),
        ({"tournament": True}, SpecError, "name two or more with --strength"),
        ({"tournament": True, "strength": [1, 2], "protocols": ["consultancy"]}, SpecError, "two debaters"),
        ({"source": {"task": "evidence", "label": "x"}}, TaskError, "label is for files, not for the game"),
        ({"source": {"task": "reviews"}}, SpecError, "name --judge MODEL"),
        ({"source": {"task": "reviews"}, "judge": "scripted:yes"}, SpecError, "name --agent MODEL"),
        ({"source": {"task": "evidense"}}, UserError, "no task is named 'evidense'"),
    ],
)
def test_studies_that_cannot_be_laid_out(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prepare(spec(**changes))


def test_a_protocol_is_read_from_the_inside_out() -> None:
    parts = parts_of("debate:rounds=1+majority:k=3+reasoning")
    assert [p.name for p in parts] == ["debate", "majority", "reasoning"]
    assert written(parts) == "debate:rounds=1+majority:k=3+reasoning"
    assert assemble("consultancy").one_sided
    assert assemble("debate:kind=sequential+majority:k=3").replays


def test_a_bare_folder_speaks_untrained() -> None:
    assert str(speaker("hf:./model")) == "hf:./model:tune=none"
    assert str(speaker("hf:./model:tune=lora")) == "hf:./model:tune=lora"
    assert str(speaker("scripted:yes")) == "scripted:yes"


def test_a_bare_name_takes_the_options_that_the_game_prefers() -> None:
    sweep = prepare(
        validate(Oversee, {"source": {"task": "digits"}, "items": 4, "protocols": ["debate", "debate:rounds=1"]})
    )
    protocols = {c.name: c.protocol for c in sweep.contests}
    assert protocols["debate"] == "debate:rounds=3:kind=sequential"
    assert protocols["debate:rounds=1"] == "debate:rounds=1"


def test_rounds_go_to_the_protocols_that_have_them() -> None:
    sweep = prepare(spec(protocols=["direct", "debate", "debate:rounds=4", "consultancy+reasoning"], rounds=[1, 2]))
    names = [c.name for c in sweep.contests]
    assert names == [
        "direct", "expert", "debate:rounds=1", "debate:rounds=2", "debate:rounds=4",
        "consultancy:rounds=1+reasoning", "consultancy:rounds=2+reasoning",
    ]  # fmt: skip
    assert [c.rounds for c in sweep.contests] == [None, None, 1, 2, 4, 1, 2]
