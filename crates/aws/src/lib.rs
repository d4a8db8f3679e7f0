//! What both functions need of AWS: the table, the secrets, telemetry.
//!
//! The rules are the `model` crate's; what is here carries them out and decides nothing.

pub mod clients;
pub mod clock;
mod expression;
pub mod function;
pub mod http;
pub mod secrets;
pub mod table;
pub mod telemetry;
