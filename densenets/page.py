"""HTML pages that need nothing beside them: no other file, no network, and no text from the data that acts."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from densenets.errors import printable


def as_text(value: object) -> str:
    """A name of any content as text of the page."""
    return escape(printable(value))


def document(title: str, style: str, parts: Iterable[str], script: str) -> str:
    """A whole page around its sections, which are HTML; title: any text.

    The browser is told to run this script alone and to ask nobody for anything.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{as_text(title)}</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n<main>\n{''.join(parts)}</main>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )
