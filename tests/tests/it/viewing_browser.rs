//! The pages in a real browser, where there is one: `CHROMIUM`, or Chromium or Chrome on the `PATH`. With `SCREENSHOTS`
//! set to a folder it leaves pictures there, to be looked at.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::destinations::{Behaviour, Kind};
use local::logrocket;
use reqwest::Method;
use serde_json::{Value, json};
use std::env;
use std::io::{BufRead, BufReader, Write, stderr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use stories::{BEARER, World};

/// No page takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// A phone and a desktop, in CSS pixels.
const SCREENS: [(&str, u32, u32); 2] = [("phone", 390, 844), ("desktop", 1280, 900)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_the_pages_as_they_are_meant_and_their_button_works() {
    let Some(chromium) = chromium() else {
        // Past the capture of a passing test's output: nobody is to believe that it was tried.
        let _ =
            writeln!(stderr(), "SKIPPED: there is no Chromium here (set CHROMIUM, or put it on the PATH)");
        return;
    };
    let world = World::delivering(&[("MAX_ATTEMPTS", "1")]).await;

    // 1. A request with a delivery that was made, one that was given up and one that waits; one that failed, one that
    //    is under way.
    world.destinations.next(Kind::Zendesk, Behaviour::status(422).body(r#"{"error":"RecordInvalid"}"#));
    world.destinations.next(Kind::Intercom, Behaviour::status(503));
    let destinations = json!([
        { "type": "slack", "channel": "C0123456789" }, { "type": "zendesk", "ticketID": 35436 },
        { "type": "intercom", "conversationID": "525" },
    ]);
    let about = |question: &str| json!({ "userEmail": "alice@example.com", "question": question });
    let mut body = about("Why did checkout fail?");
    body["destinations"] = destinations;
    let ready = world.ask(body).await;
    world.wait_for(&ready, "READY").await;
    let until = Instant::now() + PATIENCE;
    while world.deliveries(&ready).await[1]["status"] != "FAILED" {
        assert!(Instant::now() < until, "{:?}", world.deliveries(&ready).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.log_rocket.next(logrocket::Behaviour::failed());
    let failed = world.ask(about("What happened on Tuesday?")).await;
    world.wait_for(&failed, "FAILED").await;
    world.log_rocket.next(logrocket::Behaviour::manual());
    let pending = world.ask(about("Is it slow?")).await;
    let of_caller = [("authorization", BEARER), ("accept", "text/html")];
    let mut links = Vec::new();
    for (name, id) in [("ready", &ready), ("failed", &failed), ("pending", &pending)] {
        let page = world.call(Method::GET, &format!("/highlights/{id}"), &of_caller, Value::Null).await;
        links.push((name, link_in(&world, &page.text)));
    }
    links.push(("not_ours", format!("{}x", links[0].1)));
    let history = format!("{}/highlights?userEmail=alice%40example.com", world.gateway.url());
    links.push(("history", history));

    let (done, complaints) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut browser = Browser::start(&chromium);
        // A caller's program shows the history; no other page is given the token.
        let history = links.pop().unwrap();
        for (name, url) in &links {
            browser.look_at(name, url);
        }

        // 2. The button is pressed: the page comes again, and says what is under way.
        browser.open(&links[0].1);
        assert_eq!(browser.say("document.querySelectorAll('form button').length"), json!(1));
        browser.act("document.querySelector('form button').click()");
        assert_eq!(browser.say("document.querySelector('h1').innerText"), "Highlights of alice@example.com");
        let url = browser.say("location.pathname + location.search");
        assert!(url.as_str().unwrap().contains("?expires=") && url != json!(links[0].1), "{url}");

        browser.call("Network.setExtraHTTPHeaders", json!({ "headers": { "authorization": BEARER } }));
        browser.look_at(history.0, &history.1);
        let _ = done.send(std::mem::take(&mut browser.complaints));
    });

    // 3. Nothing was refused by the page's own policy, nothing was amiss; and what was given up has been delivered.
    let complaints = tokio::time::timeout(4 * PATIENCE, complaints).await.expect("the browser gets on");
    assert_eq!(complaints.expect("the browser does as it is told"), Vec::<String>::new());
    let until = Instant::now() + PATIENCE;
    while world.deliveries(&ready).await[1]["status"] != "DELIVERED" {
        assert!(Instant::now() < until, "{:?}", world.deliveries(&ready).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The whole link to a page that stands in another page.
fn link_in(world: &World, page: &str) -> String {
    let start = format!("{}/view/", world.gateway.url());
    let (_, rest) = page.split_once(&start).expect("a link to a page");
    format!("{start}{}", rest.split('"').next().unwrap().replace("&amp;", "&"))
}

fn chromium() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
    env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.is_file())
}

/// A headless browser with one tab, told what to do by the DevTools protocol
/// (<https://chromedevtools.github.io/devtools-protocol/>): JSON, each message ended by a zero byte.
struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    last: u64,
    /// Pages that were loaded.
    loaded: usize,
    /// What the console says, violations of a policy among them, and scripts that failed.
    complaints: Vec<String>,
}

impl Browser {
    fn start(chromium: &PathBuf) -> Self {
        // It reads what it is told from the third file, and answers on the fourth. The sandbox needs rights that a test
        // may not have; all that is opened is ours.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(chromium)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .args(["--no-first-run", "--no-proxy-server", "--remote-debugging-pipe", "about:blank"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut browser =
            Self { process, to, from, session: None, last: 0, loaded: 0, complaints: Vec::new() };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Log", "Runtime", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let answer = self.next();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The next message, of which events are noted.
    fn next(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).expect("the browser answers");
        message.pop();
        let message: Value = serde_json::from_slice(&message).expect("JSON of the browser");
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.loaded += 1,
            // A page that says no is meant to: its status is no complaint.
            Some("Log.entryAdded") if message["params"]["entry"]["source"] != "network" => {
                self.complaints.push(message["params"]["entry"].to_string());
            }
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => {
                self.complaints.push(message["params"].to_string());
            }
            _ => {}
        }
        message
    }

    fn open(&mut self, url: &str) {
        let before = self.loaded;
        let navigated = self.call("Page.navigate", json!({ "url": url }));
        assert!(navigated["errorText"].is_null(), "{url}: {navigated}");
        self.wait_for_another(before);
    }

    /// Does what loads another page.
    fn act(&mut self, script: &str) {
        let before = self.loaded;
        self.call("Runtime.evaluate", json!({ "expression": script, "userGesture": true }));
        self.wait_for_another(before);
    }

    fn wait_for_another(&mut self, before: usize) {
        let until = Instant::now() + PATIENCE;
        while self.loaded == before {
            // Something is always answered, so that no wait is for ever.
            self.call("Runtime.evaluate", json!({ "expression": "1" }));
            assert!(Instant::now() < until, "no page came");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn say(&mut self, expression: &str) -> Value {
        let said = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(said["exceptionDetails"].is_null(), "{expression}: {said}");
        said["result"]["value"].clone()
    }

    /// On each screen, in both schemes: the style is applied, nothing stands out at the side, and the words can be read.
    fn look_at(&mut self, name: &str, url: &str) {
        for (screen, width, height) in SCREENS {
            for scheme in ["light", "dark"] {
                let phone = screen == "phone";
                let size =
                    json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
                self.call("Emulation.setDeviceMetricsOverride", size);
                let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
                self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
                self.open(url);
                let seen = format!("{name} on a {screen} in {scheme}");
                let sheet = "getComputedStyle(document.body)";
                let ground = self.say(&format!("{sheet}.backgroundColor"));
                let expected = if scheme == "light" { "rgb(255, 255, 255)" } else { "rgb(20, 23, 28)" };
                assert_eq!(ground, expected, "{seen}");
                let wide = self.say("document.documentElement.scrollWidth");
                assert!(wide.as_u64().unwrap() <= u64::from(width), "{seen}: {wide} wide");
                let small = "[...document.querySelectorAll('p,li,td,th,a,button')]\
                    .filter(e => parseFloat(getComputedStyle(e).fontSize) < 13).length";
                assert_eq!(self.say(small), json!(0), "{seen}");
                let low = "[...document.querySelectorAll('button')].filter(e => e.offsetHeight < 44).length";
                assert_eq!(self.say(low), json!(0), "{seen}");
                self.take_picture(&format!("{name}-{screen}-{scheme}"));
            }
        }
    }

    fn take_picture(&mut self, name: &str) {
        let Some(folder) = env::var_os("SCREENSHOTS") else { return };
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", whole);
        let picture = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), picture).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
