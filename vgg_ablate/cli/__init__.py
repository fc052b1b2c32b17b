"""The command line: one function a verb, each in its own module, each importing its layer when it is called.

stdout carries the result, stderr the progress and the errors. Exit status: 0 ok; 1 a check said no; 2 the study or the
command line is wrong; 3 some runs failed; 4 the environment; 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from vgg_ablate.cli import (
    check,
    claims,
    clean,
    dashboard,
    describe,
    export,
    init,
    plan,
    report,
    run,
    schema,
    space,
    status,
    verify,
)
from vgg_ablate.errors import VggAblateError

app = typer.Typer(
    name="vgg_ablate",
    help="Ask a question about a VGG-like network in one YAML file; get tables and verdicts that hold.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    run.run,
    plan.plan,
    check.check,
    describe.describe,
    space.space,
    status.status,
    report.report,
    verify.verify,
    export.export,
    claims.claims,
    dashboard.dashboard,
    clean.clean,
    schema.schema,
    init.init,
):
    app.command()(verb)


def main() -> None:
    """Run the command line; a failure that a user can cause is one line a problem on stderr, and an exit status."""
    try:
        app()
    except VggAblateError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
