//! The reference backend: every operation by the obvious loops.
