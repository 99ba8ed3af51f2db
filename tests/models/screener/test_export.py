from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch  # noqa: TID251 - the network under test
from torch import nn  # noqa: TID251

from models.screener.export import Calibrated, export
from models.screener.labels import LABELS
from models.screener.net import ScreenerNet
from models.screener.runtime import Screener

ROOT = Path(__file__).resolve().parents[3]
OPERATING = {
    "scale": [0.8, 1.1, 0.6, 1.0, 0.9, 0.7],
    "offset": [-0.4, 0.2, 0.1, 0.0, -0.3, 0.5],
    "threshold": 0.37,
    "chosen": "for a test",
}


@pytest.fixture(scope="module")
def net(learned: Callable[[nn.Module], ScreenerNet]) -> ScreenerNet:
    torch.manual_seed(0)
    return learned(ScreenerNet())


@pytest.fixture(scope="module")
def path(net: ScreenerNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "screener.onnx"
    export(net, path, OPERATING, "0" * 64)
    return path


@pytest.mark.parametrize("samples", [256, 1280, 7680])
@pytest.mark.parametrize("leads", [1, 2, 12])
def test_the_file_says_what_the_network_says(net: ScreenerNet, path: Path, leads: int, samples: int) -> None:
    generator = torch.Generator().manual_seed(samples)
    x, gain = torch.randn(leads, samples, generator=generator), torch.randn(leads, generator=generator)
    lead = torch.arange(leads)
    with torch.no_grad():
        wanted = Calibrated(net, OPERATING["scale"], OPERATING["offset"])(x, lead, gain)
        logits = net(x[None], lead[None], gain[None])
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    window, tokens = session.run(None, {"signal": x.numpy(), "lead": lead.numpy(), "gain": gain.numpy()})
    assert tokens.shape == (samples // 32, len(LABELS))
    np.testing.assert_allclose(window, wanted[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(tokens, wanted[1].numpy(), atol=1e-4)
    by_hand = torch.sigmoid(0.8 * logits.window[0] - 0.4)
    assert float(window) == pytest.approx(float(by_hand), abs=1e-4)
    rhythm = torch.sigmoid(0.7 * logits.tokens[0, :, 4] + 0.5)  # the fifth label has the sixth scale
    np.testing.assert_allclose(tokens[:, 4], rhythm.numpy(), atol=1e-4)


def test_the_runtime_reads_threshold_labels_and_version_from_the_file(path: Path) -> None:
    screener = Screener(path)
    assert screener.threshold == OPERATING["threshold"]
    assert screener.labels == LABELS
    assert screener.token_s == 0.25
    assert screener.metadata["data_sha256"] == "0" * 64
    assert screener.metadata["chosen"] == "for a test"
    assert json.loads(screener.metadata["scale"]) == OPERATING["scale"]


def test_the_same_weights_are_the_same_bytes_with_no_place_of_making(
    net: ScreenerNet, path: Path, tmp_path: Path
) -> None:
    export(net, tmp_path / "again.onnx", OPERATING, "0" * 64)
    content = (tmp_path / "again.onnx").read_bytes()
    assert content == path.read_bytes()
    assert [
        p for p in (ROOT, Path(torch.__file__).parent, tmp_path, Path.home()) if str(p).encode() in content
    ] == []
    assert b".py" not in content
    assert [file.name for file in tmp_path.iterdir()] == ["again.onnx"]
