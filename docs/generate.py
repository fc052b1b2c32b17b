"""Write the generated pages: `python docs/generate.py`. A test compares the committed pages with this output."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer.main

import vgg_ablate
from vgg_ablate.cli import app
from vgg_ablate.config import limits
from vgg_ablate.config.key_reference import KeyReference, KeyReferenceBook
from vgg_ablate.config.study import Study, load

ROOT = Path(__file__).parents[1]
NOTE = "<!-- written by docs/generate.py -->"
# Classes that the functions return, with options of their directives.
RETURNED: dict[str, tuple[str, ...]] = {
    "vgg_ablate.report.notebook.StudyReport": (),
    "vgg_ablate.external.notebook.RunsReport": (),
    "vgg_ablate.config.study.Study": ("    options:", "      members: [seed_list, base, all_variants, as_yaml]"),
}


def build_pages() -> dict[str, str]:
    """Return path below docs/ -> content of every generated page."""
    return {
        "reference/study-file.md": "\n".join(list_study_file_lines()) + "\n",
        "reference/command-line.md": "\n".join(list_command_lines()) + "\n",
        "reference/python.md": "\n".join(list_python_lines()) + "\n",
        "gallery.md": "\n".join(list_gallery_lines()) + "\n",
    }


def list_study_file_lines() -> Iterator[str]:
    """Yield the reference of the study file: a table of the top keys, then one section per mapping below them."""
    yield from ("# Study file", "", NOTE, "")
    yield "Every key of a study file, by its path. `python -m vgg_ablate explain arch.head.hidden` prints one of them,"
    yield "and [editors](../tutorial.md#4-let-the-editor-help) show them on hover. A path may also be a change of a"
    yield "variant (`arch.norm: none`) or an override on the command line (`train.epochs=2`)."
    yield ""
    yield f"A file has at most {limits.MAX_FILE_BYTES:,} bytes and {limits.MAX_VALUES:,} keys and values, nested"
    yield f"at most {limits.MAX_NESTING} deep; it extends at most {limits.MAX_EXTENDED_FILES} regular files."
    yield f"A study has at most {limits.MAX_VARIANTS:,} variants beside the base, {limits.MAX_SEEDS:,} seeds and"
    yield f"{limits.MAX_CLAIMS:,} claims, and at most {limits.MAX_RUNS:,} runs; a net has at most {limits.MAX_CONVS:,}"
    yield f"convolutions, all nets of a study together at most {limits.MAX_ALL_CONVS:,}."
    yield f"An integer is at most {limits.MAX_INTEGER:,}."
    book = KeyReferenceBook.build()
    top = [book.find_key(key) for key in book.list_top_keys()]
    yield from ("", "## Top level", "")
    yield from list_table_lines(top)
    described: dict[tuple[str, ...], str] = {}
    for reference in top:
        yield from list_sections(reference, book, described)


def list_sections(
    reference: KeyReference, book: KeyReferenceBook, described: dict[tuple[str, ...], str]
) -> Iterator[str]:
    """Yield the section of a key that has keys below it, and those of these keys. A mapping is described once."""
    groups = [group for group in reference.groups if group.keys or group.kind]
    content = tuple(f"{group.kind}: {group.about}" for group in groups)
    if not groups or content in described:
        return
    described[content] = reference.path
    yield from ("", f"## {reference.path}", "", reference.meaning, "", f"    {reference.name}: {reference.example}")
    for group in groups:
        if group.kind:
            yield from ("", f"**`{reference.name}: {group.kind}`** {group.about}")
        if group.keys:
            yield ""
            yield from list_table_lines(group.keys)
    for group in groups:
        for key in group.keys:
            yield from list_sections(book.find_key(key.path), book, described)


def list_table_lines(references: Sequence[KeyReference]) -> Iterator[str]:
    """Yield a table of keys."""
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key in references:
        default = "required" if key.required else format_code(key.default)
        unit = f" Unit: {key.unit}." if key.unit else ""
        meaning = f"{escape_text(key.meaning + unit)} Example: {format_code(key.example)}"
        yield f"| {format_code(key.name)} | {escape_text(key.type)} | {default} | {meaning} |"


def format_code(text: str) -> str:
    """Return text as code in a cell of a table, where a bar would end the cell."""
    return f"<code>{html.escape(text).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`" if text else ""


def escape_text(text: str) -> str:
    """Return text for a cell of a table: what stands between backticks is code, and nothing else is markup."""
    parts = text.split("`")
    return "".join(
        format_code(part) if index % 2 else html.escape(part, quote=False).replace("|", "&#124;")
        for index, part in enumerate(parts)
    )


def list_command_lines() -> Iterator[str]:
    """Yield the reference of the command line: usage, arguments and options of every command."""
    yield from ("# Command line", "", NOTE, "")
    yield "Results go to stdout, progress and errors to stderr. Exit status: 0 success, 1 a check failed, 2 error in"
    yield "the study or the command line, 3 some runs failed, 4 error in the environment, 130 interrupted."
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]  # a group, since the app has several commands
    for name, command in commands.items():
        context = command.context_class(command, info_name=f"python -m vgg_ablate {name}")
        records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        # Types are left out, but not choices: `STUDY <path>` is STUDY.
        terms = [re.sub(r" <[^|>]*>$", "", term) for term, _ in records]
        usage = " ".join([context.command_path, *(term for term in terms if not term.startswith("-"))])
        yield from ("", f"## {name}", "", escape_text(" ".join((command.help or "").split())), "", f"    {usage}")
        if records:
            yield from ("", "| argument or option | meaning |", "|---|---|")
        for term, (_, text) in zip(terms, records, strict=True):
            yield f"| {format_code(term)} | {escape_text(' '.join(text.split()))} |"


def list_python_lines() -> Iterator[str]:
    """Yield the reference of the Python interface: a table, and directives in whose place the site shows docstrings."""
    yield from ("# Python", "", NOTE, "")
    yield "What can be imported from `vgg_ablate`. None of it is needed on the [command line](command-line.md)."
    yield from ("", "| name | what it does |", "|---|---|")
    public = {name: getattr(vgg_ablate, name) for name in vgg_ablate.__all__}
    for name, item in public.items():
        signature = name if inspect.isclass(item) else f"{name}({', '.join(format_parameters(item))})"
        yield f"| {format_code(signature)} | {escape_text((inspect.getdoc(item) or '').partition(chr(10))[0])} |"
    yield from ("", "`help(vgg_ablate.load)` prints the whole text, and so does this page on the documentation site.")
    for path in (*(f"vgg_ablate.{name}" for name in public), *RETURNED):
        yield from ("", f"::: {path}", *RETURNED.get(path, ()))


def format_parameters(function: Callable[..., object]) -> Iterator[str]:
    """Yield the parameters of a function as in a call: `path`, `*overrides`, `workers=None`."""
    for parameter in inspect.signature(function).parameters.values():
        yield str(parameter.replace(annotation=inspect.Parameter.empty))


def list_gallery_lines() -> Iterator[str]:
    """Yield the gallery: every study of the repository with its question."""
    yield from ("# Gallery of studies", "", NOTE, "")
    yield "Copy one that resembles your question. `python -m vgg_ablate run STUDY` trains what is not recorded yet."
    sections = {
        "": "Studies (studies/)",
        "paper": "The paper's claims (studies/paper/)",
        "examples": "One small example per design (studies/examples/)",
    }
    for folder, title in sections.items():
        yield from ("", f"## {title}", "", "| study | question | design | seeds | results |", "|---|---|---|---|---|")
        for path in sorted((ROOT / "studies" / folder).glob("*.yaml")):
            if path.name != "recipe.yaml":  # not a study: what the studies of the paper share
                yield describe_study(load(path), path)


def describe_study(study: Study, path: Path) -> str:
    """Return the row of a study."""
    relative = path.relative_to(ROOT).as_posix()
    design = study.design.kind.replace("_", " ")
    horizons = f", at {study.horizon_path} {', '.join(map(str, study.horizon_levels))}" if study.horizons else ""
    tuned = ", tuned" if study.tune is not None else ""
    report = ROOT / "results" / study.name / "report.md"
    results = f"[results/{study.name}](../{report.relative_to(ROOT).as_posix()})" if report.exists() else ""
    return (
        f"| [{path.stem}](../{relative}) | {study.question} | {design}{horizons}{tuned} | {len(study.seed_list)} "
        f"| {results} |"
    )


if __name__ == "__main__":
    for page, text in build_pages().items():
        (ROOT / "docs" / page).write_text(text, encoding="utf-8")
