//! Rows: client transfers within a frame. A row has a fixed size and its own checksum, so that one small read gets one
//! transfer, and most transfers are written without encoding them field by field.
//!
//! A transfer is stored as a row if a client chose its id and the id of any transfer that it resolves, nothing in its
//! entry is sealed, and it happened when it was decided: then the entry's `decided_at` and `occurred_at` are its
//! timestamp. Rows form *runs*. A run starts with a byte 0 in place of an entry's length:
//!
//! | field | encoding |
//! | --- | --- |
//! | run | 1 byte, 0 |
//! | marks | 1 byte: 1 tenant given, 2 actor given, 4 request given, 8 request is the transfer's id, 16 rows of an import |
//! | count | 4 bytes, at least 1 |
//! | tenant, actor | varint each, where given; otherwise those of the entry before |
//! | request | 16 bytes, where given; otherwise, without mark 8, that of the entry before |
//! | import | of rows of an import: its number, varint, and the first row's `decided_at`, varint nanoseconds after the entry before |
//! | rows | `count` of them, one entry each |
//!
//! The rows of an import are staged transfers, older than their entries: each entry is decided 1 ns after the previous
//! one.
//!
//! A row, all numbers little-endian:
//!
//! | offset | bytes | field |
//! | ---: | ---: | --- |
//! | 0 | 16 | id |
//! | 16 | 16 | debit account |
//! | 32 | 16 | credit account |
//! | 48 | 16 | amount |
//! | 64 | 16 | user data 128 |
//! | 80 | 8 | user data 64 |
//! | 88 | 4 | user data 32 |
//! | 92 | 4 | ledger |
//! | 96 | 2 | code |
//! | 98 | 2 | flags; bit 15 says that the row is wide |
//! | 100 | 8 | timestamp, nanoseconds since 1970 |
//! | 108 | 20 | in a wide row: the pending transfer it resolves (16), 0 for none, and its timeout in seconds (4) |
//! | 108 or 128 | 4 | CRC-32C of the bytes before |

use engine::{Entry, Fact, Header};
use ledger::{ImportNumber, Transfer, TransferFlags, TransferKey};
use types::{AccountId, ActorId, Amount, Code, LedgerId, RequestId, Span, TenantId, Timestamp, TransferId};

use super::{
    ACTOR, FrameContext, REQUEST, REQUEST_IS_ID, TENANT, begin_canonical, end_canonical, imports, ledger_facts,
};
use crate::bytes::{DecodeError, Decoder, Encoder};

/// The size of a row in bytes.
pub(crate) const PLAIN_ROW_BYTES: usize = 112;
/// The size in bytes of a row that resolves a pending transfer or has a timeout.
pub(crate) const WIDE_ROW_BYTES: usize = 132;
/// The most bytes before the first row of a run.
pub(crate) const RUN_HEADER_BYTES_MAX: usize = 1 + 1 + 4 + 5 + 10 + 16 + 3 + 10;
const CHECKSUM_BYTES: usize = 4;
const FLAGS_AT: usize = 98;
const WIDE: u16 = 1 << 15;
const IMPORT: u8 = 16;

/// The transfer of an entry that is stored as a row, and the import that it belongs to.
pub(crate) fn transfer_of(entry: &Entry) -> Option<(&Transfer, Option<ImportNumber>)> {
    let Entry { header, fact: Fact::Ledger(fact), sealed: None } = entry else { return None };
    let (transfer, import) = if let ledger::Fact::TransferCreated(transfer) = fact {
        (transfer, None)
    } else if let ledger::Fact::TransferStaged { import, transfer } = fact {
        (transfer, Some(*import))
    } else {
        return None;
    };
    let pending_fits = match transfer.pending {
        None => true,
        Some(TransferKey::Client(id)) => id != TransferId::default(),
        Some(TransferKey::Leg { .. }) => false,
    };
    let on_time = import.is_some() || header.decided_at == transfer.timestamp;
    let at_once = header.occurred_at == header.decided_at && on_time;
    let by_client = matches!(transfer.key, TransferKey::Client(_));
    (by_client && pending_fits && at_once && transfer.flags.bits() & WIDE == 0).then_some((transfer, import))
}

/// A run to which rows can still be added.
#[derive(Debug)]
pub(crate) struct OpenRun {
    count_at: usize,
    count: u32,
    request_is_id: bool,
    import: Option<ImportNumber>,
}

impl OpenRun {
    /// Writes the count of rows, once the run is complete.
    pub(crate) fn close(self, payload: &mut Encoder) {
        if let Some(place) = payload.bytes.get_mut(self.count_at..).and_then(<[u8]>::first_chunk_mut) {
            *place = self.count.to_le_bytes();
        }
    }

    fn takes(&self, header: &Header, id: u128, import: Option<ImportNumber>, context: &FrameContext) -> bool {
        if self.import != import || (import.is_some() && header.decided_at != next_instant(context.at)) {
            return false;
        }
        let request_holds =
            if self.request_is_id { header.request.get() == id } else { header.request == context.request };
        request_holds && header.tenant == context.tenant && header.actor == context.actor
    }
}

/// Appends the row of an entry, to the open run or to a new one; returns where the row starts.
pub(crate) fn push_row(
    header: &Header,
    (transfer, import): (&Transfer, Option<ImportNumber>),
    context: &FrameContext,
    run: &mut Option<OpenRun>,
    into: &mut Encoder,
) -> usize {
    let id = id_of(transfer.key);
    let mut open = match run.take() {
        Some(open) if open.takes(header, id, import, context) => open,
        other => {
            if let Some(full) = other {
                full.close(into);
            }
            start_run(header, (id, import), context, into)
        }
    };
    open.count += 1;
    *run = Some(open);
    let place = into.bytes.len();
    encode_row(id, transfer, into);
    place
}

fn start_run(
    header: &Header,
    (id, import): (u128, Option<ImportNumber>),
    context: &FrameContext,
    into: &mut Encoder,
) -> OpenRun {
    let request_is_id = header.request.get() == id;
    let marks = [
        (TENANT, header.tenant != context.tenant),
        (ACTOR, header.actor != context.actor),
        (REQUEST, header.request != context.request && !request_is_id),
        (REQUEST_IS_ID, request_is_id),
        (IMPORT, import.is_some()),
    ];
    let marks = marks.iter().filter(|(_, set)| *set).fold(0, |marks, (mark, _)| marks | mark);
    into.u8(0);
    into.u8(marks);
    let count_at = into.bytes.len();
    into.u32(0);
    if marks & TENANT != 0 {
        into.varint(header.tenant.get());
    }
    if marks & ACTOR != 0 {
        into.varint(header.actor.get());
    }
    if marks & REQUEST != 0 {
        into.u128(header.request.get());
    }
    if let Some(import) = import {
        into.varint(import.get());
        into.varint(header.decided_at.ns() - context.at.ns());
    }
    OpenRun { count_at, count: 0, request_is_id, import }
}

/// The `decided_at` of the import's next row.
fn next_instant(at: Timestamp) -> Timestamp {
    at.saturating_add(Span::from_ns(1))
}

fn encode_row(id: u128, transfer: &Transfer, into: &mut Encoder) {
    let wide = transfer.pending.is_some() || transfer.timeout_s > 0;
    let mut row = [0_u8; WIDE_ROW_BYTES];
    row[..16].copy_from_slice(&id.to_le_bytes());
    row[16..32].copy_from_slice(&transfer.debit.get().to_le_bytes());
    row[32..48].copy_from_slice(&transfer.credit.get().to_le_bytes());
    row[48..64].copy_from_slice(&transfer.amount.get().to_le_bytes());
    row[64..80].copy_from_slice(&transfer.user_data_128.to_le_bytes());
    row[80..88].copy_from_slice(&transfer.user_data_64.to_le_bytes());
    row[88..92].copy_from_slice(&transfer.user_data_32.to_le_bytes());
    row[92..96].copy_from_slice(&transfer.ledger.get().to_le_bytes());
    row[96..FLAGS_AT].copy_from_slice(&transfer.code.get().to_le_bytes());
    let flags = transfer.flags.bits() | if wide { WIDE } else { 0 };
    row[FLAGS_AT..100].copy_from_slice(&flags.to_le_bytes());
    row[100..108].copy_from_slice(&transfer.timestamp.ns().to_le_bytes());
    if wide {
        row[108..124].copy_from_slice(&transfer.pending.map_or(0, id_of).to_le_bytes());
        row[124..128].copy_from_slice(&transfer.timeout_s.to_le_bytes());
        finish_row::<WIDE_ROW_BYTES>(&mut row, into);
    } else {
        finish_row::<PLAIN_ROW_BYTES>(&mut row, into);
    }
}

/// Adds the checksum and appends the first `BYTES` bytes.
fn finish_row<const BYTES: usize>(row: &mut [u8; WIDE_ROW_BYTES], into: &mut Encoder) {
    let checked = BYTES - CHECKSUM_BYTES;
    let checksum = crc32c::crc32c(&row[..checked]);
    row[checked..BYTES].copy_from_slice(&checksum.to_le_bytes());
    into.raw(&row[..BYTES]);
}

/// A run that is being decoded.
#[derive(Debug)]
pub(crate) struct Run {
    rows_left: u32,
    tenant: TenantId,
    actor: ActorId,
    /// `None` if the request of each row is its transfer's id.
    request: Option<RequestId>,
    /// The import that the rows belong to, and when the next one is decided.
    import: Option<(ImportNumber, Timestamp)>,
}

impl Run {
    /// The run after its next row; `None` if that row is the last.
    fn rest(self) -> Option<Self> {
        self.rows_left.checked_sub(1).filter(|left| *left > 0).map(|rows_left| {
            let import = self.import.map(|(number, at)| (number, next_instant(at)));
            Self { rows_left, import, ..self }
        })
    }
}

/// Reads the fields before the rows of a run.
pub(crate) fn decode_run(from: &mut Decoder<'_>, context: &FrameContext) -> Result<Run, DecodeError> {
    const KNOWN: u8 = TENANT | ACTOR | REQUEST | REQUEST_IS_ID | IMPORT;
    let (zero, marks) = (from.u8()?, from.u8()?);
    if zero != 0 || marks & !KNOWN != 0 {
        return Err(DecodeError::Unknown { what: "set of marks of a run", value: u64::from(marks) });
    }
    let rows_left = from.u32()?;
    if rows_left == 0 {
        return Err(DecodeError::Unknown { what: "count of rows", value: 0 });
    }
    let tenant = if marks & TENANT != 0 { TenantId::new(from.varint()?) } else { context.tenant };
    let actor = if marks & ACTOR != 0 { ActorId::new(from.varint()?) } else { context.actor };
    let request = match marks & (REQUEST | REQUEST_IS_ID) {
        REQUEST => Some(RequestId::new(from.u128()?)),
        0 => Some(context.request),
        _ => None,
    };
    let import = if marks & IMPORT != 0 {
        let (number, after) = (imports::decode_number(from)?, from.varint()?);
        let at = context.at.ns().checked_add(after).map(Timestamp::from_ns).ok_or(DecodeError::Truncated)?;
        Some((number, at))
    } else {
        None
    };
    Ok(Run { rows_left, tenant, actor, request, import })
}

/// Reads the next row of a run; `None` after the last.
pub(crate) fn decode_row(
    from: &mut Decoder<'_>,
    context: &mut FrameContext,
    run: Run,
) -> Result<(Entry, Option<Run>), DecodeError> {
    let (header, row) = take_row(from, context, &run)?;
    let fact = match run.import {
        Some((import, _)) => ledger::Fact::TransferStaged { import, transfer: row },
        None => ledger::Fact::TransferCreated(row),
    };
    Ok((Entry { header, fact: Fact::Ledger(fact), sealed: None }, run.rest()))
}

/// Reads the next row of a run as [`decode_row`] does, and appends the canonical encoding of its entry without building
/// the entry.
pub(crate) fn canonical_row(
    from: &mut Decoder<'_>,
    context: &mut FrameContext,
    run: Run,
    into: &mut Encoder,
) -> Result<Option<Run>, DecodeError> {
    let (header, row) = take_row(from, context, &run)?;
    let start = begin_canonical(&header, into);
    let kind = ledger_facts::encode_row(&header, run.import.map(|(import, _)| import), &row, into);
    end_canonical(start, kind, None, into);
    Ok(run.rest())
}

/// The header of the entry that the next row represents, and its transfer.
fn take_row(from: &mut Decoder<'_>, context: &mut FrameContext, run: &Run) -> Result<(Header, Transfer), DecodeError> {
    let (row, bytes) = parse(from.rest())?;
    from.raw(bytes)?;
    let decided_at = run.import.map_or(row.timestamp, |(_, at)| at);
    if decided_at < context.at {
        return Err(DecodeError::Unknown { what: "later time", value: row.timestamp.ns() });
    }
    let header = Header {
        shard: context.shard,
        seq: context.next,
        tenant: run.tenant,
        actor: run.actor,
        request: run.request.unwrap_or_else(|| RequestId::new(id_of(row.key))),
        decided_at,
        occurred_at: decided_at,
    };
    context.follow(&header);
    Ok((header, row))
}

/// Reads a single row at the front of `bytes`; `None` if its checksum does not match.
pub(crate) fn read_row(bytes: &[u8]) -> Option<Transfer> {
    let (transfer, used) = parse(bytes).ok()?;
    let (checked, checksum) = bytes.get(..used)?.split_last_chunk::<CHECKSUM_BYTES>()?;
    (crc32c::crc32c(checked) == u32::from_le_bytes(*checksum)).then_some(transfer)
}

/// The transfer at the front of `bytes`, and the size of its row in bytes. Does not check the checksum.
fn parse(bytes: &[u8]) -> Result<(Transfer, usize), DecodeError> {
    let plain: &[u8; PLAIN_ROW_BYTES] = bytes.first_chunk().ok_or(DecodeError::Truncated)?;
    let mut from = Decoder::new(plain);
    let key = TransferKey::Client(TransferId::new(from.u128()?));
    let debit = AccountId::new(from.u128()?);
    let credit = AccountId::new(from.u128()?);
    let amount = Amount::new(from.u128()?);
    let (user_data_128, user_data_64, user_data_32) = (from.u128()?, from.u64()?, from.u32()?);
    let ledger = LedgerId::new(from.u32()?);
    let code = Code::new(from.u16()?);
    let flags = from.u16()?;
    let timestamp = Timestamp::from_ns(from.u64()?);
    let (pending, timeout_s, used) = if flags & WIDE == 0 {
        (None, 0, PLAIN_ROW_BYTES)
    } else {
        let wide: &[u8; WIDE_ROW_BYTES] = bytes.first_chunk().ok_or(DecodeError::Truncated)?;
        let mut from = Decoder::new(&wide[108..]);
        let (pending, timeout_s) = (from.u128()?, from.u32()?);
        if pending == 0 && timeout_s == 0 {
            return Err(DecodeError::Unknown { what: "wide row", value: 0 });
        }
        let pending = (pending != 0).then(|| TransferKey::Client(TransferId::new(pending)));
        (pending, timeout_s, WIDE_ROW_BYTES)
    };
    let transfer = Transfer {
        key,
        debit,
        credit,
        amount,
        pending,
        user_data_128,
        user_data_64,
        user_data_32,
        timeout_s,
        ledger,
        code,
        flags: TransferFlags::from_bits(flags & !WIDE),
        timestamp,
    };
    Ok((transfer, used))
}

/// The id in a client's key. Legs of payments have none and are never stored as rows.
fn id_of(key: TransferKey) -> u128 {
    match key {
        TransferKey::Client(id) => id.get(),
        TransferKey::Leg { payment, .. } => payment.get(),
    }
}
