//! The HTTP server: routes, authentication, events, embedded page.
