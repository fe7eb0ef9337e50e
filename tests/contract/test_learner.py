"""The learner contract, run on our own learners."""

from __future__ import annotations

import pytest

from superalign.core.ports import Model, Trainable
from superalign.learners.bootstrap import bootstrap
from superalign.learners.confidence import LogConf
from superalign.learners.ensemble import Ensemble, bag, boost
from superalign.learners.finetune import finetune
from superalign.learners.iterate import iterate
from superalign.learners.labels import Hard
from superalign.learners.losses import Xent
from superalign.learners.neighbours import Knn
from superalign.learners.splithalf import split_half
from superalign.testing.learner import Asked, LearnerContract, LinearModel


class TestFinetune(LearnerContract):
    def make_learner(self):
        return finetune(Xent())


class TestFinetuneWithEverything(LearnerContract):
    def make_learner(self):
        return finetune(LogConf(), [Knn(k=10), Hard()], early="accuracy")


class TestIterate(LearnerContract):
    def make_learner(self):
        return iterate(finetune(Xent()), times=1, folds=3)


class TestBootstrap(LearnerContract):
    def make_learner(self):
        return bootstrap(finetune(Xent()), lambda ref: self.make_model(), through="small")


class TestBag(LearnerContract):
    def make_learner(self):
        return bag(finetune(Xent()), n=3)


class TestBoost(LearnerContract):
    def make_learner(self):
        return boost(finetune(Xent()), n=3)


class TestSplitHalf(LearnerContract):
    def make_learner(self):
        return split_half(finetune(Xent()))

    def make_model(self):
        model = super().make_model()
        return LinearModel(model.vectors, decays=(0.1, 0.01))


class Cheat(LearnerContract):
    """Not collected: it learns from a rule of its own, and asks about everything."""

    def make_learner(self):
        def learner(model, data, overseer, run):
            overseer((*data.train, *data.valid, *data.unlabelled))
            return finetune(Xent())(model, data, Asked(self.labels(data)), run)

        return learner


def test_the_contract_catches_a_learner_that_reads_other_labels():
    with pytest.raises(AssertionError, match="where does it read labels"):
        Cheat().test_labels_come_from_the_overseer_alone()
    with pytest.raises(AssertionError, match="asked for labels of items that are not to be labelled"):
        Cheat().test_asks_about_training_and_validation_items_only()


def test_the_shipped_models_are_trainables():
    model = LinearModel({})
    assert isinstance(model, Trainable)
    assert isinstance(Ensemble([model]), Trainable)
    assert isinstance(model, Model)


def test_a_contract_without_a_learner_says_what_to_return():
    with pytest.raises(NotImplementedError, match="return your learner from make_learner"):
        LearnerContract().make_learner()
