"""What is served is what was learned: every network as an ONNX file beside its weights in torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch  # noqa: TID251 - networks under test
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.encoder import Size
from models.anyecg.export import (
    OneBeats,
    OneDense,
    OneRhythm,
    export_beats,
    export_dense,
    export_rhythm,
)
from models.anyecg.labels import BEATS, MORPHOLOGY, RHYTHMS, TOKEN
from models.anyecg.net import BeatNet, DenseNet, RhythmNet
from models.anyecg.shapes import WIDTH

ROOT = Path(__file__).resolve().parents[3]
TINY = Size((2, 4), (6, 6, 8, 10))
SCALE, OFFSET = (0.8, 1.1, 0.6), (-0.4, 0.2, 0.1)
METADATA = {"name": "localizer", "version": "0", "fs": 128.0, "thresholds": {"S": 0.4}}
LENGTHS = (256, 1280, 7680)  # samples: 2 s, 10 s, 60 s
Learned = Callable[[nn.Module], nn.Module]


def run(path: Path, **inputs: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})


def same(found: Sequence[np.ndarray], wanted: Sequence[Tensor]) -> None:
    for mine, its in zip(found, wanted, strict=True):
        assert mine.shape == tuple(its.shape)
        np.testing.assert_allclose(mine, its.numpy(), atol=1e-4)


def metadata_of(path: Path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


def ecg(leads: int, samples: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(leads + samples)
    return {
        "signal": torch.randn(leads, samples, generator=generator),
        "lead": torch.arange(leads),
        "gain": torch.randn(leads, generator=generator),
    }


@pytest.fixture(scope="module")
def nets(learned: Learned) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "dense": learned(DenseNet(TINY)),
        "rhythm": learned(RhythmNet(TINY, hidden=6)),
        "beats": nn.ModuleList(learned(BeatNet(hidden=6)) for _ in range(3)),
    }


@pytest.fixture(scope="module")
def folder(nets: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(nets, tmp_path_factory.mktemp("exported"))


def exported(nets: dict[str, nn.Module], folder: Path) -> Path:
    export_dense(nets["dense"], folder / "dense.onnx", METADATA)
    export_rhythm(nets["rhythm"], folder / "rhythm.onnx", SCALE, OFFSET, METADATA)
    export_beats(list(nets["beats"]), folder / "beats.onnx", METADATA)
    return folder


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("leads", [1, 2, 12])
def test_the_dense_network(folder: Path, nets: dict[str, nn.Module], leads: int, samples: int) -> None:
    given = ecg(leads, samples)
    with torch.no_grad():
        wanted = OneDense(nets["dense"])(*given.values())
    peak, beat, tokens = found = run(folder / "dense.onnx", **given)
    same(found, wanted)
    assert peak.shape == (samples // 4,)
    assert tokens.shape == (samples // TOKEN, TINY.joint[3])
    np.testing.assert_allclose(np.exp(beat).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("leads", [1, 2, 12])
def test_the_rhythm_network(folder: Path, nets: dict[str, nn.Module], leads: int, samples: int) -> None:
    given = ecg(leads, samples)
    rr = torch.randn(samples // TOKEN, RhythmNet.RR, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits = nets["rhythm"](*(x[None] for x in (*given.values(), rr)))[0]
        wanted = OneRhythm(nets["rhythm"], SCALE, OFFSET)(*given.values(), rr)
    (rhythm,) = found = run(folder / "rhythm.onnx", **given, rr=rr)
    same(found, [wanted])
    same(found, [torch.sigmoid(logits * torch.tensor(SCALE) + torch.tensor(OFFSET))])
    assert rhythm.shape == (samples // 64, len(RHYTHMS))


@pytest.mark.parametrize("beats", [1, 5, 72])
@pytest.mark.parametrize("leads", [1, 2, 12])
def test_the_mean_of_several_beat_classifiers(
    folder: Path, nets: dict[str, nn.Module], leads: int, beats: int
) -> None:
    generator = torch.Generator().manual_seed(beats)
    shapes = torch.randn(beats, leads, 2, WIDTH, generator=generator)
    numbers = torch.randn(beats, leads, BeatNet.SHAPE, generator=generator)
    rr = torch.randn(beats, BeatNet.RR, generator=generator)
    with torch.no_grad():
        each = [net(shapes[None], numbers[None], rr[None]) for net in nets["beats"]]
        wanted = OneBeats(nets["beats"])(shapes, numbers, rr)
    found = run(folder / "beats.onnx", shapes=shapes, numbers=numbers, rr=rr)
    same(found, wanted)
    same(found, [torch.stack([torch.log_softmax(o[i][0], -1) for o in each]).mean(0) for i in (0, 1)])
    assert [x.shape for x in found] == [(beats, len(BEATS)), (beats, len(MORPHOLOGY))]


def test_a_beat_classifier_without_signal_listens_to_the_intervals_alone(nets: dict[str, nn.Module]) -> None:
    net = nets["beats"][0]
    rr = torch.randn(2, 9, BeatNet.RR, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        beat, morphology = net(None, None, rr)
        other, _ = net(None, None, rr.flip(0))
    assert (beat.shape, morphology.shape) == ((2, 9, len(BEATS)), (2, 9, len(MORPHOLOGY)))
    torch.testing.assert_close(other, beat.flip(0))
    assert (beat[0] - beat[1]).abs().max() > 1e-3


def test_the_files_carry_what_a_reader_must_know(folder: Path) -> None:
    labels = {"dense": {"beats": BEATS}, "rhythm": {"rhythms": RHYTHMS}}
    labels["beats"] = {"beats": BEATS, "morphology": MORPHOLOGY}
    for name, own in labels.items():
        metadata = metadata_of(folder / f"{name}.onnx")
        assert (metadata["name"], metadata["version"], metadata["fs"]) == ("localizer", "0", "128.0")
        assert json.loads(metadata["thresholds"]) == {"S": 0.4}
        assert {key: tuple(json.loads(metadata[key])) for key in own} == own


def test_the_same_weights_are_the_same_bytes_and_nothing_lies_beside_them(
    folder: Path, nets: dict[str, nn.Module], tmp_path: Path
) -> None:
    export_rhythm(nets["rhythm"], tmp_path / "rhythm.onnx", SCALE, OFFSET, METADATA)
    assert (tmp_path / "rhythm.onnx").read_bytes() == (folder / "rhythm.onnx").read_bytes()
    assert {path.name for path in folder.iterdir()} == {"dense.onnx", "rhythm.onnx", "beats.onnx"}


def test_no_file_says_where_it_was_made(folder: Path) -> None:
    paths = [ROOT, Path(torch.__file__).parent, folder, Path.home()]
    for file in folder.iterdir():
        content = file.read_bytes()
        assert [path for path in paths if str(path).encode() in content] == []
        assert b".py" not in content
