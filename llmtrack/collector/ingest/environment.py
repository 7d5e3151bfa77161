"""What a browser says about itself: device, browser, system; and which sessions are no person's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from llmtrack.session import schema as model

_LIBRARY = re.compile(r"(?i)python|java|curl|wget|go-http|okhttp|apache-http|libwww|ruby|php|node|axios|guzzle")
_FOR_PEOPLE = {"http-library", "browser-automation"}  # tags of what may act for a person
_UNLISTED = ("Prerender",)
MAX_USER_AGENT = 1000


def environment(sent: Mapping[str, Any], user_agent: str) -> dict[str, Any]:
    """What the session ran on: what the tracker says, with device, browser and os read from the User-Agent header."""
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


@lru_cache(10_000)  # browsers say the same thing again and again
def is_bot(user_agent: str) -> bool:
    """Whether a User-Agent says that it is a crawler, a preview or a monitor, by lists that others keep.

    A browser that a program drives and a program's HTTP library are none: both may act for a person.

    >>> is_bot("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"), is_bot("Python-urllib/3.13")
    (True, False)
    """
    from ua_parser import parse

    said = user_agent[:MAX_USER_AGENT]
    if _crawlers().search(said):
        return True
    device = parse(said).device
    return bool(device and device.family == "Spider" and not _LIBRARY.match(said))


@cache
def _crawlers() -> re.Pattern[str]:
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA

    patterns = [each["pattern"] for each in CRAWLER_USER_AGENTS_DATA if not _FOR_PEOPLE & set(each["tags"])]
    return re.compile("|".join([*patterns, *_UNLISTED]))


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
