//! request λ: takes requests by HTTP and from other AWS services, asks LogRocket, answers readers, and sweeps the
//! work that is due: POSTs not confirmed, callbacks that did not come, failures to be retried, waits to be ended.

pub mod app;
mod ask;
pub mod event;
mod handler;
mod http;
pub mod logrocket;
mod pages;
mod post;
mod sources;
mod sweep;

pub use handler::handle;
pub use http::ListQuery;
