"""Links of the pages to files of the repository, such as ../studies/kernels.yaml, which are not part of the site.

Images are copied into the site; other files are linked on the web.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#]+)\)")
_IMAGE = re.compile(r"!\[([^\]]*)\]\((?:\.\./)+(results/[^)]+\.svg)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the figures of results/ that a page shows."""
    root = Path(config["config_file_path"]).parent
    for path in sorted(
        {path for page in files.documentation_pages() for _, path in _IMAGE.findall(page.content_string)}
    ):
        files.append(File.generated(config, path, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave docs/ to the repository on the web; without `repo_url` keep their text alone."""
    folder, repository = posixpath.dirname(page.file.src_uri), config["repo_url"]

    def replace(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, match[2]))
        if path.startswith("docs/"):
            return match[0]
        return f"[{match[1]}]({repository.rstrip('/')}/blob/main/{path})" if repository else match[1]

    # results/ lies beside docs/ in the repository, and in the root of the site.
    up = posixpath.relpath(".", folder or ".")
    markdown = _IMAGE.sub(lambda match: f"![{match[1]}]({up}/{match[2]})", markdown)
    return _LINK.sub(replace, markdown)
