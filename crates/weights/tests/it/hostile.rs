//! Files made to harm: each gets one error, soon, and nothing else happens.

use crate::files::{TestFile, refusal, safetensors};
use crate::torch::{Pickle, archive, legacy, zip, zip64};
use impasto_weights::{Checkpoint, WeightsError};
use proptest::prelude::*;
use safetensors::tensor::Dtype;

fn open(bytes: &[u8]) -> Result<Checkpoint, WeightsError> {
    Checkpoint::from_bytes("x", bytes.to_vec())
}

/// What is said of an archive with this pickle and one storage of four half-precision zeros.
fn said(pickle: Vec<u8>) -> String {
    open(&archive(pickle, &[("0", &[0; 8])])).unwrap_err().to_string()
}

#[test]
fn names_outside_the_list_are_refused_by_name() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("collections", "namedtuple"),
        ("Torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_tensor_v2 "),
    ] {
        let called = Pickle::new().global(module, name).raw(b"(").text("touch /tmp/x").raw(b"tR").stop();
        let message = said(called);
        assert!(message.contains(&format!("asks for `{module}.{name}`")), "{message}");
        assert!(message.contains("nothing in it was executed"), "{message}");
        let stacked = Pickle::new().text(module).text(name).raw(b"\x93)R").stop();
        assert!(said(stacked).contains(&format!("`{module}.{name}`")));
        let old = legacy(&Pickle::new().global(module, name).raw(b")R").stop(), &[]);
        assert!(open(&old).unwrap_err().to_string().contains(&format!("`{module}.{name}`")));
    }
    assert!(said(Pickle::new().global("\u{1b}[31m", "x").stop()).contains("\\u{1b}[31m.x"));
}

#[test]
fn instructions_outside_the_list_are_refused() {
    for instruction in
        [&b"(ios\nsystem\n"[..], b"(cos\nsystem\no", b"\x82\x01", b"Pos\n", b"I1\n", b"\x97", b"\xff"]
    {
        let message = said(Pickle::new().raw(instruction).stop());
        assert!(message.contains("instruction") || message.contains("refused"), "{message}");
    }
}

#[test]
fn impossible_tensors_are_refused() {
    for (elements, offset, shape, strides, wanted) in [
        (4, 0, &[5][..], &[1][..], "outside its storage"),
        (4, 1, &[4], &[1], "outside its storage"),
        (4, -1, &[1], &[1], "impossible"),
        (4, 0, &[-1], &[1], "impossible"),
        (4, 0, &[2], &[-1], "impossible"),
        (4, 0, &[2, 2], &[1], "impossible"),
        (4, 0, &[2, 2], &[i32::MAX, 1], "outside"),
        (4, i32::MAX, &[i32::MAX, i32::MAX, i32::MAX], &[i32::MAX; 3], "outside"),
        (4, 0, &[1; 9], &[1; 9], "impossible"),
        (5, 0, &[5], &[1], "has 8 bytes instead of 5 elements of 2"),
        (i32::MAX, 0, &[1], &[1], "has 8 bytes"),
        (-4, 0, &[1], &[1], "absurd"),
        (4, 0, &[3, 3], &[1, 0], "overlapping"),
    ] {
        let pickle =
            Pickle::new().raw(b"}").text("a").tensor("0", elements, offset, shape, strides).raw(b"s").stop();
        let message = said(pickle);
        assert!(message.contains(wanted), "{elements} {offset} {shape:?} {strides:?}: {message}");
    }
    let absent = Pickle::new().raw(b"}").text("a").tensor("9", 4, 0, &[4], &[1]).raw(b"s").stop();
    assert!(said(absent).contains("storage `9` of `a` is missing"));
}

#[test]
fn bombs_run_out_of_budget() {
    // A dictionary in a dictionary, a hundred thousand times: no recursion, here or when it is dropped.
    let deep =
        Pickle::new().raw(&b"}X\x01\0\0\0a".repeat(100_000)).raw(b"}").raw(&b"s".repeat(100_000)).stop();
    assert!(open(&archive(deep, &[])).unwrap().names().next().is_none());
    let tuples = Pickle::new().raw(b")").raw(&b"\x85".repeat(200_000)).stop();
    assert!(said(tuples).contains("no dictionary of tensors"));
    // A list that holds itself.
    let cycle = Pickle::new().raw(b"}q\0").text("a").raw(b"h\0s").stop();
    assert!(open(&archive(cycle, &[])).unwrap().names().next().is_none());
    // Each level names the one below twenty thousand times.
    let mut laughs = Pickle::new().raw(b"]q\0").raw(b"h\0".repeat(20_000).as_slice());
    for level in 1..4u8 {
        let recall = [b'h', level - 1];
        laughs = laughs.raw(b"](").raw(&recall.repeat(20_000)).raw(b"eq").raw(&[level]);
    }
    let laughs = laughs.raw(b"}X\x01\0\0\0ah\x03s").stop();
    assert!(said(laughs).contains("more than 1000000 steps"));
    // A long list made into dictionaries again and again.
    let mut copies = Pickle::new().raw(b"](");
    for _ in 0..10_000 {
        copies = copies.raw(b"NN\x86");
    }
    copies = copies.raw(b"eq\0\x85q\x01ccollections\nOrderedDict\nq\x02");
    let copies = copies.raw(&b"h\x02h\x01R".repeat(200)).stop();
    assert!(said(copies).contains("more than 1000000 steps"));
    let endless = Pickle::new().raw(&b"N".repeat(2_000_000)).stop();
    assert!(said(endless).contains("more than 1000000 steps"));
    let marks = Pickle::new().raw(&b"(".repeat(900_000)).stop();
    assert!(said(marks).contains("makes no sense"));
    let memo = Pickle::new().raw(b"N").raw(&b"r\xff\xff\xff\xff".repeat(10)).stop();
    assert!(said(memo).contains("no dictionary"));
}

#[test]
fn lengths_beyond_the_file_are_refused_without_reserving_memory() {
    for instruction in [
        &b"X\xff\xff\xff\xff"[..],
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"B\xff\xff\xff\x7f",
        b"\x8b\xff\xff\xff\xff",
    ] {
        assert!(said(Pickle::new().raw(instruction).stop()).contains("truncated"));
    }
}

#[test]
fn odd_archives_are_refused() {
    let pickle = Pickle::new().raw(b"}").stop();
    let member = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    for (members, wanted) in [
        (vec![member("a.txt", b"hello")], "zip archive that torch.save did not write"),
        (vec![member("data.pkl", &pickle)], "torch.save did not write"),
        (vec![member("m/data.pkl", &pickle), member("n/data.pkl", &pickle)], "more than one data.pkl"),
        (vec![member("m/data.pkl", &pickle), member("m/data.pkl", &pickle)], "two members"),
        (vec![member("m/data.pkl", &pickle), member("m/constants.pkl", &pickle)], "TorchScript"),
        (vec![member("m/data.pkl", &pickle), member("m/byteorder", b"big")], "big-endian"),
    ] {
        let message = open(&zip(&members)).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
    let archive = zip(&[member("m/data.pkl", &pickle)]);
    let central = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    for (place, byte, wanted) in [
        (central + 10, 8, "compressed members"),
        (central + 8, 1, "encrypted members"),
        (central + 24, 0xee, "zip directory is broken"),
        (central + 42, 0xee, "lies outside the file"),
        (central, 0, "zip directory is broken"),
        (0, b'Q', "unknown format"),
    ] {
        let mut spoilt = archive.clone();
        spoilt[place] = byte;
        let message = open(&spoilt).unwrap_err().to_string();
        assert!(message.contains(wanted), "{wanted}: {message}");
    }
}

#[test]
fn a_member_may_not_reach_past_the_end() {
    let pickle = Pickle::new().raw(b"}").stop();
    let archive = zip(&[("m/data.pkl".to_owned(), pickle)]);
    let central = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let start = central - 4;
    for (size, fits) in [(archive.len() - start, true), (archive.len() - start + 1, false)] {
        let mut spoilt = archive.clone();
        for place in [20, 24] {
            spoilt[central + place..][..4].copy_from_slice(&(size as u32).to_le_bytes());
        }
        let opened = open(&spoilt);
        assert_eq!(opened.is_ok(), fits, "{opened:?}");
    }
}

#[test]
fn legacy_files_of_other_machines_are_refused() {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version = open(&[&magic[..], &Pickle::new().int(7).stop()].concat()).unwrap_err().to_string();
    assert!(version.contains("unknown version number"), "{version}");
    let facts = Pickle::new().raw(b"}").text("little_endian").raw(b"\x89s").stop();
    let big = open(&[&magic[..], &Pickle::new().int(1001).stop(), &facts].concat()).unwrap_err().to_string();
    assert!(big.contains("big-endian"), "{big}");
}

/// One small file of each container.
fn corpus() -> Vec<Vec<u8>> {
    let golden =
        |name| std::fs::read(format!("{}/../../goldens/checkpoints/{name}", env!("CARGO_MANIFEST_DIR")));
    let fused = "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight";
    let turned = "conditioner.embedders.1.model.text_projection";
    let shapes = [("a.b", &[2, 3][..]), ("c", &[4]), (fused, &[6, 2]), (turned, &[2, 3])];
    let shapes = shapes.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect();
    vec![
        safetensors(&shapes, Dtype::F16, &[("impasto.unet.heads", "4")]),
        golden("expected.safetensors").unwrap(),
        golden("zip.ckpt").unwrap(),
        golden("legacy.ckpt").unwrap(),
        golden("protocol_4.pt").unwrap(),
        golden("embedding.pt").unwrap(),
        zip64(&[("m/data.pkl".to_owned(), Pickle::new().raw(b"}").stop())]),
    ]
}

/// Touches all that a checkpoint can be asked.
fn exercise(bytes: &[u8]) -> bool {
    let Ok(checkpoint) = open(bytes) else { return false };
    for name in checkpoint.names() {
        if let Ok(tensor) = checkpoint.tensor(name)
            && let Ok(elements) = tensor.read()
        {
            assert!(elements.bytes().len() <= bytes.len());
        }
    }
    assert!(checkpoint.config().is_err());
    true
}

#[test]
fn every_truncation_is_an_error() {
    for file in corpus() {
        assert!(exercise(&file));
        for length in 0..file.len() {
            assert!(!exercise(&file[..length]), "{length} of {} bytes were accepted", file.len());
        }
    }
}

/// Xorshift (Marsaglia 2003), so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn flipped_and_moved_bytes_do_no_harm() {
    let corpus = corpus();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..6000 {
        let mut file = corpus[round % corpus.len()].clone();
        for _ in 0..=random.below(4) {
            let place = random.below(file.len());
            match random.below(4) {
                0 => file[place] ^= 1 << random.below(8),
                1 => file[place] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                2 => {
                    let from = random.below(file.len());
                    let length = random.below(16).min(file.len() - from.max(place));
                    file.copy_within(from..from + length, place);
                }
                _ => file.truncate(place.max(1)),
            }
        }
        exercise(&file);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_pickles_do_no_harm(program in proptest::collection::vec(any::<u8>(), 0..200)) {
        exercise(&archive(Pickle::new().raw(&program).stop(), &[("0", &[0; 8])]));
        exercise(&legacy(&program, &program));
    }

    #[test]
    fn arbitrary_headers_do_no_harm(header in "[{}\\[\\]\",:a-fF0-9.-]{0,120}", data in 0usize..64) {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.resize(file.len() + data, 0);
        exercise(&file);
    }
}

#[test]
fn hostile_files_on_disk_are_errors_too() {
    let file = TestFile::new("evil.ckpt", &archive(Pickle::new().global("os", "system").stop(), &[]));
    let message = refusal(&file.path);
    assert!(message.starts_with("evil.ckpt was refused") && message.contains("`os.system`"), "{message}");
}
