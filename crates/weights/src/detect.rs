//! From the shapes of a checkpoint's tensors to its configuration, and the proof that every tensor of that
//! configuration is there. What shapes cannot tell comes from `facts`.

use crate::architecture::{ClipTextConfig, Heads, StableDiffusionConfig, UNetConfig, UNetLevel, VaeConfig};
use crate::entry::{Element, Entries};
use crate::facts::Facts;
use crate::kind::ModelKind;
use crate::layout::{CLOSED_PREFIXES, SECOND_TEXT, TEXT, autoencoder_layout, layout};
use impasto_tensor::DType;

/// Largest size along one dimension that is believed; a vocabulary of CLIP has 49,408 rows.
const MAX_SIZE: usize = 1 << 20;

/// How many wrong tensors a message lists.
const LISTED: usize = 5;

/// What keeps the tensors from being a checkpoint, in words.
pub(crate) type Problem = String;

/// Sizes of the picture that XL's UNet is told, each as waves.
const PICTURE_SIZES: usize = 6;

/// The configuration of a Stable Diffusion checkpoint of a kind, 1.x or XL.
pub(crate) fn detect(
    entries: &Entries,
    kind: ModelKind,
    facts: &Facts,
) -> Result<StableDiffusionConfig, Problem> {
    let shapes = Shapes { entries };
    let text = shapes.text(TEXT, facts.text_heads)?;
    let second_text =
        (kind == ModelKind::StableDiffusionXl).then(|| shapes.second_text(facts)).transpose()?;
    let unet = shapes.unet(facts)?;
    let vae = shapes.vae(facts.vae_groups, facts.scale_factor)?;
    let config = StableDiffusionConfig {
        text,
        second_text,
        unet,
        vae,
        prediction: facts.prediction,
        betas: facts.betas,
        native_size: facts.native_size,
        cfg_scale: facts.cfg_scale,
    };
    check_sizes(&config)?;
    check_layout(entries, layout(&config), |name| {
        CLOSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })?;
    Ok(config)
}

/// What is to be known of a file's shapes.
pub(crate) struct Shapes<'a> {
    pub(crate) entries: &'a Entries,
}

impl Shapes<'_> {
    /// The shape of a tensor that must be there with so many dimensions.
    pub(crate) fn sizes<const N: usize>(&self, name: &str) -> Result<[usize; N], Problem> {
        let Some(entry) = self.entries.get(name) else {
            return Err(format!("`{name}` is missing"));
        };
        let sizes: [usize; N] = (entry.shape.as_slice().try_into())
            .map_err(|_| format!("`{name}` has shape {:?}, wanted {N} dimensions", entry.shape))?;
        if sizes.iter().any(|size| !(1..=MAX_SIZE).contains(size)) {
            return Err(format!("`{name}` has the absurd shape {sizes:?}"));
        }
        Ok(sizes)
    }

    /// How many numbers from 0 on give the name of a tensor.
    pub(crate) fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..self.entries.len()).take_while(|&number| self.entries.contains_key(&name(number))).count()
    }

    /// A text encoder as the first CLIP has it.
    fn text(&self, place: &str, heads: Option<usize>) -> Result<ClipTextConfig, Problem> {
        let root = format!("{place}.text_model");
        let [vocabulary, width] = self.sizes(&format!("{root}.embeddings.token_embedding.weight"))?;
        let [positions, _] = self.sizes(&format!("{root}.embeddings.position_embedding.weight"))?;
        let layers = self.count(|layer| format!("{root}.encoder.layers.{layer}.layer_norm1.weight"));
        let [hidden, _] = self.sizes(&format!("{root}.encoder.layers.0.mlp.fc1.weight"))?;
        let heads = heads.unwrap_or((width / 64).max(1));
        let (quick_gelu, pooled) = (true, None);
        Ok(ClipTextConfig { vocabulary, positions, width, layers, heads, hidden, quick_gelu, pooled })
    }

    /// XL's second text encoder, `OpenCLIP`'s.
    fn second_text(&self, facts: &Facts) -> Result<ClipTextConfig, Problem> {
        let text = self.text(SECOND_TEXT, facts.second_text_heads)?;
        let [pooled, _] = self.sizes(&format!("{SECOND_TEXT}.text_projection.weight"))?;
        Ok(ClipTextConfig { quick_gelu: false, pooled: Some(pooled), ..text })
    }

    fn unet(&self, facts: &Facts) -> Result<UNetConfig, Problem> {
        let root = "model.diffusion_model";
        let [model_channels, in_channels, ..] =
            self.sizes::<4>(&format!("{root}.input_blocks.0.0.weight"))?;
        let [out_channels, ..] = self.sizes::<4>(&format!("{root}.out.2.weight"))?;
        let [time_features, _] = self.sizes(&format!("{root}.time_embed.0.weight"))?;
        let label = format!("{root}.label_emb.0.0.weight");
        let label = self.entries.contains_key(&label).then(|| self.sizes(&label)).transpose()?;
        Ok(UNetConfig {
            in_channels,
            out_channels,
            model_channels,
            time_features,
            levels: self.levels(root)?,
            middle_depth: self.depth(&format!("{root}.middle_block.1")),
            context_features: self.context_features(root)?,
            label_features: label.map(|[_, features]| features),
            heads: facts.unet_heads,
            groups: facts.unet_groups,
        })
    }

    /// Walks the input blocks: a residual block belongs to the current level, a downsampling ends it.
    fn levels(&self, root: &str) -> Result<Vec<UNetLevel>, Problem> {
        let mut levels = vec![];
        let mut level: Option<UNetLevel> = None;
        for index in 1.. {
            let block = format!("{root}.input_blocks.{index}");
            let convolution = format!("{block}.0.in_layers.2.weight");
            if self.entries.contains_key(&convolution) {
                let [channels, ..] = self.sizes::<4>(&convolution)?;
                let transformer_depth = self.depth(&format!("{block}.1"));
                level.get_or_insert(UNetLevel { channels, res_blocks: 0, transformer_depth }).res_blocks += 1;
            } else if self.entries.contains_key(&format!("{block}.0.op.weight")) {
                levels.push(
                    level.take().ok_or_else(|| format!("`{block}` ends a level without residual blocks"))?,
                );
            } else {
                break;
            }
        }
        levels.push(level.ok_or("the last level of the UNet has no residual blocks")?);
        Ok(levels)
    }

    /// Transformer blocks of a spatial transformer, 0 if there is none of this name.
    fn depth(&self, name: &str) -> usize {
        self.count(|block| format!("{name}.transformer_blocks.{block}.attn1.to_q.weight"))
    }

    /// Input features of any cross attention's keys; the layout check compares all of them.
    fn context_features(&self, root: &str) -> Result<usize, Problem> {
        let name = (self.entries.keys())
            .find(|name| name.starts_with(root) && name.ends_with(".attn2.to_k.weight"))
            .ok_or("the UNet has no cross attention, so no prompt can reach it")?;
        let [_, features] = self.sizes(name)?;
        Ok(features)
    }

    /// The autoencoder, with what shapes cannot tell: groups of its normalisations, and what a latent is multiplied by.
    pub(crate) fn vae(&self, groups: usize, scale_factor: f32) -> Result<VaeConfig, Problem> {
        let root = "first_stage_model";
        let [image_channels, ..] = self.sizes::<4>(&format!("{root}.decoder.conv_out.weight"))?;
        let [_, latent_channels, ..] = self.sizes::<4>(&format!("{root}.decoder.conv_in.weight"))?;
        let first = |level: usize| format!("{root}.encoder.down.{level}.block.0.conv1.weight");
        let mut channels = vec![];
        for level in 0..self.count(first) {
            let [size, ..] = self.sizes::<4>(&first(level))?;
            channels.push(size);
        }
        if channels.is_empty() {
            return Err(format!("`{}` is missing", first(0)));
        }
        let res_blocks = self.count(|block| format!("{root}.encoder.down.0.block.{block}.conv1.weight"));
        Ok(VaeConfig { image_channels, latent_channels, channels, res_blocks, groups, scale_factor })
    }
}

/// What must hold between numbers, whatever the tensors are.
fn check_sizes(config: &StableDiffusionConfig) -> Result<(), Problem> {
    let StableDiffusionConfig { text, second_text, unet, vae, .. } = config;
    divides("the text encoder", text.width, text.heads, "heads", "impasto.text.heads")?;
    let mut context = text.width;
    if let Some(second) = second_text {
        let (part, key) = ("the second text encoder", "impasto.second_text.heads");
        divides(part, second.width, second.heads, "heads", key)?;
        context += second.width;
        check_label(second, unet)?;
    }
    for level in &unet.levels {
        divides("the UNet", level.channels, unet.groups, "groups", "impasto.unet.groups")?;
    }
    let middle = unet.levels.last().map(|level| (level.channels, unet.middle_depth));
    let on_the_way = unet.levels.iter().map(|level| (level.channels, level.transformer_depth));
    for (channels, _) in on_the_way.chain(middle).filter(|(_, depth)| *depth > 0) {
        let (by, what, key) = match unet.heads {
            Heads::Count(count) => (count, "heads", "impasto.unet.heads"),
            Heads::Features(features) => (features, "features a head", "impasto.unet.head_features"),
        };
        divides("the UNet", channels, by, what, key)?;
    }
    divides("the UNet", unet.model_channels, unet.groups, "groups", "impasto.unet.groups")?;
    check_groups(vae)?;
    for (what, found, wanted, of) in [
        ("context features of the UNet", unet.context_features, context, "the text encoders' width"),
        ("output channels of the UNet", unet.out_channels, vae.latent_channels, "the autoencoder's latents"),
        ("picture channels of the autoencoder", vae.image_channels, 3, "red, green and blue"),
    ] {
        if found != wanted {
            return Err(format!("{found} {what} do not fit {wanted}, {of}"));
        }
    }
    Ok(())
}

fn check_groups(vae: &VaeConfig) -> Result<(), Problem> {
    for &channels in &vae.channels {
        divides("the autoencoder", channels, vae.groups, "groups", "impasto.vae.groups")?;
    }
    Ok(())
}

/// That an autoencoder alone is whole, and nothing else.
pub(crate) fn check_autoencoder(entries: &Entries, config: &VaeConfig) -> Result<(), Problem> {
    check_groups(config)?;
    check_layout(entries, autoencoder_layout(config), |name| {
        CLOSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// What the UNet is told beside time and text must be the text as a whole and the waves of the sizes.
fn check_label(text: &ClipTextConfig, unet: &UNetConfig) -> Result<(), Problem> {
    let pooled = text.pooled.unwrap_or(0);
    let label = unet.label_features.ok_or("`model.diffusion_model.label_emb.0.0.weight` is missing")?;
    // Each size is as many cosines as sines.
    match label.checked_sub(pooled) {
        Some(waves) if waves > 0 && waves.is_multiple_of(2 * PICTURE_SIZES) => Ok(()),
        _ => Err(format!(
            "{label} label features of the UNet are not the {pooled} of the second text encoder and \
             {PICTURE_SIZES} sizes"
        )),
    }
}

fn divides(part: &str, features: usize, by: usize, what: &str, key: &str) -> Result<(), Problem> {
    if by == 0 || !features.is_multiple_of(by) {
        return Err(format!(
            "{features} features of {part} cannot be split into {by} {what}; if it has another number of {what}, \
             say so in the metadata as `{key}`"
        ));
    }
    Ok(())
}

/// Compares the file with the layout of its configuration, in both directions: of names that are `closed` there may be no others.
pub(crate) fn check_layout(
    entries: &Entries,
    mut wanted: Vec<(String, Vec<usize>)>,
    closed: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    wanted.sort();
    let mut problems = vec![];
    for (name, shape) in &wanted {
        match entries.get(name) {
            None => problems.push(format!("`{name}` {shape:?} is missing")),
            Some(entry) if entry.shape != *shape => {
                problems.push(format!("`{name}` has shape {:?}, wanted {shape:?}", entry.shape));
            }
            Some(entry) => match &entry.element {
                Element::Readable(DType::F64 | DType::F32 | DType::F16 | DType::BF16) => {}
                Element::Readable(other) => problems.push(format!("`{name}` holds {other:?}, wanted floats")),
                Element::Other(other) => {
                    problems.push(format!("`{name}` holds {other}, which is not read yet"));
                }
            },
        }
    }
    let known = |name: &str| wanted.binary_search_by(|(other, _)| other.as_str().cmp(name)).is_ok();
    for name in entries.keys() {
        if closed(name) && !known(name) {
            problems.push(format!("`{name}` is not expected"));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(LISTED);
    problems.truncate(LISTED);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    Err(problems.join(", "))
}
