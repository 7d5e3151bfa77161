"""Commands in this process."""

from __future__ import annotations

import pytest

from llmtrack.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0), *capsys.readouterr()
