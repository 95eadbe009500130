"""What fine-tuning is taught with: labels, a float model's opinion, blends of rows."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.compression import data, distill


@pytest.fixture
def train(trained, sets):
    return data.read(trained, sets[0], "--train")


def test_targets_are_labels_and_the_teachers_opinion_in_the_share_asked_for(trained, train, sets):
    lesson = distill.lesson(trained, train, trained, 0.9, blends=False)
    said = trained.predict(sets[0][0], verbose=0)
    wanted = 0.9 * said + 0.1 * np.eye(4)[sets[0][1]]
    assert np.abs(lesson.targets - wanted).max() < 1e-6
    assert lesson.arguments(32, 0)["batch_size"] == 32


def test_blended_rows_have_the_teachers_opinion_of_the_blend_and_the_others_their_targets(
    trained, train
):
    lesson = distill.lesson(trained, train, trained, 0.9, blends=True)
    batches = list(lesson.arguments(64, seed=3)["x"].as_numpy_iterator())
    rows = {row.tobytes(): i for i, row in enumerate(next(iter(train.inputs.values())))}
    assert [len(x) for x, _ in batches] == [64] * 7 + [52]
    plain = []
    for x, y in batches:
        half = len(x) // 2
        known = [rows[row.tobytes()] for row in x[:half]]
        assert np.array_equal(y[:half], lesson.targets[known])
        assert not any(row.tobytes() in rows for row in x[half:])
        said = trained.predict(x[half:], verbose=0)
        assert np.abs(y[half:] - said).max() < 1e-5
        plain += known
    assert len(plain) == len(set(plain)) == 250


def test_blends_follow_from_the_seed_and_differ_from_epoch_to_epoch(trained, train):
    lesson = distill.lesson(trained, train, trained, 0.9, blends=True)
    one, same, other = (lesson.arguments(64, seed)["x"] for seed in (3, 3, 4))
    epochs = [[x for x, _ in data.as_numpy_iterator()] for data in (one, one, same, other)]
    assert all(np.array_equal(a, b) for a, b in zip(epochs[0], epochs[2], strict=True))
    for later in (epochs[1], epochs[3]):
        assert not np.array_equal(epochs[0][0], later[0])


def test_names_of_categories_are_not_blended(trained, train, sets):
    x, y = sets[0]
    words = data.Data({"tokens": x.astype("int32")}, y, y)
    assert distill._can_blend(train) and not distill._can_blend(words)
