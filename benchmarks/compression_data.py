"""Data and models of benchmarks/compression_gains.py, made from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SIDE = 28


def _fonts():
    import matplotlib as mpl
    from PIL import ImageFont

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    names = [p for p in sorted(folder.glob("DejaVu*.ttf")) if "Display" not in p.name]
    names += [folder / f"STIXGeneral{kind}.ttf" for kind in ("", "Bol", "Italic", "BolIta")]
    return [ImageFont.truetype(str(p), size) for p in names for size in (16, 19, 22)]


def glyphs(rows: int, seed: int):
    """Letters and digits in many fonts: turned, moved, blurred, noisy. (x, y), x in 0..1."""
    from PIL import Image, ImageDraw, ImageFilter

    rng, fonts = np.random.default_rng(seed), _fonts()
    x = np.zeros((rows, SIDE, SIDE, 1), "float32")
    y = rng.integers(0, len(SIGNS), rows)
    for i in range(rows):
        image = Image.new("L", (SIDE, SIDE))
        place = (SIDE / 2 + rng.normal(0, 1.8), SIDE / 2 + rng.normal(0, 1.8))
        font = fonts[rng.integers(len(fonts))]
        ImageDraw.Draw(image).text(place, SIGNS[y[i]], 255, font, anchor="mm")
        image = image.rotate(rng.normal(0, 11), Image.Resampling.BILINEAR)
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.1)))
        pixels = np.asarray(image, "float32") / 255 * rng.uniform(0.5, 1.0)
        x[i, ..., 0] = np.clip(pixels + rng.normal(0, 0.11, pixels.shape), 0, 1)
    return x, y


def digits():
    """Scikit-learn's digits, 8x8: (x, y) for training and (x, y) held out."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    x, y = (found.images / 16).astype("float32")[order][..., None], found.target[order]
    return (x[:1100], y[:1100]), (x[1100:], y[1100:])


def series(rows: int, seed: int):
    """Six kinds of noisy waves, 64 steps of 3 channels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 6, rows)
    t = np.linspace(0, 6 * np.pi, 64)[None, :, None]
    phase = rng.uniform(0, 2 * np.pi, (rows, 1, 3))
    speed = (1 + 0.22 * y)[:, None, None] * rng.normal(1, 0.05, (rows, 1, 1))
    waves = np.sin(t * speed + phase) + 0.4 * np.sin(2 * t * speed) * (y % 2)[:, None, None]
    return (waves + rng.normal(0, 0.9, waves.shape)).astype("float32"), y


def compiled(model):
    """Compile a classifier as the benchmarks train it."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def glyph_cnn(width: int = 1):
    """Two convolutions and a wide dense layer: 210,804 parameters, most of them not needed."""
    import keras
    from keras import layers

    return compiled(
        keras.Sequential(
            [
                keras.Input((SIDE, SIDE, 1)),
                layers.Conv2D(16 * width, 3, padding="same", activation="relu"),
                layers.MaxPooling2D(),
                layers.Conv2D(32 * width, 3, padding="same", activation="relu"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(128, activation="relu"),
                layers.Dense(len(SIGNS), activation="softmax"),
            ]
        )
    )


def digits_cnn():
    """A network of 143,562 parameters for 8x8 digits."""
    import keras
    from keras import layers

    return compiled(
        keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(32, 3, activation="relu"),
                layers.Conv2D(32, 3, use_bias=False),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Flatten(),
                layers.Dense(256, activation="relu"),
                layers.Dense(10, activation="softmax"),
            ]
        )
    )


def series_net():
    """One-dimensional convolutions and a GRU: what TF-MOT refuses to quantize."""
    import keras
    from keras import layers

    return compiled(
        keras.Sequential(
            [
                keras.Input((64, 3)),
                layers.Conv1D(64, 5, padding="same", activation="relu"),
                layers.MaxPooling1D(),
                layers.Conv1D(96, 5, padding="same", activation="relu"),
                layers.MaxPooling1D(),
                layers.Flatten(),
                layers.Dense(64, activation="relu"),
                layers.Dense(6, activation="softmax"),
            ]
        )
    )
