//! X/Y/Z plot with the fake painter.

use crate::fake::{base, base_from, begin, begin_with, look, refusal, run, run_until, shown};
use crate::{Base, Look, Made, PieceKind, Tab};
use impasto_domain::{GenerationRequest, Sampler, Schedule};
use impasto_imaging::Rgb;
use serde_json::{Value, json};

/// The arguments for some axes, and more behind them.
fn arguments(axes: &[(Value, &str)], more: &[Value]) -> Value {
    let mut made = Vec::new();
    for at in 0..3 {
        let (axis, values) = axes.get(at).cloned().unwrap_or((json!(0), ""));
        made.extend([axis, json!(values), json!([])]);
    }
    made.extend(more.iter().cloned());
    json!(made)
}

fn plot(base: Base, arguments: &Value) -> (Vec<GenerationRequest>, Made) {
    run(begin("x/y/z plot", arguments, base, Tab::Text).unwrap())
}

#[test]
fn axes_are_laid_across_down_and_one_behind_the_other() {
    let axes = [(json!("Steps"), "1-3"), (json!(6), "4, 5.5"), (json!("prompt s/r"), "cat,dog")];
    let (requests, made) = plot(base("a cat"), &arguments(&axes, &[json!(true), json!(true), json!(true)]));
    let first: Vec<_> =
        requests.iter().take(4).map(|it| (it.steps, it.cfg_scale, it.prompt.as_str())).collect();
    assert_eq!(first, [(1, 4.0, "a cat"), (2, 4.0, "a cat"), (3, 4.0, "a cat"), (1, 5.5, "a cat")]);
    assert_eq!((requests.len(), requests[6].prompt.as_str()), (12, "a dog"));
    assert!(requests.iter().all(|request| request.seed == Some(10)));
    let sizes = shown(&made);
    assert_eq!(sizes.len(), 1 + 2 + 12);
    // Three cells and the words beside, twice.
    assert_eq!((sizes[0].0, sizes[1].0, sizes[2], sizes[3]), (2 * (192 + 48), 192 + 48, sizes[1], (64, 32)));
    let told = &made.pieces[0].infotext;
    assert!(
        told.ends_with(
            "Script: X/Y/Z plot, X Type: Steps, X Values: 1-3, Y Type: CFG Scale, Y Values: \"4, 5.5\", \
             Z Type: Prompt S/R, Z Values: \"cat,dog\", Version: x"
        ),
        "{told}"
    );
    let sub = &made.pieces[2].infotext;
    assert!(sub.starts_with("a dog\n") && sub.contains("Y Values") && !sub.contains("Z Type"), "{sub}");
    assert_eq!((made.index_of_first_image(), made.pieces[0].kind), (1, PieceKind::Grid("xyz_grid")));
}

#[test]
fn cells_lie_where_their_labels_say() {
    let axes = [(json!("Seed"), "1,2"), (json!("Steps"), "7,9")];
    let (_, made) = plot(base("a"), &arguments(&axes, &[json!(false)]));
    let grid = &made.pieces[0].picture;
    let at = |x: usize, y: usize| grid.pixels()[y * grid.width() as usize + x];
    assert_eq!((grid.size(), at(0, 0), at(127, 0)), ((128, 64), [1, 7, 1], [2, 7, 1]));
    assert_eq!((at(0, 63), at(127, 63)), ([1, 9, 1], [2, 9, 1]));
    let margin =
        [json!(false), json!(false), json!(false), json!(false), json!(false), json!(false), json!(false)];
    let with_margin = [&margin[..], &[json!(10)]].concat();
    assert_eq!(plot(base("a"), &arguments(&axes, &with_margin)).1.pieces[0].picture.size(), (128, 64));
}

#[test]
fn costly_axes_change_last() {
    let axes =
        [(json!("Checkpoint name"), "one,two"), (json!("Steps"), "1,2"), (json!("Size"), "64x32, 32x64")];
    let (requests, made) = plot(base("a"), &arguments(&axes, &[]));
    let order: Vec<_> =
        requests.iter().map(|it| (it.model.as_deref().unwrap().len(), it.width.unwrap(), it.steps)).collect();
    let (one, two) = (28, 19);
    let wanted = [
        (one, 64, 1),
        (one, 64, 2),
        (one, 32, 1),
        (one, 32, 2),
        (two, 64, 1),
        (two, 64, 2),
        (two, 32, 1),
        (two, 32, 2),
    ];
    assert_eq!(order, wanted);
    assert_eq!(shown(&made).len(), 1);
    // All cells are kept to be saved.
    assert_eq!(made.pieces.len(), 9);
}

#[test]
fn lists_are_chosen_from_and_text_goes_before_them_if_it_is_asked_for() {
    let listed = json!([9, "", ["DDIM", "Euler a"], 0, "", [], 0, "", []]);
    let (requests, made) = plot(base("a"), &listed);
    let samplers: Vec<_> = requests.iter().map(|it| (it.sampler, it.eta)).collect();
    assert_eq!(samplers, [(Sampler::Ddim, Some(0.0)), (Sampler::EulerAncestral, Some(1.0))]);
    assert!(made.pieces[0].infotext.contains("X Type: Sampler, X Values: \"DDIM,Euler a\""));
    let mut csv = listed;
    csv[1] = json!("euler");
    let flags = [true, false, false, false, false, false, false].map(Value::from);
    csv.as_array_mut().unwrap().extend(flags.into_iter().chain([json!(0), json!(true)]));
    assert_eq!(plot(base("a"), &csv).0[0].sampler, Sampler::Euler);
    let schedules = arguments(&[(json!("Schedule type"), "karras, Automatic")], &[]);
    let made = plot(base("a"), &schedules).0;
    assert_eq!((made[0].schedule, made[1].schedule), (Schedule::Karras, Schedule::Automatic));
}

#[test]
fn every_axis_that_requests_from_text_have_changes_something() {
    let mut with_hires = base("a cat, a dog");
    with_hires.request.hires = Some(impasto_domain::Hires {
        scale: 2.0,
        width: 0,
        height: 0,
        upscaler: "Latent".to_owned(),
        tiles: [0, 0],
        steps: 0,
        denoising_strength: 0.7,
        sampler: None,
        schedule: None,
        prompt: None,
        negative_prompt: None,
        model: None,
        token_merging_ratio: 0.0,
        first_networks: false,
        first_picture: None,
    });
    let with_picture = base_from(&Rgb::filled(8, 8, [1; 3]).unwrap());
    for (tab, mut base, values) in [(Tab::Text, with_hires, TEXT), (Tab::Picture, with_picture, PICTURE)] {
        base.refiner.checkpoint = "two".to_owned();
        let told: Vec<&str> = super::axes::of_tab(tab).map(|axis| axis.label).collect();
        for label in told.iter().skip(1) {
            // What there is one of, and what does nothing without a picture to begin from or a second pass.
            let idle = match tab {
                Tab::Text => ["FP8 mode", "Initial noise multiplier", "Extra noise"].as_slice(),
                Tab::Picture => ["FP8 mode", "Token merging ratio high-res"].as_slice(),
            };
            if idle.contains(label) {
                continue;
            }
            let value = values.iter().chain(BOTH).find(|(name, _)| name == label);
            let Some((_, values)) = value else { panic!("no values to try {label} with") };
            let begun = begin("x/y/z plot", &arguments(&[(json!(label), values)], &[]), base.clone(), tab);
            let requests = run(begun.unwrap_or_else(|error| panic!("{label}: {error}"))).0;
            assert!(requests.len() == 2 && requests[0] != requests[1], "{label} changes nothing");
        }
    }
}

const TEXT: &[(&str, &str)] = &[
    ("Hires steps", "1,2"),
    ("Hires sampler", "Euler,DDIM"),
    ("Hires upscaler", "Latent,None"),
    ("Prompt order", "cat,dog"),
    ("Token merging ratio high-res", "0.1,0.2"),
];
const PICTURE: &[(&str, &str)] = &[
    ("Image CFG Scale", "1,2"),
    ("Cond. Image Mask Weight", "0.1,0.2"),
    ("Prompt order", "a,cat"),
    ("Initial noise multiplier", "1,2"),
    ("Extra noise", "1,2"),
];
const BOTH: &[(&str, &str)] = &[
    ("Seed", "1,2"),
    ("Var. seed", "1,2"),
    ("Var. strength", "0.1,0.2"),
    ("Steps", "1,2"),
    ("CFG Scale", "1,2"),
    ("Prompt S/R", "cat,fox"),
    ("Sampler", "Euler,DDIM"),
    ("Checkpoint name", "one,two"),
    ("Negative Guidance minimum sigma", "1,2"),
    ("Sigma Churn", "1,2"),
    ("Sigma min", "1,2"),
    ("Sigma max", "1,2"),
    ("Sigma noise", "1,2"),
    ("Schedule type", "Karras,Beta"),
    ("Schedule min sigma", "0.1,0.2"),
    ("Schedule max sigma", "8,9"),
    ("Schedule rho", "5,6"),
    ("Beta schedule alpha", "0.5,0.7"),
    ("Beta schedule beta", "0.5,0.7"),
    ("Eta", "0.1,0.2"),
    ("Clip skip", "1,2"),
    ("Denoising", "0.1,0.2"),
    ("Styles", "oil,none"),
    ("UniPC Order", "2,3"),
    ("Face restore", "true,no"),
    ("Token merging ratio", "0.1,0.2"),
    ("Always discard next-to-last sigma", "true,false"),
    ("SGM noise multiplier", "True,False"),
    ("Refiner checkpoint", "None,one"),
    ("Refiner switch at", "0.5,0.8"),
    ("RNG source", "CPU,NV"),
    ("Size", "64x32,32x64"),
    ("VAE", "none,soft.vae.pt"),
];

#[test]
fn seeds_stay_fixed_are_drawn_or_vary() {
    let mut unseeded = base("a");
    unseeded.request.seed = None;
    let steps = [(json!("Steps"), "1,2"), (json!("CFG Scale"), "1,2")];
    let seeds = |base: Base, arguments: &Value| -> Vec<Option<u64>> {
        plot(base, arguments).0.iter().map(|request| request.seed).collect()
    };
    let fixed = seeds(unseeded.clone(), &arguments(&steps, &[]));
    assert!(fixed[0].is_some() && fixed.iter().all(|seed| *seed == fixed[0]), "{fixed:?}");
    let free = [true, false, false, true].map(Value::from);
    assert_eq!(seeds(unseeded.clone(), &arguments(&steps, &free)), [None; 4]);
    let vary = [true, false, false, false, true, true].map(Value::from);
    assert_eq!(seeds(base("a"), &arguments(&steps, &vary)), [10, 11, 12, 13].map(Some));
    let drawn = arguments(&[(json!("Seed"), "-1, 5")], &[]);
    let (requests, made) = plot(unseeded, &drawn);
    let seed = requests[0].seed.unwrap();
    assert!(
        made.pieces[0].infotext.contains(&format!("Fixed X Values: \"{seed}, 5\"")),
        "{:?}",
        made.pieces[0]
    );
}

#[test]
fn a_cell_with_several_pictures_shows_all_of_them() {
    let mut several = base("a");
    several.request.batch_size = 2;
    let axes = arguments(&[(json!("Steps"), "1,2")], &[json!(false), json!(true)]);
    let (_, made) = plot(several.clone(), &axes);
    assert_eq!(shown(&made), [(256, 32), (64, 32), (64, 32), (64, 32), (64, 32)]);
    let look = Look { return_grid: false, ..look() };
    let begun = begin_with("x/y/z plot", &axes, several, Tab::Text, look).unwrap();
    assert_eq!(shown(&run(begun).1), [(128, 32), (64, 32), (64, 32)]);
}

#[test]
fn an_interrupted_plot_has_its_grid() {
    let axes = arguments(&[(json!("Steps"), "1-4")], &[json!(false), json!(true)]);
    let begun = begin("x/y/z plot", &axes, base("a"), Tab::Text).unwrap();
    assert_eq!(shown(&run_until(begun, 2).1), [(256, 32), (64, 32), (64, 32)]);
    let begun = begin("x/y/z plot", &axes, base("a"), Tab::Text).unwrap();
    assert!(run_until(begun, 0).1.pieces.is_empty());
}

#[test]
fn what_cannot_be_is_told_before_anything_is_painted() {
    let told =
        |axes: &[(Value, &str)]| refusal("x/y/z plot", &arguments(axes, &[]), base("a cat"), Tab::Text);
    for (axis, values, problem) in [
        (json!("Checkpoint name"), "one,three", "Unknown checkpoint: three"),
        (json!("Sampler"), "Eular", "Unknown sampler: Eular"),
        (json!("Prompt S/R"), "fish,cat", "Prompt S/R did not find fish in prompt or negative prompt."),
        (json!("Prompt order"), "a,fish", "Prompt order did not find fish in prompt."),
        (json!("Steps"), "", "X/Y/Z plot: \"X values\" (argument 1) \"\" has no values"),
        (
            json!("Steps"),
            "x",
            "X/Y/Z plot: \"X values\" (argument 1) \"x\" \"x\" is no whole number, nor a range of them",
        ),
        (json!("Steps"), "5,0", "steps 0 is out of range: allowed are 1 to 1000"),
        (json!("Size"), "64", "Invalid size in XYZ plot: 64"),
        (json!("Size"), "64x9000", "height 9000 is out of range: allowed are 8 to 2048"),
        (
            json!("Steps"),
            "1-300",
            "X/Y/Z plot: \"X values\" (argument 1) \"1-300\" \"1-300\" are 300 values: at most 256 pictures are made by one request",
        ),
        (
            json!(99),
            "1",
            "X/Y/Z plot: \"X type\" (argument 0) 99 is no axis: names are known, and places from 0 to 41",
        ),
        (
            json!("Nonsense"),
            "1",
            "X/Y/Z plot: \"X type\" (argument 0) \"Nonsense\" is no axis: names are known, and places from 0 to 41",
        ),
        (
            json!([]),
            "1",
            "X/Y/Z plot: \"X type\" (argument 0) [] is no axis: names are known, and places from 0 to 41",
        ),
        (json!("VAE"), "other", "Unknown vae: other; there are Automatic, None, soft.vae.pt"),
    ] {
        assert_eq!(told(&[(axis, values)]), problem);
    }
    let many = [(json!("Steps"), "1-20"), (json!("CFG Scale"), "1-20")];
    assert!(told(&many).contains("400 pictures are too many"));
    let mut large = base("a");
    (large.request.width, large.request.height) = (Some(2048), Some(2048));
    let refused = refusal("x/y/z plot", &arguments(&[(json!("Steps"), "1-48")], &[]), large, Tab::Text);
    assert_eq!(
        refused,
        "Error: Resulting grid would be too large (201 MPixels) (max configured size is 200 MPixels)"
    );
}
