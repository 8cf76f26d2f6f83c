"""A calendar program, reduced to the rules: what RFC 5545 and RFC 5546 say a mailbox makes of the messages it gets.

Written from the two texts and with nothing of the libraries that write or judge, so that it can disagree with them.
"""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Property:
    """One line: its name, its parameters, its value as it stands there."""

    name: str
    parameters: dict[str, str]
    value: str

    @property
    def text(self) -> str:
        """The value of a TEXT, its escapes undone (RFC 5545, 3.3.11)."""
        return re.sub(r"\\([\\;,nN])", lambda found: "\n" if found[1] in "nN" else found[1], self.value)


@dataclass
class Component:
    """What stands between a BEGIN and its END."""

    name: str
    properties: list[Property] = field(default_factory=list)
    components: list["Component"] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """The values of all properties of that name."""
        return [one.value for one in self.properties if one.name == name]

    def one(self, name: str) -> Property:
        """The only property of that name."""
        (found,) = (one for one in self.properties if one.name == name)
        return found


def read(data: bytes) -> Component:
    """The calendar in ``data`` (RFC 5545, 3.1: unfold, then name, parameters and value of each line)."""
    open_ones = [Component("")]
    for line in data.decode().replace("\r\n ", "").split("\r\n")[:-1]:
        parts = re.fullmatch(r'([A-Z0-9-]+)((?:;[A-Z-]+=(?:"[^"]*"|[^";:,]*))*):(.*)', line)
        if parts is None:
            raise ValueError(f"no line of a calendar: {line!r}")
        name, parameters, value = parts[1], re.findall(r';([A-Z-]+)=(?:"([^"]*)"|([^";:,]*))', parts[2]), parts[3]
        if name == "BEGIN":
            open_ones.append(Component(value))
            open_ones[-2].components.append(open_ones[-1])
        elif name == "END":
            if open_ones.pop().name != value:
                raise ValueError(f"{value} ends and was not begun")
        else:
            plain = {key: quoted or bare for key, quoted, bare in parameters}
            open_ones[-1].properties.append(Property(name, plain, value))
    (top,) = open_ones
    (calendar,) = top.components
    return calendar


@dataclass(frozen=True)
class Kept:
    """The newest message of one UID."""

    version: tuple[int, str]
    cancelled: bool
    start: str


class Mailbox:
    """The calendar of one attendee. What was cancelled is remembered, so that a late old message does not revive it."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def receive(self, data: bytes) -> None:
        """Take one message in: RFC 5546, 2.1.5, the higher SEQUENCE wins, with equal ones the later DTSTAMP."""
        calendar = read(data)
        for event in calendar.components:
            version = (int(event.one("SEQUENCE").value), event.one("DTSTAMP").value)
            known = self._kept.get(event.one("UID").value)
            if known is None or version > known.version:
                cancelled = calendar.one("METHOD").value == "CANCEL"
                self._kept[event.one("UID").value] = Kept(version, cancelled, event.one("DTSTART").value)

    @property
    def starts(self) -> list[str]:
        """When the attendee believes to be called."""
        return sorted(kept.start for kept in self._kept.values() if not kept.cancelled)
