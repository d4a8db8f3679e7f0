//! HTTP/1.1 as far as functions speak it: whole messages, with a `Content-Length` or no body. Parsed by hand, for what
//! the instrument itself takes is measured with the function.

use std::io::{self, Read};

/// No head is longer; what is has lost its end.
const LONGEST_HEAD: usize = 64 * 1024;
const CHUNK: usize = 16 * 1024;

/// A request or an answer, read whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
    /// Where the body begins.
    body: usize,
}

/// What is not spoken here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a head without an end")]
    Endless,
    #[error("a length that is no number")]
    Length,
    #[error("a body in chunks")]
    Chunked,
}

impl Message {
    /// The request line or the status line.
    pub fn start(&self) -> &str {
        self.lines().next().unwrap_or_default()
    }

    /// The first value of that header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &'_ str| line.split_once(':').is_some_and(|(is, _)| is.eq_ignore_ascii_case(name));
        let line = self.lines().skip(1).find(|line| named(line))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body..).unwrap_or_default()
    }

    /// All of it, as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        let head = self.bytes.get(..self.body).unwrap_or_default();
        head.split(|byte| *byte == b'\n').map(|line| str::from_utf8(line).unwrap_or_default().trim_end())
    }
}

/// What came of one connection and is not taken yet.
#[derive(Debug, Default)]
pub struct Inbox(Vec<u8>);

impl Inbox {
    /// Adds what there is to read; nothing at the connection's end.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        let (had, mut more) = (self.0.len(), [0; CHUNK]);
        let read = from.read(&mut more)?;
        self.0.extend_from_slice(more.get(..read).unwrap_or_default());
        Ok(self.0.len() - had)
    }

    /// The next message, if all of it is here.
    pub fn take(&mut self) -> Result<Option<Message>, Malformed> {
        let Some(end) = self.0.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if self.0.len() > LONGEST_HEAD { Err(Malformed::Endless) } else { Ok(None) };
        };
        let body = end + 4;
        // All that has come; cut below, when it is known how much of it is this message's.
        let message = Message { bytes: std::mem::take(&mut self.0), body };
        if message.header("transfer-encoding").is_some() {
            return Err(Malformed::Chunked);
        }
        let length = message.header("content-length").map_or(Ok(0), str::parse);
        let whole = body + length.map_err(|_| Malformed::Length)?;
        let Message { mut bytes, body } = message;
        if bytes.len() < whole {
            self.0 = bytes;
            return Ok(None);
        }
        self.0 = bytes.split_off(whole);
        Ok(Some(Message { bytes, body }))
    }

    /// Waits for the next message; `None` where the connection ends before it.
    pub fn wait(&mut self, from: &mut impl Read) -> io::Result<Option<Message>> {
        loop {
            let taken =
                self.take().map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))?;
            if taken.is_some() || self.fill(from)? == 0 {
                return Ok(taken);
            }
        }
    }
}

/// A message of that start line, headers (each with its line's end) and body.
pub fn message(start: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(start.len() + headers.len() + body.len() + 40);
    for part in [start, "\r\n", headers, "content-length: ", &body.len().to_string(), "\r\n\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8]) -> Result<Option<Message>, Malformed> {
        Inbox(bytes.to_vec()).take()
    }

    #[test]
    fn a_message_is_taken_when_all_of_it_has_come() {
        let whole = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
        for cut in 0..whole.len() {
            assert_eq!(taken(&whole[..cut]), Ok(None), "{cut}");
        }
        let message = taken(whole).unwrap().unwrap();
        assert_eq!((message.start(), message.header("host")), ("POST /a HTTP/1.1", Some("x")));
        assert_eq!((message.body(), message.bytes()), (&b"body"[..], &whole[..]));
        assert_eq!(message.header("hos"), None);
    }

    #[test]
    fn what_follows_a_message_is_the_next_one() {
        let mut inbox = Inbox(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET".to_vec());
        assert_eq!(inbox.take().unwrap().unwrap().start(), "GET /1 HTTP/1.1");
        assert_eq!(inbox.take().unwrap().unwrap().start(), "GET /2 HTTP/1.1");
        assert_eq!(inbox.take(), Ok(None));
    }

    #[test]
    fn a_written_message_is_read_back() {
        let bytes = message("HTTP/1.1 200 OK", "x-a: 1\r\n", b"{}");
        let message = taken(&bytes).unwrap().unwrap();
        assert_eq!(
            (message.start(), message.header("x-a"), message.body()),
            ("HTTP/1.1 200 OK", Some("1"), &b"{}"[..])
        );
    }

    #[test]
    fn what_is_not_spoken_is_named() {
        assert_eq!(taken(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), Err(Malformed::Length));
        assert_eq!(taken(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(Malformed::Chunked));
        assert_eq!(taken(&[b'a'; LONGEST_HEAD + 1]), Err(Malformed::Endless));
    }
}
