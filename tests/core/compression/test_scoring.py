"""Scores, losses with intervals, and the check of the data."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.compression import data, scoring
from nb_optimizer.core.errors import UserError


def one_hot(classes, count=3):
    return np.eye(count, dtype="float32")[classes]


def test_the_metric_fits_the_labels():
    labels = np.array([0, 1, 2])
    assert scoring.choose("", labels, one_hot(labels), []).name == "accuracy"
    assert scoring.choose("", one_hot(labels), one_hot(labels), []).name == "accuracy"
    assert scoring.choose("", np.array([0.3, 1.7]), np.zeros((2, 1)), []).name == "mae"
    assert scoring.choose("", np.array([0, 1]), np.zeros((2, 1)), []).name == "accuracy"
    assert scoring.choose("", np.array([0.3, 1.7]), np.zeros((2, 1)), ["loss", "mse"]).name == "mse"
    with pytest.raises(UserError, match='Did you mean "accuracy"'):
        scoring.choose("acuracy", labels, one_hot(labels), [])


def test_an_unchanged_model_still_has_an_interval():
    labels = np.arange(300) % 3
    out = one_hot(labels)
    told = scoring.compare(scoring.METRICS["accuracy"], labels, out, out)
    assert told.drop == 0
    assert -0.01 < told.low < 0 < told.high < 0.01


def test_the_interval_covers_the_true_loss():
    rng, covered = np.random.default_rng(0), 0
    metric, labels = scoring.METRICS["accuracy"], np.zeros(1000, int)
    for _ in range(300):
        before = np.where(rng.random(1000) < 0.9, 0, 1)
        after = np.where(rng.random(1000) < 0.03, 1, before)  # loses 3 % of the right ones
        told = scoring.compare(metric, labels, one_hot(before), one_hot(after))
        covered += told.low <= 0.027 <= told.high
    assert 0.92 <= covered / 300 <= 0.99


def test_errors_lose_relative_to_the_float_model():
    labels = np.zeros(50, "float32")
    rng = np.random.default_rng(0)
    before = rng.normal(size=(50, 1))
    told = scoring.compare(scoring.METRICS["mae"], labels, before, 1.1 * before)
    assert told.drop == pytest.approx(0.1)
    assert told.low <= told.drop <= told.high


def test_agreement():
    assert scoring.agreement(one_hot([0, 1, 2, 0]), one_hot([0, 1, 2, 1])) == 0.75
    assert scoring.agreement(np.arange(5.0), 2 * np.arange(5.0)) == pytest.approx(1)


def test_data_must_fit_the_model(trained, sets):
    (x, y), _ = sets
    read = data.read(trained, (x, y), "--data")
    assert list(read.inputs) == ["args_0"] and len(read) == 500
    for wrong, words in [
        ((x[:, :3], y), "rows of shape (16,), got (3,)"),
        ((x, y[:-1]), "different lengths: 500 and 499"),
        ((x[:0], y[:0]), "there are no rows"),
        (x, "--data takes x,y or a data set"),
    ]:
        with pytest.raises(UserError) as told:
            data.read(trained, wrong, "--data")
        assert words in str(told.value)


def test_a_data_set_is_read_as_arrays(trained, sets):
    import tensorflow as tf

    (x, y), _ = sets
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(64)
    read = data.read(trained, batches, "--data")
    assert np.array_equal(read.inputs["args_0"], x) and np.array_equal(read.labels, y)


def test_test_data_must_not_be_trained_on(trained, sets):
    train, test = (data.read(trained, s, "--data") for s in sets)
    data.check_apart(test, train)
    with pytest.raises(UserError, match="of the rows of --data"):
        data.check_apart(test, test)
