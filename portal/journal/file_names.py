"""Names of files, made harmless: pure rules. A name is only ever shown; nothing is found or stored by it."""

import re
import unicodedata

LENGTH = 100
"""Characters of a name at most; a longer one loses its middle, never its ending."""
ENDING = 10
SHORT = 40
"""Characters of a name in a letter."""
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line separators, switches of writing direction and halves of characters."""
UNSAFE = re.compile(r'[<>:"|?*]')
"""What some file systems refuse or take for something else."""
RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\.|$)", re.IGNORECASE)
"""Names that stand for devices on Windows, whatever their ending."""
NAMELESS = "file"


def cleaned(name: str | None) -> str:
    """The name as it is shown and offered for saving: one line without folders, invisible signs and device names."""
    line = UNSEEN.sub("", unicodedata.normalize("NFC", name or ""))
    line = re.split(r"[/\\]", line)[-1]
    line = " ".join(UNSAFE.sub("_", line).split()).strip(". ")
    if RESERVED.match(line):
        line = f"_{line}"
    return _cut(line, LENGTH) or NAMELESS


def ending(name: str) -> str:
    """What stands behind the last dot, in small letters; nothing where there is no dot."""
    _, dot, last = name.rpartition(".")
    return last.lower() if dot else ""


def in_letter(name: str) -> str:
    """The name as a letter may carry it: short, and nothing in it that a mail program would make a link of."""
    stem, dot, last = name.rpartition(".")
    return _cut(re.sub(r"[.@#%&=+]+", "_", stem or last) + (dot + last if stem else ""), SHORT)


def _cut(name: str, length: int) -> str:
    if len(name) <= length:
        return name
    stem, dot, last = name.rpartition(".")
    kept = f"…{dot}{last}" if stem and len(last) <= ENDING else "…"
    return name[: length - len(kept)].rstrip() + kept
