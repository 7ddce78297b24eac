"""Reads a journal as docs/journal-format.md describes it: python3 read_journal.py DIR [--leaves] [--no-chain]

DIR is the folder with the segments and the mark. The program checks every checksum, the order of entries and the hash
chain. It prints every entry with its sequence, time, kind and fields, and with --leaves also the hash of its Merkle leaf. It
writes nothing to DIR. Run it on a copy, or on a directory that no server uses. It exits with 1 if anything that was
acknowledged is damaged.

It needs only the standard library. Without the module `blake3`, hashing the chain takes two minutes for a full segment of
64 MiB; --no-chain skips the hash chain.
"""
import hashlib, json, os, signal, struct, sys
from datetime import datetime, timedelta

FORMAT_VERSION, SEGMENT_HEADER_BYTES, FRAME_HEADER_BYTES, PAYLOAD_BYTES_MAX = 5, 4096, 128, 900 * 1024
SEGMENT = struct.Struct("<8sIHH16sQQQQ32sI")
FRAME = struct.Struct("<4sIIIHHIQQQ16sQQ32s16s")
MARK = struct.Struct("<4sIQ16sQQ")
ROW = struct.Struct("<16s16s16s16s16sQIIHHQ")


class Damaged(Exception):
    """Says what is wrong; the caller knows where."""


# --- checksums and hashes ---

CRC_TABLE = []
for crc in range(256):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    CRC_TABLE.append(crc)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


BLAKE3_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
BLAKE3_ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
BLAKE3_MIXES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)) + (
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))  # fmt: skip
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8


def blake3_compress(chaining, words, counter, length, flags):
    s = [*chaining, *BLAKE3_IV[:4], counter & 0xFFFFFFFF, counter >> 32, length, flags]
    for _ in range(7):
        for number, (a, b, c, d) in enumerate(BLAKE3_MIXES):
            for word, turn_d, turn_b in ((words[2 * number], 16, 12), (words[2 * number + 1], 8, 7)):
                s[a] = s[a] + s[b] + word & 0xFFFFFFFF
                turned = s[d] ^ s[a]
                s[d] = (turned >> turn_d | turned << 32 - turn_d) & 0xFFFFFFFF
                s[c] = s[c] + s[d] & 0xFFFFFFFF
                turned = s[b] ^ s[c]
                s[b] = (turned >> turn_b | turned << 32 - turn_b) & 0xFFFFFFFF
        words = [words[place] for place in BLAKE3_ORDER]
    return [s[i] ^ s[i + 8] for i in range(8)]


def blake3_tree(data, chunk, flags):
    """Returns the chaining value of `data`, whose first chunk of 1,024 bytes has the number `chunk`."""
    if len(data) <= 1024:
        value, starts = BLAKE3_IV, range(0, max(len(data), 1), 64)
        for start in starts:
            block = data[start : start + 64]
            position = (CHUNK_START if start == 0 else 0) | (CHUNK_END | flags if start == starts[-1] else 0)
            words = struct.unpack("<16I", block.ljust(64, b"\0"))
            value = blake3_compress(value, words, chunk, len(block), position)
        return value
    left = 1 << ((len(data) - 1) // 1024).bit_length() - 1
    halves = blake3_tree(data[: left * 1024], chunk, 0) + blake3_tree(data[left * 1024 :], chunk + left, 0)
    return blake3_compress(BLAKE3_IV, halves, 0, 64, PARENT | flags)


try:
    from blake3 import blake3 as _blake3

    def blake3(data):
        return _blake3(data).digest()

except ImportError:

    def blake3(data):
        return struct.pack("<8I", *blake3_tree(data, 0, ROOT))


def merkle_root(leaves):
    """Returns the root of the RFC 6962 tree over these leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + merkle_root(leaves[:left]) + merkle_root(leaves[left:])).digest()


# --- the primitive encodings ---


class Bytes:
    """Reads values from the front of a byte string."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def raw(self, count):
        if count > self.left():
            raise Damaged("the bytes end too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def uint(self, count):
        return int.from_bytes(self.raw(count), "little")

    def varint(self):
        value = shift = 0
        while True:
            byte = self.uint(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or value >> 128:
                    raise Damaged("a variable-length number is not in its shortest form")
                return value
            shift += 7

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def counted(self):
        return self.raw(self.varint())

    def text(self):
        return self.counted().decode()

    def uuid(self):
        digits = "%032x" % self.uint(16)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def hash(self):
        return self.raw(32).hex()

    def yes(self):
        return self.choice((False, True))

    def choice(self, values):
        number = self.uint(1)
        if number >= len(values):
            raise Damaged("%d is not one of %r" % (number, values))
        return values[number]

    def many(self, one):
        return [one() for _ in range(self.varint())]


def varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def zigzag(value):
    return varint(value << 1 ^ value >> 63)


def time(ns):
    text = (datetime(1970, 1, 1) + timedelta(seconds=ns // 10**9)).isoformat()
    decimals = ("%09d" % (ns % 10**9)).rstrip("0")
    return text + ("." + decimals if decimals else "") + "Z"


# --- plain sections: the content of each kind of entry ---

SETTINGS = "tenant issuer client role revoked_token signing_key".split()
STATUSES = "posted held in_review declined refused voided expired refunded".split()
CAUSES = "deadline approve decline capture void refund increment".split()
MISSING = "attribute_absent window_truncated too_many_entities expression_failed out_of_range unavailable too_few_records not_set".split()
AT_DEADLINE = "expire proceed".split()
FAILURES = "missing overflow division_by_zero invalid_conversion mistyped no_probability negative_amount same_account not_found".split()


class Plain(Bytes):
    """Reads a plain section, in which times are relative to the time of the entry."""

    def __init__(self, data, at, seq, occurred_at):
        super().__init__(data)
        self.entry_at, self.seq, self.occurred_at = at, seq, occurred_at
        self.known = None  # the ids that references mean, in a section with references

    def id(self):
        """An id in full or, in a section with references, possibly the number of one of its first 64 different ids."""
        if self.known is None:
            return self.uuid()
        number = self.varint()
        if number > len(self.known):
            raise Damaged("%d is not a reference to an id" % number)
        known = self.known[number - 1] if number else self.uuid()
        if number == 0 and len(self.known) < 64:
            self.known.append(known)
        return known

    def when(self, version=1):
        ns = self.entry_at + (self.varint() if version == 1 else self.zigzag())
        return time(min(ns, 2**64 - 1))

    def transfer_key(self):
        key, leg = self.id(), self.varint()
        return key if leg == 0 else "%s/%d" % (key, leg - 1)

    def user_data(self, given):
        fields = (("user_data_128", 1, 16), ("user_data_64", 2, 8), ("user_data_32", 4, 4))
        return {name: self.uint(count) for name, mark, count in fields if given & mark}

    def account(self, version=1):
        fields = {"id": self.id(), "ledger": self.varint(), "code": self.varint(), "flags": self.varint()}
        fields["timestamp"] = self.when(version)
        return {**fields, **self.user_data(self.uint(1))}

    def transfer(self, version=1):
        fields = {"id": self.transfer_key(), "debit": self.id(), "credit": self.id(), "amount": self.varint()}
        fields.update(ledger=self.varint(), code=self.varint(), flags=self.varint(), timestamp=self.when(version))
        given = self.uint(1)
        fields.update(self.user_data(given))
        if given & 8:
            fields["pending"] = self.transfer_key()
        if given & 16:
            fields["timeout_s"] = self.varint()
        return fields

    def ledger(self):
        fields = {"ledger": self.varint(), "asset": "%s/%d" % (self.text(), self.uint(1))}
        return {**fields, "opened_at": self.when()}

    def limits(self):
        limit = lambda: int.from_bytes(self.raw(16), "little", signed=True) if self.yes() else None
        return {"account": self.uuid(), "min_balance": limit(), "max_balance": limit()}

    def metadata(self):
        subject = self.choice((None, "account", "transfer", "payment"))
        if not subject:
            raise Damaged("metadata without a subject")
        of = self.transfer_key() if subject == "transfer" else self.uuid()
        values = self.many(lambda: (self.text(), self.text() if self.yes() else None))
        return {subject: of, "values": dict(values)}

    def import_started(self):
        fields = {"id": self.uuid(), "import": self.varint(), "ledger": self.varint(), "content": self.hash()}
        return {**fields, "started_at": time(self.uint(8))}

    def import_noted(self):
        fields = {"import": self.varint(), "state": self.choice(("staged", "opened", "discarded"))}
        fields.update(accounts=self.varint(), transfers=self.varint())
        fields.update(last_account=time(self.uint(8)), last_transfer=time(self.uint(8)))
        return {**fields, "places": self.many(lambda: (self.varint(), self.varint()))}

    def facts(self):
        """Reads facts of the ledger inside another entry."""

        def fact():
            kind = self.varint()
            if kind not in KINDS:
                raise Damaged("facts of kind %d need a later reader" % kind)
            name, read = KINDS[kind]
            return {name: read(self, 1)}

        return self.many(fact)

    def updates(self):
        base = self.entry_at if self.known is None else self.occurred_at

        def update():
            change = self.choice(("insert", "remove", "label_negative", "label_positive", "insert_with_item"))
            fields = {"change": change, "stream": self.varint(), "entity": self.id()}
            fields["at_ns"] = base + self.zigzag() & 2**64 - 1
            fields["seq"] = self.seq - self.varint()
            if change.startswith("insert"):
                fields["value"] = self.zigzag()
            if change == "insert_with_item":
                fields["item"] = self.uint(8)
            return fields

        return self.many(update)

    def deadline(self):
        then = self.choice((None, *AT_DEADLINE))
        return then and {"then": then, "at": self.when()}

    def double(self):
        return struct.unpack("<d", self.raw(8))[0]

    def attribute(self):
        readers = (self.text, self.zigzag, self.double, self.yes, lambda: time(self.uint(8)), self.id, self.id)
        return self.choice(readers)()

    def feature(self):
        missing = lambda: {"missing": self.choice(MISSING)}
        return self.choice((self.zigzag, self.double, self.yes, self.text, missing))()

    def compact_features(self):
        half = lambda: struct.unpack("<d", bytes(4) + self.raw(4))[0]
        missing = lambda: {"missing": self.choice(MISSING)}
        readers = (self.zigzag, self.double, half, lambda: 0.0, lambda: False, lambda: True, self.text, missing)
        features, number = {}, -1
        for _ in range(self.varint()):
            head = self.varint()
            gap = head >> 3
            number += 1 + (gap >> 1 ^ -(gap & 1))
            features[number] = readers[head & 7]()
        return features

    def effect(self):
        return self.choice((lambda: "decline", lambda: "review", self.zigzag))()

    def failure(self):
        named = lambda kind: lambda: {kind: self.text()}
        part = self.choice((named("stream"), named("model"), named("rule"), lambda: {"leg": self.varint()}, lambda: "score"))()
        cause = self.choice(FAILURES)
        if cause in ("missing", "negative_amount"):
            return {**part, cause: self.text() if cause == "missing" else self.zigzag()}
        return {**part, "cause": cause}

    def payment_decided(self, version):
        payment = self.uuid()
        self.known = [payment] if version >= 3 else None
        fields = {"payment": payment, "content": self.hash(), "policy": self.varint(), "type": self.text()}
        fields.update(ledger=self.varint(), amount=self.varint())
        fields["attributes"] = dict(self.many(lambda: (self.text(), self.attribute())))
        fields.update(verdict=self.choice(("approve", "review", "decline")), score=self.varint())
        fields["reasons"] = self.many(lambda: (self.text(), self.effect()))
        fields["tags"] = self.many(self.text)
        plain_features = lambda: dict(self.many(lambda: (self.varint(), self.feature())))
        fields["features"] = self.compact_features() if version >= 3 else plain_features()
        fields["models"] = dict(self.many(lambda: (self.varint(), self.double() if self.yes() else None)))
        fields.update(late=self.yes(), status=self.choice(STATUSES))
        fields["refusal"] = {"leg": self.varint(), "status": self.varint()} if self.yes() else None
        manual = self.yes()
        fields["capture"] = {"deadline_ns": self.varint(), "then": self.choice(AT_DEADLINE)} if manual else None
        fields.update(deadline=self.deadline(), facts=self.facts(), updates=self.updates())
        fields["accepted_updates"] = self.many(self.varint)
        if version > 1:
            fields["failures"] = dict(self.many(lambda: (self.varint(), self.failure())))
        if version >= 5:
            fields["lists"] = self.list_versions()
        return fields

    def list_versions(self):
        return dict(self.many(lambda: (self.varint(), self.varint())))

    def payment_changed(self, version):
        fields = {"payment": self.uuid(), "cause": self.choice(CAUSES), "status": self.choice(STATUSES)}
        fields.update(deadline=self.deadline(), facts=self.facts(), updates=self.updates())
        if version > 1:
            fields["asked"] = self.choice(("all", "part", "last"))
            fields["amount"] = self.varint() if fields["asked"] != "all" else None
            fields.update(captured=self.varint(), released=self.varint(), refunded=self.varint())
        if version > 2:
            fields["increment"] = self.increment(version)
        return fields

    def increment(self, version):
        def reason():
            code, effect = self.text(), self.effect()
            return (code, effect, self.failure() if self.yes() else None)

        def leg():
            fields = {"transfer": self.varint(), "debit": self.uuid(), "credit": self.uuid()}
            return {**fields, "amount": self.varint(), "moved": self.varint(), "code": self.varint()}

        fields = {"policy": self.varint(), "verdict": self.choice(("approve", "review", "decline")), "score": self.varint()}
        fields.update(reasons=self.many(reason), tags=self.many(self.text))
        fields["features"] = dict(self.many(lambda: (self.varint(), self.feature())))
        fields["models"] = dict(self.many(lambda: (self.varint(), self.double() if self.yes() else None)))
        fields["refusal"] = {"leg": self.varint(), "status": self.varint()} if self.yes() else None
        fields["legs"] = self.many(leg) if self.yes() else None
        fields["accepted_updates"] = self.many(self.varint)
        if version >= 5:
            fields["lists"] = self.list_versions()
        return fields

    def label(self):
        fields = {"payment": self.uuid(), "label": self.text(), "positive": self.yes()}
        return {**fields, "updates": self.updates()}

    def artifact(self):
        fields = {"artifact": self.hash(), "index": self.varint(), "count": self.varint()}
        return {**fields, "bytes": len(self.counted())}

    def policy(self, version):
        def stream():
            names = "id key retention_ns records_max entities_max recorded_since_ns".split()
            return {name: self.hash() if name == "key" else self.varint() for name in names}

        fields = {"artifact": self.hash(), "name": self.text()}
        fields.update(features=self.many(self.text), models=self.many(self.text), streams=self.many(stream))
        fields["facts"] = self.facts()
        if version >= 2:
            fields["lists"] = self.many(self.text)
        return fields

    def list_made(self):
        fields = {"list": self.text(), "holds": self.text() if self.yes() else "text"}
        return {**fields, "purpose": self.choice(("block", "allow", "watch")), "description": self.text()}

    def list_values_added(self):
        reason = ""

        def value():
            nonlocal reason
            bits = self.uint(1)
            listed = self.uuid() if bits & 4 else self.text()
            expires_at = self.uint(8) if bits & 1 else None
            reason = self.text() if bits & 2 else reason
            return {"value": listed, "expires_at": expires_at, "reason": reason}

        return {"list": self.text(), "values": self.many(value)}

    def list_values_removed(self):
        return {"list": self.text(), "values": self.many(lambda: self.uuid() if self.yes() else self.text())}

    def entity_attributes(self):
        readers = (lambda: None, self.text, self.zigzag, self.double, self.yes, lambda: self.uint(8))
        fields = {"entity": self.text(), "token": self.uuid()}
        return {**fields, "attributes": dict(self.many(lambda: (self.text(), self.choice(readers)())))}

    def api_key(self):
        return {"key": self.varint(), "hash": self.hash(), "scopes": self.varint(), "name": self.text()}

    def principal(self, version):
        fields = {"principal": self.varint(), "kind": self.choice(("system", "service", "person")), "name": self.text()}
        if version >= 2:
            fields |= {"issuer": self.text(), "subject": self.text()}
        return fields

    def setting(self):
        return {"setting": self.choice(SETTINGS), "name": self.text()}

    def rules(self):
        demand = lambda: self.choice(("direct", "approval"))
        bound = lambda: ("%s/%d" % (self.text(), self.uint(1)), self.varint())
        return {"limits": demand(), "imports": demand(), "reversals_above": dict(self.many(bound))}

    def proposal(self):
        operations = {
            1: ("transfer", self.transfer),
            2: ("set_limits", self.limits),
            3: ("reverse", self.uuid),
            4: ("open_import", self.uuid),
            5: ("approval_rules", self.rules),
        }
        proposal, number = self.uuid(), self.uint(1)
        if number not in operations:
            raise Damaged("%d is not a proposed operation" % number)
        name, read = operations[number]
        return {"proposal": proposal, name: read(), "reason": self.text(), "expires_at": self.varint()}

    def proposal_ended(self):
        return {"proposal": self.uuid(), "end": self.choice(("approved", "rejected", "withdrawn"))}

    def credential(self, version):
        fields = {"credential": self.varint(), "principal": self.varint(), "kind": self.choice(("api_key",))}
        fields = {**fields, "hash": self.hash(), "scopes": self.varint(), "name": self.text()}
        return {**fields, "expires_at": self.varint()} if version >= 2 else fields

    def continued(self):
        fields = {"origin": self.uuid(), "departed_origin": self.uuid(), "size": self.varint()}
        return {**fields, "root": self.hash()}


KINDS = {
    1: ("journal_started", lambda plain, _: {"origin": plain.uuid()}),
    2: ("ledger_opened", lambda plain, _: plain.ledger()),
    3: ("account_opened", Plain.account),
    4: ("transfer_created", Plain.transfer),
    5: ("transfer_failed", lambda plain, _: {"id": plain.uuid(), "status": plain.varint()}),
    6: ("transfer_expired", lambda plain, _: {"id": plain.transfer_key()}),
    7: ("payment_decided", Plain.payment_decided),
    8: ("payment_changed", Plain.payment_changed),
    9: ("label_recorded", lambda plain, _: plain.label()),
    10: ("artifact_stored", lambda plain, _: plain.artifact()),
    11: ("policy_activated", Plain.policy),
    12: ("api_key_added", lambda plain, _: plain.api_key()),
    13: ("state_digest", lambda plain, _: {"scheme": plain.varint(), "digest": plain.hash()}),
    14: ("limits_set", lambda plain, _: plain.limits()),
    15: ("address_set", lambda plain, _: {"account": plain.uuid(), "address": plain.text()}),
    16: ("metadata_set", lambda plain, _: plain.metadata()),
    17: ("transfer_scheduled", lambda plain, _: plain.transfer()),
    18: ("scheduled_cancelled", lambda plain, _: {"id": plain.uuid()}),
    19: ("indexes_chosen", lambda plain, _: {"ledger": plain.varint(), "fields": plain.varint()}),
    20: ("journal_continued", lambda plain, _: plain.continued()),
    21: ("principal_added", Plain.principal),
    22: ("credential_added", Plain.credential),
    23: ("key_used", lambda plain, _: {"items": plain.varint(), "parts": plain.many(lambda: plain.uint(8))}),
    24: ("credential_revoked", lambda plain, _: {"credential": plain.varint()}),
    25: ("setting_put", lambda plain, _: plain.setting() | {"document": plain.text()}),
    26: ("setting_removed", lambda plain, _: plain.setting()),
    27: ("personal_data_read", lambda plain, _: {"payment": plain.uuid(), "attributes": plain.many(plain.text)}),
    28: ("proposal_made", lambda plain, _: plain.proposal()),
    29: ("proposal_ended", lambda plain, _: plain.proposal_ended()),
    30: ("import_started", lambda plain, _: plain.import_started()),
    31: ("account_staged", lambda plain, _: {"import": plain.varint(), **plain.account(version=2)}),
    32: ("transfer_staged", lambda plain, _: {"import": plain.varint(), **plain.transfer(version=2)}),
    33: ("import_noted", lambda plain, _: plain.import_noted()),
    34: ("approvals_set", lambda plain, _: plain.rules()),
    35: ("list_made", lambda plain, _: plain.list_made()),
    36: ("list_values_added", lambda plain, _: plain.list_values_added()),
    37: ("list_values_removed", lambda plain, _: plain.list_values_removed()),
    38: ("list_deleted", lambda plain, _: {"list": plain.text()}),
    39: ("entity_attributes_set", lambda plain, _: plain.entity_attributes()),
}
LAST_VERSION = {3: 2, 4: 2, 7: 5, 8: 5, 11: 2, 21: 2, 22: 2}  # 1 for all other kinds
TRANSFER_CREATED, TRANSFER_STAGED, JOURNAL_CONTINUED = 4, 32, 20


# --- entries ---


class Entry:
    def __init__(self, shard, seq, tenant, actor, request, decided_at, occurred_at, kind, version, plain, keys=(), sealed=b""):
        self.shard, self.seq, self.tenant, self.actor, self.request = shard, seq, tenant, actor, request
        self.decided_at, self.occurred_at, self.kind, self.version = decided_at, occurred_at, kind, version
        self.plain, self.keys, self.sealed = plain, keys, sealed

    def fields(self):
        if self.kind not in KINDS or not 1 <= self.version <= LAST_VERSION.get(self.kind, 1):
            raise Damaged("entries of kind %d version %d need a later reader" % (self.kind, self.version))
        name, read = KINDS[self.kind]
        plain = Plain(self.plain, self.decided_at, self.seq, self.occurred_at)
        fields = read(plain, self.version)
        if plain.left():
            raise Damaged("%d bytes of a plain section are left over" % plain.left())
        return name, fields

    def leaf_hash(self):
        header = struct.pack("<BHQIQ", 1, self.shard, self.seq, self.tenant, self.actor) + self.request
        header += struct.pack("<QQHHI", self.decided_at, self.occurred_at, self.kind, self.version, len(self.plain))
        sealed = struct.pack("<I", len(self.keys)) + b"".join(self.keys) + struct.pack("<I", len(self.sealed)) + self.sealed
        return hashlib.sha256(b"\0" + hashlib.sha256(header + self.plain + sealed).digest()).digest()


def entries_of(payload, shard, first, base_time, count):
    """Yields the entries of a frame. An entry inherits the values that it does not state from the previous one."""
    frame, seq, at, tenant, actor, request = Bytes(payload), first, base_time, 0, 0, bytes(16)
    while seq < first + count:
        length = frame.varint()
        if length == 0:
            marks, rows, number = frame.uint(1), frame.uint(4), None
            if marks & ~31 or rows == 0:
                raise Damaged("a run of rows with marks %d and %d rows" % (marks, rows))
            tenant = frame.varint() if marks & 1 else tenant
            actor = frame.varint() if marks & 2 else actor
            request = frame.raw(16) if marks & 4 else request
            if marks & 16:
                number, next_at = frame.varint(), at + frame.varint()
            for _ in range(rows):
                transfer_id, timestamp, plain = transfer_of_row(frame)
                request = transfer_id if marks & 8 else request
                if number is None:
                    at, kind, plain = timestamp, TRANSFER_CREATED, plain(b"\0")
                else:
                    at, next_at, kind = next_at, next_at + 1, TRANSFER_STAGED
                    plain = varint(number) + plain(zigzag(timestamp - at))
                yield Entry(shard, seq, tenant, actor, request, at, at, kind, 1, plain)
                seq += 1
            continue
        entry = Bytes(frame.raw(length))
        marks = entry.uint(1)
        if marks & ~127:
            raise Damaged("an entry with marks %d needs a later reader" % marks)
        if marks & 64:  # a record that can be read alone
            entry = Bytes(checked(entry.data)[1:])
            tenant, actor = entry.varint(), entry.varint()
            request = entry.raw(16) if marks & 4 else bytes(16)
            stated, earlier, at = entry.varint(), at, entry.uint(8)
            if stated != seq or at < earlier or marks & 3:
                raise Damaged("a record of entry %d in the place of entry %d" % (stated, seq))
        else:
            tenant = entry.varint() if marks & 1 else tenant
            actor = entry.varint() if marks & 2 else actor
            request = entry.raw(16) if marks & 4 else request
            at += entry.varint()
        occurred_at = at + entry.zigzag() & 2**64 - 1 if marks & 16 else at
        kind, version, plain = entry.varint(), entry.varint(), entry.counted()
        request = plain[:16] if marks & 8 else request
        keys = entry.many(lambda: entry.raw(16)) if marks & 32 else ()
        sealed = entry.counted() if marks & 32 else b""
        if entry.left():
            raise Damaged("%d bytes of an entry are left over" % entry.left())
        yield Entry(shard, seq, tenant, actor, request, at, occurred_at, kind, version, plain, keys, sealed)
        seq += 1
    if frame.left() or seq != first + count:
        raise Damaged("the frame does not end after its %d entries" % count)


def checked(record):
    """Returns the record without the checksum at its end."""
    if len(record) < 4 or crc32c(record[:-4]) != int.from_bytes(record[-4:], "little"):
        raise Damaged("a record does not match its checksum")
    return record[:-4]


def transfer_of_row(frame):
    """Returns the id and time of the transfer in a row, and a function from the encoded time to its plain section."""
    start = frame.at
    transfer_id, debit, credit, amount, wide, medium, narrow, ledger, code, flags, timestamp = ROW.unpack(frame.raw(108))
    pending, timeout = (frame.raw(16), frame.uint(4)) if flags & 0x8000 else (bytes(16), 0)
    if crc32c(frame.data[start : frame.at]) != frame.uint(4):
        raise Damaged("a row does not match its checksum")
    head = transfer_id + b"\0" + debit + credit + varint(int.from_bytes(amount, "little"))
    head += varint(ledger) + varint(code) + varint(flags & 0x7FFF)
    optional = ((1, wide), (2, struct.pack("<Q", medium)), (4, struct.pack("<I", narrow)), (8, pending))
    given = [(mark, value) for mark, value in optional if any(value)]
    marks = sum(mark for mark, _ in given) + (16 if timeout else 0)
    tail = bytes([marks]) + b"".join(value for _, value in given)
    tail += (b"\0" if any(pending) else b"") + (varint(timeout) if timeout else b"")
    return transfer_id, timestamp, lambda told_time: head + told_time + tail


# --- files ---


class Header:
    """The header of a frame. Its checksum matches and its values are in bounds."""

    def __init__(self, data):
        fields = FRAME.unpack_from(data)
        magic, crc, self.payload_bytes, self.payload_crc, self.format, self.shard, self.count, self.first = fields[:8]
        self.durable, self.base_time, origin, epoch, _, self.previous, _ = fields[8:]
        self.identity = (origin, epoch)
        if magic != b"FNF1" or crc != crc32c(data[8:FRAME_HEADER_BYTES]):
            raise Damaged("not a frame header")
        if self.payload_bytes > PAYLOAD_BYTES_MAX or self.count == 0 or self.first + self.count >= 2**64:
            raise Damaged("a value in the frame header is out of bounds")


def read_frame(data, offset):
    """Returns the header and the bytes of the frame at `offset`, or `None` if there is no complete frame."""
    try:
        header = Header(data[offset : offset + FRAME_HEADER_BYTES])
    except (Damaged, struct.error):
        return None
    written = data[offset : offset + FRAME_HEADER_BYTES + header.payload_bytes]
    payload = written[FRAME_HEADER_BYTES:]
    whole = len(payload) == header.payload_bytes and crc32c(payload) == header.payload_crc
    return (header, written) if whole else None


def continues(later, earlier):
    return later[0] != earlier[0] and later[1] > earlier[1]


def stated_durable(data, identity):
    """Returns the highest durable position in an intact frame header of this history or of a later one."""
    highest = 0
    offset = data.find(b"FNF1")
    while offset >= 0:
        step = 1
        try:
            header = Header(data[offset : offset + FRAME_HEADER_BYTES])
            ours = identity is None or header.identity == identity or continues(header.identity, identity)
            if ours and header.durable < header.first:
                highest, step = max(highest, header.durable), FRAME_HEADER_BYTES + header.payload_bytes
        except (Damaged, struct.error):
            pass
        offset = data.find(b"FNF1", offset + step)
    return highest


def read_mark(path):
    """Returns the identity and the sequence in the newer intact slot."""
    slots = []
    with open(path, "rb") as file:
        data = file.read()
    for start in (0, 4096):
        slot = data[start : start + MARK.size]
        if len(slot) == MARK.size and slot[:4] == b"FNMK" and MARK.unpack(slot)[1] == crc32c(slot[8:]):
            _, _, counter, origin, epoch, seq = MARK.unpack(slot)
            slots.append((counter, (origin, epoch), seq))
    if not slots:
        raise Damaged("neither of the mark's two slots is intact")
    return max(slots)[1:]


class Journal:
    def __init__(self, directory, leaves, chain):
        self.directory, self.print_leaves, self.chain = directory, leaves, chain
        names = [name for name in os.listdir(directory) if name.startswith("segment-") and len(name) == 16]
        self.numbers = sorted(int(name[8:]) for name in names if name[8:].isdigit())
        self.last, self.previous, self.identity, self.hashes = 0, bytes(32), None, []
        self.place = ("segment-00000001", 0)

    def segment(self, number):
        with open(os.path.join(self.directory, "segment-%08d" % number), "rb") as file:
            return file.read()

    def header(self, number, data):
        """Returns the identity in a segment's header, or `None` if the header does not belong here."""
        if len(data) < SEGMENT.size or SEGMENT.unpack_from(data)[-1] != crc32c(data[: SEGMENT.size - 4]):
            return None
        magic, version, self.shard, _, origin, epoch, stated, first, _, previous, _ = SEGMENT.unpack_from(data)
        if magic == b"FINAJRN\0" and version > FORMAT_VERSION:
            sys.exit("segment-%08d: format version %d; this reader knows %d" % (number, version, FORMAT_VERSION))
        found, chained = (origin, epoch), not self.chain or previous == self.previous
        may_follow = self.identity in (None, found) or continues(found, self.identity)
        holds = magic == b"FINAJRN\0" and stated == number and first == self.last + 1 and chained and may_follow
        return found if holds else None

    def read(self):
        """Prints everything. Returns where the entries end: segment, offset, and whether any bytes follow."""
        end = (1, 0, False)
        for expected, number in enumerate(self.numbers, 1):
            self.place = ("segment-%08d" % expected, 0)
            if number != expected:
                raise Damaged("the segment file is missing")
            data = self.segment(number)
            identity = self.header(number, data)
            if identity is None:
                # A segment full of zeros was prepared but not used yet, so the entries end in the previous one.
                return (number, 0, True) if any(data[: SEGMENT.size]) else (*end[:2], end[2] or any(data))
            if identity != self.identity:
                print("segment-%08d origin %s epoch %d" % (number, Bytes(identity[0]).uuid(), identity[1]))
            continued, self.identity = self.identity not in (None, identity), identity
            offset = self.frames(number, data, continued)
            end = (number, offset, any(data[offset:]))
            following = self.segment(number + 1) if number + 1 in self.numbers else b""
            if end[2] and self.header(number + 1, following) is None:
                break
        return end

    def frames(self, number, data, continued):
        offset = SEGMENT_HEADER_BYTES
        while found := read_frame(data, offset):
            self.place = ("segment-%08d" % number, offset)
            header, written = found
            follows = header.first == self.last + 1 and (not self.chain or header.previous == self.previous)
            if not follows or header.identity != self.identity or header.shard != self.shard:
                break
            if header.format > FORMAT_VERSION:
                sys.exit("segment-%08d: a frame of format version %d" % (number, header.format))
            payload = written[FRAME_HEADER_BYTES:]
            for entry in entries_of(payload, header.shard, header.first, header.base_time, header.count):
                self.show(entry, continued)
                continued = False
            self.last += header.count
            self.previous = blake3(written[8:]) if self.chain else self.previous
            offset += len(written)
        self.place = ("segment-%08d" % number, offset)
        return offset

    def show(self, entry, continued):
        name, fields = entry.fields()
        root = merkle_root(self.hashes) if continued else None
        if continued and (entry.kind != JOURNAL_CONTINUED or fields["root"] != root.hex()):
            raise Damaged("a history does not begin with the entry that continues the previous one")
        self.hashes.append(entry.leaf_hash())
        leaf = " " + self.hashes[-1].hex() if self.print_leaves else ""
        print("%d %s %s%s %s" % (entry.seq, time(entry.decided_at), name, leaf, json.dumps(fields)))

    def acknowledged(self, number, offset):
        """Returns the highest sequence that the mark and the frames after the end report as acknowledged."""
        end, self.place = self.place, ("mark", 0)
        marked_identity, marked = read_mark(os.path.join(self.directory, "mark"))
        self.place = end
        if self.identity and marked_identity != self.identity:
            marked = 2**64 if continues(marked_identity, self.identity) else 0
        rest = [self.segment(number)[offset:] if number in self.numbers else b""]
        rest += [self.segment(later) for later in self.numbers if later > number]
        return max([marked] + [stated_durable(data, self.identity) for data in rest])


def main():
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    options = {argument for argument in sys.argv[1:] if argument.startswith("--")}
    if len(arguments) != 1 or options - {"--leaves", "--no-chain"}:
        sys.exit(__doc__)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # This lets `| head` end the program quietly.
    try:
        journal = Journal(arguments[0], "--leaves" in options, "--no-chain" not in options)
    except OSError as error:
        sys.exit("cannot read the journal: %s" % error)
    if not journal.numbers:
        sys.exit("%s has no segments; give the folder `journal` inside the data directory" % arguments[0])
    try:
        number, offset, behind = journal.read()
        journal.place = ("segment-%08d" % number, offset)
        missing = journal.acknowledged(number, offset) > journal.last
        what = "there is no complete frame, although it was acknowledged" if missing else None
    except (Damaged, ValueError) as error:
        what = str(error)
    except FileNotFoundError as error:
        what = "%s is missing" % error.filename
    if what:
        sys.exit("damaged: %s offset %d sequence %d: %s" % (*journal.place, journal.last + 1, what))
    if behind:
        print("torn tail: segment-%08d offset %d; these bytes were never acknowledged" % (number, offset))
    chain = "hash chain checked" if journal.chain else "hash chain not checked"
    print("%d entries, %s, root %s" % (journal.last, chain, merkle_root(journal.hashes).hex()))


if __name__ == "__main__":
    main()
