//! webhook λ: takes LogRocket's callback into the table. It never says 200 to what was not stored.

mod app;
mod callback;
mod handler;

pub use app::App;
pub use handler::handle;
