"""The node refuses to be open to everybody, and beyond this machine speaks TLS to its users only."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud.broker import free_port
from cloud.config import CloudConfig, PeopleConfig, TlsConfig
from cloud.node import check_people, serve
from cloud.people import People
from cloud.roles import LOCAL, Role
from cloud.sqlite_store import SqliteStore
from models.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"


class BrokerProcess(Protocol):
    url: str


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsConfig:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anyECG")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    made = TlsConfig(certificate=folder / "certificate.pem", key=folder / "key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    for path, secrecy in (
        (made.key, serialization.NoEncryption()),
        (folder / "locked.pem", serialization.BestAvailableEncryption(b"passphrase")),
    ):
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secrecy))
    return made


async def refused(config: CloudConfig) -> str:
    """The one sentence with which the node refuses to begin."""
    with pytest.raises(UsageError) as error:
        await asyncio.wait_for(serve(config), 60)
    return str(error.value)


async def test_a_node_beyond_this_machine_needs_encryption_and_makes_no_store(tmp_path: Path) -> None:
    config = CloudConfig(host="0.0.0.0", store=f"sqlite:///{tmp_path / 'cloud.db'}", port=free_port())
    assert "beyond this machine, which needs encryption" in await refused(config)
    assert not (tmp_path / "cloud.db").exists()


async def test_a_node_beyond_this_machine_needs_users_who_must_sign_in(
    tmp_path: Path, tls: TlsConfig
) -> None:
    store = tmp_path / "cloud.db"
    config = CloudConfig(host="0.0.0.0", store=f"sqlite:///{store}", port=free_port(), tls=tls)
    assert "make an admin with `anyecg cloud user add NAME --role admin`" in await refused(config)
    made = SqliteStore(str(store))
    People(made).add(LOCAL, "chief", PASSWORD, Role.ADMIN)
    made.close()
    lenient = config.model_copy(update={"people": PeopleConfig(required=False)})
    assert "nobody would have to sign in" in await refused(lenient)


@pytest.mark.parametrize("wrong", ["nowhere.pem", "locked.pem", "certificate.pem"])
async def test_a_key_that_cannot_be_used_is_one_sentence(tmp_path: Path, tls: TlsConfig, wrong: str) -> None:
    broken = tls.model_copy(update={"key": tls.key.with_name(wrong)})
    config = CloudConfig(tls=broken, store=f"sqlite:///{tmp_path / 'cloud.db'}", port=free_port())
    assert f"{wrong} cannot be used: " in await refused(config)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("localhost.example", False),
    ],
)
def test_only_loopback_is_local(host: str, local: bool) -> None:
    assert CloudConfig(host=host).local is local


@pytest.mark.parametrize(
    ("required", "users", "told"),
    [
        (None, False, False),
        (None, True, False),
        (False, False, False),
        (True, True, False),
        (True, False, True),
    ],
)
def test_the_first_users_code_is_said_where_nobody_can_sign_in_who_must(
    store: SqliteStore, required: bool | None, users: bool, told: bool
) -> None:
    config = CloudConfig(port=8123, people=PeopleConfig(required=required))
    people, said = People(store, config.people), list[str]()
    if users:
        people.add(LOCAL, "chief", PASSWORD, Role.ADMIN)
    check_people(config, people, said.append)
    assert len(said) == told
    if told:
        assert said[0].startswith(
            "The first user: open http://127.0.0.1:8123/join within 10 minutes and enter "
        )
        people.join(said[0].split()[-1], "chief", PASSWORD)
        assert [user.role for user in people.users()] == [Role.ADMIN]


@pytest.fixture
def node(tmp_path: Path, tls: TlsConfig, broker: BrokerProcess) -> Iterator[int]:
    """The command itself, on every address of this machine; its user is `chief`."""
    port, config = free_port(), tmp_path / "cloud.toml"
    config.write_text(
        f'broker = "{broker.url}"\nhost = "0.0.0.0"\nport = {port}\nstore = "sqlite:///{tmp_path}/cloud.db"\n'
        f'[tls]\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n[chat]\nsize = "off"\n'
    )
    anyecg = [sys.executable, "-m", "anyecg", "cloud"]
    settings = ["--config", str(config)]
    subprocess.run(
        [*anyecg, "user", "add", "chief", "--role", "admin", *settings],
        cwd=ROOT,
        input=f"{PASSWORD}\n",
        text=True,
        check=True,
    )
    with (tmp_path / "node.log").open("w") as log:
        process = subprocess.Popen([*anyecg, "run", *settings], cwd=ROOT, stderr=log)
        yield port
        process.kill()
        process.wait()


def test_a_node_with_users_serves_everybody_by_tls_and_believes_no_forwarded_address(
    node: int, tls: TlsConfig, tmp_path: Path
) -> None:
    trust = ssl.create_default_context(cafile=str(tls.certificate))
    with httpx.Client(base_url=f"https://127.0.0.1:{node}", verify=trust, timeout=20) as client:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                client.get("/healthz")
                break
            time.sleep(0.2)
        assert client.get("/api/alerts").status_code == 401
        answer = client.post("/login", data={"name": "chief", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-anyecg=")
        assert "secure" in cookie.lower()
        assert client.get("/api/alerts").json() == []
        assert client.get("/healthz", headers={"Host": "ward.example"}).status_code == 200
        wrong = {"name": "chief", "password": "wrong"}
        client.post("/login", data=wrong, headers={"X-Forwarded-For": "10.0.0.1"})
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{node}/healthz", timeout=5)
    assert "somebody was refused at the page from 127.0.0.1" in (tmp_path / "node.log").read_text()
