"""``python -m unrolled``: the `unrolled` command."""

from .cli import app

app(prog_name="unrolled")
