"""What stands in deploy/ fits the project: commands, variables, files, ports, limits and figures."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.main import get_command

from llmtrack.cli import COMMANDS, app
from llmtrack.collector.telemetry.metrics import Metrics
from llmtrack.config import Settings, load_settings
from llmtrack.config.places import OTHERS
from llmtrack.session.schema import MAX_BODY_BYTES, MAX_COMPLETION_BYTES

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DEPLOY.iterdir())}
COMPOSE: dict[str, Any] = yaml.safe_load(FILES["compose.yaml"])
SERVICES = COMPOSE["services"]
UNITS = [name for name in FILES if name.endswith((".service", ".timer"))]
VARIABLE = re.compile(r"\b(?:LLMTRACK_[A-Z_]+|MONGODB_URI|OPENAI_[A-Z_]+)\b")


def instructions(name: str) -> list[list[str]]:
    """The words of each instruction of the Containerfile that has this name."""
    whole = re.sub(r"\\\n", " ", FILES["Containerfile"])
    return [line.split()[1:] for line in whole.splitlines() if line.split()[:1] == [name]]


def commands() -> dict[str, list[str]]:
    """Every call of llmtrack in deploy/ and in docs/deploying.md, by where it stands and what it says."""
    entry = json.loads(" ".join(instructions("ENTRYPOINT")[0]))
    found = {"Containerfile": entry + json.loads(" ".join(instructions("CMD")[0]))}
    found |= {f"compose.yaml, {name}": entry + of["command"] for name, of in SERVICES.items() if "command" in of}
    for unit in UNITS:
        found |= {f"{unit}: {call}": shlex.split(call) for call in re.findall(r"^Exec\w+=(.+)$", FILES[unit], re.M)}
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    names = "|".join(COMMANDS)
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S):
        for line in block.splitlines():
            call = re.search(rf"\bllmtrack ((?:{names})\b[^#|&]*)", line)
            if call:
                found[f"deploying.md: {line}"] = ["llmtrack", *shlex.split(call[1])]
    return found


@pytest.mark.parametrize("call", commands().values(), ids=commands())
def test_every_command_is_one_with_options_it_has(call: list[str]) -> None:
    assert Path(call[0]).name == "llmtrack"
    command = get_command(app).get_command(None, call[1])  # type: ignore[attr-defined]
    assert command is not None, call[1]
    command.make_context(call[1], call[2:])  # parses all of it and runs nothing


@pytest.mark.parametrize("name", FILES)
def test_every_variable_is_one_that_is_read(name: str) -> None:
    own = {name: variable for variable, name in OTHERS.items()}
    known = {own.get(key, f"LLMTRACK_{key.upper()}") for key in Settings.__struct_fields__} | {"LLMTRACK_CONFIG"}
    assert set(VARIABLE.findall(FILES[name])) - known == set()


def test_the_experiment_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTRACK_CONFIG", str(DEPLOY / "llmtrack.toml"))
    assert load_settings().experiment == "production_v1"


def test_what_compose_names_is_there() -> None:
    assert (DEPLOY / SERVICES["llmtrack"]["build"]["context"] / SERVICES["llmtrack"]["build"]["dockerfile"]).is_file()
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for source, target, *_ in (volume.split(":") for volume in service.get("volumes", ())):
            assert (DEPLOY / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]
            assert target.startswith("/")


def test_only_the_proxy_is_reached_from_outside_and_the_database_by_the_collector_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["caddy"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert [name for name, service in SERVICES.items() if "inside" in service["networks"]] == ["mongodb", "llmtrack"]
    assert SERVICES["llmtrack"]["environment"]["LLMTRACK_PROXY_HOPS"] == "1"


def test_every_secret_comes_from_a_file_that_the_example_describes() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", FILES["compose.yaml"]))
    assert wanted == set(re.findall(r"^(\w+)=", FILES[".env.example"], re.M))
    assert not re.search(r"(?i)(password|token|key): +[^$\s]", FILES["compose.yaml"])


def test_the_proxy_asks_where_the_collector_listens_and_lets_through_what_it_takes() -> None:
    service = SERVICES["llmtrack"]
    port = service["command"][service["command"].index("--port") + 1]
    assert f"reverse_proxy llmtrack:{port}" in FILES["Caddyfile"]
    assert f"127.0.0.1:{port}/healthz" in " ".join(service["healthcheck"]["test"])
    assert [[port]] == instructions("EXPOSE")
    sizes = dict(re.findall(r"request_body @(\w+) {\s+max_size (\w+)", FILES["Caddyfile"]))
    assert sizes == {
        "messages": f"{MAX_COMPLETION_BYTES // 1024**2}MiB",
        "others": f"{MAX_BODY_BYTES // 1024}KiB",
    }
    assert "@messages path /v1/chat/completions" in FILES["Caddyfile"]
    assert "@others not path /v1/chat/completions" in FILES["Caddyfile"]
    assert "{$SITE}" in FILES["Caddyfile"]
    assert "SITE" in SERVICES["caddy"]["environment"]


def test_the_image_is_made_of_files_that_are_there_and_runs_as_nobody_special() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for words in instructions("COPY"):
        for source in [word for word in words[:-1] if not word.startswith("--") and not words[0].startswith("--from")]:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
    assert instructions("USER") == [["llmtrack"]]
    assert [word for words in instructions("ENV") for word in words if "DATA" in word] == ["LLMTRACK_DATA_DIR=/data"]
    assert "data:/data" in SERVICES["llmtrack"]["volumes"]


@pytest.mark.parametrize("unit", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_writes_into_its_state_folder_only(unit: str) -> None:
    lines = FILES[unit].splitlines()
    wanted = ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "StateDirectory=llmtrack")
    assert set(wanted) <= set(lines)
    assert "Environment=LLMTRACK_DATA_DIR=%S/llmtrack" in lines


def test_alerts_ask_for_figures_that_are_told() -> None:
    class Spool:
        depth, age_s, refused, behind_s = 0, 0.0, 0, 0.0

    metrics = Metrics()
    metrics.spool = Spool()
    metrics.request("none", 404, 0.1)
    metrics.model.labels("g").observe(1)
    metrics.first_token.labels("g").observe(1)
    metrics.model_errors.labels("g", "failed").inc()
    families = text_string_to_metric_families(metrics.exposition().decode())
    told = {sample.name for family in families for sample in family.samples}
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    rules = [rule for group in yaml.safe_load(FILES["alerts.yaml"])["groups"] for rule in group["rules"]]
    for rule in rules:
        assert set(re.findall(r"llmtrack_\w+", rule["expr"])) <= told
        assert rule["annotations"]["summary"]
        assert rule["alert"] in page
    described = {name.removesuffix("_count") for name in told if not name.endswith(("_bucket", "_sum", "_created"))}
    assert described == set(re.findall(r"`(llmtrack_\w+)`", page))
