"""`explain PATH`: the meaning of a key of the study file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import JSON

if TYPE_CHECKING:
    from vgg_ablate.config.key_reference import KeyReference


def explain(
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="Key, such as arch.head.hidden; default: the keys at the top.")
    ] = "",
    as_json: JSON = False,
) -> None:
    """Print what a key of the study file means, its type, unit, default and an example."""
    import dataclasses
    import json

    from vgg_ablate.config.key_reference import KeyReferenceBook
    from vgg_ablate.config.types import InvalidValueError
    from vgg_ablate.errors import SpecError

    book = KeyReferenceBook.build()
    try:
        references = [book.find_key(key) for key in ([path] if path else book.list_top_keys())]
    except InvalidValueError as error:
        raise SpecError(error.build_problem(path, "")) from error
    if as_json:
        documents = [dataclasses.asdict(reference) for reference in references]
        print(json.dumps(documents[0] if path else documents, indent=1))
    elif path:
        print("\n".join(format_reference(references[0])))
    else:
        print("\n".join(format_list(references)))


def format_reference(reference: KeyReference) -> list[str]:
    """Return the lines about one key, and about the keys below it."""
    default = "required" if reference.required else reference.default
    rows = {"type": reference.type, "unit": reference.unit, "default": default}
    rows["example"] = f"{reference.name}: {reference.example}"
    lines = [reference.path, *wrap(reference.meaning, "  "), ""]
    lines += [line for name, text in rows.items() if text for line in wrap(text, f"  {name:<9}")]
    for group in reference.groups:
        lines += ["", *wrap(f"kind {group.kind}: {group.about}" if group.kind else "keys", "  ")]
        lines += format_list(group.keys, indent="    ")
    return lines


def format_list(references: Sequence[KeyReference], indent: str = "") -> list[str]:
    """Return one entry per key: its name and its meaning."""
    width = max((len(reference.name) for reference in references), default=0) + 2
    return [line for reference in references for line in wrap(reference.meaning, f"{indent}{reference.name:<{width}}")]


def wrap(text: str, prefix: str) -> list[str]:
    """Return the text in lines of at most 100 characters, the first after the prefix and the others below its end."""
    import textwrap

    return textwrap.wrap(text, 100, initial_indent=prefix, subsequent_indent=" " * len(prefix), break_on_hyphens=False)
