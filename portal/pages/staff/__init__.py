"""The staff pages; importing the package puts every view on the blueprint."""

from portal.pages.staff import actions, appointments, calls, choices, doubtful, figures, held, views

__all__ = ["actions", "appointments", "calls", "choices", "doubtful", "figures", "held", "views"]
