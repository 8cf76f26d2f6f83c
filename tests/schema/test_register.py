"""The register of personal data names every column that holds words or bytes, and no other."""

import pytest
from flask import Flask
from sqlalchemy import JSON, Column, Enum, LargeBinary, MetaData, String, Table, inspect
from sqlalchemy.types import TypeEngine

from portal import db, tables
from portal.cases.register import PERSONAL, WITHOUT_PERSONAL_DATA, Fate, blanked

ENTERED = frozenset(PERSONAL) | WITHOUT_PERSONAL_DATA


def wordy(columns: dict[str, TypeEngine[object]]) -> set[str]:
    """The columns that can hold anybody's words: text, JSON and bytes, but no closed vocabulary."""
    return {
        name
        for name, kind in columns.items()
        if isinstance(kind, (String, JSON, LargeBinary)) and not isinstance(kind, Enum)
    }


def of_models(metadata: MetaData) -> dict[str, TypeEngine[object]]:
    """Every column of the models with its type."""
    return {
        f"{table.name}.{column.name}": column.type for table in metadata.tables.values() for column in table.columns
    }


def test_every_column_with_words_is_entered_and_every_entry_is_a_column() -> None:
    assert wordy(of_models(tables.metadata)) ^ ENTERED == set()


def test_the_migrated_database_has_no_column_beside_the_register(program: Flask) -> None:
    """Read from the database: also a table that no model knows must be entered."""
    catalogue = inspect(db.db.engine)
    found = {
        f"{table}.{column['name']}": column["type"]
        for table in catalogue.get_table_names()
        for column in catalogue.get_columns(table)
    }
    vocabularies = {name for name, kind in of_models(tables.metadata).items() if isinstance(kind, Enum)}

    assert wordy(found) - vocabularies - ENTERED - {"alembic_version.version_num"} == set()


def test_no_column_is_entered_twice() -> None:
    assert frozenset(PERSONAL) & WITHOUT_PERSONAL_DATA == frozenset()


@pytest.mark.parametrize("kind", [String(20), JSON(), LargeBinary()])
def test_a_new_column_would_be_missed(kind: TypeEngine[object]) -> None:
    planted = MetaData()
    Table("customer", planted, Column("birthday_song", kind))

    assert wordy(of_models(planted)) - ENTERED == {"customer.birthday_song"}


def test_what_a_duty_keeps_is_blanked_only_without_it() -> None:
    assert blanked("customer") - blanked("customer", kept_on_duty=True) == {"name", "email", "company", "number_typed"}
    assert {"phone_e164", "phone_shown", "postcode", "email_key"} == blanked("customer", kept_on_duty=True)


def test_only_what_is_blanked_can_stay_on_duty() -> None:
    assert [name for name, column in PERSONAL.items() if column.on_duty and column.fate is not Fate.BLANKED] == []
