"""Published weak-to-strong results, recomputed from the raw per-seed files of automated-w2s-research."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from superalign.core import measure
from superalign.studies.w2s.anatomy import misfit
from tests.datafolder import data


@pytest.fixture(scope="module")
def runs():
    """Runs by folder (`chat_vanilla_w2s`), in order of file name. Read in memory, nothing is unpacked."""
    found = {}
    with tarfile.open(data("automated_w2s_results/cache_results.tar.gz")) as archive:
        for member in archive:
            parts = Path(member.name).parts
            if len(parts) == 4 and member.isfile() and member.name.endswith(".json") and member.size < 5_000_000:
                found.setdefault(parts[1], []).append((parts[3], json.loads(archive.extractfile(member).read())))
    return {folder: [run for _, run in sorted(files, key=lambda f: f[0])] for folder, files in found.items()}


def column(runs, folder, field):
    return np.array([[run[field]] for run in runs[folder]])


def baselines(runs, task):
    return column(runs, f"{task}_weak_artifacts", "weak_acc"), column(runs, f"{task}_train_ceiling", "strong_acc")


@pytest.mark.parametrize(
    "task, plain, confident", [("chat", 0.204, 0.234), ("math", 0.338, 0.296), ("code", 0.128, 0.190)]
)
def test_pgr_of_the_released_runs(runs, task, plain, confident):
    weak, ceiling = baselines(runs, task)
    assert (weak.shape, ceiling.shape) == ((16, 1), (16, 1))
    for folder, published in (("vanilla_w2s", plain), ("train_only_on_confident_labels", confident)):
        student = column(runs, f"{task}_{folder}", "transfer_acc")
        got = measure.elicited(weak, student, ceiling, chance=0.5, independent=True)
        assert got.pgr.value == pytest.approx(published, abs=0.003)
        assert got.pgr.low < got.pgr.value < got.pgr.high
        assert (got.pgr.seeds, got.weak.seeds, got.pgr.n) == (5, 16, None)


def test_per_seed_values_equal_the_stored_ones(runs):
    weak, ceiling = baselines(runs, "chat")
    assert weak.mean() == pytest.approx(0.5279592240696753, abs=1e-12)
    assert ceiling.mean() == pytest.approx(0.7325316706254948, abs=1e-12)
    student = column(runs, "chat_vanilla_w2s", "transfer_acc")
    got = measure.elicited(weak, student, ceiling, chance=0.5, independent=True)
    assert got.per_seed == pytest.approx(tuple(column(runs, "chat_vanilla_w2s", "pgr")[:, 0]), abs=1e-9)
    assert got.pgr.value == pytest.approx(0.203532, abs=1e-5)


def test_the_error_of_sixteen_baselines_is_small_but_shown(runs):
    weak, ceiling = baselines(runs, "chat")
    student = column(runs, "chat_vanilla_w2s", "transfer_acc")
    free = measure.elicited(weak, student, ceiling, chance=0.5, independent=True)
    fixed = [np.full((5, 1), m.mean()) for m in (weak, ceiling)]
    hidden = measure.elicited(fixed[0], student, fixed[1], chance=0.5)
    assert 1.0 < (free.pgr.high - free.pgr.low) / (hidden.pgr.high - hidden.pgr.low) < 1.5


@pytest.mark.parametrize("task, difference, t", [("chat", 0.030, 1.2), ("math", -0.042, -1.1), ("code", 0.062, 3.4)])
def test_confident_against_plain(runs, task, difference, t):
    weak, ceiling = baselines(runs, task)
    students = {
        "confident": column(runs, f"{task}_train_only_on_confident_labels", "transfer_acc"),
        "plain": column(runs, f"{task}_vanilla_w2s", "transfer_acc"),
    }
    (one,) = measure.compare(weak, students, ceiling, reference="plain", independent=True)
    test = ttest_rel(students["confident"][:, 0], students["plain"][:, 0])
    assert one.difference.value == pytest.approx(difference, abs=0.001)
    assert test.statistic == pytest.approx(t, abs=0.06)
    assert one.p == pytest.approx(test.pvalue, rel=1e-6)
    assert one.ranked == (task == "code")
    (of_three,) = measure.compare(weak, students, ceiling, reference="plain", independent=True, tried=3)
    assert not of_three.ranked  # one of three tasks at p = .03 is not a finding


def test_one_teacher_under_four_names(runs):
    """The zero-shot files are named seed_42 to seed_45 and hold runs of one teacher."""
    assert [run["seed"] for run in runs["chat_ue_zeroshot"]] == [42, 42, 42, 42]
    assert measure.repeated_runs(column(runs, "chat_ue_zeroshot", "weak_acc")) == ((0, 1, 2, 3),)
    soft = np.array([run["soft_labels"] for run in runs["chat_weak_artifacts"]])
    assert soft.shape == (16, 6826, 2)
    assert measure.repeated_runs(soft) == ()


def test_misfit_of_two_teachers_and_their_label_noise(runs):
    soft = np.array([run["soft_labels"] for run in runs["chat_weak_artifacts"]])
    got = misfit(soft[:-1], soft[1:])
    assert got.value == pytest.approx(((soft[:-1, :, 1] - soft[1:, :, 1]) ** 2).mean(), rel=1e-4)
    assert got.low < got.value < got.high
    assert 0.02 < got.value < 0.5
