"""A printed spec is the spec."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from superalign.report.toml import toml
from tests.report.examples import study

scalars = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3), max_leaves=12
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_toml_reads_back_as_it_was(spec: dict[str, Any]) -> None:
    assert tomllib.loads(toml(spec)) == spec


def test_null_is_a_comment() -> None:
    text = toml(study().spec)
    assert "# limit = null" in text
    assert tomllib.loads(text) == {k: v for k, v in study().spec.items() if k != "limit"}
    assert tomllib.loads(toml({"rows": [{"a": None, "b": 1}], "list": [1, None]})) == {"rows": [{"b": 1}]}


def test_nothing_invisible_is_written() -> None:
    assert toml({"a": "x\u202ey\x00\u200b\U000e0041"}) == 'a = "x\\u202Ey\\u0000\\u200B\\U000E0041"\n'
