//! A stream, through RabbitMQ's own protocol for streams.
//!
//! The stream is its own cursor. Each message says up to which entry everything had been confirmed when it was sent, and its own sequence.
//! A connector that opens the stream reads the last message, and sends what is missing.
//!
//! Why every event is there exactly once: the sequence of the entry is the *publishing id* of its message, and the publisher has a name. The broker
//! keeps the last publishing id of the name with the stream, and drops a message whose id is not higher. A connector sends the
//! messages of all entries in their order. So whoever sends them, and however often, each is stored once, and all
//! earlier ones are before it.
//!
//! Who is the only writer is a number beside the messages: the offset that a consumer with a certain name has stored. A connector that opens the
//! stream raises it. Each connector reads it before a batch, and stops if it has been raised. The broker does not compare it
//! while it stores messages, so an earlier connector may send one more batch: the same messages, which are dropped.

mod chunk;
mod link;
mod message;
mod wire;

use types::Seq;

use self::link::{Link, Sent};
use super::Common;
use crate::batch::Batch;
use crate::copied::{Copied, Found, chance};
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::events::{CloudEvent, event_id, subject};
use crate::outgoing::{Outgoing, outgoing};
use crate::target::{Counts, Fault, Needs, Target, Wanted, confirmed};

/// How often a connector raises the fence, if others do the same at that moment.
const RAISES_MAX: u32 = 5;
/// The lower bits of a fence are random, so that two connectors which raise it at the same moment differ.
const CHANCE_BITS: u32 = 20;

/// Makes a target that is not connected yet.
pub(super) fn make(common: Common) -> Box<dyn Target> {
    Box::new(Stream { common, opened: None })
}

/// A stream with the events of a journal.
#[derive(Debug)]
struct Stream {
    common: Common,
    opened: Option<Opened>,
}

/// A stream that this connector writes to.
#[derive(Debug)]
struct Opened {
    link: Link,
    fence: u64,
    /// The entry of the last message, and the origin of its history. The journal must agree with it.
    last: Seq,
    source: String,
}

impl Opened {
    fn write(&mut self, common: &Common, batch: &Batch, before: &Cursor) -> Result<(), Fault> {
        let fence = self.link.fence()?;
        // The position is not with the fence, but in the messages.
        confirmed((fence, before.position.get()), self.fence, before)?;
        let copied = serde_json::to_string(&Copied::new(before)).map_err(|error| Fault::Refused(error.to_string()))?;
        for out in outgoing(batch, before) {
            let Outgoing { seq, item, origin } = out?;
            if seq == self.last && self.source != origin.to_string() {
                let found = &self.source;
                return Err(Fault::Contradicts(format!(
                    "it holds entry {seq} of the history {found}, expected {origin}"
                )));
            }
            if seq <= self.last || !common.kinds.include(&item.entry) {
                continue;
            }
            let payload = CloudEvent::new(item, origin)?.to_json()?;
            let about = subject(&item.entry.fact);
            let encoded = message::encode(&event_id(origin, seq), about.as_deref(), seq, &copied, &payload);
            match self.link.publish(seq, &encoded)? {
                Sent::Yes => {}
                Sent::TooLarge { bytes_max } => {
                    let bytes = encoded.len();
                    return Err(Fault::Refused(format!(
                        "entry {seq} has {bytes} bytes as a message, and the broker takes {bytes_max}; raise its `stream.frame_max`"
                    )));
                }
            }
        }
        self.link.drain()
    }
}

/// Becomes the writer with the highest number. Returns the number.
fn take_over(link: &mut Link) -> Result<u64, Fault> {
    for _ in 0..RAISES_MAX {
        let number = (link.fence()? >> CHANCE_BITS).saturating_add(1);
        let fence = (number << CHANCE_BITS) | u64::from(chance() >> (u32::BITS - CHANCE_BITS));
        link.raise_fence(fence)?;
        if link.fence()? == fence {
            return Ok(fence);
        }
    }
    Err(Fault::Unreachable("other connectors open the stream at the same moment".to_owned()))
}

/// The last message of a stream whose publisher has sent the one with the id `sequence`.
fn tail(link: &mut Link, stream: &str, sequence: u64) -> Result<Option<Found<Copied>>, Fault> {
    let Some(last) = link.last_message(sequence > 0)? else { return Ok(None) };
    let foreign = |why: &str| {
        Fault::Refused(format!(
            "the last message of the stream `{stream}` was not written by a connector: {why}; name a stream that only the connector writes to"
        ))
    };
    let message = message::decode(&last).ok_or_else(|| foreign("it cannot be read"))?;
    let found: Found<Copied> =
        Found::read(|name| message.property(name), message.payload).map_err(|why| foreign(&why))?;
    found.mark.check_version(&format!("the stream `{stream}`"))?;
    if found.seq.get() < sequence {
        // The broker confirms a message when enough replicas have it, and shows it to readers only then.
        return Err(Fault::Unreachable(format!("message {sequence} of the stream `{stream}` cannot be read yet")));
    }
    Ok(Some(found))
}

impl Target for Stream {
    fn open(&mut self) -> Result<Cursor, Fault> {
        self.opened = None;
        let stream = &self.common.name;
        let mut link = Link::connect(&self.common)?;
        link.create()?;
        link.move_to_leader(&self.common)?;
        let fence = take_over(&mut link)?;
        link.declare_publisher()?;
        let sequence = link.publisher_sequence()?;
        let found = tail(&mut link, stream, sequence)?;
        let cursor = found.as_ref().map_or_else(|| Ok(Cursor::start()), |found| found.mark.cursor())?;
        let (last, source) = found.map_or_else(Default::default, |found| (found.seq, found.source));
        self.opened = Some(Opened { link, fence, last, source });
        Ok(cursor)
    }

    fn needs(&self) -> Needs {
        Needs::Events
    }

    fn is_atomic(&self) -> bool {
        false
    }

    fn load(&mut self, _wanted: &Wanted) -> Result<Documents, Fault> {
        Ok(Documents::default())
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, _after: &Cursor) -> Result<(), Fault> {
        let Some(opened) = &mut self.opened else {
            return Err(Fault::Unreachable("the connection is closed".to_owned()));
        };
        let result = opened.write(&self.common, batch, before);
        if result.is_err() {
            self.opened = None;
        }
        result
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let mut link = Link::connect(&self.common)?;
        if !link.exists()? {
            return Ok(None);
        }
        let sequence = link.publisher_sequence()?;
        let found = tail(&mut link, &self.common.name, sequence)?;
        found.map(|found| Ok((found.mark.cursor()?, Counts::default()))).transpose()
    }
}
