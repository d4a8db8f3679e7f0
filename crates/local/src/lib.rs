mod choice;
mod client;
pub mod destinations;
pub mod gateway;
pub mod hold;
pub mod lambda;
pub mod localhost;
pub mod logrocket;
pub mod proxy;
pub mod secrets;
mod serve;
pub mod stream;
pub mod table;
pub mod template;

pub use client::client;
