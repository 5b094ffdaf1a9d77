"""Hooks of mkdocs (`make docs`): pages that lie elsewhere in the repository, and links that lead to them."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "tests/benchmarks/results").glob("*.md"))
ELSEWHERE = {
    "cluster/README.md": "cluster.md",
    "adamms/mapping/architectures/README.md": "architectures.md",
    **{file: f"results/{posixpath.basename(file)}" for file in RESULTS},
}
"""File of the repository -> the page that it is."""
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
"""[words](target#part), of what is no picture and no address."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that lie elsewhere."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Has links lead to pages; of a link to a file that is no page the words stay."""
    own = page.file.src_uri
    folder = posixpath.dirname(next((source for source, it in ELSEWHERE.items() if it == own), f"docs/{own}"))

    def led(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        uri = ELSEWHERE.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(uri) is None:
            return link[1]
        return f"[{link[1]}]({posixpath.relpath(uri, posixpath.dirname(own) or '.')}{link[3] or ''})"

    return LINK.sub(led, markdown)
