//! A connection to a broker, over which one command is answered after the other.

use std::io::{BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use types::Seq;

use super::chunk;
use super::wire::{self, Reading, Writing};
use crate::rabbitmq::Common;
use crate::rabbitmq::address::Address;
use crate::target::Fault;

/// How long a broker may leave a connection, a command or a message without an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the first message of a stream may take, if it is not known whether there is one.
const MAYBE_WITHIN: Duration = Duration::from_secs(1);
/// Most bytes of a frame that a broker sends: a whole chunk of messages.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// Most messages that were sent and not confirmed.
const IN_FLIGHT_MAX: u64 = 4_096;
/// Bytes of messages after which a frame is sent.
const FRAME_BYTES: usize = 128 << 10;
/// The name of the publisher, for which the broker keeps the last publishing id.
const PUBLISHER: &str = "finaira-connect";
/// The name of the consumer whose offset is the fence.
const FENCE: &str = "finaira-connect-fence";
/// Numbers of the publisher and of the subscription on this connection.
const PUBLISHER_ID: u8 = 1;
const SUBSCRIPTION_ID: u8 = 1;

/// Whether a message was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    TooLarge { bytes_max: usize },
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    socket: BufReader<TcpStream>,
    stream: String,
    /// Most bytes of a frame that is sent.
    frame_bytes_max: usize,
    /// The number of the last command.
    command: u32,
    /// The frame of messages that is being filled, and how many it has.
    filling: Option<(Writing, u32)>,
    /// Messages that were sent, and those that were confirmed.
    sent: u64,
    confirmed: u64,
    /// The last chunk that was delivered.
    delivered: Option<Vec<u8>>,
}

/// Where the number of the messages is in a frame.
const COUNT_AT: usize = 4 + 2 + 2 + 1;

impl Link {
    pub(super) fn connect(common: &Common) -> Result<Self, Fault> {
        let Address { user, host, port, virtual_host } = &common.address;
        Self::connect_to(common, host, *port, user, virtual_host)
    }

    fn connect_to(common: &Common, host: &str, port: u16, user: &str, virtual_host: &str) -> Result<Self, Fault> {
        let unreachable = |error: std::io::Error| Fault::Unreachable(format!("{host}:{port}: {error}"));
        let mut failure = Fault::Unreachable(format!("{host} has no address"));
        let mut connected = None;
        for address in (host, port).to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
                Ok(socket) => {
                    connected = Some(socket);
                    break;
                }
                Err(error) => failure = unreachable(error),
            }
        }
        let Some(socket) = connected else { return Err(failure) };
        socket.set_read_timeout(Some(ANSWER_WITHIN)).map_err(unreachable)?;
        socket.set_write_timeout(Some(ANSWER_WITHIN)).map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let mut link = Self {
            socket: BufReader::new(socket),
            stream: common.name.clone(),
            frame_bytes_max: FRAME_BYTES,
            command: 0,
            filling: None,
            sent: 0,
            confirmed: 0,
            delivered: None,
        };
        link.log_in(user, common.password.reveal(), virtual_host)?;
        Ok(link)
    }

    fn log_in(&mut self, user: &str, password: &str, virtual_host: &str) -> Result<(), Fault> {
        self.ask(wire::PEER_PROPERTIES, |frame| {
            let properties = [("product", "Finaira"), ("connection_name", "finaira-connect")];
            frame.count(properties.len());
            for (name, value) in properties {
                frame.text(name).text(value);
            }
        })?;
        self.ask(wire::SASL_HANDSHAKE, |_| {})?;
        self.ask(wire::SASL_AUTHENTICATE, |frame| {
            frame.text("PLAIN").bytes(format!("\0{user}\0{password}").as_bytes());
        })?;
        // The broker proposes the size of frames and a heartbeat. Without a heartbeat, only answers arrive.
        loop {
            let frame = self.receive()?;
            let mut reading = Reading(&frame);
            if reading.u16() == Some(wire::TUNE) {
                let proposed = reading.u16().and(reading.u32()).ok_or_else(malformed)?;
                let bytes = usize::try_from(proposed).unwrap_or(usize::MAX);
                self.frame_bytes_max = if bytes == 0 { FRAME_BYTES_MAX } else { bytes.min(FRAME_BYTES_MAX) };
                let mut answer = Writing::new(wire::TUNE);
                answer.u32(proposed).u32(0);
                self.write(&answer.finish())?;
                break;
            }
            self.take(&frame)?;
        }
        self.ask(wire::OPEN, |frame| {
            frame.text(virtual_host);
        })?;
        Ok(())
    }

    /// Creates the stream if it does not exist.
    pub(super) fn create(&mut self) -> Result<(), Fault> {
        let stream = self.stream.clone();
        let (code, _) = self.answer(wire::CREATE, |frame| {
            frame.text(&stream).count(0);
        })?;
        if code == wire::STREAM_EXISTS { Ok(()) } else { done(wire::CREATE, code) }
    }

    /// Whether the stream exists.
    pub(super) fn exists(&mut self) -> Result<bool, Fault> {
        Ok(self.leader()?.is_some())
    }

    /// Connects to the broker that stores new messages, if this one is not alone.
    pub(super) fn move_to_leader(&mut self, common: &Common) -> Result<(), Fault> {
        let Address { user, host, port, virtual_host } = &common.address;
        match self.leader()? {
            Some(Leader { is_alone: false, host: there, port: at }) if (&there, at) != (host, *port) => {
                *self = Self::connect_to(common, &there, at, user, virtual_host)?;
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(Fault::Unreachable(format!("the stream `{}` has no leader yet", self.stream))),
        }
    }

    /// The broker that stores new messages; `None` if there is no such stream.
    fn leader(&mut self) -> Result<Option<Leader>, Fault> {
        let stream = self.stream.clone();
        // This answer has no code of its own.
        let answer = self.exchange(wire::METADATA, |frame| {
            frame.count(1).text(&stream);
        })?;
        let mut reading = Reading(&answer);
        let mut brokers = Vec::new();
        for _ in 0..reading.count().ok_or_else(malformed)? {
            let mut broker = || Some((reading.u16()?, reading.text()?.to_owned(), reading.u32()?));
            brokers.push(broker().ok_or_else(malformed)?);
        }
        let mut described = || Some((reading.count()?, reading.text()?, reading.u16()?, reading.u16()?));
        let (_streams, _name, code, leader) = described().ok_or_else(malformed)?;
        match code {
            wire::OK => {}
            wire::NO_SUCH_STREAM => return Ok(None),
            code => return done(wire::METADATA, code).map(|()| None),
        }
        let is_alone = brokers.len() == 1;
        let found = brokers.into_iter().find(|(reference, ..)| *reference == leader);
        let (_, host, port) = found.ok_or_else(|| Fault::Unreachable("the stream has no leader".to_owned()))?;
        Ok(Some(Leader { is_alone, host, port: u16::try_from(port).unwrap_or_default() }))
    }

    /// The number of the last connector that has taken the stream over; 0 if there was none.
    pub(super) fn fence(&mut self) -> Result<u64, Fault> {
        let stream = self.stream.clone();
        let (code, answer) = self.answer(wire::QUERY_OFFSET, |frame| {
            frame.text(FENCE).text(&stream);
        })?;
        if code == wire::NO_OFFSET {
            return Ok(0);
        }
        done(wire::QUERY_OFFSET, code)?;
        Reading(&answer).u64().ok_or_else(malformed)
    }

    /// Stores that number. The broker does not answer; [`Link::fence`] shows whether it did.
    pub(super) fn raise_fence(&mut self, fence: u64) -> Result<(), Fault> {
        let mut frame = Writing::new(wire::STORE_OFFSET);
        frame.text(FENCE).text(&self.stream).u64(fence);
        self.write(&frame.finish())
    }

    pub(super) fn declare_publisher(&mut self) -> Result<(), Fault> {
        let stream = self.stream.clone();
        self.ask(wire::DECLARE_PUBLISHER, |frame| {
            frame.u8(PUBLISHER_ID).text(PUBLISHER).text(&stream);
        })?;
        Ok(())
    }

    /// The last publishing id of the publisher; 0 if there was none.
    pub(super) fn publisher_sequence(&mut self) -> Result<u64, Fault> {
        let stream = self.stream.clone();
        let answer = self.ask(wire::QUERY_PUBLISHER_SEQUENCE, |frame| {
            frame.text(PUBLISHER).text(&stream);
        })?;
        Reading(&answer).u64().ok_or_else(malformed)
    }

    /// The last message of the stream. If `is_there`, there must be one; otherwise there probably is none.
    pub(super) fn last_message(&mut self, is_there: bool) -> Result<Option<Vec<u8>>, Fault> {
        const LAST: u16 = 2;
        let stream = self.stream.clone();
        self.delivered = None;
        self.ask(wire::SUBSCRIBE, |frame| {
            frame.u8(SUBSCRIPTION_ID).text(&stream).u16(LAST).u16(1).count(0);
        })?;
        let patience = if is_there { ANSWER_WITHIN } else { MAYBE_WITHIN };
        let failed = |error: std::io::Error| Fault::Unreachable(error.to_string());
        self.socket.get_ref().set_read_timeout(Some(patience)).map_err(failed)?;
        while self.delivered.is_none() {
            match self.try_receive() {
                Ok(frame) => self.take(&frame)?,
                Err(error) if is_timeout(&error) && !is_there => break,
                Err(error) => return Err(lost(&error)),
            }
        }
        self.socket.get_ref().set_read_timeout(Some(ANSWER_WITHIN)).map_err(failed)?;
        self.ask(wire::UNSUBSCRIBE, |frame| {
            frame.u8(SUBSCRIPTION_ID);
        })?;
        let Some(chunk) = self.delivered.take() else { return Ok(None) };
        let last = chunk::last_message(Reading(&chunk)).ok_or_else(|| {
            let stream = &self.stream;
            Fault::Refused(format!("the end of the stream `{stream}` was not written by a connector; name a stream that only the connector writes to"))
        })?;
        Ok(Some(last.to_vec()))
    }

    /// Sends a message, as soon as there is room for it.
    pub(super) fn publish(&mut self, seq: Seq, message: &[u8]) -> Result<Sent, Fault> {
        // Its publishing id, and its length before it.
        let bytes = message.len() + 8 + 4;
        if COUNT_AT + 4 + bytes > self.frame_bytes_max {
            return Ok(Sent::TooLarge { bytes_max: self.frame_bytes_max });
        }
        let is_full = |(frame, _): &(Writing, u32)| frame.len() + bytes > FRAME_BYTES.min(self.frame_bytes_max);
        if self.filling.as_ref().is_some_and(is_full) {
            self.flush()?;
        }
        let (frame, count) = self.filling.get_or_insert_with(|| {
            let mut frame = Writing::new(wire::PUBLISH);
            // The number of messages is set when it is known.
            frame.u8(PUBLISHER_ID).count(0);
            (frame, 0)
        });
        frame.u64(seq.get()).bytes(message);
        *count += 1;
        Ok(Sent::Yes)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let Some((mut frame, count)) = self.filling.take() else { return Ok(()) };
        frame.set_u32(COUNT_AT, count);
        self.write(&frame.finish())?;
        self.sent += u64::from(count);
        self.confirm(self.sent.saturating_sub(IN_FLIGHT_MAX))
    }

    /// Waits until everything is confirmed.
    pub(super) fn drain(&mut self) -> Result<(), Fault> {
        self.flush()?;
        self.confirm(self.sent)
    }

    /// Waits until this many messages are confirmed.
    fn confirm(&mut self, count: u64) -> Result<(), Fault> {
        while self.confirmed < count {
            let frame = self.receive()?;
            self.take(&frame)?;
        }
        Ok(())
    }

    /// Sends a command, and returns what its answer says after the code, which must be [`wire::OK`].
    fn ask(&mut self, command: u16, write: impl FnOnce(&mut Writing)) -> Result<Vec<u8>, Fault> {
        let (code, answer) = self.answer(command, write)?;
        done(command, code)?;
        Ok(answer)
    }

    /// Sends a command, and returns the code of its answer with what follows.
    fn answer(&mut self, command: u16, write: impl FnOnce(&mut Writing)) -> Result<(u16, Vec<u8>), Fault> {
        let mut answer = self.exchange(command, write)?;
        let code = Reading(&answer).u16().ok_or_else(malformed)?;
        answer.drain(..2);
        Ok((code, answer))
    }

    fn exchange(&mut self, command: u16, write: impl FnOnce(&mut Writing)) -> Result<Vec<u8>, Fault> {
        self.command = self.command.wrapping_add(1);
        let number = self.command;
        let mut frame = Writing::new(command);
        frame.u32(number);
        write(&mut frame);
        self.write(&frame.finish())?;
        loop {
            let mut frame = self.receive()?;
            let mut reading = Reading(&frame);
            let header = (reading.u16(), reading.u16(), reading.u32());
            if header.0 == Some(command | wire::ANSWER) && header.2 == Some(number) {
                let header_bytes = frame.len() - reading.0.len();
                frame.drain(..header_bytes);
                return Ok(frame);
            }
            self.take(&frame)?;
        }
    }

    /// Takes a frame that is no answer.
    fn take(&mut self, frame: &[u8]) -> Result<(), Fault> {
        let mut reading = Reading(frame);
        let (command, _version) = (reading.u16().ok_or_else(malformed)?, reading.u16());
        match command {
            wire::PUBLISH_CONFIRM => {
                let count = reading.u8().and(reading.u32()).ok_or_else(malformed)?;
                self.confirmed += u64::from(count);
                Ok(())
            }
            wire::PUBLISH_ERROR => {
                let mut first = || reading.u8().and(reading.u32()).and(Some((reading.u64()?, reading.u16()?)));
                let (id, code) = first().ok_or_else(malformed)?;
                done(wire::PUBLISH, code).map_err(|fault| match fault {
                    Fault::Refused(what) => Fault::Refused(format!("entry {id}: {what}")),
                    Fault::Unreachable(_) | Fault::Fenced | Fault::Moved { .. } | Fault::Contradicts(_) => fault,
                })
            }
            wire::DELIVER => {
                reading.u8().ok_or_else(malformed)?;
                self.delivered = Some(reading.0.to_vec());
                Ok(())
            }
            wire::METADATA_UPDATE => {
                let code = reading.u16().ok_or_else(malformed)?;
                Err(Fault::Unreachable(format!("the stream `{}`: {}", self.stream, wire::meaning(code))))
            }
            wire::CLOSE => {
                let mut said = || reading.u32().and(Some((reading.u16()?, reading.text()?)));
                let (code, reason) = said().ok_or_else(malformed)?;
                Err(Fault::Unreachable(format!("the broker closed the connection: {} ({reason})", wire::meaning(code))))
            }
            wire::HEARTBEAT | wire::TUNE => Ok(()),
            command => {
                Err(Fault::Unreachable(format!("the broker sent the command {command}, which was not expected")))
            }
        }
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), Fault> {
        self.socket.get_mut().write_all(frame).map_err(|error| lost(&error))
    }

    fn receive(&mut self) -> Result<Vec<u8>, Fault> {
        self.try_receive().map_err(|error| lost(&error))
    }

    /// The next frame, without its length.
    fn try_receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            let what = format!("the broker sent a frame of {length} bytes, expected at most {FRAME_BYTES_MAX}");
            return Err(std::io::Error::new(ErrorKind::InvalidData, what));
        }
        let mut frame = vec![0; length];
        self.socket.read_exact(&mut frame)?;
        Ok(frame)
    }
}

/// The broker that stores new messages.
struct Leader {
    host: String,
    port: u16,
    /// Whether it is the only broker that the answer names.
    is_alone: bool,
}

fn malformed() -> Fault {
    Fault::Unreachable("the broker sent a frame that is too short".to_owned())
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn lost(error: &std::io::Error) -> Fault {
    if is_timeout(error) {
        Fault::Unreachable(format!("the broker did not answer within {} s", ANSWER_WITHIN.as_secs()))
    } else {
        Fault::Unreachable(error.to_string())
    }
}

/// What the code of an answer means for a connector.
fn done(command: u16, code: u16) -> Result<(), Fault> {
    let what = || format!("command {command} was answered with {code}: {}", wire::meaning(code));
    match code {
        wire::OK => Ok(()),
        wire::STREAM_UNAVAILABLE | wire::INTERNAL_ERROR => Err(Fault::Unreachable(what())),
        _ => Err(Fault::Refused(what())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_trying_again_helps() {
        assert_eq!(done(wire::CREATE, wire::OK), Ok(()));
        assert!(matches!(done(wire::CREATE, wire::STREAM_UNAVAILABLE), Err(Fault::Unreachable(_))));
        let refused = done(wire::SASL_AUTHENTICATE, 8).expect_err("a wrong password");
        assert_eq!(refused, Fault::Refused("command 19 was answered with 8: user or password are wrong".to_owned()));
    }
}
