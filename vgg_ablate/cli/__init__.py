"""The command line: one module per command.

Results go to stdout, progress and errors to stderr. Exit status: 0 success; 1 a check failed; 2 the study or the
command line is invalid; 3 some runs failed; 4 the environment (disk, data, device) is not usable; 130 interrupted.

Commands import what they need when they are called: `--help` and shell scripts should not wait for torch or pandas.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from vgg_ablate.cli import (
    bundle,
    check,
    claim_tests,
    claims,
    clean,
    dashboard,
    describe,
    explain,
    export,
    init,
    judge,
    plan,
    report,
    run,
    schema,
    site,
    space,
    status,
    verify,
)
from vgg_ablate.errors import VggAblateError

app = typer.Typer(
    name="vgg_ablate",
    help="Run architecture ablations over a parametric VGG: one YAML file per study, tables and verdicts per claim.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug should show its plain traceback
    rich_markup_mode=None,  # brackets in help texts, such as [/SEED], are no markup
)
for command in (
    run.run,
    plan.plan,
    check.check,
    describe.describe,
    explain.explain,
    space.space,
    status.status,
    report.report,
    verify.verify,
    export.export,
    bundle.bundle,
    claims.claims,
    judge.judge,
    site.site,
    dashboard.dashboard,
    clean.clean,
    schema.schema,
    init.init,
):
    app.command()(command)
app.command("test")(claim_tests.check_claims)


def print_version(wanted: bool) -> None:
    """Print the versions of the package, torch and Python, and exit. Reads metadata: torch is not imported."""
    if wanted:
        import platform
        from importlib.metadata import version

        print(f"vgg_ablate {version('vgg_ablate')}, torch {version('torch')}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def read_options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Read the options that stand before the command."""


def main() -> None:
    """Run the command line. An error that a user can cause is printed as one line per problem, without a traceback."""
    _escape_unprintable(sys.stdout)
    try:
        app()
    except VggAblateError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)  # every other exception is a bug and keeps its traceback


def _escape_unprintable(stream: object) -> None:
    """Let a stream print characters that its encoding lacks as escapes, as stderr does.

    Otherwise a terminal without UTF-8 would end a trained study with a traceback when its report is printed.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
