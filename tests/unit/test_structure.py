"""Imports go one way, and modules and functions stay small enough to be read."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dgenfs"
# What each package may import; all but kernels may import machine, logs and escapes, which import
# no package of ours.
BELOW = {
    "cli": {"distributed", "mount", "verifying", "api", "names", "content", "kernels"},
    "distributed": {"api", "verifying", "names", "content", "kernels"},
    "mount": {"names", "content", "kernels"},
    "verifying": {"names", "content", "kernels"},
    "compat": {"api", "names", "content"},
    "api": {"names", "content", "kernels"},
    "names": {"content", "kernels"},
    "content": {"kernels"},
    "kernels": set(),
    "machine": set(),
    "logs": {"escapes"},
    "escapes": set(),
    "__main__": {"cli", "escapes"},
}
BESIDE = {"machine", "logs", "escapes"}
MODULES = {"logs", "escapes", "__main__"}
MODULE_LINES = 400
FUNCTION_LINES = 50  # of code

SOURCES = sorted(
    path
    for folder in ("dgenfs", "kernels", "scripts", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if not path.is_relative_to(PACKAGE / "kernels")  # the same through a link
)


def imported(path: Path) -> Iterator[str]:
    """What a module imports of ours, wherever it stands in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_one_way(package: str) -> None:
    folder = ROOT / "kernels" if package == "kernels" else PACKAGE / package
    files = sorted(folder.rglob("*.py")) or [folder.with_suffix(".py")]
    beside = set() if package in {"kernels", *MODULES} else BESIDE
    allowed = BELOW[package] | {package} | beside
    for file in files:
        for name in imported(file):
            top, _, rest = name.partition(".")
            if top == "dgenfs":
                part = rest.split(".")[0]
                # The package itself gives its version.
                assert part in allowed or (not part and package != "kernels"), f"{file}: {name}"


def test_every_package_has_a_place() -> None:
    parts = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert parts == BELOW.keys() - MODULES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_small_enough(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MODULE_LINES
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        blank = token.type in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT)
        if not blank and token.type != tokenize.DEDENT:
            code |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = code & set(range(node.lineno, (node.end_lineno or 0) + 1))
            if ast.get_docstring(node) is not None:
                first = node.body[0]
                lines -= set(range(first.lineno, (first.end_lineno or 0) + 1))
            assert len(lines) <= FUNCTION_LINES, f"{node.name}: {len(lines)} lines of code"
