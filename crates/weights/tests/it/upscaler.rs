//! Upscalers: from the names and shapes of a file to a configuration, what is said of others, and copying a file whole.

use crate::files::{Shapes, TestFile, safetensors};
use impasto_weights::{Checkpoint, CompactConfig, Container, ModelKind, RrdbConfig, UpscalerConfig};
use safetensors::tensor::Dtype;

/// The tensors of an RRDB network of 4 features and a growth of 2, with Real-ESRGAN's names. Written out independently of the
/// crate's own list.
fn rrdb(inputs: usize, blocks: usize) -> Shapes {
    let mut shapes = Shapes::new();
    let mut conv = |name: &str, from: usize, to: usize| {
        shapes.insert(format!("{name}.weight"), vec![to, from, 3, 3]);
        shapes.insert(format!("{name}.bias"), vec![to]);
    };
    conv("conv_first", inputs, 4);
    for dense in (0..blocks).flat_map(|block| (1..=3).map(move |dense| format!("body.{block}.rdb{dense}"))) {
        for (number, from, to) in [(1, 4, 2), (2, 6, 2), (3, 8, 2), (4, 10, 2), (5, 12, 4)] {
            conv(&format!("{dense}.conv{number}"), from, to);
        }
    }
    for name in ["conv_body", "conv_up1", "conv_up2", "conv_hr"] {
        conv(name, 4, 4);
    }
    conv("conv_last", 4, 3);
    shapes
}

fn compact(scale: usize) -> Shapes {
    let last = 3 * scale * scale;
    [
        ("body.0.weight", vec![4, 3, 3, 3]),
        ("body.0.bias", vec![4]),
        ("body.1.weight", vec![4]),
        ("body.2.weight", vec![4, 4, 3, 3]),
        ("body.2.bias", vec![4]),
        ("body.3.weight", vec![4]),
        ("body.4.weight", vec![last, 4, 3, 3]),
        ("body.4.bias", vec![last]),
    ]
    .map(|(name, shape)| (name.to_owned(), shape))
    .into()
}

fn file(shapes: &Shapes) -> TestFile {
    TestFile::new("up.safetensors", &safetensors(shapes, Dtype::F16, &[]))
}

fn config(shapes: &Shapes) -> UpscalerConfig {
    file(shapes).open().unwrap().upscaler().unwrap()
}

fn refusal(shapes: &Shapes) -> String {
    file(shapes).open().unwrap().upscaler().unwrap_err().to_string()
}

/// The same tensors under other names.
fn renamed(shapes: &Shapes, rename: impl Fn(&str) -> String) -> Shapes {
    shapes.iter().map(|(name, shape)| (rename(name), shape.clone())).collect()
}

#[test]
fn names_and_shapes_make_the_configuration() {
    for (inputs, unshuffle, scale) in [(3, 1, 4), (12, 2, 2), (48, 4, 1)] {
        let found = config(&rrdb(inputs, 2));
        let sizes = RrdbConfig { channels: 3, features: 4, growth: 2, blocks: 2, doublings: 2, unshuffle };
        assert_eq!((found, found.scale()), (UpscalerConfig::Rrdb(sizes), scale));
    }
    for scale in 1..=4 {
        let sizes = CompactConfig { channels: 3, features: 4, layers: 2, scale };
        assert_eq!(config(&compact(scale)), UpscalerConfig::Compact(sizes));
    }
    assert_eq!(config(&rrdb(3, 6)).to_string(), "4x, RRDB of 6 blocks");
    assert_eq!(config(&compact(2)).to_string(), "2x, compact network of 3 layers");
}

#[test]
fn spellings_make_no_difference() {
    let wanted = config(&rrdb(3, 2));
    let wrapped = renamed(&rrdb(3, 2), |name| format!("params_ema.{name}"));
    let published = renamed(&rrdb(3, 2), |name| {
        name.replace("body.", "RRDB_trunk.")
            .replace(".rdb", ".RDB")
            .replace("conv_RRDB_trunk", "trunk_conv")
            .replace("conv_hr", "HRconv")
            .replace("conv_up", "upconv")
    });
    assert!(
        published.contains_key("trunk_conv.bias") && published.contains_key("RRDB_trunk.1.RDB3.conv5.bias")
    );
    let numbered = renamed(&rrdb(3, 2), |name| {
        let (layer, part) = name.rsplit_once('.').unwrap();
        match layer {
            "conv_first" => format!("model.0.{part}"),
            "conv_body" => format!("model.1.sub.2.{part}"),
            "conv_up1" => format!("model.3.{part}"),
            "conv_up2" => format!("model.6.{part}"),
            "conv_hr" => format!("model.8.{part}"),
            "conv_last" => format!("model.10.{part}"),
            dense => format!("model.1.sub.{}.0.{part}", dense.replacen("body.", "", 1).replace("rdb", "RDB")),
        }
    });
    for shapes in [wrapped, published, numbered] {
        assert_eq!(config(&shapes), wanted);
    }
}

#[test]
fn other_architectures_are_named() {
    for (name, wanted) in [
        ("layers.0.residual_group.blocks.0.norm1.weight", "an upscaler of the SwinIR architecture"),
        ("params.layers.0.residual_group.blocks.0.conv_block.cab.0.weight", "an upscaler of the HAT"),
        ("params_ema.before_RG.1.weight", "an upscaler of the DAT"),
        ("something.weight", "of no known kind"),
        ("lora_unet_x.lora_down.weight", "a LoRA"),
    ] {
        let shapes =
            [(name, vec![8]), ("conv_first.weight", vec![180, 3, 3, 3])].map(|(n, s)| (n.to_owned(), s));
        let message = refusal(&shapes[..1].iter().cloned().collect());
        assert!(message.contains(wanted) && message.contains("RRDB, compact"), "{message}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let changed = |change: &dyn Fn(&mut Shapes)| {
        let mut shapes = rrdb(3, 2);
        change(&mut shapes);
        refusal(&shapes)
    };
    let with = |name: &'static str, shape: &'static [usize]| {
        changed(&move |shapes| _ = shapes.insert(name.to_owned(), shape.to_vec()))
    };
    let without = |name: &'static str| changed(&move |shapes| _ = shapes.remove(name));
    assert!(without("body.1.rdb2.conv3.bias").contains("`body.1.rdb2.conv3.bias` [2] is missing"));
    assert!(without("conv_last.weight").contains("`conv_last.weight` is missing"));
    assert!(without("body.0.rdb1.conv1.weight").contains("`body.0.rdb1.conv1.weight` is missing"));
    assert!(without("conv_up1.weight").contains("is not expected"));
    assert!(with("conv_first.weight", &[4, 5, 3, 3]).contains("5 input channels"));
    assert!(with("conv_first.weight", &[4, 3, 9_999_999, 3]).contains("absurd"));
    assert!(with("conv_first.weight", &[4, 3]).contains("wanted 4 dimensions"));
    assert!(with("body.0.rdb1.conv2.weight", &[2, 7, 3, 3]).contains("wanted [2, 6, 3, 3]"));
    assert!(with("more.weight", &[1]).contains("`more.weight` is not expected"));
    let many = changed(&|shapes| {
        for number in 3..6 {
            shapes.insert(format!("conv_up{number}.weight"), vec![4, 4, 3, 3]);
        }
    });
    assert!(many.contains("5 doublings"), "{many}");

    let changed = |change: &dyn Fn(&mut Shapes)| {
        let mut shapes = compact(4);
        change(&mut shapes);
        refusal(&shapes)
    };
    assert!(changed(&|shapes| _ = shapes.remove("body.1.weight")).contains("PReLU"));
    let odd = changed(&|shapes| _ = shapes.insert("body.4.weight".to_owned(), vec![47, 4, 3, 3]));
    assert!(odd.contains("47 output channels"), "{odd}");
    let bytes = safetensors(&compact(4), Dtype::I32, &[]);
    let whole = TestFile::new("up.safetensors", &bytes).open().unwrap().upscaler().unwrap_err().to_string();
    assert!(whole.contains("holds I32, wanted floats"), "{whole}");
}

#[test]
fn a_copy_is_whole_and_takes_nobodys_place() {
    let file = file(&compact(4));
    let checkpoint = file.open().unwrap();
    let target = file.folder.path().join("copy.safetensors");
    let mut told = 0;
    checkpoint.copy_to(&target, |bytes| told = bytes).unwrap();
    let bytes = std::fs::read(&file.path).unwrap();
    assert_eq!((std::fs::read(&target).unwrap(), told), (bytes.clone(), bytes.len() as u64));
    let again = checkpoint.copy_to(&file.path, |_| ()).unwrap_err();
    assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
    // What was opened is cut meanwhile: no copy, and nothing left over.
    std::fs::OpenOptions::new().write(true).open(&file.path).unwrap().set_len(9).unwrap();
    checkpoint.copy_to(&file.folder.path().join("cut.safetensors"), |_| ()).unwrap_err();
    let mut names: Vec<_> =
        std::fs::read_dir(file.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["copy.safetensors", "up.safetensors"]);
}

/// A compact network of one layer and a last, of 3 channels and scale 1, as ncnn has it.
#[test]
fn an_ncnn_pair_becomes_safetensors() {
    let text = "7767517\n5 5\nInput a 0 1 x\nConvolution b 1 1 x y 0=4 1=3 4=1 5=1 6=108\nPReLU c 1 1 y z 0=4\n\
                Convolution d 1 1 z w 0=3 1=3 4=1 5=1 6=108\nBinaryOp e 2 1 w x o\n";
    let halves = |count: u16| (0..count).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let singles = |count: u16| (0..count).flat_map(|x| f32::from(x).to_le_bytes()).collect::<Vec<u8>>();
    let tag = 0x0130_6B47_u32.to_le_bytes().to_vec();
    let weights = [tag.clone(), halves(108), singles(4), singles(4), tag, halves(108), singles(3)].concat();
    let file = TestFile::new("net.param", text.as_bytes());
    std::fs::write(file.folder.path().join("net.bin"), &weights).unwrap();
    for name in ["net.param", "net.bin"] {
        let pair = Checkpoint::open(&file.folder.path().join(name)).unwrap();
        assert_eq!((pair.container(), pair.kind()), (Container::Ncnn, ModelKind::Upscaler));
        let target = file.folder.path().join(format!("{name}.safetensors"));
        pair.copy_to(&target, |_| ()).unwrap();
        let copy = Checkpoint::open(&target).unwrap();
        assert_eq!(copy.upscaler().unwrap(), pair.upscaler().unwrap());
        assert_eq!(copy.tensor("body.0.weight").unwrap().shape(), [4, 3, 3, 3]);
        for tensor in pair.names() {
            let read =
                |checkpoint: &Checkpoint| checkpoint.tensor(tensor).unwrap().read().unwrap().bytes().to_vec();
            assert_eq!(read(&copy), read(&pair), "{tensor}");
        }
    }
    std::fs::remove_file(file.folder.path().join("net.bin")).unwrap();
    let error = file.open().unwrap_err().to_string();
    assert!(error.starts_with("cannot read net.bin"), "{error}");
}
