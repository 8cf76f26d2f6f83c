"""One short run with faults, lived once for all tests that look at it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from portal.app import create_app
from portal.simulation import scratch
from portal.simulation.evidence import Listener
from portal.simulation.life import Outcome, Wanted, simulate
from portal.simulation.story import Story

SHORT = {"days": 2, "seed": 1, "cases": 60}
TRACED = 3


@dataclass(frozen=True)
class ShortRun:
    """What came of it, where its evidence lies, and the story of one of its cases."""

    outcome: Outcome
    folder: Path
    story: Story


def live(wanted: Wanted, listener: Listener | None = None) -> Outcome:
    """One run on SQLite."""
    with scratch.database({}) as url:
        return simulate(create_app, url, wanted, listener=listener)


@pytest.fixture(scope="package")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    """Two days with faults."""
    folder, story = tmp_path_factory.mktemp("evidence"), Story(TRACED)
    return ShortRun(live(Wanted(**SHORT, out=folder), story), folder, story)
