//! What requests share: the engine, settings, options, and which jobs came in through A1111's interface.

use crate::auth::Users;
use crate::error::Failure;
use crate::guard::Guard;
use crate::metrics::RequestCounts;
use crate::runs::{Run, Runs};
use crate::sent::DECODING;
use crate::styles::read_styles;
use crate::{ServerError, routes, subpath};
use axum::Router;
use impasto_api::{ApiError, Txt2ImgRequest, decoding, override_options};
use impasto_domain::{FoundStyles, GenerationRequest, InfotextRules, Style};
use impasto_engine::{Engine, JobId, JobStatus, LibraryFile, ModelEntry, Picture, SubmitOptions, Watcher};
use impasto_settings::{Options, OptionsFile, ServeSettings};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Requests that enlarge pictures at a time; more wait.
const ENLARGING: usize = 2;

/// The application behind the routes. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    settings: ServeSettings,
    users: Option<Users>,
    guard: Guard,
    options: Mutex<OptionsFile>,
    /// Requests of A1111's interface that somebody waits for.
    runs: Runs,
    shown: Mutex<Option<Shown>>,
    /// Told when a client asks the program to stop.
    stop: Notify,
    requests: RequestCounts,
    /// Who decodes pictures that clients sent.
    decoding: Arc<Semaphore>,
    /// Who enlarges pictures.
    enlarging: Arc<Semaphore>,
}

/// Whoever waits for work that runs beside the routes.
#[derive(Debug)]
pub(crate) struct Client(Weak<()>);

impl Client {
    /// Whether it has not gone.
    pub(crate) fn waits(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// The preview that `/sdapi/v1/progress` shows until enough steps have passed.
#[derive(Debug, Clone)]
struct Shown {
    job: JobId,
    batch: u32,
    step: u32,
    picture: Arc<Picture>,
}

impl App {
    /// Puts the parts together. Refuses settings that would be unsafe or cannot work.
    pub fn new(engine: Engine, settings: ServeSettings, options: OptionsFile) -> Result<Self, ServerError> {
        let users = settings.api_auth.as_deref().map(Users::parse).transpose()?;
        if settings.listen && users.is_none() {
            return Err(ServerError::OpenToAll);
        }
        let guard = Guard::new(settings.cors_allow_origins.as_deref(), !settings.listen)?;
        if let Some(name) = &options.options().sd_model_checkpoint {
            let filename =
                find_model(&engine, name).map_or_else(|| name.clone(), |model| model.filename.clone());
            if let Err(error) = engine.set_default_model(&filename) {
                tracing::warn!(%error, "the model chosen in the options cannot be used; the first one is");
            }
        }
        let inner = Inner {
            engine,
            settings,
            users,
            guard,
            options: Mutex::new(options),
            runs: Runs::default(),
            shown: Mutex::default(),
            stop: Notify::new(),
            requests: RequestCounts::default(),
            decoding: Arc::new(Semaphore::new(DECODING)),
            enlarging: Arc::new(Semaphore::new(ENLARGING)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// All routes with everything around them.
    pub fn router(&self) -> Router {
        subpath::strip(self.inner.settings.subpath.as_deref(), routes::router(self))
    }

    /// What the paths of links start with: the subpath, or nothing.
    pub(crate) fn link_prefix(&self) -> String {
        let subpath = self.inner.settings.subpath.as_deref().unwrap_or_default().trim_matches('/');
        if subpath.is_empty() { String::new() } else { format!("/{subpath}") }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn settings(&self) -> &ServeSettings {
        &self.inner.settings
    }

    pub(crate) fn users(&self) -> Option<&Users> {
        self.inner.users.as_ref()
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.inner.guard
    }

    pub(crate) fn requests(&self) -> &RequestCounts {
        &self.inner.requests
    }

    pub(crate) fn options_file(&self) -> MutexGuard<'_, OptionsFile> {
        self.inner.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn options(&self) -> Options {
        self.options_file().options().clone()
    }

    /// The options that hold for one request.
    pub(crate) fn options_for(&self, request: &Txt2ImgRequest) -> Result<Options, ApiError> {
        let find = |name: &str| self.find_model(name).map(|model| model.title.clone());
        // Which model is the default is the engine's matter.
        let options = Options { sd_model_checkpoint: None, ..self.options() };
        override_options(&options, request.override_settings.as_ref(), find)
    }

    /// What tags call LoRA files whose hashes are known, by those: what their makers called them unless several were called so.
    fn lora_names(&self, by_file: bool) -> BTreeMap<String, String> {
        let files = self.engine().library().adapters_by_hash();
        let mut called: HashMap<&str, usize> = HashMap::new();
        for file in files.values() {
            *called.entry(file.alias()).or_default() += 1;
        }
        let name = |file: &LibraryFile| {
            let alias = Some(file.alias()).filter(|alias| !by_file && called.get(alias) == Some(&1));
            alias.unwrap_or(&file.name).to_owned()
        };
        files.iter().map(|(hash, file)| (hash.clone(), name(file))).collect()
    }

    /// The model that a client means by a name.
    pub(crate) fn find_model(&self, name: &str) -> Option<Arc<ModelEntry>> {
        find_model(self.engine(), name)
    }

    /// The styles there are, if a request names any, or has a script that may.
    pub(crate) async fn styles_of(&self, request: &Txt2ImgRequest) -> Result<Vec<Style>, Failure> {
        let scripted = request.script_name.as_ref().is_some_and(|name| !name.is_empty());
        if request.styles.as_ref().is_none_or(Vec::is_empty) && !scripted {
            return Ok(Vec::new());
        }
        let data_dir = self.settings().data_dir.clone();
        tokio::task::spawn_blocking(move || read_styles(&data_dir)).await?
    }

    /// How an infotext is taken, as the options say. Only what it needs is read.
    pub(crate) async fn infotext_rules(&self, infotext: Option<&str>) -> Result<InfotextRules, Failure> {
        let Some(infotext) = infotext else { return Ok(InfotextRules::default()) };
        let options = self.options();
        let found_styles = FoundStyles::from_exact_name(&options.infotext_styles).unwrap_or_default();
        let styles = if found_styles == FoundStyles::Ignore || infotext.is_empty() {
            Vec::new()
        } else {
            let data_dir = self.settings().data_dir.clone();
            let read = tokio::task::spawn_blocking(move || read_styles(&data_dir)).await?;
            // An infotext can be read without them.
            read.unwrap_or_else(|Failure(error)| {
                tracing::warn!(%error, "infotexts are read without styles");
                Vec::new()
            })
        };
        let loras = if infotext.contains("Lora hashes") {
            let (app, by_file) = (self.clone(), options.lora_preferred_name == "Filename");
            // The folder may have to be read, and each file be asked for its time.
            tokio::task::spawn_blocking(move || app.lora_names(by_file)).await?
        } else {
            BTreeMap::new()
        };
        Ok(InfotextRules {
            loras,
            styles,
            found_styles,
            old_behaviour: options.auto_backcompat,
            size_of_second_pass: options.use_old_hires_fix_width_height,
            left_out: options.infotext_skip_pasting,
            takes_model: !options.disable_weights_auto_swap,
        })
    }

    /// Hands a request to the engine.
    pub(crate) async fn submit(
        &self,
        request: &Txt2ImgRequest,
        options: &Options,
        cancel_when_unwatched: bool,
    ) -> Result<Watcher, Failure> {
        let styles = self.styles_of(request).await?;
        let generation = request.to_generation(options, self.engine().limits(), &styles)?;
        self.submit_generation(generation, options, cancel_when_unwatched).await
    }

    /// Hands to the engine what it is to make.
    pub(crate) async fn submit_generation(
        &self,
        generation: GenerationRequest,
        options: &Options,
        cancel_when_unwatched: bool,
    ) -> Result<Watcher, Failure> {
        let previews = options.live_previews_enable.then(|| decoding(&options.show_progress_type));
        let submit = SubmitOptions { cancel_when_unwatched, previews };
        let engine = self.engine().clone();
        // The engine opens the model's file.
        Ok(tokio::task::spawn_blocking(move || engine.submit(generation, submit)).await??)
    }

    /// Requests of A1111's interface that somebody waits for.
    pub(crate) fn runs(&self) -> &Runs {
        &self.inner.runs
    }

    /// Begins such a request, under the name that its client gave it. It ends when what is given back goes.
    pub(crate) fn begin_run(&self, name: Option<&str>) -> BegunRun {
        BegunRun { app: self.clone(), run: self.runs().begin(name) }
    }

    /// Waits until a request may decode pictures. The semaphores are never closed, so there is always a permit.
    pub(crate) async fn decoding(&self) -> Option<OwnedSemaphorePermit> {
        self.inner.decoding.clone().acquire_owned().await.ok()
    }

    /// Does work that enlarges pictures, when its turn comes. It is handed what tells whether somebody still waits for it.
    pub(crate) async fn enlarging<T: Send + 'static>(
        &self,
        work: impl FnOnce(Client) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let permit = self.inner.enlarging.clone().acquire_owned().await;
        let waiting = Arc::new(());
        let client = Client(Arc::downgrade(&waiting));
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(client)
        });
        let done = done.await?;
        drop(waiting);
        done
    }

    /// Asks the program to end in an orderly way.
    pub(crate) fn stop(&self) {
        self.inner.stop.notify_one();
    }

    /// Waits until a client has asked the program to end.
    pub(crate) async fn stopped(&self) {
        self.inner.stop.notified().await;
    }

    /// The preview to show of a job: a new one after `every` steps, the one shown before until then.
    pub(crate) fn preview_to_show(&self, status: &JobStatus, every: i64) -> Option<Arc<Picture>> {
        let every = u32::try_from(every).ok()?;
        let mut shown = self.inner.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before =
            shown.as_ref().filter(|shown| shown.job == status.id && shown.batch == status.batches_done);
        let due = status.step >= before.map_or(0, |shown| shown.step) + every;
        if due && let Some(picture) = &status.preview {
            *shown = Some(Shown {
                job: status.id,
                batch: status.batches_done,
                step: status.step,
                picture: picture.clone(),
            });
        }
        shown.as_ref().filter(|shown| shown.job == status.id).map(|shown| shown.picture.clone())
    }
}

/// The model of a name. A title with a hash also means a file that was not hashed yet: folders and clients of A1111's
/// remember titles from before we came.
fn find_model(engine: &Engine, name: &str) -> Option<Arc<ModelEntry>> {
    engine.find_model(name).or_else(|| {
        let (file, _) = name.strip_suffix(']')?.rsplit_once(" [")?;
        engine.find_model(file).filter(|model| model.sha256.is_none())
    })
}

/// A request of A1111's interface, as long as somebody waits for it.
#[derive(Debug)]
pub(crate) struct BegunRun {
    app: App,
    run: Arc<Run>,
}

impl BegunRun {
    /// The request, for work that goes on elsewhere.
    pub(crate) fn shared(&self) -> Arc<Run> {
        self.run.clone()
    }
}

impl std::ops::Deref for BegunRun {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.run
    }
}

impl Drop for BegunRun {
    fn drop(&mut self) {
        self.app.runs().end(&self.run);
    }
}
