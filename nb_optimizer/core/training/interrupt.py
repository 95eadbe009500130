"""The first interrupt asks, the second one means it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def graceful_interrupt(on_first: Callable[[], None]) -> Iterator[None]:
    """Within the block, the first SIGINT calls ``on_first``; the next ones raise.

    Outside the main thread signals cannot be caught, and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = False

    def on_interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            signal.default_int_handler(signum, frame)
        seen = True
        on_first()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
