//! Wire types of the HTTP interfaces.
