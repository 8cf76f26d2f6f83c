"""The house of real processes, on both databases."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests.killing.harness import House


@pytest.fixture
def house(app: Flask, company: dict[str, int], environment: dict[str, str], tmp_path: Path) -> Callable[..., House]:
    """A house to enter; ``bug`` names a planted one, ``relay`` a mode of the sink."""
    return lambda **options: House(app, environment, tmp_path / "house", **options)
