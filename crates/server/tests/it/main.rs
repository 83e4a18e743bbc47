//! The server from outside: routes on a real engine with a kilobyte-sized model on the reference backend.

// Bodies of clients that send every field.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod chance;
mod clients;
mod control;
mod docs;
mod extras;
mod fields;
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
mod scripts;
mod serving;
mod setup;
mod tasks;
mod tokens;
mod txt2img;
