"""The customer's page behind the signed link, and everything the customer can do there.

Importing the package puts every view on the blueprint.
"""

from portal.pages.status import erasure, times, views
from portal.pages.status.frame import bp

__all__ = ["bp", "erasure", "times", "views"]
