"""What fine-tuning is taught with: labels, and a float model's opinion."""

from __future__ import annotations

import numpy as np
import pytest

from nb_optimizer.core.compression import data, distill
from nb_optimizer.core.compression.trained import copy
from nb_optimizer.core.errors import UserError


@pytest.fixture
def train(trained, sets):
    return data.read(trained, sets[0], "--train")


def test_targets_are_labels_and_the_teachers_opinion_in_the_share_asked_for(trained, train, sets):
    lesson = distill.lesson(trained, train, trained, 0.9)
    said = trained.predict(sets[0][0], verbose=0)
    wanted = 0.9 * said + 0.1 * np.eye(4)[sets[0][1]]
    assert np.abs(lesson.targets - wanted).max() < 1e-6
    assert lesson.loss.name == "categorical_crossentropy"


def test_a_loss_of_the_users_own_keeps_its_labels(trained, train, sets):
    model = copy(trained)
    model.compile("adam", lambda truth, said: said[:, 0])
    lesson = distill.lesson(model, train, trained, 0.9)
    assert lesson.targets is train.targets and lesson.loss is model.loss
    with pytest.raises(UserError, match="not compiled"):
        distill.lesson(copy(trained), train, trained, 0.9)
