"""Pages that are one file and need no network: their style and script stand in them, and nothing else runs."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from typing import Final

_HERE: Final = "llmtrack.cli.html"


def page(title: str, body: str, script: str = "") -> str:
    """A whole page. `body` is HTML, in which texts of others are escaped already; `script` names a file beside this."""
    style = files(_HERE).joinpath("page.css").read_text(encoding="utf-8")
    code = files(_HERE).joinpath(script).read_text(encoding="utf-8") if script else ""
    allowed = f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" if code else "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; base-uri 'none'; form-action 'none'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
{f"<script>{code}</script>" if code else ""}
</body>
</html>
"""
