"""One short run with faults, lived once for all tests that look at it."""

from pathlib import Path

import pytest

from portal.app import create_app
from portal.simulation import scratch
from portal.simulation.evidence import Listener
from portal.simulation.life import Outcome, Wanted, simulate

SHORT = {"days": 2, "seed": 1, "cases": 60}


def live(wanted: Wanted, listener: Listener | None = None) -> Outcome:
    """One run on SQLite."""
    with scratch.database({}) as url:
        return simulate(create_app, url, wanted, listener=listener)


@pytest.fixture(scope="package")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """Two days with faults, and the folder of its evidence."""
    folder = tmp_path_factory.mktemp("evidence")
    return live(Wanted(**SHORT, out=folder)), folder
