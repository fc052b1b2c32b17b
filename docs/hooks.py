"""Links of the pages to files of the repository, such as ../studies/kernels.yaml, which are not part of the site."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave docs/ to the repository on the web; without `repo_url` keep their text alone."""
    folder, repository = posixpath.dirname(page.file.src_uri), config["repo_url"]

    def replace(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, match[2]))
        if path.startswith("docs/"):
            return match[0]
        return f"[{match[1]}]({repository.rstrip('/')}/blob/main/{path})" if repository else match[1]

    return _LINK.sub(replace, markdown)
