"""Sessions as they happen: new events of one session, or sessions that begin and end. Asks the database each second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from llmtrack.cli.drawing.formats import as_json
from llmtrack.cli.drawing.numbers import duration, many
from llmtrack.cli.listed import Sort, rows, summaries
from llmtrack.session.cleaning.clean import Visit, one
from llmtrack.session.filters import Filters
from llmtrack.sessions import Sessions

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment
    from llmtrack.cli.replay.plain import Screen
    from llmtrack.config import Settings
    from llmtrack.store.sources.source import Source

POLL_S = 1.0
MOST = 1000  # sessions that are looked at when it begins
LATE = timedelta(minutes=1)  # a session may be stored so long after its start
EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
Sleep = Callable[[float], None]


def versions(
    source: Source, settings: Settings, session_id: str, sleep: Sleep
) -> Iterator[tuple[Visit, dict[str, Any]]]:
    """The session now, and again whenever something happened, until it has ended or is gone."""
    seen: object = None
    while True:
        mark = source.marks([session_id]).get(session_id)
        if mark != seen:
            document = source.get(session_id)
            if document is None:
                return
            visit = one(document, datetime.now(UTC), settings.rules)
            yield visit, document
            if not visit.session["open"]:
                return
        elif mark is None:
            return
        seen = mark
        sleep(POLL_S)


class Fresh:
    """Tells of a session's moments those that were not there before, whatever came late and shifted the others."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def of(self, moments: Sequence[Moment]) -> list[Moment]:
        """The new ones, in order."""
        here: Counter[str] = Counter()
        new = []
        for moment in moments:
            key = f"{moment.event['type']} {as_json(moment.event['data'])}"
            here[key] += 1
            if here[key] > self._seen[key]:
                new.append(moment)
        self._seen |= here
        return new


def follow(
    source: Source,
    settings: Settings,
    session_id: str,
    chosen: Callable[[Visit], list[Moment]],
    screen: Screen,
    sleep: Sleep,
) -> None:
    """Print what happened so far, and then each event as it comes in, until the session ends."""
    from llmtrack.cli.replay.facts import ending, facts, length_s, numbers, spent
    from llmtrack.cli.replay.sentences import tell

    fresh, told = Fresh(), False
    latest: tuple[Visit, dict[str, Any]] | None = None
    for visit, document in versions(source, settings, session_id, sleep):
        latest = visit, document
        if not told:
            screen.facts(facts(visit, numbers(visit), datetime.now(UTC)))
            told = True
        sentences = tell(visit.events, visit.session["environment"])
        for moment in fresh.of(chosen(visit)):
            screen.moment(moment, sentences[moment.number - 1])
        screen.console.file.flush()
    if latest is None or latest[0].session["open"]:
        screen.remark("the session is gone from the database")
        return
    visit, document = latest
    known = numbers(visit)
    screen.drawing.length_s = length_s(visit)
    screen.end(ending(document, known), spent(known), None)


def begun_and_ended(sessions: Sessions, sleep: Sleep) -> Iterator[str]:
    """A line whenever a session of these begins, and when it ends; those that are open now come first."""
    source, wanted = sessions.source, sessions.filters.listed()
    marks: dict[str, object] = {}
    since, known, first = wanted.since, set[str](), True
    while True:
        now = datetime.now(UTC)
        heads = source.newest(replace(wanted, since=since), MOST)
        new = {head.session_id for head in heads} - known
        known |= new
        before, marks = marks, source.marks([*marks, *new])
        changed = frozenset(each for each in marks if marks[each] != before.get(each))
        for row in _rows(sessions, changed, now):
            session_id, over = row["session_id"], not row["open"]
            if session_id in new and not (first and over):
                yield f"{row['start_time']:%H:%M:%S}  began  {row['model_group']}  {row['device']}  {session_id}"
            if over:
                del marks[session_id]
            if over and not first:
                yield f"{row['end_time']:%H:%M:%S}  ended  {_numbers(row)}  {session_id}"
        if heads:
            since = max(since or EARLIEST, heads[0].start_time - LATE)
        first = False
        sleep(POLL_S)


def _rows(sessions: Sessions, ids: frozenset[str], now: datetime) -> list[dict[str, Any]]:
    """These sessions with their numbers, the oldest first."""
    asked = Sessions(sessions.source, sessions.settings, Filters(ids=ids, bots=True), now)
    return rows(summaries(asked)[0], Sort.start, 0)[::-1] if ids else []


def _numbers(row: dict[str, Any]) -> str:
    asked = many(int(row["prompts"]), "prompt")
    return f"{duration(row['duration_s'])}, {asked}, {row['exit_reason'].replace('_', ' ')}"
