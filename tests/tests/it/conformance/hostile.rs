//! Highlights are AI text about what strangers typed, and so may be what callers pass on: nothing of it acts, and all
//! that it says is still there.

use super::seen::{PAGE, letters};
use super::{CASES, Round, world};
use local::destinations::Kind;
use serde_json::{Value, json};

/// Each piece, and how the letters of what is shown of it go on; most are shown as they were typed.
const PIECES: [(&str, &str); 34] = [
    ("alfa <!channel> and <!here|here> <!everyone>", "alfachannelandherehereeveryone"),
    ("bravo <@U0123456789> <#C0123|general> <!subteam^S01>", "bravoU0123456789C0123generalsubteamS01"),
    ("charlie @here @channel @everyone @group @HERE", "charlieherechanneleveryonegroupHERE"),
    ("delta <https://evil.test|app.logrocket.com>", "deltahttpseviltestapplogrocketcom"),
    ("echo [click](javascript:alert(1)) now", "echoclicknow"),
    ("foxtrot [data](data:text/html;base64,PHNjcmlwdD4=) now", "foxtrotdatanow"),
    ("golf [vb](vbscript:x) [file](file:///etc/passwd) now", "golfvbfilenow"),
    ("hotel <script>alert(document.cookie)</script> now", "hotelscriptalertdocumentcookiescriptnow"),
    ("india <img src=x onerror=alert(1)> now", "indiaimgsrcxonerroralert1now"),
    (
        "juliett <svg/onload=alert(1)><iframe src=//evil.test></iframe>",
        "juliettsvgonloadalert1iframesrceviltestiframe",
    ),
    ("kilo <a href=\"https://evil.test\" onclick=\"x()\">here</a>", "kiloahrefhttpseviltestonclickxherea"),
    ("lima ![pixel](https://evil.test/p.png) now", "limapixelnow"),
    ("mike [a](https://app.logrocket.com.evil.test/x) now", "mikeanow"),
    ("november [b](https://app.logrocket.com@evil.test/x) now", "novemberbnow"),
    ("oscar [c](https://app.logrocket.com\\@evil.test) now", "oscarc"),
    ("papa [d](https://аpp.logrocket.com/x) [e](http://app.logrocket.com/x) now", "papadenow"),
    ("quebec [f](//evil.test) [g](https:evil.test) [h](/acme/shop) now", "quebecfghnow"),
    (
        "romeo https://evil.test/login and www.evil.test and evil@evil.test",
        "romeohttpseviltestloginandwwweviltestandevileviltest",
    ),
    ("sierra <https://evil.test> <mailto:x@evil.test> now", "sierrahttpseviltestmailtoxeviltestnow"),
    ("tango {{ticket.id}} {{ticket.requester.email}} {% if x %}", "tangoticketidticketrequesteremailifx"),
    (
        "uniform {{DATE(2024-05-12T00:00:00Z)}} ${expression} {!Contact.Name}",
        "uniformDATE20240512T000000ZexpressionContactName",
    ),
    ("victor \u{202e}txt.exe\u{202c} \u{2066}x\u{2069} \u{200e}y\u{200f}", "victortxtexexy"),
    ("whiskey a\u{0}b\u{7}c\u{1b}[31md\u{8}e\u{9b}f", "whiskeyabc31mdef"),
    ("xray zero\u{200b}width\u{2060}join\u{feff}er\u{ad}s \u{e0041}\u{e0042}", "xrayzerowidthjoiners"),
    ("yankee **bold *nested `code ~~strike~~ __under_", "yankeeboldnestedcodestrikeunder"),
    ("zulu ``` fence ```` more ``` `` ` end", "zulufencemoreend"),
    ("able &lt;b&gt; &amp;lt; &#60;script&#62; &lt;!channel&gt;", "ablebltscriptchannel"),
    ("baker \\u003cscript\\u003e \\n \\\" \\x3c %3Cscript%3E", "bakeru003cscriptu003enx3c3Cscript3E"),
    ("cast \"},{\"text\":\"injected\"}]} '); DROP TABLE", "casttextinjectedDROPTABLE"),
    ("dog <!-- hidden --> <![CDATA[x]]> <?php y ?> </p></div>", "doghiddenCDATAxphpypdiv"),
    ("easy [ref][1] [1]: javascript:alert(1)", "easyref11javascriptalert1"),
    ("fox | a | b | # not a heading - [ ] task", "foxabnotaheadingtask"),
    ("harry [page](https://highlights.example.com/view/1?expires=9&signature=1.x) now", "harrypagenow"),
    ("george <at>everyone</at> <mention>x</mention>", "georgeateveryoneatmentionxmention"),
];

fn text() -> String {
    PIECES.map(|(piece, _)| piece).join("\n\n")
}

#[tokio::test]
async fn nothing_that_strangers_wrote_acts_anywhere_and_all_of_it_is_there() {
    let world = world().await;
    let subject =
        "<!channel> @here <script>x</script> [y](javascript:z) {{ticket.id}} {{DATE()}} \u{202e}\" ' &";
    let asked = json!({
        "userID": subject,
        "question": format!("{}\n\n# 1. - > ![]() {}", PIECES[0].0, PIECES[7].0),
        "metadata": { "<!channel>": text().chars().take(900).collect::<String>() },
    });
    let session = |text: String| json!({ "recordingID": "5-14de/../../x", "sessionID": "0?a=<b>\"'", "highlights": text });
    let result = json!({
        "highlights": text(),
        "sessions": [session(text()), session(PIECES[4].0.to_owned()), session("# [x](javascript:x)\n> <!here>".to_owned())],
    });
    let round = Round::ask(&world, CASES, &asked, &Value::Null).await.result(&result).await;
    for told in round.ended().await {
        let name = told.name();
        assert_eq!((told.status(), told.attempts()), ("DELIVERED", 1), "{name}: {:#}", told.delivery);
        if !told.case.is_people_facing() {
            // Machines are given what came, as it came: their readers know best what is hostile to them.
            let payload = told.payloads().remove(0);
            assert_eq!((&payload["result"], &payload["metadata"]), (&result, &asked["metadata"]), "{name}");
            continue;
        }
        let (mut shown, page) = (String::new(), format!("{PAGE}{}?", told.id));
        let is_page = |url: &str| url.starts_with(&page);
        for seen in told.seen() {
            assert_eq!(seen.active, [""; 0], "{name}: {}", seen.text);
            for (text, url) in seen.links.iter().filter(|(_, url)| !is_page(url)) {
                let known = ["/acme/shop/s/5-14de", "/acme/shop/sessions?u="];
                let is_known =
                    known.iter().any(|path| url.starts_with(&format!("https://app.logrocket.com{path}")));
                assert!(is_known, "{name}: [{text}]({url})");
            }
            shown.push_str(&seen.text);
        }
        let letters = letters(&shown);
        for (piece, expected) in PIECES {
            let times = letters.matches(expected).count();
            assert!(times >= 2, "{name}: {piece}: {times} times in {shown}");
        }
        assert!(letters.contains("channelherescriptxscriptyjavascriptzticketidDATE"), "{name}: {shown}");
        assert!(!shown.contains('\u{202e}'), "{name}");
        if told.case.kind == Kind::Zendesk {
            // It fills in what stands in such braces.
            let body = told.calls[0].body.to_string();
            assert!(!body.contains("{{") && !body.contains("{%"), "{name}: {body}");
        }
        // As its vendor shows it: nobody is rung up.
        for message in &told.messages {
            assert!(!message.text.contains("(notifies "), "{name}: {}", message.text);
        }
        assert!(told.taken().iter().all(|call| !call.body.to_string().contains("\\u0000")), "{name}");
    }
}
