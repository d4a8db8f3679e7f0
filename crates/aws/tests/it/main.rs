//! The table and the secrets, against an embedded DynamoDB that is made from the template.

#![cfg(test)]

mod equal_to_rules;
mod forms;
mod full;
mod given;
mod one_call;
mod queries;
mod races;
mod secrets;
mod tls;
mod world;
