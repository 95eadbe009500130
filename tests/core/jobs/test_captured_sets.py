"""``tf.data`` sets of an earlier cell: saved for the workers, or refused before anything trains."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.errors import UserError
from nb_optimizer.core.jobs import capture as capturing
from nb_optimizer.core.tuning.conduct import Cell, begin
from nb_optimizer.core.tuning.grammar import parse
from nb_optimizer.core.tuning.plan import TunePlan
from nb_optimizer.views import search

CELL = """
import keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(len(train.class_names))])
model.compile(keras.optimizers.SGD(lr), keras.losses.SparseCategoricalCrossentropy(True))
model.fit(train.prefetch(1), validation_data=test, epochs=2, verbose=0)
"""


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


@pytest.fixture
def rows(tf):
    rng = np.random.default_rng(0)
    x = rng.random((80, 4), dtype="float32")
    return tf.data.Dataset.from_tensor_slices((x, (x.sum(axis=1) > 2).astype("int32")))


def test_a_search_trains_on_sets_of_an_earlier_cell(store, rows):
    train = rows.filter(lambda x, _: x[0] > 0.1).shuffle(80).batch(8)  # of unknown length
    train.class_names = ["low", "high"]
    plan = TunePlan(search="random", trials=2, workers="1", seed=0)
    cell = Cell(CELL, [parse("lr", "0.01|0.1")])
    found = search.follow(begin(plan, cell, store, {"train": train, "test": rows.batch(8)}), "off")
    assert [t.status for t in found.trials] == ["completed"] * 2, found.reason
    assert len(found.record.notes) == 2 and "test (tf.data) was read once" in repr(found)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda rows: rows.repeat(), "is an endless tf.data set"),
        (lambda rows: rows.repeat().filter(lambda *_: True), "of more than 0 MB, too much"),
        (lambda rows: rows.map(lambda x, y: (x, 1 // (y - y))), "cannot be read"),
    ],
)
def test_sets_without_end_or_with_faults_are_refused(rows, make, told, tmp_path, monkeypatch):
    monkeypatch.setattr(capturing, "_MOST", 100_000)
    with pytest.raises(UserError, match=told) as error:
        capturing.capture({"data": make(rows)}, {"data"}, tmp_path)
    said = str(error.value)
    assert said.startswith("data is ") and "\n" not in said
    assert said.endswith("build it inside the cell, or in a function that the cell calls.")


def test_a_set_that_can_be_read_once_only_is_refused(tf, tmp_path):
    once = iter(range(5))
    data = tf.data.Dataset.from_generator(lambda: once, output_signature=tf.TensorSpec((), "int32"))
    with pytest.raises(UserError, match="differs each time it is read"):
        capturing.capture({"data": data}, {"data"}, tmp_path)


def test_structure_and_order_come_back(tf, tmp_path):
    ragged = tf.ragged.constant([[1.0], [2.0, 3.0]])
    data = tf.data.Dataset.from_tensor_slices(({"word": ["a", "bc"], "parts": ragged}, [1, 2]))
    captured = capturing.capture({"data": data}, {"data"}, tmp_path)
    back = capturing.restore(captured, tmp_path)["data"]
    assert back.element_spec == data.element_spec
    assert [r[0]["word"].numpy() for r in back] == [b"a", b"bc"]
    assert [int(r[1]) for r in back] == [1, 2]
