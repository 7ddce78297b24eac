"""Opens two accounts and moves money between them over the packed interface: python3 packed.py URL API-KEY"""
import json, struct, sys, urllib.request

URL, KEY = sys.argv[1:]
EVENT = struct.Struct("<16s16s16s16s16s16sQIIIHHQ")  # an account or a transfer: 128 bytes, no padding
RESULT = struct.Struct("<QII")  # timestamp, status, reserved
CREATED = 0xFFFFFFFF  # any other status is a number in the operation's table


def post(path, body, media_type="application/vnd.finaira.packed"):
    headers = {"Authorization": "Bearer " + KEY, "Content-Type": media_type}
    with urllib.request.urlopen(urllib.request.Request(URL + path, body, headers)) as response:
        return response.read()


def u128(number):
    return number.to_bytes(16, "little")


def account(id, ledger, code, flags=0):
    return EVENT.pack(u128(id), *[u128(0)] * 5, 0, 0, 0, ledger, code, flags, 0)


def transfer(id, debit, credit, amount, ledger, code, flags=0, pending_id=0, timeout=0):
    ids = [u128(number) for number in (id, debit, credit, amount, pending_id, 0)]
    return EVENT.pack(*ids, 0, 0, timeout, ledger, code, flags, 0)


post("/v1/ledgers", json.dumps({"id": 700, "asset": "EUR/2"}).encode(), "application/json")
answer = post("/v1/packed/create-accounts", account(1, 700, 10) + account(2, 700, 10))
print("accounts:", [status for _, status, _ in RESULT.iter_unpack(answer)])
batch = transfer(11, 1, 2, 250, 700, 1) + transfer(12, 1, 1, 99, 700, 1) + transfer(13, 2, 1, 50, 700, 1)
answer = post("/v1/packed/create-transfers?balances=true", batch)
for start in range(0, len(answer), RESULT.size + 128):
    timestamp, status, _ = RESULT.unpack_from(answer, start)
    balances = [int.from_bytes(answer[at : at + 16], "little") for at in range(start + 16, start + 144, 16)]
    print("created" if status == CREATED else "status %d" % status, "debit:", balances[:4], "credit:", balances[4:])

for found in EVENT.iter_unpack(post("/v1/packed/lookup-accounts", u128(1) + u128(2) + u128(3))):
    print("account %d:" % int.from_bytes(found[0], "little"), [int.from_bytes(part, "little") for part in found[1:5]])
