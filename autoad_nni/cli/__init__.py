"""The ``autoad-nni`` command.

Each command imports what it needs when it runs, so ``--help`` and a trial's start stay fast.
"""

from __future__ import annotations

import sys
import warnings

import typer

from autoad_nni.cli import (
    data,
    doctor,
    export,
    init,
    launch,
    plugins,
    predict,
    refine,
    report,
    search,
    space,
    trial,
    trials,
)
from autoad_nni.cli.usage import UsageFault, allow_any_text, one_line, printable, say
from autoad_nni.errors import AutoADError
from autoad_nni.version import __version__

__all__ = ["main"]


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"autoad-nni {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _make_app(arguments: list[str]) -> typer.Typer:
    """The application; the options of ``trial`` are declared beside torch code, so only a call of it imports them."""
    app = typer.Typer(
        name="autoad-nni",
        help="Searches the best anomaly-detection model for your images.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    app.command("search")(search.search)
    app.command("init")(init.init)
    app.command("trial", help=trial.HELP)(trial.make_trial_command() if "trial" in arguments[:1] else _unused)
    app.command("trials")(trials.trials)
    app.command("predict")(predict.predict)
    app.command("launch")(launch.launch)
    app.command("report")(report.report)
    app.command("space")(space.space)
    app.command("export")(export.export)
    app.command("refine")(refine.refine)
    app.command("doctor")(doctor.doctor)
    app.add_typer(plugins.app, name="plugins")
    app.add_typer(data.app, name="data")
    return app


def _unused() -> None:
    pass


def main(
    arguments: list[str] | None = None, *, commands: typer.Typer | None = None, program: str = "autoad-nni"
) -> None:
    """Run a command line; an error that the user can correct is one line on stderr and exit code 2.

    Args:
        arguments: Behind the program; default: those of this process.
        commands: Default: those of ``autoad-nni``.
        program: Its name in messages.
    """
    allow_any_text()
    arguments = sys.argv[1:] if arguments is None else arguments
    # NNI says so of every torch class that it does not know; harmless, and not to be fixed in an archived package.
    warnings.filterwarnings("ignore", message=".*is found to be not a nn.Module", category=RuntimeWarning)
    # Photographs of 90 to 180 megapixels are no attack; above that Pillow refuses, and the file is named.
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    try:
        code = (commands or _make_app(arguments))(args=arguments, prog_name=program, standalone_mode=False)
    except AutoADError as error:
        _fail(program, error.on_command_line())
    except UsageFault as error:
        _fail(program, f"{one_line(error)} See '{program} --help'.")
    except (typer.Abort, KeyboardInterrupt):
        say("stopped.", err=True)
        code = 130
    except BrokenPipeError:
        sys.stderr.close()
        code = 141
    sys.exit(code if isinstance(code, int) else 0)


def _fail(program: str, message: str) -> None:
    say(printable(f"{program}: {message}"), err=True)
    sys.exit(2)
