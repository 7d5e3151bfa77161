"""Documents that no tracker writes: any BSON type anywhere, as hypothesis invents them."""

from __future__ import annotations

from datetime import datetime

import bson
from hypothesis import strategies as st

DATES = st.datetimes(datetime(1970, 1, 2), datetime(2090, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1).map(bson.Int64),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    DATES,
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1000, max_value=1000).map(bson.Decimal128),
    st.sampled_from([bson.MinKey(), bson.MaxKey(), bson.Regex("^a", "i"), bson.Timestamp(3, 1)]),
)
KEYS = st.text(st.characters(exclude_characters="\0$.", exclude_categories=["Cs"]), min_size=1, max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
EVENTS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"t": st.one_of(st.integers(10**12, 17 * 10**11), st.floats(1e12, 1.7e12), DATES, SCALARS)},
            optional={
                "type": st.sampled_from(["prompt", "copy", "x"]) | SCALARS,
                "n": st.integers(1, 5) | SCALARS,
                "data": VALUES | st.dictionaries(st.sampled_from(["text", "latency_ms", "mine"]), VALUES, max_size=3),
            },
        ),
        VALUES,
    ),
    max_size=4,
)
ODD = st.fixed_dictionaries(
    {"start_time": st.just("2024-10-27T10:00:00Z") | st.just(datetime(2024, 10, 27, 10)), "events": EVENTS},  # noqa: DTZ001
    optional={"environment": VALUES, "user_id": VALUES, "model_group": VALUES, "end_time": VALUES, "zeta": VALUES},
)
