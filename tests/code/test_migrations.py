"""Migrations: numbered without a gap, named by a sentence, each with one word about why and a way back."""

import ast
import re
from pathlib import Path

import pytest

from portal import schema

FOLDER = Path(__file__).parents[2] / "migrations" / "versions"
MIGRATIONS = sorted(FOLDER.glob("*.py"))
SENTENCE = re.compile(r"\d{4}(_[a-z]+)+\.py")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def constant(path: Path, name: str) -> object:
    """What a module's top-level name is set to."""
    values = [
        ast.literal_eval(node.value)
        for node in tree(path).body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]
    ]
    return values[0]


def test_numbers_are_consecutive() -> None:
    numbers = [int(path.name[:4]) for path in MIGRATIONS]

    assert numbers == list(range(1, len(MIGRATIONS) + 1))


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.name)
class TestAMigration:
    def test_has_a_sentence_for_a_name(self, path: Path) -> None:
        assert SENTENCE.fullmatch(path.name) and path.stem.count("_") >= 2

    def test_says_in_its_docstring_what_it_does(self, path: Path) -> None:
        docstring = ast.get_docstring(tree(path))

        assert docstring is not None and docstring.split("\n")[0].endswith(".")

    def test_has_its_number_for_a_revision(self, path: Path) -> None:
        assert constant(path, "revision") == path.name[:4]

    def test_follows_the_one_before_it(self, path: Path) -> None:
        before = [earlier.name[:4] for earlier in MIGRATIONS if earlier.name < path.name]

        assert constant(path, "down_revision") == (before[-1] if before else None)

    def test_has_a_way_there_and_a_way_back_that_say_so(self, path: Path) -> None:
        functions = {node.name: node for node in tree(path).body if isinstance(node, ast.FunctionDef)}

        assert ast.get_docstring(functions["upgrade"]) and ast.get_docstring(functions["downgrade"])

    def test_is_frozen(self, path: Path) -> None:
        """Names of the models change with the product; only the column type of an instant is shared."""
        imported = [ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Import | ast.ImportFrom)]

        assert {line for line in imported if "portal" in line} <= {"from portal.db import UtcDateTime"}


def test_the_newest_revision_is_the_last_file() -> None:
    assert schema.newest() == MIGRATIONS[-1].name[:4]


def test_the_folder_holds_nothing_else() -> None:
    assert [path.name for path in FOLDER.iterdir() if path not in MIGRATIONS and path.name != "__pycache__"] == []
