//! The spellings of upscalers' tensors, and their way to Real-ESRGAN's: `conv_first`, `body.0.rdb1.conv1`, `conv_body`, `conv_up1`,
//! `conv_hr`, `conv_last`. Only spelling: what the names make up is told beside.

use crate::entry::Entries;

/// What training programs put a network's tensors into, the better first: the mean over the last steps, and the last step's.
const WRAPPERS: &[&str] = &["params_ema.", "params."];

/// Names of the published code of ESRGAN, and ours: replaced from the start of a name.
const ESRGAN: &[(&str, &str)] = &[
    ("RRDB_trunk.", "body."),
    ("trunk_conv.", "conv_body."),
    ("upconv", "conv_up"),
    ("HRconv.", "conv_hr."),
];

/// The tensor that tells that spelling.
const ESRGAN_MARK: &str = "RRDB_trunk.0.RDB1.conv1.weight";
/// The tensor that tells the spelling of the code before it, in which layers are numbered.
const NUMBERED_MARK: &str = "model.1.sub.0.RDB1.conv1.0.weight";

/// The entries under our names, if they are an upscaler's; others as they are.
pub(crate) fn canonical(entries: Entries) -> Entries {
    let entries = unwrapped(entries);
    if entries.contains_key(ESRGAN_MARK) {
        return renamed(entries, esrgan);
    }
    if entries.contains_key(NUMBERED_MARK) {
        let ends = numbered_ends(&entries);
        return renamed(entries, |name| numbered(name, &ends));
    }
    entries
}

fn unwrapped(entries: Entries) -> Entries {
    let holds = |wrapper: &&&str| entries.keys().any(|name| name.starts_with(**wrapper));
    let Some(wrapper) = WRAPPERS.iter().find(holds) else { return entries };
    let inside = |(name, entry): (String, _)| Some((name.strip_prefix(wrapper)?.to_owned(), entry));
    entries.into_iter().filter_map(inside).collect()
}

fn renamed(entries: Entries, rename: impl Fn(&str) -> Option<String>) -> Entries {
    let name = |(name, entry): (String, _)| (rename(&name).unwrap_or(name), entry);
    entries.into_iter().map(name).collect()
}

fn esrgan(name: &str) -> Option<String> {
    let (old, new) = ESRGAN.iter().find(|(old, _)| name.starts_with(old))?;
    Some(format!("{new}{}", name.strip_prefix(old)?.replacen(".RDB", ".rdb", 1)))
}

/// Numbers of the layers after the trunk that have weights, in their order.
fn numbered_ends(entries: &Entries) -> Vec<usize> {
    let number = |name: &String| name.strip_prefix("model.")?.strip_suffix(".weight")?.parse::<usize>().ok();
    let mut numbers: Vec<usize> = entries.keys().filter_map(number).filter(|&number| number > 1).collect();
    numbers.sort_unstable();
    numbers
}

/// `model.0` is the first layer, `model.1.sub` has the blocks and the layer after them, and what follows are the layers after
/// doublings and the two last.
fn numbered(name: &str, ends: &[usize]) -> Option<String> {
    let rest = name.strip_prefix("model.")?;
    if let Some(part) = rest.strip_prefix("0.") {
        return Some(format!("conv_first.{part}"));
    }
    if let Some(inside) = rest.strip_prefix("1.sub.") {
        let parts: Vec<&str> = inside.split('.').collect();
        return match parts[..] {
            [_, part] => Some(format!("conv_body.{part}")),
            [block, dense, conv, "0", part] => {
                Some(format!("body.{block}.{}.{conv}.{part}", dense.to_lowercase()))
            }
            _ => None,
        };
    }
    let (number, part) = rest.split_once('.')?;
    let place = ends.iter().position(|end| number.parse() == Ok(*end))?;
    Some(match ends.len() - place {
        1 => format!("conv_last.{part}"),
        2 => format!("conv_hr.{part}"),
        _ => format!("conv_up{}.{part}", place + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Data, Element, Entry};
    use impasto_tensor::DType;

    fn names(given: &[&str]) -> Vec<String> {
        let entry =
            Entry { element: Element::Readable(DType::F32), shape: vec![1], data: Data::InFile(0..0) };
        let entries = given.iter().map(|name| ((*name).to_owned(), entry.clone())).collect();
        canonical(entries).into_keys().collect()
    }

    #[test]
    fn each_spelling_becomes_ours() {
        let wanted = [
            "body.0.rdb1.conv1.weight",
            "body.10.rdb3.conv5.bias",
            "conv_body.weight",
            "conv_first.bias",
            "conv_hr.weight",
            "conv_last.weight",
            "conv_up1.weight",
            "conv_up2.weight",
        ];
        let ema: Vec<String> = wanted.iter().map(|name| format!("params_ema.{name}")).collect();
        let mut ema: Vec<&str> = ema.iter().map(String::as_str).collect();
        ema.push("params.conv_first.bias");
        assert_eq!(names(&ema), wanted);
        assert_eq!(
            names(&[
                "RRDB_trunk.0.RDB1.conv1.weight",
                "RRDB_trunk.10.RDB3.conv5.bias",
                "trunk_conv.weight",
                "conv_first.bias",
                "HRconv.weight",
                "conv_last.weight",
                "upconv1.weight",
                "upconv2.weight",
            ]),
            wanted
        );
        assert_eq!(
            names(&[
                "model.1.sub.0.RDB1.conv1.0.weight",
                "model.1.sub.10.RDB3.conv5.0.bias",
                "model.1.sub.23.weight",
                "model.0.bias",
                "model.8.weight",
                "model.10.weight",
                "model.3.weight",
                "model.6.weight",
            ]),
            wanted
        );
    }

    #[test]
    fn others_stay_as_they_are() {
        for given in [&["model.diffusion_model.out.0.bias"][..], &["model.0.weight", "model.2.weight"], &[]] {
            assert_eq!(names(given), given);
        }
    }

    #[test]
    fn numbers_that_are_none_do_no_harm() {
        let odd =
            ["model.1.sub.0.RDB1.conv1.0.weight", "model.99999999999999999999999.weight", "model.x.weight"];
        assert_eq!(names(&odd)[1..], ["model.99999999999999999999999.weight", "model.x.weight"]);
    }
}
