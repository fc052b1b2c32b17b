"""The scoreboard as files: results/paper/claims.md, and the table in README between its markers."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from vgg_ablate.errors import StorageFailed
from vgg_ablate.paper import scoreboard
from vgg_ablate.paper.standing import Standing, standings
from vgg_ablate.records import replace_whole

BEGIN, END = "<!-- claims: written by `python -m vgg_ablate claims` -->", "<!-- claims: end -->"


def write(results: Path) -> tuple[Standing, ...]:
    """Write the page, and the table of the README beside `results` where it has the markers. Raises StorageFailed."""
    found = standings(results)
    for path, text in _files(results, found).items():
        replace_whole(path, text)
    return found


def check(results: Path) -> list[str]:
    """How the files differ from what arithmetic and the records say; empty where they do not."""
    return [
        difference
        for path, text in _files(results, standings(results)).items()
        for difference in _differences(path, text)
    ]


def _files(results: Path, found: Sequence[Standing]) -> dict[Path, str]:
    files = {results / "paper" / "claims.md": scoreboard.page(found)}
    readme = results.absolute().parent / "README.md"
    if readme.exists() and BEGIN in (text := readme.read_text(encoding="utf-8")):
        files[readme] = _between(readme, text, scoreboard.readme(found))
    return files


def _between(path: Path, text: str, table: str) -> str:
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise StorageFailed(f"{path}: {END!r} must follow {BEGIN!r}")
    return f"{before}{BEGIN}\n{table}{END}{after}"


def _differences(path: Path, text: str) -> list[str]:
    if not path.exists():
        return [f"{path}: is not there; python -m vgg_ablate claims writes it"]
    there = path.read_text(encoding="utf-8").splitlines()
    changed = [line for line in difflib.ndiff(there, text.splitlines()) if line.startswith(("- ", "+ "))]
    return [f"{path}: {line}" for line in changed[:2]]
