"""Two live tasks for searches: Keras trainings on real data that take milliseconds.

Each task compiles one training for each choice; all other hyperparameters are variables of the
compiled call. Weights, order and dropout follow from the trial's seed, so a trial ends the same
whoever asks, and its first epochs are the same however far it goes.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tuning_players import Game

from nb_optimizer.core.tuning.space import Range, Space, Values, key_of, rng_of

EPOCHS = 27
BATCH = 64
_RUNGS = (1, 3, 9, 27)
_CACHE = Path(__file__).parents[1] / ".cache"


class Dropout(layers.Layer):
    """Dropout whose rate is a variable."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = self.add_weight(shape=(), trainable=False, name="rate")
        self.draws = keras.random.SeedGenerator(0)

    def call(self, inputs: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Drop that share while training."""
        if not training:
            return inputs
        kept = keras.random.uniform(tf.shape(inputs), seed=self.draws) >= self.rate
        return inputs * tf.cast(kept, inputs.dtype) / (1 - self.rate)


class Training:
    """A model, its optimizer and its whole training as one compiled call."""

    def __init__(
        self, model: keras.Model, optimizer: keras.Optimizer, memory: keras.Variable, task: Task
    ) -> None:
        self._model, self._optimizer, self._task = model, optimizer, task
        self._drops = [one for one in model.layers if isinstance(one, Dropout)]
        optimizer.weight_decay, self._smoothing = keras.Variable(0.0), keras.Variable(0.0)
        self._values = {
            "lr": optimizer.learning_rate, "memory": memory, "decay": optimizer.weight_decay,
            "smoothing": self._smoothing,
        }  # fmt: skip
        optimizer.build(model.trainable_variables)
        x, y, x_test, y_test = map(tf.constant, task.data)

        def step(index: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                answer = model(tf.gather(x, rows[index]), training=True)
                loss = task.loss(tf.gather(y, rows[index]), answer, self._smoothing)
            weights = model.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
            return index + 1

        def epoch(number: tf.Tensor, scores: tf.Tensor, orders: tf.Tensor) -> tuple:
            rows = orders[number]
            tf.while_loop(
                lambda i: i < orders.shape[1], lambda i: (step(i, rows),), (tf.constant(0),)
            )
            score = task.quality(y_test, model(x_test, training=False))
            return number + 1, tf.tensor_scatter_nd_update(scores, [[number]], [score]), orders

        def run(orders: tf.Tensor, until: tf.Tensor) -> tf.Tensor:
            begin = (tf.constant(0), tf.zeros(EPOCHS), orders)
            return tf.while_loop(lambda i, *_: i < until, epoch, begin)[1]

        self._run = tf.function(run, jit_compile=True, autograph=False)

    def scores(self, values: Values, seed: int, until: int) -> np.ndarray:
        """Train for ``until`` epochs; return the best score so far after each."""
        rng = np.random.default_rng(seed)
        for weight in self._model.trainable_variables:
            weight.assign(_drawn(rng, tuple(weight.shape)))
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        for drop in self._drops:
            drop.rate.assign(values["dropout"])
            drop.draws.state.assign([seed % 2**31, 0])
        for name, variable in self._values.items():
            variable.assign(values[name])
        count = len(self._task.data[0])
        steps = count // BATCH
        orders = [rng.permutation(count)[: steps * BATCH] for _ in range(EPOCHS)]
        shaped = np.array(orders, "int32").reshape(EPOCHS, steps, BATCH)
        found = self._run(tf.constant(shaped), tf.constant(until)).numpy()[:until]
        return np.maximum.accumulate(np.nan_to_num(found, nan=-1.0).clip(-1.0))


class Task:
    """What is common: data, a space, and how far each trial was trained until now."""

    name: str
    choice: str  # the hyperparameter that needs a compilation of its own
    space: Space

    def __init__(self) -> None:
        self.data = self.load()
        self._trainings: dict = {}

    def scorer(self, seed: int) -> object:
        """Return the score of values after an epoch, in the search of a seed."""
        known: dict = {}

        def score(values: dict, epoch: int) -> float:
            key = key_of(values)
            if len(known.get(key, ())) < epoch:
                until = next(r for r in _RUNGS if r >= epoch)
                trial = int(rng_of(seed, zlib.crc32(repr(key).encode())).integers(2**31))
                known[key] = self.training(values).scores(values, trial, until)
            return float(known[key][epoch - 1])

        return score

    def training(self, values: Values) -> Training:
        """Return the compiled training of a choice."""
        chosen = values[self.choice]
        if chosen not in self._trainings:
            self._trainings[chosen] = self.build(chosen)
        return self._trainings[chosen]

    def game(self) -> Game:
        """Return the task as what searches play."""
        return Game(self.space, self.scorer, EPOCHS, budget=160 * EPOCHS)

    def finals(self, count: int) -> np.ndarray:
        """Return the final scores of random trials trained to the end, kept in ``.cache``."""
        file = _CACHE / f"tuning_live_{self.name}_{count}.npy"
        if not file.is_file():
            rng, score = np.random.default_rng(10**6), self.scorer(10**6)
            _CACHE.mkdir(exist_ok=True)
            np.save(file, [score(self.space.sample(rng), EPOCHS) for _ in range(count)])
        return np.load(file)


class Digits(Task):
    """An MLP on scikit-learn's digits, Adam; the score is held-out accuracy."""

    name, choice = "digits", "width"
    space = Space(
        [
            Range("lr", "float", 1e-4, 1e-1, log=True),
            Range("memory", "float", 0.0, 0.99),  # beta_1
            Range("decay", "float", 1e-6, 1e-1, log=True),
            Range("dropout", "float", 0.0, 0.8),
            Range("smoothing", "float", 0.0, 0.5),
            Range("width", "choice", choices=(16, 32, 64)),
        ]
    )

    def load(self) -> tuple:
        """Return 1,078 rows to train on and 719 held out."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        x, y = load_digits(return_X_y=True)
        kept = train_test_split(x / 16, y, test_size=0.4, random_state=0, stratify=y)
        return kept[0].astype("float32"), kept[2], kept[1].astype("float32"), kept[3]

    def build(self, width: int) -> Training:
        """Return the training of a width."""
        model = keras.Sequential([
            keras.Input((64,)), layers.Dense(width, "relu"), Dropout(),
            layers.Dense(width, "relu"), Dropout(), layers.Dense(10),
        ])  # fmt: skip
        optimizer = keras.optimizers.Adam(weight_decay=1.0)
        optimizer.beta_1 = keras.Variable(0.0)
        return Training(model, optimizer, optimizer.beta_1, self)

    def loss(self, y: tf.Tensor, answer: tf.Tensor, smoothing: tf.Tensor) -> tf.Tensor:
        """Return the cross-entropy with smoothed labels."""
        wanted = tf.one_hot(y, 10) * (1 - smoothing) + smoothing / 10
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, answer))

    def quality(self, y: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
        """Return the accuracy."""
        return tf.reduce_mean(tf.cast(tf.argmax(answer, 1) == y, tf.float32))


class Series(Task):
    """An MLP that looks 6 steps ahead in a noisy Mackey-Glass series, RMSprop; R2, held out."""

    name, choice = "series", "activation"
    space = Space(
        [
            Range("lr", "float", 1e-5, 1e-1, log=True),
            Range("memory", "float", 0.5, 0.999),  # rho
            Range("decay", "float", 1e-6, 1.0, log=True),
            Range("smoothing", "float", 0.01, 3.0, log=True),  # where the loss turns from L2 to L1
            Range("activation", "choice", choices=("relu", "tanh", "elu")),
        ]
    )

    def load(self) -> tuple:
        """Return 1,000 windows of 24 to train on and 400 later ones."""
        rng, x = np.random.default_rng(0), [1.2] * 18
        for _ in range(3500):  # Mackey and Glass, 1977, with the usual constants
            x.append(0.9 * x[-1] + 0.2 * x[-18] / (1 + x[-18] ** 10))
        series = np.array(x[200::2], "float32")
        series = (series - series.mean()) / series.std()
        noisy = (series + 0.2 * rng.standard_normal(len(series))).astype("float32")
        windows = np.lib.stride_tricks.sliding_window_view(noisy, 24)[:1400]
        y = noisy[29 : 29 + len(windows)]
        return windows[:1000].copy(), y[:1000].copy(), windows[1000:].copy(), y[1000:].copy()

    def build(self, activation: str) -> Training:
        """Return the training of an activation."""
        model = keras.Sequential([
            keras.Input((24,)), layers.Dense(32, activation),
            layers.Dense(16, activation), layers.Dense(1),
        ])  # fmt: skip
        optimizer = keras.optimizers.RMSprop(weight_decay=1.0)
        optimizer.rho = keras.Variable(0.0)
        return Training(model, optimizer, optimizer.rho, self)

    def loss(self, y: tf.Tensor, answer: tf.Tensor, smoothing: tf.Tensor) -> tf.Tensor:
        """Return Huber's loss."""
        off = tf.abs(answer[:, 0] - y)
        near = tf.minimum(off, smoothing)
        return tf.reduce_mean((0.5 * near**2 + smoothing * (off - near)) / smoothing)

    def quality(self, y: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
        """Return the share of the variance that is explained."""
        return 1 - tf.reduce_mean((answer[:, 0] - y) ** 2) / tf.math.reduce_variance(y)


TASKS = {"digits": Digits, "series": Series}


def _drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return Glorot's uniform weights, zeros for biases."""
    if len(shape) < 2:
        return np.zeros(shape, "float32")
    field = int(np.prod(shape[:-2]))
    limit = np.sqrt(6 / (field * (shape[-1] + shape[-2])))
    return rng.uniform(-limit, limit, shape).astype("float32")
