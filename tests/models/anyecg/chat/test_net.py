"""ECGs in a prompt: every placeholder is filled, any language model will do, adapters are portable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID251 - a network under test
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.chat.net import (
    Connector,
    EcgChat,
    chat,
    load_adapter,
    load_llm,
    load_words,
    save_adapter,
    small,
    with_lora,
)
from models.anyecg.chat.prompt import UNLEARNED, Layout, lay_out
from models.anyecg.chat.tokenizer import CONTENT, ECG, ECG_END, MARKERS, PAD, Tokenizer, learn
from models.anyecg.chat.train import batch
from models.anyecg.encoder import Size
from models.anyecg.labels import TOKEN
from models.anyecg.net import DenseNet
from models.errors import UsageError

WORDS = learn(["a4 RATE 72\nReport: mean rate 72/min [a4].\nHow fast is it?"] * 5)
WIDTH = 6
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
LLAMA_3_8B = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
TURNS = (("How fast is it?", "measure RATE\nmean rate 72/min [a4]."),)


def content(seconds: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, seconds)).normal(size=(seconds, WIDTH)).astype(np.float32)


def conversation(*seconds: int) -> Layout:
    facts = [f"{letter}4 RATE 72" for letter in "abcdef"[: len(seconds)]]
    return lay_out(WORDS, [content(s, i) for i, s in enumerate(seconds)], facts, TURNS)


@pytest.fixture(scope="module")
def net() -> EcgChat:
    torch.manual_seed(0)
    return small(WORDS, WIDTH, **SHAPE).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny random language model of Llama-3's architecture, as its owner would have it on a disk."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(1)
    shape = {**SHAPE, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": WORDS.size}
    config = LlamaConfig(**shape, rope_theta=500_000.0, tie_word_embeddings=False)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llm")
    PreTrainedTokenizerFast(tokenizer_object=WORDS._inner).save_pretrained(tmp_path / "llm")
    return tmp_path / "llm"


def markers() -> dict[str, list[int | str]]:
    return {name: [name] for name in MARKERS}


def run(net: EcgChat, layouts: list[Layout]) -> Tensor:
    (ids, _, _), ecgs = batch(layouts, WORDS.one(PAD))
    with torch.no_grad():
        return net.logits(ids, ecgs)


def test_the_small_size_has_four_to_seven_million_parameters() -> None:
    wide = learn([str(i) for i in range(999)])
    for words in (WORDS, wide):
        parameters = sum(p.numel() for p in small(words, 256).parameters())
        assert 4e6 < parameters < 7e6


def test_every_placeholder_holds_its_second(net: EcgChat) -> None:
    layouts = [conversation(3, 2), conversation(5)]
    (ids, _, _), ecgs = batch(layouts, WORDS.one(PAD))
    with torch.no_grad():
        embeds = net.embed(ids, ecgs)
        rows = net.connector(torch.cat(ecgs))
        words = net.llm.get_input_embeddings()(ids)
    torch.testing.assert_close(embeds[ids == WORDS.one(CONTENT)], rows)
    for marker, vector in ((ECG, net.connector.start), (ECG_END, net.connector.end)):
        assert (embeds[ids == WORDS.one(marker)] == vector).all()
    text = ~torch.isin(ids, torch.tensor([WORDS.one(name) for name in (ECG, CONTENT, ECG_END)]))
    torch.testing.assert_close(embeds[text], words[text])


@pytest.mark.parametrize("given", [[3], [3, 2, 1], [2, 3], [3, 3], [5]])
def test_ecgs_that_do_not_fill_their_placeholders_are_refused(net: EcgChat, given: list[int]) -> None:
    ids = torch.from_numpy(conversation(3, 2).ids)[None]
    with pytest.raises(ValueError, match=r"Placeholders for ECGs of \[3, 2\] s"):
        net.embed(ids, [torch.from_numpy(content(s)) for s in given])


def test_connected_content_is_as_large_as_the_embeddings(net: EcgChat) -> None:
    with torch.no_grad():
        loud = net.connector(torch.from_numpy(content(200)) * 50)
        for vector in (loud, net.connector.start, net.connector.end):
            assert 0.5 < float(vector.std() / net.llm.get_input_embeddings().weight.std()) < 2


def test_rows_of_a_batch_do_not_see_each_other_or_their_padding(net: EcgChat) -> None:
    layouts = [conversation(3), conversation(60), conversation(2, 4, 1, 9, 3, 5), conversation(300)]
    together = run(net, layouts)
    for row, layout in enumerate(layouts):
        torch.testing.assert_close(together[row, : len(layout.ids)], run(net, [layout])[0], atol=1e-5, rtol=0)


def test_the_loss_is_that_of_the_answer_alone(net: EcgChat) -> None:
    layout = conversation(3)
    rows, ecgs = batch([layout, conversation(7, 2)], WORDS.one(PAD))
    ids, labels, _ = rows
    with torch.no_grad():
        loss, logits = net(*rows, ecgs), net.logits(ids, ecgs)
    wanted = [
        -torch.log_softmax(logits[row, place - 1], dim=-1)[label]
        for row in range(2)
        for place, label in enumerate(labels[row].tolist())
        if label != UNLEARNED
    ]
    torch.testing.assert_close(loss, torch.stack(wanted).mean())


def test_a_turn_is_learned_as_if_nothing_else_had_been_asked(net: EcgChat) -> None:
    turns = [("How fast is it?", "measure RATE"), ("Report", "report\nmean rate 72/min"), ("Fast?", "report")]
    losses = []
    for asked in (turns, *([turn] for turn in turns)):
        rows, ecgs = batch([lay_out(WORDS, [content(5)], ["a4 RATE 72"], asked)], WORDS.one(PAD))
        with torch.no_grad():
            losses.append(net(*rows, ecgs) * (rows[1] != UNLEARNED).sum())
    torch.testing.assert_close(losses[0], torch.stack(losses[1:]).sum())


class Seconds(nn.Module):
    """An encoder of any leads and length: the dense network's tokens, four of them a second."""

    def __init__(self) -> None:
        super().__init__()
        self.net = DenseNet(Size((2, 4), (6, 6, 8, WIDTH)))

    def forward(self, ecg: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        tokens: Tensor = self.net(*(part[None] for part in ecg)).tokens[0]
        return tokens.view(-1, 4, tokens.shape[-1]).mean(dim=1)


def test_one_to_six_ecgs_of_any_length_and_leads_learn_through_an_encoder() -> None:
    torch.manual_seed(0)
    inner = small(WORDS, WIDTH, **SHAPE)
    net = EcgChat(inner.llm, Seconds(), inner.connector, WORDS)
    sizes = [(10, 1), (30, 2), (12, 12), (300, 1), (60, 3), (10, 8)]  # s, leads
    signals = [
        (torch.randn(leads, s * 4 * TOKEN), torch.arange(leads), torch.zeros(leads)) for s, leads in sizes
    ]
    layouts = [conversation(*(s for s, _ in sizes)), conversation(sizes[1][0])]
    rows, _ = batch(layouts, WORDS.one(PAD))
    loss = net(*rows, [*signals, signals[1]])
    loss.backward()
    assert torch.isfinite(loss)
    for part in (net.encoder, net.connector, net.llm):
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())


def test_an_adapter_saved_and_loaded_says_the_same_and_merged_nearly(folder: Path, tmp_path: Path) -> None:
    words = load_words(folder, markers())
    adapted = chat(with_lora(load_llm(folder), rank=4), words, WIDTH).eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    save_adapter(adapted, tmp_path / "adapter")
    layouts = [conversation(3, 2), conversation(7)]
    wanted = run(adapted, layouts)
    again = run(load_adapter(load_llm(folder), words, tmp_path / "adapter"), layouts)
    assert (again - wanted).abs().max() == 0
    merged = run(load_adapter(load_llm(folder), words, tmp_path / "adapter", merge=True), layouts)
    torch.testing.assert_close(merged, wanted, atol=1e-4, rtol=0)
    assert (run(chat(load_llm(folder), words, WIDTH), layouts) - wanted).abs().max() > 1e-3


def test_an_adapter_holds_no_embeddings_and_not_the_path_of_its_model(folder: Path, tmp_path: Path) -> None:
    adapted = chat(with_lora(load_llm(folder), rank=4), load_words(folder, markers()), WIDTH)
    save_adapter(adapted, tmp_path / "adapter")
    written = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert written == {"adapter_model.safetensors", "adapter_config.json", "connector.safetensors"}
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert str(folder) not in json.dumps(config)
    assert len(config["target_modules"]) == 7
    learned = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert all("lora_" in name or name.startswith("connector.") for name in learned)


def test_a_vocabulary_without_the_named_tokens_is_a_usage_error(folder: Path) -> None:
    with pytest.raises(UsageError, match="no tokens for the marker <end>"):
        load_words(folder, {**markers(), "<end>": ["<|no such|>"]})
    with pytest.raises(UsageError, match="holds no language model"):
        load_llm(folder / "nowhere")


def test_text_is_never_a_marker_of_another_vocabulary_either(folder: Path) -> None:
    words: Tokenizer = load_words(folder, markers())
    reserved = {i for name in MARKERS for i in words.marker(name)}
    assert not reserved & set(words.encode("".join(MARKERS)))


def test_the_shape_of_llama_3_8b_with_an_adapter_on_the_meta_device() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        llm: Any = LlamaForCausalLM(LlamaConfig(**LLAMA_3_8B, tie_word_embeddings=False))
        net = chat(with_lora(llm), WORDS, 256)
    learned = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert round(sum(p.numel() for p in llm.parameters()) / 1e9, 1) == 8.1
    assert 0 < learned < 0.01 * 8e9
    ids = torch.from_numpy(conversation(4).ids)[None].to("meta")
    assert net.llm.get_input_embeddings()(ids).shape[-1] == Connector(WIDTH, 4096, 0.02).start.shape[0]
