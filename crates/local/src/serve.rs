//! What every stand-in here serves with: HTTP/1.1 on a local port, for as long as its handle lives.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running server. Dropping it frees the port and closes every connection, also those in the middle of a request
/// (`axum::serve` leaves its connections running when its task is aborted).
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves `router` on `address`; port 0 takes a free one.
    pub(crate) async fn start(address: SocketAddr, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, router));
        Ok(Self { address, accepting })
    }

    /// `http://127.0.0.1:PORT`, with no slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failure to accept is one connection's (reset before it was taken), not the listener's.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(converse(stream, router.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = router.call(request);
        async move {
            let response = match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            match response.extensions().get::<Cut>() {
                Some(cut) => Err(*cut),
                None => Ok(response),
            }
        }
    });
    // How a connection ends is its client's to judge.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The answer that is none: the connection is closed instead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is cut on purpose")]
pub(crate) struct Cut;

impl IntoResponse for Cut {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

/// Work that goes on when the connection that asked for it is gone, and ends when the handle that owns it does.
///
/// Clones share the work; [`Tasks::close`] ends it for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Tasks(Arc<Mutex<Option<JoinSet<()>>>>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(JoinSet::new()))))
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = lock(&self.0).as_mut() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    /// Ends what runs; what is spawned afterwards does not start.
    pub(crate) fn close(&self) {
        *lock(&self.0) = None;
    }
}

/// The lock, whether or not a test panicked while it held it: what is recorded stays readable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wall clock in epoch milliseconds.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    async fn server() -> Server {
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/cut", get(async || Cut))
            .route("/never", get(std::future::pending::<()>));
        Server::start((Ipv4Addr::LOCALHOST, 0).into(), router).await.unwrap()
    }

    #[tokio::test]
    async fn a_cut_closes_the_connection_without_an_answer() {
        let server = server().await;
        let client = crate::client().build().unwrap();

        let error = client.get(server.url() + "/cut").send().await.unwrap_err();
        assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");

        let text = client.get(server.url()).send().await.unwrap();
        assert_eq!(text.text().await.unwrap(), "here");
    }

    #[tokio::test]
    async fn dropping_the_handle_frees_the_port_and_ends_requests_that_run() {
        let server = server().await;
        let client = crate::client().build().unwrap();
        let never = tokio::spawn(client.get(server.url() + "/never").send());
        tokio::time::sleep(Duration::from_millis(50)).await;

        let address = server.address;
        drop(server);

        let ended = tokio::time::timeout(Duration::from_secs(5), never).await;
        assert!(ended.unwrap().unwrap().is_err());
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn closed_tasks_neither_run_on_nor_start() {
        let tasks = Tasks::new();
        let (alive, mut watched) = tokio::sync::mpsc::channel::<()>(1);
        let held = alive.clone();
        tasks.spawn(async move {
            let _held = held;
            std::future::pending().await
        });

        tasks.close();
        tasks.spawn(async move { alive.send(()).await.unwrap() });

        let ended = tokio::time::timeout(Duration::from_secs(5), watched.recv()).await;
        assert_eq!(ended, Ok(None));
    }
}
