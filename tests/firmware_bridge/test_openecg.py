"""OpenECG's bytes: captured good and broken ones, round trips, and bytes that mean nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.codecs.openecg import (
    LEAD_IDS,
    MAX_FRAME_BYTES,
    Flag,
    Format,
    Frame,
    StreamInfo,
    format_for,
    samples_per_frame,
)
from firmware_bridge.codecs.openecg_control import (
    Abort,
    Answer,
    Backfill,
    BackfillDone,
    Config,
    End,
    Range,
    RangeIs,
    Start,
    Status,
    Stop,
    TimePing,
    TimePong,
    parse_indication,
    parse_request,
)
from models.errors import PayloadError

PACKETS = Path(__file__).resolve().parents[1] / "packets"


def packet(name: str) -> bytes:
    return (PACKETS / f"{name}.bin").read_bytes()


def test_a_captured_frame_is_read_as_it_was_sent():
    frame = Frame.parse(packet("openecg_frame_int16"), 2)
    assert (frame.sequence, frame.device_us, frame.flags, frame.cfg_id) == (3, 475_000, 0, 0)
    assert frame.counts.shape == (2, 57)
    assert frame.counts.dtype == np.int32
    assert frame.counts[:, :3].tolist() == [[131, 132, 133], [-164, -165, -166]]
    assert not frame.counts.flags.writeable
    assert bytes(frame) == packet("openecg_frame_int16")


def test_a_captured_frame_of_24_bit_samples_is_read_as_it_was_sent():
    frame = Frame.parse(packet("openecg_frame_int24"), 2)
    assert frame.format is Format.INT24
    assert frame.flags == Flag.BACKFILL | Flag.MARKER
    assert frame.counts[:, :2].tolist() == [[131_000, 132_000], [-164_000, -165_000]]
    assert bytes(frame) == packet("openecg_frame_int24")


def test_a_captured_stream_info_is_read_as_it_was_sent():
    info = StreamInfo.parse(packet("openecg_stream_info"))
    assert (info.leads, info.fs, info.uv_per_count, info.n) == (("MLII", "V1"), 360.0, (5.0, 2.5), 57)
    assert info.ring_samples == 900 * 360
    assert bytes(info) == packet("openecg_stream_info")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openecg_backfill", Backfill(5700, 19949)),
        ("openecg_range_is", RangeIs(0, 107999, ended=True)),
        ("openecg_end", End(107999)),
        ("openecg_status", Status(battery_mv=4137, lead_off=1, ring_first=5700, ring_last=19949, overruns=2)),
    ],
)
def test_captured_messages_are_read_as_they_were_sent(name, message):
    parse = {Backfill: parse_request, Status: Status.parse}.get(type(message), parse_indication)
    assert parse(packet(name)) == message
    assert bytes(message) == packet(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("frame_truncated", "length"),
        ("frame_header", "truncated"),
        ("frame_version", "version"),
        ("frame_rice", "format"),
        ("frame_crc", "format"),
        ("frame_n", "length"),
        ("frame_n_zero", "length"),
        ("stream_info_version", "version"),
        ("stream_info_truncated", "stream info"),
        ("stream_info_lead", "stream info"),
        ("control_opcode", "opcode"),
        ("control_length", "length"),
        ("status_truncated", "length"),
    ],
)
def test_captured_broken_bytes_are_refused_with_a_reason(name, reason):
    data = packet(f"broken_{name}")
    parsers = {"frame": lambda d: Frame.parse(d, 2), "stream": StreamInfo.parse, "status": Status.parse}
    with pytest.raises(PayloadError) as raised:
        parsers.get(name.split("_")[0], parse_request)(data)
    assert raised.value.reason == reason


@settings(deadline=None)  # a busy machine is not a failure
@given(st.binary(max_size=300), st.integers(1, 12))
def test_any_bytes_are_read_or_refused_and_nothing_else(data, leads):
    for parse in (
        lambda d: Frame.parse(d, leads),
        lambda d: Frame.parse(b"\x10" + d, leads),
        StreamInfo.parse,
        lambda d: StreamInfo.parse(b"\x01" + d),
        Status.parse,
        parse_request,
        parse_indication,
    ):
        try:
            read = parse(data)
        except PayloadError:
            continue
        assert bytes(read)[-len(data) // 2 :]  # what was read can be written


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    format_ = draw(st.sampled_from(Format))
    leads = draw(st.integers(1, 12))
    n = draw(st.integers(1, samples_per_frame(leads, 1000.0, format_)))
    limit = -format_.invalid
    samples = draw(st.lists(st.integers(-limit, limit - 1), min_size=n * leads, max_size=n * leads))
    byte = st.integers(0, 255)
    return Frame(
        sequence=draw(st.integers(0, 2**32 - 1)),
        device_us=draw(st.integers(0, 2**48 - 1)),
        counts=np.array(samples, dtype=np.int32).reshape(leads, n),
        boot_low=draw(byte),
        format=format_,
        flags=draw(byte) & ~Flag.CRC,
        lead_off=draw(byte),
        cfg_id=draw(byte),
    )


@settings(deadline=None)  # a busy machine is not a failure
@given(frames())
def test_every_frame_survives_its_bytes(frame):
    data = bytes(frame)
    assert len(data) <= MAX_FRAME_BYTES
    read = Frame.parse(data, len(frame.counts))
    assert np.array_equal(read.counts, frame.counts)
    for field in ("sequence", "device_us", "boot_low", "format", "flags", "lead_off", "cfg_id"):
        assert getattr(read, field) == getattr(frame, field)


NAMES = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
LEADS = st.lists(st.one_of(st.sampled_from(sorted(LEAD_IDS)), NAMES), min_size=1, max_size=12)


@settings(deadline=None)  # a busy machine is not a failure
@given(LEADS, st.data())
def test_every_stream_info_survives_its_bytes(leads, data):
    gain = st.floats(1e-3, 1e9)
    info = StreamInfo(
        leads=tuple(leads),
        rate_mhz=data.draw(st.integers(1, 2**32 - 1)),
        nv_per_lsb=tuple(data.draw(gain) for _ in leads),
        n=data.draw(st.integers(1, 255)),
        boot_id=data.draw(st.integers(0, 2**32 - 1)),
        ring_samples=data.draw(st.integers(0, 2**32 - 1)),
        format=data.draw(st.sampled_from(Format)),
        cfg_id=data.draw(st.integers(0, 255)),
    )
    assert StreamInfo.parse(bytes(info)) == info


@settings(deadline=None)  # a busy machine is not a failure
@given(st.integers(-1, 2**62), st.integers(-1, 2**62), st.integers(0, 255), st.booleans())
def test_every_message_survives_its_bytes(first, last, byte, flag):
    for request in (
        Start(),
        Stop(),
        Config(byte),
        TimePing(last + 1),
        Backfill(first, last),
        Range(),
        Abort(),
    ):
        assert parse_request(bytes(request)) == request
    for said in (
        Answer(byte, 1),
        TimePong(last + 1, 5),
        BackfillDone(first, last),
        RangeIs(first, last, flag),
        End(last),
    ):
        assert parse_indication(bytes(said)) == said


@pytest.mark.parametrize(
    ("leads", "fs", "n"), [(1, 125.0, 31), (1, 250.0, 62), (2, 250.0, 57), (3, 512.0, 38), (12, 500.0, 9)]
)
def test_frames_take_up_to_250_ms_and_fill_one_link_layer_packet(leads, fs, n):
    assert samples_per_frame(leads, fs, Format.INT16) == n


def test_the_narrowest_format_is_chosen_and_what_no_format_holds_is_refused():
    assert format_for(np.array([[-32767, 32767]], dtype=np.int32)) is Format.INT16
    assert format_for(np.array([[-32768, 0]], dtype=np.int32)) is Format.INT24  # -32768 means "no sample"
    with pytest.raises(PayloadError, match="do not fit the 24 bits"):
        format_for(np.array([[2**23]], dtype=np.int32))
