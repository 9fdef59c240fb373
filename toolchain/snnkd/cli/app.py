"""The application: all commands, and what every one of them does about errors."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from snnkd import __version__, formats
from snnkd.base.errors import Note, SnnkdError, SnnkdWarning
from snnkd.cli import catalogue, deployment, inspection, status, training
from snnkd.cli.comparison import compare, runs
from snnkd.cli.conversion import convert
from snnkd.cli.doctor import doctor
from snnkd.cli.encoding import encode
from snnkd.cli.evaluation import evaluate
from snnkd.cli.handoff import handoff
from snnkd.cli.output import fail, note, warn
from snnkd.cli.quantization import quantize
from snnkd.cli.report import report
from snnkd.cli.search import search
from snnkd.cli.sweep import sweep

_WHOLE = 200  # characters: longer than the first sentence of any command, which is folded rather than cut off


class Commands(TyperGroup):
    """The commands under the headings of `_PANELS`, in plain text: typer's boxes take as long to load as the rest."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes a section for each heading. Called by --help."""
        for panel, functions in _PANELS.items():
            names = [function.__name__ for function in functions]
            with formatter.section(panel):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(_WHOLE)) for name in names])


app = typer.Typer(
    name="snnkd",
    cls=Commands,
    help="Distil spiking neural networks and hand them to neuromorphic and embedded hardware, bit for bit.",
    epilog="The whole way on real data: snnkd run. Step by step: snnkd train, snnkd export --target loihi2-sim, "
    "snnkd profile --energy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_PANELS = {
    "The chain": (training.run, training.train, evaluate, deployment.export, deployment.profile, report, handoff),
    "A network": (
        inspection.simulate,
        inspection.verify,
        inspection.inspect,
        inspection.check,
        quantize,
        convert,
        encode,
    ),
    "Runs": (runs, compare, sweep, search),
    "What there is": (catalogue.models, catalogue.recipes, catalogue.datasets, catalogue.targets, doctor),
}
for commands in _PANELS.values():
    for command in commands:
        app.command()(command)


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print it.")):
    pass


def _show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    (note if issubclass(category, Note) else warn)(str(message))


_TRAINING = "whole epochs are kept, and `snnkd {command} --resume` with the same recipe and options goes on from them"
_LEFT = {  # by command: what an interrupted one leaves behind, and how it goes on
    "train": _TRAINING,
    "run": _TRAINING,
    "sweep": "finished cells and whole epochs are kept, and the same command goes on from them",
    "search": "trials that are done and whole epochs are kept, and the same command goes on from them",
    "export": "the .net may be written already and was not compared: export it again",
    "handoff": "no bundle was written or proved: run it again",
}


def _left(words: list[str]) -> str:
    command = next((word for word in words if not word.startswith("-")), "")
    return _LEFT.get(command, "nothing was written: run it again").format(command=command)


def _one_blas_thread() -> None:
    """Keeps OpenBLAS from threads where numpy has only small products to compute: on a busy machine each product waits
    for them many times as long as it takes. Large networks run in kernels of our own."""
    if sys.argv[1] in ("check", "profile") and "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Runs the command line. Exit status: 0 done, 1 a check found something, 2 unusable input, 130 interrupted."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=SnnkdWarning)
        warnings.showwarning = _show
        try:
            if any(formats.is_network(word) for word in sys.argv[1:]):
                _one_blas_thread()
                formats.warm()  # it starts while the command imports what it needs
            with status.shown():
                app()
        except SnnkdError as error:
            fail(str(error))
            sys.exit(2)
        except OSError as error:  # one that no command has foreseen, e.g. a disk that fills up while logs are written
            fail(f"{error.filename or 'a file'}: {error.strerror or error}")
            sys.exit(2)
        except SystemExit as ended:
            if ended.code == 130:  # typer's for Ctrl-C
                fail(f"interrupted; {_left(sys.argv[1:])}")
            raise
        except MemoryError as error:  # one that no command has foreseen
            said = f" ({error})" if str(error) else ""
            fail(f"out of memory{said}; ask for fewer samples or steps, or train with smaller batches")
            sys.exit(2)
