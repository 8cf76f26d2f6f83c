"""Races for agreed times: many at once for one slot, one row, one person. On both databases, none with a lucky end."""
