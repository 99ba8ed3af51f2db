"""The decoder that is served says what transformers says, from the start or going on from a cache."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch  # noqa: TID251 - networks under test

from models.anyecg.chat.export import export_small
from models.anyecg.chat.net import EcgChat, small
from models.anyecg.chat.prompt import lay_out
from models.anyecg.chat.runtime import OnnxDecoder
from models.anyecg.chat.tokenizer import CONTENT, ECG, ECG_END, learn

WORDS = learn(["a4 RATE 72\nReport: mean rate 72/min [a4].\nHow fast is it?"] * 5)
WIDTH = 6
SHAPE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3}
METADATA = {"name": "chat", "version": "0", "fs": 1.0, "data_sha256": "0", "licence": "Apache-2.0"}
MOST_MB = 30
PLACEHOLDERS = [WORDS.one(name) for name in (ECG, CONTENT, ECG_END)]


@pytest.fixture(scope="module")
def net() -> EcgChat:
    torch.manual_seed(3)
    net = small(WORDS, WIDTH, **SHAPE).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5).add_(torch.randn_like(parameter) * 0.02)  # as if it had learned
    return net


@pytest.fixture(scope="module")
def folder(net: EcgChat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export_small(net, folder, METADATA)
    return folder


def conversation(*seconds: int) -> tuple[np.ndarray, list[np.ndarray]]:
    generator = np.random.default_rng(seconds)
    ecgs = [generator.normal(size=(s, WIDTH)).astype(np.float32) for s in seconds]
    turns = (("How fast is it?", "measure RATE\nmean rate 72/min [a4]."),)
    return lay_out(WORDS, ecgs, ["a4 RATE 72"] * len(seconds), turns).ids, ecgs


def read_in(folder: Path, ids: np.ndarray, ecgs: list[np.ndarray], cuts: list[int]) -> list[np.ndarray]:
    """Logits at the end of each piece."""
    decoder = OnnxDecoder(folder)
    given = np.zeros((len(ids), SHAPE["hidden_size"]), dtype=np.float32)
    given[np.isin(ids, PLACEHOLDERS)] = np.concatenate([decoder.connect(ecg) for ecg in ecgs])
    cache, found = decoder.nothing(), []
    for first, last in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        logits, cache = decoder.read(ids[first:last], given[first:last], cache)
        found.append(logits)
    return found


@pytest.mark.parametrize("seconds", [(1,), (10,), (60,), (300,), (10, 60, 5, 1, 30, 20)])
@pytest.mark.parametrize("cuts", [[], [1], [7, 8, 9, 20]])
def test_the_decoder_equals_transformers(
    net: EcgChat, folder: Path, seconds: tuple[int, ...], cuts: list[int]
) -> None:
    ids, ecgs = conversation(*seconds)
    with torch.no_grad():
        wanted = net.logits(torch.from_numpy(ids)[None], [torch.from_numpy(ecg) for ecg in ecgs])[0].numpy()
    found = read_in(folder, ids, ecgs, cuts)
    for last, logits in zip([*cuts, len(ids)], found, strict=True):
        np.testing.assert_allclose(logits, wanted[last - 1], atol=1e-3, rtol=0)
    assert np.ptp(found[-1]) > 0.1  # it does say something


def test_what_was_read_before_is_not_changed_by_going_on(folder: Path) -> None:
    decoder = OnnxDecoder(folder)
    _, cache = decoder.read(np.array([20, 21, 22]), None, decoder.nothing())
    first, _ = decoder.read(np.array([30, 31]), None, cache)
    decoder.read(np.array([40]), None, cache)
    again, _ = decoder.read(np.array([30, 31]), None, cache)
    np.testing.assert_array_equal(first, again)


def test_the_files_carry_what_a_reader_must_know_and_not_where_they_were_made(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"connector.onnx", "decoder.onnx"}
    for path in folder.iterdir():
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        assert {key: json.loads(metadata[key]) for key in ("fs", "version")} == {"fs": 1.0, "version": 0}
        assert (metadata["name"], metadata["licence"]) == ("chat", "Apache-2.0")
        assert b".py" not in path.read_bytes()


def test_the_shipped_size_fits_into_a_file(tmp_path: Path) -> None:
    export_small(small(WORDS, 128, vocab_size=1024), tmp_path, METADATA)
    assert all(path.stat().st_size < MOST_MB * 1e6 for path in tmp_path.iterdir())
