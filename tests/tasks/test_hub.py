"""Hub data sets: folders read through `datasets` itself, and a hub that cannot be reached."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from superalign.core.errors import TaskError
from superalign.tasks.hub import reachable, read_hub
from superalign.tasks.load import load
from superalign.tasks.source import Source

datasets = pytest.importorskip("datasets")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A data set with class names and two splits, in a form that the hub serves."""
    names = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    data = tmp_path / "data set"
    data.mkdir()
    for split, n in (("train", 90), ("test", 40)):
        body = {"text": [f"{split} {k}" for k in range(n)], "label": [k % 2 if k < n - 1 else -1 for k in range(n)]}
        datasets.Dataset.from_dict(body, features=names).to_parquet(str(data / f"{split}.parquet"))
    return f"hf:{data}"


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:  # a port of this machine at which nobody listens
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")


def test_class_numbers_become_names_and_hidden_ones_nothing(folder: str) -> None:
    table = read_hub(folder)
    assert table.columns == ("text", "label")
    assert len(table.rows) == 90
    assert dict(table.rows[0].cells) == {"text": "train 0", "label": "bad"}
    assert dict(table.rows[89].cells) == {"text": "train 89", "label": None}
    assert table.rows[0].where == "row 1"


def test_splits_of_the_data_set_become_parts(folder: str) -> None:
    pool = load(Source(task=folder, test="test"))
    assert pool.choices == ("bad", "good")
    assert len(pool.items) == 89 + 39
    assert len(pool.fixed["test"]) == 39
    with pytest.raises(TaskError, match=r"has no split 'tset'; did you mean 'test'\?"):
        load(Source(task=folder, test="tset"))


def test_names_that_are_no_names() -> None:
    for name in ("hf:", "hf:a/b/c/d", "hf:a//b"):
        with pytest.raises(
            TaskError, match=r"is not the name of a data set; write hf:owner/name or hf:owner/name/config"
        ):
            read_hub(name)


def test_an_unreachable_hub_is_told_at_once(unreachable: None) -> None:
    assert not reachable()
    message = (
        "'hf:nobody/nothing': the hub cannot be reached and the data set is not in its cache; connect to the network"
    )
    with pytest.raises(TaskError, match=message):
        load(Source(task="hf:nobody/nothing"))
    assert datasets.config.HF_HUB_OFFLINE in (False, True)


def test_a_listening_port_is_reachable(unreachable: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert reachable()
        monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
        assert not reachable()
        monkeypatch.setenv("HTTP_PROXY", address)
        assert reachable()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert not reachable()


def test_a_folder_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.jsonl").write_text("{not json}\n")
    with pytest.raises(
        TaskError, match=r"cannot be loaded from the hub: .*; check the name, and write hf:owner/name/config"
    ):
        read_hub(f"hf:{tmp_path / 'broken'}")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if it were not installed
    with pytest.raises(TaskError, match=r"needs the package datasets; type: pip install 'superalign\[data\]'"):
        read_hub("hf:owner/name")
