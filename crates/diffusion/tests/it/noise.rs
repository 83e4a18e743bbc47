//! Noise against `goldens/noise.*`, made by `reference/make_noise.py`.

use impasto_diffusion::{BrownianTree, ImageNoise, MersenneTwister, Philox};
use impasto_domain::{NoiseSource, Seeds};
use impasto_tensor::Array;
use impasto_testkit::{golden, golden_json};

const SEEDS: [u64; 7] = [0, 1, 42, 5489, (1 << 32) - 1, (1 << 32) + 7, (1 << 63) - 1];

/// Numbers of the type between two, 0 where they are equal.
fn ulps(a: f32, b: f32) -> u32 {
    let place = |x: f32| {
        if x.is_sign_negative() { -((x.to_bits() & 0x7FFF_FFFF) as i32) } else { x.to_bits() as i32 }
    };
    place(a).abs_diff(place(b))
}

/// The largest difference between the rows of `wanted` and what `draw` gives call by call.
fn worst_ulps(wanted: &Array, mut draw: impl FnMut(usize) -> Vec<f32>) -> u32 {
    let worst = wanted.unstack().into_iter().map(|row| {
        let got = draw(row.data().len());
        assert_eq!(got.len(), row.data().len());
        got.iter().zip(row.data()).map(|(a, b)| ulps(*a, *b)).max().unwrap_or(0)
    });
    worst.max().unwrap()
}

#[test]
fn integer_streams_are_torchs_bit_for_bit() {
    let golden = golden_json("noise");
    for seed in SEEDS {
        let row = &golden[seed.to_string()];
        let mut twister = MersenneTwister::new(seed);
        let wanted: Vec<u32> = serde_json::from_value(row["mersenne"].clone()).unwrap();
        let got: Vec<u32> = wanted.iter().map(|_| twister.integer() & 0x7FFF_FFFF).collect();
        assert_eq!(got, wanted, "{seed}");

        let calls: Vec<Vec<[u32; 4]>> = serde_json::from_value(row["philox"].clone()).unwrap();
        let mut philox = Philox::new(seed);
        for wanted in calls {
            let got: Vec<[u32; 4]> = (0..wanted.len() as u32).map(|index| philox.integers(index)).collect();
            assert_eq!(got, wanted, "{seed}");
            philox.skip(1);
        }
    }
}

/// Two calls after the first show whether tails and pairs leave the stream where torch leaves it. The specification
/// asks for 2 units in the last place; it is equal.
#[test]
fn mersenne_twister_normals_are_torchs_bit_for_bit() {
    let golden = golden("noise");
    for seed in SEEDS {
        for count in [1, 3, 4, 15, 16, 17, 31, 32, 100, 1024] {
            let mut twister = MersenneTwister::new(seed);
            let wanted = golden.array(&format!("mersenne.{seed}.{count}"));
            let worst = worst_ulps(&wanted, |count| twister.normals(count));
            assert_eq!(worst, 0, "seed {seed}, {count} values");
        }
        let latent = MersenneTwister::new(seed).normals(4 * 64 * 64);
        let bits: u64 = latent.iter().map(|value| u64::from(value.to_bits())).sum();
        assert_eq!(golden_json("noise")[seed.to_string()]["latent_bits"], bits, "{seed}");
    }
}

#[test]
fn philox_normals_agree_within_one_unit_in_the_last_place() {
    let golden = golden("noise");
    for seed in SEEDS {
        let mut philox = Philox::new(seed);
        let worst = worst_ulps(&golden.array(&format!("philox.{seed}")), |count| philox.normals(count));
        assert!(worst <= 1, "{seed}: {worst}");
    }
}

/// What the web UI documents for seed 0, shape 3 x 4.
#[test]
fn philox_gives_the_documented_values() {
    let documented: [f64; 12] = [
        -0.924_662_59,
        -0.425_344_15,
        -2.643_845_7,
        0.145_183_88,
        -0.120_866_47,
        -0.579_725_64,
        -0.622_851_22,
        -0.328_387_09,
        -1.074_542_31,
        -0.363_144_07,
        -1.671_050_67,
        2.265_504_97,
    ];
    for (got, wanted) in Philox::new(0).normals(12).into_iter().zip(documented) {
        assert!(ulps(got, wanted as f32) <= 1, "{got} {wanted}");
    }
}

#[test]
fn variation_noise_turns_as_torch_computes_it() {
    let golden = golden("noise");
    let turned = |subseed, strength| {
        let seeds = Seeds { seed: 42, subseed };
        ImageNoise::new(NoiseSource::Cpu, [4, 6, 5], seeds, strength, 0).initial()
    };
    for (name, subseed, strength) in
        [("0.1", 43, 0.1), ("0.5", 43, 0.5), ("0.9", 43, 0.9), ("parallel", 42, 0.3)]
    {
        impasto_testkit::assert_close(
            name,
            &turned(subseed, strength),
            &golden.array(&format!("slerp.{name}")),
            1e-6,
        );
    }
}

/// As k-diffusion's noise sampler gives it, whatever is asked before: down and up, beyond the ends, and for less than the
/// tree resolves.
#[test]
fn brownian_noise_is_torchsdes() {
    let golden = golden("noise");
    let (ends, way) = (
        (0.029_167_5, 14.614_641),
        [14.614_641, 6.3, 6.29, 2.0, 0.029_168, 0.5, 3.25, 0.029_167_5, 0.02].as_slice(),
    );
    let (wide_ends, wide) = ((0.029_167_5, 4518.77), [4518.77, 1000.5, 3.5, 0.1].as_slice());
    for (name, source, seed, (lowest, highest), sigmas) in [
        ("cpu.0", NoiseSource::Cpu, 0, ends, way),
        ("cpu.42", NoiseSource::Cpu, 42, ends, way),
        ("cpu.4294967303", NoiseSource::Cpu, (1 << 32) + 7, ends, way),
        ("cpu.9223372036854775807", NoiseSource::Cpu, (1 << 63) - 1, ends, way),
        ("cpu.wide", NoiseSource::Cpu, 7, wide_ends, wide),
        ("nv.42", NoiseSource::Nv, 42, ends, way),
    ] {
        let tree = BrownianTree::new(source, seed, 24, lowest, highest);
        let wanted = golden.array(&format!("brownian.{name}"));
        for (pair, wanted) in sigmas.windows(2).zip(wanted.unstack()) {
            let got = Array::new(wanted.shape().to_vec(), tree.noise(pair[0], pair[1])).unwrap();
            let zero = wanted.data().iter().all(|&value| value == 0.0);
            assert!(!zero || got == wanted, "{name} {pair:?}");
            if !zero {
                impasto_testkit::assert_close(&format!("{name} {pair:?}"), &got, &wanted, 1e-6);
            }
        }
    }
}
