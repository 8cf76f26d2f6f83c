"""Places: the states and cantons whose public holidays we know, by their ISO 3166-2 codes.

The days come from the ``holidays`` package, always in German and never with school, bank or half-day
holidays. What holds for one town only (the Augsburg peace feast, 15 August in the Catholic towns of
Bavaria) or is kept by custom and not by law (Easter Monday in Valais) is a closure of the firm.
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from types import MappingProxyType

from holidays import HolidayBase, country_holidays

TABLE_ENDS_ON = date(HolidayBase.end_year, 12, 31)
"""The last day the library has rules for; after it, it would say "no holiday" to every day."""

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "DE-BW": "Baden-Württemberg",
        "DE-BY": "Bayern",
        "DE-BE": "Berlin",
        "DE-BB": "Brandenburg",
        "DE-HB": "Bremen",
        "DE-HH": "Hamburg",
        "DE-HE": "Hessen",
        "DE-MV": "Mecklenburg-Vorpommern",
        "DE-NI": "Niedersachsen",
        "DE-NW": "Nordrhein-Westfalen",
        "DE-RP": "Rheinland-Pfalz",
        "DE-SL": "Saarland",
        "DE-SN": "Sachsen",
        "DE-ST": "Sachsen-Anhalt",
        "DE-SH": "Schleswig-Holstein",
        "DE-TH": "Thüringen",
        "AT-1": "Burgenland",
        "AT-2": "Kärnten",
        "AT-3": "Niederösterreich",
        "AT-4": "Oberösterreich",
        "AT-5": "Salzburg",
        "AT-6": "Steiermark",
        "AT-7": "Tirol",
        "AT-8": "Vorarlberg",
        "AT-9": "Wien",
        "CH-AG": "Aargau",
        "CH-AR": "Appenzell Ausserrhoden",
        "CH-AI": "Appenzell Innerrhoden",
        "CH-BL": "Basel-Landschaft",
        "CH-BS": "Basel-Stadt",
        "CH-BE": "Bern",
        "CH-FR": "Freiburg",
        "CH-GE": "Genf",
        "CH-GL": "Glarus",
        "CH-GR": "Graubünden",
        "CH-JU": "Jura",
        "CH-LU": "Luzern",
        "CH-NE": "Neuenburg",
        "CH-NW": "Nidwalden",
        "CH-OW": "Obwalden",
        "CH-SH": "Schaffhausen",
        "CH-SZ": "Schwyz",
        "CH-SO": "Solothurn",
        "CH-SG": "St. Gallen",
        "CH-TI": "Tessin",
        "CH-TG": "Thurgau",
        "CH-UR": "Uri",
        "CH-VD": "Waadt",
        "CH-VS": "Wallis",
        "CH-ZG": "Zug",
        "CH-ZH": "Zürich",
    }
)
"""German names by code, in the order of a select list: country by country, each by name."""


class UnknownPlace(ValueError):
    """Not the code of a German or Austrian state or of a Swiss canton."""


class UnknownYear(ValueError):
    """The library has no rules for that year in that country."""


def all_places() -> tuple[tuple[str, str], ...]:
    """Code and German name of every place, in the order of a select list."""
    return tuple(NAMES.items())


def country(place: str) -> str:
    """The ISO 3166 code of the country: "DE", "AT" or "CH". Raises UnknownPlace."""
    if place not in NAMES:
        raise UnknownPlace(f"{place!r} is not a known place; DE-BY, AT-9 and CH-ZH are.")
    return place.partition("-")[0]


@lru_cache(maxsize=512)
def holidays_of(place: str, year: int) -> Mapping[date, str]:
    """The public holidays of a place in a year with their German names; immutable.

    Two on one day are joined by "und". Raises UnknownPlace and UnknownYear.
    """
    found = country_holidays(
        country(place),
        subdiv=place.partition("-")[2],
        years=year,
        expand=False,
        # Exactly "de": any other spelling follows the server's locale without a word.
        language="de",
        categories=("public",),
    )
    if not found.start_year <= year <= found.end_year:
        raise UnknownYear(f"The holidays of {place} are known from {found.start_year} to {found.end_year}.")
    return MappingProxyType({day: " und ".join(found.get_list(day)) for day in sorted(found)})


def is_holiday(place: str, day: date) -> bool:
    """Whether the day is a public holiday there. Raises UnknownPlace and UnknownYear."""
    return day in holidays_of(place, day.year)
