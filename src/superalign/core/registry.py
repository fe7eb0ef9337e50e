"""Plug-ins by name: entry points of the groups `superalign.<kind>`, or `./file.py:name`.

A reference is `name[:argument][:key=value]...`, the same for every kind:
`bow:words=150:C=.3`, `hf:./my-model:tune=lora`, `confident:tau=.8`, `./mine.py:my_loss:beta=2`.
Built-ins are declared in our own pyproject through the groups that a third party uses.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from superalign.core.errors import PluginError, nearest

KINDS = (
    "tasks",
    "games",
    "models",
    "protocols",
    "wrapped",
    "losses",
    "labels",
    "wrappers",
    "studies",
    "testbeds",
    "proposers",
)

_OPTION = re.compile(r"^([A-Za-z_]\w*)=(.*)$", re.DOTALL)
_PATH = re.compile(r"[^\s+:,=>]+\.py(?=:)")
_FILE = re.compile(r"^(.*\.py):([A-Za-z_]\w*)(?::(.*))?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ref:
    """A parsed reference to a plug-in."""

    name: str
    argument: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [self.name, *([self.argument] if self.argument else [])]
        return ":".join(parts + [f"{k}={v}" for k, v in self.options.items()])


def parse(text: str) -> Ref:
    """Split a reference into name, argument and options. Raises PluginError where it is malformed."""
    text = text.strip()
    if not text:
        raise PluginError("empty plug-in name; `superalign list` shows what there is")
    match = _FILE.match(text)
    name, rest = (
        (f"{match[1]}:{match[2]}", match[3] or "") if match else (text.partition(":")[0], text.partition(":")[2])
    )
    argument: list[str] = []
    options: dict[str, Any] = {}
    for part in rest.split(":") if rest else []:
        option = _OPTION.match(part)
        if option is None and options:
            raise PluginError(f"in {text!r}: {part!r} comes after the options; write name:argument:key=value")
        if option is None:
            argument.append(part)
        elif option[1] in options:
            raise PluginError(f"in {text!r}: the option {option[1]!r} is given twice")
        else:
            options[option[1]] = _value(option[2])
    return Ref(name, ":".join(argument), options)


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@cache
def _declared(kind: str) -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=f"superalign.{kind}")}


def names(kind: str) -> list[str]:
    """The names of the installed plug-ins of a kind."""
    return sorted(_declared(kind))


def find(kind: str, name: str) -> Any:
    """The plug-in itself. Raises PluginError with near names where there is none, and where it does not load."""
    match = _FILE.match(name)
    if match:
        return _from_file(Path(match[1]), match[2])
    declared = _declared(kind)
    if name not in declared:
        what = {"losses": "loss", "wrapped": "protocol wrapper"}.get(kind, kind.removesuffix("s"))
        raise PluginError(f"no {what} is named {name!r}; {nearest(name, declared)} (or ./file.py:name)")
    try:
        return declared[name].load()
    except ImportError as error:
        raise PluginError(f"the {kind} plug-in {name!r} {lacking(error)}") from error
    except Exception as error:  # a plug-in of somebody else may fail in any way
        raise PluginError(f"the {kind} plug-in {name!r} failed to load: {type(error).__name__}: {error}") from error


_EXTRAS = {
    "torch": "hf", "transformers": "hf", "tokenizers": "hf", "peft": "hf", "accelerate": "hf", "huggingface_hub": "hf",
    "datasets": "data", "pyarrow": "data", "psycopg": "postgres",
}  # fmt: skip


def lacking(error: ImportError) -> str:
    """What an import error lacks, and what to type."""
    missing = error.name or str(error)
    extra = _EXTRAS.get(missing.partition(".")[0])
    advice = f"type: pip install 'superalign[{extra}]'" if extra else "reinstall the package that ships it"
    return f"needs {missing!r}, which is not installed; {advice}"


def _from_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise PluginError(f"no file {str(path)!r}; a plug-in of your own is written ./file.py:name")
    module_name = f"superalign_file_{abs(hash(path.resolve()))}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"{str(path)!r} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            raise PluginError(f"{path} failed to load: {type(error).__name__}: {error}") from error
    module = sys.modules[module_name]
    if not hasattr(module, name):
        public = [n for n in vars(module) if not n.startswith("_")]
        raise PluginError(f"{path} has no {name!r}; {nearest(name, public)}")
    return getattr(module, name)


def sources(*texts: str) -> dict[str, str]:
    """Content hashes of the plug-in files that references name: an edited file is another plug-in."""
    found = {path for text in texts for path in _PATH.findall(text)}
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in sorted(found) if Path(path).is_file()}


def build(kind: str, ref: Ref | str, *args: Any, **fixed: Any) -> Any:
    """Call the plug-in with its reference's argument and options; a wrong option is a PluginError that lists them."""
    ref = parse(ref) if isinstance(ref, str) else ref
    factory = find(kind, ref.name)
    known = options_of(factory, fixed)
    for option in ref.options:
        if known is not None and option not in known:
            raise PluginError(f"{ref.name!r} has no option {option!r}; {nearest(option, known)}")
    if ref.argument and not _takes_argument(factory):
        raise PluginError(f"{ref.name!r} takes no argument, got {ref.argument!r}; options are written key=value")
    leading = (ref.argument,) if _takes_argument(factory) else ()
    try:
        return factory(*leading, *args, **fixed, **ref.options)
    except ImportError as error:
        raise PluginError(f"{str(ref)!r} {lacking(error)}") from error
    except (TypeError, ValueError) as error:
        raise PluginError(f"{str(ref)!r}: {error}") from error


def options_of(factory: Any, fixed: Any = ()) -> list[str] | None:
    """The options a factory takes by keyword; None where it takes any."""
    parameters = _parameters(factory)
    if parameters is None or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return [name for name in parameters if name not in fixed and name not in ("argument", "self")]


def _takes_argument(factory: Any) -> bool:
    return "argument" in (_parameters(factory) or ())


def _parameters(factory: Any) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return None
