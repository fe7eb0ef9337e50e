"""The method grammar: `confident:tau=.8+logconf:alpha=.75+iterate:times=2`.

A method is parts joined by `+`; each part is a plug-in reference. At most one part is a loss (without
one, `xent`). Label steps apply in the order written, wrappers from the inside out. `early` or
`early:by=ce` keeps the best state by validation labels. A wrapper with `weak-` in front goes around the
weak teacher's learner instead (`weak-bag:n=5`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from superalign.core import registry
from superalign.core.errors import ModelError, PluginError, nearest
from superalign.core.ports import Learner, Trainable
from superalign.core.registry import Ref
from superalign.learners.finetune import EARLY, finetune

VERSION = 2
"""Goes into the keys of what learners make; bump it when their code changes numbers."""

KINDS = ("losses", "labels", "wrappers")
_PLUS = re.compile(r"\s*\+\s*(?![0-9])")  # a plus before a digit belongs to a number, as in 1e+3
_TEACHER = "weak-"

Build = Callable[[str], Trainable]


@dataclass(frozen=True)
class Method:
    """A parsed method. `name` is the text as typed, without blanks around its parts."""

    name: str
    loss: Ref
    steps: tuple[Ref, ...] = ()
    wrappers: tuple[Ref, ...] = ()
    teachers: tuple[Ref, ...] = ()
    early: str | None = None

    @property
    def teacher_text(self) -> str:
        """What is done to the weak teacher, as text; empty where nothing is."""
        return "+".join(f"{_TEACHER}{ref}" for ref in self.teachers)

    def learner(self, build: Build) -> Learner:
        """The student's learner. `build` makes the models that a chain goes through, by reference.

        Raises PluginError for an option that does not fit.
        """
        steps = [registry.build("labels", ref) for ref in self.steps]
        learner: Learner = finetune(registry.build("losses", self.loss), steps, self.early, tolerance=1.0)
        return _wrapped(learner, self.wrappers, build)

    def teacher(self, learner: Learner) -> Learner:
        """The weak teacher's learner, wrapped as the method's `weak-` parts say."""
        return _wrapped(learner, self.teachers, _no_chain)


def parse_method(text: str) -> Method:
    """Parse and check a method. Raises PluginError with near names for an unknown part, and for two losses."""
    parts = [part.strip() for part in _PLUS.split(text)]
    found: dict[str, list[Ref]] = {kind: [] for kind in (*KINDS, "teachers")}
    early: str | None = None
    for part in parts:
        if not part:
            raise PluginError(
                f"empty part in the method {text!r}; parts are joined by +, for example confident+logconf"
            )
        ref = registry.parse(part)
        if ref.name == "early":
            if early is not None:
                raise PluginError(f"the method {text!r} says early twice")
            early = _early(ref)
        elif ref.name.startswith(_TEACHER):
            found["teachers"].append(_teacher(ref))
        else:
            found[_kind(ref)].append(ref)
    if len(found["losses"]) > 1:
        named = " and ".join(repr(str(ref)) for ref in found["losses"])
        raise PluginError(f"the method {text!r} has two losses, {named}; a method has one")
    loss = found["losses"][0] if found["losses"] else Ref("xent")
    steps, wrappers, teachers = (tuple(found[kind]) for kind in ("labels", "wrappers", "teachers"))
    method = Method("+".join(parts), loss, steps, wrappers, teachers, early)
    method.learner(_no_chain)  # options are checked now, not after hours of training
    method.teacher(_placeholder)
    return method


def _early(ref: Ref) -> str:
    by = ref.options.get("by", EARLY[0])
    if ref.argument or set(ref.options) - {"by"} or by not in EARLY:
        raise PluginError(f"{str(ref)!r}: early stopping is written early, early:by=accuracy or early:by=ce")
    return str(by)


def _teacher(ref: Ref) -> Ref:
    name = ref.name.removeprefix(_TEACHER)
    if name not in registry.names("wrappers"):
        known = [f"{_TEACHER}{wrapper}" for wrapper in registry.names("wrappers")]
        raise PluginError(f"no teacher part is named {ref.name!r}; {nearest(ref.name, known)}")
    return Ref(name, ref.argument, ref.options)


def _kind(ref: Ref) -> str:
    """The kind of a part. A plug-in from a file is told by its shape: a wrapper's first parameter is
    `learner`, what a step's factory makes takes labels and a view, what a loss's makes takes more."""
    for kind in KINDS:
        if ref.name in registry.names(kind):
            return kind
    if ".py:" not in ref.name:
        known = [name for kind in KINDS for name in registry.names(kind)]
        known += [f"{_TEACHER}{name}" for name in registry.names("wrappers")] + ["early"]
        raise PluginError(f"no loss, label step or wrapper is named {ref.name!r}; {nearest(ref.name, known)}")
    factory = registry.find("losses", ref.name)
    if next(iter(inspect.signature(factory).parameters), "") == "learner":
        return "wrappers"
    made = registry.build("losses", ref)
    if not callable(made):
        raise PluginError(f"{ref.name!r} makes {type(made).__name__}, which is no loss, label step or wrapper")
    return "labels" if len(inspect.signature(made).parameters) == 2 else "losses"


def _wrapped(learner: Learner, wrappers: tuple[Ref, ...], build: Build) -> Learner:
    for ref in wrappers:
        takes = registry.options_of(registry.find("wrappers", ref.name)) or []
        fixed: dict[str, Any] = {"build": build} if "build" in takes else {}
        learner = registry.build("wrappers", ref, learner, **fixed)
    return learner


def _no_chain(ref: str) -> Trainable:
    raise ModelError(
        f"no model {ref!r} can be built here; a chain goes through models of the student, not of the teacher"
    )


def _placeholder(*_: Any) -> Trainable:
    raise ModelError("this learner only checks options")
