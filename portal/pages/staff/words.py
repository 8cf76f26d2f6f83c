"""The words of the staff pages that are chosen by a value: groups, doubts, letters, and what was just done.

Each is the English sentence; templates and views say it in the person's language.
"""

from flask_babel import lazy_gettext as _

from portal.cases import doubting
from portal.cases.call_list import Stage
from portal.cases.contacts import Contact
from portal.cases.keeping import AppointmentOutcome
from portal.cases.models import Outcome
from portal.cases.offering import Part
from portal.cases.worklist import Scope
from portal.mail.letters import LetterKind
from portal.mail.models import HoldReason, LetterState
from portal.pages.staff.worklist import Due
from portal.promises.models import Medium

GROUPS = {
    Due.OVERDUE: _("Overdue"),
    Due.TODAY: _("Today"),
    Due.TOMORROW: _("Tomorrow"),
    Due.THIS_WEEK: _("This week"),
    Due.LATER: _("Later"),
}
SCOPES = {Scope.MINE: _("Mine"), Scope.TEAM: _("Team"), Scope.ALL: _("All")}
doubt = doubting.sentence
"""Why an entry is in doubt."""
DONE = {
    "reply": _("Your answer is on its way."),
    "ask": _("Your question is on its way."),
    "promise": _("The date is promised. The customer has been told."),
    "contact": _("The contact is in the journal."),
    "note": _("The note is in the journal."),
    "plan": _("It is planned; the customer will be told."),
    "forget_plan": _("The plan is taken back. The promise stands as it was given."),
    "close": _("The case is closed. The customer has been told."),
    "reopen": _("The case is open again. The customer has been told."),
    "released": _("The entry is a case now. The customer has been told."),
    "letter_released": _("The letter is on its way, with the present date."),
    "letter_dropped": _(
        "The letter is not sent. The promised date stands; please phone if the customer is to hear it."
    ),
    "feed": _("This is your calendar address: enter it in your calendar program. An older one opens nothing any more."),
    "booked": _("The appointment is booked. The customer has been told."),
    "booked_untold": _("The appointment is booked. There is no e-mail address: please tell the customer yourself."),
    "moved": _("The appointment is moved. The customer has been told."),
    "moved_untold": _("The appointment is moved. There is no e-mail address: please tell the customer yourself."),
    "stays": _("The appointment stands again, at its time. The customer has been told."),
    "stays_untold": _("The appointment stands again, at its time. Please tell the customer yourself."),
    "given": _("Somebody else keeps the appointment. The customer has been told."),
    "given_untold": _("Somebody else keeps the appointment. Please tell the customer yourself."),
    "cancelled": _("The appointment is cancelled. The customer has been told."),
    "cancelled_untold": _("The appointment is cancelled. Please tell the customer yourself."),
    "frozen": _("The appointment is on hold: nothing takes place at the old time. The customer has been told."),
    "frozen_untold": _(
        "The appointment is on hold: nothing takes place at the old time. Please tell the customer yourself."
    ),
    "unchanged": _("Nothing has changed: it was so already."),
    "outcome": _("What became of the appointment is in the journal."),
    "recap": _("What became of the appointment is in the journal. The summary is on its way."),
    "attempt": _("The attempt is in the journal. The agreed time stands."),
    "not_begun": _("The beginning is taken back. The agreed time stands."),
    "discarded": _("The entry is discarded. It can be released until it is erased."),
}
"""What a page may say after a POST; any other word says nothing."""
LETTERS = {
    LetterKind.CONFIRMATION: _("Confirmation"),
    LetterKind.MESSAGE_RECEIVED: _("Message received"),
    LetterKind.PROMISE_GIVEN: _("Promised date"),
    LetterKind.REPLY: _("Reply"),
    LetterKind.QUESTION: _("Question"),
    LetterKind.CLOSED: _("Closed"),
    LetterKind.REOPENED: _("Reopened"),
    LetterKind.LINK: _("Status link"),
    LetterKind.ERASURE: _("Deletion of the details"),
    LetterKind.DELAY_NOTICE: _("Delay notice"),
    LetterKind.LEAD_TAKES_OVER: _("The lead takes over"),
    LetterKind.WAITING_REMINDER: _("Question asked again"),
    LetterKind.CLOSING_ANNOUNCED: _("Closing announced"),
    LetterKind.CALL_ATTEMPTED: _("Call not answered"),
    LetterKind.APPOINTMENT_CONFIRMED: _("Appointment agreed"),
    LetterKind.APPOINTMENT_MOVED: _("Appointment moved"),
    LetterKind.APPOINTMENT_GIVEN: _("Appointment taken over"),
    LetterKind.APPOINTMENT_CANCELLED: _("Appointment cancelled"),
    LetterKind.APPOINTMENT_FROZEN: _("Appointment on hold"),
    LetterKind.APPOINTMENT_REMINDER: _("Reminder of the appointment"),
    LetterKind.APPOINTMENT_LATE: _("Late for the appointment"),
    LetterKind.APPOINTMENT_MISSED: _("Appointment missed by us"),
    LetterKind.RECAP: _("What was said"),
    LetterKind.STAFF_NEW_CASE: _("To a colleague: new case"),
    LetterKind.STAFF_MESSAGE: _("To a colleague: message"),
    LetterKind.STAFF_DOUBTFUL: _("To a colleague: doubtful entry"),
    LetterKind.STAFF_NOT_ME: _("To a colleague: “That was not me”"),
    LetterKind.STAFF_UNDELIVERABLE: _("To a colleague: letter did not arrive"),
    LetterKind.STAFF_CLOSED: _("To a colleague: closed by the customer"),
    LetterKind.STAFF_REOPENED: _("To a colleague: reopened"),
    LetterKind.STAFF_REMINDER: _("To a colleague: reminder"),
    LetterKind.STAFF_DELAYED: _("To a colleague: delay notice sent"),
    LetterKind.STAFF_APPOINTMENT: _("To a colleague: appointment"),
    LetterKind.STAFF_ESCALATION: _("To the lead: delayed again"),
}
LETTER_STATES = {
    LetterState.QUEUED: _("waiting to be sent"),
    LetterState.SENDING: _("being sent"),
    LetterState.HELD: _("held back"),
    LetterState.SENT: _("sent"),
    LetterState.FAILED: _("did not arrive"),
    LetterState.WITHDRAWN: _("withdrawn before it was sent"),
}
HELD = {
    HoldReason.MAILBOX_CAP: _("This mailbox has had as many letters as strangers may cause to it."),
    HoldReason.CASE_HELD: _("An earlier letter of this case is held."),
}
PROMISES = {
    "reply-mail": _("Reply by e-mail"),
    "call-call": _("Call"),
    "result-mail": _("Result by e-mail"),
    "reply-letter": _("Letter by post"),
    "result-visit": _("Visit"),
    "follow_up-mail": _("Get in touch again by e-mail"),
    "follow_up-call": _("Get in touch again by phone"),
}
"""Kind and medium of a promise, as one choice: the pairs that make sense."""
MEDIA = {Medium.CALL: _("A call"), Medium.VISIT: _("A visit")}
APPOINTMENTS = {Medium.CALL: _("Agreed call"), Medium.VISIT: _("Agreed visit")}
"""An agreed time by its medium, in a list."""
STAGES = {
    Stage.TO_COME: _("to come"),
    Stage.NOW: _("now"),
    Stage.NOT_STARTED: _("not started"),
    Stage.BEGUN: _("begun"),
    Stage.OUTCOME_MISSING: _("outcome missing"),
    Stage.ON_HOLD: _("on hold"),
}
ON_HOLD = _("Another time is being agreed on. Nobody sees the number until then.")
"""Of an agreed time that is on hold, whoever could not keep it."""
STAGE_TAGS = {Stage.NOT_STARTED: " bad", Stage.OUTCOME_MISSING: " bad", Stage.ON_HOLD: " wait", Stage.NOW: " wait"}
"""How a stage stands out, where it does."""
AGREED_OUTCOMES = {
    AppointmentOutcome.ANSWERED: _("It took place, with an answer"),
    AppointmentOutcome.INTERIM: _("It took place, we said how it stands"),
    AppointmentOutcome.NOT_REACHED: _("Nobody was reached"),
    AppointmentOutcome.MISSED: _("We missed it"),
    AppointmentOutcome.NOT_BEGUN: _("Nobody has called yet: the appointment stands"),
}
NO_VISIT_YET = _("Nobody has been there yet: the appointment stands")
"""The same of a visit."""
PARTS = {Part.MORNING: _("in the morning"), Part.MIDDAY: _("at midday"), Part.AFTERNOON: _("in the afternoon")}
"""When the customer can be reached."""
CONTACTS = {
    Contact.MAIL_IN: _("E-mail received"),
    Contact.CALL_IN: _("Customer called"),
    Contact.CALL_REACHED: _("Called: reached"),
    Contact.CALL_NOT_REACHED: _("Called: not reached"),
    Contact.CALL_MAILBOX: _("Called: voicemail"),
    Contact.VISIT: _("Visit"),
    Contact.LETTER_IN: _("Letter received"),
    Contact.LETTER_OUT: _("Letter sent"),
}
OUTCOMES = {
    Outcome.DONE: _("Done"),
    Outcome.NO_ANSWER: _("No answer came"),
    Outcome.WITHDRAWN: _("The request was withdrawn"),
    Outcome.NOT_POSSIBLE: _("Not possible for us"),
}
