"""What a long piece of work says of itself while it goes on, to whoever listens: a terminal, a notebook, or nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_current: ContextVar[str] = ContextVar("current", default="")


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Has `listener` called within, with each text that says what goes on now, and with '' where nothing does."""
    before = _listener.get(), _current.get()
    _listener.set(listener)
    _current.set("")
    try:
        yield
    finally:
        _listener.set(before[0])
        _current.set(before[1])


def say(what: str) -> None:
    """Says what goes on from here on, until something else is said or the block of `doing` around it ends."""
    if (listener := _listener.get()) is not None:
        _current.set(what)
        listener(what)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Says that `what` goes on within, and behind it again what went on before."""
    before = _current.get()
    say(what)
    try:
        yield
    finally:
        say(before)
