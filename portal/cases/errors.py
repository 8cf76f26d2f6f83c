"""Why a step is refused. Each error carries the sentence a person reads; pages show it in their language."""

from datetime import datetime

from portal.languages import marked


class NotSetUp(Exception):
    """There is no company yet, so nobody can be named."""


class Refused(Exception):
    """A rule does not allow the step; nothing was changed."""

    sentence = marked("This is not possible right now.")


class StaleCase(Refused):
    """The case changed since the page was shown."""

    sentence = marked("The case has changed in the meantime. Please look at the present state and try again.")


class NoNextStep(Refused):
    """The step would leave an open case without a next step (law 1)."""

    sentence = marked("Say what the customer can wait for next: a date and a medium, or close the case.")


class NoRoom(Refused):
    """The date leaves no room for a notice before it, or lies outside what can be promised."""

    sentence = marked("This date is too close. Choose one at least 30 business minutes from now.")


class NoticedToday(NoRoom):
    """The customer has had a delay notice today, so another date of today could not be given notice of."""

    sentence = marked(
        "We have told the customer of a delay today. Choose a date that is at least one working day away; "
        "you can of course call earlier."
    )


class NotLater(Refused):
    """A planned date that does not lie after the promised one."""

    sentence = marked("The new date is not later than the promised one. An earlier one needs no reason: promise it.")


class NothingPlanned(Refused):
    """Neither a date nor a reason."""

    sentence = marked("Enter a new date, a reason, or both.")


class DateOutOfReach(Refused):
    """The date lies outside business hours or beyond the holiday table."""

    sentence = marked("Choose a date and time within the team’s working hours.")


class NothingToPromise(Refused):
    """No date can be computed: the team has no hours ahead, or the date lies beyond the holiday table."""

    sentence = marked("We cannot name a date for this right now, so it was not taken. Please call us.")


class AuthorAbsent(Refused):
    """Somebody who is away wants to write to a customer (law 2)."""

    sentence = marked(
        "According to your absences and working days you are not here today. "
        "Letters to customers come from whoever acts for you."
    )


class AuthorDoesNotAnswer(Refused):
    """Somebody without a direct line, or who does not answer customers, wants to write to one (law 2)."""

    sentence = marked(
        "Letters to customers come from colleagues whom they can reach on a direct line. "
        "You are not entered as one of them."
    )


class WrongMedium(Refused):
    """A promise is kept only by the medium it named (law 6)."""

    sentence = marked("This contact does not keep that promise: it was promised by another medium.")


class NotAllowed(Refused):
    """Somebody else is named for this step."""

    sentence = marked("Only the person the customer is waiting for, the deputy or the lead may do this.")


class NotOpen(Refused):
    """The case is not open."""

    sentence = marked("This case is not open.")


class NotReopenable(Refused):
    """The date until which the case could be reopened has passed."""

    sentence = marked("This case can no longer be reopened. Please write to us again.")


class ErasureConfirmed(Refused):
    """The customer has confirmed that they want their details deleted; only they can take it back."""

    sentence = marked("The customer wants their details deleted. Only they can take that back, on their page.")


class NotErasable(Refused):
    """Deletion is on its way already, was carried out, or there is nothing to take back."""

    sentence = marked("This has been seen to already. This page shows how it stands.")


class NotConfirmable(Refused):
    """The link of the letter is over, or another letter came after it."""

    sentence = marked("This link no longer confirms anything. Please ask for deletion once more.")


class AlreadyCorrected(Refused):
    """The address was corrected before, too late, or somebody already acted on the case."""

    sentence = marked("The address can no longer be changed here.")


class NoNumber(Refused):
    """There is no number to call."""

    sentence = marked("The customer left no phone number.")


class NumberMissing(Refused):
    """The customer chose to be called, and we know no number."""

    sentence = marked("Enter the phone number on which we should call you.")


class KeyReused(Refused):
    """A form's key came again with another content."""

    sentence = marked("You have already sent this form. If this is a new request, please send it once more.")


class TooMany(Refused):
    """More entries than are taken from one network; ``seconds`` until there is room again."""

    sentence = marked("More messages than usual have just come from your network.")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds


class SiteFull(TooMany):
    """The same by the whole site, whatever network it is."""

    sentence = marked("More messages came in than usual.")


class ChangedTooOften(TooMany):
    """More changes of a case's times than are taken through its link."""

    sentence = marked(
        "The appointment was changed here many times in a short while. Please call us, or try again later."
    )


class NotHeld(Refused):
    """The letter is no longer held: somebody decided already, or events have overtaken it."""

    sentence = marked("This letter is no longer held. Somebody has decided already.")


class StaleAppointment(StaleCase):
    """The appointment changed since the page was shown."""

    sentence = marked("The appointment has changed in the meantime. This page shows how it stands now.")


class NoAppointment(Refused):
    """There is no booked appointment to change."""

    sentence = marked("There is no appointment to change any more.")


class NotOffered(Refused):
    """A time that lies outside what can be chosen."""

    sentence = marked("This time cannot be chosen. Please take one of those shown.")

    def __init__(self, starts_at: datetime) -> None:
        self.starts_at = starts_at


class SlotTaken(NotOffered):
    """A time that somebody else has by now."""

    sentence = marked("This time has just been taken. These are the nearest free ones.")


class NothingOffered(Refused):
    """Appointments of this topic are agreed by word."""

    sentence = marked("For this request we agree on times in person.")


class TooLateToChange(Refused):
    """The time until which the customer changes it on the page has passed."""

    sentence = marked("It is too close to the appointment to change it here. Please call us.")


class MovedTooOften(Refused):
    """The customer has moved it as often as is offered."""

    sentence = marked("The appointment has been moved as often as can be done here. Please call us.")


class HasCome(Refused):
    """The agreed time has come: there is nothing left to move, only to say how it went."""

    sentence = marked("The agreed time has come. Say what became of it instead.")


class NotYet(Refused):
    """An agreed call is begun from half an hour before its time."""

    sentence = marked("An agreed call can be started from 30 minutes before its time.")


class StillStands(Refused):
    """The agreed time is still to come: nobody has missed it, and nobody was to be met."""

    sentence = marked("It is not its time yet: the appointment stands.")


class WasMoved(Refused):
    """What was agreed for about now has been moved or called off: nobody calls at the old time."""

    sentence = marked("What was agreed for now has been moved or cancelled. Nobody calls at the old time.")


class OnHold(Refused):
    """The customer wishes another time: nobody calls until it stands."""

    sentence = marked("The appointment is on hold. Nobody calls until a new time stands.")
