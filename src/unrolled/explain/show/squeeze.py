"""Hand-written script and style, made smaller: comments and idle spaces go.

Nothing is renamed, so what runs reads like the source; what is constant there is
only not assigned here. Strings and regular expressions pass through untouched.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[\w$]")
# A slash after one of these starts a regular expression, not a division.
_BEFORE_REGEX = set("(,=:[!&|?{};\n")
_OPEN = set("\n;{,([:?&|")
# After a closing brace none of these can go on with an expression.
_STARTS = re.compile(r"(async |)function\b|(const|let|for|if|return|view)\b")


def script(source: str) -> str:
    """JavaScript without comments, indentation, idle spaces and idle words."""
    out: list[str] = []
    at, end = 0, len(source)
    while at < end:
        char = source[at]
        if source.startswith("//", at):
            at = source.find("\n", at) if "\n" in source[at:] else end
        elif char in "'\"`" or (char == "/" and _last(out) in _BEFORE_REGEX):
            if char == "`":
                piece, at = _template(source, at)
            else:
                stop = _quoted(source, at, char)
                piece, at = source[at:stop], stop
            out.append(piece)
        elif char.isspace():
            stop = at
            while stop < end and source[stop].isspace():
                stop += 1
            if "\n" in source[at:stop]:
                # A line may be joined to the next where nothing can end between them.
                starts = _last(out) == "}" and _STARTS.match(source, stop)
                joined = starts or not out or _last(out) in _OPEN
                if not joined and source[stop : stop + 1] != "}":
                    out.append("\n")
            elif stop < end and _needed(_last(out), source[stop]):
                out.append(" ")
            at = stop
        else:
            if char == "}" and out and out[-1] == ";":
                out.pop()
            out.append(char)
            at += 1
    return "".join(_joined(out)).strip() + "\n"


def _joined(pieces: list[str]) -> list[str]:
    """Neighbouring declarations as one, by the shorter word: `,` for `;const `."""
    out: list[str] = []
    # For each bracket that is open: how this statement begins, and how the last did.
    now: list[str] = [""]
    last: list[str] = [""]
    at = 0
    while at < len(pieces):
        piece, stop = pieces[at], at + 1
        if len(piece) == 1 and _WORD.match(piece):
            while stop < len(pieces) and len(pieces[stop]) == 1:
                if not _WORD.match(pieces[stop]):
                    break
                stop += 1
            piece = "".join(pieces[at:stop])
            piece = "let" if piece == "const" else piece
            if (now[-1], last[-1], piece) == ("", "let", "let") and out[-1] == ";":
                out[-1], piece = ",", ""
                stop += pieces[stop] == " "
                now[-1] = "let"
        if piece in ("{", "(", "["):
            now[-1] = now[-1] or piece
            now.append("")
            last.append("")
        elif piece in ("}", ")", "]"):
            now.pop()
            last.pop()
        elif piece == ";":
            last[-1], now[-1] = now[-1], ""
        elif piece.strip() and not now[-1]:
            now[-1], last[-1] = piece, ""
        out.append(piece)
        at = stop
    return out


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


def _template(source: str, at: int) -> tuple[str, int]:
    """A template literal from `at`, the expressions in it squeezed; and its end."""
    out, at = ["`"], at + 1
    while source[at] != "`":
        if source.startswith("${", at):
            stop = _expression(source, at + 2)
            out.append("${" + script(source[at + 2 : stop]).strip() + "}")
            at = stop + 1
        else:
            step = 2 if source[at] == "\\" else 1
            out.append(source[at : at + step])
            at += step
    return "".join(out) + "`", at + 1


def _expression(source: str, at: int) -> int:
    """Where the closing brace of a template's expression is."""
    depth = 1
    while True:
        if source[at] == "`":
            at = _template(source, at)[1]
        elif source[at] in "'\"":
            at = _quoted(source, at, source[at])
        else:
            depth += {"{": 1, "}": -1}.get(source[at], 0)
            if not depth:
                return at
            at += 1


def style(source: str) -> str:
    """CSS without comments, indentation and idle spaces."""
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.S)
    source = re.sub(r"\s+", " ", source)
    return re.sub(r" ?([{};,>]) ?", r"\1", source).replace(";}", "}").strip() + "\n"
