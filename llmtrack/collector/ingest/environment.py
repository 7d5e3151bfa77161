"""What a browser says about itself: device, browser, system; and which visits are no person's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmtrack.session import schema as model

_LIBRARY = re.compile(r"(?i)python|java|curl|wget|go-http|okhttp|apache-http|libwww|ruby|php|node|axios|guzzle")
MAX_USER_AGENT = 1000


def environment(sent: Mapping[str, Any], user_agent: str) -> dict[str, Any]:
    """What the visit ran on: what the tracker says, with device, browser and os read from the User-Agent header."""
    known: dict[str, Any] = model.storable(dict(sent))
    viewport = known.get("viewport")
    if not isinstance(viewport, dict) or not all(isinstance(viewport.get(k), int | float) for k in ("width", "height")):
        known.pop("viewport", None)
    if is_bot(user_agent):
        known["bot"] = True
    for key, value in parse_user_agent(user_agent, bool(known.get("touch"))).items():
        if not isinstance(known.get(key), str) or not known[key]:
            known[key] = value
    return known


def is_bot(user_agent: str) -> bool:
    """Whether a User-Agent says that it is a crawler, a preview or a monitor.

    A browser that a program drives and a program's HTTP library are none: both may act for a person.

    >>> is_bot("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"), is_bot("Python-urllib/3.13")
    (True, False)
    """
    from ua_parser import parse

    found = parse(user_agent[:MAX_USER_AGENT])
    return bool(found.device and found.device.family == "Spider" and not _LIBRARY.match(user_agent))


def parse_user_agent(user_agent: str, touch: bool = False) -> dict[str, str]:
    """device (desktop, mobile, tablet, bot or unknown), browser and os families.

    >>> parse_user_agent("")
    {'device': 'unknown', 'browser': 'unknown', 'os': 'unknown'}
    """
    from ua_parser import parse

    if not user_agent:
        return {"device": "unknown", "browser": "unknown", "os": "unknown"}
    found = parse(user_agent[:MAX_USER_AGENT])
    os = found.os.family if found.os else "unknown"
    browser = found.user_agent.family if found.user_agent else "unknown"
    device = "bot" if is_bot(user_agent) else _device(user_agent, os, touch)
    return {"device": device, "browser": browser, "os": os}


def _device(user_agent: str, os: str, touch: bool) -> str:
    if "iPad" in user_agent or "Tablet" in user_agent or (os == "Android" and "Mobile" not in user_agent):
        return "tablet"
    if os == "Mac OS X" and touch:  # an iPad that asks for the desktop site
        return "tablet"
    if "Mobi" in user_agent or os in ("iOS", "Android"):
        return "mobile"
    return "desktop" if os in ("Windows", "Mac OS X", "Chrome OS") or "X11" in user_agent else "unknown"
