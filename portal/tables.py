"""Imports every models module, so that the metadata is whole."""

from portal import limits
from portal.appointments import models as appointments
from portal.cases import directory
from portal.cases import models as cases
from portal.customers import models as customers
from portal.db import Base
from portal.journal import models as journal
from portal.mail import models as mail
from portal.people import models as people
from portal.promises import models as promises

__all__ = ["appointments", "cases", "customers", "directory", "journal", "limits", "mail", "people", "promises"]

metadata = Base.metadata
