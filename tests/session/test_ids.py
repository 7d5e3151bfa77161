"""An id has one text, and that text finds every stored form of it: on a real server, too."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtrack.session.filters import Filters
from llmtrack.session.ids import name, unnamed
from llmtrack.store.database.query import stored_names
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.mongo import MongoSource

ID = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
TEXTS = [
    ("user-7", "user-7"),
    (7, "7"),
    (Int64(1234567890123456789), "1234567890123456789"),
    (-(2**63), "-9223372036854775808"),
    (43.0, "43"),
    (-0.0, "0"),
    (0.1, "0.1"),
    (1e-7, "0.0000001"),
    (1e22, "1" + 22 * "0"),
    (Decimal128("43.00"), "43"),
    (Decimal128("-0E+3"), "0"),
    (Decimal128("1.50"), "1.5"),
    (Decimal128("1E+3"), "1000"),
    (True, "true"),
    (False, "false"),
    (Binary(ID.bytes, 4), str(ID)),
    (Binary(ID.bytes, 3), str(ID)),
    (ObjectId("507f1f77bcf86cd799439011"), "507f1f77bcf86cd799439011"),
]
NONE = [None, "", float("nan"), float("inf"), Decimal128("NaN"), b"x", Binary(b"x" * 16, 0), {}, {"id": 5}, [1]]
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.integers(-50, 50),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**6), 10**6).map(float),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=4)
    .filter(lambda value: len(value.as_tuple().digits) <= 34)
    .map(Decimal128),
)
IDS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8),
    NUMBERS,
    NUMBERS.map(name),
    st.booleans(),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.tuples(st.uuids(), st.sampled_from([3, 4])).map(lambda drawn: Binary(drawn[0].bytes, drawn[1])),
)


@pytest.mark.parametrize(("stored", "text"), TEXTS, ids=repr)
def test_each_type_of_id_has_one_text(stored: Any, text: str) -> None:
    assert name(stored) == text
    assert not unnamed(stored)


@pytest.mark.parametrize("stored", [*NONE, datetime(2026, 1, 1, tzinfo=UTC), bson.Code("x"), bson.MinKey()], ids=repr)
def test_what_is_no_id_has_no_text(stored: Any) -> None:
    assert name(stored) is None
    assert unnamed(stored) == (stored not in (None, ""))


@settings(max_examples=300)
@given(IDS)
def test_every_form_of_a_text_reads_as_that_text(stored: Any) -> None:
    text = name(stored)
    assert text is not None
    assert {name(form) for form in stored_names(text)} == {text}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=st.lists(IDS, min_size=1, max_size=8))
def test_a_text_finds_on_a_server_what_reads_as_it(store: Store, stored: list[Any]) -> None:
    store.sessions.delete_many({})
    now = datetime(2026, 11, 1, tzinfo=UTC)
    store.sessions.insert_many(
        {"session_id": f"s{place}", "user_id": each, "model_group": each, "start_time": now, "events": []}
        for place, each in enumerate(stored)
    )
    source = MongoSource(store, "here")
    for text in {name(each) for each in stored}:
        right = {f"s{place}" for place, each in enumerate(stored) if name(each) == text}
        for filters in (Filters(user=text), Filters(group=text)):
            assert {document["session_id"] for document in source.documents(filters)} == right
        assert {
            found["session_id"] for found in store.sessions.find({"user_id": {"$in": stored_names(str(text))}})
        } == right


@pytest.mark.parametrize(("stored", "text"), TEXTS, ids=repr)
def test_a_session_is_found_by_its_id_as_it_is_shown(store: Store, stored: Any, text: str) -> None:
    store.sessions.insert_one({"session_id": stored, "start_time": datetime(2026, 11, 1, tzinfo=UTC), "events": []})
    source = MongoSource(store, "here")
    assert source.get(text) is not None
    assert [head.session_id for head in source.find(text[:3])] == [text]
    assert store.find(text) is not None


def test_numbers_near_each_other_stay_apart() -> None:
    near = [2**53, 2**53 + 1, Decimal128(Decimal(2**53) + Decimal("0.5"))]
    assert len({name(each) for each in near}) == 3
