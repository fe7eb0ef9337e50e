"""The method grammar."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core import registry
from superalign.core.errors import PluginError
from superalign.core.registry import Ref
from superalign.learners.confidence import LogConf
from superalign.learners.finetune import Finetune, finetune
from superalign.learners.labels import Confident
from superalign.learners.losses import Window, Xent
from superalign.learners.method import parse_method
from superalign.testing.learner import LinearModel


def never(ref):
    raise AssertionError(ref)


def test_parts_find_their_kinds():
    method = parse_method("confident:tau=.8 + logconf:alpha=.75+iterate:times=2+weak-bag:n=3+early:by=ce")
    assert method.name == "confident:tau=.8+logconf:alpha=.75+iterate:times=2+weak-bag:n=3+early:by=ce"
    assert method.loss == Ref("logconf", "", {"alpha": 0.75})
    assert [ref.name for ref in method.steps] == ["confident"]
    assert [ref.name for ref in method.wrappers] == ["iterate"]
    assert method.teacher_text == "weak-bag:n=3"
    assert method.early == "ce"


def test_the_learner_is_what_the_text_says():
    learner = parse_method("confident:tau=.8+logconf:alpha=.75+early").learner(never)
    assert learner == Finetune(LogConf(alpha=0.75), (Confident(tau=0.8),), "accuracy", tolerance=1.0)
    assert parse_method("xent").learner(never) == parse_method("confident").learner(never).__class__(
        Xent(), tolerance=1.0
    )


def test_without_a_loss_it_is_cross_entropy():
    method = parse_method("confident")
    assert method.loss == Ref("xent")
    assert (method.teacher_text, method.early, method.wrappers) == ("", None, ())


def test_steps_keep_their_order():
    learner = parse_method("hard+confident+window:r=.2+subset:n=10").learner(never)
    assert [type(step).__name__ for step in learner.steps] == ["Hard", "Confident", "Subset"]
    assert learner.loss == Window(r=0.2)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    steps=st.lists(st.sampled_from(["hard", "confident:tau=.8", "knn:do=filter:k=50:drop=.1", "weighted"]), max_size=3),
    loss=st.sampled_from(["", "xent", "logconf:prior=.2/.3/.5", "window:r=1e+0", "reverse:eps=1e-2"]),
    wraps=st.lists(st.sampled_from(["iterate:times=2", "bag:n=3", "weak-boost:n=4"]), max_size=2),
    data=st.data(),
)
def test_any_order_of_parts_is_read_and_its_name_reads_the_same(steps, loss, wraps, data):
    parts = data.draw(st.permutations([*steps, *([loss] if loss else []), *wraps]))
    if not parts:
        return
    method = parse_method(" + ".join(parts))
    assert parse_method(method.name) == method
    assert method.name == "+".join(parts)
    assert len(method.steps) + len(method.wrappers) + len(method.teachers) == len(steps) + len(wraps)
    assert method.loss.name == (loss.split(":")[0] or "xent")


def test_a_number_with_an_exponent_is_one_part():
    assert parse_method("symmetric:beta=1e+1").loss.options == {"beta": 10.0}


def test_every_installed_part_parses_with_its_defaults():
    for kind in ("losses", "labels", "wrappers"):
        for name in registry.names(kind):
            options = {"subset": "subset:fraction=.5"}.get(name, name)
            assert parse_method(options).name == options


WRONG = [
    ("logcnf", "no loss, label step or wrapper is named 'logcnf'; did you mean 'logconf'"),
    ("confdent+xent", "is named 'confdent'; did you mean 'confident'"),
    ("iterat", "did you mean 'iterate'"),
    ("weak-bug", "no teacher part is named 'weak-bug'; did you mean 'weak-bag'"),
    ("xent+logconf:alpha=1", "has two losses, 'xent' and 'logconf:alpha=1'; a method has one"),
    ("xent++hard", r"empty part in the method 'xent\+\+hard'; parts are joined by \+"),
    ("", "empty part in the method ''"),
    ("logconf:alph=1", "'logconf' has no option 'alph'; did you mean 'alpha'"),
    ("logconf:alpha=2", "'logconf:alpha=2': alpha must be between 0 and 1, got 2"),
    ("iterate:times=-1", "'iterate:times=-1': times counts the iterations, 0 or more, got -1"),
    ("weak-bag:n=0", "'bag:n=0': n counts the members, 1 or more, got 0"),
    ("early:by=auroc", "early stopping is written early, early:by=accuracy or early:by=ce"),
    ("early+early:by=ce", "says early twice"),
    ("hard:now", "'hard' takes no argument, got 'now'"),
]


@pytest.mark.parametrize("text, message", WRONG)
def test_mistakes_are_named_when_the_method_is_read(text, message):
    with pytest.raises(PluginError, match=message):
        parse_method(text)


def test_wrappers_go_from_the_inside_out(world, run):
    """bag+iterate iterates a bag; iterate+bag bags iterated students."""
    outer = parse_method("bag:n=2+iterate").learner(never)(world.model, world.data, world.overseer, run)
    inner = parse_method("iterate+bag:n=2").learner(never)(world.model, world.data, world.overseer, run)
    assert len(outer.members) == len(inner.members) == 2
    assert np.abs(outer.logits(world.items) - inner.logits(world.items)).max() > 1e-3


def test_a_chain_builds_its_models_when_it_runs(world, run):
    built = []

    def build(ref):
        built.append(ref)
        return LinearModel(world.model.vectors, steps=10)

    learner = parse_method("bootstrap:through=small@10>middle").learner(build)
    assert built == []
    learner(world.model, world.data, world.overseer, run)
    assert built == ["small:10", "middle"]


def test_the_teacher_is_wrapped_and_the_student_is_not(world, run):
    method = parse_method("weak-bag:n=3+xent")
    plain = finetune(Xent())
    teacher = method.teacher(plain)(world.model, world.data, world.overseer, run)
    assert len(teacher.members) == 3
    assert method.learner(never) == finetune(Xent(), tolerance=1.0)
    assert parse_method("xent").teacher(plain) is plain


MINE = """
from superalign.learners.losses import Xent

def my_loss(beta=1.0):
    def loss(z, y, step, total, ids=None):
        values, gradients = Xent()(z, y, step, total)
        return beta * values, beta * gradients
    return loss

def my_step(share=0.5):
    return lambda labels, view: labels.keep(slice(0, int(share * len(labels.items))), "mine")

def my_wrapper(learner, times=1):
    return learner

def nothing():
    return 3
"""


def test_parts_from_a_file_are_told_by_their_shape(tmp_path, world, run):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    method = parse_method(f"{file}:my_loss:beta=2+{file}:my_step:share=.9+{file}:my_wrapper:times=3")
    assert method.loss.options == {"beta": 2}
    assert [ref.options for ref in method.steps] == [{"share": 0.9}]
    assert [ref.options for ref in method.wrappers] == [{"times": 3}]
    student = method.learner(never)(world.model, world.data, world.overseer, run)
    assert np.isfinite(student.logits(world.items)).all()
    with pytest.raises(PluginError, match="makes int, which is no loss, label step or wrapper"):
        parse_method(f"{file}:nothing")
    with pytest.raises(PluginError, match="has no 'my_los'; did you mean 'my_loss'"):
        parse_method(f"{file}:my_los")
