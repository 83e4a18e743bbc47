//! Trajectories that do less work than the exact run: what they ask for, and that they can be stored on the way.

use crate::fake;
use impasto_diffusion::{Answer, DenoiseQuery, Depth, RowOutput, Step, Trajectory};
use impasto_domain::{GenerationRequest, Sampler, Schedule, Shortcuts};
use impasto_tensor::Array;
use impasto_weights::Prediction::Epsilon;

fn trajectory(sampler: Sampler, shortcuts: Shortcuts) -> Trajectory {
    let request = fake::request(sampler, Schedule::Automatic, 8);
    fake::trajectory(&GenerationRequest { shortcuts, ..request }, Epsilon)
}

/// A letter for each row: whole, kept, reused.
fn letters(query: &DenoiseQuery) -> String {
    let letter = |depth: &Depth| match depth {
        Depth::Whole => 'w',
        Depth::Keep { .. } => 'k',
        Depth::Reuse { .. } => 'r',
    };
    query.rows.iter().map(|row| letter(&row.depth)).collect()
}

/// What a trajectory asks for, in the order in which it does: `text`, and the letters of each step's rows.
fn asked(mut trajectory: Trajectory) -> String {
    let mut asked = Vec::new();
    loop {
        let step = trajectory.next().unwrap();
        match &step {
            Step::EncodeText(_) => asked.push("text".to_owned()),
            Step::Denoise(query) => asked.push(letters(query)),
            _ => return asked.join(" "),
        }
        trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
    }
}

#[test]
fn the_negative_prompt_is_left_out_where_it_is_skipped() {
    let exact = Shortcuts::default();
    let of = |shortcuts| asked(trajectory(Sampler::Euler, shortcuts));
    assert_eq!(of(exact), "text text ww ww ww ww ww ww ww ww");
    let early = Shortcuts { skip_early_cond: 0.25, ..exact };
    assert_eq!(of(early), "text w w w text ww ww ww ww ww", "and not even encoded before");
    assert_eq!(of(Shortcuts { skip_late_cond: 0.25, ..exact }), "text text ww ww ww ww ww ww w w");
    assert_eq!(of(Shortcuts { skip_early_cond: 1.0, ..exact }), "text w w w w w w w w");
    // Sigmas of 8 uniform steps: 14.6, 8.3, 4.9, 3.0, 1.8, 1.1, 0.6, 0.03.
    assert_eq!(of(Shortcuts { s_min_uncond: 2.0, ..exact }), "text text ww ww ww ww ww w ww w");
    let all = Shortcuts { s_min_uncond: 2.0, s_min_uncond_all: true, ..exact };
    assert_eq!(of(all), "text text ww ww ww ww w w w w");
    // DDIM's times 876, 751, ... 1 are 7 steps; the sigmas of its last times, 251 and 126, are below 1.
    assert_eq!(
        asked(trajectory(Sampler::Ddim, Shortcuts { s_min_uncond: 1.0, ..all })),
        "text text ww ww ww ww ww w w"
    );
}

#[test]
fn without_guidance_the_picture_is_the_prompts() {
    let exact = Shortcuts::default();
    let none =
        fake::final_latent(trajectory(Sampler::Euler, Shortcuts { skip_late_cond: 1.0, ..exact }), Epsilon);
    let mean = |latent: &Array| latent.data().iter().sum::<f32>() / latent.data().len() as f32;
    assert!((mean(&none) - 0.4).abs() < 0.2, "{}", mean(&none));
    let guided = fake::final_latent(trajectory(Sampler::Euler, exact), Epsilon);
    assert!(mean(&guided) > 1.5, "{}", mean(&guided));
}

#[test]
fn deep_features_are_kept_and_reused_by_turns() {
    let cached = Shortcuts { deepcache_interval: 3, ..Shortcuts::default() };
    let of = |shortcuts| asked(trajectory(Sampler::Euler, shortcuts));
    assert_eq!(of(cached), "text text kk rr rr kk rr rr kk rr");
    // A row that was left out at the last whole run has no features: its next run is whole.
    let early = Shortcuts { skip_early_cond: 0.0625, ..cached };
    assert_eq!(of(early), "text k text rk rr kk rr rr kk rr");
    let late = Shortcuts { skip_late_cond: 0.25, deepcache_interval: 2, ..cached };
    assert_eq!(of(late), "text text kk rr kk rr kk rr k r");
    assert_eq!(of(Shortcuts { deepcache_interval: 7, ..cached }), "text text kk rr rr rr rr rr rr ww");
}

#[test]
fn every_part_of_a_prompt_keeps_its_own_features() {
    let request = GenerationRequest {
        prompt: "cat AND dog".into(),
        shortcuts: Shortcuts { deepcache_interval: 3, skip_early_cond: 0.0625, ..Shortcuts::default() },
        ..fake::request(Sampler::Euler, Schedule::Automatic, 8)
    };
    let of = |request: &GenerationRequest| asked(fake::trajectory(request, Epsilon));
    assert_eq!(of(&request), "text text kk text rrk rrr kkk rrr rrr kkk rrr");
    let mut late = request;
    late.shortcuts = Shortcuts { deepcache_interval: 2, skip_late_cond: 0.25, ..Shortcuts::default() };
    assert_eq!(of(&late), "text text text kkk rrr kkk rrr kkk rrr kk rr");
}

#[test]
fn a_stored_trajectory_goes_on_with_the_features_it_had() {
    let shortcuts = Shortcuts { deepcache_interval: 4, skip_early_cond: 0.0625, ..Shortcuts::default() };
    let mut trajectory = trajectory(Sampler::EulerAncestral, shortcuts);
    let wanted = fake::final_latent(trajectory.clone(), Epsilon);
    for _ in 0..10 {
        let stored = serde_json::to_string(&trajectory).unwrap();
        let loaded: Trajectory = serde_json::from_str(&stored).unwrap();
        assert_eq!(fake::final_latent(loaded, Epsilon), wanted);
        let step = trajectory.next().unwrap();
        trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
    }
}

#[test]
fn features_that_were_asked_for_must_come() {
    let mut trajectory =
        trajectory(Sampler::Euler, Shortcuts { deepcache_interval: 2, ..Shortcuts::default() });
    for _ in 0..2 {
        let step = trajectory.next().unwrap();
        trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
    }
    let row = RowOutput { output: Array::zeros([4, 4, 6]), features: None };
    let error = trajectory.answer(Answer::Output(vec![row.clone(), row])).unwrap_err().to_string();
    assert_eq!(error, "the trajectory waits for the features of a whole run, but was given none");
    assert_eq!(trajectory.progress().0, 0);
}
