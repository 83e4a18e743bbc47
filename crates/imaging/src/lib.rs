//! Pictures: PNG with metadata, pixels, resizing.
