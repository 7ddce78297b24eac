//! Serves the journal's files to processes that keep a copy of it.

use api::segments::{BytesWanted, Segments, SegmentsWanted};
use api::{ErrorCode, Problem};
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse as _;

use crate::Stopwatch;
use crate::http::call::Call;
use crate::http::failure::{Handled, found};
use crate::http::observe::waited;

pub(crate) async fn list(call: Call) -> Handled {
    let wanted = SegmentsWanted::read(&call.head.parameters)?;
    let core = &call.app.core;
    let stopwatch = Stopwatch::start();
    if let Some((after, wait)) = wanted.wait {
        core.note_copy((call.caller.actor, call.proven.api_key()), after);
        tokio::select! {
            _ = core.wait_durable_past(after) => {}
            () = core.stopped() => {}
            () = tokio::time::sleep(wait) => {}
        }
        call.app.check(&call.proven)?;
    }
    let asleep = stopwatch.elapsed();
    let (end, files) = core
        .read_journal(&core.shared().readers.copies, move |reader| {
            let end = reader.durable_end()?;
            let files = reader.segment_files(wanted.from, wanted.limit, &end)?;
            Ok((end, files))
        })
        .await?;
    Ok(waited(asleep, found(&Segments::new(&files, &end, core.shard()))))
}

pub(crate) async fn read(call: Call) -> Handled {
    let wanted @ BytesWanted { segment, offset, bytes } =
        BytesWanted::read(call.head.path_id(), &call.head.parameters)?;
    let core = &call.app.core;
    let read = core
        .read_journal(&core.shared().readers.copies, move |reader| {
            let Some(bytes) = reader.durable_bytes(segment, offset, bytes)? else { return Ok(None) };
            Ok(Some((bytes, reader.last_before(segment, offset)?)))
        })
        .await?;
    let Some((bytes, held)) = read else {
        let end = core.read_journal(&core.shared().readers.copies, |reader| reader.durable_end()).await?;
        return Err(behind_the_end(wanted, end).into());
    };
    core.note_copy((call.caller.actor, call.proven.api_key()), held);
    let media_type = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, media_type)], bytes).into_response())
}

fn behind_the_end(wanted: BytesWanted, end: journal::DurableEnd) -> Problem {
    let (name, found) = if wanted.segment > end.segment {
        ("id", format!("found segment {}", wanted.segment))
    } else {
        ("offset", format!("found byte {} of segment {}", wanted.offset, wanted.segment))
    };
    let detail =
        format!("{found}, which is not durable: the journal ends in segment {} at byte {}", end.segment, end.offset);
    Problem::new(ErrorCode::InvalidParameter, detail).at(name)
}
