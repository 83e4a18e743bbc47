//! The program as users run it: its arguments, its output, its files, its exit codes.

mod doctor;
mod models;
mod parity;
mod program;
mod serve;
mod txt2img;
mod usage;
