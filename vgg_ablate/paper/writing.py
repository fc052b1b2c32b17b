"""The scoreboard as files: results/paper/claims.md, and the parts of README and docs that stand between its markers.

`<!-- claims: table -->` ... `<!-- claims: end -->` holds the table of what was trained; `<!-- claims: E06 -->` one
statement with all that bears on it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from vgg_ablate.errors import StorageError
from vgg_ablate.files import replace_file
from vgg_ablate.paper import scoreboard
from vgg_ablate.paper.standing import Standing, collect_standings

END_MARKER = "<!-- claims: end -->"
_MARKED = re.compile(rf"(<!-- claims: (?P<what>(?!end\b)\w+) -->\n)(?P<inside>.*?)({END_MARKER}|\Z)", re.DOTALL)
_DOCUMENTS = ("README.md", "docs/reproduction.md")  # beside the folder of results


def write_scoreboard(results: Path) -> tuple[Standing, ...]:
    """Write the page and the marked parts. Raises StorageFailed."""
    found = collect_standings(results)
    for path, text in _files(results, found).items():
        replace_file(path, text)
    return found


def find_outdated_files(results: Path) -> list[str]:
    """How the files differ from what arithmetic and the records say; empty where they do not."""
    return [
        difference
        for path, text in _files(results, collect_standings(results)).items()
        for difference in _differences(path, text)
    ]


def _files(results: Path, found: Sequence[Standing]) -> dict[Path, str]:
    files = {results / "paper" / "claims.md": scoreboard.render_page(found)}
    for name in _DOCUMENTS:
        path = results.absolute().parent / name
        if path.exists():
            files[path] = _filled(path, path.read_text(encoding="utf-8"), found)
    return files


def _filled(path: Path, text: str, found: Sequence[Standing]) -> str:
    """The document with every marked part anew."""
    known = {one.statement.id: one for one in found}

    def part(match: re.Match[str]) -> str:
        begin, what, _, end = match.groups()
        if end != END_MARKER:
            raise StorageError(f"{path}: {END_MARKER!r} must follow {begin.strip()!r}")
        if what != "table" and what not in known:
            raise StorageError(f"{path}: {begin.strip()!r}: there is no such statement")
        inside = scoreboard.render_readme_table(found) if what == "table" else scoreboard.render_statement(known[what])
        return f"{begin}{inside}{END_MARKER}"

    return _MARKED.sub(part, text)


def _differences(path: Path, text: str) -> list[str]:
    if not path.exists():
        return [f"{path}: is not there; python -m vgg_ablate claims writes it"]
    there = path.read_text(encoding="utf-8").splitlines()
    changed = [line for line in difflib.ndiff(there, text.splitlines()) if line.startswith(("- ", "+ "))]
    return [f"{path}: {line}" for line in changed[:2]]
