"""The staff pages; importing the package puts every view on the blueprint."""

from portal.pages.staff import actions, doubtful, views

__all__ = ["actions", "doubtful", "views"]
