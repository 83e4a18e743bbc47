//! The server from outside: routes on a real engine with a kilobyte-sized model on the reference backend.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod control;
mod docs;
mod extras;
mod files;
mod health;
mod hostile_pictures;
mod img2img;
mod jobs;
mod lists;
mod models;
mod networks;
mod options;
mod page;
mod png_info;
mod progress;
mod protection;
mod serving;
mod setup;
mod tasks;
mod tokens;
mod txt2img;
