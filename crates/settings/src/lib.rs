//! The one table of settings and what is derived from it.
