"""The part of a recipe that changes weights, done once for all number formats of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb_optimizer.core.compression import export, graph, idle, kernels, projection, prune, shrink
from nb_optimizer.core.compression.finetune import FineTuning
from nb_optimizer.core.compression.qat import Twin
from nb_optimizer.core.compression.recipe import TWO_OF_FOUR, Recipe
from nb_optimizer.core.errors import UserError, listing
from nb_optimizer.core.watching import ViewFactory, silent

if TYPE_CHECKING:
    from nb_optimizer.core.compression.session import Compressing

_QAT_RATE = 0.3


class Trained:
    """Makes the float files that number formats start from; each is made once.

    Steps build on each other: ``prune 0.8 + cluster 16`` starts from the model of
    ``prune 0.8`` where that was made before.
    """

    def __init__(self, session: Compressing, view: ViewFactory) -> None:
        self._session = session
        self._view = view
        self._models: dict[str, Any] = {}
        self._names: dict[str, str] = {}  # of the Keras files
        self._files: dict[str, tuple[Any, Path, str]] = {}
        self._tuning: FineTuning | None = None
        self.float_file_of_model: Path | None = None
        self.finished: dict[str, Path] = {}  # 8-bit files that TF-MOT itself has written

    def engine(self, recipe: Recipe) -> str:
        """Return who trains this recipe: ``keras`` (as it is), ``native`` or ``tfmot``."""
        if not recipe.trains:
            return "keras"
        return "tfmot" if recipe.engine == "tfmot" else "native"

    def float_file(self, recipe: Recipe) -> tuple[Any, Path, str]:
        """Return the model, its float LiteRT file, and the name of its Keras file if any."""
        if not recipe.trains:
            assert self.float_file_of_model is not None  # noqa: S101 - the baseline comes first
            return self._session.model, self.float_file_of_model, ""
        weights = _weights_of(recipe)
        key = repr(weights)
        if key not in self._files:
            model = self.model(weights)
            saved = self._names[key]
            file = (self._session.path / saved).with_suffix(".tflite")
            export.export_float(model, self._session.bench.calibration, file)
            self._files[key] = (model, file, saved)
        return self._files[key]

    def finished_file(self, recipe: Recipe) -> Path | None:
        """Return the 8-bit file that TF-MOT's own quantization gave, if it did."""
        return self.finished.get(repr(_weights_of(recipe)))

    def model(self, recipe: Recipe) -> Any:
        """Return a new model with the weights of ``recipe``."""
        recipe = _weights_of(recipe)
        if not recipe.trains:
            return copy(self._session.model)
        key = repr(recipe)
        if key not in self._models:
            self._models[key] = self._recalled(recipe) or self._saved(recipe, self._step(recipe))
        return self._models[key]

    def pace(self) -> float:
        """Return the seconds of one epoch of fine-tuning; measured once, before a resume or now."""
        memory = self._session.memory
        if not memory.get("pace"):
            memory.keep("pace", seconds=self.tuning.pace(copy(self._session.model)))
        return float((memory.get("pace") or {})["seconds"])

    def _recalled(self, recipe: Recipe) -> Any:
        """Return the model of a step that was finished before a resume, or ``None``."""
        folder = self._session.path
        kept = self._session.memory.get(_kept(recipe))
        if kept is None or not (folder / kept["file"]).is_file():
            return None
        import keras  # noqa: PLC0415 - loads on first use

        self._names[repr(recipe)] = kept["file"]
        if kept["finished"]:
            self.finished[repr(recipe)] = folder / kept["finished"]
        own = graph.own_classes(self._session.model)
        return keras.models.load_model(folder / kept["file"], own or None, compile=False)

    def _saved(self, recipe: Recipe, model: Any) -> Any:
        """Keep what a step has trained; without that line in the journal it counts as undone."""
        folder = self._session.path
        file = f"weights-{1 + len(list(folder.glob('weights-*.keras')))}.keras"
        model.save(folder / file)
        self._names[repr(recipe)] = file
        finished = self.finished.get(repr(recipe))
        name = str(finished.relative_to(folder)) if finished else ""
        self._session.memory.keep(_kept(recipe), file=file, finished=name)
        return model

    # ---- one step more than what was made before

    def _step(self, recipe: Recipe) -> Any:
        graph.graph_of(self._session.model)  # a clear word where there is none
        if recipe.engine == "tfmot" and (recipe.prune or recipe.cluster or recipe.qat):
            return self._by_tfmot(recipe)
        step, start = self._last(recipe)
        before = self.model(start)
        with self.tuning.on_devices(self._teacher(recipe)):
            model = step(recipe, copy(before))
        return copy(model) if self.tuning.devices else model

    def _last(self, recipe: Recipe) -> tuple[Callable[[Recipe, Any], Any], Recipe]:
        """Return the last step of a recipe, and the recipe of what it starts from."""
        before = Recipe.from_dict(recipe.start) if recipe.start else None
        if recipe.qat:
            return self._qat, replace(recipe, qat=False, quantize="")
        if recipe.cluster:
            return self._cluster, replace(recipe, cluster=0, values={})
        if recipe.prune or recipe.layers:
            return self._prune, before or replace(recipe, prune="", layers={}, start={})
        if recipe.trim:
            return self._trim, before or Recipe()
        return (self._tune if recipe.tune else self._shrink), before or Recipe()

    def _trim(self, _: Recipe, model: Any) -> Any:
        return shrink.without(model, idle.known(self._session))

    def _tune(self, recipe: Recipe, model: Any) -> Any:
        self._fit(model, recipe, [], 1.0)
        return model

    def _prune(self, recipe: Recipe, model: Any) -> Any:
        chosen = self._chosen(model, Recipe())
        steps = recipe.epochs * self.tuning.steps_per_epoch
        made: list[projection.Projection] = []
        for kernel in chosen:
            schedule = _schedule(recipe, kernel, steps)
            if schedule is None:
                self._left({kernel.name: "2:4 is defined for dense and 2-D kernels only"})
            else:
                made.append(projection.Pruned(kernel, schedule))
        if not made:
            message = "There is no kernel to prune: all are small, first, last or depthwise."
            raise UserError(message)
        self._fit(model, recipe, made, 1.0)
        return model

    def _cluster(self, recipe: Recipe, model: Any) -> Any:
        kept = bool(recipe.prune or recipe.layers)
        made: list[projection.Projection] = [
            projection.Shared(k, recipe.values_of(k.name), keep_zeros=kept)
            for k in self._chosen(model, recipe)
        ]
        self._fit(model, replace(recipe, epochs=recipe.short), made, 1.0)
        return model

    def _qat(self, recipe: Recipe, model: Any) -> Any:
        chosen = kernels.choose(model, recipe.values)[0]
        shared = {k.layer.name for k in chosen} if recipe.cluster else set()
        twin = Twin(model, shared, bits=4 if recipe.quantize == "int4" else 8)
        calibration = self._session.bench.calibration
        twin.calibrate(calibration.for_keras())
        mine = twin.kernels_of(chosen)
        made: list[projection.Projection] = []
        if recipe.cluster:
            kept = bool(recipe.prune or recipe.layers)
            made = [projection.Shared(k, recipe.values_of(k.name), keep_zeros=kept) for k in mine]
        elif recipe.prune or recipe.layers:
            made = [projection.Fixed(k) for k in mine]
        self._fit(twin.model, replace(recipe, epochs=recipe.short), made, _QAT_RATE)
        twin.give_back()
        return model

    def _shrink(self, recipe: Recipe, whole: Any) -> Any:
        model, left = shrink.smaller(whole, recipe.shrink, recipe.widths)
        self._left(left)
        self._fit(model, recipe, [], 1.0)
        return model

    def _by_tfmot(self, recipe: Recipe) -> Any:
        from nb_optimizer.core.compression import tfmot  # noqa: PLC0415 - as needed

        start = Recipe.from_dict(recipe.start) if recipe.start else None
        if start is None and recipe.narrows:  # TF-MOT has none of its own
            start = Recipe(shrink=recipe.shrink, widths=recipe.widths, epochs=recipe.epochs)
        model = self.model(start) if start else self._session.model
        lesson = self.tuning.lesson(self._teacher(recipe))
        only = replace(recipe, start={})
        model, file = tfmot.train(self._session, self.tuning, lesson, only, model)
        if file is not None:
            self.finished[repr(recipe)] = file
        return model

    # ---- inside

    @property
    def tuning(self) -> FineTuning:
        """What every fine-tuning shares."""
        if self._tuning is None:
            session = self._session
            if session.train is None:
                message = "Fine-tuning needs data: give it with --train x,y."
                raise UserError(message)
            searches = session.plan.searches
            quiet = searches or self._view is silent or session.plan.live == "off"
            self._tuning = FineTuning(
                session.model, session.train, session.store, session.plan.seed, self._view,
                quiet=quiet,
                deadline=time.monotonic() + session.seconds_left() if searches else None,
                devices=session.devices, tell=session.note, pulse=session.watcher.pulse,
            )  # fmt: skip
        return self._tuning

    def _fit(
        self, model: Any, recipe: Recipe, made: list[projection.Projection], rate: float
    ) -> None:
        callbacks = [projection.callback(made)] if made else []
        name = f"{self._session.path.name}: {replace(recipe, quantize='').name}"
        self.tuning.fit(model, recipe.epochs, callbacks, name, rate, self._teacher(recipe))
        if self.tuning.stopped:
            raise KeyboardInterrupt

    def _teacher(self, recipe: Recipe) -> Any:
        """Return the fine-tuned float model that this recipe learns from, if it starts with one."""
        teacher = None if recipe.tune else recipe.teacher
        return self.model(teacher) if teacher else None

    def _chosen(self, model: Any, recipe: Recipe) -> list[kernels.Kernel]:
        chosen, left = kernels.choose(model, recipe.values)
        self._left(left)
        return chosen

    def _left(self, left: dict[str, str]) -> None:
        reasons: dict[str, list[str]] = {}
        for name, reason in left.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            shown = listing(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")  # noqa: PLR2004
            self._session.note(f"left alone: {shown} ({reason})")


def copy(model: Any) -> Any:
    """Return a new model with the same architecture and weights.

    Raises:
        UserError: a layer of the user's own cannot be made again from its configuration.
    """
    import keras  # noqa: PLC0415 - loads on first use

    compiled, model.compiled = model.compiled, False  # its loss may be a function of the user's
    try:
        twin = keras.models.clone_model(model)
        twin.set_weights(model.get_weights())
    except (TypeError, ValueError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0][:160]
        message = f"The model cannot be copied, so it is not trained on: {first}"
        raise UserError(message) from error
    finally:
        model.compiled = compiled
    return twin


def _schedule(recipe: Recipe, kernel: kernels.Kernel, steps: int) -> prune.Schedule | None:
    own = recipe.layers.get(kernel.name)
    if own is None and recipe.prune == TWO_OF_FOUR:
        shape = tuple(kernel.variable.shape)
        return prune.TwoOfFour() if prune.fits_two_of_four(shape) else None
    share = own if own is not None else float(recipe.prune or 0)
    return prune.schedule_for(share, steps, recipe.schedule)


def _weights_of(recipe: Recipe) -> Recipe:
    """Return the part of a recipe that decides the weights."""
    rounded = recipe.quantize if recipe.qat else ""
    return replace(recipe, quantize=rounded, formats={})


def _kept(recipe: Recipe) -> str:
    return f"weights {recipe.key}"
