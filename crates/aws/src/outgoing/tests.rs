//! Hostile URLs, names and servers. Nothing here leaves the machine: 127.0.0.1 plays the public address where one has
//! to answer, and the port of the "runtime's API" is how plain `http` comes under the guard.

use super::*;
use crate::telemetry::chain;
use model::request::{NewRequest, RequestRules};
use serde_json::json;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const LONG: Duration = Duration::from_secs(20);
/// For what never ends by itself.
const SHORT: Duration = Duration::from_millis(300);
const MAX: usize = 1_000;

fn tls() -> Tls {
    Tls::from_env().unwrap()
}

/// What a server does after it has read a request's head.
#[derive(Clone, Copy)]
enum Does {
    /// Says this and closes.
    Say(&'static str),
    /// Says this and keeps the connection for more.
    SayAndStay(&'static str),
    /// Begins a body like this and never ends it.
    Flood(&'static str),
    /// Begins an answer like this and says no more.
    Hang(&'static str),
}

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
const OK_AND_MORE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server on a port of its own that keeps the heads it was sent, one for each connection or request.
struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn that(does: Does) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, does, Arc::clone(&kept)));
            }
        });
        Self { port, heads }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What `AWS_LAMBDA_RUNTIME_API` would be if this were it.
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The heads so far; a connection over which nothing was asked has an empty one.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn converse(mut stream: TcpStream, does: Does, heads: Arc<Mutex<Vec<String>>>) {
    let at = |heads: &Mutex<Vec<String>>| {
        let mut heads = heads.lock().unwrap();
        heads.push(String::new());
        heads.len() - 1
    };
    let mut index = at(&heads);
    for _ in 0..1_000 {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        heads.lock().unwrap()[index] = String::from_utf8_lossy(&head).into_owned();
        match does {
            Does::Say(answer) => {
                let _ = stream.write_all(answer.as_bytes()).await;
                return;
            }
            Does::SayAndStay(answer) => {
                let _ = stream.write_all(answer.as_bytes()).await;
                index = at(&heads);
            }
            Does::Flood(answer) => {
                let _ = stream.write_all(answer.as_bytes()).await;
                // Until the client has enough.
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                return;
            }
            Does::Hang(answer) => {
                let _ = stream.write_all(answer.as_bytes()).await;
                // Until the client goes.
                let _ = stream.read_u8().await;
                return;
            }
        }
    }
}

/// A resolver: each look-up of any name has the next answer, the last one for ever.
#[derive(Clone)]
struct Names {
    answers: Arc<Mutex<VecDeque<Vec<&'static str>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    fn answer<const N: usize>(answers: [&[&'static str]; N]) -> Self {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Self { answers: Arc::new(Mutex::new(answers)), asked: Arc::default() }
    }

    fn answer_now(&self, answer: &[&'static str]) {
        *self.answers.lock().unwrap() = [answer.to_vec()].into();
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        self.asked.lock().unwrap().push(name.as_str().to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let addresses: Vec<SocketAddr> =
            answer.unwrap().iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

fn stranger() -> Outgoing {
    Outgoing::guarded(&tls(), false, None).unwrap()
}

/// Guarded as in production, with every name at `address`.
fn stranger_with(names: &Names) -> Outgoing {
    Outgoing::guarded_by(&tls(), names.clone(), is_public, false, None).unwrap()
}

/// Guarded so that a server here can answer: 127.0.0.1 is public, all else is not, and `http` to this server is taken.
fn stranger_to(server: &Server, names: &Names) -> Outgoing {
    let only = |address: IpAddr| address == Ipv4Addr::LOCALHOST;
    Outgoing::guarded_by(&tls(), names.clone(), only, true, Some(&server.address())).unwrap()
}

async fn get(outgoing: &Outgoing, url: &str, within: Duration) -> Result<Answer, SendError> {
    outgoing.send(outgoing.request(Method::GET, url), MAX, within).await
}

async fn refusal(outgoing: &Outgoing, url: &str) -> Option<Forbidden> {
    match get(outgoing, url, LONG).await {
        Err(SendError::Forbidden(forbidden)) => Some(forbidden),
        Err(error) => panic!("{url}: {}", chain(&error)),
        Ok(answer) => panic!("{url}: {}", answer.status),
    }
}

/// Where a URL is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// When it is asked for, and once more if it were sent.
    Request,
    /// When it is sent: its name stands for 127.0.0.1.
    Send,
}

/// Spellings of what must not be called.
const SPELLINGS: &[(At, &str)] = &[
    // Loopback: short, decimal, octal, hexadecimal, mixed, with zeros, with a dot at its end.
    (At::Request, "https://127.0.0.1/"),
    (At::Request, "https://127.0.0.1:9001/2018-06-01/runtime/invocation/next"),
    (At::Request, "https://127.1/"),
    (At::Request, "https://127.0.1/"),
    (At::Request, "https://127.255.255.254/"),
    (At::Request, "https://2130706433/"),
    (At::Request, "https://017700000001/"),
    (At::Request, "https://0x7f000001/"),
    (At::Request, "https://0X7F.0X0.0X0.0X1/"),
    (At::Request, "https://0177.0.0.01/"),
    (At::Request, "https://0x7f.1/"),
    (At::Request, "https://0177.0x0.1/"),
    (At::Request, "https://127.0.0.0x1/"),
    (At::Request, "https://00000000000177.0.0.1/"),
    (At::Request, "https://127.0.0.1./"),
    (At::Request, "https://2130706433./"),
    // Zero, which Linux takes for loopback.
    (At::Request, "https://0/"),
    (At::Request, "https://0x/"),
    (At::Request, "https://0.0.0.0/"),
    (At::Request, "https://0.1.2.3/"),
    (At::Request, "https://000000000000/"),
    // Private, link-local and reserved blocks.
    (At::Request, "https://10.0.0.1/"),
    (At::Request, "https://167772161/"),
    (At::Request, "https://172.16.0.1/"),
    (At::Request, "https://172.31.255.255/"),
    (At::Request, "https://192.168.1/"),
    (At::Request, "https://100.64.0.1/"),
    (At::Request, "https://198.18.0.1/"),
    (At::Request, "https://169.254.169.254/latest/meta-data/iam/security-credentials/"),
    (At::Request, "https://169.254.43518/"),
    (At::Request, "https://2852039166/"),
    (At::Request, "https://0xa9fea9fe/"),
    (At::Request, "https://0251.0376.0251.0376/"),
    (At::Request, "https://169.254.170.2/v2/credentials"),
    (At::Request, "https://224.0.0.1/"),
    (At::Request, "https://255.255.255.255/"),
    (At::Request, "https://4294967295/"),
    // Of IPv6, and what carries an IPv4 address in it.
    (At::Request, "https://[::1]/"),
    (At::Request, "https://[0:0:0:0:0:0:0:1]/"),
    (At::Request, "https://[0000::0001]:9001/"),
    (At::Request, "https://[::]/"),
    (At::Request, "https://[::127.0.0.1]/"),
    (At::Request, "https://[::ffff:127.0.0.1]/"),
    (At::Request, "https://[::ffff:7f00:1]/"),
    (At::Request, "https://[::FFFF:A9FE:A9FE]/"),
    (At::Request, "https://[::ffff:8.8.8.8]/"),
    (At::Request, "https://[::ffff:0:127.0.0.1]/"),
    (At::Request, "https://[64:ff9b::a9fe:a9fe]/"),
    (At::Request, "https://[64:ff9b::169.254.169.254]/"),
    (At::Request, "https://[64:ff9b:1::7f00:1]/"),
    (At::Request, "https://[2001::7f00:1]/"),
    (At::Request, "https://[2002:7f00:1::]/"),
    (At::Request, "https://[2002:a9fe:a9fe::1]/"),
    (At::Request, "https://[fd00:ec2::254]/latest/meta-data/"),
    (At::Request, "https://[fc00::1]/"),
    (At::Request, "https://[fe80::1]/"),
    (At::Request, "https://[fe80::1%25eth0]/"),
    (At::Request, "https://[fe80::1%eth0]/"),
    (At::Request, "https://[::1%25lo]/"),
    (At::Request, "https://[fec0::1]/"),
    (At::Request, "https://[ff02::1]/"),
    (At::Request, "https://[2001:db8::1]/"),
    (At::Request, "https://[5f00::1]/"),
    // Percent signs, other digits and dots, characters that are dropped.
    (At::Request, "https://%31%32%37.0.0.1/"),
    (At::Request, "https://127%2e0%2e0%2e1/"),
    (At::Request, "https://%6c%6f%63%61%6c%68%6f%73%74/"),
    (At::Request, "https://127.0.0.1%00.example.com/"),
    (At::Request, "https://127.0.0.1%2f@example.com/"),
    (At::Request, "https://１２７.０.０.１/"),
    (At::Request, "https://①②⑦.⓪.⓪.①/"),
    (At::Request, "https://127。0。0。1/"),
    (At::Request, "https://127．0｡0。1/"),
    (At::Request, "https://𝟏𝟐𝟕.𝟎.𝟎.𝟏/"),
    (At::Request, "https://127.0.\u{ad}0.1/"),
    (At::Request, "https://127.0.\u{200b}0.1/"),
    (At::Request, "https://ⓛocalhost/"),
    (At::Request, "https:127.0.0.1/"),
    (At::Request, "https:////127.0.0.1/"),
    (At::Request, "https:\\\\127.0.0.1\\"),
    // Users, and what looks like one.
    (At::Request, "https://example.com@127.0.0.1/"),
    (At::Request, "https://example.com:443@127.0.0.1/"),
    (At::Request, "https://user:password@example.com/"),
    (At::Request, "https://user@example.com/"),
    (At::Request, "https://:password@example.com/"),
    (At::Request, "https://%ff@example.com/"),
    (At::Request, "https://@127.0.0.1/"),
    (At::Request, "https://127.0.0.1\\@example.com/"),
    (At::Request, "https://127.0.0.1?@example.com/"),
    (At::Request, "https://127.0.0.1#@example.com/"),
    (At::Send, "https://example.com\\@8.8.8.8/"),
    (At::Send, "https://example.com#@8.8.8.8/"),
    // Names of this host.
    (At::Request, "https://localhost/"),
    (At::Request, "https://LocalHost:9001/"),
    (At::Request, "https://localhost./"),
    (At::Request, "https://a.b.localhost/"),
    // Names that resolve to it.
    (At::Send, "https://localhost.localdomain/"),
    (At::Send, "https://metadata.google.internal/computeMetadata/v1/"),
    (At::Send, "https://instance-data.ec2.internal/"),
    (At::Send, "https://127.0.0.1.nip.io/"),
    (At::Send, "https://127-0-0-1.example.com:8443/"),
    (At::Send, "https://example.com./"),
    (At::Send, "https://1.2.3.4.a/"),
    (At::Send, "https://bücher.example/"),
    // Numbers that are no address.
    (At::Request, "https://127.0.0.256/"),
    (At::Request, "https://4294967296/"),
    (At::Request, "https://1.2.3.4.5/"),
    (At::Request, "https://127.0.0.08/"),
    (At::Request, "https://example.1/"),
    // Other schemes and none.
    (At::Request, "http://example.com/"),
    (At::Request, "http://127.0.0.1/"),
    (At::Request, "ftp://example.com/"),
    (At::Request, "file:///proc/self/environ"),
    (At::Request, "gopher://127.0.0.1:9001/_GET"),
    (At::Request, "data:text/plain,x"),
    (At::Request, "//127.0.0.1/"),
    (At::Request, "127.0.0.1"),
    (At::Request, "https://"),
    (At::Request, "https://[::1/"),
];

#[tokio::test]
async fn no_spelling_of_what_is_inside_gets_through() {
    let loopback = stranger_with(&Names::answer([&["127.0.0.1"]]));
    for &(at, url) in SPELLINGS {
        let body = json!({ "userID": "u", "webhookURL": url }).to_string();
        let taken = NewRequest::parse(body.as_bytes(), &RequestRules::default()).is_ok();
        assert_eq!(taken, at == At::Send, "{url}");
        let forbidden = refusal(&loopback, url).await;
        if at == At::Send {
            assert_eq!(forbidden, Some(Forbidden::NotPublic), "{url}");
        }
    }
}

#[tokio::test]
async fn every_spelling_is_refused_for_its_reason() {
    let loopback = stranger_with(&Names::answer([&["127.0.0.1"]]));
    for (url, reason) in [
        ("https://0x7f.1/", Forbidden::NotPublic),
        ("https://example.com/", Forbidden::NotPublic),
        ("http://example.com/", Forbidden::NotHttps),
        ("https://user@example.com/", Forbidden::Credentials),
        ("https://%ff@example.com/", Forbidden::Credentials),
        ("https://:password@example.com/", Forbidden::Credentials),
        ("https://256.256.256.256/", Forbidden::Malformed),
    ] {
        assert_eq!(refusal(&loopback, url).await, Some(reason), "{url}");
    }
}

#[tokio::test]
async fn a_local_run_calls_private_addresses_but_never_the_runtime() {
    let server = Server::that(Does::Say(OK)).await;
    let elsewhere = Server::that(Does::Say(OK)).await;
    let names = Names::answer([&["127.0.0.1"]]);
    for runtime_api in [
        server.address(),
        format!("localhost:{}", server.port),
        format!("[::1]:{}", server.port),
        format!("http://127.0.0.1:{}/.rt/webhook", server.port),
    ] {
        let local = Outgoing::guarded_by(&tls(), names.clone(), is_public, true, Some(&runtime_api)).unwrap();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "127.9.9.9",
            "0",
            "0.0.0.0",
            "127.0.0.1.",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "127。0。0。1",
            "%3127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "runtime.example.com",
            "169.254.100.1",
            "10.0.0.1",
            "user@127.0.0.1",
        ] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}:{}/2018-06-01/runtime/invocation/next", server.port);
                assert!(refusal(&local, &url).await.is_some(), "{url}");
            }
        }
        let answer = get(&local, &elsewhere.url("/hook"), LONG).await.ok().unwrap();
        assert_eq!((answer.status, answer.body), (200, b"ok".to_vec()));
    }
    assert_eq!(server.heads(), [""; 0]);

    // The port that a URL leaves out is a port too.
    for (runtime_api, url) in [("127.0.0.1:80", "http://127.0.0.1/"), ("127.0.0.1:443", "https://[::1]/")] {
        let local = Outgoing::guarded(&tls(), true, Some(runtime_api)).unwrap();
        assert_eq!(refusal(&local, url).await, Some(Forbidden::NotPublic));
    }
    // Which port it is cannot be told: it may be any.
    let local = Outgoing::guarded(&tls(), true, Some("127.0.0.1:port")).unwrap();
    assert_eq!(refusal(&local, &server.url("/")).await, Some(Forbidden::NotHttps));
    // Without a runtime there is none to guard; credentials are refused all the same.
    let local = Outgoing::guarded(&tls(), true, None).unwrap();
    assert!(get(&local, &server.url("/"), LONG).await.is_ok());
    let with_user = server.url("/").replace("127", "user@127");
    assert_eq!(refusal(&local, &with_user).await, Some(Forbidden::Credentials));
}

#[tokio::test]
async fn a_name_that_the_system_resolves_to_this_host_is_not_connected_to() {
    let server = Server::that(Does::Say(OK)).await;
    for host in ["localhost", "LOCALHOST"] {
        let url = format!("https://{host}:{}/", server.port);
        assert_eq!(refusal(&stranger(), &url).await, Some(Forbidden::NotPublic));
    }
    assert_eq!(server.heads(), [""; 0]);
}

#[tokio::test]
async fn of_a_names_addresses_only_the_public_ones_are_connected_to() {
    let mixed: &[&str] =
        &["10.0.0.1", "8.8.8.8", "::ffff:9.9.9.9", "127.0.0.1", "2606:4700::1111", "fd00:ec2::254"];
    let resolver = PublicOnly { lookup: Arc::new(Names::answer([mixed])), is_public };
    let found: Vec<String> = resolver
        .resolve("mixed.example".parse().unwrap())
        .await
        .unwrap()
        .map(|address| address.ip().to_string())
        .collect();
    assert_eq!(found, ["8.8.8.8", "2606:4700::1111"]);

    let many = PublicOnly { lookup: Arc::new(Names::answer([&["8.8.8.8"; 500]])), is_public };
    assert_eq!(many.resolve("many.example".parse().unwrap()).await.unwrap().count(), MAX_ADDRESSES);

    let server = Server::that(Does::Say(OK)).await;
    let names = Names::answer([&["127.0.0.2", "::1", "127.0.0.1", "10.0.0.1"]]);
    let url = format!("http://mixed.example:{}/", server.port);
    let answer = get(&stranger_to(&server, &names), &url, LONG).await.ok().unwrap();
    assert_eq!((answer.status, names.asked()), (200, 1));
}

#[tokio::test]
async fn a_name_that_is_rebound_is_judged_by_what_is_connected_to() {
    let server = Server::that(Does::Say(OK)).await;
    let names = Names::answer([&["127.0.0.1"], &["127.0.0.2"], &["169.254.169.254"], &["127.0.0.1"]]);
    let outgoing = stranger_to(&server, &names);
    let url = format!("http://rebound.example:{}/", server.port);

    // 1. Checked and connected to by one look-up: a second one would have been private.
    assert_eq!(get(&outgoing, &url, LONG).await.ok().unwrap().status, 200);
    assert_eq!((names.asked(), server.heads().len()), (1, 1));
    // 2. The next connections look again, and find it private.
    assert_eq!(refusal(&outgoing, &url).await, Some(Forbidden::NotPublic));
    assert_eq!(refusal(&outgoing, &url).await, Some(Forbidden::NotPublic));
    assert_eq!((names.asked(), server.heads().len()), (3, 1));
    // 3. What was private once is not remembered.
    assert_eq!(get(&outgoing, &url, LONG).await.ok().unwrap().status, 200);
}

#[tokio::test]
async fn a_connection_that_is_kept_serves_its_own_host_only() {
    let server = Server::that(Does::SayAndStay(OK_AND_MORE)).await;
    let names = Names::answer([&["127.0.0.1"]]);
    let outgoing = stranger_to(&server, &names);
    let url = |host: &str| format!("http://{host}.example:{}/", server.port);

    // 1. A connection is kept; the client may ask again before it is back.
    let mut kept = false;
    for _ in 0..100 {
        let asked = names.asked();
        assert_eq!(get(&outgoing, &url("a"), LONG).await.ok().unwrap().status, 200);
        kept |= names.asked() == asked;
    }
    assert!(kept);
    // 2. Another name is looked up all the same.
    names.answer_now(&["127.0.0.2"]);
    assert_eq!(refusal(&outgoing, &url("b")).await, Some(Forbidden::NotPublic));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    for answer in [
        "HTTP/1.1 301 Moved\r\nlocation: http://169.254.169.254/latest/meta-data/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 308 Permanent Redirect\r\nlocation: //127.0.0.1/again\r\ncontent-length: 0\r\n\r\n",
    ] {
        let server = Server::that(Does::Say(answer)).await;
        for outgoing in [Outgoing::trusted(&tls()).unwrap(), Outgoing::guarded(&tls(), true, None).unwrap()] {
            let answer = get(&outgoing, &server.url("/"), LONG).await.ok().unwrap();
            assert!((301..=308).contains(&answer.status) && !answer.is_success());
        }
        assert_eq!(server.heads().len(), 2);
    }
}

#[tokio::test]
async fn an_endless_body_is_capped_and_an_unwanted_one_not_read() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 500 Oops\r\ncontent-length: 99999999999\r\n\r\n"] {
        let server = Server::that(Does::Flood(head)).await;
        let answer = get(&Outgoing::trusted(&tls()).unwrap(), &server.url("/"), LONG).await.ok().unwrap();
        assert_eq!(answer.body, [b'x'; MAX]);
    }
    let server = Server::that(Does::Hang("HTTP/1.1 200 OK\r\n\r\n")).await;
    let outgoing = Outgoing::guarded(&tls(), true, None).unwrap();
    let request = outgoing.request(Method::POST, &server.url("/"));
    assert!(outgoing.send(request, 0, LONG).await.ok().unwrap().is_success());
}

#[tokio::test]
async fn what_hangs_ends_at_the_time_out() {
    let outgoing = Outgoing::guarded(&tls(), true, None).unwrap();
    for begun in [
        "",
        "HTTP/1.1 200 OK\r\nx-slow: ",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
    ] {
        let server = Server::that(Does::Hang(begun)).await;
        let error = get(&outgoing, &server.url("/"), SHORT).await.err();
        assert!(matches!(error, Some(SendError::NoAnswer(_))), "{begun}");
    }
    let server =
        Server::that(Does::Hang("HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 9\r\n\r\nno")).await;
    let answer = get(&outgoing, &server.url("/"), SHORT).await.ok().unwrap();
    assert_eq!((answer.status, answer.retry_after.as_deref(), answer.body.len()), (503, Some("7"), 0));
}

#[tokio::test]
async fn what_says_when_to_come_back_is_kept_as_it_was_sent() {
    let outgoing = Outgoing::trusted(&tls()).unwrap();
    let told = "HTTP/1.1 429 Slow\r\nRetry-After: Sun, 12 May 2024 02:31:30 GMT\r\nX-RateLimit-Reset: 1487332520\r\n\r\n";
    for (said, retry_after, reset) in [
        (told, Some("Sun, 12 May 2024 02:31:30 GMT"), Some("1487332520")),
        ("HTTP/1.1 429 Slow\r\nx-ratelimit-reset: soon\r\n\r\n", None, Some("soon")),
        ("HTTP/1.1 429 Slow\r\n\r\n", None, None),
    ] {
        let server = Server::that(Does::Say(said)).await;
        let answer = get(&outgoing, &server.url("/"), LONG).await.ok().unwrap();
        assert_eq!((answer.retry_after.as_deref(), answer.rate_limit_reset.as_deref()), (retry_after, reset));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_spoils_a_success_only() {
    let outgoing = Outgoing::trusted(&tls()).unwrap();
    for (broken, status) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", None),
        ("HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", None),
        ("HTTP/1.1 429 Slow\r\ncontent-length: 9\r\n\r\nno", Some(429)),
        ("HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Some(404)),
        ("HTTP/1.1 ", None),
        ("SSH-2.0-OpenSSH_9.6\r\n", None),
        ("", None),
    ] {
        let server = Server::that(Does::Say(broken)).await;
        match get(&outgoing, &server.url("/"), LONG).await {
            Ok(answer) => assert_eq!(Some(answer.status), status, "{broken}"),
            Err(SendError::NoAnswer(_)) => assert_eq!(None, status, "{broken}"),
            Err(error) => panic!("{broken}: {}", chain(&error)),
        }
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    // Bound, so that nobody else listens there, but not listening.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let url = format!("http://{}/", taken.local_addr().unwrap());
    let error = get(&Outgoing::trusted(&tls()).unwrap(), &url, LONG).await.err();
    assert!(matches!(error, Some(SendError::NotSent(_))));

    // Nor was it where what answers speaks no TLS.
    let server = Server::that(Does::Say("HTTP/1.1 400 Bad\r\n\r\n")).await;
    let url = server.url("/").replace("http", "https");
    let error = get(&Outgoing::guarded(&tls(), true, None).unwrap(), &url, SHORT).await.err();
    assert!(!matches!(error, None | Some(SendError::Forbidden(_))));
    assert!(server.heads().iter().all(|head| !head.contains("GET")));
}

#[tokio::test]
async fn no_error_shows_the_url() {
    let hanging = Server::that(Does::Hang("")).await;
    let gone = Server::that(Does::Say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")).await;
    let names = Names::answer([&["10.0.0.1"]]);
    let trusted = Outgoing::trusted(&tls()).unwrap();
    let mut shown = Vec::new();
    for (outgoing, url) in [
        (&trusted, hanging.url("/hush?hush#hush")),
        (&trusted, gone.url("/hush")),
        (&trusted, "http://127.0.0.1:1/hush".to_owned()),
        (&trusted, "http://256.1.1.1/hush".to_owned()),
        (&trusted, "hush".to_owned()),
        (&stranger_with(&names), "https://example.com/hush".to_owned()),
        (&stranger_with(&names), "https://hush:hush@example.com/hush".to_owned()),
    ] {
        let error = get(outgoing, &url, SHORT).await.err().unwrap();
        shown.push(format!("{} {error:?}", chain(&error)));
    }
    assert!(shown.iter().all(|error| !error.contains("hush")), "{shown:#?}");
}

#[tokio::test]
async fn we_say_who_we_are_and_nothing_that_the_url_would_have_us_say() {
    let server = Server::that(Does::Say(OK)).await;
    let outgoing = Outgoing::guarded(&tls(), true, None).unwrap();
    let url = server.url("/a%0d%0ax-injected:%201?b=\r\nx-injected: 2");
    get(&outgoing, &url, LONG).await.ok().unwrap();
    let head = server.heads().concat();
    let names: Vec<&str> = head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert_eq!(names, ["accept", "user-agent", "host"], "{head}");
    assert!(head.contains(concat!("user-agent: galileo-highlights/", env!("CARGO_PKG_VERSION"), "\r\n")));
}
