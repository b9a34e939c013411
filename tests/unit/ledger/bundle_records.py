"""What a validator writes into a batch for a bundle."""

from heptad.crypto.bundles import Event, public_events, sign_bundle
from heptad.crypto.derivation import lease_key
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.sealing import NO_REQUEST_REF, Routing, seal_record
from heptad.model.bundles import private_half
from heptad.model.entry import Entry, Kind, Outcome
from heptad.wire.convert.entry import encode_entry, encode_events

KEY = Ed25519Key(b"V" * 32)
LEASE_ID = b"\x44" * 16


def bundle_records(office, people, *, jti=None):
    """What a validator writes of a bundle: an event for each of these people, in order."""
    events = [
        Event(person.subject_id, "record.access", b"R-%d" % n, 1_000 + n)
        for n, person in enumerate(people)
    ]
    bundle = sign_bundle(
        KEY, events, iss="tax", aud=office.origin, jti=jti or office.jti(), iat=1, exp=2
    )
    head = Entry(Kind.BUNDLE, "tax", "", Outcome.NONE, 5_000, 1, b"", bundle.statement)
    entries = encode_events(public_events(bundle.events), service="tax", validator=1)
    sealed = [
        seal_record(
            entry=entry,
            witness=event.witness,
            payload=private_half(subject=event.subject, payload=event.payload),
            lease=lease_key(slot_key=person.slot_key, lease_id=LEASE_ID),
            routing=Routing(person.slot, LEASE_ID, NO_REQUEST_REF),
            routing_key=office.vault.current_routing_key().key,
        )
        for entry, event, person in zip(entries, bundle.events, people, strict=True)
    ]
    return bundle, [(encode_entry(head), b""), *zip(entries, sealed, strict=True)]
