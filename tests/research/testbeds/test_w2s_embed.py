"""Sets of sentences and their tiers, and weak-to-strong on frozen features (here without a transformer)."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from superalign.core.errors import Degenerate, PluginError, SpecError, TaskError
from superalign.core.random import stream
from superalign.core.registry import build
from superalign.core.task import Task
from superalign.core.types import Item
from superalign.research.testbed import recovered
from superalign.research.testbeds import sentence_sets, w2s_micro
from superalign.research.testbeds.sentence_sets import Topic, generated, given, parted
from superalign.research.testbeds.w2s_embed import SPACE, TOPICS, UNSEEN, W2SEmbed, w2s_embed
from superalign.tasks.near import near_duplicates
from superalign.tasks.pool import Pool
from superalign.tasks.worlds.reviews import reviews

BED = w2s_embed(encoder="tfidf")
w2s_embed_file = inspect.getsourcefile(W2SEmbed)


@pytest.fixture(scope="module")
def topic():
    return generated("screens", Topic(("film", "novel"), 0.2), count=1500)


def written(path, count=1800, contrastive=0.05, flipped=0.0):
    """A file of labelled reviews, `flipped` of the labels wrong."""
    pool, rng = reviews(n=count, contrastive=contrastive, seed=5), stream(0, "tests/flipped")
    rows = [f"{pool.key[i.id] ^ int(rng.random() < flipped)}\t{i.prompt}" for i in pool.items]
    path.write_text("label\ttext\n" + "\n".join(rows) + "\n")
    return str(path)


def test_an_item_is_in_one_tier_and_its_near_duplicates_with_it(topic):
    ids = {tier: {i.id for i in items} for tier, items in topic.items.items()}
    assert len(set().union(*ids.values())) == sum(map(len, ids.values()))
    shares = {tier: len(found) / sum(map(len, ids.values())) for tier, found in ids.items()}
    assert shares == pytest.approx(sentence_sets.SHARES, abs=0.1)
    key = {i.id: int(a) for t, items in topic.items.items() for i, a in zip(items, topic.answers[t], strict=True)}
    task = Task("again", {str(t): items for t, items in topic.items.items()}, key, choices=("negative", "positive"))
    assert near_duplicates(task).pairs == 0


def test_near_duplicates_are_kept_and_not_dropped():
    """Chains of them too: A is close to B and B to C, and all three go where the first of them goes."""
    words = [f"w{k}" for k in range(5000)]
    texts = [" ".join(words[12 * k : 12 * k + 12]) for k in range(400)]
    texts += [t + " and" for t in texts] + [t + " and so" for t in texts]
    items = tuple(Item(f"i{k:04d}", t, ("a", "b")) for k, t in enumerate(texts))
    found = parted(Pool("chains", items, {i.id: k % 2 for k, i in enumerate(items)}, ("a", "b")), "chains")
    assert sum(len(v) for v in found.items.values()) == 1200
    for members in found.items.values():
        groups = {i.id: int(i.id[1:]) % 400 for i in members}
        assert all(sum(g == one for g in groups.values()) == 3 for one in set(list(groups.values())[:40]))


def test_topics_share_no_sentence():
    prompts = [{i.prompt for items in s.items.values() for i in items} for s in BED._sets.values()]
    assert sum(map(len, prompts)) == len(set().union(*prompts))
    assert BED.families == tuple(TOPICS)[:-UNSEEN]
    assert BED.unseen == tuple(TOPICS)[-UNSEEN:]


def test_sizes_shrink_with_the_tier():
    for tier, most in (("dev", 700), ("public", 300)):
        problem = BED.problem("screens", 0, tier)
        train, test = (len(problem.public[n]) for n in ("train_x", "test_x"))
        assert train == len(problem.public["train_p"])
        assert 150 < train <= test + 1 <= most
        assert problem.public["train_x"].std(0).max() == pytest.approx(1, abs=1e-3)
        assert problem.public["train_x"].dtype == np.float32


def test_the_space_is_that_of_the_micro_testbed_and_neighbours():
    assert [a.name for a in SPACE.axes] == [*(a.name for a in w2s_micro.SPACE.axes), "neighbours"]
    problem = BED.problem("places", 1, "dev")
    values = {"label": "soft", "l2": 100.0, "aux": 0.5, "rounds": 1}
    mine = BED.solve(SPACE.method(**values), problem.public, 0)
    theirs = w2s_micro.W2SMicro().solve(w2s_micro.SPACE.method(**values), problem.public, 0)
    np.testing.assert_array_equal(mine, theirs)
    smoothed = BED.solve(SPACE.method(**values, neighbours=15), problem.public, 0)
    assert np.abs(smoothed - mine).max() > 0.05


def test_the_weak_supervisor_is_weak_and_the_ceiling_is_not():
    keys = [BED.problem(f, s, "dev").key for f in (*BED.families, *BED.unseen) for s in (0, 1)]
    assert all(0.6 < k.weak < k.ceiling - 0.05 for k in keys)
    assert 0.88 < np.mean([k.ceiling for k in keys]) < 0.97
    assert recovered(BED.problem("screens", 0, "dev"), keys[0].shortcuts["weak"]) == pytest.approx(0)


def test_labels_of_other_sentences_teach_nothing():
    problem = BED.problem("screens", 0, "dev")
    shuffled = stream(0, "tests/placebo").permutation(problem.public["train_p"])
    assert recovered(problem, BED.solve(SPACE.neutral, {**problem.public, "train_p": shuffled}, 0)) < -1


def test_sets_of_your_own(tmp_path):
    places = ",".join(written(tmp_path / f"{name}.tsv", contrastive=c) for name, c in (("one", 0.05), ("two", 0.1)))
    bed = w2s_embed(places, encoder="tfidf")
    assert (bed.families, bed.unseen) == (("one.tsv",), ("two.tsv",))
    assert "one.tsv: 0 or 1?" in bed.card
    assert "two.tsv: confirmed on alone" in bed.card
    assert bed.problem("two.tsv", 0, "confirm").key.ceiling > 0.8
    alone = w2s_embed(places.split(",")[0], encoder="tfidf")
    assert (alone.families, alone.unseen) == (("one.tsv",), ())
    assert "no set is confirmed on alone" in alone.card


def test_all_files_of_a_folder_are_one_set_and_two_classes_are_kept(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = [f"{'abc'[k % 3 if k % 9 else 0]}\tsentence number {k} tells of {k * 7919 % 1009}" for k in range(3600)]
    for part in range(2):
        (folder / f"{part}.tsv").write_text("label\ttext\n" + "\n".join(rows[part::2]) + "\n")
    found = given(str(folder))
    assert found.about.startswith("mine: a or ")
    kept = sum(len(v) for v in found.items.values())
    assert 2300 < kept < 2500
    assert 0.4 < np.concatenate(list(found.answers.values())).mean() < 0.6


def test_a_set_without_a_gap_is_refused(tmp_path):
    noise = written(tmp_path / "noise.tsv", flipped=0.5)
    with pytest.raises(
        Degenerate, match=r"noise.tsv: the ceiling is above the weak supervisor by .* PGR would be undefined"
    ):
        w2s_embed(noise, encoder="tfidf")


def test_what_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(SpecError, match="w2s-embed has no encoder 'bert'; there is: minilm, tfidf"):
        w2s_embed(encoder="bert")
    with pytest.raises(TaskError, match=r"has 300 sentences of its two commonest classes; give 1500 or more"):
        given(written(tmp_path / "small.tsv", count=300))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match="holds no file"):
        given(str(tmp_path / "empty"))
    choices = tmp_path / "choices.jsonl"
    choices.write_text("\n".join(f'{{"prompt": "q{k}", "chosen": "a{k}", "rejected": "b{k}"}}' for k in range(5)))
    with pytest.raises(TaskError, match="is no set of sentences with classes"):
        given(str(choices))
    one = written(tmp_path / "one.tsv")
    with pytest.raises(TaskError, match=r"two sets are called 'one.tsv'"):
        w2s_embed(f"{one},{one}", encoder="tfidf")
    same = tuple(Item(f"i{k}", "one two three four five six seven " * 3, ("a", "b")) for k in range(700))
    with pytest.raises(TaskError, match="near-duplicates leave a tier of 0 sentences"):
        parted(Pool("same", same, {i.id: 0 for i in same}, ("a", "b")), "same")


def test_features_are_learned_from_transfer_sentences_alone_and_standardised():
    calls = []

    def encode(train, test):
        calls.append((len(train), len(test)))
        rng = stream(len(train), "tests/encode")
        return rng.normal(3, 2, (len(train), 6)), rng.normal(3, 2, (len(test), 6))

    bed = W2SEmbed([generated("tiny", Topic(("film", "novel"), 0.1), count=1500)], 0, encode, "six numbers")
    problem = bed.problem("tiny", 0, "dev")
    assert calls == [(len(problem.public["train_x"]), len(problem.key.truth))]
    np.testing.assert_allclose(problem.public["train_x"].mean(0), 0, atol=1e-5)
    assert 0.8 < problem.public["test_x"].std() < 1.2
    assert "six numbers" in bed.card


def test_a_reference_names_files_and_the_encoder(tmp_path):
    place = written(tmp_path / "one.tsv")
    bed = build("testbeds", f"{w2s_embed_file}:w2s_embed:{place}:encoder=tfidf")
    assert bed.families == ("one.tsv",)
    with pytest.raises(PluginError, match="has no option 'encode'"):
        build("testbeds", f"{w2s_embed_file}:w2s_embed:encode=tfidf")
