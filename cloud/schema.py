"""The tables of the SQLite store; every change is a numbered migration, and none is ever edited."""

from __future__ import annotations

import time

from cloud.chain import COLUMNS, STORED, adopted
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


@migrations(name="0003")
def _add_trends(db: Database) -> None:
    for statement in _TRENDS.strip().split(";\n"):
        db.execute(statement)


@migrations(name="0004")
def _add_audit(db: Database) -> None:
    """The audit chain; its first row says what was there before it, which in a new store is nothing."""
    for statement in _AUDIT.strip().split(";\n"):
        db.execute(statement)
    stored = db.execute(f"select kind, id from ({STORED}) order by kind, id")  # noqa: S608
    row = adopted(stored, time.time())
    db.execute(
        f"insert into audit values ({', '.join('?' * len(COLUMNS))})",  # noqa: S608
        [row[name] for name in COLUMNS],
    )


@migrations(name="0005")
def _add_courses(db: Database) -> None:
    """What becomes of an alert; those of before have been raised, once, and nobody has answered."""
    for statement in _COURSES.strip().split(";\n"):
        db.execute(statement)


@migrations(name="0006")
def _add_people(db: Database) -> None:
    """Who may come in, which patient a patch is on, and who changed that. Of secrets only hashes are kept."""
    for statement in _PEOPLE.strip().split(";\n"):
        db.execute(statement)


@migrations(name="0007")
def _add_commands(db: Database) -> None:
    """What is asked of edges, and the stretches that they send of what they recorded."""
    for statement in _COMMANDS.strip().split(";\n"):
        db.execute(statement)


@migrations(name="0008")
def _add_symptoms(db: Database) -> None:
    """What patients tell."""
    for statement in _SYMPTOMS.strip().split(";\n"):
        db.execute(statement)


@migrations(name="0009")
def _add_what_people_write(db: Database) -> None:
    """Revisions and signatures of reports, and what people mark on strips: rows come and never change."""
    for statement in _WRITTEN.strip().split(";\n"):
        db.execute(statement)
    for table in ("revisions", "signatures", "annotations"):
        db.execute(
            f"create trigger {table}_no_update before update on {table}"
            " begin select raise(abort, 'what a person wrote is never changed'); end"
        )


@migrations(name="0010")
def _add_retention(db: Database) -> None:
    """When a rule deleted a part's samples; its row stays."""
    db.execute("alter table segments add column deleted_at real")


@migrations(name="0011")
def _add_pulse(db: Database) -> None:
    """What a node writes to see whether it can."""
    db.execute("create table pulse (id integer primary key check (id = 1), at real not null)")


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
_TRENDS = """
create table trends (
    id text primary key, patch_id text not null, boot_id integer not null, first integer not null,
    last integer not null, fs real not null, missing_s real not null, unreadable_s real not null,
    flagged_s real not null, beats integer not null, n_V integer not null, n_S integer not null,
    af_s real not null, hr_min real, hr_mean real, hr_max real, model text not null, clock text not null,
    utc real, sha256 text not null, seq integer not null, site text not null, received_at real not null
) without rowid;
create index trends_utc on trends (patch_id, utc)
"""
_COURSES = """
alter table alerts add column state text not null default 'raised';
alter table alerts add column course text;
create index alerts_patch on alerts (patch_id, state);
create table alert_transitions (
    id integer primary key autoincrement, alert_id text not null, version integer not null,
    did text not null, state text not null, who text not null, screen text, at real not null, reason text
);
create index alert_transitions_alert on alert_transitions (alert_id, id);
create table deliveries (
    id integer primary key, key text not null unique, alert_id text not null, patch_id text not null,
    version integer not null, channel text not null, target text not null, after_s real not null,
    due_at real not null, next_try_at real not null, first_tried_at real,
    attempts integer not null default 0, state text not null default 'waiting', error text, done_at real
);
create index deliveries_due on deliveries (state, channel, next_try_at);
create index deliveries_alert on deliveries (alert_id, state);
create table thresholds (
    id integer primary key, patch_id text not null, own text not null, at real not null,
    who text not null, reason text not null
);
create table quiet_rules (
    id integer primary key autoincrement, patch_id text not null, label text not null,
    priority integer not null, since real not null, until real not null, reason text not null,
    who text not null, ended_at real, ended_by text, ended_why text
)
"""
# Rows only come. The third trigger also stops `insert or replace`, at which the second one is not asked.
_AUDIT = """
create table audit (
    number integer primary key, at real not null, who text not null, what text not null,
    patch_id text, episode_id text, segment_id text, report_id text, alert_id text,
    details text not null, previous text not null, hash text not null
);
create index audit_episode on audit (episode_id) where episode_id is not null;
create index audit_alert on audit (alert_id) where alert_id is not null;
create trigger audit_no_update before update on audit
    begin select raise(abort, 'a row of the audit chain is never changed'); end;
create trigger audit_no_delete before delete on audit
    begin select raise(abort, 'a row of the audit chain is never deleted'); end;
create trigger audit_no_hole before insert on audit
    when new.number is not (select coalesce(max(number), 0) + 1 from audit)
    begin select raise(abort, 'a row of the audit chain follows the last one'); end
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
) without rowid
"""
_COMMANDS = """
create table commands (
    id text primary key, patch_id text not null, kind text not null, body text not null,
    asked_by text not null, asked_at real not null, sends integer not null default 0, sent_at real,
    due_at real not null, state text not null default 'waiting', reason text not null default '',
    told text not null default '{}', answered_at real
) without rowid;
create index commands_due on commands (state, due_at);
create index commands_patch on commands (patch_id, asked_at);
create table ranges (
    id text primary key, patch_id text not null, boot_id integer not null, first integer not null,
    last integer not null, fs real not null, resolution integer not null, utc real, until_utc real,
    summary text not null, held integer not null, sha256 text not null, seq integer not null,
    site text not null, received_at real not null, payload blob not null
) without rowid;
create index ranges_utc on ranges (patch_id, utc);
create index segments_patch on segments (patch_id)
"""
_SYMPTOMS = """
create table symptoms (
    id text primary key, assignment_id integer not null references assignments (id),
    patch_id text not null, patient_id text not null references patients (id),
    at real not null, said_at real not null, kind text not null, note text not null, command text not null
) without rowid;
create index symptoms_patch on symptoms (patch_id, at);
create index symptoms_assignment on symptoms (assignment_id, said_at)
"""
_WRITTEN = """
create table revisions (
    id integer primary key, episode_id text not null, version integer not null, report_id text not null,
    generated text not null, text text not null, diff text not null, who text not null, at real not null,
    head_number integer not null, head_hash text not null
);
create index revisions_episode on revisions (episode_id, version);
create table signatures (
    id integer primary key, episode_id text not null, version integer not null, report_id text not null,
    addendum integer not null, generated text not null, text text not null, sha256 text not null,
    for_patient text not null, who text not null, at real not null,
    head_number integer not null, head_hash text not null
);
create index signatures_episode on signatures (episode_id, version);
create table annotations (
    id integer primary key, episode_id text not null, first integer not null, last integer not null,
    label text, leads text not null, comment text not null, who text not null, at real not null,
    replaces text, replaced text not null
);
create index annotations_episode on annotations (episode_id, id)
"""
