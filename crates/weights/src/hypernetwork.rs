//! Hypernetworks: two small networks for each width of what is attended to, one before the keys and one before the values of every
//! attention. Each is linear layers with an activation, a layer normalisation and dropout between them, as `torch.nn.Sequential` counts
//! them. What the numbers do is not known here.

use crate::detect::Shapes;
use crate::{Checkpoint, WeightsError};
use impasto_tensor::{Curve, DType, WeightView};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Names of the oldest files, and what they are called since.
const OLD_LAYERS: &[(&str, &str)] = &[("linear1", "linear.0"), ("linear2", "linear.1")];
/// Most elements of a hypernetwork: a gigabyte of `f32`.
const MAX_ELEMENTS: usize = 1 << 28;
/// Most layers that are looked for in a network.
const MAX_LAYERS: usize = 256;

/// An open hypernetwork file.
#[derive(Debug)]
pub struct Hypernetwork {
    file: Checkpoint,
    modules: BTreeMap<usize, [HyperModule; 2]>,
}

/// One of its networks.
pub type HyperModule = Vec<HyperLayer>;

/// A linear layer and what follows it: activation, then normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct HyperLayer {
    /// Name of the layer's tensors without the part.
    pub name: String,
    /// Features that come in.
    pub inputs: usize,
    /// Features that go out.
    pub outputs: usize,
    /// The function applied to each.
    pub curve: Option<Curve>,
    /// Name of a layer normalisation's tensors without the part.
    pub norm: Option<String>,
}

impl Hypernetwork {
    /// Opens a file of `torch.save`, or a safetensors file of the same names. Only the header is read.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = Checkpoint::open(path)?;
        let modules = modules(&file)
            .map_err(|problem| WeightsError::Hypernetwork { file: file.file().to_owned(), problem })?;
        Ok(Self { file, modules })
    }

    /// The networks before keys and before values, by the width of what is attended to.
    pub fn modules(&self) -> &BTreeMap<usize, [HyperModule; 2]> {
        &self.modules
    }

    /// A tensor, by the name that a layer has it under.
    pub fn tensor(&self, layer: &str, part: &str) -> Result<WeightView<'_>, WeightsError> {
        self.file.tensor(&format!("{layer}.{part}"))
    }
}

/// What is wrong, in words.
type Problem = String;

fn modules(file: &Checkpoint) -> Result<BTreeMap<usize, [HyperModule; 2]>, Problem> {
    let width = |name: &str| name.split_once('.')?.0.parse::<usize>().ok();
    let widths: BTreeSet<usize> = file.names().filter_map(width).collect();
    if widths.is_empty() {
        return Err("no network by the width of what it changes".to_owned());
    }
    let elements: usize = file.entries().values().map(|entry| entry.shape.iter().product::<usize>()).sum();
    if elements > MAX_ELEMENTS {
        return Err(format!("{elements} elements, more than {MAX_ELEMENTS}"));
    }
    let rule = Rule::of(file)?;
    let module = |width: usize, side: usize| rule.module(file, width, &format!("{width}.{side}"));
    widths.into_iter().map(|width| Ok((width, [module(width, 0)?, module(width, 1)?]))).collect()
}

/// Where the activation stands.
struct Rule {
    curve: Option<Curve>,
    at_the_end: bool,
}

impl Rule {
    fn of(file: &Checkpoint) -> Result<Self, Problem> {
        let said = |key: &str| file.metadata().get(key).map(|text| text.to_lowercase());
        let curve =
            match said("activation_func").as_deref() {
                None | Some("linear" | "none" | "") => None,
                // A1111 has another function under this name than others.
                Some("swish") => Some(Curve::Hardswish),
                Some(name) => Some(Curve::from_name(name).ok_or_else(|| {
                    format!("the activation {name:?}, which does not act on single numbers")
                })?),
            };
        Ok(Self { curve, at_the_end: said("activate_output").is_none_or(|flag| flag != "false") })
    }

    /// The layers of the network at `place`.
    fn module(&self, file: &Checkpoint, width: usize, place: &str) -> Result<HyperModule, Problem> {
        let shapes = Shapes { entries: file.entries() };
        let mut layers: HyperModule = Vec::new();
        for number in 0..MAX_LAYERS {
            let name = layer_name(file, place, number);
            let weight = format!("{name}.weight");
            let Some(entry) = file.entries().get(&weight) else { continue };
            match (entry.shape.len(), layers.last_mut()) {
                (2, last) => {
                    let [outputs, inputs] = shapes.sizes(&weight)?;
                    let wanted = last.map_or(width, |last| last.outputs);
                    if inputs != wanted {
                        return Err(format!("`{weight}` takes {inputs} features, and {wanted} come"));
                    }
                    check(file, &format!("{name}.bias"), outputs)?;
                    layers.push(HyperLayer { name, inputs, outputs, curve: self.curve, norm: None });
                }
                // The slope that a PReLU learned.
                (1, Some(last)) if !file.contains(&format!("{name}.bias")) => {
                    last.curve = Some(Curve::Leaky(number_of(file, &weight)?));
                }
                (1, Some(last)) => {
                    check(file, &weight, last.outputs)?;
                    check(file, &format!("{name}.bias"), last.outputs)?;
                    last.norm = Some(name);
                }
                _ => return Err(format!("`{weight}` of the shape {:?}", entry.shape)),
            }
        }
        let last = layers.last_mut().ok_or_else(|| format!("no layers in `{place}`"))?;
        if last.outputs != width {
            return Err(format!("`{place}` makes {} features of {width}", last.outputs));
        }
        if !self.at_the_end {
            last.curve = None;
        }
        Ok(layers)
    }
}

fn layer_name(file: &Checkpoint, place: &str, number: usize) -> String {
    let name = format!("linear.{number}");
    let old = OLD_LAYERS.iter().find(|(_, new)| *new == name).map(|(old, _)| format!("{place}.{old}"));
    let old = old.filter(|old| file.contains(&format!("{old}.weight")));
    old.unwrap_or_else(|| format!("{place}.{name}"))
}

/// That a tensor of one dimension has so many floats.
fn check(file: &Checkpoint, name: &str, size: usize) -> Result<(), Problem> {
    let tensor = file.tensor(name).map_err(|error| error.to_string())?;
    let floats = matches!(tensor.dtype(), DType::F64 | DType::F32 | DType::F16 | DType::BF16);
    if tensor.shape() == [size] && floats {
        return Ok(());
    }
    Err(format!("`{name}` is {:?} of the shape {:?}, wanted floats [{size}]", tensor.dtype(), tensor.shape()))
}

/// The one number of a tensor.
fn number_of(file: &Checkpoint, name: &str) -> Result<f32, Problem> {
    check(file, name, 1)?;
    let tensor = file.tensor(name).map_err(|error| error.to_string())?;
    let numbers = tensor.read().map_err(|error| error.to_string())?.to_f32();
    numbers.first().copied().ok_or_else(|| format!("`{name}` is empty"))
}
