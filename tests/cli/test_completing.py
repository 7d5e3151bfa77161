"""The Tab key: what bash, zsh and fish are told, and where the completion is installed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmtrack.cli import main
from llmtrack.sample import sessions
from tests.cli.commands.reports.reading import as_jsonl


@pytest.fixture
def source(tmp_path: Path) -> str:
    return as_jsonl(tmp_path / "s.jsonl", sessions(now=datetime.now(UTC), users=12))


def tab(shell: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands on the screen after Tab at the end of this line."""
    words = line.split(" ")
    with monkeypatch.context() as patched:
        patched.setenv("_LLMTRACK_COMPLETE", f"complete_{shell}")
        patched.setenv("COMP_WORDS", line)
        patched.setenv("COMP_CWORD", str(len(words) - 1))
        patched.setenv("_TYPER_COMPLETE_ARGS", line)
        patched.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        with pytest.raises(SystemExit) as ended:
            main([])
    assert not ended.value.code
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_that_are_there_are_offered(
    shell: str, source: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offered(line: str) -> str:
        return tab(shell, f"llmtrack {line}", capsys, monkeypatch)

    groups = offered(f"sessions --source {source} --group d")
    assert "deep-70b" in groups
    assert "base-7b" not in groups
    assert "production_v1" in offered(f"funnel --source {source} --experiment p")
    assert offered(f"replay --source {source} user").count("user_") > 5
    assert "engagement" in offered("eng")
    assert "--min-" not in offered("engagement --gr")
    assert "--group" in offered("engagement --gr")


@pytest.mark.parametrize("words", ["--source nowhere.jsonl --group ", "--group "])
def test_what_cannot_be_read_offers_nothing(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MONGODB_URI", raising=False)
    monkeypatch.setenv("LLMTRACK_DATA_DIR", str(tmp_path / "data"))
    assert tab("bash", f"llmtrack sessions {words}", capsys, monkeypatch).strip() == ""
    assert not (tmp_path / "data" / "embedded.json").exists(), "no server is started for a Tab"


@pytest.mark.parametrize(
    ("shell", "file"),
    [("bash", ".bashrc"), ("zsh", ".zfunc/_llmtrack"), ("fish", ".config/fish/completions/llmtrack.fish")],
)
def test_it_is_installed_for_the_shell_that_runs(
    shell: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))
    with pytest.raises(SystemExit) as ended:
        main(["--install-completion"])
    assert not ended.value.code
    assert "llmtrack" in (tmp_path / file).read_text()
    assert f"{shell} completion installed in " in capsys.readouterr().out
