//! The rules of a highlights request, as pure functions.
//!
//! Nothing here does I/O, reads a clock, draws a random number or knows AWS: times, ids and jitter come in
//! as arguments. The functions that run these rules live in the `aws`, `request` and `webhook` crates; the
//! words are those of ARCHITECTURE.md.

pub mod address;
pub mod answer;
pub mod budget;
pub mod callback;
pub mod delivery;
pub mod destination;
mod fields;
pub mod id;
mod json;
pub mod page;
pub mod payload;
pub mod problem;
pub mod record;
pub mod render;
pub mod request;
pub mod result;
pub mod rules;
pub mod secrets;
pub mod settings;
pub mod time;
pub mod token;
pub mod view;
pub mod view_link;
pub mod web;
