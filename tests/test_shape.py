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
from functools import cache
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


@cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


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
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text(path)).readline):
        if token.type not in skipped:
            used |= set(range(token.start[0], token.end[0] + 1))
    return len(used - docstring_lines(tree(path)))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_core_stays_small() -> None:
    lines = {name(p): code_lines(p) for p in (SOURCE / "core").glob("*.py")}
    assert sum(lines.values()) <= 1500, lines


def test_files_and_functions_read_at_a_glance() -> None:
    wrong = []
    for path in FILES:
        if len(text(path).splitlines()) > 400:
            wrong.append(f"{name(path)} is long; share the mathematics and split by idea")
        if path.parent.name == "cli":  # a command has as many parameters as options
            continue
        for function in functions(path):
            length = (function.end_lineno or 0) - function.lineno
            if length > 70:
                wrong.append(f"{name(path)}: {function.name} has {length} lines")
            arguments = [
                a
                for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
                if a.arg != "self"
            ]
            factory = any(a.arg in ("steps", "inputs") for a in function.args.kwonlyargs)  # one parameter an option
            if len(arguments) > (20 if factory else 9):
                wrong.append(f"{name(path)}: {function.name} has {len(arguments)} parameters")
    assert not wrong, "\n".join(wrong)


def test_names_say_what_things_are() -> None:
    vague = ("utils", "util", "helpers", "common", "misc", "base")
    wrong = [f"{name(path)}: name the idea" for path in FILES if path.stem in vague]
    wrong += [
        f"{name(path)}: {node.name}"
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Handler|Helper|Util)|^Base[A-Z]", node.name)
    ]
    assert not wrong, "\n".join(wrong)


def untrusted(node: ast.AST) -> str:
    """Why what a node imports or calls is not allowed; empty where it is."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = {a.name for a in node.names} | {getattr(node, "module", None) or ""}
        if names & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}:
            return "unpickles"
        if any(n.startswith("unittest.mock") or n == "mock" for n in names):
            return "fakes are products here"
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec", "compile"):
            return f"calls {node.func.id}"
        if any(k.arg == "shell" for k in node.keywords):
            return "calls a shell"
    return ""


def test_nothing_untrusted_is_run_or_unpickled() -> None:
    words = re.compile(r"pickle|dill|joblib|marshal|shelve|mock|shell|(?<![.\w])(?:eval|exec|compile)\b")
    wrong = []
    for path in (path for path in PYTHON if words.search(text(path))):  # to parse them all takes seconds
        for node in ast.walk(tree(path)):
            if reason := untrusted(node):
                wrong.append(f"{name(path)}:{getattr(node, 'lineno', 0)}: {reason}")
    assert not wrong, "\n".join(wrong)


def test_public_names_are_documented() -> None:
    wrong = []
    for path in FILES:
        if path.name != "__init__.py" and not ast.get_docstring(tree(path)):
            wrong.append(f"{name(path)} has no docstring")
        if path.parent.name in ("testing", "cli"):
            continue
        for node in tree(path).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and node.name != "add" and not ast.get_docstring(node):
                wrong.append(f"{name(path)}: {node.name} has no docstring")
    assert not wrong, "\n".join(wrong)


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
