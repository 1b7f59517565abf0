"""The scripts of docs/scale: they are what their schedulers take, and call mien as it is."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mien.cli import app

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "scale"


def manifests() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8")))


def test_kubernetes_takes_the_manifests() -> None:
    validator = pytest.importorskip("kubernetes_validate")
    found = manifests()
    assert [one["kind"] for one in found] == ["Service", "Job", "Service", "Deployment", "Deployment"]
    for manifest in found:
        validator.validate(manifest, "1.31", strict=True)
    found[1]["spec"]["paralelism"] = 2
    with pytest.raises(validator.ValidationError):
        validator.validate(found[1], "1.31", strict=True)


def test_labels_and_names_of_the_manifests_belong_together() -> None:
    service, job, dask, scheduler, worker = manifests()
    assert service["spec"]["selector"] == job["spec"]["template"]["metadata"]["labels"]
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert dask["spec"]["selector"] == scheduler["spec"]["template"]["metadata"]["labels"]
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert f"tcp://{dask['metadata']['name']}:{dask['spec']['ports'][0]['port']}" in container["command"]


def test_shell_and_options_of_the_slurm_script() -> None:
    path = FOLDER / "slurm.sh"
    subprocess.run(["bash", "-n", str(path)], check=True)
    told = re.findall(r"^#SBATCH --([a-z-]+)=?(\S*)$", path.read_text("utf-8"), re.MULTILINE)
    assert dict(told)["nodes"] == "2"
    assert all(re.fullmatch(r"[a-z-]+", name) for name, _ in told)


def test_what_they_run_is_torchrun_and_mien() -> None:
    from torch.distributed.run import get_args_parser

    (args,) = manifests()[1]["spec"]["template"]["spec"]["containers"][0]["args"]
    words = shlex.split(re.sub(r"\$\(.*?\)", "true", args).replace("exec ", ""))
    parsed = get_args_parser().parse_args(words[1:])
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.training_script) == ("2", "4", "mien")
    assert parsed.module
    for option in (word for word in parsed.training_script_args if word.startswith("--")):
        names = {name for argument in app["train"].assemble_argument_collection() for name in argument.names}
        assert option in names
