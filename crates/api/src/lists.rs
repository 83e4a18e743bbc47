//! Items of the lists of `/sdapi/v1`.

use impasto_domain::{Sampler, Schedule};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A sampler.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SamplerItem {
    /// Its name in requests.
    pub name: &'static str,
    /// Names it is known by elsewhere. They are not understood in requests.
    pub aliases: &'static [&'static str],
    /// What is special about it.
    pub options: BTreeMap<&'static str, &'static str>,
}

/// A schedule.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SchedulerItem {
    /// Its name.
    pub name: &'static str,
    /// Its name in the page, which requests may use too.
    pub label: &'static str,
    /// Older names.
    pub aliases: Option<&'static [&'static str]>,
    /// Rho, or -1 where there is none.
    pub default_rho: f64,
    /// Whether it asks the model for its noise levels.
    pub need_inner_model: bool,
}

/// A model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SdModelItem {
    /// Its name and short hash.
    pub title: String,
    /// Its name.
    pub model_name: String,
    /// Short hash, once computed.
    pub hash: Option<String>,
    /// SHA-256, once computed.
    pub sha256: Option<String>,
    /// Path of its file.
    pub filename: String,
    /// Always null: configurations are read from the file's tensors.
    pub config: Option<String>,
}

/// All samplers.
pub fn samplers() -> Vec<SamplerItem> {
    let item = |sampler: Sampler| SamplerItem {
        name: sampler.name(),
        aliases: sampler.aliases(),
        options: sampler.options().iter().copied().collect(),
    };
    Sampler::all().map(item).collect()
}

/// All schedules.
pub fn schedulers() -> Vec<SchedulerItem> {
    let item = |schedule: Schedule| SchedulerItem {
        name: schedule.name(),
        label: schedule.label(),
        aliases: Some(schedule.aliases()).filter(|aliases| !aliases.is_empty()),
        default_rho: schedule.default_rho(),
        need_inner_model: schedule.need_inner_model(),
    };
    Schedule::all().map(item).collect()
}
