"""The figures: what leads and administrators see of their teams' promises. Nothing here changes anything."""

from dataclasses import dataclass
from datetime import timedelta

from flask import make_response, request
from sqlalchemy.orm import Session
from werkzeug import Response

from portal import clock, db
from portal.cases import directory as directories
from portal.cases import figures as counting
from portal.cases.directory import Directory
from portal.cases.figures import Report
from portal.languages import Voice
from portal.pages.staff import figure_tables as tables
from portal.pages.staff.frame import bp, own_voice, page
from portal.pages.staff.login import SignedIn, current_person
from portal.people.models import Role

WEEKS = (4, 13, 26)
ALL = "all"
MAY_SEE = (Role.LEAD, Role.ADMIN)


@dataclass(frozen=True)
class Wanted:
    """What the reader chose: how many weeks, which team, which topic; None is all of them."""

    weeks: int
    team_id: int | None
    topic_id: int | None

    def names(self, directory: Directory, voice: Voice) -> tuple[str, str]:
        """The team and the topic in words."""
        return (
            voice.say("All teams") if self.team_id is None else directory.teams[self.team_id].name,
            voice.say("All topics") if self.topic_id is None else directory.topics[self.topic_id].name(voice.language),
        )

    def in_address(self) -> dict[str, object]:
        """The same as parameters of an address."""
        return {"weeks": self.weeks, "team": self.team_id or ALL, "topic": self.topic_id or ALL}


@bp.get("/figures")
def figures() -> Response:
    """Three figures, each by week, by team and by topic."""
    now, person, voice = clock.utc_now(), current_person(), own_voice()
    with db.transaction() as session:
        if person.role not in MAY_SEE:
            return _refused(session)
        directory, wanted, report = _counted(session)
        groupings = tables.groupings(report, directory, voice, own_team_id=person.team_id)
        return page(
            session,
            "staff/figures.html",
            now=now,
            refused=False,
            wanted=wanted,
            chosen=wanted.names(directory, voice),
            first=min(report.weeks),
            last=max(report.weeks) + timedelta(days=6),
            least=counting.LEAST,
            weeks=WEEKS,
            teams=sorted(directory.teams.values(), key=lambda team: (team.id != person.team_id, team.name)),
            topics=directory.topics.values(),
            total=report.total,
            before=report.before,
            columns=tables.COLUMNS,
            by=tables.BY,
            fates=tables.FATES,
            shown=tables.shown,
            blocks={
                figure: [tables.block(figure, grouping, voice) for grouping in groupings] for figure in tables.COLUMNS
            },
        )


@bp.get("/figures.csv")
def figures_csv() -> Response:
    """The same numbers for a spreadsheet."""
    person, voice = current_person(), own_voice()
    with db.transaction() as session:
        if person.role not in MAY_SEE:
            return _refused(session)
        directory, wanted, report = _counted(session)
    team, topic = wanted.names(directory, voice)
    response = make_response(tables.comma_separated(tables.lines(report, directory, voice, team=team, topic=topic)))
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    name = f"durchwahl-{max(report.weeks)}-{wanted.weeks}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _counted(session: Session) -> tuple[Directory, Wanted, Report]:
    now = clock.utc_now()
    directory = directories.load(session, now=now)
    wanted = _wanted(directory, current_person())
    report = counting.report(session, weeks=wanted.weeks, team_id=wanted.team_id, topic_id=wanted.topic_id, now=now)
    return directory, wanted, report


def _wanted(directory: Directory, person: SignedIn) -> Wanted:
    """What the address asks for. A lead begins with the own team; what is not there is not chosen."""
    weeks, team, topic = (request.args.get(name, "") for name in ("weeks", "team", "topic"))
    teams = {ALL: None, **{str(one): one for one in directory.teams}}
    topics = {str(one): one for one in directory.topics}
    return Wanted(
        weeks={str(one): one for one in WEEKS}.get(weeks, 13),
        team_id=teams.get(team, person.team_id if person.role == Role.LEAD else None),
        topic_id=topics.get(topic),
    )


def _refused(session: Session) -> Response:
    return page(session, "staff/figures.html", 403, now=clock.utc_now(), refused=True)
