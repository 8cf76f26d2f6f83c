"""What `durchwahl simulate` prints: a progress bar, the figures with their targets, the story of one case."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click
from flask import Flask

from portal.simulation import scratch
from portal.simulation.figures import MOST_NOTICES, ZERO
from portal.simulation.life import Outcome, Progress, Wanted, simulate
from portal.simulation.scratch import Impossible
from portal.simulation.story import Story, number_of

__all__ = ["Impossible", "Wanted", "run"]

PLACES_SHOWN = 5
_STEPS = 1000


def run(
    make_app: Callable[[dict[str, str]], Flask],
    environment: Mapping[str, str],
    wanted: Wanted,
    *,
    as_json: bool,
    trace: str | None,
) -> int:
    """Simulate and print; the exit code: 1 where a figure that should be zero is not. Raises Impossible."""
    story = None if trace is None else Story(number_of(trace, wanted))
    with scratch.database(environment) as url, _bar() as progress:
        try:
            outcome = simulate(make_app, url, wanted, progress, listener=story)
        except OSError as error:
            raise Impossible(f"The evidence cannot be written ({type(error).__name__}).") from None
    if as_json:
        click.echo(json.dumps(outcome.figures))
    else:
        _table(outcome)
    if story is not None:
        click.echo(story.text(), err=as_json)
    return 1 if any(outcome.figures[name] for name in ZERO) else 0


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar on standard error, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=_STEPS, label="Living", file=sys.stderr) as bar:
        yield lambda share: bar.update(max(0, int(share * _STEPS) - bar.pos))


def _table(outcome: Outcome) -> None:
    width = max(len(name) for name in outcome.figures)
    for name, value in outcome.figures.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {value:>12,}  {_target(name, value)}".rstrip())
    for name, places in outcome.noted.items():
        if places and outcome.figures.get(name):
            click.echo(f"\n{name.replace('_', ' ')}:", err=True)
            for place in places[:PLACES_SHOWN]:
                click.echo(f"  {place}", err=True)


def _target(name: str, value: float) -> str:
    if name in ZERO:
        return "target 0" + (", missed" if value else "")
    if name == "notices_per_case_p95":
        return f"target {MOST_NOTICES} at most" + (", missed" if value > MOST_NOTICES else "")
    return ""
