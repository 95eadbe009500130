"""``run.to_code()`` is plain Keras that repeats a steered run."""

from __future__ import annotations

import pytest


def steer(recorder, deeds):
    """Return a view that asks for ``deeds[n]`` when epoch n ends."""

    def look(event, control):
        if type(event).__name__ == "EpochEnd":
            for action, value in deeds.get(event.epoch, ()):
                assert control.request(action, value) == ""

    return recorder(on_event=look)


@pytest.mark.parametrize("scheduled", [False, True])
def test_code_repeats_a_steered_run(train, model, data, recorder, scheduled):
    import keras

    deeds = {
        2: [("learning_rate", 0.3)],
        4: [("back_to_best", None), ("learning_rate", 0.001)],
        5: [("more_epochs", 2)],
    }

    def rate():
        return keras.optimizers.schedules.CosineDecay(0.02, 200) if scheduled else 0.02

    with train(seed=5, patience=50, view=steer(recorder, deeds)) as run:
        net = model(keras.optimizers.Adam(rate()))
        watched = net.fit(*data, epochs=6, validation_split=0.2)
    code = run.to_code()
    assert "nb_optimizer" not in code.replace("# Repeats", "")
    keras.utils.set_random_seed(5)
    names = {"model": model(keras.optimizers.Adam(rate()))}
    exec(code, names)  # noqa: S102 - what the user does
    again = names["model"].fit(
        *data, epochs=8, validation_split=0.2, callbacks=names["callbacks"], verbose=0
    )
    assert "epochs=8" in code
    assert again.history == watched.history


def test_code_of_options_alone_is_valid(train, model, data):
    with train(seed=1, patience=3, reduce_lr=2, l2=1e-4, lr=0.01, batch_size=20) as run:
        net = model()
        net.fit(*data, epochs=2)
    code = run.to_code()
    compile(code, "code", "exec")
    for part in ("EarlyStopping(monitor='loss', patience=3", "ReduceLROnPlateau", "batch_size=20"):
        assert part in code
    assert "L2 0.0001 added to the kernels of" in code
    assert "learning_rate = 0.01" in code


def test_plot_is_a_figure_of_every_metric(train, model, data):
    with train() as run:
        model().fit(*data, epochs=2, validation_split=0.2)
    figure = run.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    assert len(figure.axes[0].lines) >= 3


def test_opened_run_has_its_model_with_the_best_weights(train, model, data):
    import numpy as np

    import nb_optimizer as nbo

    with train(restore_best=True, l2=0.01) as run:
        net = model()
        net.fit(*data, epochs=3)
    opened = nbo.open_run(run.path)
    assert (opened.status, opened.best, opened.epochs) == (run.status, run.best, 3)
    for a, b in zip(net.get_weights(), opened.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "completed" in repr(opened)
    assert opened._repr_html_().startswith("<div")
