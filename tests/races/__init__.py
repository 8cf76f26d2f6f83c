"""Races for agreed times: many at once for one slot, one row, one person. On both databases, none with a lucky end."""

import pytest

pytest.register_assert_rewrite("tests.races.racing")  # the controls look at what an assertion says
