"""The vendored libraries are what VENDOR.json says they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import llmtrack

VENDOR = Path(llmtrack.__file__).parent / "web" / "assets" / "vendor"
LISTED = json.loads((VENDOR / "VENDOR.json").read_text("utf-8"))


def test_every_file_is_the_one_that_was_vendored() -> None:
    for entry in LISTED:
        assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"], entry["file"]


def test_no_file_is_unlisted() -> None:
    files = {str(path.relative_to(VENDOR).as_posix()) for path in VENDOR.rglob("*") if path.is_file()}
    assert files - {"VENDOR.json"} == {entry["file"] for entry in LISTED}


def test_every_library_says_its_version_and_keeps_its_licence() -> None:
    for entry in LISTED:
        assert entry["version"]
        assert entry["licence"]
    for name in {entry["name"] for entry in LISTED}:
        folders = {Path(entry["file"]).parts[0] for entry in LISTED if entry["name"] == name}
        assert [folder for folder in folders if not (VENDOR / folder / "LICENSE").is_file()] == []
