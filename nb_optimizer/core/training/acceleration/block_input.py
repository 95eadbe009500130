"""What a ``fit`` draws its batches from, made to yield blocks of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nb_optimizer.core.training.acceleration.blocks import Feed, StreamFeed
from nb_optimizer.core.training.acceleration.promises import PLAIN


def blocks_under(
    feed_for: Callable[[Any], Feed | None], is_over: Callable[[Feed], bool]
) -> Callable[[Any], Any]:
    """Return a function that makes Keras' class of inputs yield blocks.

    ``feed_for`` gives an input its feed, or none; once ``is_over`` Keras' own iterator serves.
    """

    def make(original: Any) -> Any:
        class BlockInput(original):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.feed = feed_for(self)

            def _enumerate_iterator(self) -> Iterator[Any]:
                own = super()._enumerate_iterator()
                if self.feed is None or is_over(self.feed):
                    yield from own
                    return
                self.feed.timer.begin_anew()
                if isinstance(self.feed, StreamFeed):
                    yield from self.feed.blocks(own)
                else:
                    self.data_adapter.on_epoch_begin()
                    for begin, end, block in self.feed.blocks(own):
                        self._steps_seen = end + 1
                        yield begin, end, block
                    self.data_adapter.on_epoch_end()

        return BlockInput

    return make


def timed(function: Callable[[Any], Any], content: Any, feed: Feed | None) -> Any:
    """Run one plain step, and tell the pace how long it took while that decides anything."""
    if feed is None or feed.pace.is_final or feed.pace.way != PLAIN:
        return function(content)
    if feed.steps is None and not feed.pace.compiles:  # what is left to train is not known yet
        return function(content)
    return feed.timer.run(function, content)
