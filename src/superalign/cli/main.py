"""The command line. Each command is a typed function in a file of its own; this one puts them together.

A user's mistake prints its message and exits with 2, never with a traceback.
"""

from __future__ import annotations

import sys

import typer

from superalign.cli import (
    compute,
    debates,
    demo,
    export,
    interp,
    label,
    oversee,
    preferences,
    rate,
    research,
    rlhf,
    run,
    serve,
    show,
    site,
    transcript,
    units,
    w2s,
)
from superalign.core.errors import SuperalignError, UserError

app = typer.Typer(
    name="superalign",
    help="Supervise models that know more than their supervisor: run, compare and trust every method.",
    epilog="Start with: superalign demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for module in (
    w2s,
    oversee,
    debates,
    rlhf,
    rate,
    preferences,
    label,
    interp,
    research,
    compute,
    run,
    serve,
    show,
    transcript,
    units,
    export,
    serve,
    site,
    demo,
):
    module.add(app)


def version(value: bool) -> None:
    if value:
        from superalign import __version__

        print(f"superalign {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Entry point of the command `superalign`."""
    try:
        app()
    except UserError as error:
        _fail(str(error), 2)
    except ImportError as error:  # an optional library that is first needed in the middle of a run
        from superalign.core.registry import lacking

        _fail(f"this {lacking(error)}", 2)
    except MemoryError:
        _fail("out of memory; lower the sizes (--sizes transfer=500), or the model's batch=, micro= or tokens=", 2)
    except SuperalignError as error:
        _fail(f"{type(error).__name__}: {error}", 1)
    except BrokenPipeError:  # the reader of a pipe went away, as `superalign runs | head` does
        sys.stderr.close()
        sys.exit(141)


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
