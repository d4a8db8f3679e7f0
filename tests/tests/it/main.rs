//! The stories, in one program: it links once.

#![cfg(test)]

mod callbacks;
mod conformance;
mod crashes;
mod crashes_later;
mod deliveries;
mod deliveries_events;
mod deliveries_killed;
mod deliveries_later;
mod deliveries_once;
mod deliveries_outcomes;
mod deliveries_refused;
mod deliveries_silence;
mod deployed;
mod events;
mod examples;
mod examples_aws;
mod examples_workflow;
mod failures;
mod forgery;
mod happy;
mod http;
mod http_asking;
mod http_reading;
mod http_refusals;
mod idempotency;
mod insights;
mod killed;
mod limits;
mod memory;
mod metrics;
mod openapi;
mod payloads;
mod payloads_results;
mod polling;
mod promises;
mod rotation;
mod secrets_missing;
mod security;
mod silence;
mod table_down;
mod viewing;
mod viewing_browser;
