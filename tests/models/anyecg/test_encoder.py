from __future__ import annotations

from collections.abc import Callable

import pytest
import torch  # noqa: TID251 - the encoder under test
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.encoder import LARGE, SMALL, Encoder, Size
from models.anyecg.labels import LEAD_NAMES, TOKEN

TINY = Size((2, 4), (6, 6, 8, 10))
NEAR = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module")
def encoder(learned: Callable[[nn.Module], Encoder]) -> Encoder:
    torch.manual_seed(0)
    return learned(Encoder(TINY))


def ecg(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def names(count: int) -> Tensor:
    return torch.arange(count) % len(LEAD_NAMES)


@pytest.mark.parametrize(("batch", "leads", "tokens"), [(1, 1, 8), (3, 2, 40), (1, 12, 240), (2, 5, 13)])
def test_a_token_every_32_samples_for_any_batch_leads_and_length(
    encoder: Encoder, batch: int, leads: int, tokens: int
) -> None:
    x = ecg(batch, leads, tokens * TOKEN)
    found = encoder(x, names(leads).expand(batch, -1), torch.zeros(batch, leads))
    assert found.tokens.shape == (batch, TINY.joint[3], tokens)
    assert [level.shape for level in found.levels] == [
        (batch, TINY.joint[i], tokens * 2 ** (3 - i)) for i in range(3)
    ]


@pytest.mark.parametrize("leads", [1, 2, 12])
def test_a_strip_has_the_same_tokens_alone_and_in_a_batch_of_longer_ones(
    encoder: Encoder, leads: int
) -> None:
    lengths = [8 * TOKEN, 13 * TOKEN, 60 * TOKEN]
    batch, valid = torch.zeros(3, leads, lengths[-1]), torch.zeros(3, lengths[-1], dtype=torch.bool)
    gain = ecg(3, leads, seed=1)
    for i, length in enumerate(lengths):
        batch[i, :, :length] = ecg(leads, length, seed=i)
        valid[i, :length] = True
    together = encoder(batch, names(leads).expand(3, -1), gain, valid)
    for i, length in enumerate(lengths):
        alone = encoder(batch[i : i + 1, :, :length], names(leads)[None], gain[i : i + 1])
        count = length // TOKEN
        torch.testing.assert_close(together.tokens[i, :, :count], alone.tokens[0], **NEAR)
        assert not together.tokens[i, :, count:].any()
        for level, own in zip(together.levels, alone.levels, strict=True):
            torch.testing.assert_close(level[i, :, : own.shape[2]], own[0], **NEAR)


def test_a_mask_of_all_samples_is_no_mask(encoder: Encoder) -> None:
    x, lead, gain = ecg(2, 2, 640), names(2).expand(2, -1), ecg(2, 2, seed=1)
    masked = encoder(x, lead, gain, torch.ones(2, 640, dtype=torch.bool))
    torch.testing.assert_close(masked.tokens, encoder(x, lead, gain).tokens, **NEAR)


def test_padding_begins_at_a_token(encoder: Encoder) -> None:
    with pytest.raises(AssertionError, match="multiple of a token"):
        encoder(ecg(1, 1, 100), names(1)[None], torch.zeros(1, 1), torch.ones(1, 100, dtype=torch.bool))


def test_the_order_of_leads_does_not_matter(encoder: Encoder) -> None:
    x, lead, gain = ecg(1, 5, 640), names(5)[None], ecg(1, 5, seed=1)
    order = torch.tensor([3, 0, 4, 1, 2])
    mixed = encoder(x[:, order], lead[:, order], gain[:, order])
    torch.testing.assert_close(mixed.tokens, encoder(x, lead, gain).tokens, **NEAR)


def test_a_missing_lead_is_absent_and_not_zero(encoder: Encoder) -> None:
    x, lead, gain = ecg(1, 3, 640), names(3)[None], ecg(1, 3, seed=1)
    subset = encoder(x[:, :2], lead[:, :2], gain[:, :2]).tokens
    dark = torch.cat([x[:, :2], torch.zeros(1, 1, 640)], dim=1)
    assert (encoder(dark, lead, gain).tokens - subset).abs().max() > 1e-3
    twice = torch.tensor([0, 1, 0, 1])
    torch.testing.assert_close(encoder(x[:, twice], lead[:, twice], gain[:, twice]).tokens, subset, **NEAR)


def test_the_gain_and_the_name_of_a_lead_reach_the_tokens(encoder: Encoder) -> None:
    x, lead, gain = ecg(1, 1, 640), names(1)[None], torch.zeros(1, 1)
    usual = encoder(x, lead, gain).tokens
    for other in (encoder(x, lead, gain + 1), encoder(x, lead + 7, gain)):
        assert (other.tokens - usual).abs().max() > 1e-3


def test_a_token_later_is_a_token_later_far_from_the_ends(encoder: Encoder) -> None:
    x, lead, gain = ecg(1, 2, 201 * TOKEN), names(2)[None], torch.zeros(1, 2)
    here, later = (encoder(x[:, :, k * TOKEN : (k + 200) * TOKEN], lead, gain).tokens for k in (0, 1))
    torch.testing.assert_close(here[:, :, 51:150], later[:, :, 50:149], **NEAR)


def test_the_ends_of_a_long_strip_do_not_reach_its_middle(encoder: Encoder) -> None:
    x, lead, gain = ecg(1, 1, 200 * TOKEN), names(1)[None], torch.zeros(1, 1)
    changed = x.clone()
    changed[:, :, :TOKEN] = 5.0
    usual, moved = encoder(x, lead, gain).tokens, encoder(changed, lead, gain).tokens
    assert (moved[:, :, 0] - usual[:, :, 0]).abs().max() > 1e-3
    torch.testing.assert_close(moved[:, :, 40:], usual[:, :, 40:], **NEAR)


@pytest.mark.parametrize(("size", "least", "most"), [(SMALL, 50_000, 250_000), (LARGE, 150_000, 500_000)])
def test_the_two_sizes_are_small(size: Size, least: int, most: int) -> None:
    assert least < sum(p.numel() for p in Encoder(size).parameters()) < most


def test_every_weight_learns(encoder: Encoder) -> None:
    net = Encoder(TINY)
    found = net(ecg(2, 2, 640), names(2).expand(2, -1), ecg(2, 2, seed=1))
    (found.tokens.square().sum() + sum(level.sum() for level in found.levels)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
