"""The panel's own words, so that a step looks for what the page says in its language instead of repeating it."""

import functools
import pathlib
import re

_LOCALES = pathlib.Path(__file__).resolve().parents[2] / "gateway" / "src" / "admin" / "panel" / "locales"
LANGUAGES = ("en", "es", "ru", "zh")


@functools.cache
def _all(language):
    found = {}
    for path in sorted((_LOCALES / language).glob("*.ftl")):
        for name, value in re.findall(r"^([a-z][\w-]*) = (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            found[name] = value.strip()
    return found


def text(name, language="en", /, **values):
    """A text of one line; `{ $key }` in it becomes the value given."""
    words = _all(language)[name]
    return re.sub(r"\{ \$(\w+) \}", lambda found: str(values[found.group(1)]), words)


def piece(name, language="en"):
    """The longest part of a text that says the same whatever is filled in."""
    return max(re.split(r"\{[^}]*\}", _all(language)[name]), key=len).strip()


def names(language="en"):
    """The names of all texts."""
    return set(_all(language))
