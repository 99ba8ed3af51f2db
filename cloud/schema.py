"""The tables of the SQLite store; every change is a numbered migration, and none is ever edited."""

from __future__ import annotations

from models.sqlite import Database, Migrations

migrations = Migrations("cloud")


@migrations(name="0001")
def _create(db: Database) -> None:
    for statement in _TABLES.strip().split(";\n"):
        db.execute(statement)


@migrations(name="0002")
def _add_language(db: Database) -> None:
    """A report is a template's until a language model has written it; it rests on its evidence."""
    for column in _LANGUAGE:
        db.execute(f"alter table reports add column {column}")


@migrations(name="0006")
def _add_people(db: Database) -> None:
    """Who may come in, which patient a patch is on, and who changed that. Of secrets only hashes are kept."""
    for statement in _PEOPLE.strip().split(";\n"):
        db.execute(statement)


_LANGUAGE = (
    "evidence text",
    "written text",
    "due_at real not null default 0",
    "lease_until real not null default 0",
    "attempts integer not null default 0",
    "claims integer not null default 0",
    "replaced integer not null default 0",
    "added integer not null default 0",
)
_TABLES = """
create table segments (
    id text primary key, episode_id text not null, patch_id text not null, boot_id integer not null,
    part integer not null, final integer not null, continues text, opened_by text not null,
    first integer not null, last integer not null, fs real not null, leads text not null,
    sha256 text not null, seq integer not null, site text not null,
    utc_0 real, clock_fs real, edge_received_at real, received_at real not null, payload blob not null
) without rowid;
create index segments_episode on segments (episode_id, first);
create table jobs (
    id integer primary key, segment_id text not null unique references segments (id),
    episode_id text not null, patch_id text not null, owner text, lease_until real not null default 0,
    attempts integer not null default 0, done integer not null default 0, reason text
);
create index jobs_open on jobs (done, id);
create table findings (
    id text primary key, episode_id text not null, segment_id text not null, label text not null,
    first integer not null, last integer not null, leads text not null, probability real,
    evidence text not null, open integer not null,
    sampled_at real, edge_received_at real, shown_at real not null
) without rowid;
create index findings_episode on findings (episode_id, first);
create table reports (
    id text primary key, episode_id text not null, position integer not null, report text not null
) without rowid;
create table alerts (
    id text primary key, patch_id text not null, alert text not null, priority integer not null,
    sampled_at real, edge_received_at real, shown_at real not null, updated_at real not null
) without rowid;
create table technical (
    id integer primary key, patch_id text not null, kind text not null, text text not null,
    raised_at real not null, cleared_at real
);
create table patches (
    patch_id text primary key, site text not null, online integer not null, heard_at real not null,
    boot_id integer, heartbeat text not null, unreadable_s real not null, missing_s real not null,
    unreadable_run_s real not null
) without rowid;
create table rejects (
    id integer primary key, topic text not null, reason text not null, segment_id text, patch_id text,
    payload blob not null, received_at real not null
);
create table events (
    id integer primary key autoincrement, kind text not null, data text not null, written_at real not null
)
"""
_PEOPLE = """
create table patients (
    id text primary key, pseudonym text not null unique, name text not null, born text not null,
    phone text not null, ward text not null
) without rowid;
create table assignments (
    id integer primary key, patch_id text not null, patient_id text not null references patients (id),
    ward text not null, start_at real not null, end_at real
);
create index assignments_patch on assignments (patch_id, start_at);
create table users (
    name text primary key, role text not null, hash text not null, wards text not null,
    assignment_id integer references assignments (id), disabled integer not null default 0
) without rowid;
create table sessions (
    token text primary key, user text not null references users (name),
    began_at real not null, seen_at real not null
) without rowid;
create table codes (
    code text primary key, role text not null, assignment_id integer references assignments (id),
    expires_at real not null
) without rowid;
create table changes (
    id integer primary key autoincrement, at real not null, who text not null, what text not null,
    subject text not null, details text not null
)
"""
