//! LogRocket's result, and the form in which the table keeps it.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{Read, Write};

/// Results longer than this, as JSON, are compressed.
pub const COMPRESS_OVER_BYTES: usize = 8 * 1024;
/// A stored result may have this many bytes, compressed or not. An item holds 409,600; the rest is for the
/// request (at most 25,000), its destinations (20,000) and their delivery marks.
pub const MAX_STORED_BYTES: usize = 350_000;
/// A result may have this many bytes as JSON, with quotes and backslashes counted twice: an answer that reads it
/// back carries it so, inside the 6 MB that Lambda takes.
pub const MAX_JSON_BYTES: usize = 5_000_000;

/// What a text takes inside the JSON of an answer: quotes, backslashes and line feeds take two bytes.
pub fn escaped_bytes(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n')).count()
}

/// What LogRocket's Galileo wrote. The texts are Markdown about what strangers typed: hostile input.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HighlightsResult {
    /// Over all sessions.
    pub highlights: String,
    pub sessions: Vec<Session>,
}

/// Shows how much there is, never the text.
impl std::fmt::Debug for HighlightsResult {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("HighlightsResult")
            .field("bytes", &self.highlights.len())
            .field("sessions", &self.sessions.len())
            .finish()
    }
}

/// One session's own highlights. A recording holds several sessions, numbered from 0.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    #[serde(rename = "recordingID")]
    pub recording_id: String,
    #[serde(rename = "sessionID")]
    pub session_id: SessionId,
    pub highlights: String,
}

/// LogRocket's documentation has integers, its AsyncAPI strings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum SessionId {
    Number(u64),
    Text(String),
}

/// By hand: an untagged enum would first build all of what stands there, whatever it is.
impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(SessionIdVisitor)
    }
}

struct SessionIdVisitor;

impl Visitor<'_> for SessionIdVisitor {
    type Value = SessionId;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a session's number or id")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<SessionId, E> {
        Ok(SessionId::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SessionId, E> {
        Ok(SessionId::Text(text.to_owned()))
    }
}

/// A result as the table keeps it.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredResult {
    Json(String),
    Gzip(Vec<u8>),
}

impl std::fmt::Debug for StoredResult {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(json) => write!(out, "Json({} bytes)", json.len()),
            Self::Gzip(bytes) => write!(out, "Gzip({} bytes)", bytes.len()),
        }
    }
}

/// The result is too large to be kept, and is refused rather than cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResultTooLarge {
    #[error("the result takes {bytes} bytes, compressed; at most {MAX_STORED_BYTES} can be stored")]
    Stored { bytes: usize },
    #[error("the result takes {bytes} bytes; at most {MAX_JSON_BYTES} can be read back")]
    Json { bytes: usize },
}

/// What the table holds is not what was stored there.
#[derive(Debug, thiserror::Error)]
pub enum CorruptResult {
    #[error("the stored result cannot be unpacked")]
    Gzip(#[from] std::io::Error),
    /// Only where: serde's own words may quote the text, which must not reach a log.
    #[error("the stored result is not the JSON of a result, at line {line} column {column}")]
    Json { line: usize, column: usize },
}

impl From<serde_json::Error> for CorruptResult {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

impl StoredResult {
    pub fn pack(result: &HighlightsResult) -> Result<Self, ResultTooLarge> {
        // Writing to memory does not fail; if it ever did, nothing may be stored in its place.
        let unpackable = ResultTooLarge::Json { bytes: usize::MAX };
        let json = serde_json::to_string(result).map_err(|_| unpackable)?;
        if json.len() <= COMPRESS_OVER_BYTES {
            return Ok(Self::Json(json));
        }
        let bytes = escaped_bytes(&json);
        if bytes > MAX_JSON_BYTES {
            return Err(ResultTooLarge::Json { bytes });
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(json.as_bytes()).and_then(|()| encoder.finish());
        let packed = packed.map_err(|_| unpackable)?;
        if packed.len() > MAX_STORED_BYTES {
            return Err(ResultTooLarge::Stored { bytes: packed.len() });
        }
        Ok(Self::Gzip(packed))
    }

    pub fn unpack(&self) -> Result<HighlightsResult, CorruptResult> {
        match self {
            Self::Json(json) => Ok(serde_json::from_str(json)?),
            Self::Gzip(bytes) => {
                let mut json = Vec::new();
                GzDecoder::new(bytes.as_slice()).take(MAX_JSON_BYTES as u64).read_to_end(&mut json)?;
                Ok(serde_json::from_slice(&json)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_of(text: String) -> HighlightsResult {
        HighlightsResult {
            highlights: text,
            sessions: vec![Session {
                recording_id: "5-3cde".into(),
                session_id: SessionId::Number(0),
                highlights: "x".into(),
            }],
        }
    }

    #[test]
    fn short_results_stay_json_and_long_ones_are_compressed() {
        let short = result_of("a".into());
        let stored = StoredResult::pack(&short).unwrap();
        assert!(matches!(stored, StoredResult::Json(_)));
        assert_eq!(stored.unpack().unwrap(), short);

        let long = result_of("highlights ".repeat(5_000));
        let stored = StoredResult::pack(&long).unwrap();
        assert!(matches!(&stored, StoredResult::Gzip(bytes) if bytes.len() < 5_000));
        assert_eq!(stored.unpack().unwrap(), long);
    }

    #[test]
    fn a_result_that_does_not_compress_is_refused_not_cut() {
        let mut state = 1u64;
        let noise: String = (0..600_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
            })
            .collect();
        let error = StoredResult::pack(&result_of(noise)).unwrap_err();
        assert!(matches!(error, ResultTooLarge::Stored { bytes } if bytes > MAX_STORED_BYTES), "{error}");
    }

    #[test]
    fn a_result_that_could_not_be_read_back_is_refused_however_well_it_compresses() {
        let over = result_of("a".repeat(MAX_JSON_BYTES));
        assert!(matches!(StoredResult::pack(&over), Err(ResultTooLarge::Json { .. })));
        // A quote takes two bytes as JSON, and both are escaped once more.
        let quotes = result_of("\"".repeat(MAX_JSON_BYTES / 4));
        assert!(matches!(StoredResult::pack(&quotes), Err(ResultTooLarge::Json { .. })));
        let under = result_of("a".repeat(MAX_JSON_BYTES - 1_000));
        assert_eq!(StoredResult::pack(&under).unwrap().unpack().unwrap(), under);
    }

    #[test]
    fn a_damaged_result_is_an_error() {
        assert!(StoredResult::Gzip(vec![1, 2, 3]).unpack().is_err());
        assert!(StoredResult::Json("{}".into()).unpack().is_err());
    }
}
