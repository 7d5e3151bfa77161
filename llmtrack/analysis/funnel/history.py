"""From frames to histories: the events that fit a step, by unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from llmtrack.analysis.experiment.population import in_several_groups
from llmtrack.analysis.funnel.moments import Bools, Floats, History, Ints, Marks, Rules, first_of_each
from llmtrack.analysis.funnel.steps import Alternative, Condition, Step
from llmtrack.analysis.parts import Part, compact
from llmtrack.errors import UsageError
from llmtrack.session.cleaning.batch import DATA
from llmtrack.session.cleaning.series import chats
from llmtrack.session.cleaning.visits import chats_of
from llmtrack.session.schema import CHAT
from llmtrack.session.tally import Tally

if TYPE_CHECKING:
    from llmtrack.analysis.frames import Frames

Unit = Literal["session", "chat", "user"]
By = Literal["model_group", "experiment_id", "device", "browser", "os", "model", "provider", "none"]

UNKNOWN: Final = "unknown"


class Question(NamedTuple):
    """What is asked of the frames: steps, excluded and declared events, unit and grouping."""

    rules: Rules
    steps: tuple[Step, ...]
    exclude: tuple[Alternative, ...]
    among: tuple[Alternative, ...]  # strict: the events that break a chain
    unit: Unit
    by: By

    @property
    def marked(self) -> list[tuple[int, tuple[Alternative, ...]]]:
        """Each bit of a mark and the events that get it."""
        bits = [(1 << i, step.alternatives) for i, step in enumerate(self.steps)]
        return [*bits, (self.rules.excluded, self.exclude), (self.rules.among, self.among)]


class Picked(NamedTuple):
    """The part of sessions that a funnel needs.

    `members`: a row a session, or a session's chat: unit, user_id, experiment_id, model_group, group, t (of the visit,
    epoch ms). `member`, `t` and `marks`: a row an event that fits a step, sorted by member and t.
    """

    members: pd.DataFrame
    member: npt.NDArray[np.int32]
    t: Floats
    marks: Marks


def pick(frames: Frames, question: Question) -> Part:
    """The sessions, the chats of them where chats are counted, and their events that fit a step.

    sessions: session_id, start_ms, user_id, experiment_id, model_group, group, t (of the visit, epoch ms). chats: a row
    a session's chat, or one for a session that names none (its document where that is a chat, else NaN). events: t,
    marks, and `place`: which chat of its session, from 0.
    """
    sessions, events = frames.sessions, frames.events
    session = events["session"].to_numpy()
    t = events["t"].to_numpy(dtype=np.float64)
    marks = marks_of(events, question)
    rows = np.flatnonzero(marks)
    place = np.zeros(len(rows), dtype=np.int64)
    tables = {}
    if question.unit == "chat":
        of_session, chat, row = _chats(events, session, len(sessions))
        rows = rows[np.argsort(row[rows], kind="stable")]
        place = row[rows] - np.searchsorted(of_session, session[rows])
        documents = chats_of({key: sessions[key].to_numpy() for key in ("session_id", "number", "of_chat")})
        named = pd.Series(chat).fillna(pd.Series(documents[of_session]))
        tables["chats"] = pd.DataFrame({"session": of_session, "chat": named.astype("str")})
    tables["events"] = pd.DataFrame({"session": session[rows], "place": place, "t": t[rows], "marks": marks[rows]})
    found = _sessions(sessions, session, t, question)
    return Part(found, {name: compact(table) for name, table in tables.items()}, Tally(len(sessions)))


def members_of(part: Part, question: Question) -> Picked:
    """The members of the units of a part."""
    sessions, events = part.sessions, part.tables["events"]
    session = events["session"].to_numpy()
    if question.unit == "chat":
        of_chats = part.tables["chats"]
        of_session = of_chats["session"].to_numpy()
        members = sessions.iloc[of_session].reset_index(drop=True)
        chat = of_chats["chat"].where(of_chats["chat"].notna(), "\0" + members["session_id"])
        members["unit"] = members["user_id"] + "\0" + chat  # an id of one's own chats may be another's
        member = np.searchsorted(of_session, session) + events["place"].to_numpy()
    else:
        members = sessions.assign(unit=sessions["user_id" if question.unit == "user" else "session_id"])
        member = session
    columns = ["unit", "user_id", "experiment_id", "model_group", "group", "t"]
    columns += ["nameless"] if "nameless" in members else []
    return Picked(
        members[columns], member.astype(np.int32), events["t"].to_numpy(), events["marks"].to_numpy(np.uint16)
    )


def history(picked: Picked, question: Question) -> tuple[pd.DataFrame, History]:
    """Units (a row each, by the number that the history calls them) and their history.

    A unit's group is that of its first visit. For chats and users, `several_groups` says that the user was seen in
    more than one model_group of an experiment; of sessions, only all rows together can tell.
    """
    members = picked.members
    if question.unit == "session":
        unit = np.arange(len(members), dtype=np.int32)
        units = members.drop(columns="t")
    else:
        code, _ = pd.factorize(members["unit"])
        unit = code.astype(np.int32)
        first = np.lexsort((members["t"].to_numpy(), unit))
        first = first[first_of_each(unit[first])]
        flagged = np.bincount(unit, weights=in_several_groups(members)) > 0
        units = members.iloc[first].assign(several_groups=flagged).drop(columns="t").reset_index(drop=True)
    return units, _with_visits(picked, unit, len(units), question)


def _sessions(sessions: pd.DataFrame, session: Ints, t: Floats, question: Question) -> pd.DataFrame:
    """A row a session, as `pick` describes it."""
    begins = np.flatnonzero(first_of_each(session))
    earliest = np.full(len(sessions), np.nan)
    earliest[session[begins]] = t[begins]
    return pd.DataFrame(
        {
            "session_id": sessions["session_id"],
            "start_ms": sessions["start_ms"],
            "user_id": _known(sessions["user_id"]),
            "experiment_id": _known(sessions["experiment_id"]),
            "model_group": _known(sessions["model_group"]),
            "group": "all" if question.by == "none" else _known(sessions[question.by]),
            # A visit begins no later than its first event, whatever clock wrote start_time.
            "t": np.fmin(sessions["start_ms"].to_numpy(dtype=np.float64), earliest),
        }
    )


def _known(values: pd.Series) -> pd.Series:
    missing = values.isna() | (values == "")
    return values.mask(missing, UNKNOWN) if missing.any() else values


def _with_visits(picked: Picked, unit: npt.NDArray[np.int32], n_units: int, question: Question) -> History:
    """The history in order of unit and t, with the starts of sessions where a step asks for them."""
    visit = sum(bit for bit, alternatives in question.marked if any(each.visit for each in alternatives))
    member, t, marks = picked.member, picked.t, picked.marks
    if visit:
        starts = picked.members["t"].to_numpy(dtype=np.float64)
        known = np.flatnonzero(~np.isnan(starts))
        # Before the events of its member: no event is earlier, so that members need no sorting.
        place = np.searchsorted(member, known)
        member = np.insert(member, place, known)
        t = np.insert(t, place, starts[known])
        marks = np.insert(marks, place, visit)
    units = unit[member]
    if question.unit != "session":
        order = np.lexsort((t, units))
        units, t, marks = units[order], t[order], marks[order]
    return History(units, t, marks, n_units)


def marks_of(events: pd.DataFrame, question: Question) -> Marks:
    """Bits of each event, as Rules defines them."""
    kind = events["type"]
    if not isinstance(kind.dtype, pd.CategoricalDtype):
        kind = kind.astype("category")
    codes, names = kind.cat.codes.to_numpy(), list(kind.cat.categories)
    bits = np.zeros(len(names) + 1, dtype=np.uint16)  # the last for code -1, an event without a type
    tested: list[tuple[int, Alternative]] = []
    for bit, alternatives in question.marked:
        for each in alternatives:
            if each.conditions:
                tested.append((bit, each))
            elif each.any:
                bits |= np.uint16(bit)
            elif each.type in names and not each.visit:
                bits[names.index(each.type)] |= np.uint16(bit)
    marks = bits[codes]
    for bit, each in tested:
        if each.any or each.type in names:
            rows = np.arange(len(codes)) if each.any else np.flatnonzero(codes == names.index(each.type))
            marks[rows[_hold(each.conditions, events, rows)]] |= np.uint16(bit)
    return marks


def _hold(conditions: Sequence[Condition], events: pd.DataFrame, rows: Ints) -> Bools:
    holds = np.ones(len(rows), dtype=np.bool_)
    for condition in conditions:
        holds &= _holds(condition, _nested(events, condition.field, rows))
    return holds


def _field(events: pd.DataFrame, name: str, rows: Ints | slice = slice(None)) -> pd.Series:
    """A data field of some events, from its own column or from the column of whole data objects."""
    if name in events:
        return events[name].iloc[rows]
    if DATA in events:
        return events[DATA].iloc[rows].map(lambda data: data.get(name))
    raise UsageError(
        f'The frames were read without the field "{name}".',
        f'Read them with fields=["{name}"]; needed_fields() names all that a funnel needs.',
    )


def _nested(events: pd.DataFrame, name: str, rows: Ints) -> pd.Series:
    """A data field of some events; a dotted one as it is called, else down the objects that it names."""
    root, *path = name.split(".")
    if not path:
        return _field(events, name, rows)
    whole = _field(events, name, rows) if name in events or DATA in events else None
    found = _field(events, root, rows).map(lambda value: _below(value, path))
    return found if whole is None else whole.where(whole.notna(), found)


def _below(value: Any, path: Sequence[str]) -> Any:
    """What lies under a path; of a list what lies under each of its members."""
    if not path:
        return value
    if isinstance(value, list):
        return [_below(member, path) for member in value]
    return _below(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def _holds(condition: Condition, values: pd.Series) -> Bools:
    number = condition.number
    if condition.operator != "~" and number is not None and values.dtype.kind in "iuf":
        compare = {"=": np.equal, "!=": np.not_equal, ">": np.greater, ">=": np.greater_equal}
        compare |= {"<": np.less, "<=": np.less_equal}
        return np.asarray(compare[condition.operator](values.to_numpy(dtype=np.float64), number), dtype=np.bool_)
    try:
        codes, different = pd.factorize(values)
    except TypeError:  # lists and objects cannot be told apart by hash
        return np.array([condition.holds(value) for value in values.tolist()], dtype=np.bool_)
    holds = np.array([*map(condition.holds, different.tolist()), condition.holds(None)], dtype=np.bool_)
    return holds[codes]


def _chats(events: pd.DataFrame, session: Ints, count: int) -> tuple[Ints, npt.NDArray[np.object_], Ints]:
    """The chats of each session, as (session, chat id) a row, and the row of each event; by the rule of `series.chats`.

    A session that names no chat, or has no event, is one chat without an id.
    """
    named = _field(events, CHAT)
    codes, ids = pd.factorize(named.where(named != ""))
    pair = session * (len(ids) + 1) + chats(codes.astype(np.int64), session) + 1
    mute = np.setdiff1d(np.arange(count), session) * (len(ids) + 1)
    pairs = np.unique(np.append(pair, mute))
    which, chat = np.divmod(pairs, len(ids) + 1)
    return which, np.array([*ids, None], dtype=object)[chat - 1], np.searchsorted(pairs, pair)
