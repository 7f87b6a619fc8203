"""What can be checked of deploy/ without a container engine and without systemd as init."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from realtime import config
from realtime.server.metrics import Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), continuation lines joined, comments gone."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def stages() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions():
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()
            found[name] = [("FROM", base)]
        elif found:
            found[name].append((word, rest))
    return found


def test_every_base_is_pinned_or_a_stage_of_our_own():
    arguments = dict(rest.split("=") for word, rest in instructions() if word == "ARG")
    names = set(stages())
    for steps in stages().values():
        base = steps[0][1]
        for name, value in arguments.items():
            base = base.replace("${" + name + "}", value)
        assert base in names or re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base), base


def test_both_variants_install_the_torch_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [torch] = [line for line in project["dependencies"] if line.startswith("torch==")]
    for variant in ("torch-cpu", "torch-cuda"):
        assert any(torch in rest for word, rest in stages()[variant] if word == "RUN")


def test_the_image_runs_serve_as_nobody_special_and_stops_by_sigterm():
    final = stages()["final"]
    assert ("CMD", '["voxwire", "serve"]') in final
    assert ("STOPSIGNAL", "SIGTERM") in final
    users = [rest for word, rest in final if word == "USER"]
    assert users and users[-1] not in ("0", "root")
    assert any(word == "HEALTHCHECK" and "/healthz" in rest for word, rest in final)


def test_what_the_image_copies_exists_but_for_the_built_environment():
    for steps in stages().values():
        for word, rest in steps:
            if word == "COPY" and not rest.startswith("--from="):
                for source in rest.split()[:-1]:
                    assert (ROOT / source).exists(), source


def test_the_healthcheck_is_python_that_compiles():
    [rest] = [rest for word, rest in stages()["final"] if word == "HEALTHCHECK"]
    code = re.search(r'"-c", "(.*)"\]', rest)[1]
    compile(code, "healthcheck", "exec")


def test_compose_keeps_ports_local_and_waits_longer_than_the_drain():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert {"voxwire", "voxwire-cuda", "prometheus"} <= set(services)
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for name in ("voxwire", "voxwire-cuda"):
        assert "command" not in services[name]  # the image's own
        assert services[name]["build"]["dockerfile"] == "deploy/Dockerfile"
        grace_s = int(services[name]["stop_grace_period"].removesuffix("s"))
        assert grace_s > config.load({}, {}).server.drain_timeout_s + 5
        variables = {key: "key" for key in services[name]["environment"]} | {"VOXWIRE_DEVICE": "cuda"}
        config.load({}, variables)


def test_prometheus_scrapes_a_service_of_compose_and_alerts_on_metrics_that_exist():
    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    [target] = scrape["scrape_configs"][0]["static_configs"][0]["targets"]
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert target.split(":")[0] in services
    for mount in services["prometheus"]["volumes"]:
        if mount.startswith("./"):
            assert (DEPLOY / mount.split(":")[0]).exists()
    exposed = Metrics().exposition()[0].decode()
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    used = {name for rule in rules for name in re.findall(r"voxwire_\w+", rule["expr"])}
    assert used
    for name in used:
        assert re.search(rf"^# TYPE {name.removesuffix('_bucket')} ", exposed, re.MULTILINE), name


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path):
    unit = (DEPLOY / "voxwire.service").read_text()
    (tmp_path / "voxwire.service").write_text(unit.replace("/opt/voxwire/bin/voxwire", sys.executable))
    drop_in = tmp_path / "voxwire.service.d"
    drop_in.mkdir()
    shutil.copy(DEPLOY / "voxwire-cuda.conf", drop_in / "cuda.conf")
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "voxwire.service")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr.strip()) == (0, "")


def test_the_unit_starts_the_same_command_and_lets_it_drain():
    unit = (DEPLOY / "voxwire.service").read_text()
    assert re.search(r"^ExecStart=\S+/voxwire serve --config ", unit, re.MULTILINE)
    assert (
        int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1])
        > config.load({}, {}).server.drain_timeout_s
    )
    assert re.search(r"^RestartPreventExitStatus=2$", unit, re.MULTILINE)


def test_the_sample_file_is_valid_as_it_is_and_lists_every_setting(tmp_path):
    text = (DEPLOY / "voxwire.toml").read_text()
    config.load({"config": str(DEPLOY / "voxwire.toml")}, {})
    active = tmp_path / "active.toml"
    active.write_text(re.sub(r"^#(\w+ = )", r"\1", text, flags=re.MULTILINE))
    tables = tomllib.loads(active.read_text())
    assert {(s, k) for s, table in tables.items() for k in table} == {
        (s.section, s.key) for s in config.SETTINGS
    }
    for setting in config.SETTINGS:
        if setting.section != "calls" and setting.key not in (
            "model",
            "allowed_origins",
            "api_keys",
            "api_keys_file",
        ):
            value = setting.kind.from_toml(tables[setting.section][setting.key])
            assert value == setting.default, setting.key


def test_operations_lists_every_setting_and_every_metric():
    page = (ROOT / "docs" / "operations.md").read_text()
    for setting in config.SETTINGS:
        assert f"`{setting.flat}`" in page, setting.flat
        row = next(line for line in page.splitlines() if line.startswith(f"| `{setting.flat}`"))
        assert f"| {setting.default_words} |" in row, row
    names = re.findall(r"^# TYPE (voxwire_\w+) ", Metrics().exposition()[0].decode(), re.MULTILINE)
    for name in names:
        assert f"`{name}`" in page, name
