//! Calls whose shapes make no sense: every one must be an error, and none may panic.

use super::{rows_of_noise, weight};
use crate::{
    Activation, AttentionArgs, Backend, Conv2dArgs, Conv2dConfig, LinearArgs, PaddingMode, Precision,
    Resample, TensorError,
};

/// Names of the calls that `backend` should have refused and did not. An error if even the sound arguments are refused.
pub fn accepted_nonsense<B: Backend>(backend: &B) -> Result<Vec<&'static str>, TensorError> {
    let tensor = |shape: &[usize]| backend.upload(&rows_of_noise(0, 0..shape[0], &shape[1..]));
    let (x, y, picture) = (tensor(&[2, 3, 8])?, tensor(&[2, 3, 6])?, tensor(&[2, 4, 4, 8])?);
    let (matrix, kernel, eight, six) =
        (weight(0, &[6, 8]), weight(1, &[6, 8, 3, 3]), weight(2, &[8]), weight(3, &[6]));
    let (matrix, kernel, eight, six) = (matrix.view()?, kernel.view()?, eight.view()?, six.view()?);
    let linear = backend.prepare_linear(&matrix, Some(&six), Precision::F32)?;
    let conv = backend.prepare_conv2d(&kernel, None, Conv2dConfig::padded(0), Precision::F32)?;
    let norm = backend.prepare_norm(&eight, &eight)?;
    let table = backend.prepare_embedding(&matrix)?;
    let attend = |q, k, v, heads, key_lengths: Option<&[usize]>| {
        backend.attention(q, k, v, AttentionArgs { key_lengths, ..AttentionArgs::new(heads) }).is_ok()
    };
    let circular = || Conv2dArgs { padding_mode: PaddingMode::Circular, ..Conv2dArgs::default() };
    let calls = [
        ("bias of another length", backend.prepare_linear(&matrix, Some(&eight), Precision::F32).is_ok()),
        ("linear weight of rank 4", backend.prepare_linear(&kernel, None, Precision::F32).is_ok()),
        (
            "kernel of rank 2",
            backend.prepare_conv2d(&matrix, None, Conv2dConfig::padded(1), Precision::F32).is_ok(),
        ),
        (
            "stride 0",
            backend
                .prepare_conv2d(&kernel, None, Conv2dConfig { stride: 0, padding: [1; 4] }, Precision::F32)
                .is_ok(),
        ),
        ("norm of two lengths", backend.prepare_norm(&eight, &six).is_ok()),
        ("table of rank 1", backend.prepare_embedding(&eight).is_ok()),
        ("reshape to another size", backend.reshape(&x, &[2, 25]).is_ok()),
        ("reshape that overflows", backend.reshape(&x, &[usize::MAX, 2]).is_ok()),
        ("linear of other inputs", backend.linear(&y, &linear, LinearArgs::default()).is_ok()),
        (
            "linear with another residual",
            backend.linear(&x, &linear, LinearArgs { residual: Some(&x), ..LinearArgs::default() }).is_ok(),
        ),
        ("conv2d of a sequence", backend.conv2d(&x, &conv, Conv2dArgs::default()).is_ok()),
        ("conv2d of other channels", backend.conv2d(&tensor(&[1, 4, 4, 3])?, &conv, circular()).is_ok()),
        ("conv2d of a small picture", backend.conv2d(&tensor(&[1, 2, 4, 8])?, &conv, circular()).is_ok()),
        (
            "conv2d with another row bias",
            backend
                .conv2d(&picture, &conv, Conv2dArgs { row_bias: Some(&x), ..Conv2dArgs::default() })
                .is_ok(),
        ),
        (
            "conv2d with other slopes",
            backend
                .conv2d(&picture, &conv, Conv2dArgs { slopes: Some(&tensor(&[8])?), ..Conv2dArgs::default() })
                .is_ok(),
        ),
        ("gather from a sequence of rows", backend.gather_mean(&x, &[0], &[1]).is_ok()),
        (
            "gather of a token beyond the last",
            backend.gather_mean(&tensor(&[3, 8])?, &[0, 3], &[1, 2]).is_ok(),
        ),
        ("gather of nothing", backend.gather_mean(&tensor(&[3, 8])?, &[], &[]).is_ok()),
        ("a token without members", backend.gather_mean(&tensor(&[3, 8])?, &[0], &[0, 1]).is_ok()),
        ("an end that goes back", backend.gather_mean(&tensor(&[3, 8])?, &[0, 1], &[2, 1]).is_ok()),
        ("members after the last end", backend.gather_mean(&tensor(&[3, 8])?, &[0, 1], &[1]).is_ok()),
        ("an end beyond the members", backend.gather_mean(&tensor(&[3, 8])?, &[0, 1], &[1, 3]).is_ok()),
        ("no groups", backend.group_norm(&x, &norm, 0, 1e-5, Activation::Silu).is_ok()),
        ("uneven groups", backend.group_norm(&x, &norm, 3, 1e-5, Activation::Silu).is_ok()),
        ("group norm of other features", backend.group_norm(&y, &norm, 2, 1e-5, Activation::Silu).is_ok()),
        ("layer norm of other features", backend.layer_norm(&y, &norm, 1e-5).is_ok()),
        ("attention of other features", attend(&x, &y, &y, 2, None)),
        ("attention of uneven heads", attend(&x, &x, &x, 3, None)),
        ("attention of no heads", attend(&x, &x, &x, 0, None)),
        ("attention of pictures", attend(&picture, &picture, &picture, 2, None)),
        ("a key length too many", attend(&x, &x, &x, 2, Some(&[1, 2, 3]))),
        ("a key length too large", attend(&x, &x, &x, 2, Some(&[1, 4]))),
        ("a row without keys", attend(&x, &x, &x, 2, Some(&[1, 0]))),
        ("geglu of an odd size", backend.geglu(&tensor(&[2, 3])?).is_ok()),
        ("sum of two shapes", backend.add(&x, &y).is_ok()),
        ("concat of nothing", backend.concat(&[]).is_ok()),
        ("concat of two ranks", backend.concat(&[&x, &picture]).is_ok()),
        ("concat_rows of nothing", backend.concat_rows(&[]).is_ok()),
        ("concat_rows of two shapes", backend.concat_rows(&[&x, &y]).is_ok()),
        ("columns beyond the end", backend.columns(&x, 4, 9).is_ok()),
        ("columns backwards", backend.columns(&x, 4, 3).is_ok()),
        ("rows beyond the end", backend.rows(&x, 1, 3).is_ok()),
        ("rows backwards", backend.rows(&x, 1, 0).is_ok()),
        ("enlarging a sequence", backend.resample(&x, Resample::Nearest { factor: 2 }).is_ok()),
        ("enlarging by 0", backend.resample(&picture, Resample::Nearest { factor: 0 }).is_ok()),
        (
            "enlarging beyond memory",
            backend.resample(&picture, Resample::Nearest { factor: 1 << 24 }).is_ok(),
        ),
        (
            "shuffling channels that fill no square",
            backend.resample(&picture, Resample::PixelShuffle { factor: 3 }).is_ok(),
        ),
        ("shuffling by 0", backend.resample(&picture, Resample::PixelShuffle { factor: 0 }).is_ok()),
        ("id beyond the table", backend.embedding(&table, &[5, 6], 1).is_ok()),
        ("ids that fill no batch", backend.embedding(&table, &[1, 2, 3], 2).is_ok()),
        ("ids without a batch", backend.embedding(&table, &[1, 2, 3], 0).is_ok()),
        ("odd timestep embedding", backend.timestep_embedding(&[1.0], 5).is_ok()),
    ];
    let calls = calls.into_iter().chain(super::adapted::nonsense(backend)?);
    Ok(calls.filter(|(_, accepted)| *accepted).map(|(name, _)| name).collect())
}
