"""The last line of a terminal: what a command is doing, once it has taken a moment."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snnkd.base import progress
from snnkd.cli import output

if TYPE_CHECKING:
    from snnkd.cli.progress import Bars

_MOMENT = 1.0  # seconds that a command takes before it says what it does


@contextmanager
def shown() -> Iterator[None]:
    """Shows within what goes on, where stderr is a terminal and the result is for people."""
    if not sys.stderr.isatty() or "--json" in sys.argv:
        yield
        return
    line = _Line()
    with progress.heard_by(line.say):
        try:
            yield
        finally:
            line.say("")


class _Line:
    """A line that comes and goes, and is never in the way of what is printed after `say("")`."""

    def __init__(self) -> None:
        self._due, self._doing = time.monotonic() + _MOMENT, ""
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._bars: Bars | None = None

    def say(self, what: str) -> None:
        """Says what goes on; '' takes the line away."""
        with self._lock:
            self._doing = what
            if self._bars is not None:
                self._bars.say(what)
                if not what:
                    self._bars.stop()
                    self._bars = None
            elif what and (left := self._due - time.monotonic()) <= 0:
                self._show()
            elif what and self._timer is None:
                self._timer = threading.Timer(left, self._show)
                self._timer.daemon = True  # it may be due after the command is done
                self._timer.start()

    def _show(self) -> None:
        with self._lock:
            if self._doing and self._bars is None and output.console(stderr=True).is_interactive:
                from snnkd.cli.progress import Bars

                self._bars = Bars()
                self._bars.say(self._doing)
                self._bars.start()
