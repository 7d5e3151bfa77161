"""What llmtrack serves runs in browsers back to Safari 16.4 (March 2023): nothing younger stands in it.

Each pattern is named with the first Safari that has it. The types that `make check` uses know no younger JavaScript
either; this list is what they do not see: the DOM, CSS and HTML.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import llmtrack

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
WEB = Path(llmtrack.__file__).parent / "web"
SCRIPT = {
    "URL.parse, 18": r"\bURL\.parse\b",
    "URL.canParse, 17": r"\bURL\.canParse\b",
    "Promise.withResolvers, 17.4": r"\bPromise\.withResolvers\b",
    "Promise.try, 18.2": r"\bPromise\.try\b",
    "Object.groupBy, 17.4": r"\b(?:Object|Map)\.groupBy\b",
    "AbortSignal.any, 17.4": r"\bAbortSignal\.any\b",
    "RegExp.escape, 18.2": r"\bRegExp\.escape\b",
    "methods of iterators, 18.4": r"\.(?:values|keys|entries)\(\)\.(?:map|filter|take|toArray|find|some)\(",
    "sets that are compared, 17": r"\.(?:isSubsetOf|isSupersetOf|isDisjointFrom|symmetricDifference)\(",
    "streams that are iterated, 26": r"for await \([^)]* of [\w.]*(?:body|stream|readable)\b",
    "popovers, 17": r"\b(?:showPopover|hidePopover|togglePopover)\b",
    "checkVisibility, 17.4": r"\bcheckVisibility\b",
    "the highlight API, 17.2": r"\bCSS\.highlights\b",
    "view transitions, 18": r"\bstartViewTransition\b",
    "scrollend, 26.2": r"[\"']scrollend[\"']",
    "setHTML, 26": r"\.setHTML(?:Unsafe)?\(",
    "moveBefore, not yet": r"\.moveBefore\(",
    "requestIdleCallback, not yet": r"(?<!\.)\brequestIdleCallback\(",
    "imports with types, 17.2": r"\bimport\b[^;\n]*\bwith\s*\{",
    "sets of characters in patterns, 17": r"/[dgimsuy]*v[dgimsuy]*\.(?:test|exec)\(",
}
STYLE = {
    "light-dark(), 17.5": r"\blight-dark\(",
    "nested rules, 16.5": r"(?m)^\s*&",
    "@starting-style, 17.5": r"@starting-style",
    "@scope, 17.4": r"@scope",
    "field-sizing, 26.2": r"field-sizing",
    "interpolate-size, not yet": r"interpolate-size",
    "anchors, 26": r"position-anchor|anchor\(",
    "popovers, 17": r":popover-open",
    ":user-valid, 16.5": r":user-(?:in)?valid",
    "colours from colours, 16.4 in part": r"\((?:from)\s",
    "align-content in blocks, 17.4": r"display:\s*block;[^}]*align-content",
    "user-select without its old name": r"(?<!-webkit-user-select: none;\n  )(?<!-)user-select",
    "masks without their old name": r"(?<!transparent\);\n  )(?<!-)mask-image",
}
PAGE = {
    "popovers, 17": r"\bpopover(?:target)?\b",
    "inline scripts": r"<script(?![^>]*\bsrc=)",
    "inline styles": r"\sstyle=",
}


def using(pattern: str, *endings: str) -> list[str]:
    """The files of our own in which a pattern stands outside comments. Libraries look before they use what is young."""
    own = [path for path in WEB.rglob("*") if path.name.endswith(endings) and "vendor" not in path.parts]
    assert own
    return [path.name for path in own if re.search(pattern, COMMENT.sub("", path.read_text("utf-8")))]


@pytest.mark.parametrize("name", SCRIPT)
def test_no_script_needs_a_younger_browser(name: str) -> None:
    assert using(SCRIPT[name], ".js") == []


@pytest.mark.parametrize("name", STYLE)
def test_no_style_needs_a_younger_browser(name: str) -> None:
    assert using(STYLE[name], ".css") == []


@pytest.mark.parametrize("name", PAGE)
def test_no_page_needs_a_younger_browser_or_a_laxer_policy(name: str) -> None:
    assert using(PAGE[name], ".html") == []
