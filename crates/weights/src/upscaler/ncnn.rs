//! Upscalers as ncnn has them: `NAME.param`, a text with one layer a line, and `NAME.bin`, their weights one behind the other.
//!
//! The format is that of ncnn's `ModelBinFromDataReader`. No network is built from the text: layers with weights are counted and
//! get the names that the family's tensors have in that order (`upscaler`), whose shapes are compared afterwards. What else the text
//! says has to be what the family has.

use super::{DENSE_BLOCKS, DENSE_CONVOLUTIONS, rrdb_convolutions};
use crate::entry::{Data, Element, Entries, Entry};
use crate::error::Fault;
use crate::source::Source;
use impasto_tensor::DType;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// First line of the text.
pub(crate) const MAGIC: &str = "7767517";
/// Endings of the two files.
const TEXT: &str = "param";
const WEIGHTS: &str = "bin";

/// The largest text read, in bytes; that of 23 residual blocks has 116 kB.
const MAX_TEXT: u64 = 4 << 20;
/// The most layers.
const MAX_LAYERS: usize = 1 << 14;
/// Largest number believed where a layer says a size.
const MAX_SIZE: usize = 1 << 20;

/// Tag in front of weights of 16 bits.
const HALVES: u32 = 0x0130_6B47;
/// Tag in front of weights of 32 bits.
const SINGLES: u32 = 0;
/// Number of the activation that is a leaky `ReLU`, and its slope.
const LEAKY: &str = "2";
const LEAKY_SLOPE: f32 = 0.2;

/// Layers that have no weights.
const WEIGHTLESS: &[&str] = &["Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle"];

/// The two files of a pair of which `path` names one; nothing if it is no such file.
pub(crate) fn pair(path: &Path) -> Option<[PathBuf; 2]> {
    let ending = path.extension()?.to_str()?.to_lowercase();
    let files = [path.with_extension(TEXT), path.with_extension(WEIGHTS)];
    let is_pair = match ending.as_str() {
        TEXT => true,
        // Files of other formats have this ending, too.
        WEIGHTS => files[0].is_file(),
        _ => false,
    };
    is_pair.then_some(files)
}

/// The text of a pair.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let about = path.metadata()?;
    if !about.is_file() || about.len() > MAX_TEXT {
        return Err(io::Error::other(format!("it is no text of at most {MAX_TEXT} bytes")));
    }
    // Read without trusting the size: the file may grow.
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, MAX_TEXT), &mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// The tensors of a pair, their bytes in the file of weights.
pub(crate) fn read(text: &str, weights: &Source) -> Result<Entries, Fault> {
    let layers = layers(text)?;
    let names = names(&layers)?;
    let mut reader = Reader { weights, at: 0, entries: Entries::new() };
    for (layer, name) in layers.iter().zip(names) {
        reader.layer(layer, &name)?;
    }
    if reader.at != weights.len() {
        let (read, length) = (reader.at, weights.len());
        return Err(Fault::damaged(format!("its layers have {read} bytes of weights, the file {length}")));
    }
    Ok(reader.entries)
}

/// A layer with weights.
#[derive(Debug, PartialEq)]
enum Layer {
    /// Channels of the output, edge of the kernel, number of weights.
    Convolution { outputs: usize, kernel: usize, weights: usize },
    /// Slopes.
    Slopes(usize),
}

/// The layers with weights, in their order.
fn layers(text: &str) -> Result<Vec<Layer>, Fault> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines.next() != Some(MAGIC) {
        return Err(Fault::Foreign(format!("no ncnn network, whose text begins with {MAGIC}")));
    }
    let count = lines.next().and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let Some(count) = count.filter(|&count| count <= MAX_LAYERS) else {
        return Err(Fault::damaged(format!("its second line is no count of layers up to {MAX_LAYERS}")));
    };
    let mut layers = Vec::new();
    let mut found = 0;
    let mut last = "";
    for line in lines {
        found += 1;
        if found > count {
            break;
        }
        last = line.split_whitespace().next().unwrap_or_default();
        match last {
            "Convolution" => layers.push(convolution(line)?),
            "PReLU" => layers.push(Layer::Slopes(Values::of(line)?.size(0)?)),
            other if WEIGHTLESS.contains(&other) => {}
            other => return Err(Fault::Unsupported(format!("a layer `{}`", shown(other)))),
        }
    }
    if found != count {
        return Err(Fault::damaged(format!("its text names {count} layers and has {found} or more")));
    }
    if last == "Interp" {
        let problem = "a resize at its end: take the network without it";
        return Err(Fault::Unsupported(problem.to_owned()));
    }
    Ok(layers)
}

fn convolution(line: &str) -> Result<Layer, Fault> {
    let values = Values::of(line)?;
    let (outputs, kernel, weights) = (values.size(0)?, values.size(1)?, values.size(6)?);
    // Dilation, stride, padding and bias, as the family's convolutions have them.
    let usual = [("2", "1"), ("3", "1"), ("4", "1"), ("5", "1"), ("8", "0")];
    let odd = usual.iter().find(|(id, usual)| {
        let absent = matches!(*id, "2" | "3" | "8");
        values.get(id).map_or(!absent, |value| value != *usual)
    });
    if let Some((id, _)) = odd {
        let found = values.get(id).unwrap_or("absent");
        return Err(Fault::Unsupported(format!("a convolution whose value {id} is {}", shown(found))));
    }
    let activation = values.get("9").unwrap_or("0");
    let slope = values.get("-23310").and_then(|list| list.split_once(',')?.1.parse::<f32>().ok());
    if activation != "0" && (activation != LEAKY || slope != Some(LEAKY_SLOPE)) {
        return Err(Fault::Unsupported("an activation that is no leaky ReLU of slope 0.2".to_owned()));
    }
    Ok(Layer::Convolution { outputs, kernel, weights })
}

/// The `id=value` of a layer.
struct Values<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Values<'a> {
    fn of(line: &'a str) -> Result<Self, Fault> {
        let mut words = line.split_whitespace().skip(2);
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(inputs), Some(outputs)) = (number(), number()) else {
            return Err(Fault::damaged(format!("`{}` is no layer", shown(line))));
        };
        let values = words.skip(inputs.saturating_add(outputs)).filter_map(|word| word.split_once('='));
        Ok(Self(values.collect()))
    }

    fn get(&self, id: &str) -> Option<&'a str> {
        self.0.iter().find(|(own, _)| *own == id).map(|(_, value)| *value)
    }

    fn size(&self, id: usize) -> Result<usize, Fault> {
        let text = self.get(&id.to_string()).unwrap_or("absent");
        let size = text.parse().ok().filter(|size| (1..=MAX_SIZE * 16).contains(size));
        size.ok_or_else(|| Fault::damaged(format!("a layer's value {id} is {}, no size", shown(text))))
    }
}

/// The beginning of something from outside, for a message.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The places of the layers in the family's network.
fn names(layers: &[Layer]) -> Result<Vec<String>, Fault> {
    if layers.iter().any(|layer| matches!(layer, Layer::Slopes(_))) {
        return Ok((0..layers.len()).map(|number| format!("body.{number}")).collect());
    }
    let few = rrdb_convolutions(0).len();
    let a_block = DENSE_BLOCKS * DENSE_CONVOLUTIONS;
    match layers.len().checked_sub(few) {
        Some(inner) if inner > 0 && inner.is_multiple_of(a_block) => Ok(rrdb_convolutions(inner / a_block)),
        _ => {
            let count = layers.len();
            Err(Fault::Unsupported(format!(
                "{count} convolutions, which are no network of the ESRGAN family"
            )))
        }
    }
}

/// Walks through the weights.
struct Reader<'a> {
    weights: &'a Source,
    at: usize,
    entries: Entries,
}

impl Reader<'_> {
    fn layer(&mut self, layer: &Layer, name: &str) -> Result<(), Fault> {
        match *layer {
            Layer::Slopes(count) => self.tensor(format!("{name}.weight"), vec![count], DType::F32),
            Layer::Convolution { outputs, kernel, weights } => {
                let filter = outputs.saturating_mul(kernel.saturating_mul(kernel));
                if !weights.is_multiple_of(filter) {
                    let problem = format!("{weights} weights for {outputs} outputs of {kernel} x {kernel}");
                    return Err(Fault::damaged(problem));
                }
                let tag = self.weights.array(self.at)?.map(u32::from_le_bytes);
                let dtype = match tag {
                    Some(HALVES) => DType::F16,
                    Some(SINGLES) => DType::F32,
                    Some(tag) => return Err(Fault::Unsupported(format!("weights of kind {tag:#010x}"))),
                    None => return Err(self.cut(name)),
                };
                self.at += size_of::<u32>();
                let shape = vec![outputs, weights / filter, kernel, kernel];
                self.tensor(format!("{name}.weight"), shape, dtype)?;
                self.at = self.at.next_multiple_of(size_of::<u32>());
                self.tensor(format!("{name}.bias"), vec![outputs], DType::F32)
            }
        }
    }

    fn tensor(&mut self, name: String, shape: Vec<usize>, dtype: DType) -> Result<(), Fault> {
        let count = shape.iter().try_fold(dtype.size(), |product, &size| product.checked_mul(size));
        let end = count.and_then(|count| self.at.checked_add(count)).filter(|&end| end <= self.weights.len());
        let range: Range<usize> = self.at..end.ok_or_else(|| self.cut(&name))?;
        self.at = range.end;
        self.entries
            .insert(name, Entry { element: Element::Readable(dtype), shape, data: Data::InFile(range) });
        Ok(())
    }

    fn cut(&self, name: &str) -> Fault {
        Fault::damaged(format!("its weights end after {} bytes, before `{name}`", self.weights.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPACT: &str = "7767517
        8 9
        Input in 0 1 data
        Split s 1 2 data a b
        Convolution c 1 1 a d 0=2 1=3 4=1 5=1 6=54
        PReLU p 1 1 d e 0=2
        Convolution c2 1 1 e f 0=3 1=3 4=1 5=1 6=54
        PixelShuffle x 1 1 f g 0=1
        Interp r 1 1 b h 0=1 1=1.0 2=1.0
        BinaryOp o 2 1 g h output";

    /// The weights of `COMPACT`: the first convolution's in 16 bits.
    fn weights() -> Vec<u8> {
        let mut bytes = HALVES.to_le_bytes().to_vec();
        bytes.extend([1; 54 * 2]);
        bytes.extend([2; 2 * 4 + 2 * 4]);
        bytes.extend(SINGLES.to_le_bytes());
        bytes.extend([3; 54 * 4 + 3 * 4]);
        bytes
    }

    fn read(text: &str, bytes: Vec<u8>) -> Result<Entries, Fault> {
        super::read(text, &Source::Memory(bytes.into()))
    }

    #[test]
    fn layers_get_their_names_and_weights_their_places() {
        let entries = read(COMPACT, weights()).unwrap();
        let found: Vec<_> = entries
            .iter()
            .map(|(name, entry)| (name.as_str(), entry.shape.as_slice(), &entry.data))
            .collect();
        assert_eq!(
            found,
            [
                ("body.0.bias", &[2][..], &Data::InFile(112..120)),
                ("body.0.weight", &[2, 3, 3, 3], &Data::InFile(4..112)),
                ("body.1.weight", &[2], &Data::InFile(120..128)),
                ("body.2.bias", &[3], &Data::InFile(348..360)),
                ("body.2.weight", &[3, 2, 3, 3], &Data::InFile(132..348)),
            ]
        );
        assert_eq!(entries["body.0.weight"].element, Element::Readable(DType::F16));
        assert!(super::super::detect(&entries).is_ok());
    }

    #[test]
    fn what_is_odd_is_named() {
        let changed = |from: &str, to: &str| COMPACT.replace(from, to);
        for (text, wanted) in [
            (String::new(), "7767517"),
            (changed("8 9", "99999999 9"), "count of layers"),
            (changed("8 9", "-1"), "count of layers"),
            (changed("8 9", "9 9"), "names 9 layers"),
            (changed("8 9", "7 9"), "names 7 layers"),
            (changed("BinaryOp o 2", "Interp o 2"), "resize at its end"),
            (changed("PixelShuffle", "Deconvolution"), "`Deconvolution`"),
            (changed("PReLU p 1 1", "PReLU p one 1"), "is no layer"),
            (changed("PReLU p 1 1", "PReLU p 18446744073709551615 1"), "value 0 is absent"),
            (changed("0=2 1=3", "0=0 1=3"), "value 0 is 0"),
            (changed("6=54", "6=53"), "53 weights"),
            (changed("6=54", "6=18446744073709551616"), "value 6"),
            (changed("4=1 ", "4=0 "), "value 4 is 0"),
            (changed("5=1 ", ""), "value 5 is absent"),
            (changed("6=54", "6=54 3=2"), "value 3 is 2"),
            (changed("6=54", "6=54 9=2 -23310=1,0.3"), "leaky ReLU"),
            (changed("PReLU p 1 1 d e 0=2", "Split p 1 1 d e"), "2 convolutions"),
        ] {
            let error = read(&text, weights()).unwrap_err();
            let (Fault::Damaged(message) | Fault::Unsupported(message) | Fault::Foreign(message)) = error
            else {
                panic!("{error:?}")
            };
            assert!(message.contains(wanted), "{message} for {wanted}");
        }
    }

    #[test]
    fn weights_have_to_be_all_there_and_no_more() {
        let whole = weights();
        for length in 0..whole.len() {
            let cut = read(COMPACT, whole[..length].to_vec());
            assert!(matches!(cut, Err(Fault::Damaged(_))), "{length}: {cut:?}");
        }
        assert!(matches!(read(COMPACT, [whole.clone(), vec![0]].concat()), Err(Fault::Damaged(_))));
        let mut quantised = whole;
        quantised[..4].copy_from_slice(&0x000D_4B38_u32.to_le_bytes());
        let error = read(COMPACT, quantised).unwrap_err();
        assert_eq!(error, Fault::Unsupported("weights of kind 0x000d4b38".to_owned()));
    }

    #[test]
    fn a_pair_is_known_by_either_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("a.param"), MAGIC).unwrap();
        let wanted = Some([file("a.param"), file("a.bin")]);
        assert_eq!(pair(&file("a.param")), wanted);
        assert_eq!(pair(&file("a.bin")), wanted);
        assert_eq!(pair(&file("b.bin")), None);
        assert_eq!(pair(&file("a.pth")), None);
        assert_eq!(read_text(&file("a.param")).unwrap(), MAGIC);
        std::fs::write(file("large.param"), vec![b'7'; MAX_TEXT as usize + 1]).unwrap();
        assert!(read_text(&file("large.param")).is_err());
    }
}
