//! Requests with a script: the script begins with the client's request, says what it wants painted, and is handed what the engine
//! made of it, until it is done or somebody interrupts.

use crate::answer::{Asked, Output, Results, failure_of, wait_for};
use crate::app::{App, BegunRun};
use crate::beginnings::enlarge;
use crate::disk::not_made;
use crate::error::Failure;
use impasto_api::{ApiError, Txt2ImgRequest};
use impasto_domain::{AsideKind, Bitmap, FromPicture, GenerationRequest, RefinedPass, Refiner, Style};
use impasto_engine::{EngineError, FileKind, JobStatus, PLAIN_UPSCALERS, Watcher};
use impasto_imaging::{Lettering, Rgb, parse_color};
use impasto_scripts::{
    Answer, Ask, Base, Composition, Context, Etas, Look, Names, Outcome, Painted, Piece, Script, ScriptError,
    Tab, Wording,
};
use impasto_settings::Options;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// Time until a request that found the queue full, in the middle of a script, is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// Most bytes of a font's file.
const MOST_FONT_BYTES: u64 = 32 << 20;

/// The script that a request chooses, if it does.
pub(crate) fn script_of(request: &Txt2ImgRequest, tab: Tab) -> Result<Option<&'static Script>, Failure> {
    let name = request.script_name.as_deref().filter(|name| !name.is_empty());
    Ok(name.map(|name| Script::find(name, tab)).transpose()?)
}

/// Names as scripts look them up.
pub(crate) struct World<'a>(pub(crate) &'a App);

impl Names for World<'_> {
    fn model(&self, name: &str) -> Option<String> {
        let found = self.0.find_model(name).or_else(|| self.0.engine().find_closest_model(name));
        found.map(|model| model.title.clone())
    }

    fn models(&self) -> Vec<String> {
        self.0.engine().models().iter().map(|model| model.title.clone()).collect()
    }

    fn upscalers(&self) -> Vec<String> {
        let networks = self.0.engine().library().files(FileKind::Upscaler);
        let networks = networks.iter().map(|file| file.name.clone());
        PLAIN_UPSCALERS.map(str::to_owned).into_iter().chain(networks).collect()
    }

    fn vaes(&self) -> Vec<String> {
        self.0.engine().library().files(FileKind::Vae).iter().map(|file| file.file_name.clone()).collect()
    }
}

/// What a request with a script is read with, so that the script sees its prompts as they were written.
pub(crate) fn unworded(request: &Txt2ImgRequest, options: &Options) -> (Txt2ImgRequest, Options) {
    let request = Txt2ImgRequest { script_name: None, styles: None, ..request.clone() };
    (request, Options { enable_prompt_comments: false, ..options.clone() })
}

/// Begins a script. `generation` is the request, as [`unworded`] reads it.
pub(crate) fn begin(
    app: &App,
    (script, tab): (&'static Script, Tab),
    request: &Txt2ImgRequest,
    options: &Options,
    styles: Vec<Style>,
    mut generation: GenerationRequest,
) -> Result<Box<dyn Composition>, Failure> {
    let model = match &generation.model {
        Some(name) => app.engine().find_model(name),
        None => app.engine().default_model(),
    };
    let model = model.map(|model| app.engine().open_model(&model)).transpose()?;
    let native = model.and_then(|model| model.native_size).unwrap_or((512, 512));
    generation.width.get_or_insert(native.0);
    generation.height.get_or_insert(native.1);
    let limits = *app.engine().limits();
    let wording = Arc::new(Wording {
        styles,
        drops_comments: options.enable_prompt_comments,
        most_bytes: limits.max_prompt_bytes,
    });
    let refiner = Refiner {
        checkpoint: generation.refiner.as_ref().map(|own| own.checkpoint.clone()).unwrap_or_default(),
        switch_at: request.refiner_switch_at,
        by_steps: options.refiner_switch_by_sample_steps,
        pass: RefinedPass::from_exact_name(&options.hires_fix_refiner_pass).unwrap_or_default(),
    };
    let base = Base {
        request: generation,
        styles: request.styles.clone().unwrap_or_default(),
        wording: wording.clone(),
        etas: Etas { asked: request.eta, ddim: options.eta_ddim, ancestral: options.eta_ancestral },
        refiner,
        saved: true,
    };
    let random = RandomState::new();
    let mut drawn = 0_u64;
    let mut draw = || {
        drawn += 1;
        random.hash_one(drawn)
    };
    let mut context = Context {
        tab,
        limits,
        names: &World(app),
        draw: &mut draw,
        look: look(app, options)?,
        styles: &wording.styles,
        overlay: options.overlay_inpaint,
    };
    Ok(script.begin(&request.script_args, base, &mut context)?)
}

/// How the options ask for grids to be made.
fn look(app: &App, options: &Options) -> Result<Look, Failure> {
    let color = |text: &str, usual: u8| parse_color(text).unwrap_or([usual; 3]);
    let lettering = match options.font.as_str() {
        "" => Lettering::roboto().map_err(not_made)?,
        path => {
            let file = app.settings().data_dir.join(path);
            let unusable = |problem: String| {
                ApiError::exception(
                    "OSError",
                    format!("the font of the option font, {path}, cannot be used: {problem}"),
                )
            };
            let bytes = std::fs::metadata(&file).map_err(|error| unusable(error.to_string()))?.len();
            if bytes > MOST_FONT_BYTES {
                return Err(unusable(format!("it is larger than {MOST_FONT_BYTES} bytes")).into());
            }
            let bytes = std::fs::read(&file).map_err(|error| unusable(error.to_string()))?;
            Lettering::from_file(bytes).map_err(|error| unusable(error.to_string()))?
        }
    };
    Ok(Look {
        return_grid: options.return_grid,
        only_if_multiple: options.grid_only_if_multiple,
        n_rows: options.n_rows,
        prevent_empty_spots: options.grid_prevent_empty_spots,
        most_megapixels: options.img_max_size_mp,
        colors: [
            color(&options.grid_text_active_color, 0),
            color(&options.grid_text_inactive_color, 153),
            color(&options.grid_background_color, 255),
        ],
        lettering,
    })
}

/// Paints what a request asks for, with its script if it has begun one, under the name that its client gave it.
pub(crate) async fn paint(
    app: &App,
    generation: Arc<GenerationRequest>,
    composition: Option<Box<dyn Composition>>,
    asked: &Asked,
    options: &Options,
    name: Option<&str>,
) -> Result<Results, Failure> {
    if let Some(composition) = composition {
        return run(app, composition, &generation, options, name).await;
    }
    let generation = enlarge(app, Arc::unwrap_or_clone(generation), options).await?;
    let watcher = app.submit_generation(generation, options, true).await?;
    let status = wait_for(app, watcher, name).await?;
    Ok(Results::of_job(&status, asked, options)?)
}

/// Drives a script to its end, under the name that the client gave its request. All ends when the client hangs up.
async fn run(
    app: &App,
    composition: Box<dyn Composition>,
    request: &Arc<GenerationRequest>,
    options: &Options,
    name: Option<&str>,
) -> Result<Results, Failure> {
    let run = app.begin_run(name);
    run.expect(composition.batches());
    let mut driver =
        Driver { app, run, options, jobs: Vec::new(), beside: HashMap::new(), comments: Vec::new() };
    let mut composition = composition;
    loop {
        let (back, ask) = blocking(composition, |composition| Ok(composition.next()?)).await?;
        composition = back;
        let Some(answer) = driver.answer(ask).await? else { break };
        (composition, ()) = blocking(composition, |composition| Ok(composition.take(answer)?)).await?;
        if driver.run.is_interrupted() {
            break;
        }
    }
    let (_, made) = blocking(composition, |composition| Ok(composition.finish()?)).await?;
    if made.pieces.is_empty()
        && let Some(problem) = made.comments.first()
    {
        return Err(ApiError::exception("RuntimeError", problem.clone()).into());
    }
    let index_of_first_image = made.index_of_first_image();
    let grid = |piece: &Piece| matches!(piece.kind, impasto_scripts::PieceKind::Grid(_));
    let pictures = made.pieces.iter().filter(|piece| !grid(piece)).map(|piece| piece.origin).collect();
    let comments = driver.comments.iter().chain(&made.comments).cloned().collect();
    Ok(Results {
        request: request.clone(),
        outputs: made.pieces.into_iter().map(|piece| driver.output(piece)).collect(),
        jobs: driver.jobs,
        pictures,
        index_of_first_image,
        comments,
    })
}

/// Lets a composition work where it may take its time.
async fn blocking<T: Send + 'static>(
    mut composition: Box<dyn Composition>,
    work: impl FnOnce(&mut dyn Composition) -> Result<T, Failure> + Send + 'static,
) -> Result<(Box<dyn Composition>, T), Failure> {
    tokio::task::spawn_blocking(move || {
        let made = work(&mut *composition)?;
        Ok((composition, made))
    })
    .await?
}

/// What belongs to a picture beside its pixels: whether it was ended early, and pictures beside it.
type Beside = (bool, Arc<[(AsideKind, Bitmap)]>);

struct Driver<'a> {
    app: &'a App,
    run: BegunRun,
    options: &'a Options,
    /// The jobs so far, without their pictures.
    jobs: Vec<Arc<JobStatus>>,
    beside: HashMap<(usize, u32), Beside>,
    comments: Vec<String>,
}

impl Driver<'_> {
    /// Does what is asked for; nothing when there is nothing more, or when it was interrupted.
    async fn answer(&mut self, ask: Ask) -> Result<Option<Answer>, Failure> {
        match ask {
            Ask::Nothing => Ok(None),
            Ask::Generate(requests) => {
                let batches = requests.iter().map(|request| request.batch_count).sum();
                let mut watchers = Vec::with_capacity(requests.len());
                for request in requests {
                    watchers.push(self.submit(request).await?);
                    let ids = watchers.iter().flatten().map(Watcher::id).collect();
                    self.run.work_on(ids);
                }
                let mut outcomes = Vec::with_capacity(watchers.len());
                for watcher in watchers {
                    outcomes.push(match watcher {
                        Ok(watcher) => {
                            let status = watcher.finished().await;
                            self.keep(&status)?
                        }
                        Err(problem) => self.missing(problem),
                    });
                }
                self.run.count(batches);
                Ok(Some(Answer::Generated(outcomes)))
            }
            Ask::Upscale { picture, upscaler, factor } => {
                let enlarger = self.app.engine().enlarger().clone();
                let tiles = [self.options.esrgan_tile, self.options.esrgan_tile_overlap];
                let run = self.run.shared();
                let work = move || {
                    enlarger.enlarge(&upscaler, &picture, factor, tiles, &mut |_, _| !run.is_interrupted())
                };
                match tokio::task::spawn_blocking(work).await? {
                    Ok(picture) => Ok(Some(Answer::Upscaled(picture))),
                    Err(EngineError::Cancelled) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Hands a request to the engine. What is wrong with the first is told at once; one of the others leaves a gap.
    async fn submit(&self, request: GenerationRequest) -> Result<Result<Watcher, String>, Failure> {
        let request = enlarge(self.app, request, self.options).await?;
        loop {
            match self.app.submit_generation(request.clone(), self.options, true).await {
                Ok(watcher) => return Ok(Ok(watcher)),
                Err(failure) if self.jobs.is_empty() => return Err(failure),
                Err(failure) if failure.0.status() == 429 && !self.run.is_interrupted() => {
                    tokio::time::sleep(RETRY).await;
                }
                Err(failure) => return Ok(Err(failure.0.to_string())),
            }
        }
    }

    /// Keeps what a job was, and hands on its pictures.
    fn keep(&mut self, status: &JobStatus) -> Result<Outcome, ApiError> {
        let mut outcome =
            Outcome { stopped: status.interrupted, problem: failure_of(status), ..Outcome::default() };
        for image in &status.images {
            let picture = Rgb::new(image.picture.width, image.picture.height, image.picture.rgb.clone());
            outcome.pictures.push(Painted {
                picture: Arc::new(picture.map_err(not_made)?),
                infotext: image.infotext.clone(),
                index: image.index,
            });
            self.beside.insert((self.jobs.len(), image.index), (image.is_early, image.asides.clone()));
        }
        for comment in &*status.comments {
            if !self.comments.contains(comment) {
                self.comments.push(comment.clone());
            }
        }
        self.jobs.push(Arc::new(without_pictures(status)));
        Ok(outcome)
    }

    /// The outcome of a request that the engine would not take.
    fn missing(&mut self, problem: String) -> Outcome {
        if let Some(last) = self.jobs.last().cloned() {
            self.jobs.push(last);
        }
        Outcome { problem: Some(problem), ..Outcome::default() }
    }

    fn output(&self, piece: Piece) -> Output {
        let painted = piece.kind == impasto_scripts::PieceKind::Painted;
        let (is_early, asides) =
            self.beside.get(&piece.origin).filter(|_| painted).cloned().unwrap_or_default();
        let Piece { picture, infotext, origin, kind, saved, shown } = piece;
        Output { picture, infotext, origin, kind, saved, shown, is_early, asides }
    }
}

/// What a job was, without what takes much memory.
fn without_pictures(status: &JobStatus) -> JobStatus {
    let mut request = (*status.request).clone();
    request.from_picture = request.from_picture.map(|source| {
        let hash = source.hash.clone();
        Arc::new(FromPicture { images: Vec::new(), inpainting: None, hash, ..*source })
    });
    JobStatus { request: Arc::new(request), images: Vec::new(), preview: None, ..status.clone() }
}

impl From<ScriptError> for Failure {
    fn from(error: ScriptError) -> Self {
        let message = error.to_string();
        Self(match error {
            ScriptError::Argument { value, .. } => {
                ApiError::field(&["script_args"], message, "value_error", Some(&*value))
            }
            ScriptError::NotFound(_) | ScriptError::NotOffered { .. } => ApiError::http(422, message),
            ScriptError::Request(error) => error.into(),
            ScriptError::GridTooLarge { .. } => ApiError::exception("AssertionError", message),
            ScriptError::Unusable(_) | ScriptError::Imaging(_) => {
                ApiError::exception("RuntimeError", message)
            }
        })
    }
}
