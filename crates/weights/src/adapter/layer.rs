//! What an adapter changes of one layer: its parts put together and their shapes checked against the layer's, so that whoever
//! computes with them need not.
//!
//! The kinds are those of LoRA (Hu et al. 2021), LyCORIS (Yeh et al. 2023: `LoHa`, `LoKr`, CP decomposition), IA3 (Liu et al.
//! 2022), `DoRA` (Liu et al. 2024), `GLoRA` (Chavan et al. 2023) and OFT (Qiu et al. 2023).

use impasto_tensor::Array;
use std::collections::BTreeMap;

/// A change of one layer's weight.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterLayer {
    /// What is changed.
    pub change: AdapterChange,
    /// What the change is multiplied with, beside the strength asked for: the file's `scale`, or `alpha` over the rank, or 1.
    pub scale: f32,
    /// `DoRA`: lengths that the weight's rows (`[out]`, stored `[out, 1]`) or columns (`[in]`) have afterwards.
    pub dora: Option<Dora>,
    /// What is added to the bias, `[out]`.
    pub bias: Option<Array>,
}

/// Lengths of a weight's rows or columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Dora {
    /// The lengths.
    pub lengths: Array,
    /// Whether they are of the rows, one for each output.
    pub of_outputs: bool,
}

/// A kind of change. Weights are `[out, in]`, or `[out, in, kernel, kernel]`; `n` stands for `in * kernel * kernel`.
#[derive(Debug, Clone, PartialEq)]
pub enum AdapterChange {
    /// `up down`: `down` is `[rank, in, ..]`, `up` `[out, rank]`.
    LowRank {
        /// To the rank.
        down: Array,
        /// From the rank.
        up: Array,
    },
    /// A core `[rank, rank, kernel, kernel]` between them, `down` being `[rank, in]`.
    Core {
        /// To the rank.
        down: Array,
        /// From the rank.
        up: Array,
        /// Between them.
        mid: Array,
    },
    /// The elementwise product of two matrices, `[out, n]`.
    Hadamard([Factored; 2]),
    /// The Kronecker product of two matrices.
    Kronecker([Factored; 2]),
    /// Each output's or, if `on_input`, each input's weights times a number.
    Rescale {
        /// `[out]` or `[in]`.
        by: Array,
        /// Which of both.
        on_input: bool,
    },
    /// The difference itself, of the weight's shape.
    Full(Array),
    /// `weight a2 a1 + b2 b1`, all of them matrices.
    Generalised {
        /// `[in, rank]`, `[rank, in]`: on the weight.
        a: [Array; 2],
        /// `[out, rank]`, `[rank, in]`: beside it.
        b: [Array; 2],
    },
    /// Outputs turned block by block, by `[blocks, size, size]`.
    Orthogonal {
        /// What makes the rotations.
        blocks: Array,
        /// Most that a block may turn, times the number of outputs; none if `None`.
        constraint: Option<f32>,
    },
}

/// A matrix as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Factored {
    /// Itself.
    Whole(Array),
    /// `a b`.
    Product(Array, Array),
    /// `einsum("i j ..., i p, j r -> p r ...", core, a, b)`: core, `a` and `b`.
    Core(Array, Array, Array),
}

/// The parts of a layer, by name.
type Parts = BTreeMap<&'static str, Array>;

/// Puts the parts of a layer together whose weight has `shape`, or says what is wrong with them.
pub(super) fn assemble(shape: &[usize], mut parts: Parts) -> Result<AdapterLayer, String> {
    let alpha = scalar(&mut parts, "alpha")?;
    let scale = scalar(&mut parts, "scale")?;
    let dora = parts.remove("dora_scale").map(|lengths| dora(shape, lengths)).transpose()?;
    let outputs = shape.first().copied().unwrap_or(0);
    let bias = parts.remove("diff_b");
    let constraint = alpha;
    let (change, rank) = change(shape, &mut parts, constraint)?;
    let bias = bias.or_else(|| parts.remove("b_norm"));
    if let Some(odd) = bias.as_ref().filter(|bias| bias.data().len() != outputs) {
        return Err(format!("a change {:?} of the bias of {outputs} outputs", odd.shape()));
    }
    if let Some((part, _)) = parts.first_key_value() {
        return Err(format!("`{part}` beside other parts"));
    }
    let by_rank = |alpha: f32| rank.map(|rank| alpha / rank as f32);
    let scale = scale.or_else(|| alpha.and_then(by_rank)).unwrap_or(1.0);
    Ok(AdapterLayer { change, scale, dora, bias })
}

/// The change, and the rank by which `alpha` is divided.
fn change(
    shape: &[usize],
    parts: &mut Parts,
    constraint: Option<f32>,
) -> Result<(AdapterChange, Option<usize>), String> {
    let outputs = shape.first().copied().unwrap_or(0);
    let size: usize = shape.iter().product();
    let n = size / outputs.max(1);
    let inputs = shape.get(1).copied().unwrap_or(1);
    let taps = n / inputs.max(1);
    if parts.contains_key("down") || parts.contains_key("up") {
        let (down, up) = (take(parts, "down")?, take(parts, "up")?);
        let rank = first(&down);
        if shape.len() < 2 {
            return Err("a matrix for a normalisation".to_owned());
        }
        if let Some(mid) = parts.remove("mid") {
            sized(&down, "down", &[rank, inputs])?;
            sized(&mid, "mid", &[rank, rank, taps])?;
            sized(&up, "up", &[outputs, rank])?;
            return Ok((AdapterChange::Core { down, up, mid }, Some(rank)));
        }
        sized(&up, "up", &[outputs, rank])?;
        // The inpainting model's first convolution takes more channels than the adapter was made for.
        let down = widened(&down, rank, [inputs, taps])?;
        return Ok((AdapterChange::LowRank { down, up }, Some(rank)));
    }
    if parts.contains_key("hada_w1_a") {
        let [t1, t2] = ["hada_t1", "hada_t2"].map(|name| parts.remove(name));
        let mut pair = |a, b, core: Option<Array>| -> Result<(Factored, usize), String> {
            let (a, b) = (take(parts, a)?, take(parts, b)?);
            let rank = first(&b);
            let Some(core) = core else {
                sized(&a, "hada_w_a", &[outputs, rank])?;
                sized(&b, "hada_w_b", &[rank, n])?;
                return Ok((Factored::Product(a, b), rank));
            };
            sized(&core, "hada_t", &[first(&a), rank, taps])?;
            sized(&a, "hada_w_a", &[first(&a), outputs])?;
            sized(&b, "hada_w_b", &[rank, inputs])?;
            Ok((Factored::Core(core, a, b), rank))
        };
        let (one, rank) = pair("hada_w1_a", "hada_w1_b", t1)?;
        let (two, _) = pair("hada_w2_a", "hada_w2_b", t2)?;
        return Ok((AdapterChange::Hadamard([one, two]), Some(rank)));
    }
    if let Some(by) = parts.remove("ia3") {
        let on_input = parts.remove("on_input").is_some_and(|flag| flag.data().first() == Some(&1.0));
        sized(&by, "weight", &[if on_input { inputs } else { outputs }])?;
        return Ok((AdapterChange::Rescale { by, on_input }, None));
    }
    if parts.keys().any(|name| name.starts_with("lokr_")) {
        return kronecker(parts, [outputs, inputs, taps]);
    }
    if let Some(diff) = parts.remove("diff").or_else(|| parts.remove("w_norm")) {
        let diff = widened(&diff, outputs, [inputs, taps])?;
        return Ok((AdapterChange::Full(diff), None));
    }
    if parts.contains_key("glora_a1") {
        let mut of = |name| take(parts, name);
        let [a1, a2, b1, b2] = [of("glora_a1")?, of("glora_a2")?, of("glora_b1")?, of("glora_b2")?];
        // A layer's own matrix is between `a`s that are stored as `[rank, in]` and `[in, rank]`.
        let rank = first(&a1);
        let rank_b = first(&b1);
        sized(&a1, "a1", &[rank, n])?;
        sized(&a2, "a2", &[n, rank])?;
        sized(&b1, "b1", &[rank_b, n])?;
        sized(&b2, "b2", &[outputs, rank_b])?;
        return Ok((AdapterChange::Generalised { a: [a2, a1], b: [b2, b1] }, None));
    }
    for name in ["oft_blocks", "oft_diag"] {
        let Some(blocks) = parts.remove(name) else { continue };
        let &[count, rows, columns] = blocks.shape() else {
            return Err(format!("rotations {:?} are not [blocks, size, size]", blocks.shape()));
        };
        if rows != columns || count * rows != outputs {
            return Err(format!("rotations {:?} of {outputs} outputs", blocks.shape()));
        }
        let constraint = constraint.filter(|_| name == "oft_blocks");
        return Ok((AdapterChange::Orthogonal { blocks, constraint }, None));
    }
    match parts.first_key_value() {
        Some((name, _)) => Err(format!("`{name}` alone")),
        None if shape.len() == 1 => Err("nothing that changes it".to_owned()),
        None => Err("no change, only what scales one".to_owned()),
    }
}

/// A Kronecker product, and the rank of its second factor or else of its first.
fn kronecker(
    parts: &mut Parts,
    [outputs, inputs, taps]: [usize; 3],
) -> Result<(AdapterChange, Option<usize>), String> {
    let mut rank = None;
    let mut factor = |whole, a, b, core: Option<Array>| -> Result<Factored, String> {
        if let Some(whole) = parts.remove(whole) {
            return Ok(Factored::Whole(whole));
        }
        let (a, b) = (take(parts, a)?, take(parts, b)?);
        rank = Some(first(&b));
        Ok(match core {
            Some(core) => Factored::Core(core, a, b),
            None => Factored::Product(a, b),
        })
    };
    let one = factor("lokr_w1", "lokr_w1_a", "lokr_w1_b", None)?;
    let two = factor("lokr_w2", "lokr_w2_a", "lokr_w2_b", None);
    let core = parts.remove("lokr_t2");
    let two = match (two?, core) {
        (Factored::Product(a, b), Some(core)) => Factored::Core(core, a, b),
        (two, _) => two,
    };
    let (Some([rows, columns]), Some([more_rows, more_columns])) = (one.size(1), two.size(taps)) else {
        return Err("factors whose parts do not fit together".to_owned());
    };
    if rows.checked_mul(more_rows) != Some(outputs) || columns.checked_mul(more_columns) != Some(inputs) {
        return Err(format!(
            "factors {rows}x{columns} and {more_rows}x{more_columns} of a weight {outputs}x{inputs}"
        ));
    }
    Ok((AdapterChange::Kronecker([one, two]), rank))
}

impl Factored {
    /// Outputs and inputs of a matrix of `taps` elements for each pair, if the parts fit together.
    fn size(&self, taps: usize) -> Option<[usize; 2]> {
        let rest = |array: &Array| array.data().len().checked_div(first(array));
        match self {
            Self::Whole(whole) => {
                let inputs = rest(whole)?.checked_div(taps)?;
                (first(whole) * inputs * taps == whole.data().len()).then_some([first(whole), inputs])
            }
            Self::Product(a, b) => {
                let inputs = rest(b)?.checked_div(taps)?;
                (rest(a)? == first(b) && inputs * taps == rest(b)?).then_some([first(a), inputs])
            }
            Self::Core(core, a, b) => (first(a).checked_mul(first(b))?.checked_mul(taps)?
                == core.data().len())
            .then_some([rest(a)?, rest(b)?]),
        }
    }
}

fn dora(shape: &[usize], lengths: Array) -> Result<Dora, String> {
    let (outputs, inputs) = (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(0));
    // As the original has it, the lengths of columns are `[1, in, ..]`; those of rows `[out, 1, ..]` or just `[out]`.
    let of_outputs = first(&lengths) != 1 || outputs == 1;
    sized(&lengths, "dora_scale", &[if of_outputs { outputs } else { inputs }])?;
    Ok(Dora { lengths, of_outputs })
}

fn take(parts: &mut Parts, name: &str) -> Result<Array, String> {
    parts.remove(name).ok_or_else(|| format!("no `{name}`"))
}

fn first(array: &Array) -> usize {
    array.shape().first().copied().unwrap_or(0)
}

/// Checks that an array has as many elements as `sizes` say, and some. Sizes may be anything.
fn sized(array: &Array, name: &str, sizes: &[usize]) -> Result<(), String> {
    let wanted = sizes.iter().fold(1, |product: usize, &size| product.saturating_mul(size));
    if array.data().len() == wanted && wanted > 0 {
        return Ok(());
    }
    Err(format!("`{name}` has the shape {:?}, {wanted} elements are wanted", array.shape()))
}

/// `[rows, fewer inputs, taps]` with zeros for the inputs that it has not.
fn widened(array: &Array, rows: usize, [inputs, taps]: [usize; 2]) -> Result<Array, String> {
    let wanted = inputs * taps;
    let has = array.data().len().checked_div(rows).unwrap_or(0);
    let fits = has > 0 && has.saturating_mul(rows) == array.data().len() && has.is_multiple_of(taps.max(1));
    let pads = inputs == 9 && has == 4 * taps;
    if !fits || (has != wanted && !pads) {
        return Err(format!("the shape {:?}, {rows} times {wanted} elements are wanted", array.shape()));
    }
    let mut data = Vec::with_capacity(rows * wanted);
    for row in array.data().chunks_exact(has) {
        data.extend_from_slice(row);
        data.resize(data.len() + wanted - has, 0.0);
    }
    Array::new([rows, inputs, taps], data).map_err(|error| error.to_string())
}

fn scalar(parts: &mut Parts, name: &str) -> Result<Option<f32>, String> {
    let Some(array) = parts.remove(name) else { return Ok(None) };
    match array.data() {
        [value] if value.is_finite() => Ok(Some(*value)),
        _ => Err(format!("`{name}` of the shape {:?} is no number", array.shape())),
    }
}
