//! Each limit at, just under and just over it, and what a caller is told.

#![cfg(test)]

use model::answer::{MAX_RETRY_AFTER, parse_retry_after, words};
use model::callback::{MAX_LOGROCKET_ID_CHARS, is_log_rocket_id};
use model::destination::{MAX_BYTES_IN_RECORD, parse_defaults};
use model::id::RequestId;
use model::problem::{Kind, MAX_NAMED, MAX_POINTER_BYTES, Problem};
use model::record::{Record, Summary};
use model::request::{MAX_BODY_BYTES, NewRequest, RequestRules};
use model::result::{
    COMPRESS_OVER_BYTES, HighlightsResult, MAX_JSON_BYTES, MAX_STORED_BYTES, ResultTooLarge, Session,
    SessionId, StoredResult, escaped_bytes,
};
use model::rules::{Origin, Rules};
use model::time::Time;
use model::view::list;
use serde_json::{Value, json};
use std::time::Duration;

fn parse(body: &[u8]) -> Result<NewRequest, Problem> {
    NewRequest::parse(body, &RequestRules::default())
}

/// The one thing that is wrong.
#[track_caller]
fn wrong(body: &str) -> (String, String) {
    let problem = parse(body.as_bytes()).unwrap_err();
    assert_eq!(problem.kind, Kind::Invalid, "{problem:?}");
    let [error] = problem.errors.as_slice() else { panic!("{problem:?}") };
    (error.pointer.clone(), error.detail.clone())
}

#[track_caller]
fn malformed(body: &[u8]) -> String {
    let problem = parse(body).unwrap_err();
    assert_eq!(problem.kind, Kind::Malformed, "{problem:?}");
    problem.detail
}

#[test]
fn each_limit_of_the_body_is_named_by_what_goes_over_it() {
    let at = |field: &str, value: Value| {
        let mut body = json!({ "userID": "u" });
        body[field] = value;
        body.to_string()
    };
    let to = |destination: Value| at("destinations", json!([destination]));
    let text = |count| "\u{1f600}".repeat(count);
    for (limit, under, over) in [
        ("1024", at("userID", json!(text(1024))), at("userID", json!(text(1025)))),
        ("4000", at("question", json!(text(4000))), at("question", json!(text(4001)))),
        (
            "2048",
            at("metadata", json!({ "k": "v".repeat(2047) })),
            at("metadata", json!({ "k": "v".repeat(2048) })),
        ),
        ("255", at("idempotencyKey", json!("k".repeat(255))), at("idempotencyKey", json!("k".repeat(256)))),
        (
            "10",
            at("destinations", (1..=10).map(|n| json!({ "type": "zendesk", "ticketID": n })).collect()),
            at("destinations", (1..=11).map(|n| json!({ "type": "zendesk", "ticketID": n })).collect()),
        ),
        (
            "80",
            to(json!({ "type": "slack", "channel": "C".repeat(80) })),
            to(json!({ "type": "slack", "channel": "C".repeat(81) })),
        ),
        (
            "80",
            to(json!({ "type": "slack", "webhook": "n".repeat(80) })),
            to(json!({ "type": "slack", "webhook": "n".repeat(81) })),
        ),
        (
            "40",
            to(json!({ "type": "slack", "channel": "C", "threadTs": format!("1.{}", "0".repeat(38)) })),
            to(json!({ "type": "slack", "channel": "C", "threadTs": format!("1.{}", "0".repeat(39)) })),
        ),
        (
            "400",
            to(json!({ "type": "eventBridge", "bus": "b".repeat(400) })),
            to(json!({ "type": "eventBridge", "bus": "b".repeat(401) })),
        ),
        (
            "2048",
            to(json!({ "type": "stepFunctions", "taskToken": "t".repeat(2048) })),
            to(json!({ "type": "stepFunctions", "taskToken": "t".repeat(2049) })),
        ),
        (
            "2048",
            to(json!({ "type": "webhook", "url": format!("https://e.com/{}", "x".repeat(2034)) })),
            to(json!({ "type": "webhook", "url": format!("https://e.com/{}", "x".repeat(2035)) })),
        ),
    ] {
        assert!(parse(under.as_bytes()).is_ok(), "{under}");
        let (pointer, detail) = wrong(&over);
        assert!(detail.contains(limit), "{pointer}: {detail}");
    }
    // Digits are as many as a number of 64 bits has.
    for (id, is_one) in [("1".repeat(20), true), ("1".repeat(21), false)] {
        let body = to(json!({ "type": "zendesk", "ticketID": id }));
        assert_eq!(parse(body.as_bytes()).is_ok(), is_one, "{body}");
    }
}

#[test]
fn destinations_take_20_000_bytes_together_and_not_one_more() {
    // Nine of the longest, and one that fills what is left.
    let list = |last: usize| {
        let hook = |n: usize, length: usize| json!({ "type": "webhook", "url": format!("https://e.com/{n}{}", "x".repeat(length)) });
        let mut all: Vec<Value> = (0..9).map(|n| hook(n, 2000)).collect();
        all.push(hook(9, last));
        Value::from(all)
    };
    let stored = |last| {
        let all = parse_defaults(&list(last).to_string(), &RequestRules::default().destinations).unwrap();
        serde_json::to_string(&all).unwrap().len()
    };
    let last = MAX_BYTES_IN_RECORD - stored(0);
    assert_eq!(stored(last), MAX_BYTES_IN_RECORD);
    let body = |last| json!({ "userID": "u", "destinations": list(last) }).to_string();
    for fits in [last - 1, last] {
        assert!(parse(body(fits).as_bytes()).is_ok(), "{fits}");
    }
    let (pointer, detail) = wrong(&body(last + 1));
    assert_eq!(pointer, "#/destinations");
    assert!(detail.contains("20000"), "{detail}");
}

#[test]
fn a_body_is_read_up_to_127_levels_and_128_kb() {
    let nested = |levels: usize| {
        format!(r#"{{"userID":"u","x":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1))
    };
    for levels in [126, 127] {
        assert_eq!(wrong(&nested(levels)).0, "#/x");
    }
    for levels in [128, 129, 10_000, 60_000] {
        let detail = malformed(nested(levels).as_bytes());
        assert!(detail.contains("nested more than 127 levels deep"), "{detail}");
    }
    for (bytes, fits) in [(MAX_BODY_BYTES - 1, true), (MAX_BODY_BYTES, true), (MAX_BODY_BYTES + 1, false)] {
        let body = [br#"{"userID":"u"}"#.to_vec(), vec![b' '; bytes - 14]].concat();
        match parse(&body) {
            Ok(_) => assert!(fits),
            Err(problem) => {
                assert!(!fits && problem.kind == Kind::TooLarge);
                assert_eq!(problem.detail, "The body has 131073 bytes; at most 131072 are taken.");
            }
        }
    }
}

#[test]
fn a_name_that_stands_twice_is_refused_by_its_place() {
    for (body, pointers) in [
        (r#"{"userID":"u","userID":"v"}"#, vec!["#/userID"]),
        (r#"{"userID":"u","user\u0049D":"u"}"#, vec!["#/userID"]),
        (r#"{"userID":"u","question":null,"question":"q"}"#, vec!["#/question"]),
        (r#"{"userID":"u","metadata":{"a":"1","a":"1"}}"#, vec!["#/metadata/a"]),
        (r#"{"userID":"u","timeRange":{"startMs":1,"endMs":2,"endMs":3}}"#, vec!["#/timeRange/endMs"]),
        (
            r#"{"userID":"u","destinations":[{"type":"eventBridge"},{"type":"eventBridge","type":"x"}]}"#,
            vec!["#/destinations/1/type", "#/destinations/1/type"],
        ),
    ] {
        let problem = parse(body.as_bytes()).unwrap_err();
        let named: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!((problem.kind, named), (Kind::Invalid, pointers), "{body}");
        assert!(problem.errors[0].detail.contains("more than once"), "{problem:?}");
    }
}

#[test]
fn what_is_not_json_says_what_to_mend() {
    for (body, said) in [
        (&b"\x1f\x8b\x08\0\0"[..], "compressed"),
        (b"\xff\xfe{\0}\0", "not UTF-8: byte 1"),
        (b"{\"userID\":\"\xc3\x28\"}", "not UTF-8: byte 12"),
        (br#"{"userID":"\ud800"}"#, "half a surrogate pair"),
        (br#"{"userID":"u","\udc00":1}"#, "half a surrogate pair"),
        (br#"{"userID":"\ud83d\ud83d"}"#, "half a surrogate pair"),
        (b"{\"userID\":\"a\0b\"}", "control character"),
        (br#"{"userID":"u","maxAge":1e999}"#, "number out of range at line 1 column 2"),
        (b"", "EOF"),
        (br#"{"userID":"u"}{}"#, "trailing characters"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{\"userID\":\"u\"}", "expected value"),
    ] {
        let detail = malformed(body);
        assert!(detail.contains(said), "{detail}");
        assert!(detail.len() < 200, "{detail}");
    }
    // What only looks like it is read.
    let request = parse("\u{feff}{\"userID\":\"a\\u0000\\\\ud800\\ud83d\\ude00\"}".as_bytes()).unwrap();
    assert_eq!(request.question.subject.as_field().1, "a\0\\ud800\u{1f600}");
}

#[test]
fn numbers_are_whole_in_range_and_exact() {
    let number = |field: &str, text: &str| {
        let body = match field {
            "maxAge" => format!(r#"{{"userID":"u","maxAge":{text}}}"#),
            "endMs" => format!(r#"{{"userID":"u","timeRange":{{"startMs":0,"endMs":{text}}}}}"#),
            _ => format!(r#"{{"userID":"u","destinations":[{{"type":"zendesk","ticketID":{text}}}]}}"#),
        };
        parse(body.as_bytes()).map_err(|problem| problem.errors[0].pointer.clone())
    };
    for (field, text) in [
        ("maxAge", "-0"),
        ("maxAge", "-0.0"),
        ("maxAge", "9e2"),
        ("maxAge", "9007199254740991"),
        ("endMs", "1715567430000.0"),
        ("endMs", "9007199254740991.0"),
        ("endMs", "9007199254740991"),
        ("ticketID", "18446744073709551615"),
        ("ticketID", "-0"),
    ] {
        assert!(number(field, text).is_ok(), "{field} {text}");
    }
    for (field, text, pointer) in [
        ("maxAge", "-1", "#/maxAge"),
        ("maxAge", "1e-5", "#/maxAge"),
        ("maxAge", "9007199254740992", "#/maxAge"),
        ("maxAge", "1e300", "#/maxAge"),
        ("endMs", "9007199254740992.0", "#/timeRange/endMs"),
        ("endMs", "9223372036854775808", "#/timeRange/endMs"),
        ("endMs", "123456789012345678901234567890", "#/timeRange/endMs"),
        ("ticketID", "18446744073709551616", "#/destinations/0/ticketID"),
        ("ticketID", "1e20", "#/destinations/0/ticketID"),
    ] {
        assert_eq!(number(field, text).unwrap_err(), pointer, "{text}");
    }
}

#[test]
fn so_many_bad_fields_are_named_and_of_more_their_number_is_told() {
    let with = |count: usize| {
        let fields: String = (0..count).map(|n| format!(r#","x{n}":0"#)).collect();
        parse(format!(r#"{{"userID":"u"{fields}}}"#).as_bytes()).unwrap_err()
    };
    for (count, named, said) in [
        (1, 1, "#/x0: unknown field"),
        (MAX_NAMED, MAX_NAMED, "100 fields are to be mended."),
        (MAX_NAMED + 1, MAX_NAMED, "101 fields are to be mended; the first 100 are named."),
        (11_000, MAX_NAMED, "11000 fields are to be mended; the first 100 are named."),
    ] {
        let problem = with(count);
        assert_eq!(problem.errors.len(), named);
        assert!(problem.detail.starts_with(said), "{}", problem.detail);
        assert!(problem.to_json().to_string().len() < 50_000);
    }
    // As many that stand twice, each far down.
    let twice = r#""a":0,"#.repeat(20_000);
    let problem = parse(format!(r#"{{"userID":"u","{}":{{{twice}"a":0}}}}"#, "k".repeat(8_000)).as_bytes());
    let problem = problem.unwrap_err();
    assert_eq!(problem.errors.len(), MAX_NAMED, "{}", problem.detail);
    assert!(problem.to_json().to_string().len() < 50_000);
}

#[test]
fn a_pointer_is_a_uri_fragment_and_no_echo() {
    let pointer = |name: &str| wrong(&json!({ "userID": "u", name: 1 }).to_string()).0;
    assert_eq!(pointer("a b\"<\0\n\u{202e}\u{e9}%~/"), "#/a%20b%22%3C%00%0A%E2%80%AE%C3%A9%25~0~1");
    assert_eq!(pointer(""), "#/");
    let room = MAX_POINTER_BYTES - 2;
    assert_eq!(pointer(&"k".repeat(room)), format!("#/{}", "k".repeat(room)));
    for long in [room + 1, 100_000] {
        assert_eq!(pointer(&"k".repeat(long)), format!("#/{}...", "k".repeat(room)));
        let wide = pointer(&"\u{e9}".repeat(long / 2 + 1));
        assert!(wide.ends_with("...") && wide.len() == MAX_POINTER_BYTES + 3, "{wide}");
    }
}

fn result_of(highlights: String) -> HighlightsResult {
    HighlightsResult { highlights, sessions: Vec::new() }
}

/// Letters of which each takes some 6 bits, however well they are packed.
fn noise(length: usize) -> String {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + u8::try_from((state >> 33) % 64).unwrap())
    };
    // None of them is a quote or a backslash.
    (0..length).map(|_| next()).map(|c| if c == '\\' { '!' } else { c }).collect()
}

#[test]
fn a_result_is_stored_as_it_is_up_to_8_kb_and_read_back_up_to_5_mb() {
    let empty = serde_json::to_string(&result_of(String::new())).unwrap();
    for (bytes, packed) in
        [(COMPRESS_OVER_BYTES - 1, false), (COMPRESS_OVER_BYTES, false), (COMPRESS_OVER_BYTES + 1, true)]
    {
        let result = result_of("a".repeat(bytes - empty.len()));
        let stored = StoredResult::pack(&result).unwrap();
        assert_eq!(matches!(stored, StoredResult::Gzip(_)), packed, "{bytes}");
        assert_eq!(stored.unpack().unwrap(), result);
    }
    let room = MAX_JSON_BYTES - escaped_bytes(&empty);
    for fits in [room - 1, room] {
        let result = result_of("a".repeat(fits));
        assert_eq!(StoredResult::pack(&result).unwrap().unpack().unwrap(), result);
    }
    let error = StoredResult::pack(&result_of("a".repeat(room + 1))).unwrap_err();
    assert_eq!(error, ResultTooLarge::Json { bytes: MAX_JSON_BYTES + 1 });
    assert_eq!(error.to_string(), "the result takes 5000001 bytes; at most 5000000 can be read back");
}

#[test]
fn a_result_is_stored_in_350_000_bytes_and_not_one_more() {
    let text = noise(600_000);
    let packed = |length: usize| StoredResult::pack(&result_of(text[..length].to_owned()));
    // The longest that fits.
    let (mut fits, mut not) = (400_000, text.len());
    while not - fits > 1 {
        let middle = fits.midpoint(not);
        if packed(middle).is_ok() { fits = middle } else { not = middle }
    }
    let StoredResult::Gzip(bytes) = packed(fits).unwrap() else { panic!("not packed") };
    assert!((MAX_STORED_BYTES - 3..=MAX_STORED_BYTES).contains(&bytes.len()), "{}", bytes.len());
    let error = packed(not).unwrap_err();
    assert!(matches!(error, ResultTooLarge::Stored { bytes } if bytes <= MAX_STORED_BYTES + 3), "{error}");
    assert!(error.to_string().contains("350000"));
}

#[test]
fn what_was_not_stored_here_is_unpacked_no_further_than_5_mb() {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    let gzip = |json: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(json).unwrap();
        StoredResult::Gzip(encoder.finish().unwrap())
    };
    let whole = serde_json::to_string(&result_of("a".repeat(MAX_JSON_BYTES - 100))).unwrap();
    assert!(gzip(whole.as_bytes()).unpack().is_ok());
    // A hundred megabytes in a hundred kilobytes.
    assert!(gzip(&vec![b' '; 100_000_000]).unpack().is_err());
    // Nothing is built of what is no session.
    for forged in [
        "[[]]",
        r#"[{"recordingID":"","sessionID":[[]],"highlights":""}]"#,
        r#"[{"recordingID":"","sessionID":-1,"highlights":""}]"#,
    ] {
        assert!(gzip(format!(r#"{{"highlights":"","sessions":{forged}}}"#).as_bytes()).unpack().is_err());
    }
    let session = |session_id| Session { recording_id: "r".into(), session_id, highlights: String::new() };
    let ids = [0, u64::MAX].map(SessionId::Number).into_iter().chain([SessionId::Text("7".into())]);
    let result = HighlightsResult { highlights: String::new(), sessions: ids.map(session).collect() };
    assert_eq!(StoredResult::pack(&result).unwrap().unpack().unwrap(), result);
}

#[test]
fn a_list_is_as_long_as_an_answer_carries() {
    let summary = |question: usize| {
        let body =
            json!({ "userID": "\u{1}".repeat(1024), "question": "\u{1}".repeat(question) }).to_string();
        let origin = Origin { caller: "ops".into(), opening: "run".into() };
        let id = RequestId::for_key("ops", "1");
        let new = parse(body.as_bytes()).unwrap();
        Summary::from(&Record::open(id, origin, new, None, Time(1_715_481_030_000), &Rules::default()))
    };
    // The longest take seven bytes for each letter, where an answer is carried.
    let bytes = |entries: &[Value]| escaped_bytes(&json!(entries).to_string());
    assert_eq!(list(&vec![summary(4000); 100]).len(), 100);
    let many = vec![summary(4000); 200];
    let shown = list(&many);
    assert!((100..200).contains(&shown.len()) && bytes(&shown) <= MAX_JSON_BYTES, "{}", shown.len());
    assert!(bytes(&vec![shown[0].clone(); shown.len() + 1]) > MAX_JSON_BYTES);
    assert_eq!(list(&[]), [] as [Value; 0]);
}

#[test]
fn what_others_say_is_taken_up_to_its_limit() {
    for (length, is_one) in
        [(0, false), (1, true), (MAX_LOGROCKET_ID_CHARS, true), (MAX_LOGROCKET_ID_CHARS + 1, false)]
    {
        assert_eq!(is_log_rocket_id(&"f".repeat(length)), is_one, "{length}");
    }
    let now = Time(1_715_481_030_000);
    let day = MAX_RETRY_AFTER.as_secs();
    for (text, seconds) in [
        ("0".to_owned(), 0),
        ((day - 1).to_string(), day - 1),
        (day.to_string(), day),
        ((day + 1).to_string(), day),
        (u64::MAX.to_string(), day),
        ("9".repeat(10_000), day),
    ] {
        assert_eq!(parse_retry_after(&text, now), Some(Duration::from_secs(seconds)), "{text:.30}");
    }
    for length in [299, 300, 301, 1_000_000] {
        assert_eq!(words("é".repeat(length).as_bytes()).chars().count(), length.min(300));
    }
    assert_eq!(words(br#"{"message":"half \ud83d"}"#), "half \u{fffd}");
}
