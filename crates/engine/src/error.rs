//! What the engine may answer instead of pictures.

use impasto_domain::RequestError;

/// An error of the engine.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// A field of the request makes no sense or goes beyond a limit.
    #[error(transparent)]
    Invalid(#[from] RequestError),
    /// No model answers to the name.
    #[error("model {0:?} not found; see the list of models, or refresh it if the file is new")]
    UnknownModel(String),
    /// No upscaler has the name.
    #[error("could not find upscaler named {0}")]
    UnknownUpscaler(String),
    /// There is no model at all.
    #[error("there is no model: put a checkpoint into the models/Stable-diffusion folder of the data root")]
    NoModel,
    /// The model's file cannot be used.
    #[error("model {name:?} cannot be used: {problem}")]
    BadModel {
        /// The model's title.
        name: String,
        /// What is wrong with the file.
        problem: String,
    },
    /// The pictures would not fit into memory.
    #[error(
        "{images} pictures of {width}x{height} need about {needed_mib} MiB of memory, {available_mib} MiB are free; \
             ask for smaller or fewer pictures"
    )]
    TooLarge {
        /// Pictures asked for.
        images: u32,
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Memory the job would take, in MiB.
        needed_mib: u64,
        /// Memory that is free, in MiB.
        available_mib: u64,
    },
    /// Too many jobs wait already.
    #[error("the queue is full: {limit} jobs are waiting; try again later")]
    QueueFull {
        /// Most jobs that may wait.
        limit: usize,
    },
    /// Whoever asked wants it no more.
    #[error("cancelled")]
    Cancelled,
    /// A job came to an error.
    #[error("{0}")]
    Failed(String),
    /// The engine is shutting down or its thread has ended.
    #[error("the engine has stopped")]
    Stopped,
    /// The engine could not be started.
    #[error("cannot start the engine: {0}")]
    Start(String),
}
