"""The same three marks everywhere; colour only on terminals (click strips it elsewhere)."""

import click

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "error": ("error", "red")}


def mark(level: str) -> str:
    """Of a width, so that texts stand below each other."""
    word, colour = _MARKS[level]
    return click.style(f"{word:8}", fg=colour)
