//! Serves the files of a tenant's journal, and of the system journal, to processes that keep a copy of it.

use api::segments::{BytesWanted, Segments, SegmentsWanted};
use api::{ErrorCode, Operation, Problem, Scope};
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse as _;
use edge::auth::permitted_on_route;

use crate::Stopwatch;
use crate::core::Core;
use crate::http::call::Call;
use crate::http::failure::{Handled, found};
use crate::http::observe::waited;

pub(crate) async fn list(call: Call) -> Handled {
    let wanted = SegmentsWanted::read(&call.head.parameters)?;
    let core = core_of(&call)?;
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
    let core = core_of(&call)?;
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

/// Whose journal a request is about. The system journal names tenants, so reading it takes the scope that listing tenants takes.
fn core_of(call: &Call) -> Result<&Core, Problem> {
    let is_of_system =
        matches!(call.head.route.operation, Operation::ListInstallationSegments | Operation::ReadInstallationSegment);
    if !is_of_system {
        return Ok(&call.app.core);
    }
    call.host.only_home(call.app.core.tenant())?;
    permitted_on_route(call.caller.scopes, Scope::TENANTS_READ)?;
    Ok(call.host.tenants.system())
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
