"""Identity, random streams, errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.digest import digest
from superalign.core.errors import Conflict, PluginError, SuperalignError, UserError, nearest
from superalign.core.random import derive, stream
from superalign.core.types import Ask, Cost, Item, Message

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_like, json_like)
def test_equal_values_have_equal_digests_and_others_do_not(a: object, b: object) -> None:
    assert digest(a) == digest(a)
    if repr(a) != repr(b) and a != b:
        assert digest(a) != digest(b)


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_mappings_are_compared_without_order(values: dict[str, int]) -> None:
    assert digest(values) == digest(dict(reversed(values.items())))


def test_options_whose_initials_agree_have_different_digests() -> None:
    """Cache keys made of initials collide; digests of whole recipes do not."""
    assert digest({"batch_size": 32, "beta": 1}) != digest({"batch_size": 1, "beta": 32})
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(1) != digest(1.0) != digest("1")
    assert digest(0.0) != digest(-0.0)


def test_dataclasses_and_arrays_have_an_identity_and_other_things_do_not() -> None:
    item = Item("a", "text", ("no", "yes"))
    assert digest(Ask("judge", (Message("user", "x"),), item=item)) != digest(Ask("judge", (Message("user", "x"),)))
    a = np.arange(6.0)
    assert digest(a) == digest(a.copy())
    assert digest(a) != digest(a.reshape(2, 3))
    assert digest(a) != digest(a.astype(np.float32))
    with pytest.raises(TypeError, match="no stable identity for object"):
        digest(object())


def test_digests_are_equal_in_another_process() -> None:
    code = "from superalign.core.digest import digest; print(digest({'a': 1.5, 'b': [1, None, 'é']}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == digest({"a": 1.5, "b": [1, None, "é"]})


def test_streams_depend_on_seed_step_and_inputs_alone() -> None:
    draws = stream(3, "student", {"lr": 0.1}).normal(size=4)
    assert np.array_equal(draws, stream(3, "student", {"lr": 0.1}).normal(size=4))
    for other in (stream(4, "student", {"lr": 0.1}), stream(3, "weak", {"lr": 0.1}), stream(3, "student", {"lr": 0.2})):
        assert not np.array_equal(draws, other.normal(size=4))
    assert 0 <= derive(0, "x") < 2**63


def test_weak_and_strong_streams_are_uncorrelated() -> None:
    weak, strong = stream(0, "weak").normal(size=20_000), stream(0, "strong").normal(size=20_000)
    assert abs(np.corrcoef(weak, strong)[0, 1]) < 0.03


def test_errors_form_the_tree_that_the_docstring_draws() -> None:
    assert issubclass(Conflict, UserError)
    assert issubclass(PluginError, UserError)
    assert issubclass(UserError, SuperalignError)


def test_nearest_helps() -> None:
    assert nearest("logcnf", ["logconf", "xent"]) == "did you mean 'logconf'?"
    assert nearest("zzz", ["logconf", "xent"]) == "there is: logconf, xent"
    assert nearest("zzz", []) == "there is: nothing"


def test_costs_add() -> None:
    assert Cost(1, 2, 0.5, 1.0) + Cost(1, 1, 0.5, 2.0) == Cost(2, 3, 1.0, 3.0)
