"""docs/behaviour.md proves what it says: each paragraph names tests, and they exist."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROOF = "Proved by: "

BLOCKS = (ROOT / "docs" / "behaviour.md").read_text().strip().split("\n\n")


def proof_of(block: str) -> list[str]:
    """What the last line of a block names; nothing if it is no proof."""
    last = block.splitlines()[-1]
    return last.removeprefix(PROOF).split(", ") if last.startswith(PROOF) else []


@cache
def defined(path: Path) -> set[str]:
    """The functions of a module, and the names that it assigns to, as to a state machine's case."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def exists(name: str) -> bool:
    path, _, test = name.partition("::")
    test = test.partition("[")[0]  # without a parameter's id
    is_test = path.startswith("tests/") and test.lower().startswith("test")
    return is_test and (ROOT / path).is_file() and test in defined(ROOT / path)


def test_every_test_that_is_named_exists() -> None:
    named = {name for block in BLOCKS for name in proof_of(block)}
    assert len(named) > 100
    assert sorted(name for name in named if not exists(name)) == []


def test_every_paragraph_says_what_proves_it() -> None:
    """A table's proof is the block behind it."""
    said = True
    for block, behind in zip(BLOCKS, [*BLOCKS[1:], "#"], strict=True):
        if block.startswith("#"):
            assert said, f"nothing is said before {block}"
            said = False
            continue
        said = True
        named = proof_of(behind if block.startswith("|") else block)
        assert named, block
        assert len(set(named)) == len(named), block
    assert said
