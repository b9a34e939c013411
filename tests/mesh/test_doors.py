"""Bad input at the doors between services: certificates, roles, frames, replays.

Whoever stands there holds some key of some cell. The wrong one gets nowhere, the right one cannot
say what its role may not say, and no bytes whatever make a process end.
"""

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from heptad.client import Terms, connect
from heptad.crypto.keys import Ed25519Key, KeyRole, load_service_key
from heptad.model.answers import RequestState, Wait
from heptad.model.batch import batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, EntryQuery
from heptad.model.routing import ranked
from heptad.runtime.channels import open_channel
from heptad.runtime.identity import Identity, Role
from heptad.runtime.pki import CertificateAuthority, Issued
from heptad.runtime.status import problem_of
from heptad.runtime.streams import open_frame_stream
from heptad.runtime.tls import TlsMaterial, load_member_tls, load_tls
from heptad.trials import meshes
from heptad.trials.tour.scene import replica_statuses
from heptad.wire.convert import validator as validator_wire
from heptad.wire.convert.entry import decode_entry
from heptad.wire.streams import (
    BatchFrame,
    FollowFrame,
    RefusedFrame,
    StandingFrame,
    decode_to_validator,
    encode_from_ledger,
)
from heptad.wire.streams import (
    encode_batch as encode_batch_frame,
)

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

VALIDATOR = "/heptad.validator.v1.ValidatorService"
REPLICA = "/heptad.replica.v1.ReplicaService"
LEDGER = "/heptad.ledger.v1.LedgerService"
VAULT = "/heptad.vault.v1.VaultService"
DEADLINE_S = 30


def client_tls(home, name):
    folder = home / "clients" / name
    return load_tls(ca=folder / "ca.pem", certificate=folder / "tls.pem", key=folder / "tls.key")


def of_other_ca(home, identity):
    """A certificate with the right name, from an authority of which nobody has heard."""
    stranger = CertificateAuthority.generate(origin=identity.cell, now=datetime.now(UTC))
    issued = stranger.issue(identity, now=datetime.now(UTC))
    ca = (home / "pki" / "ca.pem").read_bytes()
    return TlsMaterial(ca, issued.certificate_pem, issued.key_pem)


def channel_to(mesh, peer, tls):
    return open_channel(
        address=mesh.cell.member_addresses()[peer],
        peer_id=peer,
        origin=mesh.cell.origin,
        tls=tls,
    )


async def ask(mesh, peer, tls, method, request=b""):
    """The answer's bytes, or the code with which it was refused."""
    async with channel_to(mesh, peer, tls) as channel:
        try:
            return await channel.unary_unary(method)(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            return problem_of(error, unavailable="validator_unavailable").code


async def stream(mesh, peer, tls, method, *frames):
    """What a stream gives back to these frames, its first answer, or the code that ends it."""
    async with channel_to(mesh, peer, tls) as channel, asyncio.timeout(DEADLINE_S):
        # A stream fails at once while there is no connection, and that is not what is asked here.
        await channel.channel_ready()
        call = open_frame_stream(channel, method)
        answers = []
        try:
            for frame in frames:
                await call.write(frame)
            while (answer := await call.read()) is not None:
                answers.append(answer)
        except grpc.aio.AioRpcError as error:
            return answers, problem_of(error, unavailable="validator_unavailable").code
        return answers, ""


def run(work):
    return asyncio.run(work)


@pytest.fixture(autouse=True)
def nobody_dies(mesh):
    before = meshes.pids_of(mesh.home)
    yield
    assert meshes.pids_of(mesh.home) == before


def log_size(mesh):
    return max(status.log_size for status in run(replica_statuses(mesh.home)).values())


PEERS = ("replica-1", "validator-1", "ledger-1", "gateway-1")
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.mark.parametrize("peer", PEERS)
def test_a_certificate_of_another_authority_gets_no_connection(mesh, peer):
    tls = of_other_ca(mesh.home, Identity(mesh.cell.origin, Role.OPERATOR, "operator"))

    assert run(ask(mesh, peer, tls, HEALTH)) == "validator_unavailable"
    assert isinstance(run(ask(mesh, peer, client_tls(mesh.home, "operator"), HEALTH)), bytes)


@pytest.mark.parametrize("peer", PEERS)
def test_without_a_certificate_or_without_tls_there_is_no_connection(mesh, peer):
    async def knock():
        address = mesh.cell.member_addresses()[peer]
        ca = grpc.ssl_channel_credentials((mesh.home / "pki" / "ca.pem").read_bytes())
        options = [("grpc.ssl_target_name_override", f"{peer}.{mesh.cell.origin}")]
        for channel in (
            grpc.aio.secure_channel(address, ca, options=options),
            grpc.aio.insecure_channel(address),
        ):
            async with channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await channel.unary_unary(HEALTH)(b"", timeout=DEADLINE_S)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE

    run(knock())


def test_a_certificate_of_the_right_authority_for_another_cell_is_refused(mesh):
    """One authority may serve two cells; a certificate is good in its own one only."""
    ca_folder = mesh.home / "pki"
    files = [(ca_folder / name).read_bytes() for name in ("ca.pem", "ca.key")]
    authority = CertificateAuthority.load(Issued(*files))
    issued = authority.issue(
        Identity("other.heptad.internal", Role.OPERATOR, "operator"), now=datetime.now(UTC)
    )
    tls = TlsMaterial((ca_folder / "ca.pem").read_bytes(), issued.certificate_pem, issued.key_pem)

    assert run(ask(mesh, "ledger-1", tls, f"{LEDGER}/GetStatus")) == "cell_mismatch"


WRONG_ROLES = [
    ("tax-portal", "replica-1", f"{REPLICA}/SubmitBatches"),
    ("tax-portal", "replica-1", f"{REPLICA}/PeerStream"),
    ("auditor", "replica-1", f"{REPLICA}/Follow"),
    ("operator", "replica-1", f"{REPLICA}/Follow"),
    ("auditor", "validator-1", f"{VALIDATOR}/SubmitStream"),
    ("operator", "validator-1", f"{VALIDATOR}/SubmitStream"),
    ("tax-portal", "ledger-1", f"{VAULT}/Lease"),
    ("auditor", "ledger-1", f"{VAULT}/Lease"),
]


@pytest.mark.parametrize(("client", "peer", "method"), WRONG_ROLES)
def test_a_stream_is_for_its_roles_only(mesh, client, peer, method):
    # Nothing is sent: a write that meets the refusal half-way fails in words of gRPC's own.
    answers, code = run(stream(mesh, peer, client_tls(mesh.home, client), method))

    assert (answers, code) == ([], "role_refused")


WRONG_CALLS = [
    ("auditor", "validator-1", f"{VALIDATOR}/Submit"),
    ("auditor", "validator-1", f"{VALIDATOR}/RegisterSubject"),
    ("tax-portal", "validator-1", f"{VALIDATOR}/RecordStatement"),
    ("operator", "validator-1", f"{VALIDATOR}/RecordStatement"),
    ("officer", "validator-1", f"{VALIDATOR}/RecordPrivate"),
    ("auditor", "validator-1", f"{VALIDATOR}/GetStatus"),
]


@pytest.mark.parametrize(("client", "peer", "method"), WRONG_CALLS)
def test_a_call_is_for_its_roles_only(mesh, client, peer, method):
    assert run(ask(mesh, peer, client_tls(mesh.home, client), method)) == "role_refused"


@pytest.mark.parametrize("member", ["replica-2", "validator-2", "gateway-1"])
def test_members_may_not_do_each_others_work(mesh, member):
    tls = load_member_tls(home=mesh.home, name=member)

    _, follow = run(stream(mesh, "replica-1", tls, f"{REPLICA}/Follow"))
    statement = run(ask(mesh, "validator-1", tls, f"{VALIDATOR}/RecordStatement"))
    assert (follow, statement) == ("role_refused", "role_refused")
    if member != "validator-2":
        _, batches = run(stream(mesh, "replica-1", tls, f"{REPLICA}/SubmitBatches"))
        assert batches == "role_refused"


GARBAGE = [b"", b"\0", b"\xff" * 100, b"\x01", b"\x21\0", secrets.token_bytes(5_000)]


@pytest.mark.parametrize(
    ("member", "peer", "method"),
    [
        ("validator-1", "replica-1", f"{REPLICA}/SubmitBatches"),
        ("ledger-1", "replica-1", f"{REPLICA}/Follow"),
        ("replica-2", "replica-1", f"{REPLICA}/PeerStream"),
    ],
)
def test_garbage_on_a_hot_stream_ends_that_stream_and_nothing_else(doomed, member, peer, method):
    """With the certificate of the very member whose stream it is: what a broken or evil one sends.

    On a cell of its own: a second stream of one validator may well end the first one's.
    """
    before = meshes.pids_of(doomed.home)
    tls = load_member_tls(home=doomed.home, name=member)

    async def send(garbage):
        try:
            async with asyncio.timeout(4):
                return (await stream(doomed, peer, tls, method, garbage))[1]
        except TimeoutError:
            return "still open"

    async def send_all():
        return await asyncio.gather(*map(send, GARBAGE))

    codes = {*run(send_all())}
    # Six at once, besides the member's own stream, are more than one caller may have under way.
    # A stream that the member's next one has ended may be gone before its status can be sent; the
    # library then says "unknown". What breaks inside a handler is in the peer's log.
    unknown = "internal_error"
    assert codes <= {"", "frame_malformed", "batch_invalid", "overloaded", "still open", unknown}
    assert "handler_broke" not in (doomed.home / peer / "log.jsonl").read_text()
    assert codes & {"", "frame_malformed", "batch_invalid"}
    assert meshes.pids_of(doomed.home) == before


def test_garbage_to_the_vault_ends_the_stream_by_name(doomed):
    before = meshes.pids_of(doomed.home)
    tls = load_member_tls(home=doomed.home, name="validator-1")

    async def send(garbage):
        async with channel_to(doomed, "ledger-1", tls) as channel:
            call = channel.stream_stream(f"{VAULT}/Lease")()
            await call.write(garbage)
            try:
                async with asyncio.timeout(2):
                    while isinstance(await call.read(), bytes):
                        pass
            except grpc.aio.AioRpcError as error:
                return problem_of(error, unavailable="ledger_unavailable").code
            except TimeoutError:
                return "still open"
            return "ended well"

    async def send_all():
        return await asyncio.gather(*map(send, GARBAGE[1:]))

    codes = run(send_all())
    # Some garbage is a message that asks nothing: unknown fields are skipped, as protobuf does.
    assert {*codes} <= {"frame_malformed", "parameter_invalid", "still open"}
    assert "frame_malformed" in codes
    assert meshes.pids_of(doomed.home) == before


@pytest.mark.parametrize("garbage", GARBAGE[1:], ids=range(1, len(GARBAGE)))
def test_garbage_in_a_call_is_refused_by_name(mesh, garbage):
    service = client_tls(mesh.home, "tax-portal")
    codes = {
        run(ask(mesh, "validator-1", service, f"{VALIDATOR}/Submit", garbage)),
        run(ask(mesh, "validator-1", service, f"{VALIDATOR}/RegisterSubject", garbage)),
        run(ask(mesh, "ledger-1", service, f"{LEDGER}/GetEntry", garbage)),
        run(ask(mesh, "ledger-1", service, f"{LEDGER}/GetReceipt", garbage)),
    }
    known = {"frame_malformed", "jws_malformed", "parameter_invalid", "index_out_of_range"}
    assert {code for code in codes if isinstance(code, str)} <= known | {"request_unknown"}


def test_a_batch_that_its_validator_did_not_sign_is_refused(doomed):
    """Signed by another key, numbered wildly, or of another validator: no replica takes it."""
    home, origin = doomed.home, doomed.cell.origin
    tls = load_member_tls(home=home, name="validator-1")
    own = load_service_key(home / "validator-1" / "keys" / KeyRole.BATCH.file_name)
    before = log_size(doomed)

    def frame(key, validator=1, count=1):
        batch = unsigned_batch(
            validator=validator,
            incarnation=2**60,
            sequence=7,
            created_ms=1,
            records=[(b"\x08\x01", b"")] * count,
        )
        message = batch_signing_bytes(origin=origin, digest=batch.digest)
        return encode_batch_frame(BatchFrame(encode_batch(signed(batch, key.sign(message)))))

    async def submit(body):
        async with channel_to(doomed, "replica-1", tls) as channel, asyncio.timeout(DEADLINE_S):
            call = open_frame_stream(channel, f"{REPLICA}/SubmitBatches")
            first = decode_to_validator(await call.read())
            assert isinstance(first, StandingFrame)
            await call.write(body)
            try:
                while True:
                    answer = decode_to_validator(await call.read())
                    if isinstance(answer, RefusedFrame):
                        return answer.code
            except grpc.aio.AioRpcError as error:
                return problem_of(error, unavailable="validator_unavailable").code

    assert run(submit(frame(Ed25519Key.generate()))) == "batch_invalid"
    assert run(submit(frame(own, validator=2))) == "batch_invalid"
    assert log_size(doomed) == before


def test_following_from_a_height_that_is_not_there_yet_waits(doomed):
    tls = load_member_tls(home=doomed.home, name="ledger-1")
    ask_far = encode_from_ledger(FollowFrame(10**9, want_batches=True))

    async def follow():
        try:
            async with asyncio.timeout(2):
                return await stream(doomed, "replica-1", tls, f"{REPLICA}/Follow", ask_far)
        except TimeoutError:
            return [], "waits"

    answers, outcome = run(follow())
    assert outcome in ("waits", "parameter_invalid", "frame_malformed")
    assert answers == []


# Replays through both doors.


async def submit(mesh, validator, jws):
    """One unary Submit. Returns what was recorded, or the refusal."""
    tls = client_tls(mesh.home, "tax-portal")
    async with channel_to(mesh, f"validator-{validator}", tls) as channel:
        call = channel.unary_unary(f"{VALIDATOR}/Submit")
        request = validator_wire.encode_submit(jws, Wait.COMMITTED)
        try:
            return validator_wire.decode_submitted(await call(request, timeout=DEADLINE_S))
        except grpc.aio.AioRpcError as error:
            return problem_of(error, unavailable="validator_unavailable")


@pytest.fixture(scope="module")
def people(mesh, tools):
    return asyncio.run(tools.new_people(mesh, 6))


def both_doors(person):
    """The person's own validator first, and then the other one."""
    return ranked(person.subject, (1, 2))


def test_a_replay_through_the_same_and_through_the_other_validator_is_recognised(
    mesh, tools, people
):
    before = log_size(mesh)
    for person in people:
        jws = person.jws(tools.claims_of(person, mesh.cell.origin))
        home, other = both_doors(person)
        first = run(submit(mesh, home, jws))
        assert first.state is RequestState.COMMITTED
        assert not first.replayed
        run(settled(mesh, first.request_id))
        for validator in (other, home, other, other):
            again = run(submit(mesh, validator, jws))
            assert (again.index, again.replayed) == (first.index, True), validator
    assert log_size(mesh) == before + len(people)


def test_a_conflict_is_seen_through_the_other_validator_too(mesh, tools, people):
    before = log_size(mesh)
    for person in people:
        claims = tools.claims_of(person, mesh.cell.origin)
        home, other = both_doors(person)
        first = run(submit(mesh, home, person.jws(claims)))
        run(settled(mesh, first.request_id))
        conflict = run(submit(mesh, other, person.jws({**claims, "data": {"other": True}})))
        assert first.state is RequestState.COMMITTED
        assert isinstance(conflict, Problem)
        assert conflict.code == "request_conflict"
    assert log_size(mesh) == before + len(people)


def test_a_replay_at_the_right_door_of_what_the_wrong_one_admitted_is_recognised(
    mesh, tools, people
):
    """The wrong validator needs a lease first, and then the ledger tells the right one (ADR 3)."""
    before = log_size(mesh)
    for person in people:
        jws = person.jws(tools.claims_of(person, mesh.cell.origin))
        home, other = both_doors(person)
        first, again = run(submit(mesh, other, jws)), run(submit(mesh, home, jws))
        assert (first.replayed, again.replayed) == (False, True)
        assert again.index == first.index
    assert log_size(mesh) == before + len(people)


def test_a_request_that_both_doors_admit_in_one_moment_is_named_as_a_copy(mesh, tools, people):
    """Neither can know of the other's (ADR 3): there is a second leaf, and the ledger says so."""
    person = people[1]

    async def both(jws):
        home, other = both_doors(person)
        return await asyncio.gather(submit(mesh, home, jws), submit(mesh, other, jws))

    for _ in range(50):
        before = log_size(mesh)
        answers = run(both(person.jws(tools.claims_of(person, mesh.cell.origin))))
        if len({answer.index for answer in answers}) == 2:
            break
    assert {answer.index for answer in answers} == {before, before + 1}, "never in one moment"

    async def stated():
        return log_size_of(await replica_statuses(mesh.home)) == before + 3

    run(tools.eventually(stated))
    kinds = [entry.kind for entry in run(entries_from(mesh, before))]
    assert kinds == [Kind.REQUEST, Kind.REQUEST, Kind.DUPLICATE]
    status = run(standing(mesh, answers[0].request_id))
    assert (status.state, status.index) == (RequestState.COMMITTED, before)


async def entries_from(mesh, start):
    async with connect(mesh.home / "clients" / "tax-portal") as client:
        query = EntryQuery(EntryFilter(start_index=start))
        page = await client.ledger.entries(query, terms=Terms())
        return [decode_entry(entry.data) for entry in page.entries]


async def settled(mesh, request_id):
    """Wait for the receipt: from then on every door knows the request, however fast it is asked."""
    async with connect(mesh.home / "clients" / "tax-portal") as client:
        await client.receipt(request_id, wait_s=60)


async def standing(mesh, request_id):
    async with connect(mesh.home / "clients" / "tax-portal") as client:
        return await client.status(request_id)


def test_a_hundred_copies_at_once_through_both_doors_are_one_request(mesh, tools, people):
    """Two leaves at the very most, if both validators met it in one moment; then one is a copy."""
    person = people[0]
    jws = person.jws(tools.claims_of(person, mesh.cell.origin))
    before = log_size(mesh)

    async def storm():
        tls = client_tls(mesh.home, "tax-portal")
        async with (
            channel_to(mesh, "validator-1", tls) as one,
            channel_to(mesh, "validator-2", tls) as two,
        ):
            calls = [channel.unary_unary(f"{VALIDATOR}/Submit") for channel in (one, two)]
            request = validator_wire.encode_submit(jws, Wait.COMMITTED)
            answers = (calls[n % 2](request, timeout=DEADLINE_S) for n in range(100))
            return [validator_wire.decode_submitted(a) for a in await asyncio.gather(*answers)]

    outcomes = run(storm())
    assert all(outcome.state is RequestState.COMMITTED for outcome in outcomes)
    indexes = {outcome.index for outcome in outcomes}
    assert 1 <= len(indexes) <= 2

    async def counted():
        grown = log_size_of(await replica_statuses(mesh.home)) - before
        return grown == (1 if len(indexes) == 1 else 3)

    run(tools.eventually(counted))
    assert run(standing(mesh, outcomes[0].request_id)).index == min(indexes)


def log_size_of(statuses):
    return max(status.log_size for status in statuses.values())


def test_private_keys_in_the_home_are_for_their_owner_only(mesh):
    for path in Path(mesh.home).rglob("*"):
        if path.suffix in (".key", ".pem") and path.name not in ("tls.pem", "ca.pem"):
            assert path.stat().st_mode & 0o077 == 0, path
