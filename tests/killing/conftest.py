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


def pytest_configure(config: pytest.Config) -> None:
    """Mark what is run by `make nightly` only."""
    config.addinivalue_line("markers", "nightly: takes minutes; run by `make nightly`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave nightly tests out unless they are asked for. Deselected and not skipped: CI takes a skip for a fault."""
    if config.getoption("nightly", default=False) or "nightly" in config.getoption("markexpr"):
        return
    nightly = [item for item in items if item.get_closest_marker("nightly")]
    if nightly:
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]
