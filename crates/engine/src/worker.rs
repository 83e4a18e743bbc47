//! The engine's thread: the step loop over all jobs at work.
//!
//! Jobs at work take turns. A turn asks the images of the job's batch what they need and answers it: one UNet call for as
//! many of them as fit, or one decoded picture. A job whose model is still being loaded is passed over. Between two turns
//! the thread listens.

use crate::denoise::calls;
use crate::enlarge::Enlarger;
use crate::handle::Command;
use crate::job::{Image, Job, ModelKey};
use crate::preview::enlarged;
use crate::resident::{Resident, Residents, edges};
use crate::shared::Shared;
use crate::small::SmallNetworks;
use crate::{EngineError, Stop};
use impasto_diffusion::{
    Answer, DecodeQuery, DenoiseQuery, DenoiseRow, EncodeQuery, Picture, RowOutput, Step, UpscaleQuery,
};
use impasto_domain::Decoding;
use impasto_imaging::Rgb;
use impasto_tensor::{Array, Backend};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// Most jobs that take turns. More would only make each of them late.
const ACTIVE_JOBS: usize = 4;
/// Latent pixels of all rows of one UNet call together, at most, unless one image has more: a bound on memory.
const CALL_PIXELS: usize = 8 * 64 * 64;
/// Rows of one image, unless its prompt has several parts: with and without the prompt.
const ROWS_PER_IMAGE: usize = 2;
/// How long the thread rests when every job waits for its model.
const LOADING_PAUSE: Duration = Duration::from_millis(2);
/// Previews of a job are at least this far apart.
const PREVIEW_PAUSE: Duration = Duration::from_millis(150);
/// A preview is decoded, not just mapped, when that takes no more than this share of the time since the last.
const PREVIEW_SHARE: f64 = 0.3;
/// Latents up to this many pixels are decoded for their first preview, before the time it takes is known.
const PREVIEW_PIXELS: usize = 32 * 32;

/// The state of the engine's thread.
pub(crate) struct Worker<B: Backend> {
    residents: Residents<B>,
    enlarger: Enlarger,
    small: SmallNetworks<B>,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    queued: VecDeque<Job>,
    active: VecDeque<Job>,
    /// Seconds that decoding a latent pixel took last time.
    decode_seconds: Option<f64>,
    /// Set when the engine shuts down: what runs may go on until then.
    deadline: Option<Instant>,
}

impl<B: Backend> Worker<B> {
    /// A worker without jobs.
    pub(crate) fn new(
        residents: Residents<B>,
        enlarger: Enlarger,
        small: SmallNetworks<B>,
        shared: Arc<Shared>,
        commands: Receiver<Command>,
    ) -> Self {
        Self {
            residents,
            enlarger,
            small,
            shared,
            commands,
            queued: VecDeque::new(),
            active: VecDeque::new(),
            decode_seconds: None,
            deadline: None,
        }
    }

    /// Works until shut down.
    pub(crate) fn run(mut self) {
        while self.take_commands() {
            self.drop_abandoned();
            self.admit();
            self.turn();
            self.report();
        }
        for job in self.queued.drain(..).chain(self.active.drain(..)) {
            job.cancel(Some("the server was shut down".to_owned()));
        }
        self.report();
    }

    /// Tells how many jobs and models there are.
    fn report(&self) {
        self.shared.count(self.queued.len(), self.active.len(), self.residents.size());
    }

    /// Takes what was asked meanwhile, waiting for it when there is nothing to do; `false` when it is time to end.
    fn take_commands(&mut self) -> bool {
        loop {
            let idle = self.active.is_empty() && self.queued.is_empty();
            if self.deadline.is_some_and(|deadline| idle || Instant::now() >= deadline) {
                return false;
            }
            let command = if idle {
                self.commands.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.commands.try_recv()
            };
            match command {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(job) => self.queued.push_back(*job),
            Command::Stop(id, how) => {
                if let Some(at) = self.queued.iter().position(|job| job.id == id) {
                    self.stop_queued(at, how);
                } else if let Some(at) = self.active.iter().position(|job| job.id == id) {
                    self.stop_active(at, how);
                }
            }
            Command::Load(entry, precision) => {
                let key = ModelKey::new(&entry, precision);
                if let Err(error) = self.residents.get(&key, &entry, &in_use(&self.active)) {
                    tracing::warn!(model = %entry.title, %error, "cannot load the model");
                }
            }
            Command::Unload => {
                self.residents.unload(&in_use(&self.active));
                // Without jobs, the thread goes on to wait.
                self.report();
            }
            Command::Shutdown(deadline) => {
                self.deadline = Some(deadline);
                for job in self.queued.drain(..) {
                    job.cancel(Some("the server was shut down before it began".to_owned()));
                }
            }
        }
    }

    fn stop_queued(&mut self, at: usize, how: Stop) {
        // Skipping a batch that has not begun is to begin with the next: nothing to do yet.
        if how != Stop::Skip
            && let Some(mut job) = self.queued.remove(at)
        {
            job.hurry(how);
            if how == Stop::Cancel { job.cancel(None) } else { job.finish(Ok(())) }
        }
    }

    fn stop_active(&mut self, at: usize, how: Stop) {
        if how != Stop::Cancel {
            self.active[at].hurry(how);
        } else if let Some(job) = self.active.remove(at) {
            job.cancel(None);
        }
    }

    fn drop_abandoned(&mut self) {
        for jobs in [&mut self.queued, &mut self.active] {
            jobs.retain(|job| {
                if job.is_abandoned() {
                    tracing::info!(job = %job.id, "cancelled, since nobody waits for it");
                    job.cancel(Some("nobody was waiting for it".to_owned()));
                }
                !job.is_abandoned()
            });
        }
    }

    /// Lets queued jobs take turns, in order, as long as their models can be in memory together.
    fn admit(&mut self) {
        while self.active.len() < ACTIVE_JOBS {
            let Some(next) = self.queued.front() else { break };
            if !self.residents.fit_together(self.active.iter().chain([next])) {
                break;
            }
            if let Some(mut job) = self.queued.pop_front() {
                job.begin();
                self.active.push_back(job);
            }
        }
        for (position, job) in self.queued.iter_mut().enumerate() {
            job.set_position(position + self.active.len());
        }
    }

    /// Gives its turn to the next job that can use it.
    fn turn(&mut self) {
        for _ in 0..self.active.len() {
            let Some(job) = self.active.pop_front() else { return };
            if self.turn_of(job) {
                return;
            }
        }
        if !self.active.is_empty() {
            std::thread::sleep(LOADING_PAUSE);
        }
    }

    /// A job's turn; `false` when it has to wait for its model.
    fn turn_of(&mut self, mut job: Job) -> bool {
        let in_use = in_use(&self.active);
        let began = Instant::now();
        let residents = &mut self.residents;
        let decode_seconds = &mut self.decode_seconds;
        let (enlarger, small) = (&self.enlarger, &mut self.small);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if job.batch.is_empty() && !job.begin_batch().map_err(EngineError::Failed)? {
                return Ok(Progress::Finished);
            }
            job.choose_model();
            let hashed = residents.are_hashed(&job);
            let wanted = job.model();
            let (key, entry) = (wanted.key.clone(), wanted.entry.clone());
            let Some(model) = residents.get(&key, &entry, &in_use)? else { return Ok(Progress::Waiting) };
            job.loaded();
            Turn { model, hashed, decode_seconds, enlarger, small }.take(&mut job)
        }));
        let outcome = outcome.unwrap_or_else(|panic| {
            tracing::error!(job = %job.id, "a step panicked");
            Err(EngineError::Failed(format!("internal error: {}", panic_message(&*panic))))
        });
        match outcome {
            Ok(Progress::Waiting) => {
                self.active.push_back(job);
                return false;
            }
            Ok(Progress::Finished) => job.finish(Ok(())),
            Ok(Progress::Made { steps, images }) => {
                self.shared.record(steps, images, began.elapsed());
                job.publish_progress();
                self.active.push_back(job);
            }
            Err(error) => {
                tracing::warn!(job = %job.id, %error, "a job failed");
                job.finish(Err(error));
            }
        }
        true
    }
}

fn in_use(active: &VecDeque<Job>) -> Vec<&ModelKey> {
    active.iter().map(|job| &job.model().key).collect()
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a step panicked")
}

/// What a turn brought.
enum Progress {
    /// Nothing: the model, or the hash that its pictures will carry, is not there yet.
    Waiting,
    /// Steps made or pictures decoded.
    Made { steps: u64, images: u64 },
    /// The job's end.
    Finished,
}

/// One turn of one job.
struct Turn<'a, B: Backend> {
    model: &'a mut Resident<B>,
    /// Whether the hashes of all the job's models are known that will be.
    hashed: bool,
    decode_seconds: &'a mut Option<f64>,
    enlarger: &'a Enlarger,
    small: &'a mut SmallNetworks<B>,
}

impl<B: Backend> Turn<'_, B> {
    fn take(&mut self, job: &mut Job) -> Result<Progress, EngineError> {
        let mut denoise = Vec::new();
        for at in farthest_behind(job) {
            match self.next_heavy_step(job, at)? {
                Step::Denoise(query) => denoise.push((at, query)),
                Step::Decode(_) if denoise.is_empty() && !self.hashed => {
                    return Ok(Progress::Waiting);
                }
                // First of all, so that the images of a batch go on together.
                Step::EncodeImage(query) => {
                    let latent = self.encode_image(job, &query)?;
                    job.batch[at].trajectory.answer(Answer::Encoded(latent)).map_err(failed)?;
                    return Ok(Progress::Made { steps: 0, images: 0 });
                }
                Step::Upscale(query) => {
                    let enlarged = self.enlarge(query)?;
                    job.batch[at].trajectory.answer(Answer::Upscaled(enlarged)).map_err(failed)?;
                    return Ok(Progress::Made { steps: 0, images: 0 });
                }
                Step::Decode(query) if denoise.is_empty() => {
                    self.decode(job, at, &query)?;
                    return Ok(Progress::Made { steps: 0, images: 1 });
                }
                Step::Decode(_) | Step::EncodeText(_) | Step::Done(_) => {}
            }
        }
        self.denoise(job, &denoise)?;
        Ok(Progress::Made { steps: denoise.len() as u64, images: 0 })
    }

    /// The next step of an image that takes the UNet or the decoder; text is encoded on the way.
    fn next_heavy_step(&mut self, job: &mut Job, at: usize) -> Result<Step, EngineError> {
        let trajectory = &mut job.batch[at].trajectory;
        loop {
            let step = trajectory.next().map_err(failed)?;
            let Step::EncodeText(query) = &step else { return Ok(step) };
            let vectors = self.model.encode(query).map_err(failed)?;
            trajectory.answer(Answer::Text((*vectors).clone())).map_err(failed)?;
        }
    }

    /// Answers all the queries: with one call, or with several where some rows take the whole UNet and others a part, or
    /// where there are many.
    fn denoise(&mut self, job: &mut Job, queries: &[(usize, DenoiseQuery)]) -> Result<(), EngineError> {
        let rows: Vec<&DenoiseRow> = queries.iter().flat_map(|(_, query)| &query.rows).collect();
        let mut outputs: Vec<Option<RowOutput>> = vec![None; rows.len()];
        for call in calls(&rows, rows_of_a_call(job)) {
            let own: Vec<&DenoiseRow> = call.iter().map(|&at| rows[at]).collect();
            for (at, output) in call.into_iter().zip(self.model.denoise(&own).map_err(failed)?) {
                outputs[at] = Some(output);
            }
        }
        let mut outputs = outputs.into_iter().flatten();
        for (at, query) in queries {
            let answer = Answer::Output(outputs.by_ref().take(query.rows.len()).collect());
            job.batch[*at].trajectory.answer(answer).map_err(failed)?;
        }
        self.preview(job);
        Ok(())
    }

    /// The picture of a first pass made larger by a network.
    fn enlarge(&self, query: UpscaleQuery) -> Result<Picture, EngineError> {
        let Picture { width, height, rgb } = query.picture;
        let picture = Rgb::new(width, height, rgb).map_err(failed)?;
        let factor =
            f64::max(f64::from(query.size.0) / f64::from(width), f64::from(query.size.1) / f64::from(height));
        let made = self.enlarger.enlarge(&query.upscaler, &picture, factor, query.tiles, &mut |_, _| true)?;
        let (width, height) = made.size();
        Ok(Picture { width, height, rgb: made.into_samples() })
    }

    fn decode(&mut self, job: &mut Job, at: usize, query: &DecodeQuery) -> Result<(), EngineError> {
        let how = job.request.vae.decode;
        let decoded = self.decode_latent(job, &query.latent, how)?;
        let image = &mut job.batch[at];
        image.trajectory.answer(Answer::Decoded(decoded)).map_err(failed)?;
        let step = image.trajectory.next().map_err(failed)?;
        let Step::Done(picture) = step else {
            // The picture of a first pass.
            return Ok(());
        };
        let mut image = job.batch.remove(at);
        // Takes the hash in.
        self.model.entry();
        job.keep(&mut image, picture, |entry| self.model.latest(entry));
        Ok(())
    }

    /// `[3, 8 height, 8 width]` to `[channels, height, width]`.
    fn encode_image(&mut self, job: &Job, query: &EncodeQuery) -> Result<Array, EngineError> {
        if job.request.vae.encode != Decoding::Taesd {
            return self.model.encode_image(query, job.model().vae.as_deref());
        }
        let encoder = self.small.encoder(job.model().facts.latent_channels).map_err(failed)?;
        let pixels = Array::stack(&[&*query.pixels]).map_err(failed)?;
        let latent = encoder.encode(&pixels, edges(query.tiling)).map_err(failed)?;
        latent.unstack().pop().ok_or_else(|| EngineError::Failed("TAESD gave no latent".to_owned()))
    }

    /// `[channels, height, width]` to `[3, 8 height, 8 width]`; by the autoencoder, timed, unless it is to be TAESD.
    fn decode_latent(&mut self, job: &Job, latent: &Array, how: Decoding) -> Result<Array, EngineError> {
        let began = Instant::now();
        let (batch, edges) = (Array::stack(&[latent]).map_err(failed)?, edges(job.request.tiling));
        let decoded = if how == Decoding::Taesd {
            self.small.decoder().map_err(failed)?.decode(&batch, edges).map_err(failed)?
        } else {
            let decoded = self.model.decode(&batch, edges, job.model().vae.as_deref())?;
            let pixels = latent.shape().iter().skip(1).product::<usize>().max(1);
            *self.decode_seconds = Some(began.elapsed().as_secs_f64() / pixels as f64);
            decoded
        };
        decoded.unstack().pop().ok_or_else(|| EngineError::Failed("the decoder gave no picture".to_owned()))
    }

    /// Shows the first image at work, if somebody looks and the last look was a while ago.
    fn preview(&mut self, job: &mut Job) {
        let since = job.previewed.map(|at| at.elapsed());
        let wanted = job.options.previews.filter(|_| job.wants_previews());
        let due = since.is_none_or(|since| since >= PREVIEW_PAUSE);
        let Some(how) = wanted.filter(|_| due) else { return };
        let Some(latent) = job.batch.first().and_then(|image| image.trajectory.denoised()).cloned() else {
            return;
        };
        let picture = self.by_network(job, &latent, how).or_else(|| {
            let affordable = how != Decoding::ApproxCheap && self.is_affordable(&latent, since);
            affordable.then(|| self.whole(job, &latent, Decoding::Full)).flatten()
        });
        let map = || self.model.latent_to_rgb.picture(&latent, job.model().facts.downscale);
        if let Some(picture) = picture.or_else(map) {
            job.show(picture);
        }
    }

    /// A preview by the network that is asked for, if it can be had.
    fn by_network(&mut self, job: &Job, latent: &Array, how: Decoding) -> Option<Picture> {
        match how {
            Decoding::Full => self.whole(job, latent, Decoding::Full),
            Decoding::Taesd => {
                self.small.preview_tiny()?;
                self.whole(job, latent, Decoding::Taesd)
            }
            Decoding::ApproxNn => {
                let network = self.small.preview_approximate()?;
                let small = network.decode(&Array::stack(&[latent]).ok()?).ok()?.unstack().pop()?;
                let factor = job.model().facts.downscale.checked_div(network.factor())?;
                enlarged(&small, factor.max(1))
            }
            Decoding::ApproxCheap => None,
        }
    }

    fn whole(&mut self, job: &Job, latent: &Array, how: Decoding) -> Option<Picture> {
        Picture::from_decoded(&self.decode_latent(job, latent, how).ok()?).ok()
    }

    /// Whether there is time for the autoencoder, so long after the last preview.
    fn is_affordable(&self, latent: &Array, since: Option<Duration>) -> bool {
        let pixels: usize = latent.shape().iter().skip(1).product();
        match (*self.decode_seconds, since) {
            (Some(seconds), Some(since)) => seconds * pixels as f64 <= PREVIEW_SHARE * since.as_secs_f64(),
            _ => pixels <= PREVIEW_PIXELS,
        }
    }
}

/// The images of the batch that have made the fewest steps and want the model at hand, as many as one UNet call takes: a turn
/// is one call, so that nobody waits longer than that to be heard.
fn farthest_behind(job: &Job) -> Vec<usize> {
    let mut order: Vec<usize> = (0..job.batch.len()).filter(|&at| job.is_its_turn(at)).collect();
    order.sort_by_key(|&at| job.batch[at].trajectory.progress().0);
    order.truncate(rows_of_a_call(job) / ROWS_PER_IMAGE);
    order
}

/// Most rows of one UNet call: at least one image's.
fn rows_of_a_call(job: &Job) -> usize {
    let cells = |image: &Image| image.trajectory.cells().into_iter().product::<usize>();
    let latent = job.batch.iter().map(cells).max().unwrap_or(0);
    (CALL_PIXELS / latent.max(1)).max(ROWS_PER_IMAGE)
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed(error.to_string())
}
