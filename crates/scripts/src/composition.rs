//! What a script is once it has begun: a state machine that says which requests it wants painted and makes one answer of what
//! comes back. It never waits and paints nothing itself.

use crate::ScriptError;
use crate::base::Look;
use impasto_domain::GenerationRequest;
use impasto_imaging::Rgb;
use std::fmt::Debug;
use std::sync::Arc;

/// What a composition wants next.
#[derive(Debug)]
pub enum Ask {
    /// Pictures of these requests, which may run side by side.
    Generate(Vec<GenerationRequest>),
    /// A picture enlarged.
    Upscale {
        /// The picture.
        picture: Rgb,
        /// The upscaler's name.
        upscaler: String,
        /// How much larger.
        factor: f64,
    },
    /// Nothing more: it can be finished.
    Nothing,
}

/// What became of it.
#[derive(Debug)]
pub enum Answer {
    /// One outcome a request, in their order.
    Generated(Vec<Outcome>),
    /// The enlarged picture.
    Upscaled(Rgb),
}

/// What became of one request.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Its pictures; fewer than it asked for if it was ended early.
    pub pictures: Vec<Painted>,
    /// Whether it was ended early.
    pub stopped: bool,
    /// Why there are none, if it failed.
    pub problem: Option<String>,
}

/// One painted picture.
#[derive(Debug, Clone)]
pub struct Painted {
    /// Its pixels.
    pub picture: Arc<Rgb>,
    /// Its settings.
    pub infotext: String,
    /// Its number within the request.
    pub index: u32,
}

/// A picture of the answer, and of which painted one it tells the settings.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Its pixels.
    pub picture: Arc<Rgb>,
    /// Its settings.
    pub infotext: String,
    /// Of how many-th request, counted over the whole composition, and of which of its pictures.
    pub origin: (usize, u32),
    /// How it came about.
    pub kind: PieceKind,
    /// Whether it is to be saved, where saving is asked for.
    pub saved: bool,
    /// Whether the answer has it.
    pub shown: bool,
}

/// How a picture came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// As it was painted.
    Painted,
    /// One picture made of several.
    Joined,
    /// Several pictures side by side; of files, the name begins so.
    Grid(&'static str),
}

/// What a composition came to.
#[derive(Debug, Default)]
pub struct Made {
    /// Pictures, in the order of the answer.
    pub pieces: Vec<Piece>,
    /// What is to be said of it.
    pub comments: Vec<String>,
}

impl Made {
    /// Place in the answer of the first picture that is no grid.
    pub fn index_of_first_image(&self) -> u32 {
        let is_grid = |piece: &&Piece| piece.shown && matches!(piece.kind, PieceKind::Grid(_));
        self.pieces.iter().take_while(is_grid).count().min(1) as u32
    }
}

/// A script at work. `next` and `take` go in turns until there is nothing more to ask, or until it is to end with what there is.
pub trait Composition: Send + Debug {
    /// Batches that it will have painted when all is done.
    fn batches(&self) -> u32;
    /// What is wanted next.
    fn next(&mut self) -> Result<Ask, ScriptError>;
    /// Takes what was asked for last.
    fn take(&mut self, answer: Answer) -> Result<(), ScriptError>;
    /// What it came to by now.
    fn finish(&mut self) -> Result<Made, ScriptError>;
}

/// A painted picture, and of which request and picture it is.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) painted: Painted,
    pub(crate) request: usize,
}

impl Placed {
    /// Pictures of an outcome that is the `request`-th of its composition.
    pub(crate) fn all(outcome: Outcome, request: usize) -> Vec<Self> {
        outcome.pictures.into_iter().map(|painted| Self { painted, request }).collect()
    }

    fn origin(&self) -> (usize, u32) {
        (self.request, self.painted.index)
    }

    /// The picture as a part of the answer.
    pub(crate) fn piece(&self) -> Piece {
        Piece {
            picture: self.painted.picture.clone(),
            infotext: self.painted.infotext.clone(),
            origin: self.origin(),
            kind: PieceKind::Painted,
            saved: true,
            shown: true,
        }
    }

    /// A picture that was made of several, with the settings of this one.
    pub(crate) fn with(&self, picture: Rgb, kind: PieceKind) -> Piece {
        Piece { picture: Arc::new(picture), kind, ..self.piece() }
    }
}

/// Puts the pictures that are shown side by side before them, unless they are too large together.
pub(crate) fn put_grid_first(pieces: &mut Vec<Piece>, look: &Look, n_rows: i64) -> Result<(), ScriptError> {
    let shown: Vec<&Rgb> = pieces.iter().filter(|piece| piece.shown).map(|piece| &*piece.picture).collect();
    let (Some(first), Some(grid)) = (pieces.first(), look.grid_if_small(&shown, n_rows, 1)?) else {
        return Ok(());
    };
    let kind = PieceKind::Grid("grid");
    let grid = Piece { picture: Arc::new(grid), kind, shown: look.return_grid, ..first.clone() };
    pieces.insert(0, grid);
    Ok(())
}

/// The outcomes of an answer; none of one that is about something else.
pub(crate) fn outcomes(answer: Answer) -> Vec<Outcome> {
    match answer {
        Answer::Generated(outcomes) => outcomes,
        Answer::Upscaled(_) => Vec::new(),
    }
}
