"""Plug-ins: references, entry points, files, and what is said when one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import PluginError
from superalign.core.registry import KINDS, Ref, build, find, names, parse

word = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
option = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)


@given(
    word,
    word | st.just(""),
    st.dictionaries(
        option,
        st.integers() | st.booleans() | word.filter(lambda w: w not in ("inf", "nan", "true", "false", "infinity")),
    ),
)
def test_references_round_trip(name: str, argument: str, options: dict[str, object]) -> None:
    ref = Ref(name, argument, options)
    assert parse(str(ref)) == ref


def test_references_with_paths_and_options() -> None:
    assert parse("hf:/a/b:tune=lora:lr=1e-4") == Ref("hf", "/a/b", {"tune": "lora", "lr": 1e-4})
    assert parse("./mine.py:loss:beta=2") == Ref("./mine.py:loss", "", {"beta": 2})
    assert parse("labels:votes:2024.csv") == Ref("labels", "votes:2024.csv", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty plug-in name"),
        ("bow:C=1:x", "'x' comes after the options"),
        ("bow:C=1:C=2", "'C' is given twice"),
    ],
)
def test_malformed_references(text: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        parse(text)


def test_every_built_in_loads() -> None:
    for kind in KINDS:
        for name in names(kind):
            assert find(kind, name) is not None


def test_unknown_names_get_near_ones() -> None:
    with pytest.raises(PluginError, match="no loss is named 'logcon'; did you mean 'logconf'"):
        find("losses", "logcon")
    with pytest.raises(PluginError, match="no model is named 'bowl'; did you mean 'bow'"):
        find("models", "bowl")


def test_a_plugin_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def scale(argument='', *, by=1):\n    return (argument, by)\n")
    assert build("losses", f"{file}:scale:hello:by=3") == ("hello", 3)
    with pytest.raises(PluginError, match="has no 'scael'; did you mean 'scale'"):
        find("losses", f"{file}:scael")
    with pytest.raises(PluginError, match="has no option 'bye'; did you mean 'by'"):
        build("losses", f"{file}:scale:bye=3")
    with pytest.raises(PluginError, match="no file"):
        find("losses", str(tmp_path / "absent.py") + ":x")
    broken = tmp_path / "broken.py"
    broken.write_text("1/0\n")
    with pytest.raises(PluginError, match="failed to load: ZeroDivisionError"):
        find("losses", f"{broken}:x")


def test_a_plugin_that_refuses_its_options_is_a_plugin_error(tmp_path: Path) -> None:
    file = tmp_path / "strict.py"
    file.write_text("def strict(*, by=1):\n    raise ValueError('by must be below 1')\n")
    with pytest.raises(PluginError, match="by must be below 1"):
        build("losses", f"{file}:strict:by=3")
    with pytest.raises(PluginError, match="takes no argument"):
        build("losses", f"{file}:strict:hello")


def test_a_library_that_is_not_installed_is_named_with_its_extra(tmp_path: Path) -> None:
    file = tmp_path / "needy.py"
    file.write_text("def needy():\n    raise ModuleNotFoundError('no torch', name='torch')\n")
    with pytest.raises(
        PluginError, match=r"needs 'torch', which is not installed; type: pip install 'superalign\[hf\]'"
    ):
        build("models", f"{file}:needy")
