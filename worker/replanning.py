"""The step that plans running promises anew after working hours, holidays, closures or service levels changed."""

from portal import clock, db
from portal.cases import directory as directories
from portal.cases import replanning
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.cases.sparing import spared


class Replan:
    """Looks at all open promises, a batch at a time, once after each such change; several workers may share it."""

    def __init__(self) -> None:
        self._planned_by: Directory | None = None

    def __call__(self) -> bool:
        """Look at one batch; False where every promise is planned by the present calendars."""
        now = clock.utc_now()
        with db.reading() as session:
            directory = directories.load(session, now=now)
            if directory is self._planned_by:
                return False
            present = replanning.mark(directory)
            if replanning.is_done(session, present):
                self._planned_by = directory
                return False
            case_ids, after_id = replanning.cases_to_replan(session, directory, now=now)
        for case_id in case_ids:
            _replan(case_id)
        with db.writing() as session:
            replanning.note_done(session, present, after_id)
        return True


def _replan(case_id: int) -> None:
    with db.writing() as session:
        case = session.get_one(Case, case_id)
        spared(
            session, lambda: replanning.replan(session, case, now=clock.utc_now()), failed="not replanned", case=case_id
        )
