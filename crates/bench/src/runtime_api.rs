//! The Lambda Runtime API of one process (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>), in the
//! thread that measures.
//!
//! The tests have another, `local::lambda`: it runs many processes at once, checks what they say and tells why they
//! ended, and each hand-over goes through channels and tasks that cost more than the whole of a small function. This
//! one adds a few microseconds, and nothing that runs beside the function.

use crate::http::{Inbox, Message, message};
use crate::statistics::Spread;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// No exchange with a thread of this process takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a process asks for its invocations, and answers them.
#[derive(Debug)]
pub struct RuntimeApi {
    listener: TcpListener,
    /// One as a rule. A place is not used again, so that it stays a name.
    connections: Vec<Option<Connection>>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    inbox: Inbox,
}

/// What a process says.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// It is ready, and done with the invocation before.
    Next,
    Answered(Vec<u8>),
    /// The body names the error.
    Failed(Vec<u8>),
}

/// A call, and by which connection it is answered.
#[derive(Debug)]
pub struct Received {
    pub connection: usize,
    pub call: Call,
}

impl RuntimeApi {
    /// On a free local port.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, connections: Vec::new() })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Waits for the next call.
    ///
    /// # Errors
    /// `TimedOut`; and what is not of this API.
    pub fn receive(&mut self, until: Instant) -> io::Result<Received> {
        loop {
            if let Some(received) = self.taken()? {
                return Ok(received);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.wait(left.try_into().unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 }))?;
        }
    }

    /// Hands over an invocation: the answer to [`Call::Next`].
    pub fn hand_over(&mut self, connection: usize, head: &str, payload: &[u8]) -> io::Result<()> {
        self.send(connection, &message("HTTP/1.1 200 OK", head, payload))
    }

    /// The answer to everything else.
    pub fn accept(&mut self, connection: usize) -> io::Result<()> {
        let head = "content-type: application/json\r\n";
        self.send(connection, &message("HTTP/1.1 202 Accepted", head, br#"{"status":"OK"}"#))
    }

    fn send(&mut self, connection: usize, bytes: &[u8]) -> io::Result<()> {
        match self.connections.get_mut(connection) {
            Some(Some(connection)) => connection.stream.write_all(bytes),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn taken(&mut self) -> io::Result<Option<Received>> {
        for (connection, open) in self.connections.iter_mut().enumerate() {
            let Some(open) = open else { continue };
            let message = open.inbox.take().map_err(unreadable)?;
            if let Some(message) = message {
                return Ok(Some(Received { connection, call: read(&message)? }));
            }
        }
        Ok(None)
    }

    /// Until something can be read, and reads it.
    fn wait(&mut self, within: Timespec) -> io::Result<()> {
        let open = self.connections.iter().flatten().map(|connection| &connection.stream);
        let mut polled: Vec<PollFd> = open.map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        polled.push(PollFd::new(&self.listener, PollFlags::IN));
        poll(&mut polled, Some(&within))?;
        let mut ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
        let is_new = ready.pop().unwrap_or(false);
        let open = self.connections.iter_mut().filter(|connection| connection.is_some());
        for (slot, _) in open.zip(ready).filter(|(_, is_ready)| *is_ready) {
            // One that is reset is one that has ended.
            let ended =
                slot.as_mut().is_some_and(|open| !matches!(open.inbox.fill(&mut open.stream), Ok(1..)));
            if ended {
                *slot = None;
            }
        }
        if is_new {
            let (stream, _) = self.listener.accept()?;
            stream.set_nodelay(true)?;
            self.connections.push(Some(Connection { stream, inbox: Inbox::default() }));
        }
        Ok(())
    }
}

/// The median time, in microseconds, from a hand-over to an answer that took no work: two wake-ups, the loopback, and what
/// the instrument does. No process that is measured here can be quicker.
pub fn empty_exchange() -> io::Result<f64> {
    const EXCHANGES: usize = 2_000;
    let mut api = RuntimeApi::listen()?;
    let address = api.address()?;
    let answering = thread::spawn(move || {
        let (mut stream, mut inbox) = (TcpStream::connect(address)?, Inbox::default());
        stream.set_nodelay(true)?;
        let next = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n";
        let answer = message("POST /2018-06-01/runtime/invocation/1/response HTTP/1.1", "host: x\r\n", b"{}");
        stream.write_all(next)?;
        while inbox.wait(&mut stream)?.is_some() {
            stream.write_all(&answer)?;
            inbox.wait(&mut stream)?;
            stream.write_all(next)?;
        }
        Ok::<_, io::Error>(())
    });
    let mut took = Vec::new();
    for _ in 0..EXCHANGES {
        let next = api.receive(Instant::now() + PATIENCE)?;
        let begun = Instant::now();
        api.hand_over(next.connection, "lambda-runtime-aws-request-id: 1\r\n", b"{}")?;
        let answered = api.receive(begun + PATIENCE)?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
        api.accept(answered.connection)?;
    }
    drop(api);
    // It ends with its connection, or has already.
    let _ = answering.join();
    Spread::of(took).map(|spread| spread.p50).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn read(message: &Message) -> io::Result<Call> {
    const RUNTIME: &str = "/2018-06-01/runtime/";
    let mut words = message.start().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let end = path.strip_prefix(RUNTIME).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    match (method, end) {
        ("GET", "next") => Ok(Call::Next),
        ("POST", "response") => Ok(Call::Answered(message.body().to_vec())),
        ("POST", "error") => Ok(Call::Failed(message.body().to_vec())),
        _ => Err(unreadable(format!("not of the Runtime API: {}", message.start()))),
    }
}

fn unreadable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn said(api: &mut RuntimeApi, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Received> {
        stream.write_all(bytes).unwrap();
        api.receive(soon())
    }

    #[test]
    fn an_invocation_is_asked_for_handed_over_and_answered() {
        let mut api = RuntimeApi::listen().unwrap();
        let mut stream = TcpStream::connect(api.address().unwrap()).unwrap();

        // 1. The process asks.
        let asked = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
        let next = said(&mut api, &mut stream, asked).unwrap();
        assert_eq!(next.call, Call::Next);

        // 2. It is handed the event.
        api.hand_over(next.connection, "lambda-runtime-aws-request-id: 7\r\n", b"{\"a\":1}").unwrap();
        let event = Inbox::default().wait(&mut stream).unwrap().unwrap();
        assert_eq!(event.header("lambda-runtime-aws-request-id"), Some("7"));
        assert_eq!(event.body(), b"{\"a\":1}");

        // 3. It answers, by another connection; and fails the next.
        let mut other = TcpStream::connect(api.address().unwrap()).unwrap();
        let answer =
            b"POST /2018-06-01/runtime/invocation/7/response HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        let answered = said(&mut api, &mut other, answer).unwrap();
        assert_eq!(answered.call, Call::Answered(b"{}".to_vec()));
        api.accept(answered.connection).unwrap();
        assert_eq!(Inbox::default().wait(&mut other).unwrap().unwrap().start(), "HTTP/1.1 202 Accepted");
        let error = b"POST /2018-06-01/runtime/invocation/8/error HTTP/1.1\r\ncontent-length: 1\r\n\r\n!";
        assert_eq!(said(&mut api, &mut other, error).unwrap().call, Call::Failed(b"!".to_vec()));
    }

    #[test]
    fn a_connection_that_ends_is_no_call_and_others_are_not_of_this_api() {
        let mut api = RuntimeApi::listen().unwrap();
        drop(TcpStream::connect(api.address().unwrap()).unwrap());
        let error = api.receive(Instant::now() + Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let mut stream = TcpStream::connect(api.address().unwrap()).unwrap();
        let error = said(&mut api, &mut stream, b"GET /else HTTP/1.1\r\n\r\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
