"""Content written as dgenfs gen writes it, and what became of it by the oracle."""

import shutil
from pathlib import Path

import oracle

from dgenfs import Spec
from dgenfs.api.chunks import Progress
from dgenfs.api.publishing import write_file, write_tree


def ignore(_: int) -> None:
    pass


def write(name: str, path: Path, progress: Progress = ignore) -> None:
    spec = Spec.parse(name)
    if spec.tree:
        write_tree(spec, path, progress)
    else:
        write_file(spec.view(0), path, progress)


def is_whole(path: Path, name: str) -> bool:
    content = oracle.parse(name)
    if not content.tree:
        return path.is_file() and path.read_bytes() == oracle.read(content, 0, 0, content.size)
    found = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
    return found == [oracle.tree_path(content, file) for file in range(content.files)] and all(
        (path / found[file]).read_bytes() == oracle.read(content, file, 0, content.size)
        for file in range(content.files)
    )


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
