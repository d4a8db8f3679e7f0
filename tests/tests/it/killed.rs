//! Each function is killed with SIGKILL at each call that it makes on each of its paths, and what is left is made whole
//! by those outside and the sweeps.
//!
//! Nobody lists the places to die at: a [`Path`] is gone once without harm, and every call that the function makes of the
//! table, LogRocket, Secrets Manager and the destinations is one. At each of them it is killed in each way of [`Death`],
//! in a world of its own, and its life goes on in each way of [`Afterwards`]. Then [`whole`] holds of what is there.

mod asking;
mod calling_back;
mod delivering;
mod reading;
mod sweeping;
mod whole;

use futures::stream::{self, StreamExt};
use futures::{FutureExt, future};
use local::gateway::HttpCall;
use local::hold::Hold;
use local::lambda::{Function, FunctionError};
use local::logrocket::{Behaviour, Outcome};
use local::proxy::{Call, Match, Point, Proxy};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};
use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stories::{BEARER, World};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use whole::Seen;

/// Worlds of one path at once: most of what they do is waiting, see [`rest`].
const AT_ONCE: usize = 16;
/// For those of all paths together that do something: with more of them, calls time out on a machine that is busy.
static ROOM: Semaphore = Semaphore::const_new(6);
/// Worlds that are tried: see [`in_a_world`].
const TIMES: usize = 3;
/// What a function says that was not served in time. Nothing here keeps the living from being served.
const HINDERED: [&str; 2] = ["the table does not answer", "the secret own cannot be read"];
/// No world waits longer for anything: a delivery that was killed is due again after ten seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// A way through a function.
struct Path {
    name: &'static str,
    /// Who is killed.
    victim: Victim,
    /// Of the functions' environment.
    changes: &'static [(&'static str, &'static str)],
    /// Whether the table's stream invokes webhook λ.
    streams: bool,
    /// So many calls are made on it, or more; with fewer, it is not the path that is meant.
    least: usize,
    /// How its requests end: the status, and the failure's code.
    ends: &'static [&'static str],
    /// Whether it may be as if it had never been begun, where nobody repeats it: nobody was promised anything.
    is_wish: bool,
    afterwards: &'static [Afterwards],
    /// At whose calls it dies: all of [`DOORS`], where no other path is the same but for some of them.
    doors: &'static [&'static str],
}

/// A path of request λ that ends `READY`.
const ASKED: Path = Path {
    name: "",
    victim: Victim::Request,
    changes: &[],
    streams: false,
    least: 1,
    ends: &["READY"],
    is_wish: false,
    afterwards: &[Afterwards::Repeated, Afterwards::Alone],
    doors: &DOORS,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    Request,
    Webhook,
}

/// What goes on when a function was killed. The sweeps do, always.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Afterwards {
    /// Whoever invoked it does so again, and LogRocket's callbacks come.
    Repeated,
    /// Nothing else: only a sweep finds what was left, and only a poll what LogRocket has to say.
    Alone,
}

/// How a function dies at a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Death {
    /// Before the call's effect, which it never has.
    Before,
    /// Before the call's effect, which it has all the same: its bytes are on the wire.
    BeforeAndSent,
    /// The same, but they arrive when all else is over.
    BeforeAndLate,
    /// After the call's effect, and before the answer is heard.
    After,
}

/// A call that was seen on the way without harm.
#[derive(Clone, PartialEq, Eq, Debug)]
struct KillPoint {
    /// The proxy's place in [`proxies`].
    proxy: usize,
    /// Of the calls through that proxy, counted from 1.
    nth: usize,
    operation: String,
}

/// One death on a path.
struct Case<'a> {
    path: &'a Path,
    point: &'a KillPoint,
    death: Death,
    afterwards: Afterwards,
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { path, point: KillPoint { proxy, nth, operation }, death, afterwards } = self;
        let door = DOORS[*proxy];
        write!(f, "{}: killed at call {nth} of {door} ({operation}), {death:?}, {afterwards:?}", path.name)
    }
}

impl KillPoint {
    fn reads(&self) -> bool {
        let reading = ["Query", "GetItem", "GetSecretValue"];
        reading.contains(&self.operation.as_str()) || self.operation.starts_with("GET ")
    }
}

impl<'a> Case<'a> {
    /// Of a call that only reads, nobody can tell when it has its effect.
    fn all(path: &'a Path, point: &'a KillPoint) -> Vec<Self> {
        let mut all = Vec::new();
        for &afterwards in path.afterwards {
            let deaths: &[Death] = match afterwards {
                _ if point.reads() => &[Death::After],
                _ if path.afterwards.len() == 1 => {
                    &[Death::Before, Death::BeforeAndSent, Death::BeforeAndLate, Death::After]
                }
                // Each of the two that come after all is a life of its own already.
                Afterwards::Repeated => &[Death::Before, Death::BeforeAndLate, Death::After],
                Afterwards::Alone => &[Death::Before, Death::BeforeAndSent, Death::After],
            };
            all.extend(deaths.iter().map(|&death| Self { path, point, death, afterwards }));
        }
        all
    }
}

/// Whom a function calls.
const DOORS: [&str; 4] = ["the table", "LogRocket", "Secrets Manager", "the destinations"];

/// The proxies at [`DOORS`].
fn proxies(world: &World) -> [&Proxy; 4] {
    let watched = world.watched.as_ref().unwrap();
    [&world.table_calls, &world.log_rocket_calls, &watched.secret_calls, &watched.destination_calls]
}

/// Goes the path without harm, then dies on it wherever it can.
///
/// `arrange` brings a world to where the path begins, and answers the request that it is about; nothing is on its way
/// then. `act` invokes the victim, and says how that ended.
async fn everywhere(
    path: &Path,
    arrange: impl AsyncFn(&World) -> String,
    act: impl AsyncFn(&World, &str) -> Result<Value, FunctionError>,
) {
    let gone = async |world: &World| go_unharmed(path, world, &arrange, &act).await;
    let (points, unharmed) = in_a_world(path, gone).await.unwrap();
    let left = async |world: &World| {
        arrange(world).await;
        settle(world).await;
        Some(Seen::look(world))
    };
    let untouched = if path.is_wish { Some(in_a_world(path, left).await.unwrap()) } else { None };
    assert!(points.len() >= path.least, "{}: only {points:#?}", path.name);
    let points = points.iter().filter(|point| path.doors.contains(&DOORS[point.proxy]));
    let cases: Vec<Case<'_>> = points.flat_map(|point| Case::all(path, point)).collect();
    let ends = stream::iter(cases).map(async |case| {
        let died =
            async |world: &World| die(&case, world, &arrange, &act, &unharmed, untouched.as_ref()).await;
        in_a_world(path, died).await.err().map(|why| format!("{case}\n    {why}"))
    });
    let all: Vec<Option<String>> = ends.buffer_unordered(AT_ONCE).collect().await;
    let failed: Vec<&String> = all.iter().flatten().collect();
    let report: Vec<String> = failed.iter().map(|failed| format!("  {failed}")).collect();
    assert!(failed.is_empty(), "{} of {} deaths did harm:\n{}", failed.len(), all.len(), report.join("\n"));
}

/// Lives in a world, which is let go afterwards. On a machine that is busy the table may be waited for in vain, or a call
/// so long that the function goes another way than this path (`None`): then in another world.
async fn in_a_world<T>(path: &Path, live: impl AsyncFn(&World) -> Option<T>) -> Result<T, String> {
    let _room = ROOM.acquire().await.unwrap();
    let mut why = String::new();
    for _ in 0..TIMES {
        let world = world(path).await;
        match AssertUnwindSafe(live(&world)).catch_unwind().await {
            Ok(Some(lived)) => return Ok(lived),
            Ok(None) => "it went another way".clone_into(&mut why),
            Err(panic) => {
                why = message(&*panic);
                let output = world.output();
                if !HINDERED.iter().any(|hindered| output.contains(hindered)) {
                    break;
                }
            }
        }
    }
    Err(why)
}

/// The calls of the path, and what is there at its end.
async fn go_unharmed(
    path: &Path,
    world: &World,
    arrange: &impl AsyncFn(&World) -> String,
    act: &impl AsyncFn(&World, &str) -> Result<Value, FunctionError>,
) -> Option<(Vec<KillPoint>, Seen)> {
    let id = arrange(world).await;
    let before = proxies(world).map(|proxy| proxy.calls().len());
    act(world, &id).await.unwrap();
    let calls = proxies(world).into_iter().zip(before).map(|(proxy, before)| proxy.calls().split_off(before));
    let calls: Vec<Vec<Call>> = calls.collect();
    // One that was given up was made again: it is not of this path.
    if calls.iter().flatten().any(|call| call.status.is_none()) {
        return None;
    }
    settle(world).await;
    let seen = Seen::look(world);
    assert_eq!(seen.ends, path.ends, "{}: {:#?}", path.name, world.table.items());
    whole::assert_whole(path, world).await;
    Some((points(calls), seen))
}

/// Where there is to die: at each of the calls through each of the [`proxies`].
fn points(calls: Vec<Vec<Call>>) -> Vec<KillPoint> {
    let points = calls.into_iter().enumerate().flat_map(|(proxy, calls)| {
        (1..).zip(calls).map(move |(nth, call)| KillPoint { proxy, nth, operation: call.operation })
    });
    points.collect()
}

/// Dies once, and lives on.
async fn die(
    case: &Case<'_>,
    world: &World,
    arrange: &impl AsyncFn(&World) -> String,
    act: &impl AsyncFn(&World, &str) -> Result<Value, FunctionError>,
    unharmed: &Seen,
    untouched: Option<&Seen>,
) -> Option<()> {
    let id = arrange(world).await;
    let posts_before = world.log_rocket.posts().len();

    // 1. Killed at the call.
    let proxy = proxies(world)[case.point.proxy];
    let place = proxy.calls().len() + case.point.nth - 1;
    let at = if case.death == Death::After { Point::After } else { Point::Before };
    let hold = proxy.hold(Match::any().nth(case.point.nth), at);
    let killing = async {
        hold.arrived().await.unwrap();
        victim(case.path, world).kill().await;
        match case.death {
            Death::Before | Death::After => hold.discard(),
            Death::BeforeAndSent => arrive(hold, proxy, place).await,
            Death::BeforeAndLate => return Some(hold),
        }
        None
    };
    let (ended, late) = future::join(act(world, &id), killing).await;
    // Whoever had ended when he was to be killed was not.
    assert_eq!(ended.err()?.error_type, "Runtime.ExitError");

    // 2. What goes on, goes on.
    if case.afterwards == Afterwards::Repeated {
        act(world, &id).await.unwrap();
        let posts = world.log_rocket.posts().split_off(posts_before);
        for log_rocket_id in posts.into_iter().filter_map(|post| post.logrocket_request_id) {
            tell(world, &log_rocket_id, Outcome::Ready).await.unwrap();
        }
    }
    settle(world).await;
    if let Some(late) = late {
        arrive(late, proxy, place).await;
        settle(world).await;
    }

    // 3. The world is whole.
    whole::assert_whole(case.path, world).await;
    let seen = Seen::look(world);
    let alone = case.afterwards == Afterwards::Alone;
    let never_begun = untouched.filter(|untouched| alone && seen.is_like(untouched));
    seen.assert_like(never_begun.unwrap_or(unharmed), world);
    Some(())
}

/// LogRocket is done with a POST as soon as it has it, and says so when it is asked: what it is to tell, a test tells.
async fn world(path: &Path) -> World {
    // A function that is slow to be served is not to be taken for a dead one.
    let slow = [("UNKNOWN_GRACE_SECONDS", "4"), ("LEASE_SECONDS", "4")];
    let mut world = World::watched(&[&slow, path.changes].concat()).await;
    world.log_rocket.usually(Behaviour::lost().after(Duration::ZERO));
    if path.streams {
        world.stream = Some(world.connect_stream(local::stream::Invoker::function(world.webhook.clone())));
    }
    world
}

fn victim<'a>(path: &Path, world: &'a World) -> &'a Function {
    match path.victim {
        Victim::Request => &world.request,
        Victim::Webhook => &world.webhook,
    }
}

/// Lets a call of the dead go on, and waits for its effect.
async fn arrive(hold: Hold, proxy: &Proxy, place: usize) {
    hold.release();
    let give_up = Instant::now() + PATIENCE;
    while proxy.calls()[place].upstream.is_none() {
        assert!(Instant::now() < give_up, "the late call never arrived");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Both functions sweep, whenever there is something due, until nothing is.
async fn settle(world: &World) {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let items = world.table.items().unwrap();
        let due = |shard: &str, due: &str| {
            let dues = items.iter().filter(|item| item[shard].is_string());
            dues.filter_map(|item| item[due].as_i64()).min()
        };
        let dues = [due("requestShard", "requestDueAt"), due("webhookShard", "webhookDueAt")];
        let Some(next) = dues.into_iter().flatten().min() else { return };
        assert!(Instant::now() < give_up, "never settled: {items:#?}\n{}", world.output());
        if next > now {
            rest(Duration::from_millis(u64::try_from(next - now).unwrap() + 1)).await;
        }
        // What one sweep cannot do, another will.
        if dues[0].is_some() {
            let _ = sweep(world).await;
        }
        if dues[1].is_some() {
            let _ = world.webhook.invoke(json!({ "job": "sweep" })).await;
        }
    }
}

/// Waits, and leaves its room to others meanwhile.
async fn rest(time: Duration) {
    ROOM.add_permits(1);
    sleep(time).await;
    ROOM.acquire().await.unwrap().forget();
}

/// A request λ that has started, and has its secrets.
async fn warm(world: &World) {
    world.sweep().await;
}

/// An HTTP call to request λ, without a gateway that would hide how its invocation ends; of what is answered, the body.
async fn http(world: &World, method: Method, path: &str, body: &Value) -> Result<Value, FunctionError> {
    let bearer = HeaderValue::from_static(BEARER);
    let call = HttpCall::new(method, path).header(AUTHORIZATION, bearer).json(body);
    let answer = world.invoke(call.http_api_event()).await?;
    assert!(answer["statusCode"].as_u64().is_some_and(|status| status < 500), "{answer}");
    Ok(answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default())
}

/// `POST /highlights`
async fn ask(world: &World, body: &Value) -> Result<Value, FunctionError> {
    http(world, Method::POST, "/highlights", body).await
}

/// Asks, and answers the `requestID`.
async fn asked(world: &World, body: &Value) -> String {
    let receipt = ask(world, body).await.unwrap();
    receipt["requestID"].as_str().unwrap_or_else(|| panic!("{receipt}")).to_owned()
}

/// LogRocket's callback of a POST, without a gateway that would hide how its invocation ends.
async fn tell(world: &World, log_rocket_id: &str, outcome: Outcome) -> Result<Value, FunctionError> {
    let payload = world.log_rocket.payload(log_rocket_id, outcome).unwrap();
    let posts = world.log_rocket.posts();
    let post = posts.iter().find(|post| post.logrocket_request_id.as_deref() == Some(log_rocket_id));
    let url = post.and_then(|post| post.webhook_url()).unwrap();
    let path = url.strip_prefix(&world.gateway.url()).unwrap();
    world.webhook.invoke(HttpCall::new(Method::POST, path).json(&payload).http_api_event()).await
}

/// The same of an attempt's last POST.
async fn tell_attempt(
    world: &World,
    id: &str,
    attempt: u32,
    outcome: Outcome,
) -> Result<Value, FunctionError> {
    let log_rocket_id = world.post_of(id, attempt).logrocket_request_id.unwrap();
    tell(world, &log_rocket_id, outcome).await
}

/// A request by Alice for one receiver of signed webhooks.
fn alice(world: &World) -> Value {
    json!({ "userEmail": "alice@example.com", "webhookURL": world.hook("crm") })
}

/// Waits until request λ has work due of that request.
async fn request_is_due(world: &World, id: &str) {
    is_due(world, id, "requestDueAt").await;
}

async fn is_due(world: &World, id: &str, due: &str) {
    let due = world.item(id)[due].as_u64().unwrap_or_else(|| panic!("no {due}: {}", world.item(id)));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    rest(Duration::from_millis(due + 1).saturating_sub(now)).await;
}

/// The sweep of request λ.
async fn sweep(world: &World) -> Result<Value, FunctionError> {
    world.invoke(json!({ "job": "sweep" })).await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
