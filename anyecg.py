"""The command line: composes the packages and holds no rule of its own; imports what is heavy when used."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import AnyEcgError, DeliveryError, UsageError
from models.evaluation.what import What

if TYPE_CHECKING:
    from cloud.analyst import EpisodeAnalyst
    from cloud.assignments import Assignments
    from cloud.config import RuleConfig
    from cloud.people import People
    from cloud.prints.command import Wanted
    from cloud.roles import Person
    from cloud.rules import Spell
    from edge.recorded import Recorded
    from edge.segments import Screen
    from models.anyecg.chat.consultation import Consultation
    from models.anyecg.chat.eyes import Eyes
    from models.anyecg.chat.readings import Reading
    from models.anyecg.chat.runtime import Chat
    from models.anyecg.chat.stretches import Desk
    from models.anyecg.localizer import Localizer
    from models.ecg import Segment, Window
    from models.evaluation.chat_choice import Choice
    from models.evaluation.judged import Figures
    from models.evaluation.served import SaidBeat, SaidEpisode, Served
    from models.recordings import Recording
    from models.screener.runtime import Screener
    from models.verdicts import Screening

WORDING = "Decision support. Not a diagnosis. Not for emergency monitoring."
NOTICE = f"AI-generated, not yet reviewed. {WORDING}"

EXTRAS = {  # of pyproject.toml, by what a command misses first
    **dict.fromkeys(("torch", "transformers", "peft", "onnx"), "train"),
    **dict.fromkeys(
        (
            "argon2",
            "fastapi",
            "jinja2",
            "neurokit2",
            "prometheus_client",
            "tokenizers",
            "llguidance",
            "typst",
            "uvicorn",
        ),
        "cloud",
    ),
    **dict.fromkeys(("edfio", "sleepecg", "wfdb"), "recordings"),
    **dict.fromkeys(("bumble", "iotcore"), "sim"),
}
TRAINED = ("screener.onnx", "dense.onnx", "beats.onnx", "rhythm.onnx")  # of a training's folder
TOKENIZER_TEXTS = 6000  # conversations that a new tokenizer is learned from

app = typer.Typer(
    help=f"ECG from a patch to a nurse's alert. {WORDING}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
edge_app = typer.Typer(help="The box beside the bed.", no_args_is_help=True)
cloud_app = typer.Typer(help="The clinic's node.", no_args_is_help=True)
user_app = typer.Typer(help="Who may sign in at the node's page.", no_args_is_help=True)
broker_app = typer.Typer(help="The embedded MQTT broker.", no_args_is_help=True)
patch_app = typer.Typer(help="A virtual patch.", no_args_is_help=True)
audit_app = typer.Typer(help="The chain of all that happened in a cloud node.", no_args_is_help=True)
dataset_app = typer.Typer(help="The anyECG dataset.", no_args_is_help=True)
train_app = typer.Typer(help="Train the networks.", no_args_is_help=True)
for name, group in {
    "edge": edge_app,
    "cloud": cloud_app,
    "broker": broker_app,
    "patch": patch_app,
    "audit": audit_app,
    "dataset": dataset_app,
    "train": train_app,
}.items():
    app.add_typer(group, name=name)
cloud_app.add_typer(user_app, name="user")

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
    to: Annotated[
        str | None, typer.Option(metavar="mqtt://host:port", help="Into a node's replay lane instead.")
    ] = None,
    name: Annotated[str | None, typer.Option("--run", metavar="NAME", help="With --to.")] = None,
) -> None:
    """Recordings through the edge's and the cloud's code, analysed after every part; nobody is alerted."""
    from models.recordings import open_recording

    if jsonl and to:
        raise UsageError("--jsonl goes without --to: what a node finds stands on its page /replays.")
    if to:
        print(json.dumps(_sent([open_recording(record) for record in records], to, name, speed)))
        return
    if name:
        raise UsageError("--run names what is sent with --to mqtt://host:port.")

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


def _sent(recordings: list[Recording], to: str, name: str | None, speed: float) -> dict[str, Any]:
    """The run, once the node has committed all of it."""
    from edge.replay import publish
    from models.wire import RUN

    made = f"{re.sub('[^A-Za-z0-9_-]', '-', recordings[0].patch_id)[:32]}-{time.strftime('%Y%m%dT%H%M%S')}"
    run = name or f"{made}-{secrets.token_hex(2)}"
    if not RUN.fullmatch(run):
        raise UsageError(f"--run {run!r}: 1 to 64 letters, digits, - and _.")
    return {"run": run, **asyncio.run(publish(recordings, to, run, speed=speed))}


async def replay_lines(
    recording: Recording, *, sizes: Iterable[int] = (), speed: float = 0.0
) -> AsyncIterator[dict[str, Any]]:
    """The recording's windows, segments, findings, reports and alerts, in order, then a summary.

    `sizes` are the lengths of its blocks in samples; no line depends on them or on `speed`.
    """
    from cloud.analysis import Analysis
    from edge.intake import Intake
    from edge.screening import WindowScreener
    from models.anyecg.localizer import Localizer
    from models.ecg import Segment
    from models.lines import Summary, line
    from models.recordings import RecordingSource
    from models.screener.runtime import Screener
    from models.verdicts import TrendRow

    intake = Intake(WindowScreener(Screener()), recorded=recording.clock)
    analysis = Analysis(Localizer())
    summary = Summary(recording.patch_id, recording.fs)
    async for item in RecordingSource(recording, sizes=sizes, speed=speed):
        for output in intake.push(item):
            if isinstance(output, TrendRow):  # counts of the windows that are told one by one
                continue
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
    from models.anyecg.localizer import Localizer
    from models.ecg import RecordingEnd, Segment
    from models.lines import line
    from models.recordings import RecordingSource
    from models.screener.runtime import Screener

    screen: Screen = WindowScreener(Screener())
    intake = Intake(lambda window: replace(screen(window), flagged=True))
    analysis = Analysis(Localizer())
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


# -- anyECG-chat --------------------------------------------------------------------------------------------


@app.command()
def chat(
    records: Annotated[
        list[str] | None,
        typer.Argument(metavar="RECORD[@FROM-TO]...", help="Up to six: WFDB, .edf, or 'excerpt'; seconds."),
    ] = None,
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Answer it and end. Absent: lines of stdin.")
    ] = None,
    leads: Annotated[str | None, typer.Option(metavar="MLII,V1", help="By name. Absent: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --question: one JSON object.")] = False,
    batch: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="A question and its ECGs in each line.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Of --batch: gets the answers it lacks.")
    ] = None,
    networks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of `train localizer`: the fold that left a record out."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of `train chat`. Absent: the shipped ones.")
    ] = None,
    config: Config = None,
) -> None:
    """Ask about one ECG or several; every sentence of an answer was held to what was measured."""
    from models.anyecg.chat.batch import answer_all, answered
    from models.anyecg.chat.stretches import OTHERS, reference

    _check(records, question, batch, out, leads, as_json=as_json)
    desk = _desk(config, networks, weights, Path() if batch is None else batch.parent)
    if batch and out:
        failed = answer_all(batch, out, desk.consult, _say, 1 if sys.stderr.isatty() else 10)
        _say(NOTICE)
        if failed:
            raise UsageError(
                f"Rows that could not be answered: {failed}; {out} says why, and holds the others."
            )
        return
    ecgs = [reference(record, leads.split(",") if leads else None) for record in records or ()]
    if len({ecg.record for ecg in ecgs}) > 1:
        _say(OTHERS)
    if question and as_json:
        print(json.dumps({"id": 1, **answered(question, ecgs, desk.consult)}, allow_nan=False))
        _say(NOTICE)
    else:
        _converse(desk.consult(ecgs)[0], [question] if question else _questions())


def _check(
    records: list[str] | None,
    question: str | None,
    batch: Path | None,
    out: Path | None,
    leads: str | None,
    *,
    as_json: bool,
) -> None:
    """UsageError where it is not clear what shall be answered."""
    wrong = {
        "Give --question or --batch, not both.": batch and question is not None,
        "Give RECORD or --batch, not both: the rows of the file name their ECGs.": batch and records,
        "--leads goes with RECORD: the rows of --batch name their leads.": batch and leads is not None,
        "--batch needs --out FILE.jsonl for the answers.": batch and not out,
        "--out goes with --batch FILE.jsonl.": out and not batch,
        "--json goes with --question TEXT.": as_json and question is None,
        "Give a RECORD to ask about, or --batch FILE.jsonl.": not batch and not records,
        "No question: --question is empty.": question is not None and not question.strip(),
    }
    for sentence, holds in wrong.items():
        if holds:
            raise UsageError(sentence)


def _converse(consultation: Consultation, questions: Iterable[str]) -> None:
    """Prints answers sentence by sentence, each after its check; UsageError where nothing was asked."""
    from models.anyecg.chat.batch import short

    wrong = []
    for question in questions:
        try:
            for sentence in consultation.stream(short(question)):
                print(sentence, flush=True)
            print(f"({NOTICE})\n", flush=True)
            wrong.append(False)
        except AnyEcgError as error:  # of one question; others may follow
            _say(f"anyecg: {error}")
            wrong.append(True)
    if not wrong and not sys.stdin.isatty():
        raise UsageError("No question was asked: give --question TEXT, or a question a line on stdin.")
    if any(wrong):
        raise typer.Exit(1)


def _questions() -> Iterator[str]:
    """Of a person at a terminal, or of a file; `exit` or the end ends them, at a terminal an empty line."""
    typed = sys.stdin.isatty()
    if typed:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - a line can then be edited, and an earlier one had again
    while True:
        try:
            line = input("> " if typed else "").strip()
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise UsageError(f"The questions on stdin are not UTF-8 text: {error}.") from error
        if line == "exit" or (typed and not line):
            return
        if not line:
            continue
        if not typed:
            print(f"> {line}", flush=True)
        yield line


def _desk(config: Path | None, networks: Path | None, weights: Path | None, folder: Path) -> Desk:
    """The language model of cloud.toml, or that of a folder, and networks that read for it by its rules."""
    from cloud.config import CloudConfig
    from models.anyecg.chat.stretches import Desk
    from models.config import load

    language, encoder = _language(config, weights)
    rules = load(config, CloudConfig).rules
    read = partial(read_strip, networks=networks, encoder=encoder, rules=rules)
    return Desk(language(), read, folder, _say if sys.stderr.isatty() else _hush)


def _language(config: Path | None, weights: Path | None) -> tuple[Callable[[], Chat], Path]:
    """What loads the language model of cloud.toml, or of a folder; and the encoder that it learned with."""
    from cloud.config import CloudConfig
    from cloud.language import encoder_of, load_language
    from models.config import load

    chosen = load(config, CloudConfig).chat
    chosen = chosen if weights is None else chosen.model_copy(update={"weights": weights})

    def language() -> Chat:
        loaded = load_language(chosen)
        if loaded is None:
            raise UsageError(f'{config}: chat.size = "off"; there is no language model to ask.')
        return loaded[0]

    return language, encoder_of(chosen)


def read_strip(
    recording: Recording, record: str, networks: Path | None, encoder: Path, rules: RuleConfig | None = None
) -> Reading:
    """The recording as served, by the networks that had left `record` ("mitdb/208") out; absent `rules`: the
    usual ones."""
    from cloud.reading import read

    screener, localizer = _networks(_left_out(networks, record))
    parts = list(_parts(recording, screener, [], everything=True))
    each = None if rules is None else [rules] * len(parts)
    return read(parts, localizer, _eyes(encoder), each, bounds=(0.0, recording.duration_s))


@cache
def _eyes(encoder: Path) -> Eyes:
    from models.anyecg.chat.eyes import Eyes

    return Eyes(encoder)


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
    from models.logs import set_up

    chosen = load(config, EdgeConfig)
    set_up("edge", chosen.log, verbose=verbose)
    asyncio.run(run_edge(chosen))


@edge_app.command("recorded")
def edge_recorded(config: Config = None) -> None:
    """What the edge's recorder holds, and what had to make room: one JSON object on stdout."""
    from edge.export import listed

    print(json.dumps(listed(_recorded(config), _say)))


@edge_app.command("export")
def edge_export(
    start: Annotated[str, typer.Option("--from", metavar="WHEN", help="2026-03-01T08:00:00Z, or seconds.")],
    end: Annotated[
        str, typer.Option("--to", metavar="WHEN", help="Both as times, or as seconds since boot.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="RECORD", help="Without its suffix.")],
    patch: Annotated[str | None, typer.Option(help="Absent: the only one there is.")] = None,
    boot: Annotated[
        int | None, typer.Option(help="See `edge recorded`. Absent: all, or the only one.")
    ] = None,
    fmt: Annotated[str, typer.Option("--format", metavar="wfdb|edf")] = "wfdb",
    config: Config = None,
) -> None:
    """A stretch of what the edge recorded as WFDB or EDF; what it holds, one JSON object on stdout."""
    from edge.export import Format, Moment, chosen, export

    recorded = _recorded(config)
    if fmt not in set(Format):
        raise UsageError(f"--format {fmt}: it is {' or '.join(Format)}.")
    begin, until = Moment.parse(start, "--from"), Moment.parse(end, "--to")
    boots = chosen(recorded, patch, boot, absolute=begin.absolute)
    print(json.dumps(export(recorded, begin, until, out, boots, Format(fmt), _say)))


def _recorded(config: Path | None) -> Recorded:
    """The folder of the recorder of edge.toml."""
    from edge.config import EdgeConfig
    from edge.recorded import Recorded
    from models.config import load

    return Recorded(load(config, EdgeConfig).recordings)


@cloud_app.command("run")
def cloud_run(config: Config = None, verbose: Verbose = False) -> None:
    """Commit, measure, alert, report, and serve the page; until it is stopped."""
    from cloud.config import CloudConfig
    from cloud.node import serve
    from models.config import load
    from models.logs import set_up

    chosen = load(config, CloudConfig)
    set_up("cloud", chosen.log, verbose=verbose)
    asyncio.run(serve(chosen, _say))


User = Annotated[str, typer.Argument(metavar="NAME", help="Of the user.")]
PatchId = Annotated[str, typer.Argument(metavar="PATCH", help="Its id.")]


@user_app.command("add")
def user_add(
    name: User,
    role: Annotated[str, typer.Option(help="viewer, nurse, clinician, operator or admin.")],
    wards: Annotated[str, typer.Option(metavar="A,B", help="Whose patches a user sees.")] = "",
    config: Config = None,
) -> None:
    """Make a user; the password is asked for, or is the first line of stdin."""
    from cloud.roles import role_of, wards_of

    with _people(config) as (people, _, who):
        people.add(who, name, _password(), role_of(role), wards_of(wards))


@user_app.command("list")
def user_list(config: Config = None) -> None:
    """JSON on stdout."""
    with _people(config, make=False) as (people, _, _who):
        print(json.dumps([asdict(user) for user in people.users()]))


@user_app.command("disable")
def user_disable(name: User, config: Config = None) -> None:
    """Out at once, and not in again."""
    with _people(config, make=False) as (people, _, who):
        people.disable(who, name)


@user_app.command("password")
def user_password(name: User, config: Config = None) -> None:
    """Give a user a new password, which ends the sessions; it is asked for, or is the first line of stdin."""
    with _people(config, make=False) as (people, _, who):
        people.set_password(who, name, _password())


@cloud_app.command("assign")
def cloud_assign(
    patch: PatchId,
    patient: Annotated[str, typer.Option(metavar="ID", help="Of the patient; no name.")],
    ward: Annotated[str, typer.Option(help="Who sees what the patch records.")],
    begin: Annotated[
        str | None, typer.Option("--from", metavar="2026-12-31T08:30", help="Absent: now.")
    ] = None,
    config: Config = None,
) -> None:
    """Put a patch on a patient, or move it; what it has recorded stays where it is."""
    from cloud.assignments import begin_of

    with _people(config) as (_, assignments, who):
        start = begin_of(begin or "")
        print(json.dumps(asdict(assignments.assign(who, patch, patient, ward, start=start))))


@cloud_app.command("unassign")
def cloud_unassign(patch: PatchId, config: Config = None) -> None:
    """From now on the patch is on nobody."""
    with _people(config, make=False) as (_, assignments, who):
        print(json.dumps(asdict(assignments.end(who, patch))))


@contextlib.contextmanager
def _people(config: Path | None, *, make: bool = True) -> Iterator[tuple[People, Assignments, Person]]:
    """The users and assignments of cloud.toml's store, and who sits here; `make` one where there is none."""
    from cloud.assignments import Assignments
    from cloud.config import CloudConfig
    from cloud.people import People
    from cloud.prints.tracing import open_kept
    from cloud.roles import Person, Role
    from cloud.store import open_store
    from models.config import load

    chosen = load(config, CloudConfig)
    store = open_store(chosen.store) if make else open_kept(chosen.store)
    try:
        yield (
            People(store, chosen.people),
            Assignments(store),
            Person(name=f"{getpass.getuser()} at the terminal", role=Role.ADMIN),
        )
    finally:
        store.close()


def _password() -> str:
    """Asked for twice at a terminal, else the first line of stdin; never an argument, which others read."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise UsageError("The two passwords differ.")
    return password


Episode = Annotated[str | None, typer.Option(metavar="ID", help="An episode.")]
OfPatch = Annotated[str | None, typer.Option("--patch", metavar="ID", help="A patch, between two moments.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="T", help="Patch: 2026-05-01T10:00+00:00; episode: its seconds."),
]
To = Annotated[str | None, typer.Option("--to", metavar="T", help="As --from.")]
StoreOf = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.toml", help="Of the node, which may run.")
]


@cloud_app.command("print")
def cloud_print(
    what: Annotated[
        str | None, typer.Argument(metavar="[study]", help="All days of a patch on one patient.")
    ] = None,
    *,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help=".pdf; of an episode .svg, .png too.")
    ],
    episode: Episode = None,
    patch: OfPatch = None,
    start: From = None,
    end: To = None,
    config: StoreOf = None,
) -> None:
    """The report of an episode, of a patch's day or of a study, as PDF; an episode's strip as SVG or PNG."""
    from cloud.prints.command import print_to

    if what not in {None, "study"}:
        raise UsageError(f"There is no print '{what}': write study, or neither.")

    told = os.environ.get("SOURCE_DATE_EPOCH", "")  # reproducible-builds.org: the same bytes again
    now = float(told) if told.isdigit() else time.time()
    print_to(out, _kept(config), _wanted(episode, patch, start, end, study=what is not None), now)


@cloud_app.command("export")
def cloud_export(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Gets the files.")],
    episode: Episode = None,
    patch: OfPatch = None,
    start: From = None,
    end: To = None,
    as_edf: Annotated[bool, typer.Option("--edf", help="EDF+ instead of WFDB.")] = False,
    by_people: Annotated[
        bool, typer.Option("--people", help="What people marked as .atr, the findings as .model.")
    ] = False,
    config: StoreOf = None,
) -> None:
    """Samples with the findings as annotations: of an episode, or of all that came of a patch in a time."""
    from cloud.prints.command import export_to

    wanted = _wanted(episode, patch, start, end)
    for path in export_to(out, _kept(config), wanted, as_edf=as_edf, by_people=by_people):
        print(path)


def _kept(config: Path | None) -> str:
    """The store's URL."""
    from cloud.config import CloudConfig
    from models.config import load

    return load(config, CloudConfig).store


def _wanted(
    episode: str | None, patch: str | None, start: str | None, end: str | None, *, study: bool = False
) -> Wanted:
    from cloud.prints.command import Wanted

    return Wanted(episode=episode, patch=patch, start=start, end=end, study=study)


@broker_app.command("run")
def broker_run(port: Annotated[int, typer.Option(min=1, max=65535)] = 1883) -> None:
    """Serve MQTT 5 on this machine's loopback address."""
    from cloud.broker import run_broker
    from models.logs import set_up

    set_up("broker")
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
    from models.logs import set_up
    from models.recordings import open_recording

    set_up("patch")
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


# -- the audit chain ----------------------------------------------------------------------------------------


StoreUrl = Annotated[
    str | None, typer.Option("--store", metavar="sqlite:///PATH", help="Absent: that of --config.")
]


@audit_app.command("verify")
def audit_verify(
    store: StoreUrl = None,
    config: Config = None,
    heads: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Absent: PATH.audit-heads; better a copy elsewhere.")
    ] = None,
) -> None:
    """Find whatever was altered, removed or reordered, as one JSON object; exit code 1 if anything was."""
    from cloud.audit_check import verify

    path = _store_path(store, config)
    found = verify(path, heads)
    print(json.dumps(found))
    problems = found["problems"]
    if problems:
        raise DeliveryError(
            f"The audit chain of {path} is not sound; problems: {found['problem_count']},"
            f" the first ({problems[0]['kind']}): {problems[0]['text']}"
        )
    _say(f"The audit chain of {path} is sound: {found['rows']} rows, {found['heads']} heads noted.")


@audit_app.command("show")
def audit_show(
    store: StoreUrl = None,
    config: Config = None,
    alert: Annotated[str | None, typer.Option(metavar="ID", help="With its episodes.")] = None,
    episode: Annotated[str | None, typer.Option(metavar="ID")] = None,
    patch: Annotated[str | None, typer.Option(metavar="ID")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many rows.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a row.")] = False,
) -> None:
    """What happened, in order: to an alert, an episode, a patch, or in all."""
    from cloud.audit_history import history, in_words

    asked = {"alert": alert, "episode": episode, "patch": patch}
    about = {name: ident for name, ident in asked.items() if ident is not None}
    for row in history(_store_path(store, config), about, limit):
        print(json.dumps(row) if as_json else "\n".join(in_words(row)))


def _store_path(store: str | None, config: Path | None) -> str:
    from cloud.config import CloudConfig
    from cloud.store import path_of
    from models.config import load

    return path_of(load(config, CloudConfig).store if store is None else store)


# -- networks -----------------------------------------------------------------------------------------------


Out = Annotated[Path, typer.Option(metavar="DIR", help="Checkpoints, weights and folds; one for both.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE.toml", help="Absent: the shipped weights' own.")
]


@train_app.command("screener")
def train_screener(out: Out, recipe: RecipeFile = None) -> None:
    """Train, cross-validate and export the screener; resumes where it was interrupted."""
    from models.config import load
    from models.screener.train import Recipe, train

    train(out, _data(), load(recipe, Recipe))


@train_app.command("localizer")
def train_localizer(
    out: Out,
    recipe: RecipeFile = None,
    only: Annotated[str | None, typer.Option(metavar="dense,beats,rhythm", help="Absent: all.")] = None,
) -> None:
    """Train, cross-validate and export the localizer's networks; resumes where it was interrupted."""
    from models.anyecg.train import NETWORKS, Recipe, train
    from models.config import load

    networks = NETWORKS if only is None else tuple(only.split(","))
    for network in networks:
        if network not in NETWORKS:
            raise UsageError(f"--only {network}: the networks are {', '.join(NETWORKS)}.")
    train(out, _data(), load(recipe, Recipe), networks)


@train_app.command("chat")
def train_chat(
    out: Out,
    networks: Annotated[
        Path, typer.Option(metavar="DIR", help="A finished `anyecg train localizer`, with its folds.")
    ],
    recipe: RecipeFile = None,
    stage: Annotated[int, typer.Option(min=0, max=3, help="The last one.")] = 3,
) -> None:
    """Train the language model in its three stages on ECGs as the code that serves reads them; resumes."""
    from models.anyecg.chat.corpus import Corpus
    from models.anyecg.chat.eyes import make_encoder
    from models.anyecg.chat.readings import digest, prepare
    from models.anyecg.chat.readings import load as readings
    from models.anyecg.chat.strips import signals
    from models.anyecg.chat.train import Recipe, claim_networks, train_adapter, train_small
    from models.config import load

    chosen, data, encoder = load(recipe, Recipe), _data(), out / "encoder.onnx"
    folds, eyes = _folds(networks), networks / "fold0" / "dense.onnx"
    if folds is None or not eyes.is_file():
        raise UsageError(f"--networks {networks} lacks folds.json or fold0; make it: anyecg train localizer.")
    claim_networks(out, (networks / "folds.json", eyes))
    if encoder.is_file():
        _say(f"{encoder} is there and kept.")
    else:
        make_encoder(eyes, encoder, signals(data, folds))
    prepare(out, data, partial(read_strip, networks=networks, encoder=encoder), folds, progress=_say)
    corpus = Corpus(readings(out))
    if chosen.size == "small":
        train_small(out, corpus.draw, chosen, corpus.texts(TOKENIZER_TEXTS, 0), digest(out), stage)
    else:
        train_adapter(out, corpus.draw, chosen, digest(out), stage)


@dataset_app.command("build")
def dataset_build(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the JSONL files and card.json go.")],
    databases: Annotated[str | None, typer.Option(metavar="mitdb,ptbxl", help="Absent: all.")] = None,
    seed: int = 1,
) -> None:
    """The anyECG dataset from the databases under $ANYECG_DATA, in chat form, split by patient."""
    from models.dataset.anyecg.build import build

    names = None if databases is None else databases.split(",")
    print(json.dumps(build(out, _data(), names, seed, _say)))


@app.command()
def evaluate(
    what: Annotated[What, typer.Argument(help="What is measured.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="WFDB records with annotations, or of the rows' ECGs.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="NAME", help="DIR holds many databases: this one.")
    ] = None,
    records: Annotated[str | None, typer.Option(metavar="101,106", help="Absent: all of RECORDS.")] = None,
    leads: Annotated[
        str | None, typer.Option("--leads", "--lead", metavar="0,1", help="Numbers or names; absent: all.")
    ] = None,
    noise: Annotated[str | None, typer.Option(metavar="em", help="Record of the noise added.")] = None,
    snr: Annotated[float | None, typer.Option(metavar="dB", help="Signal to noise, as nst says it.")] = None,
    noise_data: Annotated[Path | None, typer.Option(metavar="DIR", help="Of the noise record.")] = None,
    networks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Of `train`: each record by the fold that left it out. Absent: shipped."
        ),
    ] = None,
    annotator: Annotated[str, typer.Option(metavar="EXT", help="Of the annotation files.")] = "atr",
    skip: Annotated[float, typer.Option(min=0, metavar="S", help="Beats before it do not count.")] = 0.0,
    strips: Annotated[int, typer.Option(min=1, help="Localization: by record, type and protocol.")] = 4,
    readings: Annotated[
        Path | None, typer.Option(metavar="DIR", help="chat, reports: of `train chat`; its held-out fold.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="chat, reports: rows of `dataset build`, over --data.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of the language model. Absent: shipped.")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="chat, reports: strips or rows, drawn evenly.")] = 100,
    seed: Annotated[int, typer.Option(help="chat, reports: of what is drawn and how it is asked.")] = 0,
    config: Config = None,
    only_flagged: Annotated[
        bool, typer.Option("--only-flagged", help="Send what the edge flags, as in operation, not all.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What is served, beside what experts said and beside what needs no ECG."""
    from models.evaluation import run as evaluation
    from models.evaluation.chat_choice import Choice
    from models.evaluation.shown import progress, table

    if what in {What.CHAT, What.REPORTS}:
        choice = Choice(
            readings=readings,
            questions=questions,
            data=data,
            folds=_folds(networks),
            size=sample,
            seed=seed,
            reports_only=what is What.REPORTS,
        )
        figures = _consulted(choice, networks, config, weights)
        print(json.dumps(figures, allow_nan=False) if as_json else table(figures))
        return
    if data is None:
        raise UsageError(f"anyecg evaluate {what} needs --data DIR.")
    chosen = evaluation.Chosen(
        data=data,
        database=database,
        records=None if records is None else tuple(records.split(",")),
        leads=leads,
        noise=noise,
        snr_db=snr,
        noise_data=noise_data,
        annotator=annotator,
        skip_s=skip,
        strips=strips,
        jobs=jobs,
    )
    source = database or data.resolve().name
    how = partial(serve, networks=networks, source=source, only_flagged=only_flagged)
    figures = evaluation.evaluate(what, chosen, how, progress(_say))
    print(json.dumps(figures, allow_nan=False) if as_json else table(figures))


def serve(
    recording: Recording, networks: Path | None = None, *, source: str = "", only_flagged: bool = False
) -> Served:
    """What edge and cloud say of a recording: of all of it, or of what the edge flags and sends.

    `source` is its database: of the folder of a training the networks serve that had left the record out.
    """
    from cloud.analyst import EpisodeAnalyst
    from models.evaluation.served import JOIN_S, Served, joined, laid_out

    screener, localizer = _networks(_left_out(networks, f"{source}/{recording.patch_id}"))
    windows: list[Screening] = []
    analysts: dict[str, EpisodeAnalyst] = {}
    begins: dict[str, int] = {}
    said: dict[tuple[str, int], int] = {}  # (label, first) of a spell -> the last sample heard by then
    for part in _parts(recording, screener, windows, everything=not only_flagged):
        analyst = analysts.setdefault(part.episode_id, EpisodeAnalyst(localizer))
        begins.setdefault(part.episode_id, part.first)
        analyst.push(part)
        for spell in analyst.spells:
            said.setdefault((spell.label, spell.first), part.last)
    episodes = (e for a in analysts.values() for e in _episodes_of(a, said, recording.fs))
    return Served(
        fs=recording.fs,
        samples=recording.counts.shape[1],
        models=(screener.model, localizer.model),
        beats=tuple(beat for analyst in analysts.values() for beat in _beats_of(analyst)),
        episodes=joined(episodes, begins.values(), reach=round(JOIN_S * recording.fs)),
        windows=tuple(windows),
        unreadable=tuple((dark.first, dark.last) for a in analysts.values() for dark in a.darks),
        rhythm=laid_out((begins[i] / recording.fs, a.rhythm) for i, a in analysts.items()),
    )


def _consulted(choice: Choice, networks: Path | None, config: Path | None, weights: Path | None) -> Figures:
    """Figures of the language model of cloud.toml, or of the one whose weights are in a folder."""
    from models.evaluation.chat import evaluate
    from models.evaluation.shown import progress

    language, encoder = _language(config, weights)
    return evaluate(choice, language, partial(read_strip, networks=networks, encoder=encoder), progress(_say))


def _folds(networks: Path | None) -> dict[str, int] | None:
    """Of a training, None where there are none."""
    if networks is None or not (networks / "folds.json").is_file():
        return None
    try:
        folds: dict[str, int] = json.loads((networks / "folds.json").read_text())
    except ValueError as error:
        raise UsageError(f"{networks / 'folds.json'} is no JSON: {error}.") from error
    return folds


def _left_out(training: Path | None, record: str) -> Path | None:
    """Of a training the networks that had left `record` ("mitdb/208") out; else the folder itself."""
    fold = (_folds(training) or {}).get(record)
    return training if training is None or fold is None else training / f"fold{fold}"


@cache
def _networks(folder: Path | None) -> tuple[Screener, Localizer]:
    """The shipped ones, or those of a training's folder."""
    from models.anyecg.localizer import Localizer
    from models.screener.runtime import Screener

    if folder is not None:
        missing = [name for name in TRAINED if not (folder / name).is_file()]
        if missing:
            raise UsageError(f"{folder} lacks {', '.join(missing)}: anyecg train localizer, and screener.")
    return Screener(None if folder is None else folder / "screener.onnx"), Localizer(folder)


def _parts(
    recording: Recording, network: Screener, heard: list[Screening], *, everything: bool
) -> Iterator[Segment]:
    """What is sent of the recording; the edge's own verdict on each window goes to `heard`."""
    from edge.intake import Intake
    from edge.screening import WindowScreener
    from models.ecg import Segment
    from models.recordings import RecordingSource

    screen = WindowScreener(network)

    def sent(window: Window) -> Screening:
        heard.append(screen(window))
        return replace(heard[-1], flagged=everything or heard[-1].flagged)

    intake = Intake(sent)
    for item in RecordingSource(recording).blocks():
        yield from (part for part in intake.push(item) if isinstance(part, Segment))


def _beats_of(analyst: EpisodeAnalyst) -> Iterator[SaidBeat]:
    from models.evaluation.served import SaidBeat

    told = {spell.label for spell in analyst.spells}  # a form that is not told of the episode is not said
    for beat in analyst.beats:
        form = beat.form if beat.form in told else None
        yield SaidBeat(
            r=beat.r,
            label="Q"
            if form == "PACED" and beat.label == "N"
            else beat.label,  # AAMI EC57: paced beats are Q
            morphology=form,
            readable=beat.readable,
            chances=beat.chances,
        )


def _episodes_of(
    analyst: EpisodeAnalyst, said: Mapping[tuple[str, int], int], fs: float
) -> Iterator[SaidEpisode]:
    """The rhythms among the analyst's spells."""
    from models.evaluation.served import SaidEpisode
    from models.verdicts import LABELS, Kind

    for spell in analyst.spells:
        if LABELS[spell.label].kind is Kind.RHYTHM:
            own = [at for (label, first), at in said.items() if label == spell.label and first >= spell.first]
            evident, alarm = _urgency(spell, fs)
            yield SaidEpisode(
                label=spell.label,
                first=spell.first,
                last=spell.last,
                evident=evident,
                said=min(own),
                alarm=alarm,
                probability=spell.probability,
            )


def _urgency(spell: Spell, fs: float) -> tuple[int, bool]:
    """With which sample the rule held, and whether the default table calls a nurse at high priority."""
    from cloud.calling import of_spell
    from cloud.config import RuleConfig
    from cloud.rules import RUN_BEATS, fast_from
    from models.verdicts import Priority

    urgent = [cause.at for cause in of_spell(spell, RuleConfig(), fs) if cause.priority is Priority.HIGH]
    third = fast_from(spell.marks, RUN_BEATS, fs) if spell.label == "VT" else None
    return third or min(urgent, default=spell.last), bool(urgent)


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
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _end(UsageError(f"This needs {error.name}, which is not installed: pip install 'anyecg[{extra}]'."))
    except BrokenPipeError:  # `anyecg replay ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a name too long, no permission, no room
        _end(error)


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


def _hush(_sentence: str) -> None:
    """Progress that nobody watches."""


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
