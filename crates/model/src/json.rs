//! JSON that others sent. What a caller asks for is read strictly, for one body must mean one thing; what LogRocket
//! answers is read with good will, for a result is not to be lost for one letter.

use crate::fields::Errors;
use crate::problem::pointer_token;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// serde_json reads this many levels of arrays and objects, and its stack is safe.
const MAX_LEVELS: usize = 127;

/// Reads a caller's JSON. A name that an object has twice becomes an error at its place: readers differ in which of the
/// two they take, so what was checked on the way here need not be what would be done.
///
/// Where it is no JSON at all, the text says what to mend, and quotes nothing.
pub(crate) fn strict(body: &[u8], errors: &mut Errors) -> Result<Value, String> {
    let plain = without_bom(body);
    let mut reader = serde_json::Deserializer::from_slice(plain);
    let mut at = String::new();
    let value = Strict { at: &mut at, errors }.deserialize(&mut reader);
    value.and_then(|value| reader.end().map(|()| value)).map_err(|error| not_json(plain, &error))
}

/// LogRocket's JSON as text: without a byte order mark, and with U+FFFD for what no text can hold, bytes that are not
/// UTF-8 and `\u` escapes of half a surrogate pair (JavaScript cuts strings there, and serializes what is left).
pub(crate) fn mended(body: &[u8]) -> Cow<'_, str> {
    let body = without_bom(body);
    let text = std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let halves = lone_surrogates(&text);
    if halves.is_empty() {
        return text;
    }
    let mut whole = text.into_owned();
    // As long as what it replaces: the places that follow stay where they are.
    for at in halves {
        whole.replace_range(at..at + r"\ud800".len(), r"\ufffd");
    }
    Cow::Owned(whole)
}

/// Whether these are the first bytes of gzip.
pub(crate) fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b])
}

fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

fn not_json(body: &[u8], error: &serde_json::Error) -> String {
    if is_gzip(body) {
        return "The body is compressed: send it as it is.".to_owned();
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            return format!("The body is not UTF-8: byte {} is none of it.", error.valid_up_to() + 1);
        }
    };
    let place = format!("line {} column {}", error.line(), error.column());
    if error.to_string().starts_with("recursion limit") {
        return format!("The body is nested more than {MAX_LEVELS} levels deep, at {place}.");
    }
    if !lone_surrogates(text).is_empty() {
        return format!(
            "The body has a \\u escape of half a surrogate pair, which is no character, at {place}."
        );
    }
    format!("The body is not JSON: {error}.")
}

/// Where the escapes of surrogates stand that have no other half.
fn lone_surrogates(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let at = from + at;
        from = match escaped(bytes, at) {
            Some(0xD800..0xDC00) if matches!(escaped(bytes, at + 6), Some(0xDC00..0xE000)) => at + 12,
            Some(0xD800..0xE000) => {
                found.push(at);
                at + 6
            }
            // Of a backslash before a backslash the second is not looked at; nor is any of another escape's.
            _ => at + 2,
        };
    }
    found
}

/// The number of the `\u` escape that stands there, if one does.
fn escaped(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    // A sign is no digit, though it is taken for a number's.
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u32::from_str_radix(digits, 16).ok()
}

struct Strict<'a> {
    /// JSON Pointer of what is being read.
    at: &'a mut String,
    errors: &'a mut Errors,
}

impl Strict<'_> {
    fn below(&mut self) -> Strict<'_> {
        Strict { at: self.at, errors: self.errors }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        let end = self.at.len();
        loop {
            self.at.push_str(&format!("/{}", all.len()));
            let value = seq.next_element_seed(self.below())?;
            self.at.truncate(end);
            let Some(value) = value else { return Ok(all.into()) };
            all.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let end = self.at.len();
        while let Some(name) = map.next_key::<String>()? {
            self.at.push('/');
            self.at.push_str(&pointer_token(&name));
            let value = map.next_value_seed(self.below())?;
            if object.insert(name, value).is_some() {
                self.errors.push(self.at, "is given more than once");
            }
            self.at.truncate(end);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(Value, Vec<String>), String> {
        let mut errors = Errors::default();
        let value = strict(body.as_bytes(), &mut errors)?;
        Ok((value, errors.into_vec().into_iter().map(|error| error.pointer).collect()))
    }

    #[test]
    fn it_reads_what_serde_json_reads() {
        for body in [
            "null",
            "true",
            "-0",
            "-1",
            "18446744073709551615",
            "18446744073709551616",
            "1.5e3",
            "\"\\u0000é\"",
            "[]",
            "[1,[2,{}]]",
            r#" {"a":{"b":[null,{"c":"\ud83d\ude00"}]},"":0} "#,
        ] {
            let expected: Value = serde_json::from_str(body).unwrap();
            assert_eq!(read(body).unwrap(), (expected, Vec::new()), "{body}");
        }
        for body in ["", "{", "[1,]", "1 2", "{\"a\":1}{}", "nul", "1e999", "{1:2}", "\"\u{1}\""] {
            assert!(serde_json::from_str::<Value>(body).is_err());
            assert!(read(body).unwrap_err().starts_with("The body is not JSON: "), "{body}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_told_by_its_place() {
        let body = r#"{"a":1,"a":1,"b":[0,{"c/d":{"e":1,"\u0065":2}}],"a":3,"A":1}"#;
        assert_eq!(read(body).unwrap().1, ["#/a", "#/b/1/c~1d/e", "#/a"]);
    }

    #[test]
    fn what_no_text_can_hold_is_mended_and_nothing_else_is_touched() {
        for (sent, mended_to) in [
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""\uDFFF.""#, r#""\ufffd.""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00\n""#, r#""\ufffd\ud83d\ude00\n""#),
            (r#""\ud83d\u0041""#, r#""\ufffd\u0041""#),
            // An escaped backslash and some letters.
            (r#""\\ud800""#, r#""\\ud800""#),
            (r#""\\\ud800""#, r#""\\\ufffd""#),
            (r#""\ud8é0""#, r#""\ud8é0""#),
            ("\\", "\\"),
            ("\\\\u", "\\\\u"),
            ("\\ud8", "\\ud8"),
            ("\u{feff}\\é\\ud800", "\\é\\ufffd"),
        ] {
            assert_eq!(mended(sent.as_bytes()), mended_to, "{sent}");
        }
        assert_eq!(mended(b"a\xffb"), "a\u{fffd}b");
        assert!(matches!(mended(b"\"plain\\n\""), Cow::Borrowed(_)), "nothing is copied for nothing");
    }
}
