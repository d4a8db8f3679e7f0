//! A TLS server that counts what it is asked: each connection has a thread, and stays open.

use crate::http::{Inbox, Message};
use crate::tls::HOST;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What answers a call, with a whole HTTP message.
pub type Handler = Arc<dyn Fn(&Message) -> io::Result<Vec<u8>> + Send + Sync>;

/// A running server. It goes with the process, as do its threads: a run has a few dozen.
#[derive(Debug)]
pub struct Front {
    port: u16,
    tally: Arc<Mutex<Tally>>,
}

/// What was asked of a front, in bytes of HTTP: what TLS adds is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// By operation: that of `X-Amz-Target`, else `POST` or `GET`.
    pub calls: BTreeMap<String, u64>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// The time that the answers took to be found, from a call's last byte on.
    pub busy: Duration,
}

impl Front {
    /// On a free local port, for [`HOST`].
    pub fn start(server: Arc<ServerConfig>, handler: Handler) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let tally = Arc::new(Mutex::default());
        let counted = Arc::clone(&tally);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (server, handler, counted) =
                    (Arc::clone(&server), Arc::clone(&handler), Arc::clone(&counted));
                // How a connection ends is its client's to judge.
                thread::spawn(move || converse(stream, server, &handler, &counted));
            }
        });
        Ok(Self { port, tally })
    }

    pub fn url(&self) -> String {
        format!("https://{HOST}:{}", self.port)
    }

    /// What was asked since the last time that this was.
    pub fn take(&self) -> Tally {
        std::mem::take(&mut lock(&self.tally))
    }
}

fn converse(
    stream: TcpStream,
    server: Arc<ServerConfig>,
    handler: &Handler,
    counted: &Mutex<Tally>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = ServerConnection::new(server).map_err(io::Error::other)?;
    let (mut stream, mut inbox) = (StreamOwned::new(connection, stream), Inbox::default());
    while let Some(call) = inbox.wait(&mut stream)? {
        let begun = Instant::now();
        let answer = handler(&call)?;
        // Before it is sent: who was answered may be asked at once what it took.
        lock(counted).count(&call, &answer, begun.elapsed());
        stream.write_all(&answer)?;
        stream.flush()?;
    }
    Ok(())
}

impl Tally {
    fn count(&mut self, call: &Message, answer: &[u8], busy: Duration) {
        *self.calls.entry(operation(call).to_owned()).or_default() += 1;
        self.bytes_in += u64::try_from(call.bytes().len()).unwrap_or(u64::MAX);
        self.bytes_out += u64::try_from(answer.len()).unwrap_or(u64::MAX);
        self.busy += busy;
    }

    /// Both together.
    pub fn add(&mut self, other: Tally) {
        for (operation, calls) in other.calls {
            *self.calls.entry(operation).or_default() += calls;
        }
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.busy += other.busy;
    }
}

/// What a call asks for.
pub fn operation(call: &Message) -> &str {
    let method = || call.start().split(' ').next().unwrap_or_default();
    call.header("x-amz-target").and_then(|target| target.rsplit('.').next()).unwrap_or_else(method)
}

/// The lock, whether or not a thread panicked while it held it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
