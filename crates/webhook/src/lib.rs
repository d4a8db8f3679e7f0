//! webhook λ: takes LogRocket's callback into the table, and delivers what came of the requests. It never says 200 to
//! what was not stored.

mod app;
mod callback;
mod deliver;
pub mod destinations;
pub mod event;
mod handler;
mod sample;
mod stream;
mod sweep;

pub use app::App;
pub use callback::Claim;
pub use handler::handle;
