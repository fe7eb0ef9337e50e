"""What the documentation shows is run, or at least understood by the commands it names."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import typer.main

from superalign.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "tutorial.md", ROOT / "docs" / "howto.md",
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
]  # fmt: skip


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for k, match in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
            found.append((f"{page.name} {k}", match))
    return found


PYTHON, TEXT = blocks("python"), blocks("text")


@pytest.mark.parametrize("code", [b[1] for b in PYTHON], ids=[b[0] for b in PYTHON])
def test_python_in_the_docs_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("example.py", run_name="__main__")


def commands() -> list[list[str]]:
    lines = [line for _, text in TEXT for line in text.replace("\\\n", " ").split("\n")]
    return [
        shlex.split(line.partition(" > ")[0], comments=False)[1:]
        for line in lines
        if re.match(r"superalign [a-z0-9]+\b", line)
    ]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_commands_in_the_docs_are_understood(arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    context = group.make_context("superalign", list(arguments), resilient_parsing=False)
    name, command, rest = group.resolve_command(context, list(arguments))  # type: ignore[attr-defined]
    plain = [a for a in rest if not re.match(r"^\(.*|.*\)$", a)]
    assert command.make_context(name, plain, parent=context).params is not None


def test_the_generated_reference_is_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "docs" / "generate.py"), run_name="__main__")
    assert end.value.code == 0, capsys.readouterr().out


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
