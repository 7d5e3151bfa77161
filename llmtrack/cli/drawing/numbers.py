"""Numbers as people read them: amounts with units, shares, intervals, changes, p values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

_TIMES = (  # from so many seconds in a unit of so many
    (172_000, 86400, "days"),
    (5970, 3600, "h"),
    (99.5, 60, "min"),
    (-math.inf, 1, "s"),
)


def duration(seconds: float | None) -> str:
    """A length of time in one unit; "-" when missing.

    >>> [duration(s) for s in (0.25, 18.2, 75, 148, 240, 930, 7500, 86400, 200_000, None)]
    ['0.3 s', '18.2 s', '75 s', '2.5 min', '4 min', '15.5 min', '2.1 h', '24 h', '2.3 days', '-']
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    scale, unit = _scale(seconds, "s")
    value = seconds / scale
    tenths = _half_up(value * 10) / 10
    return f"{tenths:g}{unit}" if abs(tenths) < 20 else f"{_half_up(value)}{unit}"


def size(count: int) -> str:
    """Bytes.

    >>> size(0), size(820), size(27_400), size(9_130_000), size(48_000_000_000)
    ('0 kB', '0.8 kB', '27 kB', '9.1 MB', '48,000 MB')
    """
    value, unit = (count / 1e6, "MB") if count >= 999_500 else (count / 1e3, "kB")
    return f"{value:.1f} {unit}" if 0 < value < 9.95 else f"{value:,.0f} {unit}"


def amount(value: float | None, unit: str, like: float | None = None) -> str:
    """A number with its unit: "share" as percent, times in minutes or hours when they are as long as `like` (itself).

    >>> amount(2.7312, "per session"), amount(0.39, "share"), amount(2050, "ms"), amount(90, "s", like=150)
    ('2.73', '39 %', '2,050 ms', '1.50 min')
    """
    if unit == "share":
        return percent(value)
    if value is None or not math.isfinite(value):
        return "-"
    scale, shown = _scale(value if like is None else like, unit)
    return f"{_number(value / scale)}{shown}"


def amounts(interval: Sequence[float | None] | None, unit: str, like: float | None = None) -> str:
    """An interval with its unit.

    >>> amounts((2.5, 3), "per session"), amounts((100, 130), "s"), amounts((math.nan, 1), "s")
    ('2.50-3.00', '1.67-2.17 min', '-')
    """
    if unit == "share":
        return percents(interval)
    low, high = interval or (None, None)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    scale, shown = _scale(high if like is None else like, unit)
    return f"{_number(low / scale)}-{_number(high / scale)}{shown}"


def _scale(value: float, unit: str) -> tuple[float, str]:
    if unit == "s":
        return next((float(size), f" {name}") for least, size, name in _TIMES if value >= least)
    return 1.0, f" {unit}" if unit in ("ms", "px") else ""


def _number(value: float) -> str:
    """Three digits that count, or all before the point."""
    size = abs(value)
    if size >= 99.5:
        return f"{value:,.0f}"
    return f"{value:.3f}" if 0 < size < 0.9995 else f"{value:.2f}" if size < 9.995 else f"{value:.1f}"


def percent(share: float | None) -> str:
    """A share of 0 to 1; a decimal where it says something.

    >>> [percent(share) for share in (0.391, 0.0207, 0.996, 1, 0, None)]
    ['39 %', '2.1 %', '99.6 %', '100 %', '0 %', '-']
    """
    return "-" if share is None or not math.isfinite(share) else f"{_digits(share)} %"


def percents(interval: Sequence[float | None] | None) -> str:
    """An interval of shares.

    >>> percents((0.27, 0.529)), percents((0.914, 1.0)), percents((None, None))
    ('27-53 %', '91-100 %', '-')
    """
    low, high = interval or (None, None)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return f"{_digits(low)}-{_digits(high)} %"


def change(value: float | None, unit: str = " %") -> str:
    """A difference of shares with its sign.

    >>> change(0.391), change(-0.05), change(float("inf")), change(2.5)
    ('+39 %', '-5 %', '-', '+250 %')
    """
    return "-" if value is None or not math.isfinite(value) else f"{_signed(value)}{unit}"


def changes(interval: Sequence[float | None] | None, unit: str = " %") -> str:
    """An interval of differences of shares.

    >>> changes((0.27, 0.529)), changes((-0.1, 0.004))
    ('+27 to +53 %', '-10 to +0.4 %')
    """
    low, high = interval or (None, None)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return f"{_signed(low)} to {_signed(high)}{unit}"


def probability(p: float | None) -> str:
    """A p value.

    >>> probability(0.0004), probability(0.0312), probability(0.8)
    ('<.001', '.031', '.80')
    """
    if p is None or not math.isfinite(p):
        return "-"
    if p < 0.001:
        return "<.001"
    return (f"{p:.3f}" if p < 0.0995 else f"{p:.2f}").removeprefix("0")


def _digits(share: float) -> str:
    value = 100 * share
    fine = 0 < value < 9.95 or 99 < value < 99.95
    return f"{value:.1f}" if fine else f"{value:.0f}"


def _signed(share: float) -> str:
    value = 100 * share
    shown = f"{abs(value):.1f}" if 0 < abs(value) < 0.95 else f"{abs(value):.0f}"
    return "0" if float(shown) == 0 else ("-" if value < 0 else "+") + shown


def clock(seconds: float) -> str:
    """A position in a session.

    >>> [clock(s) for s in (0, 12.34, 75, 3723.4)]
    ['0:00.0', '0:12.3', '1:15.0', '1:02:03.4']
    """
    sign, tenths = ("-" if seconds < -0.05 else ""), _half_up(abs(seconds) * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{sign}{start}:{tenths // 10:02}.{tenths % 10}"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in one unit: "now", "5 min ago", "3 h ago", "2 days ago", or the date after 30 days."""
    if moment is None:
        return "-"
    seconds = (now - moment).total_seconds()
    if seconds < 0 or seconds >= 30 * 86400:
        return f"{moment:%Y-%m-%d}"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {'day' if unit == 'days' and count == 1 else unit} ago"
    return "now"


def many(count: int, one: str, more: str = "") -> str:
    """A count with its noun.

    >>> many(1, "prompt"), many(1234, "prompt"), many(2, "copy", "copies")
    ('1 prompt', '1,234 prompts', '2 copies')
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)
