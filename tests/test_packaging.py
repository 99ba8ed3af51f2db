"""The wheel: installed away from the repository it has the command, the weights and the page."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (made,) = out.glob("anyecg-*.whl")
    return made


def test_the_wheel_holds_weights_templates_and_scripts_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        "anyecg.py",
        "models/screener/screener.onnx",
        "models/screener/CARD.md",
        "cloud/console/templates/index.html",
        "cloud/console/static/strip.js",
        "cloud/console/static/style.css",
        "cloud/prints/pages.typ",
    }
    assert wanted <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
    assert sum(info.file_size for info in zipfile.ZipFile(wheel).infolist()) < 30_000_000


def test_the_installed_wheel_works_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = tmp_path / "env" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "-q", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # The dependencies are those of this environment, behind the wheel's own packages.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    code = "import anyecg, cloud, edge, firmware_bridge, models; print(anyecg.__file__, models.__file__)"
    where = subprocess.run([python, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert all(Path(name).is_relative_to(site) for name in where.stdout.split())
    command = [tmp_path / "env" / "bin" / "anyecg", "analyze", "excerpt", "--to", "20", "--json"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
