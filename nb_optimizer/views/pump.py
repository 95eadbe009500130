"""Lets the panel's buttons through while the cell that trains keeps the kernel busy.

A kernel reads its shell messages between cells, so a click would wait until the training is over.
``Pump.poll``, called by the thread that trains, reads what has arrived, hands the messages of our
own widgets to them at once and leaves all others, in order, for after the cell.

This is the one file with private names of ipykernel and pyzmq; ``tests/kernels`` runs it on
ipykernel 6.31 to 7.4.
"""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from collections.abc import Callable, Collection
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a page asks for after a reload, before it can show a widget again.
_QUESTIONS = frozenset({"comm_info_request", "kernel_info_request"})
_STATE_REQUESTS = frozenset({"request_state", "request_states"})
_STATE_TARGET = "jupyter.widget.control"


class Pump:
    """Handles waiting messages of the comms named by ``comm_ids``, and of no others.

    A message can be taken out of the kernel's queue once only, so each pump also handles those of
    the others: a compression's panel and that of its fine-tuning are open at the same time.
    """

    _open: ClassVar[weakref.WeakSet[Pump]] = weakref.WeakSet()

    def __init__(self, comm_ids: Callable[[], Collection[str]]) -> None:
        self.why_not = ""
        self._comm_ids = comm_ids
        self._kept: set[asyncio.Future[Any]] = set()
        try:
            self._kernel = _kernel()
            self._stream, self._replies = _streams(self._kernel)
            self._entrance = _entrance(self._kernel)
            _check(self._kernel, self._stream)
        except (AttributeError, TypeError, LookupError, ImportError, _CannotError) as error:
            self.why_not = _reason(error)
        self._open.add(self)

    @property
    def works(self) -> bool:
        """Whether messages can be let in while the cell runs; ``why_not`` says why they cannot."""
        return not self.why_not

    def poll(self) -> None:
        """Handle what has arrived for our widgets; main thread only, cheap when there is none."""
        if self.why_not or threading.current_thread() is not threading.main_thread():
            return
        try:
            if self._entrance is not None:
                self._entrance.io_loop.add_callback(self._entrance.flush, _pollin())
            self._drain()
        except Exception as error:  # noqa: BLE001 - a guarded place: ipykernel's private names
            self.why_not = _reason(error)

    def _drain(self) -> None:
        stream = self._stream
        usual, copy = stream._recv_callback, stream._recv_copy  # noqa: SLF001
        mine: list[list[Any]] = []

        def route(frames: list[Any]) -> None:
            if self._is_ours(frames):
                mine.append(frames)
            else:
                self._keep(usual, frames)

        stream.on_recv(route, copy=copy)
        try:
            stream.flush(_pollin())
        finally:
            stream.on_recv(usual, copy=copy)
        for frames in mine:
            self._handle(frames)

    def _is_ours(self, frames: list[Any]) -> bool:
        # Only a look at the raw frames: a second deserialize of one message is refused as a
        # replay, and the user's next cell would be lost.
        try:
            _, parts = self._kernel.session.feed_identities(frames, copy=False)
            kind = json.loads(bytes(parts[1].buffer))["msg_type"]
            if kind not in ("comm_msg", "comm_open"):
                return kind in _QUESTIONS
            content = json.loads(bytes(parts[4].buffer))
            if kind == "comm_open":
                return bool(content["target_name"] == _STATE_TARGET)
            mine = any(content["comm_id"] in p._comm_ids() for p in tuple(self._open))  # noqa: SLF001
            return mine or _asks_for_state(content)
        except (ValueError, LookupError, TypeError, AttributeError):
            return False  # not a message that we understand, so certainly not ours

    def _keep(self, usual: Callable[[list[Any]], Any], frames: list[Any]) -> None:
        # The usual callback queues the message: in the kernel's queue (ipykernel 6) or as a task
        # that waits for the lock which the running cell holds (7).
        waiting = usual(frames)
        if not asyncio.iscoroutine(waiting):
            return
        # An empty context, or the next cell would inherit this one's (numpy.errstate and such).
        task = Context().run(self._stream.io_loop.asyncio_loop.create_task, waiting)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    def _handle(self, frames: list[Any]) -> None:
        session = self._kernel.session
        idents, parts = session.feed_identities(frames, copy=False)
        message = session.deserialize(parts, content=True, copy=False)
        # ipykernel 7.4 sends later messages of a comm to the subshell it last answered.
        message["header"].pop("subshell_id", None)
        with self._in_place_of_the_cell(idents, message):
            self._dispatch(message["header"]["msg_type"], idents, message)

    def _dispatch(self, kind: str, idents: list[bytes], message: dict[str, Any]) -> None:
        kernel = self._kernel
        if kind in _QUESTIONS:
            _finish(kernel.shell_handlers[kind](self._replies, idents, message))
            if hasattr(self._replies, "flush"):
                self._replies.flush(_pollout())  # ipykernel 6 only queues a reply
        elif kind == "comm_open":
            kernel.comm_manager.comm_open(self._stream, idents, message)
        else:
            comm = kernel.comm_manager.comms.get(message["content"]["comm_id"])
            # Not comm.handle_msg: it fires pre_execute and post_execute, on which matplotlib
            # would show and close the figures that the user's cell is still drawing.
            if comm is not None and comm._msg_callback is not None:  # noqa: SLF001
                comm._msg_callback(message)  # noqa: SLF001

    @contextmanager
    def _in_place_of_the_cell(self, idents: list[bytes], message: dict[str, Any]) -> Iterator[None]:
        """Let everything sent inside be an answer to ``message``, then be the cell again."""
        kernel = self._kernel
        ident, parent = kernel._parent_ident["shell"], kernel.get_parent("shell")  # noqa: SLF001
        kernel.set_parent(idents, message, channel="shell")
        kernel._publish_status("busy", "shell", parent=message)  # noqa: SLF001
        try:
            yield
        finally:
            # The front end holds back further changes of a widget until it hears "idle" ...
            kernel._publish_status("idle", "shell", parent=message)  # noqa: SLF001
            kernel.set_parent(ident, parent, channel="shell")
            # ... and would show the whole kernel as idle, were it not told otherwise.
            kernel._publish_status("busy", "shell", parent=parent)  # noqa: SLF001


class _CannotError(Exception):
    """The kernel is none in which messages can be let in."""


def _kernel() -> Any:
    from IPython import get_ipython  # noqa: PLC0415 - views must load without IPython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        message = "this is not a Jupyter kernel"
        raise _CannotError(message)
    if threading.current_thread() is not threading.main_thread():
        message = "the training does not run in the kernel's main thread"
        raise _CannotError(message)
    return kernel


def _streams(kernel: Any) -> tuple[Any, Any]:
    """Return where the main shell's messages arrive and where its replies go."""
    thread = getattr(kernel, "shell_channel_thread", None)
    if thread is None:
        return kernel.shell_stream, kernel.shell_stream
    manager = thread.manager
    return (
        manager.get_shell_channel_to_subshell_pair(None).to_stream,
        manager.get_subshell_to_shell_channel_socket(None),
    )


def _entrance(kernel: Any) -> Any:
    """Return where all shell messages come in, a stream of another thread, if there is one.

    ipykernel 7.0 to 7.3 send replies past that stream, on its socket, which can swallow the sign
    that a message has come in: clicks then lie there for good, unless somebody looks.
    """
    known = getattr(kernel, "shell_channel_thread", None) is not None
    stream = getattr(kernel, "shell_stream", None) if known else None
    usable = callable(getattr(stream, "flush", None)) and hasattr(stream, "io_loop")
    return stream if usable else None


def _check(kernel: Any, stream: Any) -> None:
    """Touch every name used later; an ``AttributeError`` here means an unknown kernel."""
    wanted = (
        stream.on_recv,
        stream.flush,
        stream._recv_callback,  # noqa: SLF001
        stream.io_loop.asyncio_loop.create_task,
        kernel.session.feed_identities,
        kernel.session.deserialize,
        kernel.comm_manager.comm_open,
        kernel.comm_manager.comms.get,
        kernel.set_parent,
        kernel.get_parent,
        kernel._publish_status,  # noqa: SLF001
        *(kernel.shell_handlers[kind] for kind in _QUESTIONS),
    )
    kernel._parent_ident["shell"]  # noqa: SLF001
    if not all(map(callable, wanted)) or not isinstance(stream._recv_copy, bool):  # noqa: SLF001
        message = "this version of ipykernel works differently inside"
        raise _CannotError(message)


def _asks_for_state(content: dict[str, Any]) -> bool:
    # A reloaded page waits for the state of all widgets, others' too; reading it runs no callback.
    data = content.get("data")
    return isinstance(data, dict) and data.get("method") in _STATE_REQUESTS


def _finish(answer: Any) -> None:
    """Run a coroutine that never really waits to its end."""
    if not asyncio.iscoroutine(answer):
        return
    try:
        answer.send(None)
    except StopIteration:
        return
    answer.close()
    message = "the kernel's answer waits for something"
    raise _CannotError(message)


def _reason(error: Exception) -> str:
    if isinstance(error, _CannotError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _pollin() -> int:
    import zmq  # noqa: PLC0415 - only where there is a kernel

    return int(zmq.POLLIN)


def _pollout() -> int:
    import zmq  # noqa: PLC0415

    return int(zmq.POLLOUT)
