//! The axes of X/Y/Z plot: what each changes in a request, which values it takes and how a legend writes them.

use super::values::{orders, reals, separated, wholes};
use crate::ScriptError;
use crate::base::{Base, Context, Tab};
use impasto_domain::{FromPicture, Hires, NoiseSource, Sampler, Schedule, python_float};

/// What is laid along an edge of a grid.
pub(crate) struct Axis {
    /// A1111's name.
    pub(crate) label: &'static str,
    /// The kind of request that has it, if not both.
    tab: Option<Tab>,
    kind: Kind,
    /// How long a change takes, 0 to 1: costly axes change last.
    pub(super) cost: f64,
    wording: Wording,
    /// Values to choose from, where there is a list.
    choices: Option<fn(&Context<'_>) -> Vec<String>>,
    set: Set,
}

/// Changes a request to a value, which is one of `all`.
type Set = fn(&mut Base, &AxisValue, &[AxisValue]) -> Result<(), String>;

/// What values are.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nothing,
    Whole,
    Real,
    Text,
    /// Every order of the texts.
    Orders,
    /// Samplers by name.
    Samplers,
    /// Models by name; `true` where there may be none.
    Models(bool),
    /// Texts of the axis's list.
    Listed,
}

/// How a legend writes values.
#[derive(Clone, Copy, PartialEq)]
enum Wording {
    Labelled,
    Bare,
    FileName,
}

/// One value of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AxisValue {
    Nothing,
    Whole(i64),
    Real(f64),
    Text(String),
    Texts(Vec<String>),
    /// A model: as it was written, and its title; nothing for no model.
    Model(String, Option<String>),
}

impl AxisValue {
    fn whole(&self) -> i64 {
        if let Self::Whole(number) = self { *number } else { 0 }
    }

    fn real(&self) -> f64 {
        if let Self::Real(number) = self { *number } else { 0.0 }
    }

    fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    fn flag(&self) -> bool {
        self.text().eq_ignore_ascii_case("true")
    }

    /// As infotexts list it.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Whole(number) => number.to_string(),
            Self::Real(number) => python_float((number * 1e8).round() / 1e8),
            Self::Text(text) | Self::Model(text, _) => text.clone(),
            Self::Texts(texts) => texts.join(", "),
        }
    }
}

fn size(field: &mut u32, value: i64) -> Result<(), String> {
    *field = u32::try_from(value).map_err(|_| format!("{value} is out of range"))?;
    Ok(())
}

fn seed(value: i64) -> Result<Option<u64>, String> {
    match value {
        -1 => Ok(None),
        seed => u64::try_from(seed).map(Some).map_err(|_| format!("{seed} is no seed")),
    }
}

/// Changes what pictures begin from, if they do.
#[expect(clippy::unnecessary_wraps, reason = "what axes do ends so")]
fn in_picture(base: &mut Base, change: impl FnOnce(&mut FromPicture)) -> Result<(), String> {
    if let Some(source) = base.source_mut() {
        change(source);
    }
    Ok(())
}

/// Changes the second pass, if there is one.
#[expect(clippy::unnecessary_wraps, reason = "what axes do ends so")]
fn in_hires(base: &mut Base, change: impl FnOnce(&mut Hires)) -> Result<(), String> {
    if let Some(hires) = &mut base.request.hires {
        change(hires);
    }
    Ok(())
}

const fn axis(label: &'static str, kind: Kind, set: Set) -> Axis {
    Axis { label, tab: None, kind, cost: 0.0, wording: Wording::Labelled, choices: None, set }
}

const fn whole(label: &'static str, set: Set) -> Axis {
    axis(label, Kind::Whole, set)
}

const fn real(label: &'static str, set: Set) -> Axis {
    axis(label, Kind::Real, set)
}

impl Axis {
    const fn of(self, tab: Tab) -> Self {
        Self { tab: Some(tab), ..self }
    }

    const fn costs(self, cost: f64) -> Self {
        Self { cost, ..self }
    }

    const fn worded(self, wording: Wording) -> Self {
        Self { wording, ..self }
    }

    const fn listing(self, choices: fn(&Context<'_>) -> Vec<String>) -> Self {
        Self { choices: Some(choices), ..self }
    }
}

fn samplers(_: &Context<'_>) -> Vec<String> {
    Sampler::all().map(|sampler| sampler.name().to_owned()).collect()
}

fn set_sampler(base: &mut Base, value: &AxisValue, _: &[AxisValue]) -> Result<(), String> {
    let sampler = Sampler::from_any_name(value.text()).ok_or("an unknown sampler")?;
    base.choose_sampler(sampler);
    Ok(())
}

fn truths(_: &Context<'_>) -> Vec<String> {
    ["True", "False"].map(str::to_owned).to_vec()
}

/// Replaces the first value's text by this one's in both prompts.
fn search_and_replace(base: &mut Base, value: &AxisValue, all: &[AxisValue]) -> Result<(), String> {
    let searched = all.first().map_or("", AxisValue::text);
    let request = &mut base.request;
    if !request.prompt.contains(searched) && !request.negative_prompt.contains(searched) {
        return Err(format!("Prompt S/R did not find {searched} in prompt or negative prompt."));
    }
    request.prompt = request.prompt.replace(searched, value.text());
    request.negative_prompt = request.negative_prompt.replace(searched, value.text());
    Ok(())
}

/// Puts texts of the prompt into the places of each other.
fn reorder(base: &mut Base, value: &AxisValue, _: &[AxisValue]) -> Result<(), String> {
    let AxisValue::Texts(texts) = value else { return Ok(()) };
    let prompt = &base.request.prompt;
    let mut places = Vec::new();
    for text in texts {
        let place = prompt.find(text.as_str());
        places
            .push((place.ok_or_else(|| format!("Prompt order did not find {text} in prompt."))?, text.len()));
    }
    places.sort_unstable();
    let (mut made, mut end) = (String::new(), 0);
    for (&(place, length), text) in places.iter().zip(texts) {
        let between = prompt.get(end..place).ok_or("Prompt order needs texts that do not overlap.")?;
        made = format!("{made}{between}{text}");
        end = place + length;
    }
    base.request.prompt = made + &prompt[end..];
    Ok(())
}

/// All of them, in A1111's order.
pub(crate) static AXES: &[Axis] = &[
    axis("Nothing", Kind::Nothing, |_, _, _| Ok(())),
    whole("Seed", |base, value, _| {
        base.request.seed = seed(value.whole())?;
        Ok(())
    }),
    whole("Var. seed", |base, value, _| {
        base.request.subseed = seed(value.whole())?;
        Ok(())
    }),
    real("Var. strength", |base, value, _| {
        base.request.subseed_strength = value.real();
        Ok(())
    }),
    whole("Steps", |base, value, _| size(&mut base.request.steps, value.whole())),
    whole("Hires steps", |base, value, _| {
        base.request.hires.as_mut().map_or(Ok(()), |hires| size(&mut hires.steps, value.whole()))
    })
    .of(Tab::Text),
    real("CFG Scale", |base, value, _| {
        base.request.cfg_scale = value.real();
        Ok(())
    }),
    real("Image CFG Scale", |base, value, _| {
        in_picture(base, |source| source.image_cfg_scale = Some(value.real()))
    })
    .of(Tab::Picture),
    axis("Prompt S/R", Kind::Text, search_and_replace).worded(Wording::Bare),
    axis("Prompt order", Kind::Orders, reorder).worded(Wording::Bare),
    axis("Sampler", Kind::Samplers, set_sampler).worded(Wording::Bare).listing(samplers).of(Tab::Text),
    axis("Hires sampler", Kind::Samplers, |base, value, _| {
        let sampler = Sampler::from_any_name(value.text()).ok_or("an unknown sampler")?;
        in_hires(base, |hires| hires.sampler = Some(sampler))
    })
    .listing(samplers)
    .of(Tab::Text),
    axis("Sampler", Kind::Samplers, set_sampler).worded(Wording::Bare).listing(samplers).of(Tab::Picture),
    axis("Checkpoint name", Kind::Models(false), |base, value, _| {
        if let AxisValue::Model(_, title) = value {
            base.request.model.clone_from(title);
        }
        Ok(())
    })
    .worded(Wording::FileName)
    .costs(1.0)
    .listing(|context| context.names.models()),
    real("Negative Guidance minimum sigma", |base, value, _| {
        base.request.shortcuts.s_min_uncond = value.real();
        Ok(())
    }),
    real("Sigma Churn", |base, value, _| {
        base.request.sampler_options.s_churn = value.real();
        Ok(())
    }),
    real("Sigma min", |base, value, _| {
        base.request.sampler_options.s_tmin = value.real();
        Ok(())
    }),
    real("Sigma max", |base, value, _| {
        base.request.sampler_options.s_tmax = value.real();
        Ok(())
    }),
    real("Sigma noise", |base, value, _| {
        base.request.sampler_options.s_noise = value.real();
        Ok(())
    }),
    axis("Schedule type", Kind::Listed, |base, value, _| {
        let name = base.request.sampler.name();
        (_, base.request.schedule) = Sampler::resolve(name, Some(value.text()));
        Ok(())
    })
    .listing(|_| Schedule::all().map(|schedule| schedule.label().to_owned()).collect()),
    real("Schedule min sigma", |base, value, _| {
        base.request.sampler_options.sigma_min = value.real();
        Ok(())
    }),
    real("Schedule max sigma", |base, value, _| {
        base.request.sampler_options.sigma_max = value.real();
        Ok(())
    }),
    real("Schedule rho", |base, value, _| {
        base.request.sampler_options.rho = value.real();
        Ok(())
    }),
    real("Beta schedule alpha", |base, value, _| {
        base.request.sampler_options.beta_dist_alpha = value.real();
        Ok(())
    }),
    real("Beta schedule beta", |base, value, _| {
        base.request.sampler_options.beta_dist_beta = value.real();
        Ok(())
    }),
    real("Eta", |base, value, _| {
        base.etas.asked = Some(value.real());
        Ok(())
    }),
    whole("Clip skip", |base, value, _| size(&mut base.request.clip_skip, value.whole())),
    real("Denoising", |base, value, _| {
        if let Some(hires) = &mut base.request.hires {
            hires.denoising_strength = value.real();
        }
        in_picture(base, |source| source.denoising_strength = value.real())
    }),
    real("Initial noise multiplier", |base, value, _| {
        in_picture(base, |source| source.noise_multiplier = value.real())
    }),
    real("Extra noise", |base, value, _| in_picture(base, |source| source.extra_noise = value.real())),
    axis("Hires upscaler", Kind::Listed, |base, value, _| {
        in_hires(base, |hires| value.text().clone_into(&mut hires.upscaler))
    })
    .listing(|context| {
        let latent = impasto_imaging::PlaneFilter::latent_upscalers().map(str::to_owned);
        latent.chain(context.names.upscalers()).collect()
    })
    .of(Tab::Text),
    real("Cond. Image Mask Weight", |base, value, _| {
        base.request.inpainting_mask_weight = value.real();
        Ok(())
    })
    .of(Tab::Picture),
    axis("VAE", Kind::Listed, |base, value, _| {
        value.text().clone_into(&mut base.request.vae.name);
        Ok(())
    })
    .costs(0.7)
    .listing(|context| {
        ["Automatic", "None"].map(str::to_owned).into_iter().chain(context.names.vaes()).collect()
    }),
    axis("Styles", Kind::Text, |base, value, _| {
        base.styles.extend(value.text().split(',').map(|name| name.trim().to_owned()));
        Ok(())
    })
    .listing(|context| context.styles.iter().map(|style| style.name.clone()).collect()),
    whole("UniPC Order", |base, value, _| {
        let most = i64::from(base.request.steps) - 1;
        size(&mut base.request.sampler_options.uni_pc_order, value.whole().min(most.max(1)))
    })
    .costs(0.5),
    axis("Face restore", Kind::Text, |base, value, _| {
        let yes = ["codeformer", "gfpgan", "true", "yes", "y", "1"];
        base.request.restore_faces = yes.contains(&value.text().to_lowercase().as_str());
        Ok(())
    })
    .worded(Wording::Bare),
    real("Token merging ratio", |base, value, _| {
        base.request.shortcuts.token_merging_ratio = value.real();
        Ok(())
    }),
    real("Token merging ratio high-res", |base, value, _| {
        in_hires(base, |hires| hires.token_merging_ratio = value.real())
    }),
    axis("Always discard next-to-last sigma", Kind::Listed, |base, value, _| {
        base.request.sampler_options.always_discard_next_to_last_sigma = value.flag();
        Ok(())
    })
    .listing(truths),
    axis("SGM noise multiplier", Kind::Listed, |base, value, _| {
        base.request.sampler_options.sgm_noise_multiplier = value.flag();
        Ok(())
    })
    .listing(truths),
    axis("Refiner checkpoint", Kind::Models(true), |base, value, _| {
        if let AxisValue::Model(_, title) = value {
            base.refiner.checkpoint = title.clone().unwrap_or_default();
        }
        Ok(())
    })
    .worded(Wording::FileName)
    .costs(1.0)
    .listing(|context| std::iter::once("None".to_owned()).chain(context.names.models()).collect()),
    real("Refiner switch at", |base, value, _| {
        base.refiner.switch_at = Some(value.real());
        Ok(())
    }),
    axis("RNG source", Kind::Listed, |base, value, _| {
        base.request.noise_source = NoiseSource::from_exact_name(value.text()).unwrap_or_default();
        Ok(())
    })
    .listing(|_| ["GPU", "CPU", "NV"].map(str::to_owned).to_vec()),
    axis("FP8 mode", Kind::Listed, |_, _, _| Ok(())).costs(0.9).listing(|_| vec!["Disable".to_owned()]),
    axis("Size", Kind::Text, |base, value, _| {
        let sides =
            value.text().split_once('x').map(|(width, height)| (width.trim().parse(), height.trim().parse()));
        let Some((Ok(width), Ok(height))) = sides else {
            return Err(format!("Invalid size in XYZ plot: {}", value.text()));
        };
        (base.request.width, base.request.height) = (Some(width), Some(height));
        Ok(())
    }),
];

/// The axes that requests of a kind have; clients count places in this list.
pub(crate) fn of_tab(tab: Tab) -> impl Iterator<Item = &'static Axis> {
    AXES.iter().filter(move |axis| axis.tab.is_none_or(|own| own == tab))
}

impl Axis {
    /// Whether there is nothing along this axis.
    pub(super) fn is_nothing(&self) -> bool {
        self.kind == Kind::Nothing
    }

    /// Whether values are seeds.
    pub(super) fn is_seed(&self) -> bool {
        matches!(self.label, "Seed" | "Var. seed")
    }

    /// Whether there is a list of values to choose from.
    pub(super) fn has_choices(&self) -> bool {
        self.choices.is_some()
    }

    /// Changes a request to a value, which is one of `all`.
    pub(super) fn set(
        &self,
        base: &mut Base,
        value: &AxisValue,
        all: &[AxisValue],
    ) -> Result<(), ScriptError> {
        (self.set)(base, value, all).map_err(ScriptError::Unusable)
    }

    /// What a legend says of a value.
    pub(super) fn legend(&self, value: &AxisValue) -> String {
        let written = value.written();
        match self.wording {
            _ if self.is_nothing() => String::new(),
            Wording::Labelled => format!("{}: {written}", self.label),
            Wording::Bare => written,
            Wording::FileName => written.rsplit(['/', '\\']).next().unwrap_or_default().to_owned(),
        }
    }

    /// The values of the texts that were sent. `most` bounds how many.
    pub(super) fn values(
        &self,
        texts: Vec<String>,
        most: usize,
        context: &Context<'_>,
    ) -> Result<Vec<AxisValue>, String> {
        let choices = self.choices.map(|choices| choices(context)).unwrap_or_default();
        // What is listed may be written in any letters.
        let listed = |text: String| {
            let lower = text.to_lowercase();
            choices
                .iter()
                .find(|choice| choice.to_lowercase() == lower)
                .cloned()
                .map(AxisValue::Text)
                .ok_or_else(|| {
                    format!("Unknown {}: {text}; there are {}", self.label.to_lowercase(), choices.join(", "))
                })
        };
        let model = |text: String, none: bool| match text.as_str() {
            "" | "None" | "none" if none => Ok(AxisValue::Model(text, None)),
            name => {
                let title = context.names.model(name).ok_or_else(|| format!("Unknown checkpoint: {name}"))?;
                Ok(AxisValue::Model(text, Some(title)))
            }
        };
        let values: Result<Vec<AxisValue>, String> = match self.kind {
            Kind::Nothing => Ok(vec![AxisValue::Nothing]),
            Kind::Whole => Ok(wholes(&texts, most)?.into_iter().map(AxisValue::Whole).collect()),
            Kind::Real => Ok(reals(&texts, most)?.into_iter().map(AxisValue::Real).collect()),
            Kind::Text => Ok(texts.into_iter().map(AxisValue::Text).collect()),
            Kind::Orders if texts.is_empty() => Ok(Vec::new()),
            Kind::Orders => Ok(orders(&texts, most)?.into_iter().map(AxisValue::Texts).collect()),
            Kind::Samplers => {
                let known = |text: String| {
                    let found = Sampler::from_any_name(&text);
                    found
                        .map(|_| AxisValue::Text(text.clone()))
                        .ok_or_else(|| format!("Unknown sampler: {text}"))
                };
                texts.into_iter().map(known).collect()
            }
            Kind::Models(none) => texts.into_iter().map(|text| model(text, none)).collect(),
            Kind::Listed => texts.into_iter().map(listed).collect(),
        };
        let values = values?;
        if values.is_empty() {
            return Err("has no values".to_owned());
        }
        if values.len() > most {
            return Err(format!(
                "has {} values: at most {most} pictures are made by one request",
                values.len()
            ));
        }
        Ok(values)
    }
}

/// The texts of an axis without a list, or of one whose list is not used.
pub(super) fn texts(written: &str) -> Vec<String> {
    separated(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_that_clients_count() {
        let labels = |tab| of_tab(tab).map(|axis| axis.label).collect::<Vec<_>>();
        let (text, picture) = (labels(Tab::Text), labels(Tab::Picture));
        assert_eq!((text.len(), picture.len()), (42, 41));
        assert_eq!(
            (text[4], text[6], text[7], text[9], text[11]),
            ("Steps", "CFG Scale", "Prompt S/R", "Sampler", "Checkpoint name")
        );
        assert_eq!((picture[6], picture[9], picture[10]), ("Image CFG Scale", "Sampler", "Checkpoint name"));
        assert_eq!((text.last(), picture.last()), (Some(&"Size"), Some(&"Size")));
    }
}
