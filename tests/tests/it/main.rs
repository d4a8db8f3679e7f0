//! The stories, in one program: it links once.

#![cfg(test)]

mod callbacks;
mod crashes;
mod crashes_later;
mod deliveries;
mod events;
mod failures;
mod forgery;
mod happy;
mod http;
mod http_asking;
mod http_reading;
mod http_refusals;
mod idempotency;
mod limits;
mod polling;
mod promises;
mod rotation;
mod silence;
mod table_down;
