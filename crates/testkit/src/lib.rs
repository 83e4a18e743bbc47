//! Tiny random models, golden files and tolerance checks for tests.
