"""The company's colour, made readable: pure rules behind ``/brand.css``.

A policy without inline styles leaves one way to bring a colour from the database into a page: a style sheet of its
own. Whatever was entered, text keeps a contrast of 4.5:1 (WCAG 1.4.3): too light a colour is darkened, on the dark page
lightened.
"""

import re
from colorsys import hls_to_rgb, rgb_to_hls

Colour = tuple[int, int, int]

LIGHT_PAGE: Colour = (0xFA, 0xF8, 0xF4)
DARK_PAGE: Colour = (0x29, 0x2B, 0x2F)
NEAR_BLACK: Colour = (0x12, 0x14, 0x16)
CONTRAST = 4.5
STEPS = 50


def style_sheet(accent: str) -> str:
    """The style sheet that sets the accent for the light and the dark page."""
    light = _hex(readable_on(LIGHT_PAGE, accent, lightest=False))
    dark = _hex(readable_on(DARK_PAGE, accent, lightest=True))
    return (
        f":root{{--accent:{light};--on-accent:#fff}}\n"
        "@media screen and (prefers-color-scheme:dark)"
        f"{{:root{{--accent:{dark};--on-accent:{_hex(NEAR_BLACK)}}}}}\n"
    )


def readable_on(page: Colour, accent: str, *, lightest: bool) -> Colour:
    """The accent, made as little darker (or lighter) as needed until text in it can be read on ``page``.

    Raises ValueError for what is not a colour like #1f5f5b.
    """
    hue, lightness, saturation = rgb_to_hls(*_parse(accent))
    end = 1.0 if lightest else 0.0
    for step in range(STEPS + 1):
        red, green, blue = hls_to_rgb(hue, lightness + (end - lightness) * step / STEPS, saturation)
        colour = (round(red * 255), round(green * 255), round(blue * 255))
        if contrast(colour, page) >= CONTRAST:
            break
    return colour


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _parse(accent: str) -> tuple[float, float, float]:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", accent):
        raise ValueError(f"not a colour: {accent!r}")
    return int(accent[1:3], 16) / 255, int(accent[3:5], 16) / 255, int(accent[5:7], 16) / 255


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
