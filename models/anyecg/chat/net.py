"""The network of anyECG-chat: any causal language model of transformers, a connector, an encoder.

Only `get_input_embeddings`, `inputs_embeds` and `config.hidden_size` of the language model are used, so that
a model of 5 million parameters and one of 8 billion differ by their folder. `<start> <content> x N <end>` per
ECG and the two-layer connector are those of anyECG-chat (arXiv 2506.00942).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.chat.prompt import UNLEARNED, Floats, Ints
from models.anyecg.chat.tokenizer import CONTENT, ECG, ECG_END, MARKERS, Tokenizer
from models.errors import UsageError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RANK = 16
SMALL: Mapping[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


class Connector(nn.Module):
    """Content features (second, D) to vectors (second, hidden) as large as the language model's embeddings.

    `start` and `end` stand before and after an ECG: they live here, not in a vocabulary, so that an adapter
    fits any copy of the language model.
    """

    def __init__(self, content: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.width = content
        self.layers = nn.Sequential(
            nn.Linear(content, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden, elementwise_affine=False),
        )
        self.scale = nn.Parameter(torch.tensor(scale))
        self.start = nn.Parameter(torch.randn(hidden) * scale)
        self.end = nn.Parameter(torch.randn(hidden) * scale)

    def forward(self, content: Tensor) -> Tensor:
        out: Tensor = self.layers(content)
        return out * self.scale


class EcgChat(nn.Module):
    """Reads ids whose placeholders stand for ECGs; `encoder` makes (second, D) of one, None: each is that."""

    def __init__(self, llm: Any, encoder: nn.Module | None, connector: Connector, words: Tokenizer) -> None:
        super().__init__()
        self.llm, self.encoder, self.connector = llm, encoder, connector
        self.start, self.content, self.end = (words.one(name) for name in (ECG, CONTENT, ECG_END))

    def embed(self, ids: Tensor, ecgs: Sequence[Any]) -> Tensor:
        """(row, token) to (row, token, hidden), `ecgs` in reading order over the rows.

        ValueError where an ECG has not exactly as many seconds as placeholders.
        """
        seen = list(ecgs) if self.encoder is None else [self.encoder(ecg) for ecg in ecgs]
        self._count(ids, [len(ecg) for ecg in seen])
        embeds: Tensor = self.llm.get_input_embeddings()(ids)
        for marker, vector in ((self.start, self.connector.start), (self.end, self.connector.end)):
            embeds = torch.where((ids == marker)[..., None], vector.to(embeds.dtype), embeds)
        rows = self.connector(torch.cat(seen)).to(embeds.dtype)
        return embeds.masked_scatter((ids == self.content)[..., None], rows)

    def _count(self, ids: Tensor, seconds: list[int]) -> None:
        flat = ids.flatten()
        starts, ends = ((flat == marker).nonzero()[:, 0] for marker in (self.start, self.end))
        wanted = (ends - starts - 1).tolist() if len(starts) == len(ends) else None
        if wanted != seconds or int((flat == self.content).sum()) != sum(seconds):
            raise ValueError(f"Placeholders for ECGs of {wanted} s, but the ECGs given have {seconds} s.")

    def logits(self, ids: Tensor, ecgs: Sequence[Any]) -> Tensor:
        """(row, token, vocabulary). Rows are padded on the right only: what is causal never sees it."""
        out = self.llm(inputs_embeds=self.embed(ids, ecgs), use_cache=False)
        return out.logits  # type: ignore[no-any-return]

    def forward(self, ids: Tensor, labels: Tensor, turns: Tensor, ecgs: Sequence[Any]) -> Tensor:
        """Mean cross-entropy of what follows, over the labelled tokens: of no others are logits made. Each of
        `turns` is learned as it is served: first after what was read, whatever else is asked."""
        following = nn.functional.pad(labels[:, 1:], (0, 1), value=UNLEARNED)
        learned = following != UNLEARNED
        embeds, seen = self.embed(ids, ecgs), alone(turns)
        out = self.llm(
            inputs_embeds=embeds,
            attention_mask=torch.where(seen, 0.0, torch.finfo(embeds.dtype).min).to(embeds.dtype)[:, None],
            position_ids=seen.sum(dim=2) - 1,
            use_cache=False,
            output_hidden_states=True,
            logits_to_keep=1,
        )
        logits = self.llm.get_output_embeddings()(out.hidden_states[-1][learned])
        return nn.functional.cross_entropy(logits.float(), following[learned])


def alone(turns: Tensor) -> Tensor:
    """(row, token, token) what each token sees: up to itself, of turn 0 and of its own turn."""
    length = turns.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=turns.device).tril()
    return before & ((turns[:, None] == 0) | (turns[:, None] == turns[:, :, None]))


class TorchDecoder:
    """A network served by transformers: a `models.anyecg.chat.runtime.Decoder` for any size.

    A cache is transformers' own with the number of tokens that count; whoever goes on from a place where
    another has gone on already gets a copy.
    """

    def __init__(self, net: EcgChat) -> None:
        self._net, self._device = net.eval(), net.connector.start.device
        self.width = net.connector.width

    @torch.no_grad()
    def connect(self, content: Floats) -> Floats:
        connector = self._net.connector
        rows = connector(torch.from_numpy(content).to(self._device))
        return torch.cat([connector.start[None], rows, connector.end[None]]).cpu().numpy()

    def nothing(self) -> Any:
        return None, 0

    @torch.no_grad()
    def read(self, ids: Ints, given: Floats | None, cache: Any) -> tuple[Floats, Any]:
        past, length = cache
        if past is not None and (further := past.get_seq_length() - length):
            past = deepcopy(past)
            past.crop(-further)
        tokens = torch.from_numpy(ids).to(self._device)
        embeds = self._net.llm.get_input_embeddings()(tokens)
        if given is not None:
            marks = torch.tensor([self._net.start, self._net.content, self._net.end], device=self._device)
            placed = torch.isin(tokens, marks)[:, None]
            embeds = torch.where(placed, torch.from_numpy(given).to(embeds), embeds)
        out = self._net.llm(
            inputs_embeds=embeds[None], past_key_values=past, use_cache=True, logits_to_keep=1
        )
        return out.logits[0, -1].float().cpu().numpy(), (out.past_key_values, length + len(ids))


def chat(llm: Any, words: Tokenizer, content: int, encoder: nn.Module | None = None) -> EcgChat:
    """A network around a language model, with a connector that has learned nothing yet."""
    table = llm.get_input_embeddings().weight
    scale = 0.02 if table.is_meta else float(table.detach().float().std())
    return EcgChat(llm, encoder, Connector(content, llm.config.hidden_size, scale), words)


def small(words: Tokenizer, content: int, **shape: int) -> EcgChat:
    """The bundled size, from scratch: about 5 million parameters. `shape` overrides SMALL."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = {**SMALL, "vocab_size": words.size, **shape}
    return chat(LlamaForCausalLM(LlamaConfig(**config)), words, content)


def load_llm(folder: Path, gguf: str | None = None, dtype: str = "float32", four_bit: bool = False) -> Any:
    """Any causal language model in `folder`, from the disk only; `gguf` names a file in it.

    Raises:
        UsageError: the folder holds no model that transformers can read.
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": True}
    if gguf:
        options["gguf_file"] = gguf
    if four_bit:
        quantized = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")  # type: ignore[no-untyped-call]
        options["quantization_config"] = quantized
    try:
        return AutoModelForCausalLM.from_pretrained(str(folder), **options)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no language model that can be read: {error}") from error


def load_words(
    folder: Path, markers: Mapping[str, Sequence[int | str]], gguf: str | None = None
) -> Tokenizer:
    """Its tokenizer; `markers` gives for each marker ids or names of its tokens."""
    from transformers import AutoTokenizer

    options = {"gguf_file": gguf} if gguf else {}
    inner = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, **options).backend_tokenizer
    ids: dict[str, tuple[int, ...]] = {}
    for name in MARKERS:
        found = [inner.token_to_id(t) if isinstance(t, str) else t for t in markers.get(name, ())]
        ids[name] = tuple(i for i in found if i is not None)
        if not found or len(ids[name]) < len(found):
            raise UsageError(f"{folder}: no tokens for the marker {name}; name others in the recipe.")
    return Tokenizer(inner, ids)


def with_lora(llm: Any, rank: int = RANK) -> Any:
    """The language model frozen, with an adapter on every projection."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(PROJECTIONS), task_type="CAUSAL_LM")
    with _peft():
        return get_peft_model(llm, config)


@contextmanager
def _peft() -> Iterator[None]:
    """peft 0.21 reads an attribute of which transformers 5 says that it will go."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def save_adapter(net: EcgChat, folder: Path, encoder_sha256: str = "") -> None:
    """`adapter_model.safetensors`, `adapter_config.json` and `connector.safetensors`: a few megabytes."""
    from safetensors.torch import save_file

    net.llm.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None  # a folder of this machine
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
    noted = {"encoder_sha256": encoder_sha256}
    save_file(net.connector.state_dict(), str(folder / "connector.safetensors"), noted)


def load_adapter(llm: Any, words: Tokenizer, folder: Path, merge: bool = False) -> EcgChat:
    """The language model with the adapter and the connector of a folder; `merge` folds the adapter in."""
    from peft import PeftModel
    from safetensors.torch import load_file

    state = load_file(str(folder / "connector.safetensors"))
    with _peft():
        adapted = PeftModel.from_pretrained(llm, str(folder))
    net = chat(adapted.merge_and_unload() if merge else adapted, words, state["layers.0.weight"].shape[1])
    net.connector.load_state_dict(state)
    return net.eval()
