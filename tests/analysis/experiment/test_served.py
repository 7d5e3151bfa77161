"""Whether the model behind a group changed in mid-experiment, by hand."""

from __future__ import annotations

import random

import pytest

from llmtrack.analysis.health.report import Health
from llmtrack.analysis.health.result import Check
from tests.analysis.running import run
from tests.analysis.visits import Document, cleaned, in_batches, samples, turn, visit


def health(*documents: Document, by: str = "model_group") -> Check | None:
    checks = run(Health(by=by), cleaned(documents, Health().fields)).checks
    return next((each for each in checks if each.check == "model_changes"), None)


def answers(models: str, group: str = "a", **more: str) -> list[Document]:
    """One session an answer, an hour apart; a letter is the model, a space is an answer that names none."""
    return [
        visit(f"{group} {n}", *turn(0, **({"model": name} if name != " " else {}), **more), group=group,
              start_s=3600.0 * n)
        for n, name in enumerate(models)
    ]  # fmt: skip


CASES: dict[str, tuple[str, int, str, str]] = {
    # the models of one group in order of time, answers of models that came or went, status, in words
    "one model": ("x" * 200, 0, "ok", ""),
    "another from the half on": ("x" * 100 + "y" * 100, 200, "warning", " (a: x went, a: y came)"),
    "another at the end": ("x" * 170 + "y" * 50, 50, "warning", " (a: y came)"),
    "another at the beginning": ("x" * 50 + "y" * 170, 50, "warning", " (a: x went)"),
    "another in between": ("x" * 60 + "y" * 80 + "x" * 60, 80, "warning", " (a: y came and went)"),
    "a router": ("xyz" * 70, 0, "ok", ""),
    "a router with a rare model": (("x" * 9 + "y") * 40, 0, "ok", ""),
    "a router that loses one": ("xy" * 75 + "x" * 150, 75, "warning", " (a: y went)"),
    "too few of the other": ("x" * 161 + "y" * 39, 0, "ok", ""),
    "just enough of the other": ("x" * 160 + "y" * 40, 40, "warning", " (a: y came)"),
    "too small a share": ("x" * 4000 + "y" * 40, 0, "ok", ""),
    "too few answers": ("x" * 20 + "y" * 19, 0, "unchecked", ""),
    "nothing is named": (" " * 200, 0, "unchecked", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_of_the_model_behind_a_group(case: str) -> None:
    models, changed, status, told = CASES[case]
    of = len(models.replace(" ", ""))
    check = health(*answers(models))
    assert check is not None
    assert (check.status, check.finding) == (
        status, f"{changed} of {of} answers by models that came or went{told}"
    )  # fmt: skip
    assert check.value == (None if status == "unchecked" else pytest.approx(changed / of))
    assert bool(check.advice) == (status == "warning")


def test_each_group_has_its_own_models_and_one_change_is_told_of_one() -> None:
    check = health(*answers("x" * 100, "a"), *answers("y" * 60 + "z" * 60, "b"), *answers("z" * 100, "c"))
    assert check is not None
    assert check.finding.endswith("(b: y went, b: z came)")
    assert [(each.group, each.numerator, each.denominator) for each in check.groups] == [
        ("a", 0, 100), ("b", 120, 120), ("c", 0, 100)
    ]  # fmt: skip


def test_the_model_that_was_asked_is_not_the_one_that_answered() -> None:
    renamed = answers("x" * 60, asked_model="p") + answers("x" * 60, asked_model="q")[60:]
    assert health(*renamed).status == "ok"  # type: ignore[union-attr]
    behind = answers("x" * 60 + "y" * 60, asked_model="p")
    assert health(*behind).status == "warning"  # type: ignore[union-attr]


def test_an_answer_that_failed_was_given_by_no_model() -> None:
    failed = answers("y" * 60, error="503")
    late = [visit(f"late {n}", *turn(0, model="x"), start_s=400_000.0 + n) for n in range(60)]
    assert health(*failed, *late).finding.startswith("0 of 60 answers")  # type: ignore[union-attr]


def test_the_order_of_documents_and_batches_is_nothing() -> None:
    documents = answers("x" * 90 + "y" * 90)
    random.Random(7).shuffle(documents)
    whole = run(Health(), cleaned(documents, Health().fields))
    assert run(Health(), in_batches(documents, Health().fields, 7)) == whole
    assert whole.checks[-1].value == 1


def test_only_groups_of_models_have_one() -> None:
    assert health(*answers("x" * 50 + "y" * 50), by="device") is None
    check = health(*samples())
    assert check is not None
    assert (check.status, check.value) == ("ok", 0)
