"""The application: all commands, and what every one of them does about errors."""

from __future__ import annotations

import sys
import warnings

import typer

from snnkd import __version__
from snnkd.base.errors import Note, SnnkdError, SnnkdWarning
from snnkd.cli import catalogue, deployment, inspection, training
from snnkd.cli.encoding import encode
from snnkd.cli.handoff import handoff
from snnkd.cli.output import fail, note, warn
from snnkd.cli.quantization import quantize
from snnkd.formats import netx

app = typer.Typer(
    name="snnkd",
    help="Distil spiking neural networks and hand them to neuromorphic and embedded hardware, bit for bit.",
    epilog="The whole way on real data: snnkd run. Step by step: snnkd train, snnkd export --target loihi2-sim, "
    "snnkd profile --energy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_PANELS = {
    "The chain": (training.run, training.train, deployment.export, deployment.profile, handoff),
    "A network": (inspection.simulate, inspection.verify, inspection.inspect, inspection.check, quantize, encode),
    "What there is": (catalogue.models, catalogue.recipes, catalogue.datasets, catalogue.targets),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print it.")):
    pass


def _show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    (note if issubclass(category, Note) else warn)(str(message))


def main() -> None:
    """Runs the command line. Exit status: 0 done, 1 a check found something, 2 unusable input, 130 interrupted."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=SnnkdWarning)
        warnings.showwarning = _show
        try:
            if any(word.endswith(".net") for word in sys.argv[1:]):
                netx.warm()  # it starts while the command imports what it needs
            app()
        except SnnkdError as error:
            fail(str(error))
            sys.exit(2)
        except OSError as error:  # one that no command has foreseen, e.g. a disk that fills up while logs are written
            fail(f"{error.filename or 'a file'}: {error.strerror or error}")
            sys.exit(2)
        except SystemExit as ended:
            if ended.code == 130:  # typer's for Ctrl-C
                fail("interrupted; what was written before is whole, `snnkd train --resume` goes on from it")
            raise
