//! The shape rules of every operation, shared by all backends so that they refuse the same things in the same words.
//!
//! Each function takes the shapes of the arguments and gives the shape of the result, or the sizes a kernel loops over.
//! Nothing here touches elements.

use crate::{AttentionArgs, Conv2dConfig, Resample, TensorError, WeightView};
use std::ops::Range;

/// Number of elements of `shape`; an error if it does not fit a `usize`.
pub fn elements(operation: &'static str, shape: &[usize]) -> Result<usize, TensorError> {
    shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n))
        .filter(|&count| count <= isize::MAX as usize / size_of::<f32>())
        .ok_or_else(|| TensorError::shape(operation, format!("shape {shape:?} is too large")))
}

/// Refuses two shapes that differ.
pub fn equal(operation: &'static str, a: &[usize], b: &[usize]) -> Result<(), TensorError> {
    if a == b { Ok(()) } else { Err(TensorError::shape(operation, format!("{a:?} beside {b:?}"))) }
}

/// Splits a shape into the product of its outer sizes and its last size, which must not be 0.
pub fn split_last(operation: &'static str, shape: &[usize]) -> Result<(usize, usize), TensorError> {
    match shape.split_last() {
        Some((&last, outer)) if last > 0 => Ok((elements(operation, outer)?, last)),
        _ => Err(TensorError::shape(operation, format!("{shape:?} has no features"))),
    }
}

/// `shape` with its last size replaced.
pub fn with_last(shape: &[usize], last: usize) -> Vec<usize> {
    let mut out = shape.to_vec();
    if let Some(size) = out.last_mut() {
        *size = last;
    }
    out
}

/// `[batch, height, width, channels]`, or an error.
pub fn picture(operation: &'static str, shape: &[usize]) -> Result<[usize; 4], TensorError> {
    match *shape {
        [b, h, w, c] if c > 0 => Ok([b, h, w, c]),
        _ => Err(TensorError::shape(
            operation,
            format!("{shape:?} is no picture [batch, height, width, channels]"),
        )),
    }
}

/// Sizes `[out, in]` of a linear layer's weight, with its bias checked.
pub fn linear_weight(
    weight: &WeightView<'_>,
    bias: Option<&WeightView<'_>>,
) -> Result<[usize; 2], TensorError> {
    const OPERATION: &str = "prepare_linear";
    let &[out, inputs] = weight.shape() else {
        return Err(TensorError::shape(OPERATION, format!("weight {:?} is not [out, in]", weight.shape())));
    };
    nonempty(OPERATION, weight.shape())?;
    bias.map_or(Ok(()), |bias| equal(OPERATION, bias.shape(), &[out]))?;
    Ok([out, inputs])
}

/// Sizes `[out, rank, in]` of a low-rank change of a linear layer.
pub fn low_rank_weight(down: &WeightView<'_>, up: &WeightView<'_>) -> Result<[usize; 3], TensorError> {
    const OPERATION: &str = "prepare_low_rank";
    let (&[rank, inputs], &[out, from]) = (down.shape(), up.shape()) else {
        let problem = format!("{:?} and {:?} are not [rank, in] and [out, rank]", down.shape(), up.shape());
        return Err(TensorError::shape(OPERATION, problem));
    };
    nonempty(OPERATION, down.shape())?;
    nonempty(OPERATION, up.shape())?;
    equal(OPERATION, &[rank], &[from])?;
    Ok([out, rank, inputs])
}

/// Sizes `[out, in, kernel height, kernel width]` of a convolution's weight, with its bias and stride checked.
pub fn conv2d_weight(
    weight: &WeightView<'_>,
    bias: Option<&WeightView<'_>>,
    config: Conv2dConfig,
) -> Result<[usize; 4], TensorError> {
    const OPERATION: &str = "prepare_conv2d";
    let &[out, inputs, height, width] = weight.shape() else {
        return Err(TensorError::shape(
            OPERATION,
            format!("weight {:?} is not [out, in, kernel height, kernel width]", weight.shape()),
        ));
    };
    nonempty(OPERATION, weight.shape())?;
    bias.map_or(Ok(()), |bias| equal(OPERATION, bias.shape(), &[out]))?;
    if config.stride == 0 {
        return Err(TensorError::shape(OPERATION, "stride 0"));
    }
    Ok([out, inputs, height, width])
}

/// Number of features of a normalisation's scale and shift.
pub fn norm_weight(scale: &WeightView<'_>, shift: &WeightView<'_>) -> Result<usize, TensorError> {
    const OPERATION: &str = "prepare_norm";
    let &[features] = scale.shape() else {
        return Err(TensorError::shape(OPERATION, format!("scale {:?} is not [features]", scale.shape())));
    };
    nonempty(OPERATION, scale.shape())?;
    equal(OPERATION, scale.shape(), shift.shape())?;
    Ok(features)
}

/// Sizes `[rows, features]` of an embedding table.
pub fn embedding_weight(table: &WeightView<'_>) -> Result<[usize; 2], TensorError> {
    const OPERATION: &str = "prepare_embedding";
    let &[rows, features] = table.shape() else {
        return Err(TensorError::shape(
            OPERATION,
            format!("table {:?} is not [rows, features]", table.shape()),
        ));
    };
    nonempty(OPERATION, table.shape())?;
    Ok([rows, features])
}

fn nonempty(operation: &'static str, shape: &[usize]) -> Result<(), TensorError> {
    if shape.contains(&0) {
        return Err(TensorError::shape(operation, format!("{shape:?} is empty")));
    }
    Ok(())
}

/// `[tokens, features]` of the result of [`crate::Backend::gather_mean`].
pub fn gather_mean(x: &[usize], members: &[u32], ends: &[u32]) -> Result<[usize; 2], TensorError> {
    const OPERATION: &str = "gather_mean";
    let &[tokens, features] = x else {
        return Err(TensorError::shape(OPERATION, format!("{x:?} are no tokens [n, features]")));
    };
    if let Some(beyond) = members.iter().find(|&&id| id as usize >= tokens) {
        return Err(TensorError::shape(OPERATION, format!("token {beyond} of {tokens}")));
    }
    let grows = ends.first().is_some_and(|&end| end > 0) && ends.windows(2).all(|pair| pair[0] < pair[1]);
    if features == 0 || !grows || ends.last().map(|&end| end as usize) != Some(members.len()) {
        let problem = format!("{} ends for {} members of {features} features", ends.len(), members.len());
        return Err(TensorError::shape(OPERATION, problem));
    }
    elements(OPERATION, &[ends.len(), features])?;
    Ok([ends.len(), features])
}

/// The result's shape of a linear layer of `[out, in]`.
pub fn linear(
    x: &[usize],
    [out, inputs]: [usize; 2],
    residual: Option<&[usize]>,
) -> Result<Vec<usize>, TensorError> {
    const OPERATION: &str = "linear";
    let (_, features) = split_last(OPERATION, x)?;
    if features != inputs {
        return Err(TensorError::shape(OPERATION, format!("{x:?} into a layer of {inputs} inputs")));
    }
    let shape = with_last(x, out);
    elements(OPERATION, &shape)?;
    residual.map_or(Ok(()), |residual| equal(OPERATION, residual, &shape))?;
    Ok(shape)
}

/// Refuses changes of `[out, rank, in]` for rows of `x` that do not fit a linear layer of `[out, in]`.
pub fn row_adapters<'a>(
    x: &[usize],
    layer: [usize; 2],
    mut adapters: impl Iterator<Item = (&'a Range<usize>, [usize; 3])>,
) -> Result<(), TensorError> {
    let count = if x.len() < 2 { 0 } else { x[0] };
    adapters.try_for_each(|(rows, [out, _, inputs])| {
        if rows.is_empty() || rows.end > count {
            return Err(TensorError::shape("linear", format!("an adapter for rows {rows:?} of {x:?}")));
        }
        equal("linear", &[out, inputs], &layer)
    })
}

/// The sizes a convolution loops over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dSizes {
    /// Pictures.
    pub batch: usize,
    /// Rows of an input picture.
    pub height: usize,
    /// Pixels in a row of an input picture.
    pub width: usize,
    /// Channels of an input pixel.
    pub inputs: usize,
    /// Rows of an output picture.
    pub out_height: usize,
    /// Pixels in a row of an output picture.
    pub out_width: usize,
    /// Channels of an output pixel.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
}

impl Conv2dSizes {
    /// The result's shape.
    pub fn shape(&self) -> Vec<usize> {
        vec![self.batch, self.out_height, self.out_width, self.outputs]
    }
}

/// The sizes of a convolution of `x` with a kernel of `[out, in, kernel height, kernel width]`, and of what is fused with it: row bias,
/// slopes and residual.
pub fn conv2d(
    x: &[usize],
    [outputs, inputs, kernel_height, kernel_width]: [usize; 4],
    config: Conv2dConfig,
    [row_bias, slopes, residual]: [Option<&[usize]>; 3],
) -> Result<Conv2dSizes, TensorError> {
    const OPERATION: &str = "conv2d";
    let [batch, height, width, channels] = picture(OPERATION, x)?;
    if channels != inputs {
        return Err(TensorError::shape(OPERATION, format!("{x:?} into a convolution of {inputs} channels")));
    }
    let [top, bottom, left, right] = config.padding;
    let extent = |size: usize, before: usize, after: usize, kernel: usize| {
        let padded = size.checked_add(before)?.checked_add(after)?;
        (size > 0).then_some(padded.checked_sub(kernel)? / config.stride.max(1) + 1)
    };
    let (Some(out_height), Some(out_width)) =
        (extent(height, top, bottom, kernel_height), extent(width, left, right, kernel_width))
    else {
        return Err(TensorError::shape(
            OPERATION,
            format!("{x:?} is smaller than the kernel {kernel_height} x {kernel_width}"),
        ));
    };
    let kernel = [kernel_height, kernel_width];
    let sizes = Conv2dSizes { batch, height, width, inputs, out_height, out_width, outputs, kernel };
    elements(OPERATION, &sizes.shape())?;
    row_bias.map_or(Ok(()), |bias| equal(OPERATION, bias, &[batch, outputs]))?;
    slopes.map_or(Ok(()), |slopes| equal(OPERATION, slopes, &[outputs]))?;
    residual.map_or(Ok(()), |residual| equal(OPERATION, residual, &sizes.shape()))?;
    Ok(sizes)
}

/// `[batch, pixels, features]` of a group normalisation.
pub fn group_norm(x: &[usize], features: usize, groups: usize) -> Result<[usize; 3], TensorError> {
    const OPERATION: &str = "group_norm";
    let (rows, last) = split_last(OPERATION, x)?;
    if x.len() < 2 || last != features {
        return Err(TensorError::shape(OPERATION, format!("{x:?} into a norm of {features} features")));
    }
    if groups == 0 || !features.is_multiple_of(groups) {
        return Err(TensorError::shape(OPERATION, format!("{features} features in {groups} groups")));
    }
    Ok([x[0], rows / x[0].max(1), features])
}

/// `[rows, features]` of a layer normalisation.
pub fn layer_norm(x: &[usize], features: usize) -> Result<[usize; 2], TensorError> {
    let (rows, last) = split_last("layer_norm", x)?;
    if last != features {
        return Err(TensorError::shape("layer_norm", format!("{x:?} into a norm of {features} features")));
    }
    Ok([rows, features])
}

/// The sizes attention loops over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionSizes {
    /// Rows of the batch.
    pub batch: usize,
    /// Queries of a row.
    pub queries: usize,
    /// Keys of a row, padding included.
    pub keys: usize,
    /// Heads.
    pub heads: usize,
    /// Features of a head.
    pub head_size: usize,
}

impl AttentionSizes {
    /// Features of all heads together.
    pub fn features(&self) -> usize {
        self.heads * self.head_size
    }
}

/// The sizes of an attention call.
pub fn attention(
    query: &[usize],
    key: &[usize],
    value: &[usize],
    args: &AttentionArgs<'_>,
) -> Result<AttentionSizes, TensorError> {
    const OPERATION: &str = "attention";
    let (&[batch, queries, features], &[key_batch, keys, key_features]) = (query, key) else {
        return Err(TensorError::shape(
            OPERATION,
            format!("{query:?} and {key:?} are not [batch, tokens, features]"),
        ));
    };
    equal(OPERATION, key, value)?;
    if key_batch != batch || key_features != features || keys == 0 {
        return Err(TensorError::shape(OPERATION, format!("queries {query:?} beside keys {key:?}")));
    }
    if features == 0 || args.heads == 0 || !features.is_multiple_of(args.heads) {
        return Err(TensorError::shape(OPERATION, format!("{features} features in {} heads", args.heads)));
    }
    if let Some(lengths) = args.key_lengths
        && (lengths.len() != batch || lengths.iter().any(|length| !(1..=keys).contains(length)))
    {
        return Err(TensorError::shape(OPERATION, format!("key lengths {lengths:?} for keys {key:?}")));
    }
    Ok(AttentionSizes { batch, queries, keys, heads: args.heads, head_size: features / args.heads })
}

/// The result's shape of a gated GELU.
pub fn geglu(x: &[usize]) -> Result<Vec<usize>, TensorError> {
    let (_, last) = split_last("geglu", x)?;
    if !last.is_multiple_of(2) {
        return Err(TensorError::shape("geglu", format!("{x:?} has no two halves")));
    }
    Ok(with_last(x, last / 2))
}

/// The result's shape of joining along the last dimension.
pub fn concat(parts: &[&[usize]]) -> Result<Vec<usize>, TensorError> {
    const OPERATION: &str = "concat";
    let Some(first) = parts.first() else {
        return Err(TensorError::shape(OPERATION, "nothing to join"));
    };
    let mut features = 0usize;
    for part in parts {
        let (_, last) = split_last(OPERATION, part)?;
        equal(OPERATION, &first[..first.len() - 1], &part[..part.len() - 1])?;
        features = features.saturating_add(last);
    }
    let shape = with_last(first, features);
    elements(OPERATION, &shape)?;
    Ok(shape)
}

/// The result's shape of joining along the first dimension.
pub fn concat_rows(parts: &[&[usize]]) -> Result<Vec<usize>, TensorError> {
    const OPERATION: &str = "concat_rows";
    let mut rows = 0usize;
    let Some(inner) = parts.first().and_then(|first| first.get(1..)) else {
        return Err(TensorError::shape(OPERATION, "nothing to join"));
    };
    for part in parts {
        equal(OPERATION, inner, part.get(1..).unwrap_or_default())?;
        rows = rows.saturating_add(part.first().copied().unwrap_or(0));
    }
    let shape = [&[rows], inner].concat();
    elements(OPERATION, &shape)?;
    Ok(shape)
}

/// The result's shape of taking columns.
pub fn columns(x: &[usize], start: usize, end: usize) -> Result<Vec<usize>, TensorError> {
    let (_, last) = split_last("columns", x)?;
    if start >= end || end > last {
        return Err(TensorError::shape("columns", format!("{start}..{end} of {x:?}")));
    }
    Ok(with_last(x, end - start))
}

/// The result's shape of taking rows.
pub fn rows(x: &[usize], start: usize, end: usize) -> Result<Vec<usize>, TensorError> {
    match x.split_first() {
        Some((&count, inner)) if start <= end && end <= count => Ok([&[end - start], inner].concat()),
        _ => Err(TensorError::shape("rows", format!("{start}..{end} of {x:?}"))),
    }
}

/// The result's shape of enlarging a picture.
pub fn resample(x: &[usize], how: Resample) -> Result<Vec<usize>, TensorError> {
    let [batch, height, width, channels] = picture("resample", x)?;
    let (Resample::Nearest { factor } | Resample::PixelShuffle { factor }) = how;
    if factor == 0 {
        return Err(TensorError::shape("resample", "factor 0"));
    }
    let channels = match how {
        Resample::Nearest { .. } => channels,
        Resample::PixelShuffle { .. } => {
            let square = factor.saturating_mul(factor);
            if !channels.is_multiple_of(square) {
                return Err(TensorError::shape(
                    "resample",
                    format!("{channels} channels in squares of {factor}"),
                ));
            }
            channels / square
        }
    };
    let shape = vec![batch, height.saturating_mul(factor), width.saturating_mul(factor), channels];
    elements("resample", &shape)?;
    Ok(shape)
}

/// The result's shape of looking up `ids` in a table of `[rows, features]`.
pub fn embedding(ids: &[u32], batch: usize, [rows, features]: [usize; 2]) -> Result<Vec<usize>, TensorError> {
    const OPERATION: &str = "embedding";
    if batch == 0 || !ids.len().is_multiple_of(batch) {
        return Err(TensorError::shape(OPERATION, format!("{} ids in {batch} rows", ids.len())));
    }
    if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
        return Err(TensorError::shape(OPERATION, format!("id {id} of a table of {rows}")));
    }
    let shape = vec![batch, ids.len() / batch, features];
    elements(OPERATION, &shape)?;
    Ok(shape)
}

/// The result's shape of a timestep embedding.
pub fn timestep_embedding(timesteps: &[f32], features: usize) -> Result<Vec<usize>, TensorError> {
    if features == 0 || !features.is_multiple_of(2) {
        return Err(TensorError::shape(
            "timestep_embedding",
            format!("{features} features have no two halves"),
        ));
    }
    let shape = vec![timesteps.len(), features];
    elements("timestep_embedding", &shape)?;
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stride_and_asymmetric_padding() {
        let config = Conv2dConfig { stride: 2, padding: [0, 1, 0, 1] };
        let sizes = conv2d(&[1, 64, 63, 4], [8, 4, 3, 3], config, [None; 3]).unwrap();
        assert_eq!(sizes.shape(), [1, 32, 31, 8]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let config = Conv2dConfig::padded(0);
        assert!(conv2d(&[1, 2, 2, 4], [8, 4, 3, 3], config, [None; 3]).is_err());
        assert!(conv2d(&[1, 0, 8, 4], [8, 4, 3, 3], Conv2dConfig::padded(9), [None; 3]).is_err());
        assert!(linear(&[usize::MAX, 3], [7, 3], None).is_err());
        assert!(linear(&[], [7, 3], None).is_err());
        assert!(columns(&[2, 4], 3, 3).is_err());
        assert!(resample(&[1, 2, 2, 1], Resample::Nearest { factor: usize::MAX }).is_err());
        let args = AttentionArgs { key_lengths: Some(&[3, 5]), ..AttentionArgs::new(2) };
        assert!(attention(&[2, 4, 8], &[2, 4, 8], &[2, 4, 8], &args).is_err());
    }
}
