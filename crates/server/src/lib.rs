//! The HTTP server: A1111's interface, our own, the page, and what keeps them safe.
//!
//! Handlers are thin: they read a body with `impasto-api`, ask the engine, and write an answer. [`App`] holds what they
//! share; [`serve`] listens; [`openapi`] describes the interfaces without needing an engine.

mod answer;
mod app;
mod auth;
mod beginnings;
mod body;
mod clock;
mod compatibility;
mod compose;
mod disk;
mod error;
mod file_names;
mod guard;
mod listen;
mod log;
mod metrics;
mod routes;
mod runs;
mod save;
mod sent;
mod styles;
mod subpath;
mod tls;

pub use app::App;
pub use compatibility::compatibility_page;
pub use error::ServerError;
pub use listen::serve;
pub use routes::openapi;
