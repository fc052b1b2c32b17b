"""A study as one zip file that a reader can check: study, records, report, environment, and how to verify them."""

from __future__ import annotations

import hashlib
import io
import platform
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from vgg_ablate.analysis.summary import Report
from vgg_ablate.errors import CheckFailedError, StorageError
from vgg_ablate.files import replace_file
from vgg_ablate.report import methods_text, write
from vgg_ablate.report.answer import describe_answer

_README = """\
# {name}

{question}

{answer}

The records in `records/` are the evidence; `report.md` and the other files follow from them. To verify that, with
vgg_ablate {version} installed from its repository, and the versions in `environment.txt`:

    python -m vgg_ablate report --check {name}

To train one run again, and compare it with its record:

    python -m vgg_ablate verify {name}

`methods.md` says how the study was done, for a paper. `SHA256SUMS` lists the files (`sha256sum -c SHA256SUMS`).
"""


def write_bundle(report: Report, path: Path) -> int:
    """Write the bundle of a report; return the number of files in it.

    The zip depends on the files and the installed packages alone: the same results give the same bytes. Raises
    CheckFailedError where the written report does not match the records, StorageError where a file cannot be read.
    """
    written = write.build_files(report)
    if differences := write.compare_files(report.folder, written):
        raise CheckFailedError("\n".join([*differences, "write the report first: python -m vgg_ablate report STUDY"]))
    files = {name: text.encode() for name, text in written.items()} | dict(_collect_files(report))
    files = dict(sorted(files.items()))
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    files["SHA256SUMS"] = sums.encode()
    replace_file(path, _build_zip({f"{report.study.name}/{name}": content for name, content in files.items()}))
    return len(files)


def _collect_files(report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of every file but those of the report and the sums."""
    keys = [*report.results.records, *report.results.tuning]
    for name in ("study.yaml", "manifest.json", *(f"records/{key}.json" for key in keys)):
        try:
            yield name, (report.folder / name).read_bytes()
        except OSError as error:
            raise StorageError(f"{report.folder / name}: {error.strerror}") from error
    readme = _README.format(
        name=report.study.name,
        question=report.study.question,
        answer=describe_answer(report),
        version=metadata.version("vgg_ablate"),
    )
    yield "README.md", readme.encode()
    yield "methods.md", methods_text.render_methods(report).encode()
    yield "environment.txt", _describe_environment().encode()


def _describe_environment() -> str:
    """Return the installed packages as a requirements file, below comments on Python and the system."""
    packages = sorted({f"{package.name}=={package.version}" for package in metadata.distributions()}, key=str.lower)
    head = [f"# Python {platform.python_version()}", f"# {platform.system()} {platform.machine()}"]
    return "\n".join([*head, *packages]) + "\n"


def _build_zip(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of files without their times, which would make every zip another."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
