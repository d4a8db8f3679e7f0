//! What both functions need: the table, the secrets, HTTP to others, telemetry.
//!
//! The rules are the `model` crate's; what is here carries them out and decides nothing.

pub mod clients;
pub mod clock;
mod expression;
pub mod function;
pub mod http;
pub mod metrics;
pub mod outgoing;
pub mod secrets;
pub mod table;
pub mod telemetry;
pub mod tls;
