"""The small model as two ONNX files: the connector, and a decoder that goes on from what it has read.

What the decoder has read goes in as keys and values and comes out longer: several questions can start from
one reading of the ECGs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models import onnx_file
from models.anyecg.chat.net import Connector, EcgChat

Pair = tuple[Tensor, Tensor]


class OneConnector(nn.Module):
    """(second, D) to (second + 2, hidden): start, content, end."""

    def __init__(self, connector: Connector) -> None:
        super().__init__()
        self.connector = connector

    def forward(self, content: Tensor) -> Tensor:
        start, end = self.connector.start[None], self.connector.end[None]
        return torch.cat([start, self.connector(content), end])


class OneDecoder(nn.Module):
    """A Llama that goes on from what it has read, exactly transformers' own for one row.

    ids (token,) and `given` (token, hidden), whose rows are read where ids hold a placeholder; `past` is for
    each layer the keys and the values read before, (key head, read, width). Returns the logits after the last
    token (vocabulary,) and the keys and values with those of the new tokens behind them.
    """

    frequency: Tensor

    def __init__(self, net: EcgChat) -> None:
        super().__init__()
        self.llm, config = net.llm, net.llm.config
        self.placeholders = (net.start, net.content, net.end)
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.width = config.hidden_size // self.heads
        self.register_buffer("frequency", net.llm.model.rotary_emb.inv_freq.clone())

    def forward(self, ids: Tensor, given: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        first, second, third = self.placeholders
        placed = (ids == first) | (ids == second) | (ids == third)
        x = torch.where(placed[:, None], given, self.llm.get_input_embeddings()(ids))
        read = past[0].shape[1]
        place = torch.arange(ids.shape[0]) + read
        angle = place[:, None].float() * self.frequency
        angle = torch.cat([angle, angle], dim=-1)
        turn = angle.cos(), angle.sin()
        unseen = torch.arange(read + ids.shape[0])[None] > place[:, None]
        present: list[Tensor] = []
        for i, layer in enumerate(self.llm.model.layers):
            old = past[2 * i], past[2 * i + 1]
            seen, keys, values = self._attend(layer.self_attn, layer.input_layernorm(x), old, turn, unseen)
            x = x + seen
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            present += [keys, values]
        last, table = self.llm.model.norm(x[-1:]), self.llm.lm_head.weight
        nothing = torch.zeros(len(table))  # with it a Gemm, which needs no second, transposed table
        return nn.functional.linear(last, table, nothing)[0], *present

    def _attend(
        self, attention: Any, x: Tensor, past: Pair, turn: Pair, unseen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the tokens take from all before them; keys and values of all (key head, token, width)."""
        query = _turned(self._heads(attention.q_proj(x), self.heads), turn)
        keys = torch.cat([past[0], _turned(self._heads(attention.k_proj(x), self.key_heads), turn)], dim=1)
        values = torch.cat([past[1], self._heads(attention.v_proj(x), self.key_heads)], dim=1)
        query = query.reshape(self.key_heads, self.heads // self.key_heads, -1, self.width)
        score = query @ keys[:, None].transpose(2, 3) * self.width**-0.5
        weight = torch.softmax(score.masked_fill(unseen, float("-inf")), dim=-1)
        out = (weight @ values[:, None]).reshape(self.heads, -1, self.width).transpose(0, 1)
        return attention.o_proj(out.reshape(-1, self.heads * self.width)), keys, values

    def _heads(self, x: Tensor, heads: int) -> Tensor:
        """(token, heads x width) to (head, token, width)."""
        return x.view(-1, heads, self.width).transpose(0, 1)


def _turned(x: Tensor, turn: Pair) -> Tensor:
    """Rotary positions: halves are the real and imaginary parts (Llama)."""
    half = x.shape[-1] // 2
    return x * turn[0] + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * turn[1]


def export_small(net: EcgChat, folder: Path, metadata: Mapping[str, Any]) -> None:
    """Writes `connector.onnx` and `decoder.onnx`."""
    hidden, content = net.llm.config.hidden_size, net.connector.width
    onnx_file.export(
        OneConnector(net.connector),
        folder / "connector.onnx",
        (torch.zeros(3, content),),
        inputs={"content": ("second",)},
        outputs={"embeds": ("token",)},
        metadata=metadata,
    )
    decoder = OneDecoder(net)
    names = [f"{kind}{i}" for i in range(len(net.llm.model.layers)) for kind in ("key", "value")]
    past = [torch.zeros(decoder.key_heads, 5, decoder.width) for _ in names]
    cache = dict.fromkeys(names, ("head", "read"))
    onnx_file.export(
        decoder,
        folder / "decoder.onnx",
        (torch.zeros(4, dtype=torch.long), torch.zeros(4, hidden), *past),
        inputs={"ids": ("token",), "given": ("token",), **cache},
        outputs={"logits": (), **{f"{name}_next": ("head", "all") for name in names}},
        metadata={"key_heads": decoder.key_heads, **metadata},
    )
