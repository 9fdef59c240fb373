"""A command that takes longer than a moment says on a terminal what it does, and nothing anywhere else."""

import io
import sys
import time
from contextlib import contextmanager

import pytest
from rich.console import Console

from snnkd.base import progress
from snnkd.cli import output, status
from snnkd.formats import netx


@pytest.fixture
def screen(monkeypatch):
    """What is written on stderr, which is a terminal of 60 columns within `shown_on`."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    console = Console(file=screen, force_terminal=True, width=60, _environ={"TERM": "xterm"})
    monkeypatch.setattr(output, "console", lambda stderr=False: console)
    return screen


@contextmanager
def shown_on(screen, *words, moment=0.05):
    """`status.shown` of a command of these words; pytest has its own stderr until a test begins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", screen)
        patch.setattr(sys, "argv", ["snnkd", *words])
        patch.setattr(status, "_MOMENT", moment)
        with status.shown():
            yield


def await_text(screen, text):
    end = time.monotonic() + 5
    while text not in screen.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    return text in screen.getvalue()


def test_what_takes_longer_is_said_and_taken_away(screen):
    with shown_on(screen, "verify"):
        with progress.doing("Lava: sample 3 of 16"):
            assert await_text(screen, "Lava: sample 3 of 16")
        with progress.doing("loading torch"):
            assert await_text(screen, "loading torch")
    assert screen.getvalue().removesuffix("\x1b[?25h").endswith("\x1b[2K"), "the line is cleared"


def test_what_is_done_in_a_moment_is_not_said(screen):
    with shown_on(screen, "verify", moment=60), progress.doing("loading torch"):
        pass
    assert screen.getvalue() == ""


def test_nothing_is_said_beside_json(screen):
    with shown_on(screen, "verify", "--json", moment=0), progress.doing("loading torch"):
        pass
    assert screen.getvalue() == ""


def test_a_comparison_says_who_runs(build, call, tmp_path):
    netx.save(build.net(0), tmp_path / "small.net")
    heard = []
    with progress.heard_by(heard.append):
        ended, _, errors = call("verify", tmp_path / "small.net", "--against", "fast", "--samples", 4)
    assert ended == 0, errors
    assert "engine fast runs 4 samples" in heard and heard[-1] == ""
