"""The command line: composes the packages and holds no rule of its own; imports what is heavy when used."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import AnyEcgError, UsageError

if TYPE_CHECKING:
    from edge.segments import Screen
    from models.recordings import Recording

WORDING = "Decision support. Not a diagnosis. Not for emergency monitoring."

app = typer.Typer(
    help=f"ECG from a patch to a nurse's alert. {WORDING}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
edge_app = typer.Typer(help="The box beside the bed.", no_args_is_help=True)
cloud_app = typer.Typer(help="The clinic's node.", no_args_is_help=True)
broker_app = typer.Typer(help="The embedded MQTT broker.", no_args_is_help=True)
patch_app = typer.Typer(help="A virtual patch.", no_args_is_help=True)
train_app = typer.Typer(help="Train the networks.", no_args_is_help=True)
evaluate_app = typer.Typer(help="Measure the networks.", no_args_is_help=True)
for name, group in {
    "edge": edge_app,
    "cloud": cloud_app,
    "broker": broker_app,
    "patch": patch_app,
    "train": train_app,
    "evaluate": evaluate_app,
}.items():
    app.add_typer(group, name=name)

Record = Annotated[str, typer.Argument(metavar="RECORD", help="WFDB record, .edf file, or 'excerpt'.")]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE.toml", help="Absent: the defaults.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="What the processes say, on stderr.")]
StateDir = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="Where databases go. Absent: a temporary one.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0 = any free one.")]


# -- recordings, without radio or broker --------------------------------------------------------------------


@app.command()
def replay(
    records: Annotated[list[str], typer.Argument(metavar="RECORD...", help="WFDB, .edf, or 'excerpt'.")],
    speed: Annotated[float, typer.Option(min=0, help="Times real time; 0 = as fast as possible.")] = 0.0,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line on stdout.")] = False,
) -> None:
    """Recordings through the edge's and the cloud's code, analysed after every part."""
    from models.recordings import open_recording

    async def run() -> None:
        for recording in [open_recording(record) for record in records]:
            async for line in replay_lines(recording, speed=speed):
                if jsonl:
                    print(json.dumps(line), flush=bool(speed))
                elif line["type"] in {"alert", "report", "summary"}:
                    print(in_words(line))

    asyncio.run(run())


@app.command()
def analyze(
    record: Record,
    start: Annotated[float, typer.Option("--from", metavar="S", help="Seconds from the start.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", metavar="S", help="Absent: the end.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Findings and report for a stretch of a recording."""
    from models.recordings import open_recording

    recording = open_recording(record)
    end = recording.duration_s if end is None else end
    if not 0 <= start < end:
        raise UsageError(f"--from {start:g} must be before --to {end:g}, and not before 0.")
    if end > recording.duration_s:
        raise UsageError(
            f"--to {end:g} is after the end of {record}, which lasts {recording.duration_s:g} s."
        )
    findings, reports = _analyzed(recording, round(start * recording.fs), round(end * recording.fs) - 1)
    if as_json:
        print(json.dumps({"record": recording.patch_id, "findings": findings, "reports": reports}))
        return
    for finding in findings:
        sure = "by rule" if finding["probability"] is None else f"p = {finding['probability']:.2f}"
        print(f"{finding['start_s']:9.3f} - {finding['end_s']:9.3f} s  {finding['label']:6}  {sure}")
    for report in reports:
        print(f"\n{report['text']}")


async def replay_lines(
    recording: Recording, *, sizes: Iterable[int] = (), speed: float = 0.0
) -> AsyncIterator[dict[str, Any]]:
    """The recording's windows, segments, findings, reports and alerts, in order, then a summary.

    `sizes` are the lengths of its blocks in samples; no line depends on them or on `speed`.
    """
    from cloud.analysis import Analysis
    from edge.intake import Intake
    from edge.screening import WindowScreener
    from models.ecg import Clock, Segment
    from models.lines import Summary, line
    from models.recordings import RecordingSource
    from models.screener.runtime import Screener

    network = Screener()
    recorded = Clock()
    if recording.start_utc is not None:
        recorded = Clock(utc_0=recording.start_utc, fs=recording.fs, error_s=1.0, quality="recording")
    intake, analysis = Intake(WindowScreener(network), recorded=recorded), Analysis(network)
    summary = Summary(recording.patch_id, recording.fs)
    async for item in RecordingSource(recording, sizes=sizes, speed=speed):
        for output in intake.push(item):
            verdicts = analysis.push(output) if isinstance(output, Segment) else []
            for noun in (output, *verdicts):
                yield summary.add(line(noun, recording.fs))
    yield summary.line(missing=intake.state.missing, unreadable=intake.state.unreadable)


def in_words(line: dict[str, Any]) -> str:
    """A line of a replay for people."""
    match line["type"]:
        case "report":
            return f"{line['record']}: {line['text']}\n"
        case "alert":
            what = f"{line['priority']} alert {line['label']} at {line['time_s']:.1f} s"
            return f"{line['record']}: {what}: {line['rule']}"
        case _:
            return json.dumps(line)


def _analyzed(recording: Recording, first: int, last: int) -> tuple[list[Any], list[Any]]:
    """Findings and the last report of every episode, with each window of the stretch looked at."""
    from cloud.analysis import Analysis
    from edge.intake import Intake
    from edge.screening import WindowScreener
    from models.ecg import RecordingEnd, Segment
    from models.lines import line
    from models.recordings import RecordingSource
    from models.screener.runtime import Screener

    network = Screener()
    screen: Screen = WindowScreener(network)
    intake = Intake(lambda window: replace(screen(window), flagged=True))
    analysis = Analysis(network)
    sizes = [size for size in (first, last + 1 - first) if size]
    findings, reports = [], {}
    for item in RecordingSource(recording, sizes=sizes).blocks():
        inside = isinstance(item, RecordingEnd) or (first <= item.first and item.last <= last)
        for part in intake.push(item) if inside else []:
            for verdict in analysis.push(part) if isinstance(part, Segment) else []:
                said = line(verdict, recording.fs)
                if said["type"] == "finding":
                    findings.append(said)
                elif said["type"] == "report":
                    reports[said["episode_id"]] = said
    return findings, list(reports.values())


# -- the whole loop -----------------------------------------------------------------------------------------


@app.command()
def demo(
    record: Annotated[str, typer.Option(metavar="RECORD", help="WFDB, .edf, or 'excerpt'.")] = "excerpt",
    speed: Annotated[float, typer.Option(min=0.1, max=20, help="Times real time.")] = 4.0,
    headless: Annotated[
        bool, typer.Option("--headless", help="One JSON object on stdout, then end.")
    ] = False,
    port: Port = 0,
    state: StateDir = None,
    verbose: Verbose = False,
) -> None:
    """A real recording becomes a nurse's alert: patch, edge, broker and cloud, supervised."""
    from cloud.demo import Loop, run_until_done
    from models.recordings import open_recording

    open_recording(record)  # a wrong one is said here, in one sentence
    with _state_dir(state) as folder:
        loop = Loop(state=folder, record=_absolute(record), speed=speed, port=port)
        figures = asyncio.run(run_until_done(loop, _say, verbose=verbose, stay=not headless))
    print(json.dumps(figures))


@app.command()
def run(
    patch: Annotated[str | None, typer.Option(help="Address or name; absent: the first one found.")] = None,
    port: Port = 8000,
    state: Annotated[Path, typer.Option(metavar="DIR", help="Where databases go.")] = Path("state"),
    verbose: Verbose = False,
) -> None:
    """The whole loop on a laptop: a real patch over this computer's Bluetooth."""
    from cloud.demo import Loop, run_for_ever
    from firmware_bridge.radio import scan as scan_patches

    asyncio.run(scan_patches(0.1))  # no adapter is said here, in one sentence
    loop = Loop(state=state, port=port, edge={"address": patch} if patch else {})
    asyncio.run(run_for_ever(loop, _say, verbose=verbose))


@app.command()
def scan(
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long to listen.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Patches in reach of this computer's Bluetooth."""
    from firmware_bridge.radio import scan as scan_patches

    seen = asyncio.run(scan_patches(seconds))
    if as_json:
        print(json.dumps([patch._asdict() for patch in seen]))
        return
    if not seen:
        _say(f"No OpenECG patch advertised within {seconds:g} s.")
    for patch in seen:
        print(f"{patch.address}  {patch.name}  {patch.rssi} dBm")


# -- one process each ---------------------------------------------------------------------------------------


@edge_app.command("run")
def edge_run(config: Config = None, verbose: Verbose = False) -> None:
    """Take the patch in, screen, store, send; until it is stopped."""
    from edge.agent import run as run_edge
    from edge.config import EdgeConfig
    from models.config import load

    _log(verbose)
    asyncio.run(run_edge(load(config, EdgeConfig)))


@cloud_app.command("run")
def cloud_run(config: Config = None, verbose: Verbose = False) -> None:
    """Commit, measure, alert, report, and serve the page; until it is stopped."""
    from cloud.config import CloudConfig
    from cloud.node import serve
    from models.config import load

    _log(verbose)
    asyncio.run(serve(load(config, CloudConfig)))


@broker_app.command("run")
def broker_run(port: Annotated[int, typer.Option(min=1, max=65535)] = 1883) -> None:
    """Serve MQTT 5 on this machine's loopback address."""
    from cloud.broker import run_broker

    run_broker(port)


@patch_app.command("simulate")
def patch_simulate(
    record: Record,
    speed: Annotated[float, typer.Option(min=0.1, max=50, help="Times real time.")] = 1.0,
    hci_port: Annotated[int, typer.Option(min=0, max=65535, help="Where its radio is served.")] = 0,
    epoch: Annotated[float | None, typer.Option(help="Unix time of sample 0; absent: now.")] = None,
    ring_s: Annotated[float, typer.Option(min=1, help="Seconds of signal it remembers.")] = 900.0,
    loss: Annotated[float, typer.Option(min=0, max=0.9, help="Share of packets lost.")] = 0.0,
    out_of_range: Annotated[
        list[str] | None, typer.Option(metavar="FROM:TO", help="Seconds since its start; repeatable.")
    ] = None,
) -> None:
    """A patch that plays RECORD over a real Bluetooth LE stack; for `edge run` with a tcp-client radio."""
    from firmware_bridge.sim.link import Shape
    from firmware_bridge.sim.simulate import simulate
    from models.recordings import open_recording

    _log(verbose=False)
    shape = Shape(loss=loss, out_of_range=[_stretch(text) for text in out_of_range or []])
    asyncio.run(
        simulate(
            open_recording(record),
            ready=lambda number: print(json.dumps({"hci_port": number}), flush=True),
            hci_port=hci_port,
            speed=speed,
            epoch=epoch,
            ring_s=ring_s,
            shape=shape,
        )
    )


# -- networks -----------------------------------------------------------------------------------------------


@train_app.command("screener")
def train_screener(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Checkpoints, weights and figures.")],
    folds: Annotated[int, typer.Option(min=2, max=10)] = 3,
    seed: int = 0,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Train, cross-validate and export the screener; resumes where it was interrupted."""
    from models.screener.train import train

    train(out, _data(), folds=folds, seed=seed, epochs=epochs)


@evaluate_app.command("screener")
def evaluate_screener(
    training: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of `train screener`; absent: the shipped figures.")
    ] = None,
) -> None:
    """Held-out figures beside their baselines, as JSON; of a training: recomputed from $ANYECG_DATA."""
    from models.evaluation.screener import evaluate

    print(json.dumps(evaluate(_data(), training) if training else evaluate()))


# -- the rim ------------------------------------------------------------------------------------------------


def main() -> None:
    """`anyecg`: one sentence and a non-zero exit code for whatever a person can put right."""
    if "ANYECG_PARENT" in os.environ:
        from cloud.supervisor import die_with_parent

        die_with_parent()
    try:
        app()
    except AnyEcgError as error:
        _end(error)
    except BaseExceptionGroup as group:  # of a process's concurrent tasks
        known = group.subgroup(AnyEcgError)
        if known is None:
            raise
        _end(known.exceptions[0])
    except BrokenPipeError:  # `anyecg replay ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(error: BaseException) -> None:
    _say(f"anyecg: {error}")
    sys.exit(error.exit_code if isinstance(error, AnyEcgError) else 1)


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        print(version("anyecg"))
        raise typer.Exit


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _log(verbose: bool) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s")


def _data() -> Path:
    folder = os.environ.get("ANYECG_DATA")
    if not folder or not Path(folder).is_dir():
        raise UsageError("Set ANYECG_DATA to the folder of annotated recordings (mitdb, svdb, ...).")
    return Path(folder)


def _absolute(record: str) -> str:
    """Child processes may stand elsewhere."""
    return record if record == "excerpt" else str(Path(record).resolve())


def _stretch(text: str) -> tuple[float, float]:
    try:
        begin, end = (float(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(f"--out-of-range {text!r} is not FROM:TO in seconds, for example 10:30.") from None
    return begin, end


@contextlib.contextmanager
def _state_dir(given: Path | None) -> Iterator[Path]:
    """The given folder, or a temporary one that is gone afterwards."""
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="anyecg-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
