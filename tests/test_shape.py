"""The house rules that a machine can check: sizes, names, imports, start-up."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "superalign"
FILES = sorted(SOURCE.rglob("*.py"))
PYTHON = sorted(
    [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "docs").rglob("*.py")]
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def docstring_lines(module: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def code_lines(path: Path) -> int:
    """Lines with code on them: no blanks, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            used |= set(range(token.start[0], token.end[0] + 1))
    return len(used - docstring_lines(ast.parse(text)))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_core_stays_small() -> None:
    lines = {name(p): code_lines(p) for p in (SOURCE / "core").glob("*.py")}
    assert sum(lines.values()) <= 1500, lines


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_read_at_a_glance(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, (
        f"{name(path)} is long; share the mathematics and split by idea"
    )
    for function in functions(path):
        length = (function.end_lineno or 0) - function.lineno
        arguments = [
            a for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs) if a.arg != "self"
        ]
        if path.parent.name != "cli":  # a command has as many parameters as options
            assert length <= 70, f"{name(path)}: {function.name} has {length} lines"
            factory = any(a.arg in ("steps", "inputs") for a in function.args.kwonlyargs)  # one parameter an option
            assert len(arguments) <= (20 if factory else 9), (
                f"{name(path)}: {function.name} has {len(arguments)} parameters"
            )


@pytest.mark.parametrize("path", FILES, ids=name)
def test_names_say_what_things_are(path: Path) -> None:
    assert path.stem not in ("utils", "util", "helpers", "common", "misc", "base"), "name the idea"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            assert not re.search(r"(Manager|Handler|Helper|Util)|^Base[A-Z]", node.name), f"{name(path)}: {node.name}"


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_nothing_untrusted_is_run_or_unpickled(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {a.name for a in node.names} | {getattr(node, "module", None) or ""}
            assert not names & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}, name(path)
            assert not any(n.startswith("unittest.mock") or n == "mock" for n in names), "fakes are products here"
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            assert called not in ("eval", "exec", "compile"), f"{name(path)}:{node.lineno}"
            assert not any(k.arg == "shell" for k in node.keywords), f"{name(path)}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_public_names_are_documented(path: Path) -> None:
    module = tree(path)
    if path.name != "__init__.py":
        assert ast.get_docstring(module), f"{name(path)} has no docstring"
    if path.parent.name == "testing":
        return
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and node.name != "add":
            assert ast.get_docstring(node) or path.parent.name == "cli", f"{name(path)}: {node.name} has no docstring"


def run(*code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, *code], capture_output=True, text=True, env=environment, check=True)
    return done.stdout


HEAVY = ("numpy", "scipy", "pydantic", "sqlalchemy", "sklearn", "torch", "transformers", "altair", "rich.console")


@pytest.mark.parametrize(
    "module",
    ["superalign", "superalign.core.types", "superalign.cli.main", "superalign.store", "superalign.core.errors"],
)
def test_importing_is_light(module: str) -> None:
    """What takes long to import is imported where it is used. Times are in benchmarks/start.py."""
    loaded = run("-c", f"import {module}, sys; print(' '.join(sys.modules))").split()
    assert not set(HEAVY) & set(loaded)


def test_types_import_the_standard_library_alone() -> None:
    loaded = run(
        "-c", "import superalign.core.types, sys; print(' '.join(m for m in sys.modules if m.startswith('superalign')))"
    )
    assert loaded.split() == ["superalign", "superalign.core", "superalign.core.types"]
    for node in ast.walk(tree(SOURCE / "core" / "types.py")):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] in sys.stdlib_module_names


def test_ports_are_narrow() -> None:
    """One to four methods; a Trainable is a Model that can be trained, and has six more."""
    allowed = {"Model": 1, "Trainable": 6, "Store": 4}
    for node in tree(SOURCE / "core" / "ports.py").body:
        if isinstance(node, ast.ClassDef) and node.name in allowed:
            methods = [n.name for n in node.body if isinstance(n, ast.FunctionDef)]
            assert len(methods) <= allowed[node.name], methods


def test_the_words_of_the_project_are_its_own() -> None:
    """No path of a developer's machine, and no host of a package registry."""
    forbidden = re.compile(
        r"/work/|/root/|/opt/pypi|\bpypi\.org|files\.pythonhosted|registry\.npmjs|download\.pytorch", re.IGNORECASE
    )
    suffixes = {".py", ".md", ".toml", ".txt", ".yaml", ".html", ".css", ".j2", ""}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    for line in listed:
        path = ROOT / line
        if line and path.is_file() and path.suffix in suffixes and path != Path(__file__):
            match = forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
            assert match is None, f"{line}: {match and match[0]}"
