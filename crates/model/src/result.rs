//! LogRocket's result, and the form in which the table keeps it.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// Results longer than this, as JSON, are compressed.
pub const COMPRESS_OVER_BYTES: usize = 8 * 1024;
/// A stored result may have this many bytes, compressed or not. An item holds 409,600; the rest is for the
/// request (at most 25,000), its destinations (20,000) and their delivery marks.
pub const MAX_STORED_BYTES: usize = 350_000;
/// No result that fits a Lambda invocation (6 MB) unpacks to more.
const MAX_UNPACKED_BYTES: u64 = 32 * 1024 * 1024;

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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SessionId {
    Number(u64),
    Text(String),
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

/// The result is over [`MAX_STORED_BYTES`] even when compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the result takes {bytes} bytes; at most {MAX_STORED_BYTES} can be stored")]
pub struct ResultTooLarge {
    pub bytes: usize,
}

/// What the table holds is not what was stored there.
#[derive(Debug, thiserror::Error)]
pub enum CorruptResult {
    #[error("the stored result cannot be unpacked")]
    Gzip(#[from] std::io::Error),
    #[error("the stored result is not the JSON of a result")]
    Json(#[from] serde_json::Error),
}

impl StoredResult {
    pub fn pack(result: &HighlightsResult) -> Result<Self, ResultTooLarge> {
        let unpackable = ResultTooLarge { bytes: usize::MAX };
        let json = serde_json::to_string(result).map_err(|_| unpackable)?;
        if json.len() <= COMPRESS_OVER_BYTES {
            return Ok(Self::Json(json));
        }
        // What could not be unpacked again is not stored.
        if u64::try_from(json.len()).is_ok_and(|bytes| bytes > MAX_UNPACKED_BYTES) {
            return Err(ResultTooLarge { bytes: json.len() });
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(json.as_bytes()).and_then(|()| encoder.finish());
        let packed = packed.map_err(|_| unpackable)?;
        if packed.len() > MAX_STORED_BYTES {
            return Err(ResultTooLarge { bytes: packed.len() });
        }
        Ok(Self::Gzip(packed))
    }

    pub fn unpack(&self) -> Result<HighlightsResult, CorruptResult> {
        match self {
            Self::Json(json) => Ok(serde_json::from_str(json)?),
            Self::Gzip(bytes) => {
                let mut json = Vec::new();
                GzDecoder::new(bytes.as_slice()).take(MAX_UNPACKED_BYTES).read_to_end(&mut json)?;
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
        assert!(error.bytes > MAX_STORED_BYTES);
    }

    #[test]
    fn a_damaged_result_is_an_error() {
        assert!(StoredResult::Gzip(vec![1, 2, 3]).unpack().is_err());
        assert!(StoredResult::Json("{}".into()).unpack().is_err());
    }
}
