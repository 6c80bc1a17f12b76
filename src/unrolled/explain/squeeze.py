"""Hand-written script and style, made smaller: comments and idle spaces go.

Nothing is renamed and no line is joined to another, so what runs reads like the
source. Strings, templates and regular expressions pass through untouched.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[\w$]")
# A slash after one of these starts a regular expression, not a division.
_BEFORE_REGEX = set("(,=:[!&|?{};\n")


def script(source: str) -> str:
    """JavaScript without comments, indentation and idle spaces."""
    out: list[str] = []
    at, end = 0, len(source)
    while at < end:
        char = source[at]
        if source.startswith("//", at):
            at = source.find("\n", at) if "\n" in source[at:] else end
        elif char in "'\"`" or (char == "/" and _last(out) in _BEFORE_REGEX):
            stop = _template(source, at) if char == "`" else _quoted(source, at, char)
            out.append(source[at:stop])
            at = stop
        elif char.isspace():
            stop = at
            while stop < end and source[stop].isspace():
                stop += 1
            if "\n" in source[at:stop]:
                if out and out[-1] != "\n":
                    out.append("\n")
            elif stop < end and _needed(_last(out), source[stop]):
                out.append(" ")
            at = stop
        else:
            out.append(char)
            at += 1
    return "".join(out).strip() + "\n"


def _last(out: list[str]) -> str:
    return out[-1][-1] if out else "\n"


def _needed(left: str, right: str) -> bool:
    """Would the two tokens run together without a space?"""
    if _WORD.match(left) and _WORD.match(right):
        return True
    return left == right and left in "+-"


def _quoted(source: str, at: int, quote: str) -> int:
    """End of a string or a regular expression that starts at `at`."""
    inside, at = False, at + 1
    while source[at] != quote or inside:
        if source[at] == "\\":
            at += 1
        elif quote == "/" and source[at] in "[]":
            inside = source[at] == "["
        at += 1
    return at + 1


def _template(source: str, at: int) -> int:
    """End of a template literal, with the expressions and templates inside it."""
    at += 1
    while source[at] != "`":
        if source[at] == "\\":
            at += 2
        elif source.startswith("${", at):
            depth, at = 1, at + 2
            while depth:
                if source[at] == "`":
                    at = _template(source, at)
                    continue
                if source[at] in "'\"":
                    at = _quoted(source, at, source[at])
                    continue
                depth += {"{": 1, "}": -1}.get(source[at], 0)
                at += 1
        else:
            at += 1
    return at + 1


def style(source: str) -> str:
    """CSS without comments, indentation and idle spaces."""
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.S)
    source = re.sub(r"\s+", " ", source)
    return re.sub(r" ?([{};,>]) ?", r"\1", source).replace(";}", "}").strip() + "\n"
